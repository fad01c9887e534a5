/* The table of kinds. See stats_kind.h. */
#include "core/stats_kind.h"

static const struct stats_kind kinds[] = {
    [STORE_GET] = {STATS_KIND_GET, STATS_PRICE_GET, "GET", 1},
    [STORE_HEAD] = {STATS_KIND_HEAD, STATS_PRICE_GET, "STAT", 1},
    [STORE_PUT] = {STATS_KIND_PUT, STATS_PRICE_PUT, "PUT", 1},
    [STORE_DELETE] = {STATS_KIND_DELETE, STATS_PRICE_DELETE, "DELETE", 1},
    [STORE_DELETE_MANY] = {STATS_KIND_DELETE, STATS_PRICE_DELETE, "DELETE", 1},
    [STORE_COPY] = {STATS_KIND_OTHER, STATS_PRICE_PUT, "PUT", 0},
    [STORE_RENAME] = {STATS_KIND_OTHER, STATS_PRICE_PUT, "PUT", 0},
    [STORE_LIST] = {STATS_KIND_LIST, STATS_PRICE_LIST, "LIST", 0},
    [STORE_LIST_BUCKETS] = {STATS_KIND_LIST, STATS_PRICE_LIST, "LIST", 0},
    [STORE_CREATE_BUCKET] = {STATS_KIND_OTHER, STATS_PRICE_PUT, "PUT", 0},
    [STORE_DELETE_BUCKET] = {STATS_KIND_OTHER, STATS_PRICE_DELETE, "DELETE", 0},
    [STORE_UPLOAD_CREATE] = {STATS_KIND_OTHER, STATS_PRICE_PUT, "PUT", 0},
    [STORE_UPLOAD_PART] = {STATS_KIND_PUT, STATS_PRICE_PUT, "PUT", 1},
    [STORE_UPLOAD_PART_COPY] = {STATS_KIND_OTHER, STATS_PRICE_PUT, "PUT", 0},
    [STORE_UPLOAD_COMPLETE] = {STATS_KIND_OTHER, STATS_PRICE_PUT, "PUT", 0},
    [STORE_UPLOAD_ABORT] = {STATS_KIND_OTHER, STATS_PRICE_DELETE, "DELETE", 0},
    [STORE_GET_TAGS] = {STATS_KIND_OTHER, STATS_PRICE_GET, "STAT", 0},
    [STORE_UPLOAD_LIST] = {STATS_KIND_OTHER, STATS_PRICE_LIST, "LIST", 0},
};
_Static_assert(sizeof kinds / sizeof kinds[0] == STORE_OPERATION_COUNT, "a row for each");

const struct stats_kind *stats_kind(enum store_operation operation)
{
    return &kinds[operation];
}

const char *stats_kind_word(enum stats_kind_word kind)
{
    static const char *const words[] = {"get", "head", "put", "list", "delete", "other"};

    return words[kind];
}
