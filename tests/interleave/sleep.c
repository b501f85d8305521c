/* The kernel's part in waiting: who sleeps lets the other go on until it is woken. */
#include "ground/os.h"

#include "world.h"

bool __wrap_cf_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t ns);
int __wrap_cf_futex_wake(_Atomic uint32_t *word, int count);

bool __wrap_cf_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t ns)
{
    int me = scheduler_actor();
    (void)ns;
    if (me < 0 || cf_load_seq(word) != expected)
        return false;
    world.asleep[me] = word;
    world.awake[me] = false;
    while (!world.awake[me])
        if (!scheduler_block()) {
            /* A poll interval would save it, but the wake that it should have had is lost. */
            wrong("%c sleeps and nobody will wake it", "AB"[me]);
            break;
        }
    world.asleep[me] = NULL;
    return true;
}

int __wrap_cf_futex_wake(_Atomic uint32_t *word, int count)
{
    int woken = 0;
    for (unsigned w = A; w <= B && woken < count; w++)
        if (world.asleep[w] == word && !world.awake[w]) {
            world.awake[w] = true;
            woken++;
        }
    return woken;
}
