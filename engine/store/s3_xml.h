/* XML answers, element by element, with limits: no document type (so no entities of its own), 16
 * levels, 64 KiB of text in one element. Belongs to one call. */
#ifndef S3DLIO_STORE_S3_XML_H
#define S3DLIO_STORE_S3_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct s3_xml;

/* An element ended: its name, its parent's ("" for the root), namespace prefixes cut off, and
 * the text directly inside, which may be changed. 0, or -errno to stop. */
typedef int s3_xml_fn(void *arg, const char *parent, const char *name, char *text, size_t length);
/* The root began. */
typedef void s3_xml_root_fn(void *arg, const char *name);

struct s3_xml *s3_xml_new(s3_xml_root_fn *on_root, s3_xml_fn *on_end,
                          void *arg); /* NULL: no memory */
void s3_xml_free(struct s3_xml *xml); /* NULL is fine */

/* Where the next bytes go (some KiB), then how many came. Errors are kept until finish: what
 * follows a broken place is passed over. */
size_t s3_xml_space(struct s3_xml *xml, void **ret_where);
void s3_xml_commit(struct s3_xml *xml, size_t length);
/* 0 when the document was complete; else -errno with *err. */
int s3_xml_finish(struct s3_xml *xml, struct error *err);

#endif
