/* Names of options: looking them up, and guessing which was meant. Pure functions over options.def.
 *
 * A linear search over some eighty names, for few variables, once. */
#include "config/internal.h"
#include "config/words.h"

#include <string.h>
#include <strings.h>

/* What accepted names begin with. Most variables of an environment are told apart by this. */
#define NAMES_FIRST_LETTERS "ACS"

static const struct option_info names_table[OPTION_COUNT] = {
#define KIB    INT64_C(1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define TIB    (1024 * GIB)
#define DAY_MS INT64_C(86400000)
#define SECTION(title)
#define OPTION(id, name, aliases, type, unit, min, max, default_text, words, help)                 \
    [OPTION_ID_##id] = {name, aliases, type, min, max, default_text, words},
#include "config/options.def"
#undef OPTION
#undef SECTION
};

const struct option_info *options_info(enum option_id id)
{
    return &names_table[id];
}

void names_each(names_visit_fn *visit, void *arg)
{
    for (unsigned id = 0; id < OPTION_COUNT; id++) {
        const char *name = names_table[id].name, *next = names_table[id].aliases;

        for (unsigned rank = 0; *name; rank++) {
            size_t length = strcspn(name, "|");

            if (!visit(arg, (enum option_id)id, rank, name, length))
                return;
            name = rank == 0 ? next : name + length + (name[length] == '|');
        }
    }
}

struct names_search {
    const char *name;
    size_t length;
    enum option_id found;
    unsigned rank;
};

static bool names_visit_equal(void *arg, enum option_id id, unsigned rank, const char *name,
                              size_t length)
{
    struct names_search *search = arg;

    if (length != search->length || memcmp(name, search->name, length) != 0)
        return true;
    search->found = id;
    search->rank = rank;
    return false;
}

enum option_id names_find_exact(const char *name, size_t length, unsigned *ret_rank)
{
    struct names_search search = {.name = name, .length = length, .found = OPTION_COUNT};

    if (length == 0 || !memchr(NAMES_FIRST_LETTERS, name[0], strlen(NAMES_FIRST_LETTERS)))
        return OPTION_COUNT;
    names_each(names_visit_equal, &search);
    if (search.found != OPTION_COUNT)
        *ret_rank = search.rank;
    return search.found;
}

/* Upper case, '-' as '_', behind the prefix; false when it is longer than any name. */
static bool names_normalise(const char *name, size_t length, char ret_name[])
{
    size_t prefix = strlen(OPTION_PREFIX);

    if (length > OPTION_NAME_MAX)
        return false;
    memcpy(ret_name, OPTION_PREFIX, prefix);
    for (size_t i = 0; i < length; i++) {
        char c = name[i];

        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        ret_name[prefix + i] = c == '-' ? '_' : c;
    }
    ret_name[prefix + length] = '\0';
    return true;
}

enum option_id names_find_loose(const char *name, size_t length, unsigned *ret_rank)
{
    char prefixed[sizeof OPTION_PREFIX + OPTION_NAME_MAX];
    size_t prefix = strlen(OPTION_PREFIX);
    enum option_id id;

    if (!names_normalise(name, length, prefixed))
        return OPTION_COUNT;
    id = names_find_exact(prefixed + prefix, length, ret_rank);
    return id != OPTION_COUNT ? id : names_find_exact(prefixed, prefix + length, ret_rank);
}

enum option_id options_find(const char *name)
{
    unsigned rank;

    return names_find_loose(name, strlen(name), &rank);
}

/* ---- the nearest ----------------------------------------------------------------------------- */

struct names_nearest_search {
    const char *name;
    size_t length;
    unsigned best;
    const char *found;
    size_t found_length;
};

static bool names_visit_nearer(void *arg, enum option_id id, unsigned rank, const char *name,
                               size_t length)
{
    struct names_nearest_search *search = arg;
    unsigned distance = words_distance(search->name, search->length, name, length);

    (void)id;
    (void)rank;
    if (distance < search->best) {
        search->best = distance;
        search->found = name;
        search->found_length = length;
    }
    return true;
}

void options_nearest(const char *name, char ret_name[OPTION_NAME_MAX + 1])
{
    char prefixed[sizeof OPTION_PREFIX + OPTION_NAME_MAX] = "";
    struct names_nearest_search search = {
        .name = name, .length = strlen(name), .best = WORDS_NEAR + 1, .found = ""};

    names_each(names_visit_nearer, &search);
    if (strncasecmp(name, OPTION_PREFIX, strlen(OPTION_PREFIX)) != 0 &&
        names_normalise(name, strlen(name), prefixed)) {
        search.name = prefixed;
        search.length = strlen(prefixed);
        names_each(names_visit_nearer, &search);
    }
    memcpy(ret_name, search.found, search.found_length);
    ret_name[search.found_length] = '\0';
}
