/* The other forms of stdio's calls: unlocked, checked (_FORTIFY_SOURCE), wide, those of
 * <stdio_ext.h>; the streams that are no files; and the order in which streams and descriptors end. */
#include "tests/preload/text.h"

#include <pthread.h>
#include <stdio_ext.h>
#include <sys/wait.h>
#include <wchar.h>

/* What _FORTIFY_SOURCE makes of the plain calls; no header declares them. */
extern char *__fgets_chk(char *line, size_t size, int length, FILE *file);
extern char *__fgets_unlocked_chk(char *line, size_t size, int length, FILE *file);
extern size_t __fread_chk(void *buffer, size_t size, size_t unit, size_t count, FILE *file);
extern size_t __fread_unlocked_chk(void *buffer, size_t size, size_t unit, size_t count,
                                   FILE *file);
extern int __fprintf_chk(FILE *file, int flag, const char *format, ...);
extern int __vfprintf_chk(FILE *file, int flag, const char *format, va_list list);
extern int __dprintf_chk(int fd, int flag, const char *format, ...);
extern int __fwprintf_chk(FILE *file, int flag, const wchar_t *format, ...);
extern wchar_t *__fgetws_chk(wchar_t *line, size_t size, int length, FILE *file);

static FILE *opened(const char *name, const char *mode)
{
    FILE *file = fopen(preload_path(name), mode);
    if (!file)
        fail_msg("%s: %s", name, strerror(errno));
    return file;
}

/* ---- forms of one call ---- */

static void unlocked(void **state)
{
    char text[16] = "";
    FILE *file = opened("sv-unlocked", "w+");
    flockfile(file);
    assert_int_equal(ftrylockfile(file), 0);
    assert_int_equal(putc_unlocked('a', file), 'a');
    assert_int_equal(fputc_unlocked('b', file), 'b');
    assert_true(fputs_unlocked("cd\n", file) >= 0);
    assert_int_equal(fwrite_unlocked("efg", 1, 3, file), 3);
    assert_int_equal(fflush_unlocked(file), 0);
    funlockfile(file);
    funlockfile(file);
    rewind(file);
    assert_int_equal(getc_unlocked(file), 'a');
    assert_int_equal(fgetc_unlocked(file), 'b');
    assert_non_null(fgets_unlocked(text, sizeof text, file));
    assert_string_equal(text, "cd\n");
    assert_int_equal(fread_unlocked(text, 1, sizeof text, file), 3);
    assert_true(feof_unlocked(file) && !ferror_unlocked(file));
    clearerr_unlocked(file);
    assert_false(feof_unlocked(file));
    assert_int_equal(fileno_unlocked(file), fileno(file));
    assert_int_equal(fclose(file), 0);
    text_is("sv-unlocked", "abcd\nefg");
}

static int checked_list(FILE *file, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int length = __vfprintf_chk(file, 1, format, list);
    va_end(list);
    return length;
}

static void checked(void **state)
{
    char text[16] = "";
    FILE *file = opened("sv-checked", "w+");
    assert_int_equal(__fprintf_chk(file, 1, "%d\n", 12), 3);
    assert_int_equal(checked_list(file, "%s\n", "list"), 5);
    assert_int_equal(fflush(file), 0);
    assert_int_equal(__dprintf_chk(fileno(file), 1, "%c%c", 'f', 'd'), 2);
    rewind(file);
    assert_non_null(__fgets_chk(text, sizeof text, sizeof text, file));
    assert_string_equal(text, "12\n");
    assert_non_null(__fgets_unlocked_chk(text, sizeof text, sizeof text, file));
    assert_string_equal(text, "list\n");
    assert_int_equal(__fread_chk(text, sizeof text, 1, 1, file), 1);
    assert_int_equal(__fread_unlocked_chk(text + 1, sizeof text - 1, 1, 9, file), 1);
    assert_int_equal(memcmp(text, "fd", 2), 0);
    assert_int_equal(fclose(file), 0);
}

static void delimiters(void **state)
{
    char *line = NULL;
    size_t room = 0;
    FILE *file = opened("sv-delimiters", "w+");
    fputs("one;two\nthree;", file);
    fwrite("a\0b\n", 1, 4, file);
    rewind(file);
    assert_int_equal(getdelim(&line, &room, ';', file), 4);
    assert_string_equal(line, "one;");
    assert_int_equal(getline(&line, &room, file), 4);
    assert_int_equal(__getdelim(&line, &room, ';', file), 6);
    assert_int_equal(getline(&line, &room, file), 4);
    assert_int_equal(memcmp(line, "a\0b\n", 4), 0);
    assert_int_equal(getline(&line, &room, file), -1);
    assert_true(feof(file));
    free(line);
    fclose(file);
}

