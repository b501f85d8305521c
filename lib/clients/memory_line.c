#include "clients/memory_line.h"

#include "ground/os.h"

void cf_memory_line_init(struct cf_memory_line *line)
{
    *line = (struct cf_memory_line){.end = &line->first};
    pthread_mutex_init(&line->lock, NULL);
}

void cf_memory_line_destroy(struct cf_memory_line *line)
{
    pthread_mutex_destroy(&line->lock);
}

/* Its coming is seen before its look at the lock: who frees the lock after that look sees it. */
void cf_seat_take(struct cf_memory_line *line, struct cf_seat *seat, uint64_t hash)
{
    seat->hash = hash;
    seat->since = cf_monotonic_ns();
    seat->taken = true;
    seat->next = NULL;
    pthread_mutex_lock(&line->lock);
    seat->at = line->end;
    *line->end = seat;
    line->end = &seat->next;
    cf_add_seq(&line->seats, 1);
    pthread_mutex_unlock(&line->lock);
}

void cf_seat_leave(struct cf_memory_line *line, struct cf_seat *seat)
{
    pthread_mutex_lock(&line->lock);
    *seat->at = seat->next;
    if (seat->next != NULL)
        seat->next->at = seat->at;
    else
        line->end = seat->at;
    cf_add_seq(&line->seats, UINT32_MAX);
    pthread_mutex_unlock(&line->lock);
    seat->taken = false;
}

void cf_seat_arm(struct cf_seat *seat)
{
    cf_store_relaxed(&seat->word, 0);
    atomic_thread_fence(memory_order_seq_cst);
}

void cf_seat_sleep(struct cf_seat *seat, uint64_t ns)
{
    if (cf_load_acquire(&seat->word) == 0)
        cf_futex_wait(&seat->word, 0, ns);
}

static void call(struct cf_seat *seat)
{
    cf_store_release(&seat->word, 1);
    if (seat->timer >= 0)
        cf_timer_now(seat->timer);
    else
        cf_futex_wake(&seat->word, 1);
}

static void call_up_to(struct cf_memory_line *line, uint64_t hash, uint32_t most)
{
    atomic_thread_fence(memory_order_seq_cst); /* the change of the lock, before this look */
    if (cf_load_relaxed(&line->seats) == 0)
        return;
    pthread_mutex_lock(&line->lock);
    for (struct cf_seat *seat = line->first; seat != NULL && most > 0; seat = seat->next) {
        if (seat->hash != hash)
            continue;
        call(seat);
        most--;
    }
    pthread_mutex_unlock(&line->lock);
}

void cf_memory_line_call(struct cf_memory_line *line, uint64_t hash)
{
    call_up_to(line, hash, 1);
}

void cf_memory_line_call_all(struct cf_memory_line *line, uint64_t hash)
{
    call_up_to(line, hash, UINT32_MAX);
}

uint32_t cf_memory_line_each(struct cf_memory_line *line, uint64_t hash,
                             int (*fn)(void *context, const struct cf_seat *seat), void *context)
{
    uint32_t count = 0;
    if (cf_load_relaxed(&line->seats) == 0)
        return 0;
    pthread_mutex_lock(&line->lock);
    for (const struct cf_seat *seat = line->first; seat != NULL; seat = seat->next) {
        if (seat->hash != hash)
            continue;
        count++;
        if (fn != NULL && fn(context, seat) != 0)
            break;
    }
    pthread_mutex_unlock(&line->lock);
    return count;
}
