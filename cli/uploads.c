/* s3dlio uploads: multipart uploads that nobody has completed; listing and aborting them.
 *
 * Somebody may be at work on an upload that is listed. So abort takes only those that are older
 * than the age given, a week by default. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "engine/s3dlio.h"

#define DEFAULT_AGE_S (7LL * 86400)

/* "90", "90s", "15m", "12h", "7d" in seconds; -1 for anything else. */
static long long parse_age(const char *text)
{
    static const struct {
        const char *unit;
        long long seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    char *end;
    long long value;

    if (!text || *text < '0' || *text > '9')
        return -1;
    value = strtoll(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(end, units[i].unit) == 0 && value < 1000000000)
            return value * units[i].seconds;
    return -1;
}

static void print_line(const struct s3dlio_upload *upload)
{
    struct tm tm;
    char time[32] = "-";

    if (gmtime_r(&upload->begun.tv_sec, &tm))
        strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%SZ", &tm);
    printf("%s  %s  %s\n", time, upload->upload_id, upload->uri);
}

static bool is_older(const struct s3dlio_upload *upload, long long age_s)
{
    return time(NULL) - upload->begun.tv_sec >= age_s;
}

/* 0 or the exit status of a failure. One that has ended meanwhile is none. */
static int abort_one(const struct s3dlio_upload *upload)
{
    struct s3dlio_error error = {0};
    int r = s3dlio_uploads_abort(upload->uri, upload->upload_id, NULL, &error);

    if (r < 0 && error.errnum != ENOENT) {
        cli_say("%s", error.message);
        return CLI_FAILED;
    }
    if (r == 0)
        print_line(upload);
    return CLI_OK;
}

static int each_upload(const char *uri, bool aborts, long long age_s)
{
    struct s3dlio_error error = {0};
    struct s3dlio_upload *uploads;
    int status = CLI_OK;
    size_t count;

    if (s3dlio_uploads_list(uri, NULL, &uploads, &count, &error) < 0) {
        cli_say("%s", error.message);
        return CLI_FAILED;
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_older(&uploads[i], age_s))
            continue;
        if (!aborts)
            print_line(&uploads[i]);
        else if (abort_one(&uploads[i]) != CLI_OK)
            status = CLI_FAILED;
    }
    s3dlio_free(uploads);
    return status;
}

/* /s3/bucket/key is what programs call it. */
static const char *uri_of(const char *name, char *buffer, size_t size)
{
    if (strncmp(name, "/s3/", 4) != 0)
        return name;
    snprintf(buffer, size, "s3://%s", name + 4);
    return buffer;
}

int uploads_command(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : NULL, *name = NULL, *value;
    bool aborts = verb && strcmp(verb, "abort") == 0;
    long long age_s = aborts ? DEFAULT_AGE_S : 0;
    char buffer[1400];

    if (!verb || (!aborts && strcmp(verb, "list") != 0))
        return cli_usage("uploads: say list or abort");
    for (int at = 2; at < argc; at++) {
        if (cli_option(argv, &at, "--older-than", &value)) {
            age_s = parse_age(value);
            if (age_s < 0)
                return cli_usage("uploads: --older-than takes an age as 90s, 15m, 12h or 7d");
        } else if (argv[at][0] == '-') {
            return cli_usage("uploads: '%s' is no option", argv[at]);
        } else if (name) {
            return cli_usage("uploads: one URI at a time");
        } else {
            name = argv[at];
        }
    }
    if (!name)
        return cli_usage("uploads: a URI is missing, as s3://bucket/folder");
    return each_upload(uri_of(name, buffer, sizeof buffer), aborts, age_s);
}
