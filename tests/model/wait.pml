/* Waiting: lib/shm/README.md, section 9 and the crashes C10 to C12, in Promela.
 *
 * One key, one class.  WAITERS wait for it, each a process of its own, and the lower its
 * number, the earlier it came; BARGERS take the lock when they find it free and never wait:
 * the first of them holds it at the beginning.  The slot's word is free or held by somebody.
 * One step touches shared memory once; ghosts are read by no rule.
 *
 * There are no sequences.  A word with a sequence is compared with what one saw of it
 * before; instead, whoever counts it on tells all who saw it that this is stale.
 *
 * Time passes at any moment: a turn ends, a waiter becomes patient, a sleep ends that was
 * for a turn, for the first 10 ms of awaiting somebody (no watch yet) or for the caller's own
 * deadline.  The poll interval passes only when nothing else can happen, POLLS times a waiter.
 * So a sleep after which somebody absent may come back before the sleeper is let end too.
 * Without POLLS nobody dies or stops between his CAS to L2 and his wake, but who is awaited
 * by the sleeper: that one the poll interval alone wakes.
 *
 * What the -D choose: see run.sh.
 */

#ifndef WAITERS
#define WAITERS 2
#endif
#ifndef BARGERS
#define BARGERS 1
#endif
#ifndef TRIES
#define TRIES 1 /* of each barger to take the lock, after the first had it already */
#endif
#ifndef POLLS
#define POLLS 0
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif

#if KILLS > 0 || defined(UNWATCHED)
#define AWAIT
#endif

#if KILLS + STOPS > 0 && !defined(CALL_AT_ONCE) && !defined(DIE_CALLING) && POLLS == 0
#define IN_CALL
#endif

#define ALL (WAITERS + BARGERS)
#define NOBODY ALL
#define FREE ALL

/* ---- The segment ---- */

#define L1 0
#define L2 1
#define L3 2

byte lock = WAITERS;  /* the slot */
bit armed;            /* the class, in the wait word */
bit in_line[WAITERS]; /* the bit behind the waiters */
byte word[WAITERS];
bit turn[WAITERS];    /* not over */
byte awaited[WAITERS];

/* ---- Not in the segment ---- */

bit dead[ALL + 1];
bit known[ALL + 1];     /* to be dead: its generation was counted on */
bit stopped[ALL + 1];   /* for ever */
bit asleep[WAITERS];
bit briefly[WAITERS];   /* that sleep ends by itself */
bit watched[WAITERS];   /* awaited has been so for long enough that a watch is on it */
bit impatient[WAITERS];
byte arrived;           /* so many have their time of arrival */
byte polls[WAITERS];
#ifdef IN_CALL
byte calling[ALL + 1]; /* between the CAS to L2 and the wake */
#endif

/* What this process saw of a waiter's word, the wait word, the slot, is not so any more. */
byte target[ALL];
bit stale[ALL];
bit stale_class[ALL];
bit stale_lock[ALL];

#define EVERY_WAITER(what) what(0); what(1); THIRD_WAITER(what)
#if WAITERS > 2
#define THIRD_WAITER(what) what(2)
#else
#define THIRD_WAITER(what) skip
#endif
#define EVERY(what) EVERY_WAITER(what); what(WAITERS); SECOND_BARGER(what)
#if BARGERS > 1
#define SECOND_BARGER(what) what(WAITERS + 1)
#else
#define SECOND_BARGER(what) skip
#endif

#define MARK_STALE(p) stale[p] = stale[p] || target[p] == me
#define MARK_STALE_CLASS(p) stale_class[p] = 1
#define MARK_STALE_LOCK(p) stale_lock[p] = 1

#define ALIVE(w) (!dead[w] && !stopped[w])
#define MAY_BE_HAD (lock == FREE || known[lock])
#define COMING(w) (word[w] == L2 && turn[w])

/* ---- Ghosts: P3 ---- */

/* Whom p has to let go first: patient, asleep or called when p began to try. */
byte owed[ALL];

#define FORGIVE(p) owed[p] = owed[p] & (255 - (1 << who))
byte who;
inline forgive(w)
{
    d_step { who = w; EVERY(FORGIVE); who = 0 }
}
#define FORGIVE_ALL(p) owed[p] = 0

