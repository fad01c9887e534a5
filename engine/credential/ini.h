/* The syntax of the shared configuration files: sections, names, values.
 *
 * Written here because libinih as Debian builds it cuts lines at 200 bytes, and a session token
 * is longer. Sections in brackets, "name = value", comments by '#' or ';' at the beginning of a
 * line; an indented line belongs to the value above and is passed over (nested settings are not
 * used here). */
#ifndef S3DLIO_CREDENTIAL_INI_H
#define S3DLIO_CREDENTIAL_INI_H

typedef void ini_value_fn(void *arg, const char *section, const char *name, const char *value);

/* Takes the text apart in place and calls value() for each setting, with name "" at the
 * beginning of each section. Lines that make no sense are passed over. */
void ini_parse(char *text, ini_value_fn *value, void *arg);

#endif
