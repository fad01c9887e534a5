/* Programs and scripts that live in a bucket.
 *
 * A script is not copied: its interpreter runs under the shim too and opens the virtual path
 * itself, so $0 is right. A binary is fetched into a memfd and run from there. Without stored
 * permissions an object counts as executable; with them they decide.
 *
 * In a vfork child the engine cannot be used (its memory is the parent's, its descriptors are not):
 * a fork of that child fetches, and leaves what it found in a shared page.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "shim/calls/io.h"
#include "shim/calls/link.h"
#include "shim/calls/open.h"
#include "shim/calls/process.h"
#include "shim/file.h"
#include "shim/real.h"

#define COPY_BYTES (1u << 20)

static int copy_to(struct file *file, int fd)
{
    void *buffer =
        REAL(mmap)(NULL, COPY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED)
        return -errno;
    off_t offset = 0;
    ssize_t count;
    while ((count = io_read_at(file, buffer, COPY_BYTES, offset)) > 0) {
        for (ssize_t done = 0, part; done < count; done += part) {
            part = REAL(write)(fd, (char *)buffer + done, (size_t)(count - done));
            if (part < 0) {
                count = -errno;
                break;
            }
        }
        offset += count > 0 ? count : 0;
        if (count < 0)
            break;
    }
    REAL(munmap)(buffer, COPY_BYTES);
    return (int)count;
}

static bool may_execute(const struct file *file)
{
    return !(file->attr.has & S3DLIO_HAS_MODE) || file->attr.mode & 0111;
}

/* Fills head; copies a binary to image->fd. 0, -errno, or LINK_TO_REAL with image->path. */
static int fetch(const struct vpath *path, struct image *image)
{
    struct file *file;
    struct vpath at = *path;
    int result;
    LINK_FOLLOW(&at, LINK_AT_END, result, open_file(&at, O_RDONLY | O_CLOEXEC, 0, &file));
    if (result == LINK_TO_REAL)
        strcpy(image->path, at.path);
    if (result < 0)
        return result;
    ssize_t length = 0;
    if (file->kind != FILE_READER || !may_execute(file))
        result = -EACCES;
    else
        length = io_read_at(file, image->head, sizeof image->head - 1, 0);
    if (length < 0)
        result = (int)length;
    else
        image->head[length] = '\0';
    if (!result && length >= 4 && !memcmp(image->head, "\177ELF", 4))
        result = copy_to(file, image->fd);
    else if (!result && strncmp(image->head, "#!", 2))
        result = -ENOEXEC;
    file_put(file);
    return result;
}

/* ---- from a vfork child ---- */

struct fetched {
    int result;
    char head[sizeof((struct image *)NULL)->head];
    char path[sizeof((struct image *)NULL)->path];
};

struct fetching {
    const struct vpath *path;
    struct image *image;
    struct fetched *shared;
};

static int fetch_to_shared(const void *arg)
{
    const struct fetching *fetching = arg;
    struct fetched *shared = fetching->shared;
    shared->result = fetch(fetching->path, fetching->image);
    memcpy(shared->head, fetching->image->head, sizeof shared->head);
    memcpy(shared->path, fetching->image->path, sizeof shared->path);
    return 0;
}

static int fetch_apart(const struct vpath *path, struct image *image)
{
    struct fetched *shared =
        REAL(mmap)(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return -errno;
    struct fetching fetching = {path, image, shared};
    int result = process_apart(fetch_to_shared, &fetching);
    if (!result) {
        result = shared->result;
        memcpy(image->head, shared->head, sizeof image->head);
        memcpy(image->path, shared->path, sizeof image->path);
    }
    REAL(munmap)(shared, sizeof *shared);
    return result;
}

/* ---- the image ---- */

/* "#! interpreter argument…": cuts the line into the two, as the kernel does. */
static int parse_script(struct image *image)
{
    char *line = image->head + 2;
    line[strcspn(line, "\n")] = '\0';
    line += strspn(line, " \t");
    char *end = line + strcspn(line, " \t");
    char *argument = end + strspn(end, " \t");
    *end = '\0';
    for (size_t length = strlen(argument); length && strchr(" \t", argument[length - 1]);)
        argument[--length] = '\0';
    if (!*line || strlen(line) >= sizeof image->path)
        return -ENOEXEC;
    strcpy(image->path, line);
    image->interpreter = line;
    image->argument = *argument ? argument : NULL;
    return 0;
}

int image_init(const struct vpath *path, struct image *ret_image)
{
    struct image *image = ret_image;
    image->interpreter = image->argument = image->script = NULL;
    image->fd = memfd_create("s3dlio-program", MFD_CLOEXEC);
    if (image->fd < 0)
        return -errno;
    int result = process_is_vfork_child() ? fetch_apart(path, image) : fetch(path, image);
    if (result == LINK_TO_REAL) { /* image->path it is */
        image_fini(image);
        return 0;
    }
    if (!result && image->head[0] == '#') {
        image->script = path->path;
        result = parse_script(image);
        REAL(close)(image->fd);
        image->fd = -1;
    } else if (!result) {
        snprintf(image->path, sizeof image->path, "/proc/self/fd/%d", image->fd);
    }
    if (result < 0)
        image_fini(image);
    return result;
}

void image_fini(struct image *image)
{
    if (image->fd >= 0)
        REAL(close)(image->fd);
    image->fd = -1;
}

void image_arguments(const struct image *image, char *const argv[], const char **ret_argv)
{
    size_t count = 0, from = 0;
    if (image->script) {
        ret_argv[count++] = image->interpreter;
        if (image->argument)
            ret_argv[count++] = image->argument;
        ret_argv[count++] = image->script;
        from = 1;
    }
    if (argv && argv[0])
        for (size_t i = from; argv[i]; i++)
            ret_argv[count++] = argv[i];
    ret_argv[count] = NULL;
}