#define OWES(w) owed[me] = owed[me] | ((w < limit && in_line[w] && ALIVE(w) && !impatient[w] && \
    armed && ((word[w] == L1 && asleep[w]) || (COMING(w)))) << w)

/* ---- Looking along the line ---- */

#define LOCALS byte i, first = NOBODY, turn_of = NOBODY, holder; bit coming, others, eager, ok
#define RESET_LOOK i = 0; first = NOBODY; turn_of = NOBODY; coming = 0; others = 0; eager = 0; target[me] = NOBODY; stale[me] = 0
#define FORGET RESET_LOOK; holder = 0; ok = 0; stale_class[me] = 1; stale_lock[me] = 1; owed[me] = 0

#if KILLS + STOPS > 0
#define KILLABLE(more) unless { atomic { !ALIVE(me); FORGET; END_CALL; more } }
#else
#define KILLABLE(more)
#endif

#ifdef BACKWARD /* the entries lie the other way round */
#define ENTRY(limit) (limit - 1 - i)
#else
#define ENTRY(limit) i
#endif

#ifdef SEE_AT_ONCE
#define SIGHT atomic
#else
#define SIGHT
#endif

/* Those before limit, an entry a step.  eager: the first is patient. */
inline look_along(limit)
{
    SIGHT {
    do
    :: i < limit ->
        atomic {
            if
            :: !in_line[ENTRY(limit)] || known[ENTRY(limit)] -> skip
            :: else ->
                if
                :: COMING(ENTRY(limit)) ->
                    coming = 1;
                    if
                    :: !impatient[ENTRY(limit)] -> turn_of = ENTRY(limit); others = 1
                    :: else
                    fi
                :: word[ENTRY(limit)] == L1 ->
                    others = others || first != NOBODY;
                    if
                    :: first == NOBODY || ENTRY(limit) < first ->
                        target[me] = ENTRY(limit);
                        stale[me] = 0;
                        first = ENTRY(limit);
                        eager = !impatient[first]
                    :: else
                    fi
                :: else
                fi
            fi;
            i++
        }
    :: else -> i = 0; break
    od
    }
}

#ifdef IN_CALL
#define BEGIN_CALL calling[me] = first
#define END_CALL calling[me] = NOBODY
#define IS_CALLING(p) (calling[p] != NOBODY && asleep[calling[p]] && awaited[calling[p]] != p)
#else
#define BEGIN_CALL skip
#define END_CALL skip
#define IS_CALLING(p) 0
#endif

/* ok: it was woken. */
#ifdef CALL_AT_ONCE /* nobody is killed within it */
#define AT_ONCE atomic
#else
#define AT_ONCE
#endif
inline call()
{
    AT_ONCE {
        atomic {
            ok = (word[first] == L1 && !stale[me]);
            if
            :: ok -> word[first] = L2; turn[first] = 1; BEGIN_CALL
            :: else
            fi
        };
        if
        :: ok ->
            atomic { ok = asleep[first]; asleep[first] = 0; END_CALL };
            if
            :: ok
            :: else ->
#ifdef NO_ABSENT /* mutant: not asleep, and taken for woken */
                ok = 1
#else
                atomic {
                    if
                    :: word[first] == L2 && !stale[me] -> word[first] = L3; turn[first] = 0; forgive(first)
                    :: else
                    fi
                }
#endif
            fi
        :: else
        fi
    }
}

/* P4 */
#define UNCALLED(w) (asleep[w] && word[w] == L1)
#if WAITERS > 2
#define UNCALLED_ANY (UNCALLED(0) || UNCALLED(1) || UNCALLED(2))
#else
#define UNCALLED_ANY (UNCALLED(0) || UNCALLED(1))
#endif
inline disarm()
{
    atomic {
        if
#ifdef PLAIN_DISARM /* mutant */
        :: true ->
#else
        :: armed && !stale_class[me] ->
#endif
            armed = 0;
            assert(!UNCALLED_ANY); /* P4 */
            d_step { EVERY(FORGIVE_ALL) }
        :: else
        fi
    }
}

inline call_first()
{
    if
    :: armed ->
        do
        :: atomic { RESET_LOOK; stale_class[me] = 0 };
            look_along(WAITERS);
            if
            :: coming -> break
            :: !coming && first == NOBODY ->
                if
                :: !others -> disarm()
                :: else
                fi;
                break
            :: else ->
                call();
                if
                :: ok ->
                    if
                    :: !others && !eager -> disarm()
                    :: else
                    fi;
                    break
                :: else
                fi
            fi
        od;
        atomic { RESET_LOOK; ok = 0; stale_class[me] = 1 }
    :: else
    fi
}

