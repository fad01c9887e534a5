/*
 * The life of a request; see serve.h.
 *
 *   NEW      headers are there: target, route, fault, throttle, signature, the operation's begin
 *   BODY     the body arrives, paced if uploads are; an answer already decided is kept until all
 *            of a small body is there, and sent at once (closing the connection) before a large one
 *   WAITING  all is there: the first byte is due after the network's delay, then the operation runs
 *
 * libmicrohttpd calls on_request from one polling thread at a time for a connection; between calls
 * the connection may be suspended in the timer.
 */
#include "serve.h"

#include "admin.h"
#include "auth.h"
#include "encode.h"
#include "ops.h"
#include "reader.h"
#include "request.h"
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define DRAIN_MAX_BYTES  (1u << 20) /* larger bodies are not received once the answer is an error */
#define CONNECTION_LIMIT 4096u
#define STALL_MS         (3600u * 1000u)
#define NS_PER_MS        UINT64_C(1000000)

static void *on_uri(void *context, const char *uri, struct MHD_Connection *mhd)
{
    (void)mhd;
    return request_new(context, uri);
}

static uint64_t content_length(struct request *request)
{
    uint64_t length = 0;
    const char *text = request_header(request, "Content-Length");
    if (text)
        encode_parse_u64(text, &length);
    return length;
}

static const char *header_of(void *arg, const char *name)
{
    return request_header(arg, name);
}

/* The fault a rule, or else a flaky network, has for this request. */
static void choose_fault(struct request *request)
{
    struct server *server = request->server;
    const struct network *network = &server->config.network;
    const struct fault_subject subject = {ops_name(request->op), request->bucket, request->key,
                                          header_of, request};
    request->fault = faults_match(&server->faults, &server->pace, &subject);
    struct fault *fault = &request->fault;
    if (fault->action == FAULT_NONE && network->reset_percent > 0 &&
        pace_random(&server->pace) * 100 < network->reset_percent)
        *fault = (struct fault){FAULT_RESET, true, true, 0, 0, -1, ""};
    if (fault->action == FAULT_NONE && network->stall_percent > 0 &&
        pace_random(&server->pace) * 100 < network->stall_percent)
        *fault = (struct fault){FAULT_STALL, true, true, 0, STALL_MS, -1, ""};
    if (fault->random_byte && ops_uploads(request->op)) {
        fault->byte = (uint64_t)(pace_random(&server->pace) * (double)content_length(request));
        fault->random_byte = false;
    }
}

static const char *default_code(uint64_t status)
{
    switch (status) {
    case 403: return "AccessDenied";
    case 404: return "NoSuchKey";
    case 429:
    case 503: return "SlowDown";
    case 500: return "InternalError";
    default: return "InjectedError";
    }
}

/* Faults that are the answer. True when the request is answered by them. */
static bool fault_answers(struct request *request)
{
    const struct fault *fault = &request->fault;
    switch (fault->action) {
    case FAULT_STATUS:
        answer_error_xml(request, *fault->text ? fault->text : default_code(fault->amount),
                         "Injected on request.", &request->answer.text);
        if (fault->retry_after_s >= 0)
            answer_header_u64(request, "Retry-After", (uint64_t)fault->retry_after_s);
        answer_xml(request, (unsigned)fault->amount);
        return true;
    case FAULT_REDIRECT:
        answer_header(request, "x-amz-bucket-region", fault->text);
        buf_printf(&request->answer.details, "<Region>%s</Region>", fault->text);
        answer_error(request, S3_PermanentRedirect);
        return true;
    case FAULT_EXPIRE_TOKEN: answer_error(request, S3_ExpiredToken); return true;
    default: return false;
    }
}

static enum s3_error authorise(struct request *request)
{
    const struct network *network = &request->server->config.network;
    if (network->max_in_flight &&
        atomic_load(&request->server->stats.in_flight) > network->max_in_flight)
        return S3_SlowDown;
    enum s3_error error = auth_check(request);
    if (!error && request->readonly && request->op->writes)
        error = S3_AccessDenied;
    return error;
}

static enum s3_error begin_operation(struct request *request)
{
    const struct op *op = request->op;
    if (op->begin)
        return op->begin(request);
    return intake_begin(request, op->intake, CHECKSUM_NONE, false);
}

