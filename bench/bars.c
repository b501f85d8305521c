/* The table of bars: design, section 12, and the issues.  Where a higher figure is the better one
 * (M/s, share), the bar is a least. */
#include "bench.h"

#define SHOWN .at_most = 0 /* without a limit */
#define CONTENDED(which)                                                                           \
    {which, "cachify", which, "robust_mutex", .at_least = 0.5},                                    \
    {                                                                                              \
        which, "cachify", which, "flock", .at_least = 10                                           \
    }

const struct bar bars[] = {
    {"pair_uncontended", "cachify", "pair_uncontended", "robust_mutex", .at_most = 4},
    {"pair_uncontended", "cachify", "pair_uncontended", "flock", .at_most = 0.05},
    {"busy_nowait", "cachify", "acquire", "cachify", .at_most = 2},
    {"busy_nowait", "cachify", "pair_uncontended", "cachify", SHOWN},
    {"is_locked", "cachify", "pair_uncontended", "cachify", .at_most = 0.5},
    CONTENDED("contended_2"),
    CONTENDED("contended_4"),
    CONTENDED("contended_8"),
    CONTENDED("contended_16"),
    {"contended_64", "cachify", "contended_64", "robust_mutex", SHOWN},
    {"contended_64", "cachify", "contended_64", "flock", SHOWN},
    {"many_keys_2", "cachify", "many_keys_1", "cachify", .at_least = 1.9},
    {"many_keys_2", "robust_mutex", "many_keys_1", "robust_mutex", SHOWN},
    {"many_keys_16", "cachify", "many_keys_1", "cachify", SHOWN},
    {"handoff", "cachify", "handoff", "robust_mutex", .at_most = 1.3},
    {"handoff_1_cpu", "cachify", "handoff_1_cpu", "robust_mutex", SHOWN},
    {"handoff_2_cpus", "cachify", "handoff_2_cpus", "robust_mutex", SHOWN},
    {"async_handoff", "cachify", "handoff", "cachify", SHOWN},
    {"async_handoff", "cachify", .at_most = 1000},
    {"kill_to_waiter", "cachify", "kill_to_waiter", "flock", .at_most = 2},
    {"fair_8", "cachify", .at_least = 0.8},
    {"fair_8_wait", "cachify", .at_most = 10},
    {"herd_1000", "cachify", .at_most = 1.2},
    {"sleepers_cpu", "cachify", .at_most = 1},
    {"memory_per_lock", "cachify", .at_most = 400},
    {"binary_size", "cachify", .at_most = 102400},
    {"register_1000", "cachify", .at_most = 200},
    {"held_1m", "cachify", "held_1m", "cachify_empty", .at_most = 2},
    {"held_4m", "cachify", "held_4m", "cachify_empty", .at_most = 2.5},
    {"list_1m", "inspect_table", .at_most = 1},
};
const unsigned bar_count = sizeof bars / sizeof bars[0];
