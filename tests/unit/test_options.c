/* config/options.h: where values come from, what is refused, and how it is said. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/internal.h"
#include "config/options.h"

/* ---- a home of our own, an environment of our own -------------------------------------------- */

static char home[64];
static char home_variable[80];
static bool fake_secure;

/* Stands before the C library's, so that a test can be "set-uid". */
unsigned long getauxval(unsigned long type)
{
    unsigned long (*real)(unsigned long) =
        (unsigned long (*)(unsigned long))dlsym(RTLD_NEXT, "getauxval");

    return type == AT_SECURE && fake_secure ? 1 : real ? real(type) : 0;
}

static int make_home(void **state)
{
    char path[128];

    (void)state;
    strcpy(home, "/tmp/s3dlio-options-XXXXXX");
    if (!mkdtemp(home))
        return -1;
    snprintf(home_variable, sizeof home_variable, "HOME=%s", home);
    snprintf(path, sizeof path, "%s/.config", home);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/.config/s3dlio", home);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/.config/s3dlio/profiles", home);
    return mkdir(path, 0700);
}

static int remove_home(void **state)
{
    char command[128];

    (void)state;
    fake_secure = false;
    snprintf(command, sizeof command, "rm -rf '%s'", home);
    return system(command) == 0 ? 0 : -1;
}

static void write_file(const char *name, const char *text)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", home, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

#define USER_CONFIG ".config/s3dlio/config"

/* ---- loading, with the problems collected ---------------------------------------------------- */

struct loaded {
    struct options options;
    unsigned problems;
    char text[4096]; /* the problems, a line each */
};

static void collect(void *arg, const char *message)
{
    struct loaded *loaded = arg;

    loaded->problems++;
    assert_true(strlen(loaded->text) + strlen(message) + 2 < sizeof loaded->text);
    strcat(loaded->text, message);
    strcat(loaded->text, "\n");
}

static void load_from(struct loaded *loaded, char **environment)
{
    memset(loaded, 0, sizeof *loaded);
    assert_int_equal(options_load(environment, collect, loaded, &loaded->options), 0);
}

/* Loads with HOME and the variables given, up to NULL. */
#define load(loaded, ...) load_from(loaded, (char *[]){home_variable, __VA_ARGS__})

#define assert_no_problem(loaded)    assert_string_equal((loaded)->text, "")
#define assert_problem(loaded, part) assert_non_null(strstr((loaded)->text, part))

/* ---- defaults ------------------------------------------------------------------------------ */

static void defaults_without_any_source(void **state)
{
    struct options options;

    (void)state;
    assert_int_equal(options_load(NULL, NULL, NULL, &options), 0);
    assert_int_equal(option_int(&options, RT_THREADS), 2);
    assert_int_equal(option_int(&options, MAX_HTTP_CONNECTIONS), 400);
    assert_int_equal(option_int(&options, GET_PART_SIZE), 8 << 20);
    assert_int_equal(option_int(&options, GET_INFLIGHT), 0); /* auto */
    assert_int_equal(option_int(&options, GET_THRESHOLD), 32 << 20);
    assert_int_equal(option_int(&options, CONNECT_TIMEOUT_MS), 5000);
    assert_int_equal(option_int(&options, OPERATION_TIMEOUT_SECS), 600);
    assert_int_equal(option_int(&options, NETWORK_SPEED_GBPS), 10000);
    assert_int_equal(option_int(&options, USE_OPTIMIZED_HTTP), 1);
    assert_int_equal(option_int(&options, LOG), 2);
    assert_int_equal(option_int(&options, ADDRESSING), 0);
    assert_null(option_text(&options, ENDPOINT_URL));
    assert_string_equal(option_text(&options, FILE_ROOT), "/");
    for (unsigned id = 0; id < OPTION_COUNT; id++) {
        assert_int_equal(options.values[id].origin, ORIGIN_DEFAULT);
        assert_string_equal(options.values[id].source, "default");
    }
    options_fini(&options);
}

/* ---- precedence ------------------------------------------------------------------------------ */

