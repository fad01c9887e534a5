/* Lock files of objects. See lock_file.h. */
#include "core/lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/uri.h"
#include "core/place.h"
#include "io/fd.h"
#include "store/store.h"

#define NAME_BYTES 64
#define TRIES_MAX  1000 /* of a millisecond each: a removal takes microseconds */

/* Two hashes with different beginnings: objects that met in one name would wait for each other. */
static void name_of(struct store *store, const struct uri *uri, char name[NAME_BYTES])
{
    uint64_t hash[2] = {HASH_BASIS, UINT64_C(0x9e3779b97f4a7c15)};

    struct store_description description = {.endpoint = ""};

    if (store->ops->describe)
        store->ops->describe(store, &description);
    for (unsigned i = 0; i < 2; i++) {
        hash[i] = hash_text(hash[i], description.endpoint) * 31;
        hash[i] = hash_text(hash[i], uri->scheme) * 31;
        hash[i] = hash_text(hash[i], uri->bucket) * 31;
        hash[i] = hash_text(hash[i], uri->key);
    }
    snprintf(name, NAME_BYTES, "lock-%016llx%016llx", (unsigned long long)hash[0],
             (unsigned long long)hash[1]);
}

static int use_byte(int fd, short type, int command)
{
    struct flock use = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    int result;

    do
        result = fcntl(fd, command, &use);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

/* 1 with the file in use, 0 when somebody is removing it or has just done so, or -errno. */
static int open_used(const char *name, bool keeps_locks, int *ret_fd)
{
    struct stat st;
    int fd = place_open(name);

    if (fd < 0)
        return fd;
    int result = use_byte(fd, F_RDLCK, F_OFD_SETLK);
    if (result == -EAGAIN || result == -EACCES)
        result = 0;
    else if (!result)
        result = fstat(fd, &st) < 0 ? -errno : st.st_uid == geteuid() ? st.st_nlink > 0 : -EPERM;
    if (result == 1) {
        fd = keeps_locks ? fd_adopt_here(fd) : fd_adopt(fd);
        if (fd < 0)
            return fd;
        *ret_fd = fd;
        return 1;
    }
    close(fd);
    return result;
}

int lock_file_open(struct store *store, const struct uri *uri, bool keeps_locks, int *ret_fd,
                   struct error *err)
{
    char name[NAME_BYTES];
    int result = 0;

    name_of(store, uri, name);
    for (unsigned tries = 0; result == 0 && tries < TRIES_MAX; tries++) {
        if (tries)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        fd_room_begin(FD_FOR_FILES);
        result = open_used(name, keeps_locks, ret_fd);
        fd_room_end();
    }
    if (result <= 0)
        return error_set_errno(err, ENOLCK,
                               "no lock: a private directory s3dlio-UID in /dev/shm, or "
                               "XDG_RUNTIME_DIR, is needed: %s",
                               strerror(result ? -result : EAGAIN));
    return 0;
}

void lock_file_close(struct store *store, int fd, const struct uri *uri)
{
    char name[NAME_BYTES];

    if (use_byte(fd, F_WRLCK, F_OFD_SETLK) == 0) { /* nobody else has it, nobody gets it */
        name_of(store, uri, name);
        place_unlink(name);
    }
    fd_close(fd);
}
