/* expat with limits and a stack of names. See s3_xml.h. No locks: one call's own. */
#include "store/s3_xml.h"

#include <errno.h>
#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

#define DEPTH_MAX   16
#define NAME_BYTES  64
#define TEXT_MAX    ((size_t)64 << 10)
#define SPACE_BYTES 16384

struct s3_xml {
    XML_Parser parser;
    s3_xml_root_fn *on_root;
    s3_xml_fn *on_end;
    void *arg;
    unsigned depth;
    char names[DEPTH_MAX + 1][NAME_BYTES]; /* [0] is "", [1] the root */
    struct buffer text;
    bool broken;
    struct error error; /* why, once broken */
    char waste[1024];   /* takes bytes that nobody wants any more */
};

static void xml_break(struct s3_xml *xml, enum error_class class, const char *why)
{
    if (xml->broken)
        return;
    xml->broken = true;
    error_set(&xml->error, class, "the answer is not the XML it should be: %s", why);
    XML_StopParser(xml->parser, XML_FALSE);
}

static const char *local_name(const char *name)
{
    const char *colon = strchr(name, ':');

    return colon ? colon + 1 : name;
}

static void on_start(void *arg, const char *name, const char **attributes)
{
    struct s3_xml *xml = arg;

    (void)attributes;
    if (xml->broken)
        return;
    name = local_name(name);
    if (xml->depth == DEPTH_MAX || strlen(name) >= NAME_BYTES) {
        xml_break(xml, ERROR_PROTOCOL, "too deep, or a name too long");
        return;
    }
    strcpy(xml->names[++xml->depth], name);
    buffer_clear(&xml->text);
    if (xml->depth == 1)
        xml->on_root(xml->arg, name);
}

static void on_end(void *arg, const char *name)
{
    struct s3_xml *xml = arg;
    char empty[1] = "";
    int r;

    (void)name;
    if (xml->broken) /* expat still ends an empty element whose beginning stopped it */
        return;
    r = xml->on_end(xml->arg, xml->names[xml->depth - 1], xml->names[xml->depth],
                    xml->text.data ? xml->text.data : empty, xml->text.length);
    if (r < 0)
        xml_break(xml, r == -ENOMEM ? ERROR_NO_MEMORY : ERROR_PROTOCOL, "a value makes no sense");
    buffer_clear(&xml->text);
    xml->depth--;
}

static void on_text(void *arg, const char *text, int length)
{
    struct s3_xml *xml = arg;

    if (!xml->broken && buffer_append(&xml->text, text, (size_t)length) < 0)
        xml_break(xml, ERROR_PROTOCOL, "a value is too long");
}

static void on_doctype(void *arg, const char *name, const char *system, const char *public,
                       int internal)
{
    (void)name, (void)system, (void)public, (void)internal;
    xml_break(arg, ERROR_PROTOCOL, "it has a document type");
}

struct s3_xml *s3_xml_new(s3_xml_root_fn *root, s3_xml_fn *end, void *arg)
{
    struct s3_xml *xml = calloc(1, sizeof *xml);

    if (!xml)
        return NULL;
    xml->parser = XML_ParserCreate(NULL);
    if (!xml->parser) {
        free(xml);
        return NULL;
    }
    xml->on_root = root;
    xml->on_end = end;
    xml->arg = arg;
    buffer_init(&xml->text, TEXT_MAX);
    XML_SetUserData(xml->parser, xml);
    XML_SetElementHandler(xml->parser, on_start, on_end);
    XML_SetCharacterDataHandler(xml->parser, on_text);
    XML_SetStartDoctypeDeclHandler(xml->parser, on_doctype);
    return xml;
}

void s3_xml_free(struct s3_xml *xml)
{
    if (!xml)
        return;
    XML_ParserFree(xml->parser);
    buffer_fini(&xml->text);
    free(xml);
}

size_t s3_xml_space(struct s3_xml *xml, void **ret_where)
{
    void *where = xml->broken ? NULL : XML_GetBuffer(xml->parser, SPACE_BYTES);

    if (where) {
        *ret_where = where;
        return SPACE_BYTES;
    }
    xml_break(xml, ERROR_NO_MEMORY, "no memory to read it");
    *ret_where = xml->waste;
    return sizeof xml->waste;
}

static void xml_parse(struct s3_xml *xml, size_t length, bool final)
{
    if (!xml->broken && XML_ParseBuffer(xml->parser, (int)length, final) != XML_STATUS_OK &&
        !xml->broken)
        xml_break(xml, ERROR_PROTOCOL, XML_ErrorString(XML_GetErrorCode(xml->parser)));
}

void s3_xml_commit(struct s3_xml *xml, size_t length)
{
    xml_parse(xml, length, false);
}

int s3_xml_finish(struct s3_xml *xml, struct error *err)
{
    if (!xml->broken && XML_GetBuffer(xml->parser, 1))
        xml_parse(xml, 0, true);
    if (!xml->broken)
        return 0;
    if (err)
        *err = xml->error;
    return -error_errno(&xml->error);
}
