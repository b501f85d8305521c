/* The life of records and leases: lib/shm/README.md, sections 2, 4, 5, 6 and 8, in Promela.
 *
 * One group of SLOTS slots is the path of every key; walking and overflow bits are
 * insert.pml's matter.  Names in capitals after a comment's colon (T5, R4, K3) are the
 * protocol's.  One step of a thread (an atomic block or a single statement) touches shared
 * memory once; what else a step does is local, or belongs to a record that nobody else may
 * look at, or is a ghost: a variable that no rule reads, kept only to be asserted about.
 *
 * Who takes part is chosen by -D: see "Cast" at the end, and run.sh.
 */

/* ---- Bounds ---- */

#ifndef SLOTS
#define SLOTS 1
#endif
#ifndef KEYS
#define KEYS 1
#endif
#ifndef RECORDS
#define RECORDS 3
#endif
#ifndef OPS
#define OPS 1 /* acquisitions of each worker */
#endif
#ifndef TRIES
#define TRIES 2 /* times an acquisition starts over */
#endif
#ifndef EXTENDS
#define EXTENDS 1 /* of each extender */
#endif
#ifndef JOBS
#define JOBS 1 /* of each sweeper */
#endif
#ifndef TICKS
#define TICKS 1 /* of the clock; a lease lasts one */
#endif

/* ---- Words and states ---- */

#define EMPTY 0
#define INSERTING 1
#define HELD 2
#define IDLE 3

#define WORD(kind, r, g) ((kind) * 512 + (g) * 8 + (r))
#define KIND(w) ((w) >> 9)
#define GEN(w) (((w) >> 3) & 63)
#define REC(w) ((w) & 7)
#define NAMES(w, r) ((w) != 0 && REC(w) == (r))

#define FREE(g) (g)
#define TAKEN(g, p) ((p) * 64 + (g))
#define STATE_GEN(s) ((s) & 63)
#define STATE_OWNER(s) ((s) >> 6) /* 0: free */

#ifdef NO_GENERATION /* mutant: a word or state does not tell two uses of a record apart */
#define NEXT(g) (g)
#else
#define NEXT(g) ((g) + 1)
#endif

#define NO_RECORD 7

/* With -DKILL any thread stops for ever, at any step, when its process is killed. */
#ifdef KILL
#define KILLABLE unless { atomic { dead[self]; RESET } }
#else
#define KILLABLE
#endif

/* Threads are numbered; several may be of one process. */
#define THREADS 9
#define PROCESSES 4
#define PROCESS(t) ((t) == 1 || (t) == 4 || (t) == 5 -> 1 : ((t) == 2 -> 2 : ((t) == 3 || (t) == 6 -> 3 : 4)))

/* ---- The segment ---- */

typedef Record {
    short state;
    byte deadline;
    byte token;
    byte owner;
    bit key;
    bit slot
}

short slot[SLOTS];
Record rec[RECORDS];
byte counter;           /* group.token of the keys' home group */
short intent[THREADS];  /* R5; the protocol has them by process, which is the same */

/* ---- Not in the segment ---- */

byte now;
bit dead[PROCESSES + 1]; /* killed, and proved dead: until proved, the dead is only slow */

/* The lease of a process, in its own memory, where all its threads see it. */
typedef Lease {
    short word;
    byte token;
    bit slot;
    bit key
}
Lease lease[PROCESSES + 1];

/* ---- Ghosts ---- */

byte holder_token[KEYS];    /* of the lease of this key, expired or not; 0: none */
byte holder_deadline[KEYS];
byte holder_process[KEYS];
byte last_token[KEYS];
byte releasing[PROCESSES + 1]; /* threads of this process that are in release */
byte user[RECORDS];         /* whose record it is: a thread, LEASE, or NOBODY */
#define NOBODY 0
#define LEASE 9             /* named by a held word, claimed by nobody */

#define DEAD_USER(u) ((u) != NOBODY && (u) != LEASE && dead[PROCESS(u)])

