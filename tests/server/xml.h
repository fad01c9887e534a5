/*
 * XML out, element by element into a buffer, and in, as a walk over leaves.
 */
#ifndef TESTS_SERVER_XML_H
#define TESTS_SERVER_XML_H

#include "buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define XML_HEADER    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define XML_NAMESPACE " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

/* Escapes; control characters become references as S3 sends them, well-formed or not. */
void xml_escape(struct buf *out, const char *text);
void xml_element(struct buf *out, const char *name, const char *text);
/* An object's name or a part of one, percent-encoded when the client asked for that. */
void xml_element_key(struct buf *out, const char *name, const char *key, bool url_encoded);
void xml_element_u64(struct buf *out, const char *name, uint64_t value);
void xml_element_bool(struct buf *out, const char *name, bool value);
void xml_element_date(struct buf *out, const char *name, time_t when);
void xml_element_etag(struct buf *out, const char *etag); /* quoted, quotes escaped */

/*
 * Called at the end of every element with its path, "Delete/Object/Key", and the text directly in
 * it. False stops the walk.
 */
typedef bool xml_visit(void *context, const char *path, const char *text);
/* False when the text is not well-formed, or the visitor stopped. */
bool xml_walk(const char *text, size_t length, xml_visit *visit, void *context);

#endif
