/* The rows. What was seen on real servers; see traits.h. */
#include "traits.h"

#include <stddef.h>
#include <string.h>

static const struct traits rows[] = {
    {
        .name = "mem",
        .scheme = "mem",
        .has_metadata = true,
        .has_tags = true,
        .checks_crc = true,
        .checks_total_crc = true,
        .crc_with_part_copy = true,
        .delete_if_match = true,
        .head_knows_bucket = true,
        .lists_uploads = true,
        .put_if_match_absent = ERROR_NOT_FOUND,
        .abort_twice = ERROR_NOT_FOUND,
        .complete_twice = ERROR_NOT_FOUND,
        .copy_beyond_end = ERROR_RANGE,
    },
    {
        .name = "fault",
        .scheme = "fault",
        .has_metadata = true,
        .has_tags = true,
        .checks_crc = true,
        .checks_total_crc = true,
        .crc_with_part_copy = true,
        .delete_if_match = true,
        .head_knows_bucket = true,
        .lists_uploads = true,
        .put_if_match_absent = ERROR_NOT_FOUND,
        .abort_twice = ERROR_NOT_FOUND,
        .complete_twice = ERROR_NOT_FOUND,
        .copy_beyond_end = ERROR_RANGE,
    },
    {
        .name = "file",
        .scheme = "file",
        .has_real_directories = true,
        .crc_with_part_copy = true,
        .delete_if_match = true,
        .head_knows_bucket = true,
        .lists_uploads = true,
        .put_if_match_absent = ERROR_NOT_FOUND,
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
        .is_server = true,
        .has_metadata = true,
        .has_tags = true,
        .checks_crc = true,
        .checks_total_crc = true,
        .checks_part_size = true,
        .checks_region = true,
        .has_regions = true,
        .delete_if_match = true,
        .lists_uploads = true,
        .unknown_key_code = "InvalidAccessKeyId",
        .put_if_match_absent = ERROR_NOT_FOUND,
        .abort_twice = ERROR_NOT_FOUND,
        .complete_twice = ERROR_NONE,
        .copy_beyond_end = ERROR_INVALID,
        .bad_token = ERROR_TOKEN,
    },
    {
        .name = "versitygw",
        .scheme = "s3",
        .is_server = true,
        .has_metadata = true,
        .has_tags = true,
        .checks_crc = true,
        .checks_total_crc = true,
        .checks_part_size = true,
        .checks_region = true,
        .crc_with_part_copy = true,
        .delete_if_match = true,
        .lists_uploads = true,
        .unknown_key_code = "XAdminUserNotFound",
        .put_if_match_absent = ERROR_NOT_FOUND,
        .abort_twice = ERROR_NOT_FOUND,
        .complete_twice = ERROR_NONE,
        .copy_beyond_end = ERROR_INVALID,
        .bad_token = ERROR_TOKEN,
        .below_object = KEY_REFUSED,
        .dots = KEY_ALIASED,
        .double_slash = KEY_ALIASED,
        .long_component = KEY_REFUSED,
        .control = KEY_ALIASED, /* listed with U+FFFD in its place */
    },
    {
        .name = "minio",
        .scheme = "s3",
        .is_server = true,
        .has_metadata = true,
        .has_tags = true,
        .checks_crc = true,
        .checks_total_crc = true,
        .checks_part_size = true,
        .unknown_key_code = "InvalidAccessKeyId",
        .put_if_match_absent = ERROR_NOT_FOUND,
        .abort_twice = ERROR_NONE,
        .complete_twice = ERROR_NOT_FOUND,
        .copy_beyond_end = ERROR_INVALID,
        .bad_token = ERROR_TOKEN,
        .below_object = KEY_ALIASED, /* readable, but gone from every listing */
        .dots = KEY_REFUSED,
        .double_slash = KEY_ALIASED, /* "a//b" refused, "/lead" stored as "lead" */
        .long_component = KEY_REFUSED,
    },
};

const struct traits *traits_find(const char *scheme, const char *server)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].scheme, scheme) == 0 &&
            (!rows[i].is_server || (server && strcmp(rows[i].name, server) == 0)))
            return &rows[i];
    return NULL;
}
