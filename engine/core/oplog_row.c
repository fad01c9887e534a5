/* A request as a row of text: docs/OPLOG.md says what each column means. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/oplog_private.h"
#include "core/stats_kind.h"

#define TIME_BYTES 40

const char oplog_header[] = "idx\tthread\top\tclient_id\tn_objects\tbytes\tendpoint\tfile\terror\t"
                            "start\tfirst_byte\tend\tduration_ns\n";

/* Readers split lines at tabs, and some know quotes: none of these is in a field. */
static int append_name(struct buffer *out, const char *text)
{
    char piece[4];
    int r = 0;

    for (; *text && r == 0; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = c >= ' ' && c != 0x7f && c != '"' && c != '%';
        int length = snprintf(piece, sizeof piece, plain ? "%c" : "%%%02X", c);

        r = buffer_append(out, piece, (size_t)length);
    }
    return r;
}

/* For people: what does not fit is replaced. */
static int append_words(struct buffer *out, const char *text)
{
    char words[160];
    size_t length = strnlen(text, sizeof words);

    for (size_t i = 0; i < length; i++)
        words[i] = (unsigned char)text[i] < ' ' || text[i] == '"' ? ' ' : text[i];
    return buffer_append(out, words, length);
}

/* RFC 3339 with nanoseconds. */
static void format_time(int64_t ns, char text[TIME_BYTES])
{
    time_t seconds = (time_t)(ns / NS_PER_S);
    char seconds_text[24];
    struct tm tm;

    text[0] = '\0';
    if (ns <= 0 || !gmtime_r(&seconds, &tm))
        return;
    strftime(seconds_text, sizeof seconds_text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, TIME_BYTES, "%s.%09dZ", seconds_text, (int)(ns % NS_PER_S));
}

void oplog_client_init(struct oplog_client *client)
{
    char host[65] = "";

    gethostname(host, sizeof host - 1);
    memset(client, 0, sizeof *client);
    snprintf(client->id, sizeof client->id, "%s:%d", host, (int)getpid());
    for (char *at = client->id; *at; at++)
        if (*at <= ' ' || *at == '"')
            *at = '_';
}

static const char *endpoint_of(struct oplog_client *client, struct store *store)
{
    struct store_description description = {.endpoint = ""};

    if (client->store == store)
        return client->endpoint;
    if (store->ops->describe)
        store->ops->describe(store, &description);
    if (description.endpoint[0])
        snprintf(client->endpoint, sizeof client->endpoint, "%s", description.endpoint);
    else
        snprintf(client->endpoint, sizeof client->endpoint, "%s://", store->ops->scheme);
    client->store = store;
    return client->endpoint;
}

int oplog_row_format(struct oplog_client *client, const struct oplog_record *record,
                     struct buffer *out)
{
    const char *bucket = record->texts, *name = bucket + strlen(bucket) + 1,
               *error = name + strlen(name) + 1;
    char start[TIME_BYTES], first_byte[TIME_BYTES], end[TIME_BYTES];
    int r = buffer_append_format(
        out, "%llu\t%u\t%s\t%s\t%llu\t%llu\t%s\t", (unsigned long long)client->next_index,
        (unsigned)record->thread, stats_kind(record->operation)->op, client->id,
        (unsigned long long)record->objects, (unsigned long long)record->bytes,
        endpoint_of(client, record->store));

    format_time(record->start_ns, start);
    format_time(record->first_byte_ns, first_byte);
    format_time(record->end_ns, end);
    if (r == 0)
        r = buffer_append_str(out, "/");
    if (r == 0)
        r = append_name(out, bucket);
    if (r == 0 && *bucket)
        r = buffer_append_str(out, "/");
    if (r == 0)
        r = append_name(out, name);
    if (r == 0)
        r = buffer_append_str(out, "\t");
    if (r == 0)
        r = append_words(out, error);
    if (r == 0)
        r = buffer_append_format(out, "\t%s\t%s\t%s\t%lld\n", start, first_byte, end,
                                 (long long)(record->end_ns - record->start_ns));
    client->next_index += r == 0;
    return r;
}
