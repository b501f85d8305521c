/* Acquire, step by step: lib/shm/README.md, section 3 and the tokens of section 5, in Promela.
 *
 * GROUPS groups in a ring, each of one slot, which makes every walk as hard as it can be:
 * a key's path leads past every group that another word fills.  A process is one thread
 * with one record, which is its spare or its lease; a word therefore names a process, and
 * repeats the record's key, which saves the copy and the second look (lifecycle.pml has
 * them).  One step touches shared memory once; ghosts are read by no rule.
 *
 * What the -D choose: see run.sh.
 */

#ifndef PROCS
#define PROCS 2
#endif
#ifndef OPS
#define OPS 1 /* acquisitions of each process */
#endif
#ifndef TRIES
#define TRIES 2 /* times an acquisition starts over */
#endif
#ifndef GROUPS
#define GROUPS 3
#endif
#ifndef HOME1
#define HOME1 0 /* home group of key 1; of key 0 it is group 0 */
#endif
#ifndef CLEARS
#define CLEARS 1 /* attempts of the clearer */
#endif
#ifndef SWEEPS
#define SWEEPS 0 /* words of the dead that are taken out */
#endif

#define HOME(key) ((key) == 0 -> 0 : HOME1)
#define AT(home, n) (((home) + (n)) % GROUPS)               /* the n-th group after it */
#define DISTANCE(home, g) (((g) + GROUPS - (home)) % GROUPS) /* and back */

/* ---- Words ---- */

#define EMPTY 0
#define INSERTING 1
#define HELD 2
#define IDLE 3

#define WORD(kind, key, p, g) ((kind) * 512 + (g) * 8 + (p) * 2 + (key))
#define KIND(w) ((w) >> 9)
#define GEN(w) (((w) >> 3) & 63)
#define OWNER(w) (((w) >> 1) & 3)
#define KEY(w) ((w) & 1)

#define NOWHERE GROUPS

/* ---- The segment ---- */

short slot[GROUPS];
bit overflow[GROUPS];
byte counter[GROUPS];         /* group.token */
byte token_of[PROCS + 1];     /* the token in the record of this process */

/* An epoch matters only to who clears, and only by whether it is still what it was; so
 * instead of a number there is this: the group whose control word the clearer has read,
 * and whether it was counted on since. */
byte watched = NOWHERE;
bit counted_on;

/* ---- Not in the segment ---- */

bit dead[PROCS + 1];
byte holder[2];     /* ghost */
byte last_token[2]; /* ghost */

inline ghost_acquired()
{
    assert(holder[k] == 0 || dead[holder[k]]); /* I1 */
    assert(token > last_token[k]);             /* I3 */
    holder[k] = me;
    last_token[k] = token
}

#ifdef KILL
#define KILLABLE unless { atomic { dead[me]; FORGET } }
#else
#define KILLABLE
#endif
#define FORGET k = 0; n = 0; g = 0; hole = 0; w = 0; mine = 0; token = 0; tries = 0; ok = 0

/* ---- Steps ---- */

inline set_overflow(group)
{
    atomic {
        overflow[group] = 1;
        if
        :: watched == (group) -> counted_on = 1
        :: else
        fi
    }
}

/* K3, for a word of key k_ whose record's token is token_. */
inline keep_token(k_, token_)
{
#ifdef NO_K3 /* mutant */
    skip
#else
    atomic {
        if
        :: counter[HOME(k_)] < (token_) -> counter[HOME(k_)] = (token_)
        :: else
        fi
    }
#endif
}

/* The record in hand, in its next generation; T9 if it lies idle. */
inline spare_in_hand()
{
    if
    :: idle_at != NOWHERE ->
        w = slot[idle_at];
        if
        :: KIND(w) == IDLE && OWNER(w) == me && GEN(w) == gen ->
            keep_token(KEY(w), token_of[me]);
            atomic {
                if
                :: slot[idle_at] == w -> slot[idle_at] = EMPTY
                :: else
                fi
            }
        :: else
        fi;
        idle_at = NOWHERE
    :: else
    fi;
    gen++
}

