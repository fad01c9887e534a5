/* A library that is preloaded before the one under test and wraps calls of files, as fakeroot's does:
 * each goes on to the next library's. */
#include <dlfcn.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#ifdef __x86_64__
#    define STAT_VERSION 1
#else
#    define STAT_VERSION 0
#endif

/* By the older name, behind which the next library may have its function of the newer one. */
int fstat(int fd, struct stat *st)
{
    int (*next)(int, int, struct stat *) =
        (int (*)(int, int, struct stat *))dlsym(RTLD_NEXT, "__fxstat");
    return next(STAT_VERSION, fd, st);
}

int fstat64(int fd, struct stat64 *st)
{
    int (*next)(int, struct stat64 *) = (int (*)(int, struct stat64 *))dlsym(RTLD_NEXT, "fstat64");
    return next(fd, st);
}

int fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
    int (*next)(int, const char *, struct stat *, int) =
        (int (*)(int, const char *, struct stat *, int))dlsym(RTLD_NEXT, "fstatat");
    return next(dirfd, path, st, flags);
}

int unlinkat(int dirfd, const char *path, int flags)
{
    int (*next)(int, const char *, int) =
        (int (*)(int, const char *, int))dlsym(RTLD_NEXT, "unlinkat");
    return next(dirfd, path, flags);
}

int unlink(const char *path)
{
    return unlinkat(-100, path, 0);
}
