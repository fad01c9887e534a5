/*
 * The error table itself; see errors.h.
 */
#include "errors.h"

const struct s3_error_row S3_ERROR_ROWS[S3_ERROR_COUNT] = {
    [S3_OK] = {"", 200, ""},
#define S3_ERROR(code, status, message) [S3_##code] = {#code, status, message},
#include "errors.def"
#undef S3_ERROR
};
