#include "redis/script.h"

#include "lib/redis/scripts.inc" /* made of lua/ by local.mk */

const char *const cr_script_text[CR_SCRIPT_COUNT] = {
#define CR_PLACE(upper, lower) [CR_##upper] = (lower),
    CR_SCRIPTS(CR_PLACE)
#undef CR_PLACE
};
