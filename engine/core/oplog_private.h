/* What the files of the op-log share: oplog.c (memory, thread, order), oplog_row.c (a row as text),
 * oplog_file.c (the file). */
#ifndef S3DLIO_CORE_OPLOG_PRIVATE_H
#define S3DLIO_CORE_OPLOG_PRIVATE_H

#include <sys/types.h>

#include "base/buffer.h"
#include "core/oplog.h"

/* A row on its way: behind it lie three texts, each with a NUL. */
struct oplog_record {
    size_t length; /* with texts, a multiple of 8 */
    struct store *store;
    uint64_t objects, bytes;
    int64_t start_ns, first_byte_ns, end_ns; /* of CLOCK_REALTIME; first_byte_ns 0: none */
    uint16_t thread;
    uint8_t operation;
    char texts[]; /* bucket, name, error */
};

/* ---- oplog_row.c ---- */

extern const char oplog_header[];

/* Who writes: the same in each row. */
struct oplog_client {
    char id[96];
    uint64_t next_index;
    struct store *store; /* whose endpoint this is */
    char endpoint[272];
};
void oplog_client_init(struct oplog_client *client);
/* Appends the row. 0, -ENOMEM or -EMSGSIZE. Inside the gate. */
int oplog_row_format(struct oplog_client *client, const struct oplog_record *record,
                     struct buffer *out);

/* ---- oplog_file.c ---- */

struct oplog_file {
    const char *name; /* as the option has it */
    bool own_name;    /* with the process id in it */
    int fd;
    bool is_empty;
    char path[4096];
};
/* Opens it and takes its lock. 0 or -errno. Inside the gate. */
int oplog_file_open(struct oplog_file *file);
/* The text becomes a frame at the end of the file, or nothing of it stays. 0 or -errno. */
int oplog_file_append(struct oplog_file *file, const char *text, size_t length);
void oplog_file_close(struct oplog_file *file); /* inside the gate */

#endif
