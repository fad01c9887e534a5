/* shim/path.h: which paths are ours. A virtual name is canonical, lies below a mount and is found
 * again by its own path. No descriptor is virtual here: the first line is the working directory,
 * the second the path. */
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#include "base/uri.h"
#include "config/options.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/path.h"
#include "shim/proc.h"
#include "tests/fuzz/fuzz.h"

/* What path.c asks the rest of the shim. */
_Atomic(fdtab_entry *) fdtab_leaves[FDTAB_LEAVES];
__thread bool fdtab_is_aside __attribute__((tls_model("initial-exec")));

struct file *file_get(int fd)
{
    (void)fd;
    return NULL;
}

void file_put(struct file *file)
{
    (void)file;
}

int proc_target(const char *path, char ret_target[PATH_VIRTUAL_MAX])
{
    (void)path;
    (void)ret_target;
    return 0;
}

bool proc_directory(int dirfd, char ret_path[PATH_VIRTUAL_MAX])
{
    strcpy(ret_path, "/data");
    return dirfd == AT_FDCWD;
}

static void prepare(void)
{
    static char *const environment[] = {(char *)"S3DLIO_MOUNTS=/data=s3://bkt/pre,/m/n=file:///tmp",
                                        NULL};
    static struct options options;
    static bool done;

    if (done)
        return;
    FUZZ_REQUIRE(options_load(environment, NULL, NULL, &options) == 0);
    FUZZ_REQUIRE(path_init(&options) == 0);
    done = true;
}

static void check_virtual(const struct vpath *found)
{
    struct vpath again = {0};
    struct uri uri;
    size_t length = strlen(found->path);

    FUZZ_REQUIRE(found->path[0] == '/' && !strstr(found->path, "//"));
    FUZZ_REQUIRE(!strstr(found->path, "/./") && !strstr(found->path, "/../"));
    FUZZ_REQUIRE(found->path[length - 1] != '/');
    FUZZ_REQUIRE(path_maybe(found->path));
    FUZZ_REQUIRE(path_resolve(AT_FDCWD, found->path, &again) == 1);
    FUZZ_REQUIRE(!strcmp(again.path, found->path));
    (void)uri_parse(found->uri, &uri);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vpath directory = {0}, found = {0};
    char *text = malloc(size + 1), *path;

    prepare();
    FUZZ_REQUIRE(text);
    memcpy(text, data, size);
    text[size] = '\0';
    path = strchr(text, '\n');
    if (path)
        *path++ = '\0';
    path_set_cwd(NULL);
    if (path && path_classify(AT_FDCWD, text, &directory) == 1) {
        check_virtual(&directory);
        path_set_cwd(directory.path);
    }
    if (path_classify(AT_FDCWD, path ? path : text, &found) == 1)
        check_virtual(&found);
    if (path_cwd()[0])
        free((void *)path_cwd()); /* a program's stays: other threads may read it */
    path_set_cwd(NULL);
    free(text);
    return 0;
}
