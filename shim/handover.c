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
#include "shim/calls/lock.h"
#include "shim/calls/stdio.h"
#include "shim/fdtab.h"
#include "shim/path.h"
#include "shim/real.h"
#include "shim/staged.h"

#define VARIABLE    "S3DLIO_HANDOVER="
#define SEALS       (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define ENTRIES_MAX 4096u
#define KEPT_MAX    64u
/* Other layouts have other sizes, or another number. */
#define MAGIC (UINT64_C(0x73330000000001) ^ sizeof(struct entry) << 16 ^ sizeof(struct head) << 32)

struct head {
    uint64_t magic;
    int32_t pid; /* exec keeps it */
    uint32_t count;
    bool has_arena;
    struct arena_key arena;
    uint64_t cwd_device, cwd_inode; /* of the kernel's working directory */
    char cwd[PATH_VIRTUAL_MAX];     /* "": it is the real one */
};

/* One descriptor. */
struct entry {
    int32_t fd;
    uint32_t file; /* several of the same one have this in common */
    uint64_t device, inode;
    uint32_t kind, slot, node;
    int32_t draft_fds[2];
    int32_t lock_fd; /* -1: none */
    int32_t opener;
    bool publishes;
    struct s3dlio_attr attr;
    char path[PATH_VIRTUAL_MAX];
    char uri[PATH_URI_MAX];
};

/* Descriptors of files that nobody has used yet. */
static _Atomic int kept[KEPT_MAX];
static _Atomic unsigned kept_count;

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

static int entry_fill(int fd, struct file *file, struct entry *ret_entry)
{
    struct entry *entry = ret_entry;
    struct stat st;
    if (REAL(fstat)(fd, &st) < 0)
        return -errno;
    memset(entry, 0, sizeof *entry);
    entry->fd = fd;
    entry->file = file->index;
    entry->device = st.st_dev;
    entry->inode = st.st_ino;
    entry->kind = file->kind;
    entry->slot = arena_slot_index(file->slot);
    entry->lock_fd = atomic_load(&file->lock_fd) - 1;
    entry->opener = file->opener;
    entry->publishes = file->publishes;
    entry->attr = file->attr;
    snprintf(entry->path, sizeof entry->path, "%s", file->path);
    snprintf(entry->uri, sizeof entry->uri, "%s", file->uri);
    if (!file->staged)
        return 0;
    entry->node = arena_node_index(file->staged->node);
    return staged_handles(file->staged, entry->draft_fds);
}

struct writing {
    int fd;
    struct head head;
};

static int entry_write(int fd, struct file *file, void *arg)
{
    struct writing *writing = arg;
    struct entry entry;
    if (++writing->head.count > ENTRIES_MAX)
        return -EMFILE;
    int result = entry_fill(fd, file, &entry);
    return result < 0 ? result : all_write(writing->fd, &entry, sizeof entry);
}

static int flags_set(int fd, struct file *file, void *arg)
{
    int flags = *(const int *)arg, draft_fds[2];
    int lock_fd = atomic_load(&file->lock_fd) - 1;
    if (lock_fd >= 0)
        REAL(fcntl)(lock_fd, F_SETFD, flags);
    if (file->staged && !staged_handles(file->staged, draft_fds)) {
        REAL(fcntl)(draft_fds[0], F_SETFD, flags);
        REAL(fcntl)(draft_fds[1], F_SETFD, flags);
    }
    return 0;
}

static void all_flags_set(int handover_fd, int flags)
{
    struct arena_key key;
    handover_each(flags_set, &flags);
    if (!arena_key(&key))
        REAL(fcntl)(key.fd, F_SETFD, flags);
    REAL(fcntl)(handover_fd, F_SETFD, flags);
}

static int head_fill(struct head *head)
{
    struct stat st;
    int result = 0;
    *head = (struct head){.magic = MAGIC, .pid = getpid()};
    strcpy(head->cwd, path_cwd());
    if (head->cwd[0] && !REAL(fstatat)(AT_FDCWD, ".", &st, 0)) {
        head->cwd_device = st.st_dev;
        head->cwd_inode = st.st_ino;
    }
    head->has_arena = arena_is_used();
    if (head->has_arena)
        result = arena_key(&head->arena);
    return result;
}

