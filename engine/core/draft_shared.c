/* See draft_shared.h. The file is of a fixed size, which costs nothing: blocks come with the marks,
 * by fallocate, so that a machine without memory is met by the call that wants some and not by a
 * signal. Where the limit on file sizes is below that, or such files are not permitted (seccomp), the
 * memory has no file, and only fork hands it on. */
#include "core/draft_shared.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/draft_private.h"
#include "io/fd.h"
#include "io/gate.h"

#define PAGE_BYTES   ((uint64_t)4096)
#define HEAD_BYTES   ((sizeof(struct draft_shared) + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES)
#define SIDE_BYTES   (DRAFT_MARKS_MAX * sizeof(uint64_t))
#define SENT_AT      (HEAD_BYTES + 2 * SIDE_BYTES)
#define SHARED_BYTES (SENT_AT + STORE_PARTS_MAX * sizeof(struct draft_sent))
#define CAPACITY_MIN (PAGE_BYTES / sizeof(uint64_t))
/* Other versions of this have another size, or another number. */
#define DRAFT_MAGIC (UINT64_C(0x7333646c696f4402) ^ sizeof(struct draft_shared) << 8)

/* ---- the memory ------------------------------------------------------------------------------ */

static bool can_have_file(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ||
           limit.rlim_cur >= SHARED_BYTES;
}

static int allocate(const struct draft *draft, uint64_t offset, uint64_t size_bytes)
{
    return draft->shared_fd < 0
               ? 0
               : -posix_fallocate(draft->shared_fd, (off_t)offset, (off_t)size_bytes);
}

static int make_file(struct draft *draft)
{
    int fd;

    fd_room_begin(FD_FOR_FILES);
    fd = memfd_create("s3dlio-draft", MFD_CLOEXEC);
    fd = fd_adopt(fd < 0 ? -errno : fd);
    fd_room_end();
    if (fd == -EPERM || fd == -ENOSYS || fd == -EACCES)
        return 0;
    if (fd < 0)
        return fd;
    draft->shared_fd = fd;
    return ftruncate(fd, (off_t)SHARED_BYTES) < 0 ? -errno : allocate(draft, 0, HEAD_BYTES);
}

static int map(struct draft *draft, struct error *err)
{
    int flags = MAP_SHARED | MAP_NORESERVE;
    void *memory;

    memory = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE,
                  draft->shared_fd < 0 ? flags | MAP_ANONYMOUS : flags, draft->shared_fd, 0);
    if (memory == MAP_FAILED)
        return error_set_errno(err, errno, "memory for a draft");
    madvise(memory, SHARED_BYTES, MADV_DONTDUMP);
    draft->shared = memory;
    return 0;
}

int draft_shared_new(struct draft *draft, struct error *err)
{
    int r = 0;

    if (can_have_file())
        r = make_file(draft);
    if (r < 0)
        return error_set_errno(err, -r, "memory for a draft");
    r = map(draft, err);
    if (r < 0)
        return r;
    draft->shared->magic = DRAFT_MAGIC;
    r = shared_turn_init(&draft->shared->turn);
    return r < 0 ? error_set_errno(err, -r, "memory for a draft") : draft_shared_look(draft, err);
}

