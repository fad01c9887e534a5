/* engine/store/s3_xml.c: element by element, and everything that an answer may not contain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/s3_xml.h"

static char seen[4096];
static char root[64];

static void on_root(void *arg, const char *name)
{
    (void)arg;
    snprintf(root, sizeof root, "%s", name);
}

static int on_element(void *arg, const char *parent, const char *name, char *text, size_t length)
{
    const char *refused = arg;

    if (refused && strcmp(refused, name) == 0)
        return -22;
    assert_int_equal(strlen(text), length);
    snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%s/%s=%.40s;", parent, name, text);
    return 0;
}

/* Parses in pieces of `step` bytes. */
static enum error_class parse(const char *text, size_t step, const char *refused)
{
    struct s3_xml *xml = s3_xml_new(on_root, on_element, (void *)refused);
    size_t length = strlen(text);
    struct error err = {0};

    assert_non_null(xml);
    seen[0] = root[0] = '\0';
    for (size_t at = 0; at < length;) {
        void *where;
        size_t room = s3_xml_space(xml, &where);
        size_t count = length - at < step ? length - at : step;

        assert_true(room > 0);
        count = count < room ? count : room;
        memcpy(where, text + at, count);
        s3_xml_commit(xml, count);
        at += count;
    }
    s3_xml_finish(xml, &err);
    s3_xml_free(xml);
    return err.class;
}

static void elements_with_parents(void **state)
{
    static const char text[] =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<List xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n  <Contents><Key>a&amp;b &#34;c"
        "&quot;</Key><Owner><ID/></Owner><Size>5</Size></Contents>\n</List>";

    (void)state;
    for (size_t step = 1; step < 200; step += 7) {
        assert_int_equal(parse(text, step, NULL), ERROR_NONE);
        assert_string_equal(root, "List");
        assert_string_equal(seen,
                            "Contents/Key=a&b \"c\";Owner/ID=;Contents/Owner=;Contents/Size=5;"
                            "List/Contents=;/List=\n;");
    }
}

static void prefixes_are_cut(void **state)
{
    (void)state;
    assert_int_equal(parse("<s3:Error xmlns:s3='x'><s3:Code>Slow</s3:Code></s3:Error>", 100, NULL),
                     ERROR_NONE);
    assert_string_equal(root, "Error");
    assert_string_equal(seen, "Error/Code=Slow;/Error=;");
}

static void broken_documents(void **state)
{
    static const char *const texts[] = {
        "",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a>\x01</a>",
        "<a>\xff</a>",
        "<a>&undefined;</a>",
        "<html><body>502 Bad Gateway<br></body></html>",
        "not XML at all",
        "{\"error\": 1}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(parse(texts[i], 3, NULL), ERROR_PROTOCOL);
        assert_int_equal(parse(texts[i], 1000, NULL), ERROR_PROTOCOL);
    }
}

static void document_types_are_refused(void **state)
{
    static const char laughs[] =
        "<?xml version=\"1.0\"?><!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]>"
        "<Error><Code>&b;</Code></Error>";

    (void)state;
    assert_int_equal(parse(laughs, 10, NULL), ERROR_PROTOCOL);
    assert_string_equal(seen, "");
    assert_int_equal(parse("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>", 10, NULL),
                     ERROR_PROTOCOL);
}

static void depth_and_length_have_limits(void **state)
{
    size_t length = 70000;
    char *text = malloc(length + 20);
    char deep[512] = "";

    (void)state;
    assert_non_null(text);
    strcpy(text, "<a>");
    memset(text + 3, 'x', length);
    strcpy(text + 3 + length, "</a>");
    assert_int_equal(parse(text, 10000, NULL), ERROR_PROTOCOL);
    strcpy(text + 3 + 60000, "</a>");
    assert_int_equal(parse(text, 10000, NULL), ERROR_NONE);
    free(text);
    for (unsigned i = 0; i < 20; i++)
        strcat(deep, "<d>");
    assert_int_equal(parse(deep, 100, NULL), ERROR_PROTOCOL);
    memset(deep, 0, sizeof deep);
    deep[0] = '<';
    memset(deep + 1, 'n', 100);
    strcat(deep, "/>");
    assert_int_equal(parse(deep, 100, NULL), ERROR_PROTOCOL);
}

static void a_refused_value_ends_it(void **state)
{
    (void)state;
    assert_int_equal(parse("<a><x>1</x><bad>2</bad><x>3</x></a>", 5, "bad"), ERROR_PROTOCOL);
    assert_string_equal(seen, "a/x=1;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_with_parents),
        cmocka_unit_test(prefixes_are_cut),
        cmocka_unit_test(broken_documents),
        cmocka_unit_test(document_types_are_refused),
        cmocka_unit_test(depth_and_length_have_limits),
        cmocka_unit_test(a_refused_value_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
