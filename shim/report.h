/* Lines for people: one write(2) to stderr, no stdio, nothing allocated. */
#ifndef S3DLIO_SHIM_REPORT_H
#define S3DLIO_SHIM_REPORT_H

#include "s3dlio.h"

/* Prints "s3dlio: …\n" when S3DLIO_LOG is error or above. */
void report_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* An operation that this version refuses on a virtual path: prints one line the first time it
 * happens for this operation, and returns -EOPNOTSUPP. path may be NULL. */
int report_refusal(const char *operation, const char *path);

/* An engine error that the program sees only as an errno: the first of each kind is printed (the
 * expected ones, such as ENOENT, never). */
void report_error(const struct s3dlio_error *error);

/* The same for a look-up of `uri`: a missing bucket is worth a line only when something in it was
 * asked for. Programs look for files in every directory above them, /s3 included. */
void report_name_error(const struct s3dlio_error *error, const char *uri);

#endif
