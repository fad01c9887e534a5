/* Handing over at exec; see handover.h. */
#include "shim/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/arena.h"
#include "shim/calls/process.h"
#include "shim/calls/stdio.h"
#include "shim/fdtab.h"
#include "shim/handover_entry.h"
#include "shim/path.h"
#include "shim/private_fd.h"
#include "shim/real.h"
#include "shim/staged.h"

#define VARIABLE    "S3DLIO_HANDOVER="
#define SEALS       (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define ENTRIES_MAX 4096u
#define KEPT_MAX    64u
#define FD_MINIMUM  512
/* Other layouts have other sizes, or another number. */
#define MAGIC (UINT64_C(0x73330000000001) ^ sizeof(struct handover_entry) << 16 ^ sizeof(struct head) << 32)

struct head {
    uint64_t magic;
    int32_t pid;   /* exec keeps it; 0: the record says whom it is for, who closes the token */
    int32_t token_fd;
    uint32_t count;
    bool has_arena;
    struct arena_key arena;
    uint64_t cwd_device, cwd_inode; /* of the kernel's working directory */
    char cwd[PATH_VIRTUAL_MAX];     /* "": it is the real one */
};

/* Descriptors of files that nobody has used yet, plus one; 0: free. */
static _Atomic int kept[KEPT_MAX];
static _Atomic unsigned kept_end; /* none was ever used from here on */

/* ---- before exec ---- */

int handover_each(int (*visit)(int fd, struct file *file, void *arg), void *arg)
{
    int result = 0;
    for (int fd = fdtab_next(0); fd >= 0 && !result; fd = fdtab_next(fd + 1)) {
        int flags = REAL(fcntl)(fd, F_GETFD);
        struct file *file = flags < 0 || flags & FD_CLOEXEC ? NULL : file_look(fd);
        if (file)
            result = visit(fd, file, arg);
        file_put(file);
    }
    return result;
}

static int all_write(int fd, const void *data, size_t size)
{
    ssize_t done = REAL(write)(fd, data, size);
    return done == (ssize_t)size ? 0 : done < 0 ? -errno : -ENOSPC;
}

struct writing {
    int fd;
    struct head head;
};

static int entry_write(struct writing *writing, const struct handed *handed)
{
    struct handover_entry entry;
    if (++writing->head.count > ENTRIES_MAX)
        return -EMFILE;
    int result = handover_entry_fill(handed->placeholder, handed->file, &entry);
    entry.fd = handed->fd;
    return result < 0 ? result : all_write(writing->fd, &entry, sizeof entry);
}

static int open_write(int fd, struct file *file, void *writing)
{
    return entry_write(writing, &(struct handed){fd, fd, file});
}

/* Of what goes with the file. */
static int each_fd_of(struct file *file, int (*visit)(int fd, void *arg), void *arg)
{
    int draft_fds[2], lock_fd = atomic_load(&file->lock_fd) - 1;
    int result = lock_fd >= 0 ? visit(lock_fd, arg) : 0;
    if (file->staged && !staged_handles(file->staged, draft_fds))
        for (unsigned i = 0; i < 2 && !result; i++)
            result = visit(draft_fds[i], arg);
    return result;
}

static int flags_set(int fd, void *flags)
{
    REAL(fcntl)(fd, F_SETFD, *(const int *)flags);
    return 0;
}

static int open_flags_set(int fd, struct file *file, void *flags)
{
    return each_fd_of(file, flags_set, flags);
}

static void all_flags_set(int handover_fd, int flags)
{
    struct arena_key key;
    handover_each(open_flags_set, &flags);
    if (!arena_key(&key))
        flags_set(key.fd, &flags);
    flags_set(handover_fd, &flags);
}

/* A process that holds nothing is of the tree as well: what it executes will know what the others
 * write, and can be sent what they have. */
static bool arena_is_common(struct arena_key *ret_key)
{
    return !process_is_vfork_child() && arena_is_there() && !arena_need() && !arena_key(ret_key);
}

static int head_fill(struct head *head)
{
    struct stat st;
    int result = 0;
    *head = (struct head){.magic = MAGIC, .pid = getpid(), .token_fd = -1};
    strcpy(head->cwd, path_cwd());
    if (head->cwd[0] && !REAL(fstatat)(AT_FDCWD, ".", &st, 0)) {
        head->cwd_device = st.st_dev;
        head->cwd_inode = st.st_ino;
    }
    head->has_arena = arena_is_used();
    if (head->has_arena)
        result = arena_key(&head->arena);
    else
        head->has_arena = arena_is_common(&head->arena);
    return result;
}

