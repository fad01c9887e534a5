/* What a sanitizer cannot watch is skipped under it, with the reason in the report. */
#ifndef S3DLIO_TESTS_UNIT_SANITIZER_H
#define S3DLIO_TESTS_UNIT_SANITIZER_H

/* ThreadSanitizer refuses threads in a child of fork, loses track when a thread is cancelled inside
 * a call it intercepts, warns of allocation in signal handlers, and takes equal numbers in two
 * descriptor tables for one descriptor. */
#if defined __SANITIZE_THREAD__
#define NOT_UNDER_TSAN()                                                                           \
    do {                                                                                           \
        print_message("skip: forks, cancels or jumps in ways that ThreadSanitizer cannot watch\n"); \
        skip();                                                                                    \
    } while (0)
#else
#define NOT_UNDER_TSAN()                                                                           \
    do {                                                                                           \
    } while (0)
#endif

#endif
