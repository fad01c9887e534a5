/* Profiles of ~/.aws/config and ~/.aws/credentials, and the keys in them as a source.
 *
 * The files are read once; whoever changes them starts the program anew, or has the chain renew
 * its credentials, which reads them again. Sources that a profile may name and that are not here
 * yet (a process, a role, single sign-on, a web identity) end the search with a line that says
 * so, rather than with other credentials than those that were meant.
 */
#include "credential/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/options.h"
#include "credential/credential.h"
#include "credential/ini.h"

#define FILE_MAX_BYTES (1 << 20)
#define PATH_BYTES     1024

static const struct profile_key_row {
    const char *name;
    bool unsupported; /* a source of credentials that is not here */
} profile_keys[PROFILE_KEY_COUNT] = {
    [PROFILE_ACCESS_KEY] = {"aws_access_key_id", false},
    [PROFILE_SECRET_KEY] = {"aws_secret_access_key", false},
    [PROFILE_TOKEN] = {"aws_session_token", false},
    [PROFILE_REGION] = {"region", false},
    [PROFILE_ENDPOINT_URL] = {"endpoint_url", false},
    [PROFILE_CREDENTIAL_PROCESS] = {"credential_process", true},
    [PROFILE_ROLE_ARN] = {"role_arn", true},
    [PROFILE_SSO_SESSION] = {"sso_session", true},
    [PROFILE_SSO_START_URL] = {"sso_start_url", true},
    [PROFILE_WEB_IDENTITY] = {"web_identity_token_file", true},
};

static const char *key_name(enum profile_key key)
{
    return profile_keys[key].name;
}

/* ---- reading files -------------------------------------------------------------------------- */

/* The text of a file, NUL-terminated and the caller's; 0 with NULL when there is none. */
static int read_file(const char *path, char **ret_text, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    char *text = NULL;
    ssize_t length = 0, count = 1;

    *ret_text = NULL;
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : error_set(err, ERROR_ACCESS, "%s: %s", path, strerrordesc_np(errno));
    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) { /* /dev/null: nothing */
        close(fd);
        return 0;
    }
    text = malloc(FILE_MAX_BYTES + 1);
    while (text && count > 0 && length < FILE_MAX_BYTES) {
        count = read(fd, text + length, (size_t)(FILE_MAX_BYTES - length));
        length += count > 0 ? count : 0;
    }
    close(fd);
    if (!text)
        return error_set(err, ERROR_NO_MEMORY, "no memory for %s", path);
    if (count != 0) {
        explicit_bzero(text, (size_t)length);
        free(text);
        return error_set(err, ERROR_ACCESS, "%s cannot be read or is larger than 1 MiB", path);
    }
    text[length] = '\0';
    *ret_text = text;
    return 0;
}

/* One file while its lines are looked at. */
struct profile_file {
    struct credential_profile *profile;
    const char *path;
    bool is_config; /* sections are "profile NAME", but for "default" */
    bool out_of_memory;
};

static bool section_is_ours(const struct profile_file *file, const char *section)
{
    static const char prefix[] = "profile";
    const char *name = section;

    if (file->is_config && strncmp(section, prefix, strlen(prefix)) == 0 &&
        (section[strlen(prefix)] == ' ' || section[strlen(prefix)] == '\t')) {
        name += strlen(prefix);
        name += strspn(name, " \t");
    } else if (file->is_config && strcmp(section, "default") != 0) {
        return false;
    }
    return strcmp(name, file->profile->name) == 0;
}

static void take_value(void *arg, const char *section, const char *name, const char *value)
{
    struct profile_file *file = arg;
    struct credential_profile *profile = file->profile;

    if (!section_is_ours(file, section))
        return;
    profile->found = true;
    for (unsigned i = 0; i < PROFILE_KEY_COUNT; i++) {
        if (strcmp(profile_keys[i].name, name) != 0 || profile->values[i] || !value[0])
            continue;
        profile->values[i] = strdup(value);
        file->out_of_memory |= !profile->values[i];
        if (i == PROFILE_ACCESS_KEY) {
            profile->keys_file = strdup(file->path);
            file->out_of_memory |= !profile->keys_file;
        }
    }
}

