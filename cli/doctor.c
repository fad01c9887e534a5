/* s3dlio doctor: is everything as it must be for /s3 to work, and if not, what is to be set.
 *
 * The endpoint is asked through the engine, so that what is tried is what programs will use. Never
 * prints a secret. The engine's own lines on stderr are off: each finding is a line here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/check.h"
#include "cli/cli.h"
#include "cli/program.h"
#include "config/options.h"
#include "engine/s3dlio.h"

#define URI_DEFAULT       "s3://"
#define CLOCK_WARN_MS     60000
#define CLOCK_FAIL_MS     900000 /* S3 refuses requests from then on */
#define EXPLANATION_BYTES (2 * PATH_MAX + 512)

struct doctor_arguments {
    char uri[2048];
    bool has_uri;
    const char *program;
};

static void report_problem(void *arg, const char *message)
{
    (void)arg;
    check_line(CHECK_WARN, "configuration", "see s3dlio config", "%s", message);
}

static void check_configuration(const struct options *options)
{
    unsigned counts[ORIGIN_ENVIRONMENT + 1] = {0};
    const char *profile = option_text(options, PROFILE);

    for (unsigned id = 0; id < OPTION_COUNT; id++)
        counts[options->values[id].origin]++;
    check_line(CHECK_OK, "configuration", NULL,
               "%s%s, %u options from the environment, %u from files",
               profile ? "profile " : "no profile", profile ? profile : "",
               counts[ORIGIN_ENVIRONMENT], counts[ORIGIN_FILE]);
}

static void check_program(const char *name)
{
    char explanation[EXPLANATION_BYTES];
    struct program program;

    program_inspect(name, &program);
    program_explain(&program, explanation, sizeof explanation);
    check_line(program.verdict == PROGRAM_OK ? CHECK_OK : CHECK_FAIL, "program",
               program_advice(&program), "%s", explanation);
}

/* ---- the endpoint ---------------------------------------------------------------------------- */

static void check_clock(const struct s3dlio_probe *probe, const char *class_name)
{
    long long offset_ms = probe->clock_offset_ms;
    long long distance_ms = offset_ms < 0 ? -offset_ms : offset_ms;
    bool refused = strcmp(class_name, "clock") == 0;

    if (!probe->reachable)
        return;
    if (refused || distance_ms >= CLOCK_FAIL_MS)
        check_line(CHECK_FAIL, "clock", "set this machine's clock (timedatectl set-ntp true)",
                   "%lld s %s the server's", distance_ms / 1000,
                   offset_ms < 0 ? "ahead of" : "behind");
    else
        check_line(distance_ms >= CLOCK_WARN_MS ? CHECK_WARN : CHECK_OK, "clock",
                   distance_ms >= CLOCK_WARN_MS ? "set this machine's clock" : NULL,
                   "%.1f s from the server's", (double)distance_ms / 1000);
}

static void check_tls(const struct s3dlio_probe *probe, const struct options *options)
{
    bool encrypted = strcmp(probe->tls, "none") != 0;

    if (!*probe->tls)
        return;
    if (encrypted && !option_int(options, TLS_VERIFY))
        check_line(CHECK_WARN, "TLS", "set S3DLIO_TLS_VERIFY=1 and AWS_CA_BUNDLE",
                   "%s, the server's certificate is not checked", probe->tls);
    else
        check_line(CHECK_OK, "TLS", NULL, "%s",
                   encrypted ? probe->tls : "none: requests travel unencrypted");
}

static void check_endpoint(const struct s3dlio_probe *probe, const struct s3dlio_error *error,
                           int result)
{
    const char *endpoint = *probe->endpoint ? probe->endpoint : "the endpoint";
    const char *region = *probe->region ? probe->region : "not known";

    if (probe->reachable)
        check_line(CHECK_OK, "endpoint", NULL, "%s answers in %.1f ms, region %s", endpoint,
                   (double)probe->round_trip_us / 1000, region);
    else
        check_line(CHECK_FAIL, "endpoint", NULL, "%s, region %s: %s", endpoint, region,
                   result < 0 && *error->message ? error->message : "no answer");
}

static void check_credentials(const struct s3dlio_probe *probe, const struct s3dlio_error *error,
                              int result)
{
    const char *source = *probe->credential_source ? probe->credential_source : "none found";

    if (!probe->reachable)
        check_line(CHECK_WARN, "credentials", NULL, "not tried");
    else if (probe->authorized)
        check_line(CHECK_OK, "credentials", NULL, "%s, accepted", source);
    else
        check_line(CHECK_FAIL, "credentials", NULL, "%s: %s", source,
                   result < 0 && *error->message ? error->message : "refused");
}