static void the_environment_beats_the_file_beats_the_profile(void **state)
{
    struct loaded loaded;

    (void)state;
    write_file(USER_CONFIG, "profile = fast-lan\nrt_threads = 5\nget_inflight = 7\n");
    load(&loaded, "S3DLIO_GET_INFLIGHT=9", NULL);
    assert_no_problem(&loaded);
    assert_int_equal(option_int(&loaded.options, GET_INFLIGHT), 9);
    assert_int_equal(loaded.options.values[OPTION_ID_GET_INFLIGHT].origin, ORIGIN_ENVIRONMENT);
    assert_int_equal(option_int(&loaded.options, RT_THREADS), 5);
    assert_int_equal(loaded.options.values[OPTION_ID_RT_THREADS].origin, ORIGIN_FILE);
    assert_non_null(
        strstr(loaded.options.values[OPTION_ID_RT_THREADS].source, "/.config/s3dlio/config:2"));
    assert_int_equal(option_int(&loaded.options, NETWORK_SPEED_GBPS), 100000);
    assert_int_equal(loaded.options.values[OPTION_ID_NETWORK_SPEED_GBPS].origin, ORIGIN_PROFILE);
    assert_int_equal(option_int(&loaded.options, GET_THRESHOLD), 32 << 20);
    options_fini(&loaded.options);
}

static void the_environment_names_the_profile(void **state)
{
    struct loaded loaded;

    (void)state;
    write_file(USER_CONFIG, "profile = fast-lan\n");
    load(&loaded, "S3DLIO_PROFILE=cloud", NULL);
    assert_no_problem(&loaded);
    assert_int_equal(option_int(&loaded.options, RT_THREADS), 16);
    assert_int_equal(option_int(&loaded.options, MAX_HTTP_CONNECTIONS), 200);
    assert_int_equal(option_int(&loaded.options, HTTP_IDLE_TIMEOUT_MS), 2000);
    options_fini(&loaded.options);
}

static void a_named_file_is_the_only_one(void **state)
{
    struct loaded loaded;
    char variable[128];

    (void)state;
    write_file(USER_CONFIG, "rt_threads = 5\nget_inflight = 7\n");
    write_file("other", "rt_threads = 6\n");
    snprintf(variable, sizeof variable, "S3DLIO_CONFIG=%s/other", home);
    load(&loaded, variable, NULL);
    assert_no_problem(&loaded);
    assert_int_equal(option_int(&loaded.options, RT_THREADS), 6);
    assert_int_equal(option_int(&loaded.options, GET_INFLIGHT), 0);
    options_fini(&loaded.options);
    load(&loaded, "S3DLIO_CONFIG=/dev/null", NULL);
    assert_no_problem(&loaded);
    assert_int_equal(option_int(&loaded.options, RT_THREADS), 2);
    options_fini(&loaded.options);
}

static void xdg_config_home_counts(void **state)
{
    struct loaded loaded;
    char variable[128], path[128];

    (void)state;
    snprintf(path, sizeof path, "%s/s3dlio", home);
    mkdir(path, 0700);
    write_file("s3dlio/config", "rt_threads = 11\n");
    write_file(USER_CONFIG, "rt_threads = 5\n");
    snprintf(variable, sizeof variable, "XDG_CONFIG_HOME=%s", home);
    load(&loaded, variable, NULL);
    assert_int_equal(option_int(&loaded.options, RT_THREADS), 11);
    options_fini(&loaded.options);
    load(&loaded, "XDG_CONFIG_HOME=relative", NULL);
    assert_int_equal(option_int(&loaded.options, RT_THREADS), 5);
    options_fini(&loaded.options);
}

static void a_set_uid_process_reads_no_file(void **state)
{
    struct loaded loaded;
    char variable[128];

    (void)state;
    write_file(USER_CONFIG, "rt_threads = 5\n");
    write_file(".config/s3dlio/profiles/mine.conf", "rt_threads = 6\n");
    snprintf(variable, sizeof variable, "S3DLIO_CONFIG=%s/" USER_CONFIG, home);
    fake_secure = true;
    load(&loaded, variable, "S3DLIO_PROFILE=mine", "S3DLIO_GET_INFLIGHT=3", NULL);
    assert_int_equal(option_int(&loaded.options, RT_THREADS), 2);
    assert_int_equal(option_int(&loaded.options, GET_INFLIGHT), 3);
    assert_problem(&loaded, "no profile 'mine'");
    options_fini(&loaded.options);
    load(&loaded, NULL);
    assert_int_equal(option_int(&loaded.options, RT_THREADS), 2);
    options_fini(&loaded.options);
}

/* ---- aliases --------------------------------------------------------------------------------- */

