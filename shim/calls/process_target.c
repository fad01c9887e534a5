/* Will a program load this library? Only then may it inherit something virtual: to any other a
 * virtual descriptor is a placeholder that swallows nothing and gives nothing.
 *
 * What cannot be known counts as no. The rules are the kernel's (scripts lead to their
 * interpreters; set-id files and file capabilities mean AT_SECURE) and the dynamic loader's.
 * Allocates nothing.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#include "shim/calls/process.h"
#include "shim/real.h"

#define SCRIPT_DEPTH_MAX 5
#define HEADERS_MAX      512
#define LINE_BYTES       256
#define LOADER_PREFIX    "ld-linux"

#if defined __x86_64__
#    define MACHINE EM_X86_64
#else
#    define MACHINE EM_AARCH64
#endif

static bool read_at(int fd, void *buffer, size_t size, uint64_t offset)
{
    return REAL(pread)(fd, buffer, size, (off_t)offset) == (ssize_t)size;
}

/* The loader that an ELF file names: 1, 0 without one, -1 for what cannot be understood. */
static int loader_of(int fd, const ElfW(Ehdr) * header, char ret_loader[LINE_BYTES])
{
    if (header->e_phentsize != sizeof(ElfW(Phdr)) || header->e_phnum > HEADERS_MAX)
        return -1;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        ElfW(Phdr) segment;
        if (!read_at(fd, &segment, sizeof segment, header->e_phoff + i * sizeof segment))
            return -1;
        if (segment.p_type != PT_INTERP)
            continue;
        if (segment.p_filesz < 2 || segment.p_filesz > LINE_BYTES ||
            !read_at(fd, ret_loader, segment.p_filesz, segment.p_offset) ||
            ret_loader[segment.p_filesz - 1])
            return -1;
        return 1;
    }
    return 0;
}

static const char *check_elf(int fd)
{
    static const unsigned char class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
    ElfW(Ehdr) header;
    char loader[LINE_BYTES];
    if (!read_at(fd, &header, sizeof header, 0) || header.e_ident[EI_CLASS] != class ||
        header.e_machine != MACHINE)
        return "is built for another kind of machine than this library";
    int found = loader_of(fd, &header, loader);
    if (found < 0)
        return "is a damaged ELF file";
    if (!found)
        return "is statically linked, so no library can be preloaded into it";
    const char *slash = strrchr(loader, '/');
    if (strncmp(slash ? slash + 1 : loader, LOADER_PREFIX, strlen(LOADER_PREFIX)) != 0)
        return "uses another C library than this one";
    return NULL;
}

/* A file system mounted without set-id is not looked for: what that refuses too much is rare. */
static const char *check_privileges(int fd)
{
    struct stat st;
    if (REAL(fstat)(fd, &st) < 0)
        return "cannot be looked into";
    if ((st.st_mode & S_ISUID && st.st_uid != getuid()) ||
        ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st.st_gid != getgid()))
        return "is set-user-id or set-group-id, for which the system ignores LD_PRELOAD";
    if (getuid() && REAL(fgetxattr)(fd, "security.capability", NULL, 0) > 0)
        return "has file capabilities, for which the system ignores LD_PRELOAD";
    return NULL;
}

/* "#! interpreter argument": ends the interpreter's name in place. */
static char *interpreter_of(char line[LINE_BYTES])
{
    char *name = line + 2 + strspn(line + 2, " \t");
    name[strcspn(name, " \t\n")] = '\0';
    return *name ? name : NULL;
}

static int target_open(int dirfd, const char *path)
{
    char name[32];
    if (*path)
        return REAL(openat)(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    snprintf(name, sizeof name, "/proc/self/fd/%d", dirfd);
    return REAL(open)(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

const char *process_target_refuses(int dirfd, const char *path)
{
    char line[LINE_BYTES + 1];
    const char *reason = NULL;
    for (int depth = 0; depth < SCRIPT_DEPTH_MAX; depth++) {
        int fd = target_open(dirfd, path);
        if (fd < 0)
            return errno == ENOENT ? NULL : "cannot be looked into";
        ssize_t got = REAL(pread)(fd, line, LINE_BYTES, 0);
        line[got > 0 ? got : 0] = '\0';
        bool is_elf = got >= SELFMAG && !memcmp(line, ELFMAG, SELFMAG);
        if (is_elf)
            reason = check_elf(fd);
        if (is_elf && !reason)
            reason = check_privileges(fd);
        REAL(close)(fd);
        if (is_elf || strncmp(line, "#!", 2))
            return reason; /* what is neither the kernel does not execute */
        path = interpreter_of(line);
        dirfd = AT_FDCWD;
        if (!path)
            return NULL;
    }
    return "leads from interpreter to interpreter without an end";
}
