/* Modules of the engine by themselves, for bench/instructions: see counted.h. */
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/uri.h"
#include "bench/counted/counted.h"
#include "core/attr_cache.h"
#include "core/order.h"
#include "core/range_plan.h"
#include "core/stats.h"
#include "http/response.h"
#include "http/sign_v4.h"
#include "store/s3.h"

static unsigned long checked; /* so that no result is thrown away */

/* ---- a page of a listing ----------------------------------------------------------------------- */

#define PAGE_KEYS 1000u

static char *page_text;
static size_t page_length;

static void page_prepare(void)
{
    FILE *page = open_memstream(&page_text, &page_length);

    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult "
          "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name><Prefix></Prefix>"
          "<KeyCount>1000</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>",
          page);
    for (unsigned i = 0; i < PAGE_KEYS; i++)
        fprintf(page,
                "<Contents><Key>train/part-%05u.tar</Key><LastModified>2026-11-22T07:52:48.000Z"
                "</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8%04u&quot;</ETag><Size>%u"
                "</Size><StorageClass>STANDARD</StorageClass></Contents>",
                i, i, i * 4096);
    fputs("</ListBucketResult>", page);
    fclose(page);
}

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

static void page_run(void)
{
    struct store_request request = {0};
    struct s3_call call = {.request = &request, .operation = &s3_list};
    struct error err = {0};
    struct s3_xml *xml;

    COUNTED_REQUIRE(call.operation->prepare(&call, &err) == 0);
    xml = s3_xml_new(on_root, on_element, &call);
    for (size_t at = 0; at < page_length;) {
        void *where;
        size_t room = s3_xml_space(xml, &where);
        size_t length = page_length - at < room ? page_length - at : room;

        memcpy(where, page_text + at, length);
        s3_xml_commit(xml, length);
        at += length;
    }
    COUNTED_REQUIRE(s3_xml_finish(xml, &err) == 0 && call.operation->finish(&call, &err) == 0);
    COUNTED_REQUIRE(request.page->count == PAGE_KEYS);
    s3_xml_free(xml);
    store_page_free(request.page);
    call.operation->release(&call);
}

/* ---- requests and answers ---------------------------------------------------------------------- */

static void sign_run(void)
{
    static const struct sign_header headers[] = {
        {"host", "bucket.s3.eu-central-1.amazonaws.com"},
        {"range", "bytes=8388608-16777215"},
        {"x-amz-content-sha256", SIGN_UNSIGNED_PAYLOAD},
        {"x-amz-date", "20261122T075248Z"},
    };
    struct sign_v4 request = {.method = "GET",
                              .path = "/train/part-00017.tar",
                              .query = "",
                              .headers = headers,
                              .header_count = sizeof headers / sizeof headers[0],
                              .payload_hash = SIGN_UNSIGNED_PAYLOAD,
                              .access_key = "AKIAIOSFODNN7EXAMPLE",
                              .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                              .region = "eu-central-1",
                              .service = "s3",
                              .when = 1795333968};

    for (unsigned i = 0; i < 200; i++) {
        struct buffer out;

        buffer_init(&out, 4096);
        request.when++;
        COUNTED_REQUIRE(sign_v4_authorization(&request, &out) == 0);
        checked += out.length;
        buffer_fini(&out);
    }
}

static void head_run(void)
{
    static const char text[] =
        "HTTP/1.1 206 Partial Content\r\nx-amz-id-2: eftixk72aD6Ap51TnqcoF8eFidJG9Z\r\n"
        "x-amz-request-id: 318BC8BC148832E5\r\nDate: Sun, 22 Nov 2026 07:52:48 GMT\r\n"
        "Last-Modified: Sat, 21 Nov 2026 17:50:00 GMT\r\n"
        "ETag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\nAccept-Ranges: bytes\r\n"
        "Content-Range: bytes 8388608-16777215/4294967296\r\n"
        "Content-Type: binary/octet-stream\r\nContent-Length: 8388608\r\n"
        "Server: AmazonS3\r\n\r\n";
    struct http_parser *parser = http_parser_new();

    for (unsigned i = 0; i < 1000; i++) {
        struct error err = {0};
        size_t used;

        http_parser_reset(parser, false);
        COUNTED_REQUIRE(http_parser_head(parser, text, sizeof text - 1, &used, &err) == 0);
        COUNTED_REQUIRE(http_parser_state(parser) == HTTP_PARSER_BODY);
        checked += used;
    }
    http_parser_free(parser);
}

static void uri_run(void)
{
    for (unsigned i = 0; i < 2000; i++) {
        char text[64];
        struct uri uri;

        snprintf(text, sizeof text, "s3://bucket/train/part-%05u.tar", i);
        COUNTED_REQUIRE(uri_parse(text, &uri) == 0);
        checked += strlen(uri.key);
    }
}

