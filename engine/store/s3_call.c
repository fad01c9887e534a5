/* One exchange of a call, as the http client sees it.
 *
 * The head decides what the body is: an object's bytes go to the sink, XML (and every error) to
 * the parser, anything else is dropped; each with a limit, so that no answer is endless. An
 * error's body that is too long or broken leaves the status to judge by.
 *
 * A callback of the owner may abandon the request. Then nothing of it is touched again, and the
 * call goes on alone until the http client lets go of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/s3.h"

#define DROP_MAX ((uint64_t)64 << 10)

static struct s3_call *call_of(struct http_request *http)
{
    return (struct s3_call *)http;
}

static int write_head(struct http_request *http, struct buffer *head, struct error *err)
{
    struct s3_call *call = call_of(http);

    if (!call->abandoned)
        call->request->sent_ns = clock_now_ns();
    return s3_write_head(call, head, err);
}

/* ---- XML ------------------------------------------------------------------------------------ */

static void on_root(void *arg, const char *name)
{
    struct s3_call *call = arg;

    call->error_in_body = strcmp(name, "Error") == 0;
}

static int on_element(void *arg, const char *parent, const char *name, char *text, size_t length)
{
    struct s3_call *call = arg;

    if (call->error_in_body)
        s3_answer_element(&call->answer, parent, name, text);
    else if (call->operation->element && call->answer.status / 100 == 2)
        return call->operation->element(call, parent, name, text, length);
    return 0;
}

static int expect_xml(struct s3_call *call, uint64_t limit, struct error *err)
{
    call->body = S3_BODY_XML;
    call->body_limit = limit;
    call->xml = s3_xml_new(on_root, on_element, call);
    return call->xml ? 0 : error_set(err, ERROR_NO_MEMORY, "no memory for an answer");
}

/* ---- the answer ----------------------------------------------------------------------------- */

static int owner_left(struct error *err)
{
    return error_set(err, ERROR_CANCELLED, "the request was abandoned");
}

static int on_head(struct http_request *http, const struct http_head *head, struct error *err)
{
    struct s3_call *call = call_of(http);
    int r;

    if (!call->abandoned && !call->request->first_byte_ns)
        call->request->first_byte_ns = clock_now_ns();
    s3_answer_head(&call->answer, head);
    if (call->answer.has_date)
        atomic_store(&call->store->clock_offset_ms, call->answer.date_offset_ms);
    if (head->status / 100 != 2)
        return expect_xml(call, S3_ERROR_BODY_MAX, err);
    call->body = S3_BODY_DROP;
    call->body_limit = DROP_MAX;
    r = call->operation->head ? call->operation->head(call, head, err) : 0;
    if (r == 0 && call->operation->element)
        r = expect_xml(call, S3_XML_BODY_MAX, err);
    if (r == 0 && call->body == S3_BODY_SINK && call->request->on_object) {
        call->in_callback = true;
        call->request->on_object(call->request);
        call->in_callback = false;
        if (call->abandoned)
            return owner_left(err);
    }
    return r;
}

static size_t sink_space(struct s3_call *call, void **ret_where)
{
    struct store_sink *sink = call->request->sink;
    uint64_t left = call->body_limit - call->body_received;
    size_t room = 0;

    call->in_callback = true;
    do {
        call->resumed = false;
        room = sink->space(sink, ret_where);
    } while (room == 0 && call->resumed && !call->abandoned);
    call->in_callback = false;
    return room < left ? room : (size_t)left;
}

static size_t body_space(struct http_request *http, void **ret_where)
{
    struct s3_call *call = call_of(http);
    size_t room;

    if (!call->abandoned && call->body == S3_BODY_SINK && call->body_received < call->body_limit) {
        room = sink_space(call, ret_where);
        if (!call->abandoned)
            return room;
    }
    if (call->body == S3_BODY_XML && !call->abandoned)
        return s3_xml_space(call->xml, ret_where);
    *ret_where = call->scratch;
    return sizeof call->scratch;
}

static int body_commit(struct http_request *http, size_t length, struct error *err)
{
    struct s3_call *call = call_of(http);

    if (call->abandoned)
        return owner_left(err);
    call->body_received += length;
    if (call->body_received > call->body_limit) {
        call->cut = call->answer.status / 100 != 2;
        return error_set(err, ERROR_PROTOCOL, "the answer is longer than it may be");
    }
    if (call->body == S3_BODY_XML)
        s3_xml_commit(call->xml, length);
    if (call->body != S3_BODY_SINK)
        return 0;
    call->request->bytes_received += length;
    call->in_callback = true;
    call->request->sink->commit(call->request->sink, length);
    call->in_callback = false;
    return call->abandoned ? owner_left(err) : 0;
}

static void on_done(struct http_request *http, const struct error *err)
{
    struct s3_call *call = call_of(http);

    if (call->abandoned) {
        s3_call_free(call);
        return;
    }
    call->request->sent_twice |= http->repeated;
    s3_call_ended(call, err);
}

static const struct http_request_ops s3_http_ops = {
    .write_head = write_head,
    .on_head = on_head,
    .body_space = body_space,
    .body_commit = body_commit,
    .on_done = on_done,
};

/* ---- life ----------------------------------------------------------------------------------- */

void s3_call_send(struct s3_call *call)
{
    struct store_request *request = call->request;
    struct error error = {0};

    s3_xml_free(call->xml);
    call->xml = NULL;
    call->answer = (struct s3_answer){0};
    call->body_received = 0;
    call->error_in_body = call->cut = false;
    if (s3_endpoint_find(call->store, call->operation->service ? "" : request->bucket,
                         &call->target, &error) < 0) {
        s3_call_ended(call, &error);
        return;
    }
    call->http = (struct http_request){
        .ops = &s3_http_ops,
        .body = request->body,
        .body_count = call->operation->sends_body ? request->body_count : 0,
        .head_only = strcmp(call->operation->method, "HEAD") == 0 && !call->as_get,
        .deadline_ns = request->deadline_ns,
    };
    if (call->payload.length) {
        call->payload_iov = (struct iovec){call->payload.data, call->payload.length};
        call->http.body = &call->payload_iov;
        call->http.body_count = 1;
    }
    http_request_submit(call->target.endpoint->client, request->shard, &call->http);
}

void s3_call_free(struct s3_call *call)
{
    if (call->operation->release)
        call->operation->release(call);
    credentials_unref(call->credentials);
    s3_xml_free(call->xml);
    buffer_fini(&call->payload);
    free(call);
}
