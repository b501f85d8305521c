#include "refused.h"

#include <getopt.h>
#include <string.h>

const char *option_refused(char **argv, char letter[3])
{
    const char *last = argv[optind - 1];
    if (optopt == 0 || optopt >= 256 || strncmp(last, "--", 2) == 0)
        return last;
    letter[0] = '-';
    letter[1] = (char)optopt;
    letter[2] = '\0';
    return letter;
}
