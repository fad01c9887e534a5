/* Loading the configuration: every source is read, and for each option the strongest one counts.
 *
 * A source assigns values at a strength (layers below, then the rank of the name used); a value
 * takes the place of a weaker one only, so the order of reading is free: environment first, since
 * it names the file, then files, then the profile that these may name. A bad value is reported and
 * passed over, so that the next lower source counts. Runs once, in one thread; the result is
 * frozen. This file opens no file itself and knows no option but PROFILE and CONFIG. */
#include "config/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#define PATH_BYTES        1024 /* the first call may come from a thread with a small stack */
#define MESSAGE_BYTES     768
#define SHOWN_VALUE_BYTES 64 /* of a bad value in a message */
#define SYSTEM_CONFIG     "/etc/s3dlio/config"

/* Weakest first. */
enum layer { LAYER_DEFAULT, LAYER_PROFILE, LAYER_SYSTEM_FILE, LAYER_USER_FILE, LAYER_ENVIRONMENT };

static const enum option_origin layer_origins[] = {
    [LAYER_DEFAULT] = ORIGIN_DEFAULT,         [LAYER_PROFILE] = ORIGIN_PROFILE,
    [LAYER_SYSTEM_FILE] = ORIGIN_FILE,        [LAYER_USER_FILE] = ORIGIN_FILE,
    [LAYER_ENVIRONMENT] = ORIGIN_ENVIRONMENT,
};

/* Variables that are no options: state handed across exec, and what tests tell one another. */
static const char *const foreign_prefixes[] = {"S3DLIO__", "S3DLIO_TEST_"};

/* One allocation a string, so that pointers stay. */
struct option_string {
    struct option_string *next;
    char text[];
};

struct loader {
    struct options options;
    options_problem_fn *problem;
    void *problem_arg;
    unsigned strength[OPTION_COUNT]; /* of the value in options; see strength() */
    bool secure;                     /* AT_SECURE: no files */
    bool out_of_memory;
};

/* One file or profile while its lines are assigned. */
struct loader_text {
    struct loader *loader;
    enum layer layer;
    const char *name; /* for "name:line" */
};

static unsigned strength(enum layer layer, unsigned rank)
{
    return (unsigned)layer << 8 | (255u - rank);
}

static void __attribute__((format(printf, 2, 3)))
loader_problem(struct loader *loader, const char *format, ...)
{
    char message[MESSAGE_BYTES];
    va_list args;

    if (!loader->problem)
        return;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    loader->problem(loader->problem_arg, message);
}

/* The search is long: only for somebody who is told. */
static void loader_nearest(const struct loader *loader, const char *name,
                           char ret_name[OPTION_NAME_MAX + 1])
{
    ret_name[0] = '\0';
    if (loader->problem)
        options_nearest(name, ret_name);
}

/* A copy that lives as long as the options; "" without memory. */
static const char *loader_copy(struct loader *loader, const char *text)
{
    size_t length = strlen(text);
    struct option_string *string = malloc(sizeof *string + length + 1);

    if (!string) {
        loader->out_of_memory = true;
        return "";
    }
    memcpy(string->text, text, length + 1);
    string->next = loader->options.strings;
    loader->options.strings = string;
    return string->text;
}

/* Two of our own names for one option, with different values: one of them is not what was meant.
 * Other tools' names (AWS_REGION beside AWS_DEFAULT_REGION) go together by their own rules. */
static void loader_check_conflict(struct loader *loader, enum option_id id, enum layer layer,
                                  const char *source, const char *value)
{
    const struct option_value *old = &loader->options.values[id];
    const struct option_info *info = options_info(id);
    int64_t number;

    if (layer != LAYER_ENVIRONMENT || loader->strength[id] >> 8 != LAYER_ENVIRONMENT ||
        info->type == OPTION_SECRET || strcmp(source, old->source) == 0 ||
        strncmp(source, OPTION_PREFIX, strlen(OPTION_PREFIX)) != 0 ||
        strncmp(old->source, OPTION_PREFIX, strlen(OPTION_PREFIX)) != 0)
        return;
    if (values_parse(info, value, &number) < 0 ||
        (old->text ? strcmp(old->text, value) == 0 : number == old->number))
        return;
    loader_problem(loader, "%s and %s are the same option with different values; %s counts", source,
                   old->source, info->name);
}

