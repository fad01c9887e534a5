/* The words of /proc/self/cmdline that are virtual paths. See command_line.h. */
#include "shim/command_line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "shim/engine.h"
#include "shim/path.h"
#include "shim/real.h"

#define LINE_MAX_BYTES ((size_t)1 << 20)
#define READ_BYTES     ((size_t)16 << 10)

/* The caller's, with a NUL behind it; NULL when there is none to be had. */
static char *line_read(size_t *ret_length)
{
    int fd = REAL(open)("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    char *line = NULL;
    size_t length = 0, room = 0;
    ssize_t got = 0;
    if (fd < 0)
        return NULL;
    do {
        length += (size_t)got;
        if (room - length < READ_BYTES) {
            room = room ? 2 * room : 2 * READ_BYTES;
            char *larger = room <= LINE_MAX_BYTES ? realloc(line, room) : NULL;
            if (!larger)
                break;
            line = larger;
        }
        got = REAL(read)(fd, line + length, room - length - 1);
    } while (got > 0);
    REAL(close)(fd);
    if (line)
        line[length] = '\0';
    *ret_length = length;
    return line;
}

static char *uri_of(const char *word)
{
    struct vpath path;
    if (*word == '-' || !*word || path_classify(AT_FDCWD, word, &path) != 1)
        return NULL;
    return strdup(path.uri);
}

void command_line_expect(void)
{
    size_t length = 0, words = 0, count = 0;
    char *line = line_read(&length);
    for (size_t i = 0; i < length; i++)
        words += !line[i];
    char **uris = words > 2 ? malloc(words * sizeof *uris) : NULL;
    for (char *word = line; uris && word < line + length; word += strlen(word) + 1) {
        uris[count] = word == line ? NULL : uri_of(word);
        count += uris[count] != NULL;
    }
    if (count > 1)
        engine_call(expect)((const char *const *)uris, count);
    while (count > 0)
        free(uris[--count]);
    free(uris);
    free(line);
}
