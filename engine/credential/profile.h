/* A named profile of the shared configuration files, as far as it is understood here.
 * https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html */
#ifndef S3DLIO_CREDENTIAL_PROFILE_H
#define S3DLIO_CREDENTIAL_PROFILE_H

#include <stdbool.h>

#include "base/error.h"

struct options;

enum profile_key {
    PROFILE_ACCESS_KEY,
    PROFILE_SECRET_KEY,
    PROFILE_TOKEN,
    PROFILE_REGION,
    PROFILE_ENDPOINT_URL,
    PROFILE_CREDENTIAL_PROCESS,
    PROFILE_ROLE_ARN,
    PROFILE_SSO_SESSION,
    PROFILE_SSO_START_URL,
    PROFILE_WEB_IDENTITY,
    PROFILE_KEY_COUNT,
};

struct credential_profile {
    char *name;
    char *values[PROFILE_KEY_COUNT]; /* NULL: not given; the credentials file before the other */
    char *keys_file;                 /* where the access key was found */
    bool found;                      /* some file has the section */
};

/* 0, or -errno with *err. Missing files are as empty ones. */
int profile_load(const struct options *options, struct credential_profile *ret_profile,
                 struct error *err);
void profile_fini(struct credential_profile *profile); /* wipes secrets */

#endif