static void the_own_name_wins_and_a_conflict_is_said(void **state)
{
    struct loaded loaded;

    (void)state;
    load(&loaded, "S3DLIO_MAX_HTTP_CONNECTIONS=9", "S3DLIO_HTTP_MAX_CONNS=7", NULL);
    assert_int_equal(option_int(&loaded.options, MAX_HTTP_CONNECTIONS), 9);
    assert_int_equal(loaded.problems, 1);
    assert_problem(&loaded, "S3DLIO_HTTP_MAX_CONNS");
    assert_problem(&loaded, "S3DLIO_MAX_HTTP_CONNECTIONS counts");
    options_fini(&loaded.options);
    load(&loaded, "S3DLIO_HTTP_MAX_CONNS=7", "S3DLIO_MAX_HTTP_CONNECTIONS=9", NULL);
    assert_int_equal(option_int(&loaded.options, MAX_HTTP_CONNECTIONS), 9);
    assert_int_equal(loaded.problems, 1);
    options_fini(&loaded.options);
    load(&loaded, "S3DLIO_HTTP_MAX_CONNS=7", "S3DLIO_MAX_HTTP_CONNECTIONS=7", NULL);
    assert_no_problem(&loaded);
    options_fini(&loaded.options);
}

static void a_bad_value_leaves_the_alias_to_count(void **state)
{
    struct loaded loaded;

    (void)state;
    load(&loaded, "S3DLIO_MAX_HTTP_CONNECTIONS=many", "S3DLIO_HTTP_MAX_CONNS=7", NULL);
    assert_int_equal(option_int(&loaded.options, MAX_HTTP_CONNECTIONS), 7);
    assert_int_equal(loaded.problems, 1);
    options_fini(&loaded.options);
}

static void values_that_do_not_go_together_are_said(void **state)
{
    struct loaded loaded;

    (void)state;
    load(&loaded, "S3DLIO_PUT_PART_SIZE=64M", "S3DLIO_MEMORY_BUDGET=16M", NULL);
    assert_int_equal(loaded.problems, 1);
    assert_problem(&loaded, "S3DLIO_PUT_PART_SIZE=64M is more than S3DLIO_MEMORY_BUDGET=16M: ");
    options_fini(&loaded.options);
    load(&loaded, "S3DLIO_GET_INFLIGHT=64", "S3DLIO_PUT_INFLIGHT=65",
         "S3DLIO_MAX_HTTP_CONNECTIONS=2", "S3DLIO_GET_PART_SIZE=8M", "S3DLIO_MEMORY_BUDGET=1M",
         "S3DLIO_MIN_PART_SIZE=6M", "S3DLIO_PUT_PART_SIZE=5M", NULL);
    assert_int_equal(loaded.problems, 5);
    options_fini(&loaded.options);
    /* One of them is the default, or says that the engine chooses, or they are equal. */
    load(&loaded, "S3DLIO_MEMORY_BUDGET=1M", NULL);
    assert_no_problem(&loaded);
    options_fini(&loaded.options);
    load(&loaded, "S3DLIO_PUT_PART_SIZE=64M", "S3DLIO_MEMORY_BUDGET=0",
         "S3DLIO_GET_INFLIGHT=auto", "S3DLIO_PUT_INFLIGHT=2", "S3DLIO_MAX_HTTP_CONNECTIONS=2", NULL);
    assert_no_problem(&loaded);
    options_fini(&loaded.options);
}

static void other_tools_names_go_together(void **state)
{
    struct loaded loaded;

    (void)state;
    load(&loaded, "AWS_DEFAULT_REGION=b", "AWS_REGION=a", "AWS_ENDPOINT_URL=http://all",
         "AWS_ENDPOINT_URL_S3=http://s3", NULL);
    assert_no_problem(&loaded);
    assert_string_equal(option_text(&loaded.options, REGION), "a");
    assert_string_equal(loaded.options.values[OPTION_ID_REGION].source, "AWS_REGION");
    assert_string_equal(option_text(&loaded.options, ENDPOINT_URL), "http://s3");
    options_fini(&loaded.options);
    load(&loaded, "S3DLIO_REGION=own", "AWS_REGION=a", NULL);
    assert_no_problem(&loaded);
    assert_string_equal(option_text(&loaded.options, REGION), "own");
    options_fini(&loaded.options);
}

static void an_empty_value_is_none(void **state)
{
    struct loaded loaded;

    (void)state;
    write_file(USER_CONFIG, "region = from-file\nrt_threads = 3\n");
    load(&loaded, "S3DLIO_REGION=", "AWS_REGION=", "S3DLIO_RT_THREADS=", NULL);
    assert_no_problem(&loaded);
    assert_string_equal(option_text(&loaded.options, REGION), "from-file");
    assert_int_equal(option_int(&loaded.options, RT_THREADS), 3);
    options_fini(&loaded.options);
}

