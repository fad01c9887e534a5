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

/* What it does; without the flag it does not. */
enum trait {
    IS_SERVER = 1 << 0, /* reached by HTTP: credentials and regions matter */
    HAS_METADATA = 1 << 1,
    HAS_TAGS = 1 << 2,             /* and HEAD tells of them */
    HAS_REAL_DIRECTORIES = 1 << 3, /* "dir/" shows up by itself in listings */
    CHECKS_CRC = 1 << 4,           /* a wrong checksum of a body is refused */
    CHECKS_TOTAL_CRC = 1 << 5,     /* of an upload at its completion */
    CHECKS_PART_SIZE = 1 << 6,     /* 5 MiB */
    CHECKS_REGION = 1 << 7,        /* a wrong region is answered with the right one */
    HAS_REGIONS = 1 << 8,          /* buckets may lie in another than the server's */
    CRC_WITH_PART_COPY = 1 << 9,   /* an upload with declared checksum takes copied parts */
    DELETE_IF_MATCH = 1 << 10,     /* else ignored: deletes */
    HEAD_KNOWS_BUCKET = 1 << 11,   /* HEAD tells a missing bucket from a missing key */
    LISTS_UPLOADS = 1 << 12,       /* without naming whole keys */
};

struct traits {
    const char *name; /* of S3DLIO_TEST_SERVER, or the store's scheme */
    const char *scheme;
    unsigned has;                 /* enum trait */
    const char *unknown_key_code; /* what a made-up access key is answered */
    enum error_class abort_twice; /* ERROR_NONE: fine */
    enum error_class complete_twice;
    enum error_class copy_beyond_end;
    enum key_fate below_object;   /* "a/b" beside "a" */
    enum key_fate dots;           /* "./x", "p/../q" */
    enum key_fate double_slash;   /* "a//b", "/lead" */
    enum key_fate long_component; /* of 300 bytes */
    enum key_fate control;        /* \x01, \n */
};

/* The row for `contract SCHEME` with that S3DLIO_TEST_SERVER (may be NULL), or NULL. */
const struct traits *traits_find(const char *scheme, const char *server);

#endif
