/* Streams: modes, buffering, seeking, errors, fdopen, freopen, wide characters. */
#include "tests/preload/preload.h"

#include <fcntl.h>
#include <locale.h>
#include <stdio_ext.h>
#include <wchar.h>

#define SIZE (700 << 10 | 77)

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
}

static void assert_content(const char *path, const char *expected)
{
    char text[256] = "";
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    assert_int_equal(ferror(file), 0);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(text, expected);
    assert_int_equal(length, strlen(expected));
}

static void lines(void **state)
{
    const char *path = preload_path("lines");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fprintf(file, "%d\n%s\n", 42, "second line"), 15);
    assert_int_equal(fputc('x', file), 'x');
    assert_int_equal(fclose(file), 0);

    file = fopen(path, "r");
    int number = 0;
    assert_int_equal(fscanf(file, "%d\n", &number), 1);
    assert_int_equal(number, 42);
    char *line = NULL;
    size_t room = 0;
    assert_int_equal(getline(&line, &room, file), 12);
    assert_string_equal(line, "second line\n");
    assert_int_equal(getc(file), 'x');
    assert_int_equal(getc(file), EOF);
    assert_true(feof(file));
    assert_false(ferror(file));
    assert_int_equal(fclose(file), 0);
    free(line);
}

static void pattern_in_odd_pieces(void **state)
{
    const char *path = preload_path("pattern");
    unsigned char *data = malloc(SIZE + 1), *back = malloc(SIZE + 1);
    preload_fill(data, SIZE, 0);
    FILE *file = fopen(path, "wb");
    for (size_t done = 0, part = 1; done < SIZE; done += part, part = part * 3 % 70001 + 1) {
        part = part > SIZE - done ? SIZE - done : part;
        assert_int_equal(fwrite(data + done, 1, part, file), part);
    }
    assert_int_equal(ftell(file), SIZE);
    assert_int_equal(fclose(file), 0);

    file = fopen(path, "rb");
    size_t done = 0;
    for (size_t part = 1, got; (got = fread(back + done, 1, part, file)) > 0;) {
        done += got;
        part = part * 5 % 90001 + 1;
        part = part > SIZE + 1 - done ? SIZE + 1 - done : part;
        int next = getc(file);
        if (next != EOF)
            back[done++] = (unsigned char)next;
        if (done >= SIZE)
            break;
    }
    assert_int_equal(done, SIZE);
    assert_memory_equal(data, back, SIZE);
    fclose(file);
    free(data);
    free(back);
}

static void positions(void **state)
{
    const char *path = preload_path("positions");
    put(path, "0123456789");
    FILE *file = fopen(path, "r");
    assert_int_equal(fseek(file, -3, SEEK_END), 0);
    assert_int_equal(getc(file), '7');
    assert_int_equal(ftello(file), 8);
    assert_int_equal(ungetc('7', file), '7');
    assert_int_equal(ftello(file), 7);
    assert_int_equal(fseek(file, 2, SEEK_SET), 0);
    assert_int_equal(getc(file), '2');
    assert_int_equal(fseek(file, 1, SEEK_CUR), 0);
    assert_int_equal(getc(file), '4');
    fpos_t position;
    assert_int_equal(fgetpos(file, &position), 0);
    rewind(file);
    assert_int_equal(getc(file), '0');
    assert_int_equal(fsetpos(file, &position), 0);
    assert_int_equal(getc(file), '5');
    assert_int_equal(fseek(file, -1, SEEK_SET), -1);
    assert_int_equal(errno, EINVAL);
    /* What was read ahead goes back: the descriptor's position is the stream's. */
    assert_int_equal(fflush(file), 0);
    assert_int_equal(lseek(fileno(file), 0, SEEK_CUR), 6);
    fclose(file);
}

static void errors(void **state)
{
    const char *path = preload_path("errors");
    put(path, "text");
    assert_null(fopen(preload_path("missing"), "r"));
    assert_int_equal(errno, ENOENT);
    assert_null(fopen(path, "z"));
    assert_int_equal(errno, EINVAL);
    assert_null(fopen(path, "wx"));
    assert_int_equal(errno, EEXIST);
    assert_null(fopen(preload_root(), "w"));
    assert_int_equal(errno, EISDIR);

    FILE *file = fopen(path, "r");
    assert_int_equal(putc('x', file), EOF);
    assert_int_equal(errno, EBADF);
    assert_true(ferror(file));
    fclose(file);
    file = fopen(preload_path("new"), "w");
    assert_int_equal(getc(file), EOF);
    assert_int_equal(errno, EBADF);
    fclose(file);

    file = fopen(preload_root(), "r");
    assert_non_null(file);
    assert_int_equal(getc(file), EOF);
    assert_int_equal(errno, EISDIR);
    fclose(file);
}

static void descriptors(void **state)
{
    const char *path = preload_path("descriptors");
    put(path, "text");
    FILE *file = fopen(path, "re");
    int fd = fileno(file);
    assert_true(fd > 2);
    assert_int_equal(fileno_unlocked(file), fd);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 4);
    assert_int_equal(fclose(file), 0);
    assert_errno(fcntl(fd, F_GETFD), EBADF);

    fd = open(path, O_RDONLY);
    assert_null(fdopen(fd, "w"));
    assert_int_equal(errno, EINVAL);
    file = fdopen(fd, "r");
    assert_non_null(file);
    assert_int_equal(fileno(file), fd);
    assert_int_equal(getc(file), 't');
    assert_int_equal(fclose(file), 0);
    assert_errno(fcntl(fd, F_GETFD), EBADF);

    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(dprintf(fd, "%s-%d", "formatted", 7), 11);
    assert_int_equal(close(fd), 0);
    assert_content(path, "formatted-7");
}

