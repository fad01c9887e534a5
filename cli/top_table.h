/* What `s3dlio top` shows: looks at all processes, and what came between two of them. */
#ifndef S3DLIO_CLI_TOP_TABLE_H
#define S3DLIO_CLI_TOP_TABLE_H

#include "engine/s3dlio.h"

struct top_look {
    double at_s; /* of a clock that only goes on */
    struct s3dlio_process *processes;
    size_t count;
};

/* before NULL: rates are since each process began. columns, rows 0: as many as there are. On
 * stdout. */
void top_print_table(const struct top_look *before, const struct top_look *now, unsigned columns,
                     unsigned rows);
void top_print_json(const struct top_look *before, const struct top_look *now);

#endif
