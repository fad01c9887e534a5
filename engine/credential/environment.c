/* AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, from wherever options come. */
#include <errno.h>

#include "config/options.h"
#include "credential/credential.h"

static bool is_set(const char *text)
{
    return text && text[0];
}

static int environment_fetch(const struct credential_context *context,
                             struct credentials **ret_credentials, struct error *err)
{
    const char *access_key = option_text(context->options, AWS_ACCESS_KEY_ID);
    const char *secret_key = option_text(context->options, AWS_SECRET_ACCESS_KEY);
    const char *token = option_text(context->options, AWS_SESSION_TOKEN);
    struct credentials *credentials;

    if (!is_set(access_key) && !is_set(secret_key))
        return -ENOENT;
    if (!is_set(access_key) || !is_set(secret_key))
        return error_set(err, ERROR_ACCESS, "%s is set but %s is not",
                         is_set(access_key) ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                         is_set(access_key) ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    credentials = credentials_new(&(struct credentials){.access_key = access_key,
                                                        .secret_key = secret_key,
                                                        .token = is_set(token) ? token : NULL,
                                                        .expires_s = CREDENTIAL_NEVER,
                                                        .source = "environment"});
    if (!credentials)
        return error_set(err, ERROR_NO_MEMORY, "no memory for credentials");
    *ret_credentials = credentials;
    return 0;
}

const struct credential_source credential_environment = {"environment", environment_fetch};
