/*
 * The errors S3 answers with: one table of code, status and message, in errors.def.
 *
 * Operations return 0 or one of these; answer.c turns it into status and XML.
 */
#ifndef TESTS_SERVER_ERRORS_H
#define TESTS_SERVER_ERRORS_H

enum s3_error {
    S3_OK,
#define S3_ERROR(code, status, message) S3_##code,
#include "errors.def"
#undef S3_ERROR
    S3_ERROR_COUNT,
};

struct s3_error_row {
    const char *code;
    unsigned status;
    const char *message;
};

extern const struct s3_error_row S3_ERROR_ROWS[S3_ERROR_COUNT];

#endif
