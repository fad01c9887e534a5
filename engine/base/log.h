/* One-line messages on stderr, by level. Thread-safe, never allocates, never uses stdio streams
 * (the program's stderr FILE is its own): one write(2) a line. Secrets never reach it. */
#ifndef S3DLIO_BASE_LOG_H
#define S3DLIO_BASE_LOG_H

enum log_level { LOG_OFF, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

void log_set_level(enum log_level level); /* default LOG_WARN */
enum log_level log_level(void);
/* Where lines go: a file descriptor; default 2. */
void log_set_fd(int fd);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_level() >= LOG_DEBUG)                                                              \
            log_line(LOG_DEBUG, __VA_ARGS__);                                                      \
    } while (0)

#endif
