/* Readers of other processes, for those who change what they have open, and the other way round.
 *
 * For the length of a change each version that another process has open at its names has a reader
 * here, too, a *stand-in*: so it is kept, or moved, as the process's own are, and the other one is
 * told by its seat (core/reader_shared.h). What cannot be kept for it (no room) is not: its reader
 * gets ESTALE, and the change goes on.
 */
#ifndef S3DLIO_CORE_READER_FOREIGN_H
#define S3DLIO_CORE_READER_FOREIGN_H

#include "core/limits.h"

struct engine;
struct reader;
struct reader_change;
struct reader_change_name;
struct reader_registry;
struct shared_version;
struct uri;

/* Has another process that name open? */
bool foreign_has(struct engine *engine, const struct uri *uri);
/* Stand-ins for those at the name, which join the change; nobody has begun it yet. */
void foreign_meet(struct reader_change *change, const struct reader_change_name *name);
/* What was kept for them is theirs, before it goes. */
void foreign_tell_kept(struct reader_change *change);
/* Where the others are now; `begun` false: nothing has happened. Ends the stand-ins. */
void foreign_part(struct reader_change *change, bool begun);

/* What others may know of the reader, which nobody else has yet: false, nothing. */
bool foreign_describe(struct reader *reader, struct shared_version *ret_version);
/* From now on they do; the registry's mutex is held. handed_over: see shared_enter. */
void foreign_enter(struct reader *reader, bool handed_over, struct shared_version *version);
/* The version is where this one says; no lock is held. */
void foreign_follow(struct reader *reader, const struct shared_version *version);
/* Has another process told where the version is now? Waits for one that is changing it; no lock is
 * held. The reader's epoch tells whether it has moved. 0 or -errno. */
int foreign_ask(struct reader *reader, const struct limits *limits, struct error *err);
/* In a fork child: its readers have no seats yet, and no change of the parent's goes on. */
void foreign_reset_child(struct reader_registry *registry);

#endif
