/* The same maps when even the smallest are fetched page by page. */
#include "tests/preload/test_map.c"
