/* placeholder replaced below */
#include "cases.h"
int cases_fault(void)
{
    return 0;
}
