/* Records: taking one, giving one back, and the spare that each thread keeps.
 * Rules R1 to R7 of README.md. */
#ifndef CF_SHM_LEASE_POOL_H
#define CF_SHM_LEASE_POOL_H

#include "shm/line.h"
#include "shm/mapping.h"

/* A thread's spare, in the client's part of cachify_caller_t. */
struct cf_spare {
    uint64_t record;       /* its number + 1; 0: none */
    uint64_t generation;   /* last used */
    uint64_t slot;         /* where it lies idle (W3); 0: in hand */
    uint64_t cursor;       /* where this thread looks for the next free record */
    uint64_t hash;         /* of the key this thread asked for last */
    uint64_t thread;       /* cf_thread_make of this one */
    struct cf_quiet quiet; /* of the line for that key */
};

enum cf_purpose {
    CF_FOR_LOCK, /* within max_locks (R9) */
    CF_IN_PLACE, /* beyond too: a record comes free in return */
};

/* Make sure the spare is in hand, with a generation never used: evicts it where it is
 * idle (T9), takes a free record (R1), sweeps if there is none.  False: the table is full. */
bool cf_spare_in_hand(struct cf_mapping *m, struct cf_spare *spare, enum cf_purpose purpose);

/* Give the spare back to the pool. */
void cf_spare_drop(struct cf_mapping *m, struct cf_spare *spare);

/* The end of a call that may have left the spare in hand (R7). */
static inline void cf_spare_settle(struct cf_mapping *m, struct cf_spare *spare)
{
    if (spare->record != 0 && spare->slot == 0)
        cf_spare_drop(m, spare);
}

/* R4: claim the record of one's own held word w.  False: it was freed or claimed. */
static inline bool cf_record_claim(struct cf_mapping *m, cf_word w)
{
    uint64_t generation = cf_word_generation(w);
    cf_owner self = cf_self(m);
    return cf_cas64(&cf_record_at(m, cf_word_record(w))->state, cf_state_taken(generation, self),
                    cf_state_taken(generation + 1, self));
}

/* R3: free the record of a held word that was taken out.  By CAS; somebody else may have. */
void cf_record_free(struct cf_mapping *m, cf_word w);

/* K3: no token of this key was or will be larger than its home group's counter. */
void cf_token_keep(struct cf_mapping *m, const struct cf_record *record);

/* R5: note the held word w before taking it out; strike it out after freeing its record.
 * begin returns a place for end; CF_INTENTS if it waited for one in vain, try without a wait. */
#define CF_INTENT_WAIT_NS (2 * CF_MS)
unsigned cf_intent_begin(struct cf_mapping *m, cf_word w);
unsigned cf_intent_try(struct cf_mapping *m, cf_word w);
void cf_intent_end(struct cf_mapping *m, unsigned place);

/* Follow and strike out what an entry's dead process noted.  Call with its byte locked. */
void cf_intents_settle(struct cf_mapping *m, struct cf_process *p);

#endif