static void begin(struct request *request)
{
    enum s3_error error = request_parse_target(request);
    if (admin_is_target(request->uri)) {
        request->admin = true;
        buf_init(&request->intake.text, INTAKE_TEXT_MAX_BYTES);
        request->intake.kind = INTAKE_TEXT;
        return;
    }
    request->counted = request->in_flight = true;
    request->range = request_header(request, "Range");
    stats_request_begin(&request->server->stats);
    if (!error)
        error = ops_route(request);
    if (!error) {
        choose_fault(request);
        if (fault_answers(request))
            return;
        error = authorise(request);
    }
    if (!error)
        error = begin_operation(request);
    if (error)
        answer_error(request, error);
}

/* The client has gone, and its body is not whole yet: libmicrohttpd, which does not look for more
 * after it has read less than it had room for, misses an end that came with the bytes. It looks when
 * the connection is resumed. */
static void look_again(struct request *request)
{
    if (request->intake.wire_bytes < content_length(request) &&
        timer_peer_closed(request->connection->fd))
        timer_suspend(&request->server->timer, request->mhd, 1);
}

static enum MHD_Result start(struct request *request)
{
    begin(request);
    const struct fault *fault = &request->fault;
    request->stage = STAGE_BODY;
    if (fault->action == FAULT_RESET && !fault->has_byte)
        return answer_queue(request);
    if (request->answer.decided &&
        (content_length(request) > DRAIN_MAX_BYTES || request_header(request, "Expect")))
        return answer_queue(request);
    look_again(request);
    return MHD_YES;
}

static bool stall(struct request *request)
{
    bool for_good = request->fault.action != FAULT_STALL;
    request->stalled = true;
    return timer_suspend_while_open(&request->server->timer, request->mhd, request->connection->fd,
                                    (for_good ? STALL_MS : request->fault.amount) * NS_PER_MS);
}

/* The fault at a byte of an upload; false: the connection is gone. */
static bool fault_in_upload(struct request *request, const char *data, size_t length)
{
    const struct fault *fault = &request->fault;
    uint64_t begin = request->intake.wire_bytes;
    if (!fault->has_byte || !ops_uploads(request->op) || fault->byte < begin ||
        fault->byte >= begin + length)
        return true;
    if (fault->action == FAULT_RESET) {
        reader_reset(request);
        return false;
    }
    if (fault->action == FAULT_CORRUPT) /* libmicrohttpd's buffer, which is writable */
        ((char *)data)[fault->byte - begin] ^= 0x20;
    if (fault->action == FAULT_STALL && !request->stalled)
        stall(request);
    return true;
}

static enum MHD_Result receive(struct request *request, const char *data, size_t *length)
{
    struct server *server = request->server;
    if (!fault_in_upload(request, data, *length))
        return MHD_NO;
    bool was_stalled = request->stalled;
    intake_feed(request, data, *length);
    uint64_t wait_ns = pace_received_ns(&server->config.network, request->connection, *length);
    *length = 0;
    if (!was_stalled && !wait_ns)
        look_again(request);
    else if (!was_stalled)
        timer_suspend(&server->timer, request->mhd, wait_ns);
    return MHD_YES;
}

/* How long the answer is held back. */
static uint64_t delay_ns(struct request *request)
{
    uint64_t delay = request->admin ? 0 : pace_first_byte_ns(&request->server->pace);
    if (request->fault.action == FAULT_DELAY)
        delay += request->fault.amount * NS_PER_MS;
    return delay;
}

/* Is the request one that waits here, before or after its operation has run? */
static bool stalls(const struct request *request, bool has_run)
{
    const struct fault *fault = &request->fault;
    if (request->stalled)
        return false;
    if (has_run)
        return fault->action == FAULT_HANG_DONE;
    return fault->action == FAULT_HANG || (fault->action == FAULT_STALL && !fault->has_byte);
}

/* Did the client leave while its upload stalled? Then not all of the body has come, as far as we know. */
static bool left_in_upload(const struct request *request)
{
    return request->stalled && request->fault.has_byte && ops_uploads(request->op) &&
           timer_peer_closed(request->connection->fd);
}

static enum MHD_Result finish(struct request *request)
{
    enum s3_error error = S3_OK;
    if (stalls(request, false) && stall(request))
        return MHD_YES;
    if (request->admin) {
        admin_run(request);
        return answer_queue(request);
    }
    if (request->fault.action == FAULT_HANG || left_in_upload(request))
        return answer_queue(request);
    if (!request->answer.decided) {
        error = intake_end(request);
        if (!error)
            error = request->op->run(request);
        if (error)
            answer_error(request, error);
    }
    if (stalls(request, true) && stall(request))
        return MHD_YES;
    return answer_queue(request);
}

