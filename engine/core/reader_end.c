/* Readers that the process does not close before it ends: what their windows hold is counted, as when
 * they are closed.
 */
#include "core/reader_private.h"
#include "core/reader_registry_private.h"
#include "io/gate.h"

static void drop_unread(struct reader *reader)
{
    shard_lock(reader->shard);
    if (reader->generation == gate_generation()) { /* else the parent counts it */
        stream_drop(reader);
        advised_drop(reader, false);
    }
    shard_unlock(reader->shard);
}

void reader_drop_all_unread(struct engine *engine)
{
    struct registry_readers readers = registry_readers_all(&engine->readers);

    for (size_t i = 0; i < readers.count; i++)
        drop_unread(readers.list[i]);
    registry_readers_fini(&readers);
}