/* turn_of: who has to be let go first. */
inline ask_ahead(limit)
{
#ifdef NO_AHEAD /* mutant */
    skip
#else
    if
    :: limit > 0 && armed ->
        do
        :: look_along(limit);
            if
            :: turn_of != NOBODY -> break
            :: turn_of == NOBODY && (first == NOBODY || !eager) -> break
            :: else ->
                call();
                if
                :: ok -> turn_of = first; break
                :: else -> atomic { RESET_LOOK }
                fi
            fi
        od
    :: else
    fi
#endif
}

/* ---- The lock ---- */

/* ok: it was had. */
inline attempt(limit)
{
    do
    :: atomic {
            ok = MAY_BE_HAD;
            if
            :: ok ->
                stale_lock[me] = 0;
                d_step { EVERY_WAITER(OWES) }
            :: else -> break
            fi
        };
        ask_ahead(limit);
        if
        :: turn_of != NOBODY -> atomic { RESET_LOOK; ok = 0; owed[me] = 0; stale_lock[me] = 1 }; break
        :: else ->
            atomic { /* T4, T5 */
                RESET_LOOK;
                ok = (MAY_BE_HAD && !stale_lock[me]);
                if
                :: ok ->
                    assert(lock == FREE || dead[lock]); /* P2 */
                    assert(owed[me] == 0);              /* P3 */
                    lock = me;
                    d_step { EVERY(MARK_STALE_LOCK) };
                    break
                :: else -> owed[me] = 0; stale_lock[me] = 1
                fi
            }
        fi
    od
}

inline release()
{
    atomic {
        if
        :: lock == me -> lock = FREE; d_step { EVERY(MARK_STALE_LOCK) }; ok = 1 /* T7, T8 */
        :: else -> ok = 0
        fi
    };
    if
    :: ok -> ok = 0; call_first()
    :: else
    fi
}

/* ---- Waiters ---- */

inline await(whom)
{
#ifdef AWAIT
    if
    :: awaited[me] != whom -> awaited[me] = whom;
#ifdef UNWATCHED
        watched[me] = 0
#endif
    :: else -> watched[me] = 1
    fi
#else
    skip
#endif
}

/* coming: somebody was passed over. */
#ifdef PAST_ABSENT /* mutant: one's sleep is then as long as always */
#define NOTE_ABSENT skip
#else
#define NOTE_ABSENT coming = 1
#endif
#define BEFORE(w) \
    if \
    :: w < me && in_line[w] && !known[w] -> \
        if \
        :: word[w] == L3 -> NOTE_ABSENT \
        :: else -> holder = w; coming = 0 \
        fi \
    :: else \
    fi

inline whom_to_await()
{
#ifdef AWAIT
#ifndef NO_BEFORE /* mutant: everybody awaits the holder */
    EVERY_WAITER(BEFORE);
#endif
    await(holder);
    briefly[me] = !watched[me] || coming;
    coming = 0;
    holder = 0
#else
    skip
#endif
}

/* Who leaves without the lock. */
inline call_behind()
{
    do
    :: atomic { RESET_LOOK; i = me + 1 };
        do
        :: i < WAITERS ->
            atomic {
                if
                :: in_line[i] && !known[i] && word[i] == L1 && first == NOBODY ->
                    target[me] = i; stale[me] = 0; first = i
                :: else
                fi;
                i++
            }
        :: else -> i = 0; break
        od;
        if
        :: first == NOBODY -> break
        :: else ->
            call();
#ifdef NO_BEHIND_LOOP /* mutant */
            break
#else
            if
            :: ok -> break
            :: else
            fi
#endif
        fi
    od
}

#define GONE turn[me] = 0; word[me] = L3; awaited[me] = NOBODY; watched[me] = 0; impatient[me] = 0; last = 0; forgive(me)

