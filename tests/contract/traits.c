/* The rows. What was seen on real servers; see traits.h. */
#include "traits.h"

#include <stddef.h>
#include <string.h>

enum {
    IN_PROCESS = CRC_WITH_PART_COPY | DELETE_IF_MATCH | HEAD_KNOWS_BUCKET | LISTS_UPLOADS,
    KEEPS_ALL = HAS_METADATA | HAS_TAGS | CHECKS_CRC | CHECKS_TOTAL_CRC,
    S3_SERVER = IS_SERVER | KEEPS_ALL | CHECKS_PART_SIZE,
};

static const struct traits rows[] = {
    {
        .name = "mem",
        .scheme = "mem",
        .has = IN_PROCESS | KEEPS_ALL,
        .abort_twice = ERROR_NOT_FOUND,
        .complete_twice = ERROR_NOT_FOUND,
        .copy_beyond_end = ERROR_RANGE,
    },
    {
        .name = "file",
        .scheme = "file",
        .has = IN_PROCESS | HAS_REAL_DIRECTORIES,
        .abort_twice = ERROR_NOT_FOUND,
        .complete_twice = ERROR_NOT_FOUND,
        .copy_beyond_end = ERROR_RANGE,
        .below_object = KEY_REFUSED,
        .dots = KEY_REFUSED,
        .double_slash = KEY_REFUSED,
        .long_component = KEY_REFUSED,
    },
    {
        .name = "bundled",
        .scheme = "s3",
        .has = S3_SERVER | CHECKS_REGION | HAS_REGIONS | DELETE_IF_MATCH | LISTS_UPLOADS,
        .unknown_key_code = "InvalidAccessKeyId",
        .abort_twice = ERROR_NOT_FOUND,
        .complete_twice = ERROR_NONE,
        .copy_beyond_end = ERROR_INVALID,
    },
    {
        .name = "versitygw",
        .scheme = "s3",
        .has = S3_SERVER | CHECKS_REGION | CRC_WITH_PART_COPY | DELETE_IF_MATCH | LISTS_UPLOADS,
        .unknown_key_code = "XAdminUserNotFound",
        .abort_twice = ERROR_NOT_FOUND,
        .complete_twice = ERROR_NONE,
        .copy_beyond_end = ERROR_INVALID,
        .below_object = KEY_REFUSED,
        .dots = KEY_ALIASED,
        .double_slash = KEY_ALIASED,
        .long_component = KEY_REFUSED,
        .control = KEY_ALIASED, /* listed with U+FFFD in its place */
    },
    {
        .name = "minio",
        .scheme = "s3",
        .has = S3_SERVER,
        .unknown_key_code = "InvalidAccessKeyId",
        .abort_twice = ERROR_NONE,
        .complete_twice = ERROR_NOT_FOUND,
        .copy_beyond_end = ERROR_INVALID,
        .below_object = KEY_ALIASED, /* readable, but gone from every listing */
        .dots = KEY_REFUSED,
        .double_slash = KEY_ALIASED, /* "a//b" refused, "/lead" stored as "lead" */
        .long_component = KEY_REFUSED,
    },
};

const struct traits *traits_find(const char *scheme, const char *server)
{
    if (strcmp(scheme, "fault") == 0) /* wraps mem */
        scheme = "mem";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].scheme, scheme) == 0 &&
            (!(rows[i].has & IS_SERVER) || (server && strcmp(rows[i].name, server) == 0)))
            return &rows[i];
    return NULL;
}
