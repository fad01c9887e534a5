/* The same maps when the memory budget is too small for the file: they lie in a spool file. */
#include "tests/preload/test_map.c"