/* ---- what is wrong, and how it is said ------------------------------------------------------- */

static void a_bad_value_names_the_range_and_the_next_source_counts(void **state)
{
    struct loaded loaded;

    (void)state;
    write_file(USER_CONFIG, "get_part_size = 4M\n");
    load(&loaded, "S3DLIO_GET_PART_SIZE=3Q", "S3DLIO_RT_THREADS=0", "S3DLIO_LOG=loud",
         "S3DLIO_GET_INFLIGHT=1025", NULL);
    assert_int_equal(loaded.problems, 4);
    assert_problem(&loaded,
                   "S3DLIO_GET_PART_SIZE=3Q cannot be used: expected a size from 64K to 5G");
    assert_problem(&loaded, "S3DLIO_RT_THREADS=0 cannot be used: expected a whole number from 1");
    assert_problem(&loaded, "S3DLIO_GET_INFLIGHT=1025 cannot be used: expected auto, or a whole "
                            "number from 1 to 1024");
    assert_problem(&loaded, "expected one of off error warn info debug trace");
    assert_int_equal(option_int(&loaded.options, GET_PART_SIZE), 4 << 20);
    assert_int_equal(option_int(&loaded.options, GET_INFLIGHT), 0);
    assert_int_equal(option_int(&loaded.options, LOG), 2);
    options_fini(&loaded.options);
}

static void an_unknown_name_brings_the_nearest(void **state)
{
    struct loaded loaded;

    (void)state;
    load(&loaded, "S3DLIO_GET_PARTSIZE=1", "S3DLIO_HTTP_MAX_CONN=1", "S3DLIO_ABCDEFGHIJKL=1",
         "S3DLIO__ARENA=7", "S3DLIO_TEST_X=1", "AWS_SOMETHING=1", "NO_EQUALS_SIGN", "=C:=x", NULL);
    assert_int_equal(loaded.problems, 3);
    assert_problem(&loaded, "S3DLIO_GET_PARTSIZE is no option: did you mean S3DLIO_GET_PART_SIZE?");
    assert_problem(&loaded, "did you mean S3DLIO_HTTP_MAX_CONNS?");
    assert_problem(&loaded, "S3DLIO_ABCDEFGHIJKL is no option: see");
    options_fini(&loaded.options);
}

static void very_long_names_and_values_are_harmless(void **state)
{
    struct loaded loaded;
    char variable[5000] = "S3DLIO_";

    (void)state;
    memset(variable + 7, 'A', sizeof variable - 8);
    variable[40] = '=';
    load(&loaded, variable, NULL);
    assert_int_equal(loaded.problems, 1);
    options_fini(&loaded.options);
    variable[40] = 'A';
    variable[4000] = '=';
    load(&loaded, variable, NULL);
    options_fini(&loaded.options);
    memcpy(variable, "S3DLIO_RT_THREADS=", 18);
    variable[4000] = '9';
    load(&loaded, variable, NULL);
    assert_int_equal(loaded.problems, 1);
    assert_int_equal(option_int(&loaded.options, RT_THREADS), 2);
    options_fini(&loaded.options);
}

/* ---- files and profiles ---------------------------------------------------------------------- */

static void the_form_of_a_file(void **state)
{
    struct loaded loaded;

    (void)state;
    write_file(USER_CONFIG, "# comment\n\n"
                            "  S3DLIO_RT_THREADS=3\r\n"
                            "Get-Inflight = 12 # comment\n"
                            "spool_dir = /tmp/a#b c\n"
                            "aws_region = eu\n"
                            "get_part_size = 1M\nget_part_size = 2M\n"
                            "put_inflight = 5"); /* no newline at the end */
    load(&loaded, NULL);
    assert_no_problem(&loaded);
    assert_int_equal(option_int(&loaded.options, RT_THREADS), 3);
    assert_int_equal(option_int(&loaded.options, GET_INFLIGHT), 12);
    assert_string_equal(option_text(&loaded.options, SPOOL_DIR), "/tmp/a#b c");
    assert_string_equal(option_text(&loaded.options, REGION), "eu");
    assert_int_equal(option_int(&loaded.options, GET_PART_SIZE), 2 << 20);
    assert_int_equal(option_int(&loaded.options, PUT_INFLIGHT), 5);
    options_fini(&loaded.options);
}

