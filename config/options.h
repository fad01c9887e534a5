/* The configuration: every option once, as a row of options.def; frozen after options_load.
 *
 * Precedence, lowest first: default, profile, configuration file, environment. Depends on libc
 * alone, because both the shim and the engine carry it. Reads the environment it is given (not
 * `environ`: before other constructors have run that is NULL).
 *
 * Configuration files: S3DLIO_CONFIG alone, else $XDG_CONFIG_HOME/s3dlio/config (~/.config without
 * it) over /etc/s3dlio/config. `NAME = value` lines, # begins a comment; names in any case, with or
 * without S3DLIO_. Profiles: profiles/NAME.conf beside the user's file, then the built-in ones. A
 * set-uid process (AT_SECURE) reads its environment and the built-in profiles, and no file.
 * An empty value counts as unset. Names that begin with S3DLIO__ (state that we hand across exec)
 * or S3DLIO_TEST_ are no options.
 */
#ifndef S3DLIO_CONFIG_OPTIONS_H
#define S3DLIO_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum option_type {
    OPTION_INT,  /* count */
    OPTION_SIZE, /* bytes; K, M, G, T suffixes are powers of 1024, "iB" and "B" accepted */
    OPTION_MS,   /* milliseconds; suffixes ms, s, m, h */
    OPTION_S,    /* seconds; the same suffixes */
    OPTION_BOOL, /* 1 0 true false yes no on off */
    OPTION_ENUM, /* one of the words in `words`; the value is its index */
    OPTION_STRING,
    OPTION_SECRET, /* a string that is never printed */
    OPTION_DECIMAL, /* thousandths: "2.5" is 2500 */
    OPTION_PRICE    /* millionths: "0.0004" is 400 */
};

enum option_origin { ORIGIN_DEFAULT, ORIGIN_PROFILE, ORIGIN_FILE, ORIGIN_ENVIRONMENT };

enum option_id {
#define SECTION(title)
#define OPTION(id, ...) OPTION_ID_##id,
#include "config/options.def"
#undef OPTION
#undef SECTION
    OPTION_COUNT
};

struct option_info {
    const char *name;    /* S3DLIO_… */
    const char *aliases; /* other accepted names, separated by |, first wins; "" for none */
    enum option_type type;
    int64_t min, max;
    const char *default_text;
    const char *words; /* for OPTION_ENUM: "a|b|c"; for numbers: what 0 is called, "" for nothing else */
};

struct option_value {
    int64_t number;   /* every numeric type */
    const char *text; /* strings; NULL when unset */
    enum option_origin origin;
    const char *source; /* the name it was found under, or file:line; static or owned by options */
};

struct options {
    struct option_value values[OPTION_COUNT];
    struct option_string *strings; /* owns what text and source point to */
};

/* Called for each problem: an unknown S3DLIO_* name, a bad value (with the nearest right name or
 * the accepted range in the message). The bad value is ignored: the next lower source counts. */
typedef void options_problem_fn(void *arg, const char *message);

/* Loads all sources. environment: NULL-terminated, or NULL for none; problem may be NULL. 0, or
 * -ENOMEM with *ret_options untouched. Strings are copied. Not thread-safe in itself; the result
 * may be read by any thread. */
int options_load(char *const *environment, options_problem_fn *problem, void *arg,
                 struct options *ret_options);
void options_fini(struct options *options);
const struct option_info *options_info(enum option_id id);
/* One sentence on what it is for. Apart from the rest, which is in every process under the shim. */
const char *options_help(enum option_id id);
/* The id of a name as environments and files write it (any case, aliases, with or without
 * S3DLIO_), or OPTION_COUNT. */
enum option_id options_find(const char *name);
/* The accepted name nearest to a misspelt one, or "" when none is near. */
#define OPTION_NAME_MAX 63 /* bytes without NUL of any name or alias */
void options_nearest(const char *name, char ret_name[OPTION_NAME_MAX + 1]);
/* What a word that may be the value of an OPTION_BOOL means: 0, 1, or -EINVAL for any other. */
int options_truth(const char *word);
/* The value as a user would write it, "-" when unset; secrets and passwords in URLs are hidden. */
void options_format(const struct options *options, enum option_id id, char *buffer, size_t size);
/* The table of effective values and where each came from, one row an option. */
void options_print(const struct options *options, FILE *out);

/* The value of an option by its id's last part: option_int(o, GET_PART_SIZE). */
#define option_int(options, ID)  ((options)->values[OPTION_ID_##ID].number)
#define option_text(options, ID) ((options)->values[OPTION_ID_##ID].text)

#endif
