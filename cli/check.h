/* Lines of `s3dlio doctor`: "ok|warn|FAIL  what: detail — what to set", and how many failed. */
#ifndef S3DLIO_CLI_CHECK_H
#define S3DLIO_CLI_CHECK_H

enum check_level { CHECK_OK, CHECK_WARN, CHECK_FAIL };

/* advice: what to set; NULL or "" for none. Formatted like printf. */
void check_line(enum check_level level, const char *what, const char *advice, const char *format,
                ...) __attribute__((format(printf, 4, 5)));
unsigned check_failures(void);

/* "1.5 GiB" into one of a few static buffers. */
const char *check_size(unsigned long long bytes);

struct options;
/* The checks of this machine; machine.c. */
void check_machine(const struct options *options);

#endif
