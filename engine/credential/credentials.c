/* Credentials as counted, immutable memory: one allocation with all strings, wiped at the end. */
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "credential/credential.h"

struct counted {
    struct credentials public; /* first */
    atomic_uint references;
    size_t text_size;
    char text[];
};

static const char *append(char **at, const char *text)
{
    const char *copy = *at;

    *at = stpcpy(*at, text) + 1;
    return copy;
}

struct credentials *credentials_new(const struct credentials *values)
{
    size_t size = strlen(values->access_key) + strlen(values->secret_key) +
                  (values->token ? strlen(values->token) : 0) + strlen(values->source) + 4;
    struct counted *counted = malloc(sizeof *counted + size);
    char *at;

    if (!counted)
        return NULL;
    at = counted->text;
    counted->public.access_key = append(&at, values->access_key);
    counted->public.secret_key = append(&at, values->secret_key);
    counted->public.token = values->token ? append(&at, values->token) : NULL;
    counted->public.source = append(&at, values->source);
    counted->public.expires_s = values->expires_s;
    counted->text_size = size;
    atomic_init(&counted->references, 1);
    return &counted->public;
}

struct credentials *credentials_ref(struct credentials *credentials)
{
    atomic_fetch_add_explicit(&((struct counted *)credentials)->references, 1,
                              memory_order_relaxed);
    return credentials;
}

void credentials_unref(struct credentials *credentials)
{
    struct counted *counted = (struct counted *)credentials;

    if (!counted || atomic_fetch_sub_explicit(&counted->references, 1, memory_order_acq_rel) != 1)
        return;
    explicit_bzero(counted->text, counted->text_size);
    free(counted);
}