/* The value of one option from one source. Empty: unset. */
static void loader_assign(struct loader *loader, enum option_id id, unsigned rank, enum layer layer,
                          const char *source, const char *value)
{
    const struct option_info *info = options_info(id);
    struct option_value *slot = &loader->options.values[id];
    char expected[256];
    int64_t number;

    if (!*value)
        return;
    if (values_parse(info, value, &number) < 0) {
        values_describe(info, expected, sizeof expected);
        loader_problem(
            loader, "%s%s%s=%.*s cannot be used: expected %s",
            layer == LAYER_ENVIRONMENT ? "" : source, layer == LAYER_ENVIRONMENT ? "" : ": ",
            layer == LAYER_ENVIRONMENT ? source : info->name, SHOWN_VALUE_BYTES, value, expected);
        return;
    }
    loader_check_conflict(loader, id, layer, source, value);
    if (strength(layer, rank) < loader->strength[id])
        return;
    loader->strength[id] = strength(layer, rank);
    slot->number = number;
    slot->text = info->type == OPTION_STRING || info->type == OPTION_SECRET
                     ? loader_copy(loader, value)
                     : NULL;
    slot->origin = layer_origins[layer];
    slot->source = layer == LAYER_DEFAULT ? "default" : loader_copy(loader, source);
}

static void loader_defaults(struct loader *loader)
{
    for (unsigned id = 0; id < OPTION_COUNT; id++) {
        loader->options.values[id].source = "default";
        loader_assign(loader, (enum option_id)id, 0, LAYER_DEFAULT, "default",
                      options_info((enum option_id)id)->default_text);
    }
}

/* ---- environment ----------------------------------------------------------------------------- */

static bool is_foreign(const char *name)
{
    for (size_t i = 0; i < sizeof foreign_prefixes / sizeof foreign_prefixes[0]; i++)
        if (strncmp(name, foreign_prefixes[i], strlen(foreign_prefixes[i])) == 0)
            return true;
    return false;
}

static void loader_environment_entry(struct loader *loader, const char *entry)
{
    size_t length = strcspn(entry, "=");
    char name[OPTION_NAME_MAX + 1], nearest[OPTION_NAME_MAX + 1];
    enum option_id id;
    unsigned rank;

    if (entry[length] != '=' || length == 0 || length > OPTION_NAME_MAX)
        return;
    memcpy(name, entry, length);
    name[length] = '\0';
    id = names_find_exact(name, length, &rank);
    if (id != OPTION_COUNT) {
        loader_assign(loader, id, rank, LAYER_ENVIRONMENT, name, entry + length + 1);
        return;
    }
    if (strncmp(name, OPTION_PREFIX, strlen(OPTION_PREFIX)) != 0 || is_foreign(name))
        return;
    loader_nearest(loader, name, nearest);
    if (*nearest)
        loader_problem(loader, "%s is no option: did you mean %s?", name, nearest);
    else
        loader_problem(loader, "%s is no option: see s3dlio config", name);
}

static void loader_environment(struct loader *loader, char *const *environment)
{
    for (; environment && *environment; environment++)
        loader_environment_entry(loader, *environment);
}

static const char *environment_get(char *const *environment, const char *name)
{
    size_t length = strlen(name);

    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return (*environment)[length + 1] ? *environment + length + 1 : NULL;
    return NULL;
}

/* ---- files and profiles ---------------------------------------------------------------------- */

