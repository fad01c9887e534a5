/* The real libc functions: one frozen table, filled once in the constructor by
 * dlsym(RTLD_NEXT), so that other preloaded libraries behind us are respected.
 *
 * REAL(name)(…) calls one. Before the constructor has run (allocators and other libraries' early
 * code) the few calls that such code makes go to the kernel directly; any other call resolves the
 * whole table on the spot. Our own code calls nothing interposed by its plain name.
 */
#ifndef S3DLIO_SHIM_REAL_H
#define S3DLIO_SHIM_REAL_H

#include "shim/types.h"

struct real_calls {
#define CALL(family, result, name, parameters, reduces) result(*name) parameters;
#define ALIAS(family, alias, name)
#include "shim/interpose.def"
#undef CALL
#undef ALIAS
};

extern struct real_calls real_calls;

void real_resolve(void); /* idempotent; safe before the constructor */

#define REAL(name)                                                                                 \
    (*({                                                                                           \
        if (__builtin_expect(!real_calls.name, 0))                                                 \
            real_resolve();                                                                        \
        real_calls.name;                                                                           \
    }))

/* Every interposed symbol is exported; the prototypes also cover those that headers hide. */
#pragma GCC visibility push(default)
#define CALL(family, result, name, parameters, reduces) result name parameters;
#define ALIAS(family, alias, name)
#include "shim/interpose.def"
#undef CALL
#undef ALIAS
#pragma GCC visibility pop

#endif
