/* What the files of config/ share; nobody else includes it. */
#ifndef S3DLIO_CONFIG_INTERNAL_H
#define S3DLIO_CONFIG_INTERNAL_H

#include "config/options.h"

#include <stddef.h>

/* ---- names: names.c -------------------------------------------------------------------------- */

#define OPTION_PREFIX "S3DLIO_"

/* Calls visit for every accepted name, an option's own first (rank 0), then its aliases in order
 * (rank 1 …), until it returns false. The name is not NUL-terminated. */
typedef bool names_visit_fn(void *arg, enum option_id id, unsigned rank, const char *name,
                            size_t length);
void names_each(names_visit_fn *visit, void *arg);

/* The option that has exactly this name (case and prefix count), or OPTION_COUNT. */
enum option_id names_find_exact(const char *name, size_t length, unsigned *ret_rank);
/* As options_find, with the rank of the name. */
enum option_id names_find_loose(const char *name, size_t length, unsigned *ret_rank);

/* ---- values: values.c ------------------------------------------------------------------------ */

/* 0 or -EINVAL for text that is no value of this option or outside its range. Strings: 0, and
 * the number is 0. */
int values_parse(const struct option_info *info, const char *text, int64_t *ret_number);
/* "a size from 64K to 5G", as it fits behind "expected". */
void values_describe(const struct option_info *info, char *buffer, size_t size);
/* The shortest text that parses to the number. */
void values_format_number(const struct option_info *info, int64_t number, char *buffer,
                          size_t size);

/* ---- files: files.c -------------------------------------------------------------------------- */

#define FILES_MAX_BYTES ((size_t)256 << 10)

/* Reads a whole regular file; the text is NUL-terminated and the caller's to free. 0, -errno;
 * -EFBIG above FILES_MAX_BYTES, -EISDIR, -EINVAL for what is neither a file nor /dev/null. */
int files_read(const char *path, char **ret_text);

/* Splits text into `NAME = value` lines in place and calls line() for each; value is NULL for a
 * line that has no "=". Comments and empty lines are passed over. */
typedef void files_line_fn(void *arg, unsigned number, const char *name, const char *value);
void files_each_line(char *text, files_line_fn *line, void *arg);

/* ---- profiles: profiles.c -------------------------------------------------------------------- */

/* The text of a built-in profile, or NULL. */
const char *profiles_builtin(const char *name);
/* May this be the name of a profile? Letters, digits, - and _, as no path can be made of. */
bool profiles_name_is_valid(const char *name);
/* "fast-lan, cloud, …": the built-in ones and those in the directory (NULL for none). */
void profiles_list(const char *directory, char *buffer, size_t size);
/* The built-in profile nearest to a misspelt name, or NULL. */
const char *profiles_nearest(const char *name);

#endif