/* ---- planning, counting, checking ----------------------------------------------------------------- */

static void plan_run(void)
{
    static const struct range_plan plan = {.get_part_bytes = 8 << 20,
                                           .get_threshold_bytes = 32 << 20,
                                           .first_window_bytes = 1 << 20,
                                           .block_bytes = 64 << 10,
                                           .min_part_bytes = 5 << 20,
                                           .parts_max = STORE_PARTS_MAX};

    for (uint64_t size = 1; size < UINT64_C(1) << 42; size += size / 16 + 1) {
        checked += range_plan_get_bytes(&plan, size, false);
        checked += range_plan_flight_max(&plan, size, false, 32);
        for (unsigned part = 1; part <= STORE_PARTS_MAX; part *= 10)
            checked += range_plan_part_bytes(&plan, part, size, part % 2);
        checked += range_plan_copy_part_bytes(size);
    }
}

static void stats_run(void)
{
    static struct stats stats;

    for (int64_t i = 1; i <= 10000; i++) {
        struct stats_end end = {.operation = STORE_GET,
                                .submitted_ns = i * NS_PER_MS,
                                .sent_ns = i * NS_PER_MS + 20000,
                                .first_byte_ns = i * NS_PER_MS + i * 1000,
                                .ended_ns = i * NS_PER_MS + i * 2000,
                                .bytes_received = 1 << 20};

        stats_begin(&stats, STORE_GET, end.submitted_ns);
        stats_end(&stats, &end);
    }
    checked += stats_requests(&stats);
}

static unsigned char *bytes;
#define BYTES ((size_t)1 << 20)

static void bytes_prepare(void)
{
    bytes = malloc(2 * BYTES);
    for (size_t i = 0; i < 2 * BYTES; i++)
        bytes[i] = (unsigned char)(i * 31 >> 3);
}

static void crc_run(void)
{
    uint32_t whole = crc32c_update(0, bytes, BYTES);

    checked += crc32c_combine(whole, crc32c_update(0, bytes, 4096), 4096);
}

static void crc_copy_run(void)
{
    checked += crc32c_copy(0, bytes + BYTES, bytes, BYTES, false);
}

/* ---- what is known of names ----------------------------------------------------------------------- */

static void attr_run(void)
{
    struct attr_cache *cache = attr_cache_new(CLOCK_NEVER / 4, ATTR_CACHE_ENTRIES);
    struct attr attr = {.type = ATTR_FILE, .size_bytes = 4096};

    for (unsigned i = 0; i < 4000; i++) {
        char uri[64];

        snprintf(uri, sizeof uri, "mem://bucket/train/part-%05u", i % 2000);
        if (i < 2000)
            attr_cache_put(cache, uri, &attr);
        else
            COUNTED_REQUIRE(attr_cache_get(cache, uri, &attr) == ATTR_CACHE_FOUND);
    }
    attr_cache_free(cache);
}

static void order_run(void)
{
    struct orders *orders = orders_new(64, CLOCK_NEVER / 4);
    unsigned guesses = 0;

    orders_begin_listing(orders, "mem://bucket/train");
    for (unsigned i = 0; i < 1000; i++) {
        struct order_file file = {.size_bytes = 4096, .inode = i};
        char name[32];

        snprintf(name, sizeof name, "part-%05u", i);
        orders_add_listed(orders, "mem://bucket/train", name, &file);
    }
    for (unsigned i = 0; i < 1000; i++) {
        struct order_guess guess;
        char uri[64];

        snprintf(uri, sizeof uri, "mem://bucket/train/part-%05u", i);
        orders_note_open(orders, uri, 4096, i * NS_PER_MS);
        while (orders_guess(orders, &guess))
            guesses++;
    }
    COUNTED_REQUIRE(guesses > 900);
    orders_free(orders);
}

int main(int argc, char **argv)
{
    static const struct counted table[] = {
        {"a page of 1,000 keys", page_prepare, page_run},
        {"200 signatures", NULL, sign_run},
        {"1,000 heads of answers", NULL, head_run},
        {"2,000 URIs taken apart", NULL, uri_run},
        {"plans for objects up to 4 TiB", NULL, plan_run},
        {"10,000 requests in the statistics", NULL, stats_run},
        {"CRC32C of 1 MiB", bytes_prepare, crc_run},
        {"CRC32C of 1 MiB while it is copied", bytes_prepare, crc_copy_run},
        {"2,000 names in and out of the attribute cache", NULL, attr_run},
        {"an order of 1,000 names followed", NULL, order_run},
        {NULL, NULL, NULL},
    };

    return counted_main(argc, argv, table) + (checked == 1);
}