static void mistakes_in_a_file_name_their_line(void **state)
{
    struct loaded loaded;

    (void)state;
    write_file(USER_CONFIG, "rt_threads\n"
                            "get_inflght = 3\n"
                            "put_inflight = lots\n"
                            "config = /etc/other\n"
                            "= 5\n");
    load(&loaded, NULL);
    assert_int_equal(loaded.problems, 5);
    assert_problem(&loaded, "config:1: 'rt_threads' is not of the form NAME = value");
    assert_problem(&loaded, "config:2: 'get_inflght' is no option: did you mean "
                            "S3DLIO_GET_INFLIGHT?");
    assert_problem(&loaded, "config:3: S3DLIO_PUT_INFLIGHT=lots cannot be used: expected auto, "
                            "or a whole number from 1 to 256");
    assert_problem(&loaded, "config:4: S3DLIO_CONFIG has no effect here");
    options_fini(&loaded.options);
}

static void a_file_that_cannot_be_read_is_said(void **state)
{
    struct loaded loaded;
    char variable[128], fifo[96];

    (void)state;
    load(&loaded, "S3DLIO_CONFIG=/nonexistent/file", NULL);
    assert_problem(&loaded, "S3DLIO_CONFIG=/nonexistent/file cannot be read: No such file");
    options_fini(&loaded.options);
    snprintf(variable, sizeof variable, "S3DLIO_CONFIG=%s", home);
    load(&loaded, variable, NULL);
    assert_problem(&loaded, "Is a directory");
    options_fini(&loaded.options);
    snprintf(fifo, sizeof fifo, "%s/fifo", home);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    snprintf(variable, sizeof variable, "S3DLIO_CONFIG=%s", fifo);
    load(&loaded, variable, NULL); /* does not wait for a writer */
    assert_int_equal(loaded.problems, 1);
    options_fini(&loaded.options);
    load(&loaded, "S3DLIO_CONFIG=/dev/zero", NULL);
    assert_int_equal(loaded.problems, 1);
    options_fini(&loaded.options);
}

static void a_file_too_large_is_refused(void **state)
{
    struct loaded loaded;
    char *text = malloc(FILES_MAX_BYTES + 2);

    (void)state;
    assert_non_null(text);
    memset(text, '\n', FILES_MAX_BYTES + 1);
    text[FILES_MAX_BYTES + 1] = '\0';
    write_file(USER_CONFIG, text);
    load(&loaded, NULL);
    assert_problem(&loaded, "File too large");
    options_fini(&loaded.options);
    free(text);
}

static void a_profile_that_does_not_exist_is_reported_with_those_that_do(void **state)
{
    struct loaded loaded;

    (void)state;
    write_file(".config/s3dlio/profiles/mine.conf", "rt_threads = 9\n");
    load(&loaded, "S3DLIO_PROFILE=fastlan", NULL);
    assert_int_equal(loaded.problems, 1);
    assert_problem(&loaded, "S3DLIO_PROFILE: no profile 'fastlan', did you mean fast-lan?");
    assert_problem(&loaded, "cloud, fast-lan, legacy-tools, low-memory, training, mine");
    assert_int_equal(option_int(&loaded.options, RT_THREADS), 2);
    options_fini(&loaded.options);
    load(&loaded, "S3DLIO_PROFILE=../../config", NULL);
    assert_problem(&loaded, "no profile '../../config'; there are:");
    options_fini(&loaded.options);
}

static void a_profile_of_ones_own_comes_first(void **state)
{
    struct loaded loaded;

    (void)state;
    write_file(".config/s3dlio/profiles/mine.conf", "rt_threads = 9\nprofile = cloud\n");
    write_file(".config/s3dlio/profiles/cloud.conf", "rt_threads = 8\n");
    load(&loaded, "S3DLIO_PROFILE=mine", NULL);
    assert_int_equal(option_int(&loaded.options, RT_THREADS), 9);
    assert_int_equal(loaded.problems, 1);
    assert_problem(&loaded, "mine.conf:2: S3DLIO_PROFILE has no effect here");
    options_fini(&loaded.options);
    load(&loaded, "S3DLIO_PROFILE=cloud", NULL);
    assert_no_problem(&loaded);
    assert_int_equal(option_int(&loaded.options, RT_THREADS), 8);
    assert_int_equal(option_int(&loaded.options, MAX_HTTP_CONNECTIONS), 400);
    options_fini(&loaded.options);
}