#if SLOTS == 1
#define NAMED(r) NAMES(slot[0], r)
#else
#define NAMED(r) (NAMES(slot[0], r) || NAMES(slot[1], r))
#endif

/* At every acquisition: I1 and I3. */
inline ghost_acquired(k, token_, deadline_, r)
{
    assert(holder_token[k] == 0 || holder_deadline[k] <= now || dead[holder_process[k]]);
    assert((token_) > last_token[k]);
    last_token[k] = token_;
    holder_token[k] = token_;
    holder_deadline[k] = deadline_;
    holder_process[k] = self;
    user[r] = LEASE
}

/* A held word of key k left its slot, and nobody has the lock. */
inline ghost_removed(k, r)
{
    holder_token[k] = 0;
    ghost_garbage(r)
}

/* The record of a held word that was taken out: garbage, unless it was claimed before. */
inline ghost_garbage(r)
{
    if
    :: user[r] == LEASE -> user[r] = NOBODY
    :: else
    fi
}

/* ---- Steps on records ---- */

#define LOCALS \
    byte spare = NO_RECORD; /* R7: this thread's record */ \
    bit idle;               /* it lies idle in its slot; otherwise it is in hand */ \
    byte s;                 /* a slot */ \
    short w;                /* the word read in it */ \
    short mine;             /* the word to put there */ \
    bit c_key; byte c_deadline, c_owner, c_token; /* the copy of w's record */ \
    bit k; byte token;      /* of the lease in question */ \
    bit ok; byte i; byte self = PROCESS(me)

#define FORGET_COPY c_key = 0; c_deadline = 0; c_owner = 0; c_token = 0
#define FORGET FORGET_COPY; s = 0; w = 0; mine = 0; ok = 0; i = 0; k = 0; token = 0
#define RESET FORGET; spare = NO_RECORD; idle = 0

/* R1 */
inline take()
{
    atomic {
        i = 0;
        do
        :: i < RECORDS && STATE_OWNER(rec[i].state) == 0 ->
            assert(user[i] == NOBODY && !NAMED(i));
            rec[i].state = TAKEN(NEXT(STATE_GEN(rec[i].state)), self);
            user[i] = me;
            spare = i;
            idle = 0;
            break
        :: i < RECORDS && STATE_OWNER(rec[i].state) != 0 -> i++
        :: i >= RECORDS -> break
        od;
        i = 0
    }
}

/* R3: by CAS on state and generation. */
inline free(word)
{
    atomic {
        if
#ifdef PLAIN_FREE /* mutant: by a store */
        :: true ->
#else
        :: STATE_OWNER(rec[REC(word)].state) != 0 && STATE_GEN(rec[REC(word)].state) == GEN(word) ->
#endif
            assert(!NAMED(REC(word)));
            assert(user[REC(word)] == NOBODY || DEAD_USER(user[REC(word)]));
            rec[REC(word)].state = FREE(GEN(word));
            user[REC(word)] = NOBODY
        :: else
        fi
    }
}

/* K3 */
inline keep_token(token_)
{
#ifdef NO_K3 /* mutant: the counter is left alone */
    skip
#else
    atomic {
        if
        :: counter < (token_) -> counter = (token_)
        :: else
        fi
    }
#endif
}

/* T9 on one's own idle word.  If it is gone, it was taken over or evicted: in every case
 * the record is in hand afterwards. */
inline evict_own()
{
    keep_token(rec[spare].token);
    atomic {
        assert(user[spare] == me);
        if
        :: slot[rec[spare].slot] == WORD(IDLE, spare, STATE_GEN(rec[spare].state)) -> slot[rec[spare].slot] = EMPTY
        :: else
        fi;
        idle = 0
    }
}