static void loader_line(void *arg, unsigned number, const char *name, const char *value)
{
    struct loader_text *text = arg;
    char source[PATH_BYTES + 16], nearest[OPTION_NAME_MAX + 1];
    enum option_id id;
    unsigned rank = 0;

    snprintf(source, sizeof source, "%s:%u", text->name, number);
    if (!value) {
        loader_problem(text->loader, "%s: '%.*s' is not of the form NAME = value", source,
                       SHOWN_VALUE_BYTES, name);
        return;
    }
    id = names_find_loose(name, strlen(name), &rank);
    if (id == OPTION_ID_CONFIG || (id == OPTION_ID_PROFILE && text->layer == LAYER_PROFILE)) {
        loader_problem(text->loader, "%s: %s has no effect here", source, options_info(id)->name);
    } else if (id != OPTION_COUNT) {
        loader_assign(text->loader, id, rank, text->layer, source, value);
    } else {
        loader_nearest(text->loader, name, nearest);
        loader_problem(text->loader, "%s: '%.*s' is no option%s%s%s", source, SHOWN_VALUE_BYTES,
                       name, *nearest ? ": did you mean " : "", nearest, *nearest ? "?" : "");
    }
}

/* Assigns the lines of a file; 0 or -errno of reading it. */
static int loader_file(struct loader *loader, enum layer layer, const char *path)
{
    struct loader_text text = {.loader = loader, .layer = layer, .name = path};
    char *content;
    int rc = files_read(path, &content);

    if (rc < 0)
        return rc;
    files_each_line(content, loader_line, &text);
    free(content);
    return 0;
}

static void loader_file_optional(struct loader *loader, enum layer layer, const char *path)
{
    int rc = loader_file(loader, layer, path);

    if (rc < 0 && rc != -ENOENT && rc != -ENOTDIR)
        loader_problem(loader, "%s cannot be read: %s", path, strerror(-rc));
}

/* The user's s3dlio folder; false when there is none to name or nothing may be read there. */
static bool user_directory(struct loader *loader, char *const *environment, char *ret_path,
                           size_t size)
{
    const char *base = environment_get(environment, "XDG_CONFIG_HOME");
    const char *below = "/s3dlio";
    int length;

    if (!base || *base != '/') {
        base = environment_get(environment, "HOME");
        below = "/.config/s3dlio";
    }
    if (loader->secure || !base)
        return false;
    length = snprintf(ret_path, size, "%s%s", base, below);
    return length > 0 && (size_t)length < size;
}

static void loader_files(struct loader *loader, char *const *environment)
{
    const char *explicit_path = loader->options.values[OPTION_ID_CONFIG].text;
    char directory[PATH_BYTES], path[PATH_BYTES + 16];
    int rc;

    if (loader->secure)
        return;
    if (explicit_path) {
        rc = loader_file(loader, LAYER_USER_FILE, explicit_path);
        if (rc < 0)
            loader_problem(loader, "S3DLIO_CONFIG=%s cannot be read: %s", explicit_path,
                           strerror(-rc));
        return;
    }
    if (user_directory(loader, environment, directory, sizeof directory)) {
        snprintf(path, sizeof path, "%s/config", directory);
        loader_file_optional(loader, LAYER_USER_FILE, path);
    }
    loader_file_optional(loader, LAYER_SYSTEM_FILE, SYSTEM_CONFIG);
}

/* A built-in profile; false when there is none of this name. */
static bool loader_builtin_profile(struct loader *loader, const char *name)
{
    const char *builtin = profiles_builtin(name);
    char source[OPTION_NAME_MAX + 16];
    struct loader_text text = {.loader = loader, .layer = LAYER_PROFILE, .name = source};
    char *copy;

    if (!builtin)
        return false;
    snprintf(source, sizeof source, "profile %s", name);
    copy = strdup(builtin);
    if (copy)
        files_each_line(copy, loader_line, &text);
    else
        loader->out_of_memory = true;
    free(copy);
    return true;
}