static void buffering(void **state)
{
    const char *path = preload_path("buffering");
    struct stat st;
    FILE *file = fopen(path, "w");
    fputs("held", file);
    assert_int_equal(__fpending(file), 4);
    fstat(fileno(file), &st);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(fflush(file), 0);
    fstat(fileno(file), &st);
    assert_int_equal(st.st_size, 4);
    setvbuf(file, NULL, _IONBF, 0);
    fputs("now", file);
    fstat(fileno(file), &st);
    assert_int_equal(st.st_size, 7);
    fclose(file);

    static char buffer[64];
    file = fopen(path, "w");
    setvbuf(file, buffer, _IOLBF, sizeof buffer);
    fputs("line\n", file);
    fstat(fileno(file), &st);
    assert_int_equal(st.st_size, 5);
    fputs("rest-more", file);
    fstat(fileno(file), &st);
    assert_int_equal(st.st_size, 5);
    assert_int_equal(fflush(NULL), 0);
    fstat(fileno(file), &st);
    assert_int_equal(st.st_size, 14);
    fclose(file);
    assert_content(path, "line\nrest-more");
}

static void appending_to_nothing(void **state)
{
    const char *path = preload_path("appending");
    unlink(path);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fputs("one", file);
    assert_int_equal(ftell(file), 3);
    fputs("two", file);
    assert_int_equal(fclose(file), 0);
    assert_content(path, "onetwo");
}

static void reopening(void **state)
{
    const char *first = preload_path("first"), *second = preload_path("second");
    put(first, "first");
    put(second, "second");
    FILE *file = fopen(first, "r");
    int fd = fileno(file);
    assert_int_equal(getc(file), 'f');
    assert_ptr_equal(freopen(second, "r", file), file);
    assert_int_equal(fileno(file), fd);
    assert_int_equal(getc(file), 's');
    assert_ptr_equal(freopen(first, "w", file), file);
    assert_int_equal(fputs("third", file) >= 0, 1);
    assert_ptr_equal(freopen(second, "w", file), file); /* completes the first */
    assert_content(first, "third");
    fputs("fourth", file);

    /* To a file on the local disk, and from one to ours. */
    assert_ptr_equal(freopen("/proc/self/status", "r", file), file);
    assert_int_equal(fileno(file), fd);
    assert_content(second, "fourth");
    char word[16] = "";
    assert_int_equal(fscanf(file, "%15s", word), 1);
    assert_string_equal(word, "Name:");
    assert_ptr_equal(freopen(first, "r", file), file);
    assert_int_equal(fscanf(file, "%15s", word), 1);
    assert_string_equal(word, "third");
    assert_null(freopen(preload_path("missing"), "r", file));
    assert_int_equal(errno, ENOENT);
    fclose(file);
}

static void same_file_in_another_mode(void **state)
{
    const char *path = preload_path("same");
    put(path, "text");
    FILE *file = fopen(path, "r");
    assert_int_equal(getc(file), 't');
    assert_int_equal(getc(file), 'e');
    assert_ptr_equal(freopen(NULL, "rb", file), file);
    assert_int_equal(getc(file), 't');
    fclose(file);
}

static void wide_characters(void **state)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8")) {
        print_message("skip: no locale C.UTF-8\n");
        skip();
    }
    const char *path = preload_path("wide");
    FILE *file = fopen(path, "w");
    assert_true(fwide(file, 1) > 0);
    assert_true(fputws(L"gr\u00fc\u00dfe\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    file = fopen(path, "r,ccs=UTF-8");
    assert_non_null(file);
    assert_true(fwide(file, 0) > 0);
    wchar_t line[16];
    assert_non_null(fgetws(line, 16, file));
    assert_int_equal(wcscmp(line, L"gr\u00fc\u00dfe\n"), 0);
    fclose(file);
    assert_content(path, "gr\u00fc\u00dfe\n");
}

static void descriptor_replaced_under_a_stream(void **state)
{
    const char *first = preload_path("under1"), *second = preload_path("under2");
    put(first, "aaaa");
    put(second, "bbbb");
    FILE *file = fopen(first, "r");
    int fd = open(second, O_RDONLY), real = open("/proc/self/status", O_RDONLY);
    assert_int_equal(dup2(fd, fileno(file)), fileno(file));
    assert_int_equal(getc(file), 'b');
    assert_int_equal(dup2(real, fileno(file)), fileno(file));
    char rest[16] = "";
    assert_int_equal(fread(rest, 1, 8, file), 8);
    assert_memory_equal(rest, "bbbName:", 8);
    close(fd);
    close(real);
    assert_int_equal(fclose(file), 0);
}

static void many(void **state)
{
    const char *path = preload_path("many");
    put(path, "x");
    int lowest = open("/dev/null", O_RDONLY);
    close(lowest);
    for (int round = 0; round < 20; round++) {
        FILE *files[50];
        for (int i = 0; i < 50; i++) {
            files[i] = fopen(path, "r");
            assert_non_null(files[i]);
            assert_int_equal(getc(files[i]), 'x');
        }
        for (int i = 0; i < 50; i++)
            assert_int_equal(fclose(files[i * 7 % 50]), 0);
    }
    int fd = open("/dev/null", O_RDONLY);
    assert_int_equal(fd, lowest);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(pattern_in_odd_pieces),
        cmocka_unit_test(positions),
        cmocka_unit_test(errors),
        cmocka_unit_test(descriptors),
        cmocka_unit_test(buffering),
        cmocka_unit_test(appending_to_nothing),
        cmocka_unit_test(reopening),
        cmocka_unit_test(same_file_in_another_mode),
        cmocka_unit_test(wide_characters),
        cmocka_unit_test(descriptor_replaced_under_a_stream),
        cmocka_unit_test(many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
