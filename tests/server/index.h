/*
 * A bucket's objects in key order: a skip list, so that a listing of a million keys can seek to
 * any key, and past a whole common prefix, in logarithmic time.
 *
 * Order is that of unsigned bytes, as S3 lists. The index holds one reference on each object. It
 * has no lock of its own: the store's lock covers it (store.h).
 */
#ifndef TESTS_SERVER_INDEX_H
#define TESTS_SERVER_INDEX_H

#include <stdbool.h>
#include <stddef.h>

struct object;
struct index;

struct index_node {
    struct object *object;
    struct index_node *next[]; /* next[0] is the next key */
};

struct index *index_new(void);
void index_free(struct index *index); /* drops every object */
size_t index_count(const struct index *index);
struct object *index_find(const struct index *index, const char *key);
/* First node whose key is >= key, or > key when after. */
struct index_node *index_seek(const struct index *index, const char *key, bool after);
/* Takes over the caller's reference; an object of that key is replaced. 0 or -ENOMEM. */
int index_insert(struct index *index, struct object *object);
bool index_remove(struct index *index, const char *key);

#endif
