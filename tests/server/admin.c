/*
 * Faults, counters, log, clock and reset over HTTP; see admin.h and README.md. One row a command.
 */
#include "admin.h"

#include "request.h"
#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static unsigned get_health(struct request *request)
{
    buf_add(&request->answer.text, "ok\n");
    return 200;
}

static unsigned get_stats(struct request *request)
{
    answer_header(request, "Content-Type", "application/json");
    stats_json(&request->server->stats, &request->answer.text);
    return 200;
}

static unsigned reset_stats(struct request *request)
{
    stats_reset(&request->server->stats);
    return 204;
}

static unsigned get_log(struct request *request)
{
    stats_log(&request->server->stats, &request->answer.text);
    return 200;
}

static unsigned delete_log(struct request *request)
{
    stats_clear_log(&request->server->stats);
    return 204;
}

static unsigned get_faults(struct request *request)
{
    faults_show(&request->server->faults, &request->answer.text);
    return 200;
}

static unsigned add_faults(struct request *request)
{
    const struct buf *text = &request->intake.text;
    bool ok =
        faults_add(&request->server->faults, text->data ? text->data : "", &request->answer.text);
    return ok ? 204 : 400;
}

static unsigned delete_faults(struct request *request)
{
    faults_clear(&request->server->faults);
    return 204;
}

static unsigned reset_all(struct request *request)
{
    struct server *server = request->server;
    store_reset(&server->store);
    faults_clear(&server->faults);
    stats_reset(&server->stats);
    stats_clear_log(&server->stats);
    atomic_store(&server->clock_offset_s, 0);
    return 204;
}

static unsigned put_clock(struct request *request)
{
    const char *text = request_query(request, "offset_s");
    char *end;
    if (!text)
        return 400;
    errno = 0;
    long long offset_s = strtoll(text, &end, 10);
    if (errno || end == text || *end)
        return 400;
    atomic_store(&request->server->clock_offset_s, offset_s);
    return 204;
}

static const struct {
    const char *method, *path;
    unsigned (*run)(struct request *request); /* the status to answer with */
} COMMANDS[] = {
    {"GET", "/-/health", get_health},        {"GET", "/-/stats", get_stats},
    {"POST", "/-/stats/reset", reset_stats}, {"GET", "/-/log", get_log},
    {"DELETE", "/-/log", delete_log},        {"GET", "/-/faults", get_faults},
    {"POST", "/-/faults", add_faults},       {"DELETE", "/-/faults", delete_faults},
    {"POST", "/-/reset", reset_all},         {"PUT", "/-/clock", put_clock},
    {"GET", "/-/state", admin_state},
};

bool admin_is_target(const char *uri)
{
    return !strncmp(uri, "/-/", 3);
}

void admin_run(struct request *request)
{
    unsigned status = 404;
    if (!request_is_loopback(request)) {
        answer_empty(request, 403);
        return;
    }
    for (size_t i = 0; i < sizeof(COMMANDS) / sizeof(COMMANDS[0]); i++) {
        if (strcmp(COMMANDS[i].path, request->path) || strcmp(COMMANDS[i].method, request->method))
            continue;
        status = COMMANDS[i].run(request);
        break;
    }
    answer_empty(request, status);
}
