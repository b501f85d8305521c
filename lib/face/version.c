#include "cachify/cachify.h"

const char *cachify_version(void)
{
    return PACKAGE_VERSION;
}