proctype Waiter(byte me)
{
    LOCALS;
    bit last; /* the caller's deadline is over: one more try */

    {
    skip;
#ifdef ARRIVE_AT_ONCE /* nobody comes between a time of arrival and its bit */
end_arrive: atomic { arrived == me -> arrived++; in_line[me] = 1 };
#else
end_arrive: atomic { arrived == me -> arrived++ };
    in_line[me] = 1;
#endif
    do
    ::
        /* Arm */
#ifdef CLASS_FIRST /* mutant */
        atomic { armed = 1; d_step { EVERY(MARK_STALE_CLASS) } };
#endif
        atomic { word[me] = L1; turn[me] = 0; d_step { EVERY(MARK_STALE) }; forgive(me) };
#ifndef CLASS_FIRST
        atomic { armed = 1; d_step { EVERY(MARK_STALE_CLASS) } };
#endif
        /* Look */
#ifdef NO_LOOK /* mutant */
        atomic { holder = WAITERS; ok = 0 };
#else
        atomic {
            ok = MAY_BE_HAD;
            if
            :: ok
            :: else ->
                holder = lock;
#ifndef LOOK_TWICE
                whom_to_await()
#endif
            fi
        };
#endif
        if
        :: !ok ->
#ifdef AWAIT
#ifdef LOOK_TWICE /* mutant: at the lock, then at the line */
            atomic { whom_to_await() }
#else
            skip
#endif
#else
            holder = 0
#endif
        :: else ->
            ask_ahead(me);
            if
            :: turn_of != NOBODY -> atomic { await(turn_of); briefly[me] = 1; turn_of = NOBODY; ok = 0 }
            :: else -> atomic { RESET_LOOK; ok = 1 }
            fi
        fi;
        if
        :: ok
        :: else ->
            atomic {
                if
                :: word[me] == L1 ->
                    asleep[me] = 1;
                    assert(armed); /* P4 */
#ifdef GIVE_UP
                    if
                    :: last = 1; briefly[me] = 1
                    :: true
                    fi
#endif
                :: else -> briefly[me] = 0
                fi;
                FORGET
            };
end:        atomic { !asleep[me] -> briefly[me] = 0 }
        fi;
        attempt(me);
        if
        :: ok -> break
        :: else ->
            if
            :: last ->
                atomic { in_line[me] = 0; forgive(me) };
#ifndef NO_BEHIND /* mutant */
                call_behind();
#endif
#ifndef NO_CALL_ON_LEAVE /* mutant */
                call_first();
#endif
                goto done
            :: else -> atomic { FORGET }
            fi
        fi
    od;
    atomic { in_line[me] = 0; FORGET; GONE };
#if defined(FORCE) && !defined(NO_LOOK_AFTER_LEAVING) /* mutant */
    if
    :: lock != me -> call_first()
    :: else
    fi;
#endif
    release();
done: atomic { FORGET; GONE }
    } KILLABLE(last = 0)
}

proctype Barger(byte me; byte tries)
{
    LOCALS;

    {
    if
    :: lock == me -> release()
    :: else
    fi;
    do
    :: atomic { tries > 0; tries--; FORGET };
end:    MAY_BE_HAD;
        attempt(WAITERS);
        if
        :: ok -> release()
        :: else
        fi
    :: tries == 0 -> break
    od;
    atomic { FORGET }
    } KILLABLE(tries = 0)
}

#ifdef FORCE
proctype Forcer(byte me)
{
    LOCALS;
end:
    atomic { lock != FREE -> lock = FREE; d_step { EVERY(MARK_STALE_LOCK) } }; /* T8 */
    call_first()
}
#endif

/* ---- What goes on by itself ---- */

#define TURN_ENDS(w) :: atomic { turn[w] -> turn[w] = 0; forgive(w) }
#ifdef PATIENT_LATER
#define PATIENCE(w) :: atomic { in_line[w] && impatient[w] -> impatient[w] = 0 }
#else
#define PATIENCE(w)
#endif
#define WAKES(w) :: atomic { asleep[w] && briefly[w] -> asleep[w] = 0; briefly[w] = 0 }
#define DEATH_KNOWN(p) :: atomic { dead[p] && !known[p] -> known[p] = 1 }
/* The watch is a thread of the waiter's own process. */
#ifdef NO_NUDGE_OF_CALLED /* mutant */
#define NUDGEABLE(w) (word[w] == L1)
#else
#define NUDGEABLE(w) (word[w] == L1 || asleep[w])
#endif
#define NUDGE(w) :: atomic { in_line[w] && ALIVE(w) && watched[w] && known[awaited[w]] && NUDGEABLE(w) -> \
        if \
        :: word[w] == L1 && asleep[w] -> word[w] = L2; turn[w] = 1 \
        :: word[w] == L1 && !asleep[w] -> word[w] = L3; forgive(w) \
        :: else \
        fi; \
        asleep[w] = 0 }

