/* Whether LD_PRELOAD reaches a program: the rules of the kernel and of the dynamic loader.
 *
 * The kernel runs ELF files and, through `#!`, other programs; execvp hands what is neither to
 * /bin/sh. The loader ignores LD_PRELOAD paths where the kernel says AT_SECURE: a set-id file of
 * another owner or group, or file capabilities for anybody but root; set-id bits on scripts mean
 * nothing. A program that may be run but not read is taken to be an ordinary one. */
#include "cli/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli/elf.h"

#define SCRIPT_DEPTH_MAX  5 /* the kernel's own limit is 4 interpreters; env adds one of its own */
#define SCRIPT_LINE_BYTES 256 /* what the kernel reads of the first line */
#define PATH_DEFAULT      "/bin:/usr/bin"

static const struct verdict_row {
    const char *reason; /* behind the path */
    const char *advice;
} verdicts[PROGRAM_VERDICTS] = {
    [PROGRAM_OK] = {"can be served", ""},
    [PROGRAM_NOT_FOUND] = {"is not there", "check the name and PATH"},
    [PROGRAM_NOT_EXECUTABLE] = {"is not an executable file",
                                "chmod +x it, or name its interpreter"},
    [PROGRAM_STATIC] = {"is statically linked, so no library can be preloaded into it",
                        "use a dynamically linked build of it, or a pipe: "
                        "s3dlio run cat /s3/... | PROGRAM"},
    [PROGRAM_FOREIGN] = {"is built for another kind of machine than this library",
                         "use a build for this machine"},
    [PROGRAM_OTHER_LOADER] = {"uses another C library than this one",
                              "use a build for glibc 2.34 or newer"},
    [PROGRAM_SET_ID] = {"is set-user-id or set-group-id, for which the system ignores LD_PRELOAD",
                        "run a copy without these bits, or run it as its owner"},
    [PROGRAM_CAPABILITIES] = {"has file capabilities, for which the system ignores LD_PRELOAD",
                              "run a copy without them (setcap -r), or as root"},
    [PROGRAM_BROKEN] = {"is a damaged ELF file", "install it again"},
    [PROGRAM_TOO_DEEP] = {"leads from interpreter to interpreter without an end",
                          "name the right interpreter on its first line"},
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static bool is_executable_file(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* As execvp looks; ret_path is left alone when nothing is found. EACCES wins over ENOENT. */
static enum program_verdict find_in_path(const char *name, char ret_path[PATH_MAX])
{
    const char *path = getenv("PATH");
    enum program_verdict verdict = PROGRAM_NOT_FOUND;
    char candidate[PATH_MAX];

    path = path ? path : PATH_DEFAULT;
    for (;;) {
        size_t length = strcspn(path, ":");
        int n = snprintf(candidate, sizeof candidate, "%.*s%s%s", (int)length, path,
                         length ? "/" : "./", name);

        if (n > 0 && (size_t)n < sizeof candidate) {
            if (is_executable_file(candidate)) {
                strcpy(ret_path, candidate);
                return PROGRAM_OK;
            }
            if (access(candidate, F_OK) == 0)
                verdict = PROGRAM_NOT_EXECUTABLE;
        }
        if (path[length] == '\0')
            return verdict;
        path += length + 1;
    }
}

static enum program_verdict find_program(const char *name, char ret_path[PATH_MAX])
{
    if (!*name || strlen(name) >= PATH_MAX)
        return PROGRAM_NOT_FOUND;
    if (!strchr(name, '/'))
        return find_in_path(name, ret_path);
    strcpy(ret_path, name);
    if (is_executable_file(name))
        return PROGRAM_OK;
    return access(name, F_OK) == 0 ? PROGRAM_NOT_EXECUTABLE : PROGRAM_NOT_FOUND;
}

/* Will the kernel set AT_SECURE for this ELF file? */
static enum program_verdict check_privileges(int fd)
{
    struct statvfs filesystem;
    struct stat st;

    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
        return PROGRAM_OK;
    if (fstat(fd, &st) < 0 || (fstatvfs(fd, &filesystem) == 0 && filesystem.f_flag & ST_NOSUID))
        return PROGRAM_OK;
    if ((st.st_mode & S_ISUID && st.st_uid != getuid()) ||
        ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st.st_gid != getgid()))
        return PROGRAM_SET_ID;
    if (getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
        return PROGRAM_CAPABILITIES;
    return PROGRAM_OK;
}

/* The loader run as a program loads what it is given, LD_PRELOAD included. */
static bool is_loader(const char *path)
{
    const char *name = base_name(path);

    return strncmp(name, "ld-", 3) == 0 && strstr(name, ".so");
}

static enum program_verdict check_elf(int fd, const struct elf_facts *facts,
                                      struct program *program)
{
    static const enum program_verdict by_kind[] = {
        [ELF_NONE] = PROGRAM_OK,       [ELF_DYNAMIC] = PROGRAM_OK,
        [ELF_STATIC] = PROGRAM_STATIC, [ELF_FOREIGN] = PROGRAM_FOREIGN,
        [ELF_BROKEN] = PROGRAM_BROKEN, [ELF_OTHER_LOADER] = PROGRAM_OTHER_LOADER,
    };
    enum program_verdict verdict = by_kind[facts->kind];

    if (verdict == PROGRAM_STATIC && is_loader(program->path))
        verdict = PROGRAM_OK;
    program->bits = facts->bits;
    strcpy(program->loader, facts->loader);
    return verdict != PROGRAM_OK ? verdict : check_privileges(fd);
}

/* The next word of a line, ended in place; NULL at its end. */
static char *next_word(char **line)
{
    char *word = *line + strspn(*line, " \t");

    *line = word + strcspn(word, " \t");
    if (**line)
        *(*line)++ = '\0';
    return *word ? word : NULL;
}

/* What `#!/usr/bin/env [-S] [NAME=VALUE...] program` runs, or NULL. */
static char *env_target(char *line)
{
    char *word;

    while ((word = next_word(&line)))
        if (*word != '-' && !strchr(word, '='))
            return word;
    return NULL;
}

/* What runs a script: the interpreter of its first line, /bin/sh without one, and for env the
 * program that env looks for. A relative interpreter is the kernel's, which knows no PATH. */
static void script_interpreter(int fd, char ret_name[SCRIPT_LINE_BYTES])
{
    char line[SCRIPT_LINE_BYTES + 1], *rest = line + 2, *name, *target;
    ssize_t n = pread(fd, line, SCRIPT_LINE_BYTES, 0);

    line[n > 0 ? n : 0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    strcpy(ret_name, "/bin/sh");
    if (line[0] != '#' || line[1] != '!' || !(name = next_word(&rest)))
        return;
    target = strcmp(base_name(name), "env") == 0 ? env_target(rest) : NULL;
    if (target)
        snprintf(ret_name, SCRIPT_LINE_BYTES, "%s", target);
    else
        snprintf(ret_name, SCRIPT_LINE_BYTES, "%s%s", strchr(name, '/') ? "" : "./", name);
}

/* Looks into program->path and sets the verdict; true when it is a script, and ret_next names what
 * is to be looked at instead. */
static bool inspect_file(struct program *program, char ret_next[SCRIPT_LINE_BYTES])
{
    struct elf_facts facts;
    bool is_script = false;
    int fd = open(program->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return false;
    if (elf_inspect(fd, &facts) == 0) {
        is_script = facts.kind == ELF_NONE;
        if (is_script)
            script_interpreter(fd, ret_next);
        else
            program->verdict = check_elf(fd, &facts, program);
    }
    close(fd);
    return is_script;
}

void program_inspect(const char *name, struct program *ret_program)
{
    struct program *program = ret_program;
    char next[SCRIPT_LINE_BYTES];

    memset(program, 0, sizeof *program);
    for (int depth = 0; depth <= SCRIPT_DEPTH_MAX; depth++) {
        snprintf(program->path, sizeof program->path, "%s", name);
        program->verdict = find_program(name, program->path);
        if (program->verdict != PROGRAM_OK || !inspect_file(program, next))
            return;
        if (depth == 0)
            strcpy(program->script, program->path);
        name = next;
    }
    program->verdict = PROGRAM_TOO_DEEP;
}

void program_explain(const struct program *program, char *buffer, unsigned long size)
{
    char detail[300] = "";

    if (program->verdict == PROGRAM_FOREIGN && program->bits)
        snprintf(detail, sizeof detail, " (%u-bit)", program->bits);
    else if (program->verdict == PROGRAM_OTHER_LOADER)
        snprintf(detail, sizeof detail, " (its loader is %s)", program->loader);
    snprintf(buffer, size, "%s%s%s %s%s", program->script,
             *program->script ? ": its interpreter " : "", program->path,
             verdicts[program->verdict].reason, detail);
}

const char *program_advice(const struct program *program)
{
    return verdicts[program->verdict].advice;
}