static int letter_begin(struct writing *writing)
{
    writing->fd = memfd_create("s3dlio-handover", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return writing->fd < 0 ? -errno : all_write(writing->fd, &writing->head, sizeof writing->head);
}

/* `result` of what was done so far. */
static int letter_end(struct writing *writing, int result, struct handover *ret_handover)
{
    ssize_t size = sizeof writing->head;
    if (!result && REAL(pwrite)(writing->fd, &writing->head, (size_t)size, 0) != size)
        result = -EIO;
    if (!result && REAL(fcntl)(writing->fd, F_ADD_SEALS, SEALS) < 0)
        result = -errno;
    if (result < 0) {
        if (writing->fd >= 0)
            REAL(close)(writing->fd);
        return result;
    }
    ret_handover->fd = writing->fd;
    snprintf(ret_handover->variable, sizeof ret_handover->variable, VARIABLE "%d", writing->fd);
    return 0;
}

int handover_begin(struct handover *ret_handover)
{
    struct writing writing = {.fd = -1};
    int result = head_fill(&writing.head);
    if (!result)
        result = letter_begin(&writing);
    if (!result)
        result = handover_each(open_write, &writing);
    result = letter_end(&writing, result, ret_handover);
    if (!result)
        all_flags_set(ret_handover->fd, 0);
    return result;
}

int handover_write(const struct handed *handed, unsigned count, const struct arena_child *child,
                   struct handover *ret_handover)
{
    struct writing writing = {
        .fd = -1, .head = {.magic = MAGIC, .token_fd = child->token_fd, .has_arena = true}};
    int result = child->coming ? arena_key(&writing.head.arena) : -EOPNOTSUPP;
    writing.head.arena.parent = writing.head.arena.record;
    writing.head.arena.record = child->record;
    writing.head.arena.coming = child->coming;
    if (!result)
        result = letter_begin(&writing);
    writing.fd = private_fd_raise(writing.fd, FD_MINIMUM);
    for (unsigned i = 0; i < count && !result; i++)
        result = entry_write(&writing, &handed[i]);
    return letter_end(&writing, result, ret_handover);
}

int handover_each_fd(const struct handed *handed, unsigned count,
                     const struct arena_child *child, int (*visit)(int fd, void *arg), void *arg)
{
    struct arena_key key;
    int result = arena_key(&key);
    if (!result)
        result = visit(key.fd, arg);
    if (!result)
        result = visit(child->token_fd, arg);
    for (unsigned i = 0; i < count && !result; i++)
        result = each_fd_of(handed[i].file, visit, arg);
    return result;
}

void handover_undo(const struct handover *handover)
{
    all_flags_set(handover->fd, FD_CLOEXEC);
    REAL(close)(handover->fd);
}

/* ---- in the new program ---- */

/* The variable's value, and it is gone; or NULL. */
static const char *variable_take(char **environment)
{
    const char *value = NULL;
    char **to = environment;
    for (char **from = environment; from && *from; from++)
        if (!strncmp(*from, VARIABLE, sizeof VARIABLE - 1))
            value = *from + sizeof VARIABLE - 1;
        else
            *to++ = *from;
    if (to)
        *to = NULL;
    return value;
}

/* The whole of it, or NULL: its size and content cannot change. */
static const struct head *letter_map(int fd, size_t *ret_size)
{
    struct stat st;
    if (REAL(fstat)(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        st.st_size < (off_t)sizeof(struct head) ||
        st.st_size > (off_t)(sizeof(struct head) + ENTRIES_MAX * sizeof(struct handover_entry)) ||
        REAL(fcntl)(fd, F_GET_SEALS) != SEALS)
        return NULL;
    void *memory = REAL(mmap)(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    *ret_size = (size_t)st.st_size;
    return memory == MAP_FAILED ? NULL : memory;
}

static bool is_for_us(const struct head *head, size_t size)
{
    bool is_ours = head->pid ? head->pid == getpid() : head->has_arena && head->arena.coming;
    return head->magic == MAGIC && is_ours &&
           size == sizeof *head + head->count * sizeof(struct handover_entry) &&
           memchr(head->cwd, '\0', sizeof head->cwd);
}

static bool is_placeholder(const struct handover_entry *entry)
{
    struct stat st;
    return placeholder_is(entry->fd) && !REAL(fstat)(entry->fd, &st) &&
           st.st_dev == entry->device && st.st_ino == entry->inode;
}

void handover_keep(int fd)
{
    REAL(fcntl)(fd, F_SETFD, FD_CLOEXEC);
    for (unsigned i = 0; i < KEPT_MAX; i++) {
        int none = 0;
        if (!atomic_compare_exchange_strong(&kept[i], &none, fd + 1))
            continue;
        unsigned end = kept_end;
        while (end <= i && !atomic_compare_exchange_weak(&kept_end, &end, i + 1))
            ;
        return;
    }
}

bool handover_keeps(int fd)
{
    for (unsigned i = 0, end = kept_end; fd >= 0 && i < end; i++)
        if (atomic_load_explicit(&kept[i], memory_order_relaxed) == fd + 1)
            return true;
    return false;
}

void handover_release(const int fds[2])
{
    for (unsigned i = 0, end = kept_end; i < end; i++)
        if (kept[i] && (kept[i] == fds[0] + 1 || kept[i] == fds[1] + 1))
            kept[i] = 0;
}

/* A file for the entry, with one reference; NULL when it is not to be believed. */
static struct file *entry_adopt(const struct handover_entry *entry)
{
    struct handover_entry copy = *entry;
    struct arena_slot *slot = arena_held_slot(entry->slot);
    struct arena_node *node =
        entry->kind == FILE_STAGED ? arena_held_node(entry->node) : NULL;
    if (!slot || (entry->kind == FILE_STAGED && !node))
        return NULL;
    return handover_entry_adopt(&copy, slot, node);
}

/* Which file each entry became: NULL, none. */
struct adopted {
    const struct handover_entry *entries;
    uint32_t count;
    struct file *files[];
};

static struct file *find_same(const struct adopted *adopted, uint32_t end)
{
    for (uint32_t i = 0; i < end; i++)
        if (adopted->files[i] && adopted->entries[i].file == adopted->entries[end].file)
            return adopted->files[i];
    return NULL;
}

static bool is_adopted(bool is_node, uint32_t index, const void *arg)
{
    const struct adopted *adopted = arg;
    for (uint32_t i = 0; i < adopted->count; i++) {
        const struct handover_entry *entry = &adopted->entries[i];
        bool is_it = is_node ? entry->kind == FILE_STAGED && entry->node == index
                             : entry->slot == index;
        if (is_it && adopted->files[i])
            return true;
    }
    return false;
}

static void entries_adopt(struct adopted *adopted)
{
    for (uint32_t i = 0; i < adopted->count; i++) {
        const struct handover_entry *entry = &adopted->entries[i];
        struct file *file = NULL;
        if (handover_entry_is_whole(entry) && is_placeholder(entry)) {
            file = find_same(adopted, i);
            if (file)
                file_ref(file);
            else
                file = entry_adopt(entry);
        }
        if (file && file_install_at(file, entry->fd) < 0) {
            file_put(file);
            file = NULL;
        }
        adopted->files[i] = file; /* with a reference, so that none is freed meanwhile */
    }
    arena_keep(is_adopted, adopted);
    for (uint32_t i = 0; i < adopted->count; i++)
        file_put(adopted->files[i]);
}

static void cwd_adopt(const struct head *head)
{
    struct stat st;
    if (head->cwd[0] && !REAL(fstatat)(AT_FDCWD, ".", &st, 0) && st.st_dev == head->cwd_device &&
        st.st_ino == head->cwd_inode)
        path_set_cwd(head->cwd);
}

static void adopt(const struct head *head)
{
    cwd_adopt(head);
    if (!head->has_arena || arena_adopt(&head->arena) < 0)
        return;
    if (head->token_fd >= 0 && arena_is_file(head->token_fd))
        REAL(close)(head->token_fd);
    struct adopted *adopted = calloc(1, sizeof *adopted + head->count * sizeof(struct file *));
    if (!adopted)
        return;
    adopted->entries = (const struct handover_entry *)(head + 1);
    adopted->count = head->count;
    entries_adopt(adopted);
    free(adopted);
    if (!file_any())
        arena_leave();
    for (int fd = 0; fd <= 2; fd++)
        if (fdtab_is_virtual(fd)) {
            stdio_prepare();
            stdio_fd_changed(fd);
        }
}

void handover_adopt(char **environment)
{
    const char *value = variable_take(environment);
    size_t size;
    int fd = value ? atoi(value) : -1;
    const struct head *head = value ? letter_map(fd, &size) : NULL;
    if (!head)
        return;
    if (is_for_us(head, size)) {
        REAL(close)(fd);
        adopt(head);
    }
    REAL(munmap)((void *)head, size);
}
