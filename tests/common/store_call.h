/* Requests on a store, made by a test that waits for them: any number at a time, on one shard.
 * Nothing of this is to be called inside the gate. */
#ifndef S3DLIO_TESTS_COMMON_STORE_CALL_H
#define S3DLIO_TESTS_COMMON_STORE_CALL_H

#include "store/store.h"

/* A request with what a blocking caller needs around it. */
struct store_call {
    struct store_request request; /* first */
    struct iovec body; /* store_call_put's */
    struct store_sink sink;
    char *data; /* of a body received: NUL-terminated */
    size_t length, capacity;
    size_t room_max;  /* 0: as much as there is */
    size_t pause_at;  /* the sink has no room from here on, until store_call_resume; 0: never */
    unsigned objects; /* calls of on_object */
    bool done;
};

/* Change what differs before it begins. */
void store_call_init(struct store_call *call, enum store_operation operation, struct store *store,
                     struct shard *shard);
void store_call_begin(struct store_call *call);
/* Until its end, or until so many bytes came; both assert that this is within the patience, which is
 * ten seconds unless a program says otherwise. */
extern int64_t store_call_patience_ns;
void store_call_wait(struct store_call *call);
void store_call_wait_bytes(struct store_call *call, size_t length);
void store_call_resume(struct store_call *call);
void store_call_abandon(struct store_call *call);
/* begin and wait; the class of the error. */
enum error_class store_call_do(struct store_call *call);
void store_call_fini(struct store_call *call);

/* begin and wait for one with that body; the class. */
enum error_class store_call_put(struct store_call *call, const char *text);
/* What was received as a string; asserts that it fits. */
void store_call_text(const struct store_call *call, char *text, size_t size);
/* Appends the keys of the page received: "a b/ c". */
void store_call_names(const struct store_call *call, char *names, size_t size);

#endif
