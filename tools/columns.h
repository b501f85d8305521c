/* Which columns are shown, and what rows are sorted by: -o, --output-all, --sort, -H. */
#ifndef CACHIFY_TOOLS_COLUMNS_H
#define CACHIFY_TOOLS_COLUMNS_H

#include "listing.h"

/* NULL: there is none. */
const struct column *column_of_field(const struct kind *kind, const char *field);

/* list: as of -o, NULL for the usual ones; more: a column beside those, or NULL; sort: as of
 * --sort, or NULL.  Ends the program on what there is not. */
void columns_choose(struct choice *choice, const char *list, bool all, const char *more,
                    const char *sort);

/* A line for each column there is. */
void columns_print(const struct kind *kind, FILE *out);

#endif
