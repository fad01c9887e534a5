/*
 * Writing and reading XML; see xml.h. Reading is expat's; a document type declaration is refused,
 * which keeps entity expansion out.
 */
#include "xml.h"

#include "encode.h"

#include <expat.h>
#include <stdlib.h>
#include <string.h>

void xml_escape(struct buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '&')
            buf_add(out, "&amp;");
        else if (c == '<')
            buf_add(out, "&lt;");
        else if (c == '>')
            buf_add(out, "&gt;");
        else if (c == '"')
            buf_add(out, "&quot;");
        else if (c < 0x20)
            buf_printf(out, "&#x%x;", c);
        else
            buf_append(out, text, 1);
    }
}

void xml_element(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, "<%s>", name);
    xml_escape(out, text);
    buf_printf(out, "</%s>", name);
}

void xml_element_key(struct buf *out, const char *name, const char *key, bool url_encoded)
{
    buf_printf(out, "<%s>", name);
    if (url_encoded)
        encode_listing(out, key);
    else
        xml_escape(out, key);
    buf_printf(out, "</%s>", name);
}

void xml_element_u64(struct buf *out, const char *name, uint64_t value)
{
    buf_printf(out, "<%s>%llu</%s>", name, (unsigned long long)value, name);
}

void xml_element_bool(struct buf *out, const char *name, bool value)
{
    buf_printf(out, "<%s>%s</%s>", name, value ? "true" : "false", name);
}

void xml_element_date(struct buf *out, const char *name, time_t when)
{
    char date[ENCODE_DATE_BYTES];
    encode_iso_date(when, date);
    buf_printf(out, "<%s>%s</%s>", name, date, name);
}

void xml_element_etag(struct buf *out, const char *etag)
{
    buf_printf(out, "<ETag>&quot;%s&quot;</ETag>", etag);
}

struct walk {
    XML_Parser parser;
    xml_visit *visit;
    void *context;
    struct buf path, text;
    bool stopped;
};

static void XMLCALL on_start(void *data, const XML_Char *name, const XML_Char **attributes)
{
    struct walk *walk = data;
    (void)attributes;
    if (walk->path.length)
        buf_add(&walk->path, "/");
    buf_add(&walk->path, name);
    buf_clear(&walk->text);
    if (walk->path.failed) {
        walk->stopped = true;
        XML_StopParser(walk->parser, XML_FALSE);
    }
}

static void XMLCALL on_text(void *data, const XML_Char *text, int length)
{
    struct walk *walk = data;
    buf_append(&walk->text, text, (size_t)length);
}

static void XMLCALL on_end(void *data, const XML_Char *name)
{
    struct walk *walk = data;
    if (walk->text.failed ||
        !walk->visit(walk->context, walk->path.data, walk->text.data ? walk->text.data : "")) {
        walk->stopped = true;
        XML_StopParser(walk->parser, XML_FALSE);
        return;
    }
    size_t cut = strlen(name);
    walk->path.length -= cut < walk->path.length ? cut + 1 : cut;
    walk->path.data[walk->path.length] = '\0';
    buf_clear(&walk->text);
}

static void XMLCALL on_doctype(void *data, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int internal)
{
    struct walk *walk = data;
    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    walk->stopped = true;
    XML_StopParser(walk->parser, XML_FALSE);
}

bool xml_walk(const char *text, size_t length, xml_visit *visit, void *context)
{
    struct walk walk = {.visit = visit, .context = context};
    walk.parser = XML_ParserCreate(NULL);
    if (!walk.parser)
        return false;
    buf_init(&walk.path, 4096);
    buf_init(&walk.text, 1 << 20);
    XML_SetUserData(walk.parser, &walk);
    XML_SetElementHandler(walk.parser, on_start, on_end);
    XML_SetCharacterDataHandler(walk.parser, on_text);
    XML_SetStartDoctypeDeclHandler(walk.parser, on_doctype);
    bool ok = XML_Parse(walk.parser, text ? text : "", (int)length, 1) == XML_STATUS_OK;
    XML_ParserFree(walk.parser);
    buf_fini(&walk.path);
    buf_fini(&walk.text);
    return ok && !walk.stopped;
}