/* NOLINTNEXTLINE(readability-function-size): libmicrohttpd says what its handlers take */
static enum MHD_Result on_request(void *context, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *length, void **state)
{
    struct request *request = *state;
    (void)context;
    (void)url;
    (void)version;
    if (!request)
        return MHD_NO;
    if (request->stage == STAGE_NEW) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        request->mhd = mhd;
        request->method = method;
        request->connection = info->socket_context;
        return request->connection ? start(request) : MHD_NO;
    }
    if (request->stage == STAGE_BODY && *length)
        return receive(request, data, length);
    if (request->stage == STAGE_BODY) {
        uint64_t delay = delay_ns(request);
        request->stage = STAGE_WAITING;
        if (delay && timer_suspend(&request->server->timer, mhd, delay))
            return MHD_YES;
    }
    return finish(request);
}

static void on_completed(void *context, struct MHD_Connection *mhd, void **state,
                         enum MHD_RequestTerminationCode why)
{
    struct request *request = *state;
    (void)context;
    (void)mhd;
    (void)why;
    if (request && request->counted) {
        answer_count(request, 0); /* unless it was answered: the client, or a fault, left */
        answer_leave_flight(request);
    }
    request_free(request);
    *state = NULL;
}

static void on_connection(void *context, struct MHD_Connection *mhd, void **state,
                          enum MHD_ConnectionNotificationCode what)
{
    struct server *server = context;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*state)
            atomic_fetch_sub(&server->stats.connections_open, 1);
        free(*state);
        *state = NULL;
        return;
    }
    struct connection *connection = calloc(1, sizeof(*connection));
    if (!connection)
        return;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    connection->fd = info->connect_fd;
    connection->id = atomic_fetch_add(&server->next_connection, 1);
    atomic_fetch_add(&server->stats.connections_accepted, 1);
    atomic_fetch_add(&server->stats.connections_open, 1);
    pace_socket(&server->config.network, connection->fd);
    *state = connection;
}

/* libmicrohttpd must not decode: signatures cover the bytes as sent. */
static size_t keep_escapes(void *context, struct MHD_Connection *mhd, char *text)
{
    (void)context;
    (void)mhd;
    return strlen(text);
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "re");
    struct buf text;
    char piece[4096];
    size_t length;
    if (!file)
        return NULL;
    buf_init(&text, 1 << 20);
    while ((length = fread(piece, 1, sizeof(piece), file)) > 0)
        buf_append(&text, piece, length);
    fclose(file);
    return buf_take(&text);
}

struct MHD_Daemon *serve_start(struct server *server, int listen_fd)
{
    const struct config *config = &server->config;
    unsigned flags =
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_SUPPRESS_DATE_NO_CLOCK;
    char *cert = NULL, *key = NULL;
    struct MHD_OptionItem tls[3] = {{MHD_OPTION_END, 0, NULL}};
    struct MHD_Daemon *daemon = NULL;
    if (config->tls_cert) {
        cert = read_file(config->tls_cert);
        key = read_file(config->tls_key);
        if (!cert || !key)
            goto out;
        flags |= MHD_USE_TLS;
        tls[0] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, cert};
        tls[1] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, key};
        tls[2] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    }
    daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, listen_fd,
        MHD_OPTION_URI_LOG_CALLBACK, on_uri, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_UNESCAPE_CALLBACK,
        keep_escapes, NULL, MHD_OPTION_THREAD_POOL_SIZE,
        (unsigned)(config->threads > 1 ? config->threads : 0),
        /* The limit is split between the threads, which do not share connections evenly. */
        MHD_OPTION_CONNECTION_LIMIT, CONNECTION_LIMIT * (unsigned)config->threads,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)config->idle_timeout_s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)config->buffer_bytes,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)config->buffer_bytes / 4, MHD_OPTION_ARRAY,
        tls, MHD_OPTION_END);
out:
    free(cert);
    free(key);
    return daemon;
}

void serve_stop(struct server *server, struct MHD_Daemon *daemon)
{
    timer_stop(&server->timer); /* libmicrohttpd must find nothing suspended */
    MHD_stop_daemon(daemon);
}