static int load_file(struct credential_profile *profile, const char *option, const char *name,
                     bool is_config, struct error *err)
{
    struct profile_file file = {profile, option, is_config, false};
    const char *home = secure_getenv("HOME");
    char path[PATH_BYTES];
    char *text;
    int r;

    if (!option || !option[0]) {
        if (!home || snprintf(path, sizeof path, "%s/.aws/%s", home, name) >= (int)sizeof path)
            return 0;
        file.path = path;
    }
    r = read_file(file.path, &text, err);
    if (r < 0 || !text)
        return r;
    r = (int)strlen(text);
    ini_parse(text, take_value, &file);
    explicit_bzero(text, (size_t)r);
    free(text);
    return file.out_of_memory ? error_set(err, ERROR_NO_MEMORY, "no memory for a profile") : 0;
}

int profile_load(const struct options *options, struct credential_profile *ret_profile,
                 struct error *err)
{
    const char *name = option_text(options, AWS_PROFILE);
    bool is_named = name && name[0];
    struct credential_profile profile = {.name = strdup(is_named ? name : "default")};
    int r = profile.name ? 0 : error_set(err, ERROR_NO_MEMORY, "no memory for a profile");

    if (r == 0)
        r = load_file(&profile, option_text(options, AWS_SHARED_CREDENTIALS_FILE), "credentials",
                      false, err);
    if (r == 0)
        r = load_file(&profile, option_text(options, AWS_CONFIG_FILE), "config", true, err);
    if (r == 0 && is_named && !profile.found)
        r = error_set(err, ERROR_ACCESS,
                      "profile %.64s (AWS_PROFILE) is in neither ~/.aws/config nor "
                      "~/.aws/credentials",
                      name);
    if (r < 0)
        profile_fini(&profile);
    else
        *ret_profile = profile;
    return r;
}

void profile_fini(struct credential_profile *profile)
{
    for (unsigned i = 0; i < PROFILE_KEY_COUNT; i++) {
        if (profile->values[i])
            explicit_bzero(profile->values[i], strlen(profile->values[i]));
        free(profile->values[i]);
    }
    free(profile->name);
    free(profile->keys_file);
    *profile = (struct credential_profile){0};
}

/* ---- the source ----------------------------------------------------------------------------- */

static int keys_of(const struct credential_profile *profile, struct credentials **ret_credentials,
                   struct error *err)
{
    char *const *values = profile->values;
    struct credentials *credentials;
    char source[128];

    if (!values[PROFILE_ACCESS_KEY] || !values[PROFILE_SECRET_KEY])
        return error_set(
            err, ERROR_ACCESS, "profile %.64s has no %s", profile->name,
            key_name(values[PROFILE_ACCESS_KEY] ? PROFILE_SECRET_KEY : PROFILE_ACCESS_KEY));
    snprintf(source, sizeof source, "profile %.40s in %.72s", profile->name, profile->keys_file);
    credentials = credentials_new(&(struct credentials){.access_key = values[PROFILE_ACCESS_KEY],
                                                        .secret_key = values[PROFILE_SECRET_KEY],
                                                        .token = values[PROFILE_TOKEN],
                                                        .expires_s = CREDENTIAL_NEVER,
                                                        .source = source});
    if (!credentials)
        return error_set(err, ERROR_NO_MEMORY, "no memory for credentials");
    *ret_credentials = credentials;
    return 0;
}

static int profile_fetch(const struct credential_context *context,
                         struct credentials **ret_credentials, struct error *err)
{
    struct credential_profile profile; /* read anew: keys may have been renewed in the file */
    int r = profile_load(context->options, &profile, err);

    if (r < 0)
        return r;
    if (profile.values[PROFILE_ACCESS_KEY] || profile.values[PROFILE_SECRET_KEY]) {
        r = keys_of(&profile, ret_credentials, err);
    } else {
        r = -ENOENT;
        for (unsigned i = 0; i < PROFILE_KEY_COUNT && r == -ENOENT; i++)
            if (profile_keys[i].unsupported && profile.values[i])
                r = error_set(err, ERROR_ACCESS,
                              "profile %.64s uses %s, which this version does not support; set "
                              "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead",
                              profile.name, profile_keys[i].name);
    }
    profile_fini(&profile);
    return r;
}

const struct credential_source credential_profile_source = {"profile", profile_fetch};
