/* The configuration as people read it: `s3dlio config`. Never prints a secret, nor the password
 * that a URL may carry. */
#include "config/internal.h"

#include <string.h>

#define VALUE_BYTES 256

const char *options_help(enum option_id id)
{
    static const char *const sentences[OPTION_COUNT] = {
#define SECTION(title)
#define OPTION(id, name, aliases, type, unit, min, max, default_text, words, help)                 \
    [OPTION_ID_##id] = help,
#include "config/options.def"
#undef OPTION
#undef SECTION
    };

    return sentences[id];
}

/* Copies text; what stands before the @ of a URL becomes three stars. */
static void format_text(const char *text, char *buffer, size_t size)
{
    const char *authority = strstr(text, "://"), *at;

    authority = authority ? authority + 3 : NULL;
    at = authority ? memchr(authority, '@', strcspn(authority, "/?#")) : NULL;
    if (at)
        snprintf(buffer, size, "%.*s***%s", (int)(authority - text), text, at);
    else
        snprintf(buffer, size, "%s", text);
}

void options_format(const struct options *options, enum option_id id, char *buffer, size_t size)
{
    const struct option_info *info = options_info(id);
    const struct option_value *value = &options->values[id];

    if (info->type != OPTION_STRING && info->type != OPTION_SECRET)
        values_format_number(info, value->number, buffer, size);
    else if (!value->text)
        snprintf(buffer, size, "-");
    else if (info->type == OPTION_SECRET)
        snprintf(buffer, size, "(hidden)");
    else
        format_text(value->text, buffer, size);
}

/* "environment AWS_REGION", "profile cloud:3", "/etc/s3dlio/config:12", "default". */
static void print_origin(const struct option_value *value, FILE *out)
{
    fprintf(out, "%s%s\n", value->origin == ORIGIN_ENVIRONMENT ? "environment " : "",
            value->source);
}

void options_print(const struct options *options, FILE *out)
{
    char value[VALUE_BYTES];

    fprintf(out, "%-30s %-28s %s\n", "NAME", "VALUE", "FROM");
    for (unsigned id = 0; id < OPTION_COUNT; id++) {
        options_format(options, (enum option_id)id, value, sizeof value);
        fprintf(out, "%-30s %-28s ", options_info((enum option_id)id)->name, value);
        print_origin(&options->values[id], out);
    }
}
