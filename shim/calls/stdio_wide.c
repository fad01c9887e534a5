/* Wide characters on streams of ours.
 *
 * glibc gives cookie streams no wide half: its functions answer WEOF there, which a program takes
 * for the end of the file. So each wide function is here once more for our streams, over the byte
 * functions and the locale's conversion. Every other stream goes to the real function; they are
 * told apart by one load, since glibc's own have wide data. Formatted wide input is refused.
 */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shim/calls/stdio.h"
#include "shim/entry.h"
#include "shim/real.h"
#include "shim/report.h"

#define STREAM_ERROR_SEEN 0x0020
#define FORMAT_MAX        (16u << 20) /* characters that one call may print */

/* Cookie streams have -1 for wide data, so that wide functions crash there predictably. */
static struct stream *ours(FILE *file)
{
    bool has_wide_data = (uintptr_t)file->_wide_data + 1 > 1;
    return likely(has_wide_data) ? NULL : stream_find(file);
}

static wint_t failed(struct stream *stream, int error)
{
    stream->file->_flags |= STREAM_ERROR_SEEN;
    errno = error;
    return WEOF;
}

/* ---- one character, the stream's lock held ---- */

static wint_t get_wide(struct stream *stream)
{
    stream->orientation = 1;
    for (;;) {
        int byte = getc_unlocked(stream->file);
        if (byte == EOF)
            return mbsinit(&stream->input) ? WEOF : failed(stream, EILSEQ);
        char text = (char)byte;
        wchar_t character = 0;
        size_t length = mbrtowc(&character, &text, 1, &stream->input);
        if (length == (size_t)-1)
            return failed(stream, EILSEQ);
        if (length != (size_t)-2)
            return (wint_t)character;
    }
}

wint_t stream_put_wide(struct stream *stream, wchar_t character)
{
    stream->orientation = 1;
    char bytes[MB_LEN_MAX];
    size_t length = wcrtomb(bytes, character, &stream->output);
    if (length == (size_t)-1)
        return failed(stream, EILSEQ);
    size_t done = fwrite_unlocked(bytes, 1, length, stream->file);
    return done == length ? (wint_t)character : WEOF;
}

static wint_t unget_wide(struct stream *stream, wint_t character)
{
    char bytes[MB_LEN_MAX];
    mbstate_t state = {0};
    size_t length = character == WEOF ? (size_t)-1 : wcrtomb(bytes, (wchar_t)character, &state);
    if (length == (size_t)-1)
        return WEOF;
    while (length)
        if (ungetc((unsigned char)bytes[--length], stream->file) == EOF)
            return WEOF;
    return character;
}

static wchar_t *get_line(struct stream *stream, wchar_t *line, int size)
{
    int count = 0;
    wint_t character = L' ';
    while (count + 1 < size && character != L'\n' && (character = get_wide(stream)) != WEOF)
        line[count++] = (wchar_t)character;
    if (size <= 0 || (!count && size > 1) || (character == WEOF && ferror_unlocked(stream->file)))
        return NULL;
    line[count] = L'\0';
    return line;
}

static int put_text(struct stream *stream, const wchar_t *text)
{
    for (; *text; text++)
        if (stream_put_wide(stream, *text) == WEOF)
            return -1;
    return 1;
}

/* ---- the functions ---- */

int fwide(FILE *file, int mode)
{
    struct stream *stream = ours(file);
    if (likely(!stream))
        return REAL(fwide)(file, mode);
    if (!stream->orientation && mode)
        stream->orientation = mode > 0 ? 1 : -1;
    return stream->orientation;
}

wint_t fgetwc(FILE *file)
{
    struct stream *stream = ours(file);
    if (likely(!stream))
        return REAL(fgetwc)(file);
    flockfile(file);
    wint_t result = get_wide(stream);
    funlockfile(file);
    return result;
}

wint_t fgetwc_unlocked(FILE *file)
{
    struct stream *stream = ours(file);
    return likely(!stream) ? REAL(fgetwc_unlocked)(file) : get_wide(stream);
}

wint_t getwchar(void)
{
    return fgetwc(stdin);
}

wint_t getwchar_unlocked(void)
{
    return fgetwc_unlocked(stdin);
}

wint_t ungetwc(wint_t character, FILE *file)
{
    struct stream *stream = ours(file);
    if (likely(!stream))
        return REAL(ungetwc)(character, file);
    flockfile(file);
    wint_t result = unget_wide(stream, character);
    funlockfile(file);
    return result;
}

wchar_t *fgetws(wchar_t *line, int size, FILE *file)
{
    struct stream *stream = ours(file);
    if (likely(!stream))
        return REAL(fgetws)(line, size, file);
    flockfile(file);
    wchar_t *result = get_line(stream, line, size);
    funlockfile(file);
    return result;
}

