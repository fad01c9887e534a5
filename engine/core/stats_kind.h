/* What kinds the operations of stores are of: for people, for bills, for op-logs. */
#ifndef S3DLIO_CORE_STATS_KIND_H
#define S3DLIO_CORE_STATS_KIND_H

#include "store/store.h"

/* In the order in which they are shown. */
enum stats_kind_word {
    STATS_KIND_GET,
    STATS_KIND_HEAD,
    STATS_KIND_PUT, /* bytes that are sent: objects and parts */
    STATS_KIND_LIST,
    STATS_KIND_DELETE,
    STATS_KIND_OTHER,
    STATS_KINDS
};

/* Classes of requests in price lists: S3DLIO_PRICE_…. What a list has among PUT, COPY, POST is
 * PUT; among GET and all others GET. */
enum stats_price_class {
    STATS_PRICE_GET,
    STATS_PRICE_PUT,
    STATS_PRICE_LIST,
    STATS_PRICE_DELETE,
    STATS_PRICES
};

struct stats_kind {
    enum stats_kind_word kind;
    enum stats_price_class price;
    const char *op;    /* one of the words that op-logs have */
    unsigned objects;  /* how many objects a request writes, reads or removes, if it is not told */
};
const struct stats_kind *stats_kind(enum store_operation operation);
const char *stats_kind_word(enum stats_kind_word kind);

#endif
