/* engine/store/s3_xml.h: the first byte says in what pieces the document comes; the outcome is the
 * same as when it comes at once. */
#include <string.h>

#include "store/s3_xml.h"
#include "tests/fuzz/fuzz.h"

struct outcome {
    uint64_t sum;
    unsigned elements;
    enum error_class class;
};

static void take(struct outcome *outcome, const char *text)
{
    for (; *text; text++)
        outcome->sum = outcome->sum * 31 + (unsigned char)*text;
}

static void on_root(void *arg, const char *name)
{
    take(arg, name);
}

static int on_element(void *arg, const char *parent, const char *name, char *text, size_t length)
{
    struct outcome *outcome = arg;

    FUZZ_REQUIRE(strlen(text) == length);
    take(outcome, parent);
    take(outcome, name);
    take(outcome, text);
    memset(text, 'x', length); /* it may be changed */
    outcome->elements++;
    return 0;
}

static struct outcome parse(const uint8_t *data, size_t size, size_t piece)
{
    struct outcome outcome = {0};
    struct s3_xml *xml = s3_xml_new(on_root, on_element, &outcome);
    struct error err = {0};

    FUZZ_REQUIRE(xml);
    for (size_t at = 0; at < size;) {
        size_t length = size - at < piece ? size - at : piece, room;
        void *where;

        room = s3_xml_space(xml, &where);
        FUZZ_REQUIRE(room > 0);
        length = length < room ? length : room;
        memcpy(where, data + at, length);
        s3_xml_commit(xml, length);
        at += length;
    }
    if (s3_xml_finish(xml, &err) < 0)
        FUZZ_REQUIRE(err.class != ERROR_NONE);
    outcome.class = err.class;
    s3_xml_free(xml);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole, pieces;

    if (size < 1)
        return 0;
    whole = parse(data + 1, size - 1, SIZE_MAX);
    pieces = parse(data + 1, size - 1, 1 + (size_t)data[0]);
    FUZZ_REQUIRE(whole.class == pieces.class);
    FUZZ_REQUIRE(whole.sum == pieces.sum && whole.elements == pieces.elements);
    return 0;
}
