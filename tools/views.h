/* What can be shown of segments: a kind of rows for each view, and where they come from. */
#ifndef CACHIFY_TOOLS_VIEWS_H
#define CACHIFY_TOOLS_VIEWS_H

#include "listing.h"
#include "options.h"
#include "sources.h"

const struct kind *view_kind(enum view_of view);

/* What of it is shown, and how; ends the program on what there is not. */
void view_choose(struct choice *choice, struct options *options, const struct kind *kind);

/* The rows of all sources, in order.  Ends the program where they cannot be listed. */
void view_list(const struct options *options, const struct sources *sources,
               struct listing *listing);

#endif