/* A record in hand, in a generation never used; NO_RECORD if there is none. */
inline spare_in_hand()
{
    if
    :: spare == NO_RECORD -> take()
    :: else ->
        if
        :: idle -> evict_own()
        :: else
        fi;
        atomic {
            assert(user[spare] == me && STATE_OWNER(rec[spare].state) == self && !NAMED(spare));
            rec[spare].state = TAKEN(NEXT(STATE_GEN(rec[spare].state)), self)
        }
    fi
}

/* R2.  Key and slot are stored too when the record is idle: they stay what they are. */
inline fill(k, slot_, token_)
{
    assert(user[spare] == me && STATE_OWNER(rec[spare].state) == self);
    rec[spare].key = k;
    rec[spare].slot = slot_;
    rec[spare].token = token_;
    rec[spare].owner = self;
    rec[spare].deadline = now + 1
}

inline drop_spare()
{
    if
    :: spare != NO_RECORD ->
        if
        :: idle -> evict_own()
        :: else
        fi;
        atomic {
            assert(user[spare] == me && STATE_OWNER(rec[spare].state) == self && !NAMED(spare));
            rec[spare].state = FREE(STATE_GEN(rec[spare].state));
            user[spare] = NOBODY;
            spare = NO_RECORD
        }
    :: else
    fi
}

/* ---- Reading: section 6 ---- */

inline copy()
{
    atomic {
        c_key = rec[REC(w)].key;
        c_token = rec[REC(w)].token;
        c_deadline = rec[REC(w)].deadline;
        c_owner = rec[REC(w)].owner
    }
}

/* Within an atomic.  ok: the copy counts; then it had better be whole. */
inline confirm()
{
#ifdef NO_CONFIRM /* mutant: no second look at the word */
    ok = 1;
#else
    ok = (slot[s] == w);
    if
    :: ok ->
        assert(c_key == rec[REC(w)].key && s == rec[REC(w)].slot);
        if
        :: KIND(w) == HELD ->
            assert(c_token == rec[REC(w)].token && c_deadline == rec[REC(w)].deadline && c_owner == rec[REC(w)].owner);
            /* a generation ahead: claimed (R4) */
            assert(rec[REC(w)].state == TAKEN(GEN(w), c_owner) || rec[REC(w)].state == TAKEN(NEXT(GEN(w)), c_owner))
        :: KIND(w) == IDLE -> assert(c_token == rec[REC(w)].token || c_token + 1 == rec[REC(w)].token)
        :: KIND(w) == INSERTING -> skip
        fi
    :: else
    fi
#endif
    ; if
    :: !ok -> FORGET_COPY
    :: else
    fi
}

/* The lease's word is another record's now, by an extend of this very lease: same owner, key
 * and token.  ok: it is, and w is that word. */
inline moved_on()
{
    ok = 0;
    do
    :: w = slot[s];
        if
        :: KIND(w) != HELD -> break
        :: else
        fi;
        copy();
        atomic {
            confirm();
            if
            :: ok -> ok = (c_key == k && c_token == token && c_owner == self); FORGET_COPY; break
            :: else
            fi
        }
    od
}

/* ---- Release ---- */

/* The process's lease as it is now, copied.  From then on it may be stale. */
inline read_lease()
{
    w = lease[self].word;
    s = lease[self].slot;
    token = lease[self].token;
    k = lease[self].key
}

/* R4: one's own held word w. ok: claimed. */
inline claim(word)
{
    atomic {
        ok = (rec[REC(word)].state == TAKEN(GEN(word), self));
#ifdef PLAIN_CLAIM /* mutant: by a store */
        ok = 1;
#endif
        if
        :: ok ->
            assert(user[REC(word)] == LEASE || user[REC(word)] == NOBODY);
            rec[REC(word)].state = TAKEN(NEXT(GEN(word)), self);
            user[REC(word)] = me
        :: else
        fi
    }
}