/* Step 4, in group g: ok means that no rival is there. */
inline settle()
{
    do
    :: atomic {
            w = slot[g];
            ok = (w == EMPTY || KEY(w) != k);
            if
            :: ok || KIND(w) != INSERTING -> break
            :: else
            fi
        };
        atomic { /* T3 */
            if
            :: slot[g] == w -> slot[g] = EMPTY
            :: else
            fi
        }
    od
}

proctype Process(byte me)
{
    bit k, ok;
    byte ops, tries, gen, n, g, hole, token;
    byte idle_at = NOWHERE;
    short w, mine;

    {
    do
    :: ops < OPS ->
        atomic {
            ops++;
#ifdef KEY_BY_PROCESS /* the last process takes key 1, the others key 0 */
            k = (me == PROCS)
#elif defined(ONE_KEY)
            k = 0
#else
            if
            :: k = 0
            :: k = 1
            fi
#endif
        };
again:  atomic {
            if
            :: tries == TRIES -> goto done
            :: else -> tries++; n = 0; hole = NOWHERE
            fi
        };
#ifdef TOKEN_FIRST /* mutant: drawn before any word is read */
        atomic { counter[HOME(k)]++; token = counter[HOME(k)] };
#endif

        /* Steps 1 and 2 */
        do
        :: n < GROUPS ->
            atomic {
                g = AT(HOME(k), n);
                w = slot[g];
                if
                :: w == EMPTY && hole == NOWHERE -> hole = g
                :: KEY(w) == k && KIND(w) == HELD && !dead[OWNER(w)] -> goto done /* busy */
                :: KEY(w) == k && (KIND(w) == IDLE || (KIND(w) == HELD && dead[OWNER(w)])) -> goto in_place
                :: else
                fi
            };
            atomic {
                if
                :: overflow[g]
                :: !overflow[g] && hole == NOWHERE -> set_overflow(g)
                :: !overflow[g] && hole != NOWHERE -> break
                fi;
                n++
            }
        :: else -> break
        od;
        if
        :: hole == NOWHERE -> goto done /* full */
        :: else
        fi;

        /* Step 3 */
        spare_in_hand();
        atomic { /* T1 */
            mine = WORD(INSERTING, k, me, gen);
            if
            :: slot[hole] == EMPTY -> slot[hole] = mine
            :: else -> goto again
            fi
        };
#ifndef NO_SECOND_MARK /* mutant: not again */
#ifdef NEAR_FIRST /* mutant: the nearest first */
        n = 0;
        do
        :: n < DISTANCE(HOME(k), hole) -> atomic { set_overflow(AT(HOME(k), n)); n++ }
        :: else -> break
        od;
#else
        n = DISTANCE(HOME(k), hole);
        do
        :: n > 0 -> atomic { n--; set_overflow(AT(HOME(k), n)) }
        :: else -> break
        od;
#endif
#endif

#ifdef TOKEN_EARLY /* mutant: drawn before the second walk */
        atomic { counter[HOME(k)]++; token = counter[HOME(k)] };
#endif
#ifndef NO_SECOND_WALK /* mutant */
        /* Step 4 */
        n = 0;
        do
        :: n < GROUPS ->
            g = AT(HOME(k), n);
            if
            :: g != hole ->
                settle();
                if
                :: !ok ->
                    atomic { /* T3 */
                        if
                        :: slot[hole] == mine -> slot[hole] = EMPTY
                        :: else
                        fi;
                        goto again
                    }
                :: else
                fi
            :: else
            fi;
            atomic {
                if
                :: !overflow[g] && n >= DISTANCE(HOME(k), hole) -> break
                :: else -> n++
                fi
            }
        :: else -> break
        od;
#endif

        /* Step 5 */
#if !defined(TOKEN_FIRST) && !defined(TOKEN_EARLY)
        atomic { counter[HOME(k)]++; token = counter[HOME(k)] }; /* K1 */
#endif
        atomic { /* T2 */
            token_of[me] = token;
            if
            :: slot[hole] == mine ->
                slot[hole] = WORD(HELD, k, me, gen);
                ghost_acquired();
                g = hole
            :: else -> goto again
            fi
        };
        goto acquired;

in_place: /* T4, T5 */
        atomic {
            token = token_of[OWNER(w)] + 1; /* K2 */
            mine = w                        /* what to take over */
        };
        if
        :: idle_at != NOWHERE && KIND(mine) == IDLE && OWNER(mine) == me -> skip
        :: else -> spare_in_hand()
        fi;
        token_of[me] = token;
        atomic {
            idle_at = NOWHERE;
            if
            :: slot[g] == mine ->
                slot[g] = WORD(HELD, k, me, gen);
                ghost_acquired()
            :: else -> goto again
            fi
        };

acquired: /* Held as long as the others' steps take; then released. */
        mine = WORD(HELD, k, me, gen);
        if
        :: true ->
            atomic { /* T7 */
                assert(slot[g] == mine && holder[k] == me);
                holder[k] = 0;
                gen++;
                slot[g] = WORD(IDLE, k, me, gen);
                idle_at = g
            }
        :: true ->
            keep_token(k, token);
            atomic { /* T8 */
                assert(slot[g] == mine && holder[k] == me);
                holder[k] = 0;
                slot[g] = EMPTY
            }
        fi;
done:   atomic { FORGET }
    :: else -> break
    od
    } KILLABLE
}

