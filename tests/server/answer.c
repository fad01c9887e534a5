/*
 * Filling in answers and handing them to libmicrohttpd; see answer.h.
 *
 * A body without fault goes out from where the object lies (MHD_IoVec), the object being held until
 * libmicrohttpd is done with it. Only faults in the body take the slow way of reader.c.
 */
#include "answer.h"

#include "encode.h"
#include "ops.h"
#include "reader.h"
#include "request.h"
#include "server.h"
#include "store.h"
#include "xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DETAILS_MAX_BYTES 4096

void answer_init(struct answer *answer)
{
    *answer = (struct answer){0};
    buf_init(&answer->text, ANSWER_TEXT_MAX_BYTES);
    buf_init(&answer->details, DETAILS_MAX_BYTES);
}

void answer_fini(struct answer *answer)
{
    headers_fini(&answer->headers);
    buf_fini(&answer->text);
    buf_fini(&answer->details);
    object_unref(answer->object);
    answer->object = NULL;
}

void answer_header(struct request *request, const char *name, const char *value)
{
    headers_add(&request->answer.headers, name, value);
}

void answer_header_u64(struct request *request, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    answer_header(request, name, text);
}

void answer_etag(struct request *request, const char *etag)
{
    char quoted[STORE_ETAG_BYTES + 2];
    snprintf(quoted, sizeof(quoted), "\"%s\"", etag);
    answer_header(request, "ETag", quoted);
}

void answer_empty(struct request *request, unsigned status)
{
    request->answer.status = status;
    request->answer.decided = true;
}

void answer_xml(struct request *request, unsigned status)
{
    answer_header(request, "Content-Type", "application/xml");
    answer_empty(request, status);
}

void answer_object(struct request *request, unsigned status, struct object *object, uint64_t start,
                   uint64_t length)
{
    request->answer.object = object_ref(object);
    request->answer.start = start;
    request->answer.length = length;
    answer_empty(request, status);
}

void answer_error_xml(struct request *request, const char *code, const char *message,
                      struct buf *out)
{
    buf_printf(out, "%s<Error><Code>%s</Code><Message>%s</Message>", XML_HEADER, code, message);
    xml_element(out, "Resource", request->path ? request->path : "/");
    if (request->answer.details.length)
        buf_append(out, request->answer.details.data, request->answer.details.length);
    buf_printf(out, "<RequestId>%016llX</RequestId><HostId>s3server</HostId></Error>",
               (unsigned long long)request->id);
}

void answer_error(struct request *request, enum s3_error error)
{
    const struct s3_error_row *row = &S3_ERROR_ROWS[error];
    struct answer *answer = &request->answer;
    object_unref(answer->object);
    answer->object = NULL;
    answer->head_length = false;
    buf_clear(&answer->text);
    headers_remove(&answer->headers, "content-type");
    if (error == S3_NotModified) {
        answer_empty(request, row->status);
        return;
    }
    answer_error_xml(request, row->code, row->message, &answer->text);
    answer_xml(request, row->status);
}

static void free_object(void *context)
{
    object_unref(context);
}

static struct MHD_Response *object_response(struct request *request)
{
    struct answer *answer = &request->answer;
    size_t count = body_pieces(&answer->object->body, answer->start, answer->length, NULL, 0);
    struct iovec fixed[64], *iov = fixed;
    /* libmicrohttpd copies the list into the connection's memory, and aborts if it has no room. */
    if (count * sizeof(*iov) > request->server->config.buffer_bytes / 2)
        return reader_response(request);
    if (count > 64 && !(iov = malloc(count * sizeof(*iov))))
        return NULL;
    body_pieces(&answer->object->body, answer->start, answer->length, iov, count);
    /* struct MHD_IoVec has the layout of struct iovec, which libmicrohttpd itself relies on. */
    _Static_assert(sizeof(struct MHD_IoVec) == sizeof(struct iovec), "same layout");
    struct MHD_Response *response = MHD_create_response_from_iovec(
        (const struct MHD_IoVec *)iov, (unsigned)count, free_object, answer->object);
    if (response)
        answer->object = NULL; /* the reference is the response's now */
    if (iov != fixed)
        free(iov);
    return response;
}

