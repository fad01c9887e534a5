/*
 * The error table itself; see errors.h.
 */
#include "errors.h"

const struct s3_error_row S3_ERROR_ROWS[S3_ERROR_COUNT] = {
	[S3_OK] = {"", 200, ""},
#define S3_ERROR_ROW(code, status, message) [S3_##code] = {#code, status, message},
	S3_ERRORS(S3_ERROR_ROW)
#undef S3_ERROR_ROW
};