active proctype Clock()
{
end:
    do
    TURN_ENDS(0) PATIENCE(0) WAKES(0)
    TURN_ENDS(1) PATIENCE(1) WAKES(1)
#if WAITERS > 2
    TURN_ENDS(2) PATIENCE(2) WAKES(2)
#endif
    od
}

#if KILLS > 0
active proctype Watch()
{
end:
    do
    NUDGE(0) NUDGE(1)
#if WAITERS > 2
    NUDGE(2)
#endif
    DEATH_KNOWN(0) DEATH_KNOWN(1) DEATH_KNOWN(2)
#if ALL > 3
    DEATH_KNOWN(3)
#endif
#if ALL > 4
    DEATH_KNOWN(4)
#endif
    od
}
#endif

inline fell(p)
{
    if
    :: (p) < WAITERS -> asleep[p] = 0; briefly[p] = 0; forgive(p)
    :: else
    fi
}

#ifdef VICTIM
#define ANY(p) p = VICTIM
#else
#define ANY(p) \
        if \
        :: p = 0 :: p = 1 :: p = 2 THIRD FOURTH \
        fi
#endif
#if ALL > 3
#define THIRD :: p = 3
#else
#define THIRD
#endif
#if ALL > 4
#define FOURTH :: p = 4
#else
#define FOURTH
#endif

#if KILLS > 0
active [KILLS] proctype Killer()
{
    byte p;
end:
    atomic {
        ANY(p);
        if
        :: ALIVE(p) && !IS_CALLING(p) -> dead[p] = 1; fell(p)
        :: else
        fi;
        p = 0
    }
}
#endif
#if STOPS > 0
active [STOPS] proctype Stopper()
{
    byte p;
end:
    atomic {
        ANY(p);
        if
#ifdef STOP_ARMED
        :: p < WAITERS && ALIVE(p) && word[p] == L1 -> stopped[p] = 1; fell(p)
#else
        :: ALIVE(p) && !IS_CALLING(p) -> stopped[p] = 1; fell(p)
#endif
        :: else
        fi;
        p = 0
    }
}
#endif

/* P1.  Nothing can happen any more but that poll intervals end. */
#define ASLEEP(w) (asleep[w] && ALIVE(w) && (lock == FREE || dead[lock]))
#define POLL(w) :: atomic { ASLEEP(w) && polls[w] < POLLS -> polls[w]++; asleep[w] = 0 }
#define SLEEPS_PAST(w) ASLEEP(w) && polls[w] == POLLS
active proctype Last()
{
    do
    :: timeout ->
        if
        POLL(0) POLL(1)
#if WAITERS > 2
        POLL(2)
#endif
        :: else ->
            assert(!(ASLEEP(0)));
            assert(!(ASLEEP(1)));
#if WAITERS > 2
            assert(!(ASLEEP(2)));
#endif
            break
        fi
    od
}

#ifdef PATIENT_LATER
#define PATIENT_AT_ONCE 1
#else
#define PATIENT_AT_ONCE 0
#endif
#ifdef PATIENT
#define IMPATIENT 0
#else
#define IMPATIENT 1
#endif
#ifdef UNWATCHED
#define WATCHED 0
#else
#define WATCHED 1
#endif
#define INITIAL(w) awaited[w] = NOBODY; word[w] = L1; watched[w] = WATCHED; if :: impatient[w] = IMPATIENT :: impatient[w] = PATIENT_AT_ONCE fi
#ifdef IN_CALL
#define NO_CALL(p) calling[p] = NOBODY
#else
#define NO_CALL(p) skip
#endif
#define NO_TARGET(p) NO_CALL(p); target[p] = NOBODY; stale_class[p] = 1; stale_lock[p] = 1

init {
    atomic {
        EVERY_WAITER(INITIAL);
        EVERY(NO_TARGET);
        run Waiter(0);
        run Waiter(1);
#if WAITERS > 2
        run Waiter(2);
#endif
        run Barger(WAITERS, TRIES);
#ifdef FORCE
        run Forcer(WAITERS + 1);
#elif BARGERS > 1
        run Barger(WAITERS + 1, TRIES);
#endif
    }
}
