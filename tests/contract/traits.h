/* What the stores and servers under test do differently: one row each, and the cases assert what
 * the row says. A new server is a new row; what a case passes over, its row names. */
#ifndef S3DLIO_TESTS_CONTRACT_TRAITS_H
#define S3DLIO_TESTS_CONTRACT_TRAITS_H

#include <stdbool.h>

#include "base/error.h"

/* What becomes of a key that not every store can hold. */
enum key_fate {
    KEY_KEPT,    /* as it is */
    KEY_REFUSED, /* an error, nothing stored */
    KEY_ALIASED, /* stored as another key: not tested */
};

struct traits {
    const char *name; /* of S3DLIO_TEST_SERVER, or the store's scheme */
    const char *scheme;
    bool is_server; /* reached by HTTP: credentials and regions matter */
    bool has_metadata;
    bool has_tags;                /* and HEAD tells of them */
    bool has_real_directories;    /* "dir/" shows up by itself in listings */
    bool checks_crc;              /* a wrong checksum of a body is refused */
    bool checks_total_crc;        /* of an upload at its completion */
    bool checks_part_size;        /* 5 MiB */
    bool checks_region;           /* a wrong region is answered with the right one */
    bool has_regions;             /* buckets may lie in another than the server's */
    bool crc_with_part_copy;      /* an upload with declared checksum takes copied parts */
    bool delete_if_match;         /* else ignored: deletes */
    bool head_knows_bucket;       /* HEAD tells a missing bucket from a missing key */
    bool lists_uploads;           /* without naming whole keys */
    const char *unknown_key_code; /* what a made-up access key is answered */
    enum error_class put_if_match_absent;
    enum error_class abort_twice; /* ERROR_NONE: fine */
    enum error_class complete_twice;
    enum error_class copy_beyond_end;
    enum error_class bad_token;   /* class of a made-up session token */
    enum key_fate below_object;   /* "a/b" beside "a" */
    enum key_fate dots;           /* "./x", "p/../q" */
    enum key_fate double_slash;   /* "a//b", "/lead" */
    enum key_fate long_component; /* of 300 bytes */
    enum key_fate control;        /* \x01, \n */
};

/* The row for `contract SCHEME` with that S3DLIO_TEST_SERVER (may be NULL), or NULL. */
const struct traits *traits_find(const char *scheme, const char *server);

#endif