static ssize_t no_bytes(void *context, uint64_t position, char *out, size_t max)
{
    (void)context;
    (void)position;
    (void)out;
    (void)max;
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

static bool fault_in_body(const struct request *request)
{
    switch (request->fault.action) {
    case FAULT_STALL: return request->fault.has_byte && !ops_uploads(request->op);
    case FAULT_RESET:
    case FAULT_TRUNCATE:
    case FAULT_CORRUPT: return !ops_uploads(request->op);
    case FAULT_ENDLESS_BODY: return true;
    default: return false;
    }
}

static bool is_head(const struct request *request)
{
    return !strcmp(request->method, "HEAD");
}

/* Whoever has read an answer without a long body may send the next request before libmicrohttpd
 * says that the answer was sent. */
static bool goes_at_once(const struct request *request)
{
    const struct answer *answer = &request->answer;
    return is_head(request) || (!fault_in_body(request) && !(answer->object && answer->length));
}

static struct MHD_Response *make_response(struct request *request)
{
    struct answer *answer = &request->answer;
    if (is_head(request)) {
        uint64_t length = answer->object ? answer->length : answer->text.length;
        if (!answer->object && answer->status >= 300)
            length = 0;
        return MHD_create_response_from_callback(length, 1024, no_bytes, NULL, NULL);
    }
    if (fault_in_body(request))
        return reader_response(request);
    if (answer->object && answer->length)
        return object_response(request);
    size_t length = answer->text.length;
    char *text = buf_take(&answer->text);
    if (!text)
        return NULL;
    return MHD_create_response_from_buffer(length, text, MHD_RESPMEM_MUST_FREE);
}

/* Faults that change a finished answer rather than the way it is sent. */
static void bend_answer(struct request *request)
{
    struct answer *answer = &request->answer;
    switch (request->fault.action) {
    case FAULT_WRONG_LENGTH:
        if (answer->object && answer->length)
            answer->length--;
        else if (answer->text.length)
            answer->text.length--;
        break;
    case FAULT_NO_ETAG: headers_remove(&answer->headers, "etag"); break;
    case FAULT_BAD_XML: answer->text.length -= answer->text.length / 3; break;
    case FAULT_WRONG_RANGE:
        if (headers_get(&answer->headers, "content-range")) {
            char text[96];
            snprintf(text, sizeof(text), "bytes %llu-%llu/%llu",
                     (unsigned long long)answer->start + 1,
                     (unsigned long long)(answer->start + answer->length),
                     (unsigned long long)answer->object->body.size + 1);
            headers_remove(&answer->headers, "content-range");
            answer_header(request, "Content-Range", text);
        }
        break;
    default: break;
    }
}

static void add_fault_headers(struct request *request, struct MHD_Response *response)
{
    if (request->fault.action == FAULT_MANY_HEADERS) {
        char name[32];
        for (uint64_t i = 0; i < request->fault.amount; i++) {
            snprintf(name, sizeof(name), "x-many-%llu", (unsigned long long)i);
            MHD_add_response_header(response, name, "1");
        }
    } else if (request->fault.action == FAULT_HUGE_HEADER) {
        char *value = malloc(request->fault.amount + 1);
        if (!value)
            return;
        memset(value, 'h', request->fault.amount);
        value[request->fault.amount] = '\0';
        MHD_add_response_header(response, "x-huge", value);
        free(value);
    }
}

static void add_headers(struct request *request, struct MHD_Response *response)
{
    struct answer *answer = &request->answer;
    char date[ENCODE_DATE_BYTES], id[24];
    encode_http_date(server_now(request->server), date);
    snprintf(id, sizeof(id), "%016llX", (unsigned long long)request->id);
    MHD_add_response_header(response, "Server", "s3server");
    MHD_add_response_header(response, "Date", date);
    MHD_add_response_header(response, "x-amz-request-id", id);
    MHD_add_response_header(response, "x-amz-id-2", "s3server");
    const char *value;
    for (const char *name = headers_first(&answer->headers, &value); name;
         name = headers_next(&answer->headers, &value))
        MHD_add_response_header(response, name, value);
    add_fault_headers(request, response);
}

void answer_count(struct request *request, unsigned status)
{
    struct answer *answer = &request->answer;
    if (!request->counted || request->logged)
        return;
    request->logged = true;
    struct stats_record record = {
        .op = ops_number(request->op),
        .op_name = ops_name(request->op),
        .bucket = request->bucket ? request->bucket : "",
        .key = request->key ? request->key : "",
        .range = request->range,
        .status = status,
        .bytes_in = request->intake.wire_bytes,
        .bytes_out = is_head(request) || !status ? 0
                     : answer->object            ? answer->length
                                                 : answer->text.length,
        .connection = request->connection->id,
    };
    stats_count(&request->server->stats, &record);
}

void answer_leave_flight(struct request *request)
{
    if (request->in_flight)
        stats_request_end(&request->server->stats);
    request->in_flight = false;
}

static bool stays_unanswered(const struct fault *fault)
{
    return (fault->action == FAULT_RESET && !fault->has_byte) ||
           fault->action == FAULT_LOSE_ANSWER || fault->action == FAULT_HANG ||
           fault->action == FAULT_HANG_DONE;
}

enum MHD_Result answer_queue(struct request *request)
{
    if (stays_unanswered(&request->fault)) {
        answer_count(request, 0);
        reader_reset(request);
        return MHD_NO;
    }
    bend_answer(request);
    answer_count(request, request->answer.status);
    bool at_once = goes_at_once(request);
    struct MHD_Response *response = make_response(request);
    if (!response)
        return MHD_NO;
    add_headers(request, response);
    if (at_once)
        answer_leave_flight(request);
    enum MHD_Result result = MHD_queue_response(request->mhd, request->answer.status, response);
    MHD_destroy_response(response);
    return result;
}
