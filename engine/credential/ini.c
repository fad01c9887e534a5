/* Sections, names and values. See ini.h. Works in place, allocates nothing. */
#include "credential/ini.h"

#include <stddef.h>
#include <string.h>

#define BLANKS " \t\r"

/* Without blanks at both ends. */
static char *trim(char *text)
{
    size_t length;

    text += strspn(text, BLANKS);
    for (length = strlen(text); length > 0 && strchr(BLANKS, text[length - 1]); length--)
        continue;
    text[length] = '\0';
    return text;
}

/* "[profile  name]" without brackets; NULL when the bracket is not closed. */
static char *section_name(char *line)
{
    char *end = strchr(line, ']');

    if (!end)
        return NULL;
    *end = '\0';
    return trim(line + 1);
}

void ini_parse(char *text, ini_value_fn *value, void *arg)
{
    const char *section = NULL;
    char *rest = NULL;

    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *equals;

        if (*line == '#' || *line == ';' || strchr(BLANKS, *line))
            continue;
        if (*line == '[') {
            section = section_name(line);
            if (section)
                value(arg, section, "", "");
            continue;
        }
        equals = strchr(line, '=');
        if (!equals || !section)
            continue;
        *equals = '\0';
        value(arg, section, trim(line), trim(equals + 1));
    }
}