static void every_built_in_profile_is_sound(void **state)
{
    static const char *const names[] = {"fast-lan", "cloud", "training", "low-memory",
                                        "legacy-tools"};
    char variable[64];
    struct loaded loaded;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(variable, sizeof variable, "S3DLIO_PROFILE=%s", names[i]);
        load(&loaded, variable, NULL);
        assert_no_problem(&loaded);
        options_fini(&loaded.options);
    }
    load(&loaded, "S3DLIO_PROFILE=fast-lan", NULL);
    assert_int_equal(option_int(&loaded.options, RT_THREADS), 32);
    assert_int_equal(option_int(&loaded.options, MAX_HTTP_CONNECTIONS), 400);
    assert_int_equal(option_int(&loaded.options, HTTP_IDLE_TIMEOUT_MS), 1500);
    assert_int_equal(option_int(&loaded.options, OPERATION_TIMEOUT_SECS), 300);
    assert_int_equal(option_int(&loaded.options, NETWORK_SPEED_GBPS), 100000);
    assert_int_equal(option_int(&loaded.options, LOADER_NUM_WORKERS), 16);
    assert_int_equal(option_int(&loaded.options, LOADER_PREFETCH), 4);
    options_fini(&loaded.options);
}

/* ---- printing -------------------------------------------------------------------------------- */

static void the_table_shows_origins_and_hides_secrets(void **state)
{
    struct loaded loaded;
    char *text = NULL;
    size_t size = 0;
    FILE *out;

    (void)state;
    load(&loaded, "AWS_SECRET_ACCESS_KEY=sesame", "AWS_SESSION_TOKEN=sesame", "AWS_REGION=eu",
         "S3DLIO_PROXY=http://user:sesame@proxy:3128/", "S3DLIO_PROFILE=cloud", NULL);
    out = open_memstream(&text, &size);
    assert_non_null(out);
    options_print(&loaded.options, out);
    assert_int_equal(fclose(out), 0);
    assert_null(strstr(text, "sesame"));
    assert_non_null(strstr(text, "http://***@proxy:3128/"));
    assert_non_null(strstr(text, "environment AWS_REGION\n"));
    assert_non_null(strstr(text, "profile cloud:2\n"));
    for (unsigned id = 0; id < OPTION_COUNT; id++)
        assert_non_null(strstr(text, options_info((enum option_id)id)->name));
    free(text);
    options_fini(&loaded.options);
}

static void the_environment_may_change_afterwards(void **state)
{
    char variable[] = "AWS_REGION=first";
    struct loaded loaded;

    (void)state;
    load(&loaded, variable, NULL);
    strcpy(variable, "AWS_REGION=XXXXX");
    assert_string_equal(option_text(&loaded.options, REGION), "first");
    options_fini(&loaded.options);
}

#define HOME_TEST(test) cmocka_unit_test_setup_teardown(test, make_home, remove_home)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_without_any_source),
        HOME_TEST(the_environment_beats_the_file_beats_the_profile),
        HOME_TEST(the_environment_names_the_profile),
        HOME_TEST(a_named_file_is_the_only_one),
        HOME_TEST(xdg_config_home_counts),
        HOME_TEST(a_set_uid_process_reads_no_file),
        HOME_TEST(the_own_name_wins_and_a_conflict_is_said),
        HOME_TEST(a_bad_value_leaves_the_alias_to_count),
        HOME_TEST(values_that_do_not_go_together_are_said),
        HOME_TEST(other_tools_names_go_together),
        HOME_TEST(an_empty_value_is_none),
        HOME_TEST(a_bad_value_names_the_range_and_the_next_source_counts),
        HOME_TEST(an_unknown_name_brings_the_nearest),
        HOME_TEST(very_long_names_and_values_are_harmless),
        HOME_TEST(the_form_of_a_file),
        HOME_TEST(mistakes_in_a_file_name_their_line),
        HOME_TEST(a_file_that_cannot_be_read_is_said),
        HOME_TEST(a_file_too_large_is_refused),
        HOME_TEST(a_profile_that_does_not_exist_is_reported_with_those_that_do),
        HOME_TEST(a_profile_of_ones_own_comes_first),
        HOME_TEST(every_built_in_profile_is_sound),
        HOME_TEST(the_table_shows_origins_and_hides_secrets),
        HOME_TEST(the_environment_may_change_afterwards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
