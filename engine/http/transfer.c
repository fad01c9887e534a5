/* Blocking exchanges by plain libcurl. Contract: transfer.h.
 *
 * Each runs aside (io/aside.h), on a thread of its own with a descriptor table of its own: names
 * are resolved and files read where the program's close cannot reach, and its stack does not
 * matter. That thread is inside the gate while curl works and outside while it waits for the
 * network.
 */
#include "http/transfer.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "http/global.h"
#include "io/aside.h"
#include "io/gate.h"

#define TRANSFER_BODY_MAX ((size_t)1 << 20)
#define TRANSFER_POLL_MS  1000

struct transfer_job {
    const struct transfer *transfer;
    CURL *easy;
    CURLM *multi;
    struct curl_slist *headers;
    struct buffer body;
    char error[CURL_ERROR_SIZE];
    CURLcode code;
    long status;
};

static size_t transfer_write(char *data, size_t size, size_t count, void *arg)
{
    return buffer_append(arg, data, size * count) == 0 ? size * count : 0;
}

static bool transfer_set_up(struct transfer_job *job)
{
    const struct transfer *transfer = job->transfer;
    CURL *easy = job->easy = curl_easy_init();
    int64_t timeout_ms = transfer->timeout_ns / NS_PER_MS;

    job->multi = curl_multi_init();
    if (!job->easy || !job->multi)
        return false;
    for (const char *const *header = transfer->headers; header && *header; header++) {
        struct curl_slist *longer = curl_slist_append(job->headers, *header);

        if (!longer)
            return false;
        job->headers = longer;
    }
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, job->error);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_URL, transfer->url);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, transfer_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &job->body);
    if (transfer->timeout_ns > 0 && transfer->timeout_ns != CLOCK_NEVER)
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms > 0 ? (long)timeout_ms : 1L);
    if (transfer->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, transfer->ca_file);
    if (transfer->proxy)
        curl_easy_setopt(easy, CURLOPT_PROXY, transfer->proxy);
    if (transfer->body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(transfer->body));
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->body);
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, job->headers);
    if (strcmp(transfer->method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, transfer->method);
    return curl_multi_add_handle(job->multi, easy) == CURLM_OK;
}

static void transfer_drive(struct transfer_job *job)
{
    CURLMsg *message;
    int running = 1, left;

    while (running > 0 && curl_multi_perform(job->multi, &running) == CURLM_OK) {
        if (running == 0)
            break;
        gate_sleep_begin(1);
        curl_multi_poll(job->multi, NULL, 0, TRANSFER_POLL_MS, NULL);
        gate_sleep_end(1);
    }
    while ((message = curl_multi_info_read(job->multi, &left)))
        if (message->msg == CURLMSG_DONE)
            job->code = message->data.result;
    if (job->code == CURLE_OK)
        curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &job->status);
}

static void transfer_work(void *arg)
{
    struct transfer_job *job = arg;
    struct gate_scope scope;

    gate_enter(&scope);
    if (transfer_set_up(job))
        transfer_drive(job);
    else
        job->code = CURLE_OUT_OF_MEMORY;
    if (job->multi && job->easy)
        curl_multi_remove_handle(job->multi, job->easy);
    curl_easy_cleanup(job->easy);
    curl_multi_cleanup(job->multi);
    curl_slist_free_all(job->headers);
    gate_leave(&scope);
}

static const struct transfer_code_row {
    CURLcode code;
    enum error_class class;
} transfer_codes[] = {
    {CURLE_COULDNT_RESOLVE_HOST, ERROR_DNS},   {CURLE_COULDNT_RESOLVE_PROXY, ERROR_DNS},
    {CURLE_OPERATION_TIMEDOUT, ERROR_TIMEOUT}, {CURLE_PEER_FAILED_VERIFICATION, ERROR_TLS},
    {CURLE_SSL_CONNECT_ERROR, ERROR_TLS},      {CURLE_SSL_CACERT_BADFILE, ERROR_TLS},
    {CURLE_WRITE_ERROR, ERROR_PROTOCOL}, /* a body above the limit */
    {CURLE_URL_MALFORMAT, ERROR_INVALID},      {CURLE_UNSUPPORTED_PROTOCOL, ERROR_INVALID},
    {CURLE_OUT_OF_MEMORY, ERROR_NO_MEMORY},
};

static int transfer_error(const struct transfer_job *job, struct error *err)
{
    enum error_class class = ERROR_NETWORK;

    for (size_t i = 0; i < sizeof transfer_codes / sizeof transfer_codes[0]; i++)
        if (transfer_codes[i].code == job->code)
            class = transfer_codes[i].class;
    return error_set(err, class, "%s", job->error[0] ? job->error : curl_easy_strerror(job->code));
}

int transfer_perform(const struct transfer *transfer, int *ret_status, struct buffer *ret_body,
                     struct error *err)
{
    struct transfer_job *job;
    int rc = http_global_prepare();

    if (rc < 0)
        return error_set_errno(err, -rc, "cannot set up libcurl");
    job = calloc(1, sizeof *job);
    if (!job)
        return error_set(err, ERROR_NO_MEMORY, "no memory for a transfer");
    job->transfer = transfer;
    job->code = CURLE_FAILED_INIT;
    buffer_init(&job->body, TRANSFER_BODY_MAX);
    rc = aside_run("s3dlio-aside", transfer_work, job);
    if (rc < 0)
        rc = error_set_errno(err, -rc, "cannot start a thread for a transfer");
    else if (job->code != CURLE_OK)
        rc = transfer_error(job, err);
    else
        rc = buffer_append(ret_body, buffer_str(&job->body), job->body.length);
    if (rc == 0)
        *ret_status = (int)job->status;
    buffer_fini(&job->body);
    free(job);
    return rc;
}