int draft_shared_adopt(struct draft *draft, struct error *err)
{
    struct stat st;
    int r;

    if (fstat(draft->shared_fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        st.st_size != (off_t)SHARED_BYTES)
        return error_set(err, ERROR_INVALID, "no draft of this user's");
    r = map(draft, err);
    if (r == 0 && draft->shared->magic != DRAFT_MAGIC)
        r = error_set(err, ERROR_INVALID, "a draft of another version of this library");
    return r;
}

/* A thread that left a call by longjmp has the turn still, and its C library a list with it. */
static bool is_left_inside(const struct draft *draft)
{
    return draft->inside > 0 && draft->generation == gate_generation() &&
           !shared_turn_give(&draft->shared->turn);
}

void draft_shared_free(struct draft *draft)
{
    if (draft->shared && !is_left_inside(draft))
        munmap(draft->shared, SHARED_BYTES);
    fd_close(draft->shared_fd);
}

/* ---- the map of extents ---------------------------------------------------------------------- */

static uint64_t *marks_of(const struct draft *draft, uint32_t side)
{
    return (uint64_t *)(void *)((char *)draft->shared + HEAD_BYTES + side * SIDE_BYTES);
}

static struct extents view_of(const struct draft *draft, uint32_t side)
{
    const struct draft_side *known = &draft->shared->sides[side];

    return (struct extents){
        .marks = marks_of(draft, side),
        .count = known->count,
        .length_bytes = atomic_load_explicit(&known->length_bytes, memory_order_relaxed),
    };
}

int draft_shared_look(struct draft *draft, struct error *err)
{
    const struct draft_shared *shared = draft->shared;
    struct extents view = view_of(draft, atomic_load(&shared->side) & 1);

    if (view.count > shared->capacity || shared->capacity > DRAFT_MARKS_MAX ||
        view.length_bytes > DRAFT_LENGTH_MAX || (view.length_bytes > 0) != (view.count > 0) ||
        (view.count > 0 && view.marks[0] >> EXTENT_KIND_BITS != 0) ||
        shared->map_count > DRAFT_MAPS_MAX)
        return error_set_errno(err, EIO, "the shared state of a draft makes no sense");
    draft->extents = view;
    return 0;
}

uint64_t draft_shared_length(const struct draft_shared *shared)
{
    uint32_t side = atomic_load_explicit(&shared->side, memory_order_acquire) & 1;

    return atomic_load_explicit(&shared->sides[side].length_bytes, memory_order_relaxed);
}

static void put_view(struct draft *draft, uint32_t side, const struct extents *view)
{
    struct draft_side *known = &draft->shared->sides[side];

    known->count = view->count;
    atomic_store_explicit(&known->length_bytes, view->length_bytes, memory_order_relaxed);
}

/* One side. What stands there was what counted before. */
static void apply(struct draft *draft, uint32_t side, const struct draft_change *change)
{
    struct extents view = view_of(draft, side);

    if (!change) {
        extents_rebase(&view);
    } else {
        extents_resize(&view, change->length_bytes, change->filling);
        extents_set(&view, change->start, change->end, change->kind);
    }
    put_view(draft, side, &view);
}

static void change_both(struct draft *draft, const struct draft_change *change)
{
    uint32_t side = atomic_load(&draft->shared->side) & 1;

    apply(draft, !side, change);
    atomic_store(&draft->shared->side, !side);
    atomic_thread_fence(memory_order_seq_cst); /* nothing of what follows comes before */
    apply(draft, side, change);
    draft->extents = view_of(draft, !side);
}

void draft_change_extents(struct draft *draft, const struct draft_change *change)
{
    change_both(draft, change);
}

void draft_rebase_extents(struct draft *draft)
{
    change_both(draft, NULL);
}

void draft_shared_repair(struct draft *draft)
{
    uint32_t side = atomic_load(&draft->shared->side) & 1;

    memcpy(marks_of(draft, !side), marks_of(draft, side),
           draft->extents.count * sizeof *draft->extents.marks);
    put_view(draft, !side, &draft->extents);
}

int draft_reserve_marks(struct draft *draft, struct error *err)
{
    struct draft_shared *shared = draft->shared;
    uint64_t capacity = shared->capacity ? 2 * shared->capacity : CAPACITY_MIN;
    int r = 0;

    if (draft->extents.count + EXTENTS_ROOM <= shared->capacity)
        return 0;
    if (capacity > DRAFT_MARKS_MAX)
        return error_set(err, ERROR_NO_SPACE, "more than %llu separate changes of one file",
                         (unsigned long long)DRAFT_MARKS_MAX / 2);
    for (uint32_t side = 0; r == 0 && side < 2; side++)
        r = allocate(draft, HEAD_BYTES + side * SIDE_BYTES, capacity * sizeof(uint64_t));
    if (r < 0)
        return error_set_errno(err, -r, "the map of a staged file");
    shared->capacity = capacity;
    return 0;
}

struct draft_sent *draft_sent(const struct draft *draft)
{
    return (struct draft_sent *)(void *)((char *)draft->shared + SENT_AT);
}

int draft_reserve_sent(struct draft *draft, uint32_t index)
{
    return allocate(draft, SENT_AT + index * sizeof(struct draft_sent), sizeof(struct draft_sent));
}

/* ---- facts ----------------------------------------------------------------------------------- */

const struct draft_facts *draft_facts(const struct draft *draft)
{
    return &draft->shared->facts[atomic_load(&draft->shared->facts_side) & 1];
}

struct draft_facts *draft_facts_begin(struct draft *draft)
{
    const struct draft_facts *current = draft_facts(draft);
    struct draft_facts *spare = &draft->shared->facts[current == draft->shared->facts];

    *spare = *current;
    return spare;
}

void draft_facts_commit(struct draft *draft)
{
    atomic_store(&draft->shared->facts_side, draft_facts(draft) == draft->shared->facts);
}

int draft_facts_set_type(struct draft_facts *facts, const char *content_type)
{
    size_t length = content_type ? strlen(content_type) : 0;

    if (length >= sizeof facts->content_type)
        return -E2BIG;
    memcpy(facts->content_type, content_type ? content_type : "", length + 1);
    return 0;
}

void draft_facts_set_base(struct draft_facts *facts, const struct base_version *base)
{
    facts->base_exists = base->exists;
    facts->base = base->attr;
    facts->metadata_length = (uint32_t)base->metadata.length;
    if (base->metadata.length)
        memcpy(facts->metadata, base->metadata.data, base->metadata.length);
    facts->source_serial++;
}

bool draft_facts_have_source(const struct draft_facts *facts)
{
    return facts->base_exists || facts->is_cloned;
}

int draft_facts_set_metadata(struct draft_facts *facts, const struct store_metadata *metadata)
{
    if (metadata->length > sizeof facts->metadata)
        return -E2BIG;
    facts->metadata_length = (uint32_t)metadata->length;
    if (metadata->length)
        memcpy(facts->metadata, metadata->data, metadata->length);
    return 0;
}

struct store_metadata draft_facts_metadata(const struct draft_facts *facts)
{
    uint32_t length = facts->metadata_length;

    if (length > sizeof facts->metadata || (length > 0 && facts->metadata[length - 1] != '\0'))
        length = 0;
    return (struct store_metadata){.data = (char *)facts->metadata, .length = length};
}
