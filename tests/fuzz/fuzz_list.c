/* engine/store/s3_list.c: the first byte says what was asked for (objects, buckets, uploads). What
 * comes out is sorted, and its strings end. */
#include <string.h>

#include "store/s3.h"
#include "tests/fuzz/fuzz.h"

static void on_root(void *arg, const char *name)
{
    (void)arg;
    (void)name;
}

static int on_element(void *arg, const char *parent, const char *name, char *text, size_t length)
{
    struct s3_call *call = arg;

    return call->operation->element(call, parent, name, text, length);
}

static int parse(struct s3_call *call, const uint8_t *data, size_t size, struct error *err)
{
    struct s3_xml *xml = s3_xml_new(on_root, on_element, call);
    int rc;

    FUZZ_REQUIRE(xml);
    for (size_t at = 0; at < size;) {
        void *where;
        size_t room = s3_xml_space(xml, &where), length = size - at < room ? size - at : room;

        memcpy(where, data + at, length);
        s3_xml_commit(xml, length);
        at += length;
    }
    rc = s3_xml_finish(xml, err);
    s3_xml_free(xml);
    return rc < 0 ? rc : call->operation->finish(call, err);
}

static void check_page(const struct store_page *page, bool uploads)
{
    for (size_t i = 0; i < page->count; i++) {
        const struct store_entry *entry = &page->entries[i];

        FUZZ_REQUIRE(entry->key);
        FUZZ_REQUIRE(i == 0 || uploads || strcmp(page->entries[i - 1].key, entry->key) <= 0);
        FUZZ_REQUIRE(memchr(entry->etag, '\0', sizeof entry->etag));
        FUZZ_REQUIRE(memchr(entry->storage_class, '\0', sizeof entry->storage_class));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct s3_operation *const operations[] = {&s3_list, &s3_list_buckets,
                                                            &s3_upload_list};
    struct store_request request = {.prefix = "p"};
    struct s3_call call = {.request = &request};
    struct error err = {0};

    if (size < 1)
        return 0;
    call.operation = operations[data[0] % 3];
    if (call.operation != &s3_upload_list)
        request.prefix = NULL;
    FUZZ_REQUIRE(call.operation->prepare(&call, &err) == 0);
    if (parse(&call, data + 1, size - 1, &err) == 0)
        check_page(request.page, call.operation == &s3_upload_list);
    store_page_free(request.page);
    call.operation->release(&call);
    return 0;
}
