/* What getopt_long stopped at, for messages. */
#ifndef CACHIFY_TOOLS_REFUSED_H
#define CACHIFY_TOOLS_REFUSED_H

/* As it was given: a long option, or a letter among others, which is put into letter. */
const char *option_refused(char **argv, char letter[3]);

#endif