/* The lease read last: w, s, token, k. */
inline release()
{
    releasing[self]++;
    do
    :: true ->
#ifdef NO_CLAIM /* mutant: the state follows after the word */
        ok = 1;
#else
        claim(w);
#endif
        if
        :: ok && spare == NO_RECORD -> /* T7 */
            atomic {
                ok = (slot[s] == w);
                if
                :: ok ->
                    assert(holder_token[k] == token);
                    holder_token[k] = 0;
                    slot[s] = WORD(IDLE, REC(w), NEXT(GEN(w)))
                :: else
                fi;
#ifdef NO_CLAIM
                if
                :: ok -> user[REC(w)] = me; spare = REC(w); idle = 1
                :: else
                fi
#else
                spare = REC(w);
                idle = ok
#endif
            };
#ifdef NO_CLAIM
            if
            :: ok -> atomic { assert(user[REC(w)] == me); rec[REC(w)].state = TAKEN(NEXT(GEN(w)), self) }
            :: else
            fi;
#endif
        :: ok && (spare != NO_RECORD
#ifdef RELEASE_OUT /* this thread's spare is worn out (Generation), so it may be given up */
            || true
#endif
            ) -> /* T8 */
            keep_token(rec[REC(w)].token);
            atomic {
                ok = (slot[s] == w);
                if
                :: ok ->
                    assert(holder_token[k] == token);
                    ghost_removed(k, REC(w));
                    slot[s] = EMPTY
                :: else
                fi
            };
            atomic {
                assert(user[REC(w)] == me && !NAMED(REC(w)));
                rec[REC(w)].state = FREE(NEXT(GEN(w)));
                user[REC(w)] = NOBODY
            }
        :: !ok
        fi;
        if
        :: ok -> break
        :: else
        fi;
        mine = w;
#ifdef NO_MOVED_ON /* mutant: what an extend moved on is given up for lost */
        ok = 0;
#else
        moved_on();
#endif
        if
        :: !ok || w == mine ->
            /* Lost.  It is, unless another thread is releasing the same lease. */
            assert(holder_token[k] != token || releasing[self] > 1);
            break
        :: else
        fi
    od;
    releasing[self]--
}

/* ---- Acquire and release, again and again ---- */