/* May the names below the URI be listed? For the list of buckets a refusal is common. */
static void check_listing(const struct doctor_arguments *arguments)
{
    struct s3dlio_error error = {0};
    struct s3dlio_entry entry = {0};
    struct s3dlio_list *list = NULL;
    int rc = s3dlio_list_open(arguments->uri, 0, NULL, &list, &error);

    if (rc == 0)
        rc = s3dlio_list_next(list, &entry, &error);
    if (rc < 0)
        check_line(arguments->has_uri ? CHECK_FAIL : CHECK_WARN, "listing",
                   arguments->has_uri ? NULL : "name a bucket: --uri s3://bucket", "%s: %s",
                   arguments->uri, *error.message ? error.message : strerror(-rc));
    else
        check_line(CHECK_OK, "listing", NULL, "%s %s%s", arguments->uri,
                   rc ? "can be listed, first name: " : "can be listed, and is empty",
                   rc ? entry.name : "");
    s3dlio_list_close(list);
}

static void check_store(const struct doctor_arguments *arguments, const struct options *options)
{
    struct s3dlio_probe probe = {0};
    struct s3dlio_error error = {0};
    int result = s3dlio_probe(arguments->uri, &probe, &error);

    if (!*probe.endpoint && option_text(options, ENDPOINT_URL))
        options_format(options, OPTION_ID_ENDPOINT_URL, probe.endpoint, sizeof probe.endpoint);
    if (result < 0 && error.http_status)
        probe.reachable = true; /* it answered, if only to refuse */
    check_endpoint(&probe, &error, result);
    check_tls(&probe, options);
    check_clock(&probe, error.class_name);
    check_credentials(&probe, &error, result);
    if (probe.reachable && probe.authorized)
        check_listing(arguments);
}

/* ---- the command ----------------------------------------------------------------------------- */

/* A URI, or a path below /s3 as programs write it. */
static int set_uri(struct doctor_arguments *arguments, const char *uri)
{
    int n;

    if (!uri || !*uri)
        return cli_usage("doctor: --uri wants a URI, as s3://bucket");
    if (strncmp(uri, "/s3/", 4) == 0)
        n = snprintf(arguments->uri, sizeof arguments->uri, "s3://%s", uri + 4);
    else
        n = snprintf(arguments->uri, sizeof arguments->uri, "%s", uri);
    if (n < 0 || (size_t)n >= sizeof arguments->uri || !strstr(arguments->uri, ":/"))
        return cli_usage("doctor: '%.80s' is no URI", uri);
    arguments->has_uri = true;
    return CLI_OK;
}

static int parse_arguments(char **argv, struct doctor_arguments *ret_arguments)
{
    const char *value;
    int rc = CLI_OK;

    for (int i = 1; argv[i] && rc == CLI_OK; i++) {
        if (cli_option(argv, &i, "--uri", &value))
            rc = set_uri(ret_arguments, value);
        else if (argv[i][0] == '-' && argv[i][1])
            rc = cli_usage("doctor: '%s' is not understood", argv[i]);
        else if (strstr(argv[i], "://"))
            rc = set_uri(ret_arguments, argv[i]);
        else if (ret_arguments->program)
            rc = cli_usage("doctor: one program at a time");
        else
            ret_arguments->program = argv[i];
    }
    return rc;
}

/* A diagnosis should not take minutes: ask once more at most, and leave the talking to us. What the
 * user has set stays. */
static void be_brief(void)
{
    setenv("S3DLIO_LOG", "off", 0);
    setenv("S3DLIO_RETRY_MAX", "1", 0);
    setenv("S3DLIO_FIRST_BYTE_TIMEOUT_MS", "10s", 0);
    setenv("S3DLIO_OPERATION_TIMEOUT_SECS", "20", 0);
}

int doctor_command(int argc, char **argv)
{
    struct doctor_arguments arguments = {.uri = URI_DEFAULT};
    struct s3dlio_error error = {0};
    struct options options;
    int rc = parse_arguments(argv, &arguments);

    (void)argc;
    if (rc != CLI_OK)
        return rc;
    if (arguments.program)
        check_program(arguments.program);
    if (options_load(environ, report_problem, NULL, &options) < 0) {
        cli_say("out of memory");
        return CLI_FAILED;
    }
    check_configuration(&options);
    be_brief();
    if (s3dlio_init(NULL, &error) < 0)
        check_line(CHECK_FAIL, "engine", NULL, "%s", error.message);
    else
        check_store(&arguments, &options);
    check_machine(&options);
    options_fini(&options);
    return check_failures() ? CLI_FAILED : CLI_OK;
}