static void wide(void **state)
{
    wchar_t line[16];
    int number = 0;
    FILE *file = opened("sv-wide", "w+");
    assert_true(fwide(file, 1) > 0);
    assert_int_equal(fputwc(L'a', file), L'a');
    assert_int_equal(putwc_unlocked(L'b', file), L'b');
    assert_true(fputws(L"c\n", file) >= 0);
    assert_int_equal(fwprintf(file, L"%d\n", 345), 4);
    assert_int_equal(__fwprintf_chk(file, 1, L"%ls\n", L"last"), 5);
    rewind(file);
    assert_int_equal(fgetwc(file), L'a');
    assert_int_equal(ungetwc(L'A', file), L'A');
    assert_int_equal(getwc(file), L'A');
    assert_non_null(fgetws(line, 16, file));
    assert_int_equal(wcscmp(line, L"bc\n"), 0);
    if (preload_is_virtual()) { /* refused, and nothing is taken out of the stream */
        assert_errno(fwscanf(file, L"%d\n", &number), EOPNOTSUPP);
        assert_non_null(fgetws(line, 16, file));
        number = (int)wcstol(line, NULL, 10);
    } else {
        assert_int_equal(fwscanf(file, L"%d\n", &number), 1);
    }
    assert_int_equal(number, 345);
    assert_non_null(__fgetws_chk(line, 16, 16, file));
    assert_int_equal(wcscmp(line, L"last\n"), 0);
    assert_int_equal(fgetwc(file), WEOF);
    assert_int_equal(fclose(file), 0);
    text_is("sv-wide", "abc\n345\nlast\n");
}

/* ---- <stdio_ext.h>, and buffers ---- */

static void extensions(void **state)
{
    FILE *file = opened("sv-extensions", "w+");
    assert_true(__freadable(file) && __fwritable(file) && !__flbf(file));
    fputs("pending", file);
    assert_int_equal(__fpending(file), 7);
    assert_true(__fwriting(file) && !__freading(file));
    __fpurge(file);
    assert_int_equal(__fpending(file), 0);
    fputs("kept\nline\n", file);
    assert_int_equal(fflush(file), 0);
    rewind(file);
    assert_int_equal(getc(file), 'k');
    assert_true(__freading(file) && !__fwriting(file));
    assert_true(__fbufsize(file) > 0);
    assert_int_equal(__fsetlocking(file, FSETLOCKING_BYCALLER), FSETLOCKING_INTERNAL);
    fseek(file, 0, SEEK_END);
    setlinebuf(file);
    assert_true(__flbf(file));
    fputs("whole\n", file);
    assert_int_equal(text_size("sv-extensions"), 16);
    fputs("a part", file);
    _flushlbf();
    assert_int_equal(text_size("sv-extensions"), 22);
    fclose(file);
    file = opened("sv-extensions", "r");
    assert_true(__freadable(file) && !__fwritable(file));
    fclose(file);
}

static void every_mode_of_buffering(void **state)
{
    static char room[100];
    FILE *file = opened("sv-buffers", "w");
    assert_int_equal(setvbuf(file, NULL, _IONBF, 0), 0);
    fputs("12", file);
    assert_int_equal(text_size("sv-buffers"), 2);
    fclose(file);
    file = opened("sv-buffers", "a");
    assert_int_equal(setvbuf(file, room, _IOFBF, sizeof room), 0);
    fputs("34", file);
    assert_int_equal(fflush(file), 0);
    assert_int_equal(text_size("sv-buffers"), 4);
    fclose(file);
    file = opened("sv-buffers", "r");
    setbuf(file, NULL);
    assert_int_equal(getc(file), '1');
    assert_int_equal(lseek(fileno(file), 0, SEEK_CUR), 1); /* no reading ahead of the program */
    assert_int_equal(getc(file), '2');
    fclose(file);
    file = opened("sv-buffers", "r");
    setbuffer(file, room, 2);
    assert_int_equal(getc(file), '1');
    assert_int_equal(getc(file), '2');
    fclose(file);
}