proctype Worker(byte me)
{
    LOCALS;
    byte ops, tries, hole;

    {
    do
    :: ops < OPS ->
        atomic {
            ops++;
#if KEYS > 1
            if
            :: k = 0
            :: k = 1
            fi;
#endif
            tries = 0
        };
again:  atomic {
            if
            :: tries == TRIES -> goto done
            :: else -> tries++; s = 0; hole = SLOTS
            fi
        };

        /* Steps 1 and 2 */
        do
        :: s < SLOTS ->
look:       atomic {
                w = slot[s];
                if
                :: w == EMPTY -> if :: hole == SLOTS -> hole = s :: else fi; s++; goto next
                :: KIND(w) == INSERTING -> w = 0; s++; goto next
                :: else
                fi
            };
            copy();
            atomic {
                confirm();
                if
                :: !ok -> goto look
                :: ok && c_key != k -> FORGET_COPY; w = 0; s++
                :: ok && c_key == k && KIND(w) == HELD && c_deadline > now && !dead[c_owner] ->
                    assert(holder_token[k] == c_token);
                    goto done /* busy */
                :: else -> goto in_place
                fi
            };
next:       skip
        :: else -> break
        od;
        if
        :: hole == SLOTS -> goto done /* full */
        :: else -> spare_in_hand()
        fi;
        if
        :: spare == NO_RECORD -> goto done
        :: else
        fi;

        /* Step 3: T1 */
        atomic {
            fill(k, hole, 0);
            mine = WORD(INSERTING, spare, STATE_GEN(rec[spare].state));
            if
            :: slot[hole] == EMPTY -> slot[hole] = mine
            :: else -> goto again
            fi
        };
#if SLOTS > 1
        /* Step 4 */
        s = 1 - hole;
look2:  atomic {
            w = slot[s];
            if
            :: w == EMPTY -> goto settled
            :: else
            fi
        };
        copy();
        atomic {
            confirm();
            if
            :: !ok -> goto look2
            :: ok && c_key != k -> FORGET_COPY; goto settled
            :: else -> FORGET_COPY
            fi
        };
        if
        :: KIND(w) == INSERTING ->
            atomic { /* T3 on the rival, whose record stays its own */
                if
                :: slot[s] == w -> slot[s] = EMPTY; ok = 1
                :: else -> ok = 0
                fi
            };
#ifdef WITHDRAWER_FREES /* mutant */
            if
            :: ok -> free(w)
            :: else
            fi;
#endif
            goto look2
        :: else ->
            atomic { /* T3 on one's own */
                if
                :: slot[hole] == mine -> slot[hole] = EMPTY
                :: else
                fi;
                goto again
            }
        fi;
settled:
#endif
        /* Step 5: K1, T2 */
        atomic { counter++; token = counter };
        atomic {
            rec[spare].token = token;
            rec[spare].deadline = now + 1;
            if
            :: slot[hole] == mine ->
                mine = WORD(HELD, REC(mine), GEN(mine));
                slot[hole] = mine;
                ghost_acquired(k, token, rec[spare].deadline, spare);
                s = hole;
                spare = NO_RECORD
            :: else -> goto again
            fi
        };
        goto acquired;

in_place: /* T4, T5 */
        if
        :: KIND(w) == IDLE && idle && REC(w) == spare -> skip
        :: else -> spare_in_hand()
        fi;
        if
        :: spare == NO_RECORD -> goto done
        :: KIND(w) == HELD && spare != NO_RECORD ->
#ifndef NO_INTENT /* mutant: nothing is noted */
            intent[me] = w /* R5 */
#endif
        :: else
        fi;
        atomic {
            token = c_token + 1; /* K2 */
            fill(k, s, token);
            mine = WORD(HELD, spare, STATE_GEN(rec[spare].state));
            FORGET_COPY
        };
        atomic {
            ok = (slot[s] == w);
            if
            :: ok ->
                slot[s] = mine;
                if
                :: KIND(w) == HELD -> ghost_garbage(REC(w))
                :: else
                fi;
                ghost_acquired(k, token, rec[spare].deadline, spare);
                spare = NO_RECORD
            :: else
            fi;
            idle = 0
        };
        if
        :: KIND(w) == HELD ->
            if
            :: ok -> free(w) /* R3 */
            :: else
            fi;
            intent[me] = 0
        :: else
        fi;
        if
        :: !ok -> goto again
        :: else
        fi;

acquired:
        atomic {
            lease[self].word = mine;
            lease[self].slot = s;
            lease[self].token = token;
            lease[self].key = k;
            FORGET; hole = 0; tries = 0
        };
        /* Held as long as the others' steps take. */
#ifdef ABANDON /* or the lease is forgotten */
        if
        :: goto done
        :: skip
        fi;
#endif
        atomic { read_lease() };
        release();
done:   atomic { FORGET; hole = 0; tries = 0 }
    :: else -> break
    od;
    drop_spare()
    } KILLABLE
}

/* A second thread that has the lease, or a copy of it, and releases it at some time. */
proctype Copier(byte me)
{
    LOCALS;

    {
    if
    :: atomic { lease[self].word != 0 -> read_lease() }; release(); atomic { FORGET }
    :: skip
    fi;
    drop_spare()
    } KILLABLE
}

/* ---- Extend ---- */

