/* engine/credential: the order of sources, profiles, renewal, and that secrets stay secret. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/options.h"
#include "credential/credential.h"
#include "credential/ini.h"

static char directory[64], config_path[80], keys_path[80];
static char config_variable[160], keys_variable[160];
static struct options options;
static struct credential_chain *chain;

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int setup(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/s3dlio-credential-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(config_path, sizeof config_path, "%s/config", directory);
    snprintf(keys_path, sizeof keys_path, "%s/credentials", directory);
    snprintf(config_variable, sizeof config_variable, "AWS_CONFIG_FILE=%s", config_path);
    snprintf(keys_variable, sizeof keys_variable, "AWS_SHARED_CREDENTIALS_FILE=%s", keys_path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(config_path);
    unlink(keys_path);
    return rmdir(directory);
}

/* Opens the chain; the class of what goes wrong. */
static enum error_class open_chain(const char *a, const char *b, const char *c)
{
    const char *extra[] = {a, b, c};
    char *environment[6] = {config_variable, keys_variable};
    struct error err = {0};
    size_t count = 2;

    for (size_t i = 0; i < 3; i++)
        if (extra[i])
            environment[count++] = (char *)extra[i];
    environment[count] = NULL;
    assert_int_equal(options_load(environment, NULL, NULL, &options), 0);
    if (credential_chain_new(&options, &chain, &err) < 0)
        options_fini(&options);
    return err.class;
}

static void close_chain(void)
{
    credential_chain_free(chain);
    options_fini(&options);
}