wchar_t *fgetws_unlocked(wchar_t *line, int size, FILE *file)
{
    struct stream *stream = ours(file);
    return likely(!stream) ? REAL(fgetws_unlocked)(line, size, file) : get_line(stream, line, size);
}

/* What does not fit aborts in libc, and does. */
wchar_t *__fgetws_chk(wchar_t *line, size_t room, int size, FILE *file)
{
    if (likely(!ours(file)) || (size > 0 && (size_t)size > room))
        return REAL(__fgetws_chk)(line, room, size, file);
    return fgetws(line, size, file);
}

wchar_t *__fgetws_unlocked_chk(wchar_t *line, size_t room, int size, FILE *file)
{
    if (likely(!ours(file)) || (size > 0 && (size_t)size > room))
        return REAL(__fgetws_unlocked_chk)(line, room, size, file);
    return fgetws_unlocked(line, size, file);
}

wint_t fputwc(wchar_t character, FILE *file)
{
    struct stream *stream = ours(file);
    if (likely(!stream))
        return REAL(fputwc)(character, file);
    flockfile(file);
    wint_t result = stream_put_wide(stream, character);
    funlockfile(file);
    return result;
}

wint_t fputwc_unlocked(wchar_t character, FILE *file)
{
    struct stream *stream = ours(file);
    return likely(!stream) ? REAL(fputwc_unlocked)(character, file)
                           : stream_put_wide(stream, character);
}

wint_t putwchar(wchar_t character)
{
    return fputwc(character, stdout);
}

wint_t putwchar_unlocked(wchar_t character)
{
    return fputwc_unlocked(character, stdout);
}

int fputws(const wchar_t *text, FILE *file)
{
    struct stream *stream = ours(file);
    if (likely(!stream))
        return REAL(fputws)(text, file);
    flockfile(file);
    int result = put_text(stream, text);
    funlockfile(file);
    return result;
}

int fputws_unlocked(const wchar_t *text, FILE *file)
{
    struct stream *stream = ours(file);
    return likely(!stream) ? REAL(fputws_unlocked)(text, file) : put_text(stream, text);
}

/* ---- formatted ---- */

static int print(FILE *file, const wchar_t *format, va_list args)
{
    for (size_t room = 256; room <= FORMAT_MAX; room *= 4) {
        wchar_t *text = malloc(room * sizeof *text);
        if (!text)
            return -1;
        va_list again;
        va_copy(again, args);
        int length = vswprintf(text, room, format, again);
        va_end(again);
        int result = length >= 0 && fputws(text, file) < 0 ? -1 : length;
        free(text);
        if (length >= 0)
            return result;
    }
    errno = EOVERFLOW;
    return -1;
}

int vfwprintf(FILE *file, const wchar_t *format, va_list args)
{
    return likely(!ours(file)) ? REAL(vfwprintf)(file, format, args) : print(file, format, args);
}

int __vfwprintf_chk(FILE *file, int flag, const wchar_t *format, va_list args)
{
    return likely(!ours(file)) ? REAL(__vfwprintf_chk)(file, flag, format, args)
                               : print(file, format, args);
}

/* Defines NAME(PARAMETERS, ...) as the call of a function that takes a va_list. */
#define VARIADIC(name, last, call, ...)                                                            \
    int name(__VA_ARGS__, ...)                                                                     \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, last);                                                                      \
        int result = call;                                                                         \
        va_end(args);                                                                              \
        return result;                                                                             \
    }

VARIADIC(fwprintf, format, vfwprintf(file, format, args), FILE *file, const wchar_t *format)
VARIADIC(wprintf, format, vfwprintf(stdout, format, args), const wchar_t *format)
VARIADIC(__fwprintf_chk, format, __vfwprintf_chk(file, flag, format, args), FILE *file, int flag,
         const wchar_t *format)
VARIADIC(__wprintf_chk, format, __vfwprintf_chk(stdout, flag, format, args), int flag,
         const wchar_t *format)

int vwprintf(const wchar_t *format, va_list args)
{
    return vfwprintf(stdout, format, args);
}

int __vwprintf_chk(int flag, const wchar_t *format, va_list args)
{
    return __vfwprintf_chk(stdout, flag, format, args);
}

/* The names that C99 and later programs call. */
static int refuse_scan(struct stream *stream)
{
    failed(stream, -report_refusal("formatted wide input from", NULL));
    return EOF;
}

int __isoc99_vfwscanf(FILE *file, const wchar_t *format, va_list args)
{
    struct stream *stream = ours(file);
    return likely(!stream) ? REAL(__isoc99_vfwscanf)(file, format, args) : refuse_scan(stream);
}

VARIADIC(__isoc99_fwscanf, format, __isoc99_vfwscanf(file, format, args), FILE *file,
         const wchar_t *format)
VARIADIC(__isoc99_wscanf, format, __isoc99_vfwscanf(stdin, format, args), const wchar_t *format)

#include "alias_stdio_wide.h"