proctype Extender(byte me)
{
    LOCALS;
    short known;
    byte n;

    {
    do
    :: n < EXTENDS && lease[self].word != 0 ->
        atomic { n++; read_lease(); known = w };
        do
        :: true ->
            spare_in_hand();
            if
            :: spare == NO_RECORD -> break
            :: else
            fi;
            atomic { fill(k, s, token); mine = WORD(HELD, spare, STATE_GEN(rec[spare].state)) };
            atomic { /* T6 */
                ok = (slot[s] == w);
                if
                :: ok ->
                    assert(holder_token[k] == token);
                    holder_deadline[k] = rec[spare].deadline;
                    slot[s] = mine;
                    ghost_garbage(REC(w));
                    user[spare] = LEASE;
                    spare = NO_RECORD
                :: else
                fi
            };
            if
            :: ok ->
                atomic {
                    if
                    :: lease[self].word == known -> lease[self].word = mine
                    :: else
                    fi
                };
                claim(w); /* R4: kept as the spare; or somebody else had it */
                atomic {
                    if
                    :: ok -> spare = REC(w); idle = 0
                    :: else
                    fi
                };
                break
            :: else
            fi;
            moved_on();
            if
            :: !ok -> assert(holder_token[k] != token); break
            :: else
            fi
        od;
        atomic { FORGET; known = 0 }
    :: break
    od;
    drop_spare()
    } KILLABLE
}

/* ---- Removing another's lease ---- */

/* T8 on held word w, whose copy is at hand.  ok: it was taken out. */
inline remove()
{
#ifndef NO_INTENT
    intent[me] = w; /* R5 */
#endif
    keep_token(c_token);
    atomic {
        ok = (slot[s] == w);
        if
        :: ok ->
            ghost_removed(c_key, REC(w));
            slot[s] = EMPTY
        :: else
        fi
    };
    if
    :: ok -> free(w)
    :: else
    fi;
    intent[me] = 0
}

/* Release by key: key 0, again while it is the same lease. */
proctype Force(byte me)
{
    LOCALS;

    {
    do
    :: s < SLOTS ->
        w = slot[s];
        if
        :: KIND(w) == HELD ->
            copy();
            atomic { confirm(); if :: ok && token == 0 && c_key == k -> token = c_token :: else fi };
            if
            :: ok && c_key == k && c_token == token -> remove()
            :: ok && (c_key != k || c_token != token) -> s++
            :: else
            fi
        :: else -> s++
        fi;
        atomic { FORGET_COPY; w = 0; ok = 0 }
    :: else -> break
    od;
    atomic { FORGET }
    } KILLABLE
}

/* ---- Sweep: R6 ---- */

/* What a dead process has: record i, whose state was x. */
inline sweep_dead()
{
    s = rec[i].slot;
    w = slot[s];
    ok = 1;
    if
    :: NAMES(w, i) ->
        /* Of a later generation: x is old news.  One behind: claimed, not yet out (C6). */
        ok = (STATE_GEN(x) == GEN(w) || STATE_GEN(x) == NEXT(GEN(w)));
        if
        :: ok ->
            if
            :: KIND(w) != INSERTING -> atomic { c_token = rec[i].token; c_key = rec[i].key }; keep_token(c_token)
            :: else
            fi;
            atomic { /* T3, T8, T9 */
                ok = (slot[s] == w);
                if
                :: ok ->
                    if
                    :: KIND(w) == HELD -> ghost_removed(c_key, i)
                    :: else
                    fi;
                    slot[s] = EMPTY
                :: else
                fi
            }
        :: else
        fi
    :: else
    fi;
    atomic {
        if
        :: ok && rec[i].state == x ->
            assert(!NAMED(i));
            assert(user[i] == NOBODY || DEAD_USER(user[i]));
            rec[i].state = FREE(STATE_GEN(x));
            user[i] = NOBODY
        :: else
        fi
    }
}

/* An expired lease: word w in slot s. */
inline sweep_expired()
{
    copy();
    if
    :: c_deadline <= now -> remove() /* if the word still stands then, the copy was whole */
    :: else
    fi
}

/* R5, of noted word w. */
inline follow_intent()
{
    i = REC(w);
    x = rec[i].state;
    if
    :: STATE_OWNER(x) != 0 && STATE_GEN(x) == GEN(w) ->
        s = rec[i].slot;
        mine = slot[s];
        if
        :: !NAMES(mine, i) ->
            atomic {
                if
                :: rec[i].state == x ->
                    assert(!NAMED(i));
                    assert(user[i] == NOBODY || DEAD_USER(user[i]));
                    rec[i].state = FREE(STATE_GEN(x));
                    user[i] = NOBODY
                :: else
                fi
            }
        :: else
        fi
    :: else
    fi
}

