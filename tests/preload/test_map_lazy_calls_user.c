/* The same calls with what every user is allowed: the kernel does not wait for pages. */
#include "tests/preload/test_map_lazy_calls.c"
