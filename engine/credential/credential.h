/* Credentials for AWS-like signatures, and the chain of sources they come from.
 *
 * A source is one file and one row in chain.c. The first source that has credentials is kept;
 * what expires is fetched again from it some time before, by one caller for all. Credentials are
 * immutable and counted by references. Secrets are never logged and are wiped when the last
 * reference goes.
 *
 * Threads: any; the chain has one mutex. A fetch runs under it and must not sleep on the network
 * (files are fine): a source that asks a service does so on a thread of its own and answers
 * -EAGAIN until the answer is there; credential_chain_get hands that on, and callers ask again a
 * little later.
 */
#ifndef S3DLIO_CREDENTIAL_CREDENTIAL_H
#define S3DLIO_CREDENTIAL_CREDENTIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct options;

/* ---- credentials ---------------------------------------------------------------------------- */

#define CREDENTIAL_NEVER INT64_MAX

struct credentials {
    const char *access_key; /* "" for anonymous: do not sign */
    const char *secret_key;
    const char *token;  /* NULL: none */
    int64_t expires_s;  /* of the epoch; CREDENTIAL_NEVER */
    const char *source; /* "environment", "profile NAME in FILE", … */
};

/* Copies the strings, one reference; token may be NULL. NULL without memory. */
struct credentials *credentials_new(const struct credentials *values);
struct credentials *credentials_ref(struct credentials *credentials);
void credentials_unref(struct credentials *credentials); /* NULL is fine */
static inline bool credentials_are_anonymous(const struct credentials *credentials)
{
    return !credentials->access_key[0];
}

/* ---- sources -------------------------------------------------------------------------------- */

/* What the sources look at; all strings outlive the chain (options) or belong to it (profile). */
struct credential_profile;
struct credential_context {
    const struct options *options;
    const struct credential_profile *profile;
};

struct credential_source {
    const char *name;
    /* 0; -ENOENT: nothing is configured here, the next source counts; -EAGAIN: see above; any other
     * -errno with *err ends the search. */
    int (*fetch)(const struct credential_context *context, struct credentials **ret_credentials,
                 struct error *err);
};

extern const struct credential_source credential_anonymous;
extern const struct credential_source credential_environment;
extern const struct credential_source credential_profile_source;

/* ---- the chain ------------------------------------------------------------------------------ */

struct credential_chain;

/* Reads the shared configuration files. 0, or -errno with *err: unreadable, a profile that was
 * asked for and is not there. */
int credential_chain_new(const struct options *options, struct credential_chain **ret_chain,
                         struct error *err);
void credential_chain_free(struct credential_chain *chain); /* NULL is fine */

/* Current credentials; the caller owns the reference. 0, -EAGAIN, or -errno with *err. */
int credential_chain_get(struct credential_chain *chain, struct credentials **ret_credentials,
                         struct error *err);
/* The server refused these as expired: fetches anew unless somebody has done so since. 0 with
 * others; -EACCES with *err when the source has nothing better. */
int credential_chain_renew(struct credential_chain *chain, const struct credentials *refused,
                           struct credentials **ret_credentials, struct error *err);

/* From option, else profile, else the default ("us-east-1", NULL). Valid as long as the chain. */
const char *credential_chain_region(const struct credential_chain *chain);
const char *credential_chain_endpoint_url(const struct credential_chain *chain);

#endif
