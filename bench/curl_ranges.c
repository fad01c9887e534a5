/* What a client made of libcurl gets: ranges of an object over so many connections, bytes thrown away.
 *
 * curl_ranges URL SIZE_BYTES CONNECTIONS RANGE_BYTES [CA_FILE]
 *
 * Anonymous GETs with Range by one thread's multi handle, HTTP/1.1, the largest buffer that libcurl has.
 * Nothing is copied or put in order, so it is a floor no program that uses the bytes gets to. Prints one
 * JSON line: see measure.h.
 */
#include <curl/curl.h>
#include <stdint.h>
#include <stdlib.h>

#include "measure.h"

#define CONNECTIONS_MAX 256
#define BUFFER_BYTES    (512L << 10)

struct job {
    CURLM *multi;
    uint64_t size, next, range, received;
};

static void die(const char *what)
{
    fprintf(stderr, "curl_ranges: %s\n", what);
    exit(1);
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct job *job = arg;

    (void)data;
    job->received += size * count;
    return size * count;
}

/* Asks for the next range; 0 when there is none. */
static int begin(struct job *job, CURL *easy)
{
    char range[64];
    uint64_t end = job->next + job->range < job->size ? job->next + job->range : job->size;

    if (job->next >= job->size)
        return 0;
    snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)job->next,
             (unsigned long long)end - 1);
    job->next = end;
    curl_easy_setopt(easy, CURLOPT_RANGE, range);
    if (curl_multi_add_handle(job->multi, easy))
        die("no request");
    return 1;
}

static CURL *connection_new(struct job *job, const char *url, const char *ca_file)
{
    CURL *easy = curl_easy_init();

    if (!easy)
        die("no handle");
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, job);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    if (ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
    return easy;
}

static void go_on(struct job *job)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(job->multi, &left))) {
        CURL *easy = message->easy_handle;

        if (message->msg != CURLMSG_DONE)
            continue;
        if (message->data.result)
            die(curl_easy_strerror(message->data.result));
        curl_multi_remove_handle(job->multi, easy);
        begin(job, easy);
    }
}

int main(int argc, char **argv)
{
    static struct job job;
    int running = 1;

    if (argc < 5) {
        fprintf(stderr, "usage: %s URL SIZE CONNECTIONS RANGE [CA_FILE]\n", argv[0]);
        return 2;
    }
    unsigned connections = (unsigned)atoi(argv[3]);
    job.size = strtoull(argv[2], NULL, 10);
    job.range = strtoull(argv[4], NULL, 10);
    if (!connections || connections > CONNECTIONS_MAX || !job.range)
        return 2;
    double start = measure_now(CLOCK_MONOTONIC);
    job.multi = curl_multi_init();
    curl_multi_setopt(job.multi, CURLMOPT_MAXCONNECTS, (long)connections);
    curl_multi_setopt(job.multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    for (unsigned i = 0; i < connections; i++)
        begin(&job, connection_new(&job, argv[1], argc > 5 ? argv[5] : NULL));
    while (running) {
        if (curl_multi_perform(job.multi, &running))
            die("perform");
        go_on(&job);
        if (job.received < job.size)
            running = 1;
        if (running)
            curl_multi_poll(job.multi, NULL, 0, 1000, NULL);
    }
    if (job.received != job.size)
        die("another length than the object has");
    measure_print(job.received, start);
    return 0;
}
