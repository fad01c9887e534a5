/* Requests that are not signed, when S3DLIO_ANONYMOUS says so. */
#include <errno.h>

#include "config/options.h"
#include "credential/credential.h"

static int anonymous_fetch(const struct credential_context *context,
                           struct credentials **ret_credentials, struct error *err)
{
    struct credentials *credentials;

    if (!option_int(context->options, ANONYMOUS))
        return -ENOENT;
    credentials = credentials_new(&(struct credentials){
        .access_key = "", .secret_key = "", .expires_s = CREDENTIAL_NEVER, .source = "anonymous"});
    if (!credentials)
        return error_set(err, ERROR_NO_MEMORY, "no memory for credentials");
    *ret_credentials = credentials;
    return 0;
}

const struct credential_source credential_anonymous = {"anonymous", anonymous_fetch};
