/* engine/base/uri.h: what was parsed is written and parsed to the same; percent-encoding is undone
 * by decoding, and decoding never makes text longer. */
#include <string.h>

#include "base/buffer.h"
#include "base/percent.h"
#include "base/uri.h"
#include "tests/fuzz/fuzz.h"

static void check_uri(const char *text)
{
    struct uri uri, again;
    char written[URI_BUCKET_MAX + URI_KEY_MAX + 32];

    if (uri_parse(text, &uri) < 0)
        return;
    FUZZ_REQUIRE(!strchr(uri.bucket, '/'));
    FUZZ_REQUIRE(uri_format(&uri, written, sizeof written) < (int)sizeof written);
    FUZZ_REQUIRE(uri_parse(written, &again) == 0);
    FUZZ_REQUIRE(!strcmp(uri.scheme, again.scheme) && !strcmp(uri.bucket, again.bucket));
    FUZZ_REQUIRE(!strcmp(uri.key, again.key));
}

static void check_percent(const char *text, size_t size)
{
    struct buffer encoded;
    char *copy = malloc(size + 1);
    long length;

    FUZZ_REQUIRE(copy);
    memcpy(copy, text, size + 1);
    length = percent_decode(copy, size, false);
    FUZZ_REQUIRE(length < 0 || ((size_t)length <= size && copy[length] == '\0'));
    free(copy);
    buffer_init(&encoded, 3 * size + 1);
    FUZZ_REQUIRE(percent_encode(&encoded, text, size, false) == 0);
    if (size > 0) {
        length = percent_decode(encoded.data, encoded.length, true);
        FUZZ_REQUIRE(length == (long)size && !memcmp(encoded.data, text, size));
    }
    buffer_fini(&encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    FUZZ_REQUIRE(text);
    memcpy(text, data, size);
    text[size] = '\0';
    check_uri(text);
    check_percent(text, size);
    free(text);
    return 0;
}
