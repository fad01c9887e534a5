/*
 * Faulty answer bodies; see reader.h.
 *
 * The reader runs on the polling thread of its connection while the request exists; libmicrohttpd
 * may free it later, so it holds its own references and reads the request only in next_bytes.
 */
#include "reader.h"

#include "request.h"
#include "server.h"
#include "store.h"

#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define BLOCK_BYTES   (256u << 10)
#define DRAIN_STEP_NS (1000 * 1000ull)
#define DRAIN_STEPS   2000 /* wait that many steps for the peer to take what comes before a reset */

struct reader {
    struct request *request;
    struct object *object; /* NULL: text */
    char *text;
    uint64_t start, length;
    struct fault fault;
    unsigned drain_steps;
    bool stalled;
};

void reader_reset(struct request *request)
{
    /* Disconnecting, unlike closing, sends RST even before libmicrohttpd's shutdown sends FIN. */
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    (void)!connect(request->connection->fd, &nowhere, sizeof(nowhere));
}

static ssize_t copy_bytes(const struct reader *reader, uint64_t position, char *out, size_t max)
{
    size_t done = 0;
    while (done < max && position + done < reader->length) {
        uint64_t want = reader->length - position - done;
        if (want > max - done)
            want = max - done;
        const uint8_t *data;
        size_t take = (size_t)want;
        if (reader->object)
            take = body_piece(&reader->object->body, reader->start + position + done, want, &data);
        else
            data = (const uint8_t *)reader->text + position + done;
        memcpy(out + done, data, take);
        done += take;
    }
    return (ssize_t)done;
}

/* 0 while bytes before the reset are still on their way, then the error that ends the answer. */
static ssize_t reset_here(struct reader *reader)
{
    struct request *request = reader->request;
    int unsent = 0;
    if (!ioctl(request->connection->fd, SIOCOUTQ, &unsent) && unsent &&
        reader->drain_steps++ < DRAIN_STEPS &&
        timer_suspend(&request->server->timer, request->mhd, DRAIN_STEP_NS))
        return 0;
    reader_reset(request);
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

/* At the fault's byte: what happens there. 1 means go on. */
static ssize_t fault_here(struct reader *reader)
{
    struct request *request = reader->request;
    switch (reader->fault.action) {
    case FAULT_RESET: return reset_here(reader);
    case FAULT_TRUNCATE: return MHD_CONTENT_READER_END_WITH_ERROR;
    case FAULT_STALL:
        if (reader->stalled)
            return 1;
        reader->stalled = true;
        if (timer_suspend_while_open(&request->server->timer, request->mhd, request->connection->fd,
                                     reader->fault.amount * 1000000u))
            return 0;
        return 1;
    default: return 1;
    }
}

static ssize_t next_bytes(void *context, uint64_t position, char *out, size_t max)
{
    struct reader *reader = context;
    uint64_t byte = reader->fault.byte;
    if (reader->fault.action == FAULT_ENDLESS_BODY) {
        if (reader->length == 0) {
            memset(out, 'x', max);
            return (ssize_t)max;
        }
        position %= reader->length;
        return copy_bytes(reader, position, out, max);
    }
    if (reader->fault.action != FAULT_NONE && position == byte) {
        ssize_t verdict = fault_here(reader);
        if (verdict != 1)
            return verdict;
    } else if (position < byte && byte - position < max) {
        max = (size_t)(byte - position);
    }
    ssize_t length = copy_bytes(reader, position, out, max);
    if (reader->fault.action == FAULT_CORRUPT && position == byte && length > 0)
        out[0] ^= 0x20;
    return length ? length : MHD_CONTENT_READER_END_OF_STREAM;
}

static void free_reader(void *context)
{
    struct reader *reader = context;
    object_unref(reader->object);
    free(reader->text);
    free(reader);
}

struct MHD_Response *reader_response(struct request *request)
{
    struct answer *answer = &request->answer;
    struct reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return NULL;
    reader->request = request;
    reader->fault = request->fault;
    reader->start = answer->start;
    reader->length = answer->object ? answer->length : answer->text.length;
    if (answer->object)
        reader->object = object_ref(answer->object);
    else
        reader->text = buf_take(&answer->text);
    if (reader->fault.random_byte)
        reader->fault.byte =
            (uint64_t)(pace_random(&request->server->pace) * (double)reader->length);
    uint64_t size = reader->fault.action == FAULT_ENDLESS_BODY ? MHD_SIZE_UNKNOWN : reader->length;
    struct MHD_Response *response =
        MHD_create_response_from_callback(size, BLOCK_BYTES, next_bytes, reader, free_reader);
    if (!response)
        free_reader(reader);
    return response;
}