static void loader_profile(struct loader *loader, char *const *environment)
{
    const struct option_value *profile = &loader->options.values[OPTION_ID_PROFILE];
    const char *name = profile->text, *nearest;
    char directory[PATH_BYTES], path[PATH_BYTES + 128], names[512];
    bool has_directory = user_directory(loader, environment, directory, sizeof directory - 10);
    int rc = -ENOENT;

    if (!name)
        return;
    if (has_directory)
        strcat(directory, "/profiles");
    if (has_directory && profiles_name_is_valid(name)) {
        snprintf(path, sizeof path, "%s/%s.conf", directory, name);
        rc = loader_file(loader, LAYER_PROFILE, path);
        if (rc < 0 && rc != -ENOENT && rc != -ENOTDIR)
            loader_problem(loader, "%s cannot be read: %s", path, strerror(-rc));
    }
    if (rc == 0 || loader_builtin_profile(loader, name) || !loader->problem)
        return;
    nearest = profiles_nearest(name);
    profiles_list(has_directory ? directory : NULL, names, sizeof names);
    loader_problem(loader, "%s: no profile '%.*s'%s%s%s; there are: %s", profile->source,
                   SHOWN_VALUE_BYTES, name, nearest ? ", did you mean " : "",
                   nearest ? nearest : "", nearest ? "?" : "", names);
}

/* ---- values that do not go together ---------------------------------------------------------- */

static const struct {
    enum option_id more, less; /* of the same unit; 0 of either: chosen by the engine */
    const char *consequence;
} contradictions[] = {
    {OPTION_ID_PUT_PART_SIZE, OPTION_ID_MEMORY_BUDGET,
     "uploads have one part at a time; raise the one or lower the other"},
    {OPTION_ID_GET_PART_SIZE, OPTION_ID_MEMORY_BUDGET,
     "nothing is read ahead; raise the one or lower the other"},
    {OPTION_ID_MIN_PART_SIZE, OPTION_ID_PUT_PART_SIZE,
     "parts have the size that was set; the least counts where it is chosen"},
    {OPTION_ID_GET_INFLIGHT, OPTION_ID_MAX_HTTP_CONNECTIONS,
     "the other requests wait for a connection"},
    {OPTION_ID_PUT_INFLIGHT, OPTION_ID_MAX_HTTP_CONNECTIONS,
     "the other parts wait for a connection"},
};

/* Both were set by somebody, so that one of them is not what was meant. */
static void loader_check_contradictions(struct loader *loader)
{
    char more_text[64], less_text[64];

    for (size_t i = 0; i < sizeof contradictions / sizeof contradictions[0]; i++) {
        const struct option_value *more = &loader->options.values[contradictions[i].more];
        const struct option_value *less = &loader->options.values[contradictions[i].less];

        if (loader->strength[contradictions[i].more] >> 8 == LAYER_DEFAULT ||
            loader->strength[contradictions[i].less] >> 8 == LAYER_DEFAULT || less->number == 0 ||
            more->number <= less->number)
            continue;
        options_format(&loader->options, contradictions[i].more, more_text, sizeof more_text);
        options_format(&loader->options, contradictions[i].less, less_text, sizeof less_text);
        loader_problem(loader, "%s=%s is more than %s=%s: %s",
                       options_info(contradictions[i].more)->name, more_text,
                       options_info(contradictions[i].less)->name, less_text,
                       contradictions[i].consequence);
    }
}

int options_load(char *const *environment, options_problem_fn *problem, void *arg,
                 struct options *ret_options)
{
    struct loader loader = {
        .problem = problem, .problem_arg = arg, .secure = getauxval(AT_SECURE) != 0};

    loader_defaults(&loader);
    loader_environment(&loader, environment);
    loader_files(&loader, environment);
    loader_profile(&loader, environment);
    loader_check_contradictions(&loader);
    if (loader.out_of_memory) {
        options_fini(&loader.options);
        return -ENOMEM;
    }
    *ret_options = loader.options;
    return 0;
}

void options_fini(struct options *options)
{
    while (options->strings) {
        struct option_string *next = options->strings->next;

        free(options->strings);
        options->strings = next;
    }
    memset(options, 0, sizeof *options);
}
