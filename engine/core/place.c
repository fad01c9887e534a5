/* The directory where a user's processes meet. See place.h. */
#include "core/place.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/fd.h"

#define RUNTIME_BYTES 256
#define PATH_BYTES    (RUNTIME_BYTES + 128) /* with a name */

/* Where it was found, and for whom: every lock asks. The mutex is a leaf. */
static struct {
    pthread_mutex_t mutex;
    uid_t uid;
    char runtime[RUNTIME_BYTES];   /* XDG_RUNTIME_DIR as it was then */
    char path[RUNTIME_BYTES + 16]; /* "": it was not looked for yet */
} known = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* Is it a directory that is this user's alone? Made when it is missing. 0 or -errno. */
static int check_place(const char *path)
{
    struct stat st;
    int fd, result = 0;

    (void)!mkdir(path, 0700); /* where it fails, opening tells why */
    fd_room_begin(FD_FOR_FILES);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    fd_room_end();
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || st.st_mode & 077)
        result = -EPERM;
    close(fd);
    return result;
}

/* In XDG_RUNTIME_DIR, where that is a directory, else in /dev/shm. */
static int find_place(void)
{
    int r = -ENOENT;

    if (known.runtime[0] == '/') {
        snprintf(known.path, sizeof known.path, "%s/s3dlio", known.runtime);
        r = check_place(known.path);
    }
    if (r < 0) {
        snprintf(known.path, sizeof known.path, "/dev/shm/s3dlio-%u", (unsigned)known.uid);
        r = check_place(known.path);
    }
    if (r < 0)
        known.path[0] = '\0';
    return r;
}

/* The mutex is held. */
static int name_in_place(const char *name, char path[PATH_BYTES])
{
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    uid_t uid = geteuid();
    int r = 0;

    if (!runtime || strlen(runtime) >= sizeof known.runtime)
        runtime = "";
    if (!known.path[0] || known.uid != uid || strcmp(known.runtime, runtime) != 0) {
        known.uid = uid;
        strcpy(known.runtime, runtime);
        r = find_place();
    }
    if (r == 0)
        snprintf(path, PATH_BYTES, "%s/%s", known.path, name);
    return r;
}

static int open_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    return fd < 0 ? -errno : fd;
}

int place_open(const char *name)
{
    char path[PATH_BYTES];
    int r = -ENOENT;

    pthread_mutex_lock(&known.mutex);
    for (unsigned i = 0; i < 2 && r == -ENOENT; i++) {
        if (i > 0) /* it was removed meanwhile */
            known.path[0] = '\0';
        r = name_in_place(name, path);
        if (r == 0)
            r = open_file(path);
    }
    pthread_mutex_unlock(&known.mutex);
    return r;
}

void place_unlink(const char *name)
{
    char path[PATH_BYTES];

    pthread_mutex_lock(&known.mutex);
    if (name_in_place(name, path) == 0)
        unlink(path);
    pthread_mutex_unlock(&known.mutex);
}

#define BLOCK_BYTES 512u /* of st_blocks, stat(3type) */

/* A full file system is met here, and not by a signal later. What is there already is not gone through
 * again: that takes long. */
static bool make_room(int fd, const struct stat *st, size_t size_bytes)
{
    bool is_there =
        (uint64_t)st->st_size >= size_bytes && (uint64_t)st->st_blocks >= size_bytes / BLOCK_BYTES;

    return is_there || posix_fallocate(fd, 0, (off_t)size_bytes) == 0;
}

void *place_map(const char *name, size_t size_bytes)
{
    void *memory = MAP_FAILED;
    struct stat st;
    int fd;

    fd_room_begin(FD_FOR_FILES);
    fd = place_open(name);
    fd_room_end();
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        make_room(fd, &st, size_bytes))
        memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}
