/* Rules of the fault store: parsing and matching. See fault.h for the syntax. */
#ifndef S3DLIO_STORE_FAULT_RULES_H
#define S3DLIO_STORE_FAULT_RULES_H

#include "store/store.h"

/* What shall happen to one request: the sum of the rules that match it. */
struct fault_plan {
    bool hit;              /* some rule matched */
    enum error_class fail; /* ERROR_NONE: not */
    int retry_after_ms;
    bool error200, lose, ignore, changed, truncate;
    int64_t delay_ms, pause_ms;
    uint64_t after_bytes;
};

struct fault_rule {
    struct fault_rule *next;
    enum store_operation operation; /* STORE_OPERATION_COUNT: any */
    char key_glob[256];
    uint64_t nth, count;
    uint64_t seen; /* matching requests so far */
    uint64_t probability_ppm;
    struct fault_plan effect;
};

struct fault_rules {
    struct fault_rule *first; /* in the order given */
    uint64_t random_state;
    char scheme[16]; /* of store=, "" when not given */
};

/* Appends the rules of the text; nothing is changed on failure but the seed. 0 or -errno, *err. */
int fault_rules_parse(struct fault_rules *rules, const char *text, struct error *err);
void fault_rules_fini(struct fault_rules *rules);
/* Counts the request against every rule and sums up those that match. */
void fault_rules_draw(struct fault_rules *rules, const struct store_request *request,
                      struct fault_plan *ret_plan);

#endif