static void assert_current(const char *access_key, const char *secret_key, const char *token,
                           const char *source)
{
    struct credentials *credentials;
    struct error err = {0};

    if (credential_chain_get(chain, &credentials, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(credentials->access_key, access_key);
    assert_string_equal(credentials->secret_key, secret_key);
    assert_string_equal(credentials->token ? credentials->token : "", token);
    assert_non_null(strstr(credentials->source, source));
    credentials_unref(credentials);
}

static void environment_comes_first(void **state)
{
    (void)state;
    write_file(keys_path, "[default]\naws_access_key_id=FILE\naws_secret_access_key=S\n");
    assert_int_equal(open_chain("AWS_ACCESS_KEY_ID=ENV", "AWS_SECRET_ACCESS_KEY=SECRET",
                                "AWS_SESSION_TOKEN=TOKEN"),
                     ERROR_NONE);
    assert_current("ENV", "SECRET", "TOKEN", "environment");
    close_chain();
}

static void half_a_pair_is_an_error(void **state)
{
    struct credentials *credentials;
    struct error err = {0};

    (void)state;
    assert_int_equal(open_chain("AWS_SECRET_ACCESS_KEY=HUSHHUSH", NULL, NULL), ERROR_NONE);
    assert_int_equal(credential_chain_get(chain, &credentials, &err), -EACCES);
    assert_non_null(strstr(err.message, "AWS_ACCESS_KEY_ID"));
    assert_null(strstr(err.message, "HUSH"));
    close_chain();
}

static void profiles_of_both_files(void **state)
{
    (void)state;
    write_file(keys_path, "# comment\n[other]\naws_access_key_id = OTHER\n"
                          "aws_secret_access_key=S/+=2\r\n; more\n[default]\n"
                          "aws_access_key_id = DEFAULT\naws_secret_access_key = S1\n");
    write_file(config_path, "[default]\nregion = eu-west-1\ns3 =\n  addressing_style = path\n"
                            "[profile other]\nregion=ap-south-1\nendpoint_url = http://own:9\n"
                            "[other]\nregion=never\n");
    assert_int_equal(open_chain(NULL, NULL, NULL), ERROR_NONE);
    assert_current("DEFAULT", "S1", "", "profile default in /tmp/");
    assert_string_equal(credential_chain_region(chain), "eu-west-1");
    assert_null(credential_chain_endpoint_url(chain));
    close_chain();
    assert_int_equal(open_chain("AWS_PROFILE=other", NULL, NULL), ERROR_NONE);
    assert_current("OTHER", "S/+=2", "", "profile other in");
    assert_string_equal(credential_chain_region(chain), "ap-south-1");
    assert_string_equal(credential_chain_endpoint_url(chain), "http://own:9");
    close_chain();
    assert_int_equal(
        open_chain("AWS_PROFILE=other", "AWS_REGION=us-west-2", "AWS_ENDPOINT_URL=http://option:1"),
        ERROR_NONE);
    assert_string_equal(credential_chain_region(chain), "us-west-2");
    assert_string_equal(credential_chain_endpoint_url(chain), "http://option:1");
    close_chain();
}

static void missing_profile_is_named(void **state)
{
    (void)state;
    write_file(keys_path, "[default]\naws_access_key_id=A\naws_secret_access_key=S\n");
    assert_int_equal(open_chain("AWS_PROFILE=nowhere", NULL, NULL), ERROR_ACCESS);
    assert_int_equal(open_chain(NULL, NULL, NULL), ERROR_NONE);
    assert_string_equal(credential_chain_region(chain), "us-east-1");
    close_chain();
}

static void unsupported_sources_say_so(void **state)
{
    static const char *const keys[] = {"credential_process", "role_arn", "sso_session",
                                       "sso_start_url", "web_identity_token_file"};
    struct credentials *credentials;
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct error err = {0};

        snprintf(text, sizeof text, "[default]\n%s = something\n", keys[i]);
        write_file(config_path, text);
        assert_int_equal(open_chain(NULL, NULL, NULL), ERROR_NONE);
        assert_int_equal(credential_chain_get(chain, &credentials, &err), -EACCES);
        assert_non_null(strstr(err.message, keys[i]));
        close_chain();
    }
}

static void nothing_at_all(void **state)
{
    struct credentials *credentials;
    struct error err = {0};

    (void)state;
    assert_int_equal(open_chain(NULL, NULL, NULL), ERROR_NONE);
    assert_int_equal(credential_chain_get(chain, &credentials, &err), -EACCES);
    assert_non_null(strstr(err.message, "AWS_ACCESS_KEY_ID"));
    close_chain();
    assert_int_equal(open_chain("S3DLIO_ANONYMOUS=1", NULL, NULL), ERROR_NONE);
    assert_current("", "", "", "anonymous");
    close_chain();
}

static void long_tokens_are_kept(void **state)
{
    char token[2000], text[2200];

    (void)state;
    memset(token, 't', sizeof token - 1);
    token[sizeof token - 1] = '\0';
    snprintf(text, sizeof text,
             "[default]\naws_access_key_id=A\naws_secret_access_key=S\naws_session_token = %s\n",
             token);
    write_file(keys_path, text);
    assert_int_equal(open_chain(NULL, NULL, NULL), ERROR_NONE);
    assert_current("A", "S", token, "profile");
    close_chain();
}

static void renewal_reads_the_file_again(void **state)
{
    struct credentials *old, *fresh, *late;
    struct error err = {0};

    (void)state;
    write_file(keys_path, "[default]\naws_access_key_id=OLD\naws_secret_access_key=S\n");
    assert_int_equal(open_chain(NULL, NULL, NULL), ERROR_NONE);
    assert_int_equal(credential_chain_get(chain, &old, NULL), 0);
    assert_int_equal(credential_chain_renew(chain, old, &fresh, &err), -EACCES);
    assert_non_null(strstr(err.message, "no newer"));
    write_file(keys_path, "[default]\naws_access_key_id=NEW\naws_secret_access_key=S\n");
    assert_int_equal(credential_chain_renew(chain, old, &fresh, &err), 0);
    assert_string_equal(fresh->access_key, "NEW");
    unlink(keys_path); /* who comes late with the old ones gets what others have fetched */
    assert_int_equal(credential_chain_renew(chain, old, &late, &err), 0);
    assert_ptr_equal(late, fresh);
    credentials_unref(old);
    credentials_unref(fresh);
    credentials_unref(late);
    close_chain();
}

static void unreadable_files_are_errors(void **state)
{
    (void)state;
    unlink(keys_path);
    assert_int_equal(symlink(keys_path, keys_path), 0);
    assert_int_equal(open_chain(NULL, NULL, NULL), ERROR_ACCESS);
    unlink(keys_path);
}

static void collect(void *arg, const char *section, const char *name, const char *value)
{
    char *seen = arg;

    sprintf(seen + strlen(seen), "%s.%s=%s;", section, name, value);
}

static void syntax(void **state)
{
    char text[] = "stray = 1\n[ a ]\nx=1\n y = indented\nz = a = b # not a comment\n#c=1\n;d=1\n"
                  "no equals\n[open\nlost = 1\n[b]\n\nempty =\n= nameless\n";
    char seen[512] = "";

    (void)state;
    ini_parse(text, collect, seen);
    assert_string_equal(seen, "a.=;a.x=1;a.z=a = b # not a comment;b.=;b.empty=;b.=nameless;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(environment_comes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(half_a_pair_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(profiles_of_both_files, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_profile_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(unsupported_sources_say_so, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_at_all, setup, teardown),
        cmocka_unit_test_setup_teardown(long_tokens_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(renewal_reads_the_file_again, setup, teardown),
        cmocka_unit_test_setup_teardown(unreadable_files_are_errors, setup, teardown),
        cmocka_unit_test(syntax),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