/* Whoever walked past group g and did not find its key.  Here anybody, at any time. */
proctype Clearer()
{
    byte clears, g, n, at;
    short w;

    do
    :: clears < CLEARS ->
        clears++;
        atomic {
            if
            :: overflow[0] -> g = 0
            :: overflow[1] -> g = 1
#if GROUPS > 2
            :: overflow[2] -> g = 2
#endif
#if GROUPS > 3
            :: overflow[3] -> g = 3
#endif
            :: goto done
            fi;
            watched = g;
            counted_on = 0;
            n = 1
        };
        do
        :: n < GROUPS ->
            atomic {
                at = AT(g, n);
                w = slot[at];
                if
                :: w != EMPTY && DISTANCE(HOME(KEY(w)), g) < DISTANCE(HOME(KEY(w)), at) -> goto done
                :: else
                fi
            };
            atomic {
                if
                :: overflow[at] -> n++
                :: else -> break
                fi
            }
        :: else -> break
        od;
        atomic {
            if
#ifdef NO_EPOCH /* mutant: by the bit alone */
            :: overflow[g] -> overflow[g] = 0
#else
            :: overflow[g] && !counted_on -> overflow[g] = 0
#endif
            :: else
            fi
        };
done:   atomic { g = 0; n = 0; at = 0; w = 0; watched = NOWHERE; counted_on = 0 }
    :: else -> break
    od
}

#define DEADS(word) ((word) != EMPTY && dead[OWNER(word)])

/* R6: takes words of the dead out of their slots. */
proctype Sweeper()
{
    byte sweeps, g;
    short w;

    do
    :: sweeps < SWEEPS ->
        sweeps++;
        atomic {
            if
            :: DEADS(slot[0]) -> g = 0
            :: DEADS(slot[1]) -> g = 1
#if GROUPS > 2
            :: DEADS(slot[2]) -> g = 2
#endif
#if GROUPS > 3
            :: DEADS(slot[3]) -> g = 3
#endif
            :: goto done
            fi;
            w = slot[g]
        };
        if
        :: KIND(w) != INSERTING -> keep_token(KEY(w), token_of[OWNER(w)])
        :: else
        fi;
        atomic { /* T3, T8, T9 */
            if
            :: slot[g] == w -> slot[g] = EMPTY
            :: else
            fi
        };
done:   atomic { g = 0; w = 0 }
    :: else -> break
    od
}

proctype Killer(byte p)
{
    dead[p] = 1
}

init {
    atomic {
        run Process(1);
#if PROCS > 1
        run Process(2);
#endif
#if PROCS > 2
        run Process(3);
#endif
#if CLEARS > 0
        run Clearer();
#endif
#if SWEEPS > 0
        run Sweeper();
#endif
#ifdef KILL
        run Killer(KILL);
#endif
    }
}
