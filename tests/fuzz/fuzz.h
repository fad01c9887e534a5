/* What every fuzzer shares. Each file fuzz_NAME.c is libFuzzer's entry for one parser of what comes
 * from outside; it aborts when a property does not hold. Seeds lie in corpus/NAME. `make fuzz` runs
 * them long, `make check-unit` feeds the seeds and small changes of them (corpus.c). */
#ifndef S3DLIO_TESTS_FUZZ_H
#define S3DLIO_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_REQUIRE(condition)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
