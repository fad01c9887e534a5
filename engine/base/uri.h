/* "scheme://bucket/key" taken apart. */
#ifndef S3DLIO_BASE_URI_H
#define S3DLIO_BASE_URI_H

#include <stdbool.h>
#include <stddef.h>

#define URI_BUCKET_MAX 255 /* bytes without NUL: 63 on S3, 255 for paths of the file store */
#define URI_KEY_MAX 1024   /* bytes without NUL, the S3 limit */

struct uri {
    char scheme[16];
    char bucket[URI_BUCKET_MAX + 1]; /* empty: the root that lists buckets */
    char key[URI_KEY_MAX + 1];       /* empty: the bucket itself; no leading slash */
};

/* 0; -EINVAL no scheme or a bad one; -ENAMETOOLONG. `s3:/b/k` counts as `s3://b/k`. The key is
 * taken literally: no decoding, no dot segments. */
int uri_parse(const char *text, struct uri *ret_uri);
/* Do both mean the same name? */
bool uri_is_same(const struct uri *a, const struct uri *b);
/* snprintf-like. */
int uri_format(const struct uri *uri, char *buffer, size_t size);

#endif
