/* engine/credential/ini.h: any text; sections, names and values are trimmed, one line each. */
#include <string.h>

#include "credential/ini.h"
#include "tests/fuzz/fuzz.h"

static void check_word(const char *word)
{
    size_t length = strlen(word);

    FUZZ_REQUIRE(!strpbrk(word, "\n"));
    FUZZ_REQUIRE(length == 0 || (!strchr(" \t\r", word[0]) && !strchr(" \t\r", word[length - 1])));
}

static void on_value(void *arg, const char *section, const char *name, const char *value)
{
    (void)arg;
    check_word(section);
    check_word(name);
    check_word(value);
    FUZZ_REQUIRE(!strchr(section, ']') && !strchr(name, '='));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    FUZZ_REQUIRE(text);
    memcpy(text, data, size);
    text[size] = '\0';
    ini_parse(text, on_value, NULL);
    free(text);
    return 0;
}
