#include "views.h"

#include <stdlib.h>

#include "columns.h"
#include "facts.h"
#include "leases.h"
#include "processes.h"
#include "say.h"
#include "tree.h"
#include "waiters.h"

const struct kind *view_kind(enum view_of view)
{
    static const struct kind *const kinds[] = {
        [VIEW_LOCKS] = &leases,        [VIEW_TREE] = &tree,         [VIEW_WAITERS] = &waiters,
        [VIEW_PROCESSES] = &processes, [VIEW_STATS] = &stats_facts, [VIEW_HEADER] = &header_facts,
        [VIEW_CHECK] = &leases,
    };
    return kinds[view];
}

void view_choose(struct choice *choice, struct options *o, const struct kind *kind)
{
    *choice = (struct choice){
        .kind = kind,
        .headings = !o->noheadings,
        .aligned = !o->raw && !o->json,
    };
    columns_choose(choice, o->output, o->output_all, o->all ? "SEGMENT" : NULL, o->sort);
    if (!o->filtered)
        return;
    filter_bind(&o->filter, o->view == VIEW_TREE ? &waiters : kind);
    if (o->view != VIEW_TREE) /* whose lines are filtered before there is a tree of them */
        choice->filter = &o->filter;
}

/* False if memory is short. */
static bool add_rows(const struct options *o, const cachify_shm_view_t *segment, struct listing *l)
{
    int short_of_memory = 0;
    l->segment = cachify_shm_path(segment);
    switch (o->view) {
    case VIEW_TREE:
        return tree_add(l, segment, o->filtered ? &o->filter : NULL);
    case VIEW_STATS:
        return stats_add(l, segment);
    case VIEW_HEADER:
        return header_add(l, segment);
    case VIEW_WAITERS:
        check_status(cachify_shm_waiters(segment, waiters_add, l, &short_of_memory));
        return !short_of_memory;
    case VIEW_PROCESSES:
        check_status(cachify_shm_processes(segment, processes_add, l, &short_of_memory));
        return !short_of_memory;
    default:
        check_status(cachify_shm_leases(segment, leases_add, l, &short_of_memory));
        return !short_of_memory;
    }
}

void view_list(const struct options *o, const struct sources *sources, struct listing *l)
{
    for (size_t i = 0; i < sources->count; i++)
        if (!add_rows(o, sources->view[i], l))
            fail(EXIT_FAILURE, "not enough memory for the list");
    listing_sort(l);
}