static void modes(void **state)
{
    text_put("sv-modes", "old");
    assert_null(fopen(preload_path("sv-modes"), "wx"));
    assert_int_equal(errno, EEXIST);
    assert_null(fopen(preload_path("sv-modes"), "q"));
    assert_int_equal(errno, EINVAL);
    static const char *const closing[] = {"re", "r+e", "a+e", "rme", "rce"};
    for (unsigned i = 0; i < sizeof closing / sizeof *closing; i++) {
        FILE *file = opened("sv-modes", closing[i]);
        assert_int_equal(fcntl(fileno(file), F_GETFD), FD_CLOEXEC);
        fclose(file);
    }
    FILE *file = opened("sv-modes", "r+b");
    assert_int_equal(fcntl(fileno(file), F_GETFD), 0);
    assert_int_equal(fcntl(fileno(file), F_GETFL) & O_ACCMODE, O_RDWR);
    fclose(file);
    file = fdopen(text_open("sv-modes", O_RDWR), "a"); /* which makes the descriptor append */
    assert_int_equal(fcntl(fileno(file), F_GETFL) & O_APPEND, O_APPEND);
    assert_int_equal(ftell(file), 3);
    fputs(" and new", file);
    fclose(file);
    text_is("sv-modes", "old and new");
    int fd = text_open("sv-modes", O_RDONLY);
    assert_null(fdopen(fd, "w"));
    assert_int_equal(errno, EINVAL);
    close(fd);
}

/* ---- streams that are no files ---- */

static ssize_t cookie_write(void *cookie, const char *text, size_t length)
{
    return write(*(int *)cookie, text, length);
}

static void not_files(void **state)
{
    char memory[16] = "text", *grown = NULL;
    wchar_t *wide_text = NULL;
    size_t length = 0;
    int fd = text_begin("sv-cookie", O_WRONLY, "");
    FILE *file = fmemopen(memory, sizeof memory, "r+");
    assert_int_equal(fileno(file), -1);
    assert_int_equal(getc(file), 't');
    fclose(file);
    file = open_memstream(&grown, &length);
    fprintf(file, "%d", 12345);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(grown, "12345");
    file = open_wmemstream(&wide_text, &length);
    fputws(L"wide", file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(length, 4);
    file = fopencookie(&fd, "w", (cookie_io_functions_t){.write = cookie_write});
    fputs("by a cookie", file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(close(fd), 0);
    text_is("sv-cookie", "by a cookie");
    free(grown);
    free(wide_text);
}

/* ---- the order of ends ---- */

static void flushed_all_at_once(void **state)
{
    FILE *files[3];
    char name[16];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "sv-all%d", i);
        files[i] = opened(name, "w");
        fprintf(files[i], "number %d", i);
    }
    assert_int_equal(text_size("sv-all1"), 0);
    assert_int_equal(fflush(NULL), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "sv-all%d", i);
        assert_int_equal(text_size(name), 8);
        fclose(files[i]);
    }
    fputs("more", files[0] = opened("sv-all0", "a"));
    assert_true(fcloseall() == 0);
    text_is("sv-all0", "number 0more");
}

static FILE *left_open;

static void add_more(void)
{
    fputs(" from a handler", left_open);
}

static void exit_flushes(void **state)
{
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        left_open = fopen(preload_path("sv-exit"), "w");
        fputs("from main,", left_open);
        atexit(add_more);
        exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    text_is("sv-exit", "from main, from a handler");
    pid = fork();
    if (!pid) { /* what is in a buffer is lost, what was written is not */
        left_open = fopen(preload_path("sv-exit"), "w");
        fputs("written,", left_open);
        fflush(left_open);
        fputs(" not written", left_open);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    text_is("sv-exit", "written,");
}

/* The stream does not notice that somebody closed its descriptor: it says so at the end. */
static void descriptor_closed_below(void **state)
{
    FILE *file = opened("sv-below", "w");
    fputs("text", file);
    assert_int_equal(close(fileno(file)), 0);
    assert_errno(fclose(file), EBADF);
    assert_int_equal(text_size("sv-below"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unlocked),
        cmocka_unit_test(checked),
        cmocka_unit_test(delimiters),
        cmocka_unit_test(wide),
        cmocka_unit_test(extensions),
        cmocka_unit_test(every_mode_of_buffering),
        cmocka_unit_test(modes),
        cmocka_unit_test(not_files),
        cmocka_unit_test(exit_flushes),
        cmocka_unit_test(descriptor_closed_below),
        cmocka_unit_test(flushed_all_at_once),
    };
    return cmocka_run_group_tests_name("stdio_variants", tests, NULL, NULL);
}
