/* The order of sources, and the credentials that are current.
 *
 * One mutex guards `current`; it is held during a fetch, so that a hundred requests that meet
 * expired credentials make one refresh. Region and endpoint are read once and never change.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/own_files.h"
#include "config/options.h"
#include "credential/credential.h"
#include "credential/profile.h"

#define DEFAULT_REGION "us-east-1"
#define MARGIN_S       300 /* credentials are renewed so long before they expire */

static const struct credential_source *const credential_sources[] = {
    &credential_anonymous,
    &credential_environment,
    &credential_profile_source,
};

struct credential_chain {
    struct credential_context context;
    struct credential_profile profile;
    pthread_mutex_t lock;
    struct credentials *current; /* one reference; NULL before the first use */
};

int credential_chain_new(const struct options *options, struct credential_chain **ret_chain,
                         struct error *err)
{
    struct credential_chain *chain = calloc(1, sizeof *chain);
    int r;

    if (!chain)
        return error_set(err, ERROR_NO_MEMORY, "no memory for credentials");
    r = profile_load(options, &chain->profile, err);
    if (r < 0) {
        free(chain);
        return r;
    }
    chain->context = (struct credential_context){options, &chain->profile};
    pthread_mutex_init(&chain->lock, NULL);
    *ret_chain = chain;
    return 0;
}

void credential_chain_free(struct credential_chain *chain)
{
    if (!chain)
        return;
    credentials_unref(chain->current);
    profile_fini(&chain->profile);
    pthread_mutex_destroy(&chain->lock);
    free(chain);
}

static int fetch_first(const struct credential_chain *chain, struct credentials **ret_credentials,
                       struct error *err)
{
    for (size_t i = 0; i < sizeof credential_sources / sizeof credential_sources[0]; i++) {
        int r = credential_sources[i]->fetch(&chain->context, ret_credentials, err);

        if (r != -ENOENT)
            return r;
    }
    return error_set(err, ERROR_ACCESS,
                     "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                     "AWS_PROFILE, or S3DLIO_ANONYMOUS=1 for public buckets");
}

static bool is_due(const struct credentials *credentials)
{
    return !credentials || (credentials->expires_s != CREDENTIAL_NEVER &&
                            credentials->expires_s - MARGIN_S <= (int64_t)time(NULL));
}

static bool is_expired(const struct credentials *credentials)
{
    return credentials->expires_s <= (int64_t)time(NULL);
}

int credential_chain_get(struct credential_chain *chain, struct credentials **ret_credentials,
                         struct error *err)
{
    struct credentials *fresh;
    int r = 0;

    pthread_mutex_lock(&chain->lock);
    if (is_due(chain->current)) {
        own_files_begin();
        r = fetch_first(chain, &fresh, err);
        own_files_end();
        if (r == 0) {
            credentials_unref(chain->current);
            chain->current = fresh;
        } else if (chain->current && !is_expired(chain->current)) {
            error_clear(err);
            r = 0; /* within the margin the old ones still do */
        }
    }
    if (r == 0)
        *ret_credentials = credentials_ref(chain->current);
    pthread_mutex_unlock(&chain->lock);
    return r;
}

static bool are_same(const struct credentials *a, const struct credentials *b)
{
    return strcmp(a->access_key, b->access_key) == 0 && strcmp(a->secret_key, b->secret_key) == 0 &&
           strcmp(a->token ? a->token : "", b->token ? b->token : "") == 0;
}

int credential_chain_renew(struct credential_chain *chain, const struct credentials *refused,
                           struct credentials **ret_credentials, struct error *err)
{
    struct credentials *fresh = NULL;
    int r = 0;

    pthread_mutex_lock(&chain->lock);
    if (!chain->current || are_same(chain->current, refused)) {
        r = fetch_first(chain, &fresh, err);
        if (r == 0 && are_same(fresh, refused)) {
            r = error_set(err, ERROR_ACCESS, "there are no newer credentials in %s",
                          refused->source);
            credentials_unref(fresh);
        } else if (r == 0) {
            credentials_unref(chain->current);
            chain->current = fresh;
        }
    }
    if (r == 0)
        *ret_credentials = credentials_ref(chain->current);
    pthread_mutex_unlock(&chain->lock);
    return r;
}

const char *credential_chain_region(const struct credential_chain *chain)
{
    const char *option = option_text(chain->context.options, REGION);

    if (option && option[0])
        return option;
    option = chain->profile.values[PROFILE_REGION];
    return option ? option : DEFAULT_REGION;
}

const char *credential_chain_endpoint_url(const struct credential_chain *chain)
{
    const char *option = option_text(chain->context.options, ENDPOINT_URL);

    return option && option[0] ? option : chain->profile.values[PROFILE_ENDPOINT_URL];
}