#define IS_DEADS(r) (STATE_OWNER(rec[r].state) != 0 && dead[STATE_OWNER(rec[r].state)])

/* Each of the jobs that a whole sweep consists of, at any time and in any order; those that
 * would find nothing to do are left out. */
proctype Sweeper(byte me)
{
    LOCALS;
    byte x, n;

    {
    do
    :: n < JOBS ->
        n++;
        if
        :: atomic { IS_DEADS(0) -> i = 0; x = rec[i].state }; sweep_dead()
        :: atomic { IS_DEADS(1) -> i = 1; x = rec[i].state }; sweep_dead()
#if RECORDS > 2
        :: atomic { IS_DEADS(2) -> i = 2; x = rec[i].state }; sweep_dead()
#endif
        :: atomic { KIND(slot[0]) == HELD -> s = 0; w = slot[s] }; sweep_expired()
#if SLOTS > 1
        :: atomic { KIND(slot[1]) == HELD -> s = 1; w = slot[s] }; sweep_expired()
#endif
        :: atomic { intent[1] != 0 -> w = intent[1] }; follow_intent()
        :: atomic { intent[2] != 0 -> w = intent[2] }; follow_intent()
        :: atomic { intent[3] != 0 -> w = intent[3] }; follow_intent()
        :: atomic { intent[6] != 0 && me != 6 -> w = intent[6] }; follow_intent()
        :: atomic { intent[7] != 0 && me != 7 -> w = intent[7] }; follow_intent()
        :: n = JOBS
        fi;
        atomic { FORGET; x = 0 }
    :: else -> break
    od
    } KILLABLE
}

/* ---- Cast ---- */

proctype Clock()
{
    do
    :: now < TICKS -> now++
    :: else -> break
    od
}

proctype Killer(byte p)
{
    dead[p] = 1
}

init {
    byte me = 0;
    LOCALS;
    byte x, n;

    atomic {
        run Worker(1);
#if WORKERS > 1
        run Worker(2);
#endif
#if WORKERS > 2
        run Worker(8);
#endif
#ifdef EXTENDER
        run Extender(4);
#endif
#ifdef EXTENDER2
        run Extender(5);
#endif
#ifdef COPIER
        run Copier(5);
#endif
#ifdef FORCE
        run Force(3);
#endif
#ifdef SWEEPER
        run Sweeper(6);
#endif
#ifdef SWEEPER2
        run Sweeper(7);
#endif
#if TICKS > 0
        run Clock();
#endif
#ifdef KILL
        run Killer(KILL);
#endif
#ifdef KILL2
        run Killer(KILL2);
#endif
    }

    /* When everybody is done or dead, one sweep leaves nothing behind. */
    atomic {
        _nr_pr == 1;
        now = TICKS + 9;
        n = 0;
        do
        :: n < RECORDS ->
            i = n;
            x = rec[i].state;
            if
            :: IS_DEADS(i) -> sweep_dead()
            :: else
            fi;
            n++
        :: else -> break
        od;
        n = 0;
        do
        :: n < SLOTS ->
            s = n;
            w = slot[s];
            if
            :: KIND(w) == HELD -> sweep_expired()
            :: else
            fi;
            n++
        :: else -> break
        od;
        n = 0;
        do
        :: n < THREADS ->
            w = intent[n];
            if
            :: w != 0 -> follow_intent()
            :: else
            fi;
            n++
        :: else -> break
        od;
        n = 0;
        do
        :: n < SLOTS -> assert(slot[n] == EMPTY); n++
        :: else -> break
        od;
        n = 0;
        do
        :: n < RECORDS -> assert(STATE_OWNER(rec[n].state) == 0); n++
        :: else -> break
        od
    }
}
