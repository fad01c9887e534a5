/* The same maps with what every user is allowed. */
#include "tests/preload/test_map_lazy.c"