static int all_fill(int fd)
{
    struct writing writing = {.fd = fd};
    int result = head_fill(&writing.head);
    if (!result)
        result = all_write(fd, &writing.head, sizeof writing.head);
    if (!result)
        result = handover_each(entry_write, &writing);
    if (!result && REAL(pwrite)(fd, &writing.head, sizeof writing.head, 0) !=
                       (ssize_t)sizeof writing.head)
        result = -EIO;
    if (!result && REAL(fcntl)(fd, F_ADD_SEALS, SEALS) < 0)
        result = -errno;
    return result;
}

int handover_begin(struct handover *ret_handover)
{
    int fd = memfd_create("s3dlio-handover", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int result = fd < 0 ? -errno : all_fill(fd);
    if (result < 0) {
        if (fd >= 0)
            REAL(close)(fd);
        return result;
    }
    all_flags_set(fd, 0);
    ret_handover->fd = fd;
    snprintf(ret_handover->variable, sizeof ret_handover->variable, VARIABLE "%d", fd);
    return 0;
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
        st.st_size > (off_t)(sizeof(struct head) + ENTRIES_MAX * sizeof(struct entry)) ||
        REAL(fcntl)(fd, F_GET_SEALS) != SEALS)
        return NULL;
    void *memory = REAL(mmap)(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    *ret_size = (size_t)st.st_size;
    return memory == MAP_FAILED ? NULL : memory;
}

static bool is_for_us(const struct head *head, size_t size)
{
    return head->magic == MAGIC && head->pid == getpid() &&
           size == sizeof *head + head->count * sizeof(struct entry) &&
           memchr(head->cwd, '\0', sizeof head->cwd);
}

static bool is_placeholder(const struct entry *entry)
{
    struct stat st;
    int flags = REAL(fcntl)(entry->fd, F_GETFL);
    return flags >= 0 && flags & O_PATH && !REAL(fstat)(entry->fd, &st) && S_ISSOCK(st.st_mode) &&
           st.st_dev == entry->device && st.st_ino == entry->inode;
}

static bool is_whole(const struct entry *entry)
{
    return entry->kind >= FILE_READER && entry->kind <= FILE_PATH &&
           memchr(entry->path, '\0', sizeof entry->path) &&
           memchr(entry->uri, '\0', sizeof entry->uri) &&
           memchr(entry->attr.etag, '\0', sizeof entry->attr.etag);
}

static void keep(int fd)
{
    unsigned count = kept_count;
    REAL(fcntl)(fd, F_SETFD, FD_CLOEXEC);
    if (count < KEPT_MAX && !handover_keeps(fd)) {
        kept[count] = fd;
        kept_count = count + 1;
    }
}

bool handover_keeps(int fd)
{
    for (unsigned i = 0; i < kept_count; i++)
        if (kept[i] == fd)
            return true;
    return false;
}

void handover_release(const int fds[2])
{
    for (unsigned i = 0; i < kept_count; i++)
        if (kept[i] == fds[0] || kept[i] == fds[1])
            kept[i] = -1;
}

/* A file for the entry, with one reference; NULL when it is not to be believed. */
static struct file *entry_adopt(const struct entry *entry)
{
    struct arena_slot *slot = arena_held_slot(entry->slot);
    struct arena_node *node =
        entry->kind == FILE_STAGED ? arena_held_node(entry->node) : NULL;
    struct file *file;
    if (!slot || (entry->kind == FILE_STAGED && !node) ||
        file_new_again(entry->kind, slot, entry->path, entry->uri, &file) < 0)
        return NULL;
    file->attr = entry->attr;
    file->opener = entry->opener;
    file->publishes = entry->publishes;
    if (node && staged_adopt(node, entry->draft_fds, &file->staged) < 0) {
        file_put(file);
        return NULL;
    }
    for (unsigned i = 0; node && i < 2; i++)
        keep(entry->draft_fds[i]);
    if (entry->lock_fd >= 0 && lock_adopt(file, entry->lock_fd))
        keep(entry->lock_fd);
    atomic_store(&file->sleeps, true);
    return file;
}

/* Which file each entry became: NULL, none. */
struct adopted {
    const struct entry *entries;
    uint32_t count;
    struct file *files[ENTRIES_MAX];
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
        const struct entry *entry = &adopted->entries[i];
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
        const struct entry *entry = &adopted->entries[i];
        struct file *file = NULL;
        if (is_whole(entry) && is_placeholder(entry)) {
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
    struct adopted *adopted = calloc(1, sizeof *adopted);
    if (!adopted)
        return;
    adopted->entries = (const struct entry *)(head + 1);
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
