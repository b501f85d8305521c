/* The edges E5, E6, E7 and E9 of lib/shm/README.md on a machine whose stores arrive late.
 *
 * Each process has a buffer of stores that others do not see yet; the memory empties them
 * in order, whenever it likes.  A load takes the process's own latest store, else memory.
 * So a store may become visible after later loads of its process, which is all that the
 * edges of this model forbid.  Loads happen in order, and stores: E1 to E4 are not here.
 *
 *   TSO (default)  x86: an RMW waits until the buffer is empty and acts on memory.
 *   WEAK           as C11 allows: an RMW decides at once, as nobody else may have an RMW of
 *                  that word under way, but its store waits in the buffer like any other.
 *                  A seq_cst load waits until no RMW of its process is in the buffer; an
 *                  acquire load does not.  A seq_cst load that follows a plain store
 *                  waits for nothing.
 *
 * One of INSERT, MARK, SLEEP, PINS chooses the scene; the other -D break a rule each.
 */

#ifdef SLEEP
#ifndef PROCS
#define PROCS 2
#endif
#else
#define PROCS 3
#endif
#define WORDS 4
#define ROOM 3 /* stores in a buffer */

/* ---- The machine ---- */

byte memory[WORDS];
chan buffer[PROCS] = [ROOM] of {byte, byte, bit}; /* word, value, whether of an RMW */
byte waiting[PROCS * WORDS];                      /* stores of a word in a process's buffer */
byte latest[PROCS * WORDS];                       /* the last of them */
byte rmws[PROCS];                                 /* RMWs in it */
bit reserved[WORDS];                              /* an RMW of this word is in some buffer */

#define OWN(word) (me * WORDS + (word))
#define SEEN(word) (waiting[OWN(word)] > 0 -> latest[OWN(word)] : memory[word])
#define DRAINED(p) (len(buffer[p]) == 0)

inline post(word, value, is_rmw)
{
    buffer[me]!word, value, is_rmw;
    waiting[OWN(word)]++;
    latest[OWN(word)] = value
}

inline store(word, value) /* relaxed or release */
{
    atomic { nfull(buffer[me]) -> post(word, value, 0) }
}

inline load(word, into) /* relaxed or acquire */
{
    d_step { into = SEEN(word) }
}

inline load_seq(word, into)
{
    atomic { rmws[me] == 0 -> into = SEEN(word) }
}

/* A seq_cst RMW: where condition holds of the old value, the word gets the new one.  Leaves
 * whether it did in done, and what it found and wrote in old and new. */
#ifdef WEAK
#define RMW_MAY_BEGIN(word) (!reserved[word] && nfull(buffer[me]))
#else
#define RMW_MAY_BEGIN(word) DRAINED(me)
#endif
inline rmw(word, condition, value)
{
    atomic {
        RMW_MAY_BEGIN(word);
        old = SEEN(word);
        if
        :: condition ->
            done = 1;
            new = value;
#ifdef WEAK
            post(word, new, 1);
            rmws[me]++;
            reserved[word] = 1
#else
            memory[word] = new
#endif
        :: else -> done = 0
        fi
    }
}

active [PROCS] proctype drain()
{
    byte word, value;
    bit is_rmw;
end:
    do
    :: atomic {
            buffer[_pid]?word, value, is_rmw;
            memory[word] = value;
            waiting[_pid * WORDS + word]--;
            if
            :: waiting[_pid * WORDS + word] == 0 -> latest[_pid * WORDS + word] = 0
            :: else
            fi;
            if
            :: is_rmw ->
                rmws[_pid]--;
                reserved[word] = 0
            :: else
            fi;
            word = 0; value = 0; is_rmw = 0
        }
    od
}

/* Mutants: the loads of an edge are acquire. */
#if defined(ACQUIRE_WALK)
#define load_walk(word, into) load(word, into)
#elif defined(ACQUIRE_NEAR) /* of one side only */
#define load_walk(word, into) atomic { (me == 1 || rmws[me] == 0) -> into = SEEN(word) }
#else
#define load_walk(word, into) load_seq(word, into)
#endif
#ifdef ACQUIRE_WAKE
#define load_wake(word, into) load(word, into)
#else
#define load_wake(word, into) load_seq(word, into)
#endif
#ifdef ACQUIRE_LOOK
#define load_look(word, into) load(word, into)
#else
#define load_look(word, into) load_seq(word, into)
#endif

/* ---- E5 and E6: two inserters of one key, and who clears ---- */

#if defined(INSERT) || defined(MARK)
#define CONTROL 2 /* bit 0: overflow; above it the epoch */
#define INSERTING (2 + me)
#define RIVAL (3 - me)
#define HELD (4 + me)

byte holders;

inline insert_at(own)
{
#ifdef PLAIN_T1 /* mutant: as if a release store could place */
    store(own, INSERTING)
#else
    rmw(own, old == 0, INSERTING) /* T1 */
#endif
}

/* Step 4 at another's slot.  Waiting for who lies earlier is left out: it is for progress. */
inline settle(other)
{
    do
    :: load_walk(other, w);
        if
        :: w == 0 -> break
        :: w == RIVAL -> rmw(other, old == w, 0) /* T3 */
        :: else ->
            rejected = 1;
            break
        fi
    od
}

inline confirm(own)
{
    if
    :: rejected -> rmw(own, old == INSERTING, 0) /* T3 */
    :: else ->
        rmw(own, old == INSERTING, HELD); /* T2 */
        if
        :: done ->
            holders++;
            assert(holders <= 1)
        :: else
        fi
    fi
}

/* Its slot is the farther one: word 1, behind group 0, that was full. */
active proctype far()
{
    byte me = 0, w, old, new;
    bit done, rejected;
#ifdef MARK
    rmw(CONTROL, true, (old | 1) + 2); /* step 2 */
#endif
    insert_at(1);
#if defined(MARK) && defined(PLAIN_MARK) /* mutant */
    load(CONTROL, w);
    store(CONTROL, (w | 1) + 2);
#elif defined(MARK) && !defined(MARK_ONCE) /* mutant */
    rmw(CONTROL, true, (old | 1) + 2); /* E6 */
#endif
    settle(0);
    confirm(1)
}

/* Its slot is word 0, which has come free. */
active proctype near()
{
    byte me = 1, w, old, new;
    bit done, rejected;
    insert_at(0);
#ifdef MARK
    load_walk(CONTROL, w);
    if
    :: (w & 1) == 0
    :: else -> settle(1)
    fi;
#else
    settle(1);
#endif
    confirm(0)
}

active proctype clearer()
{
    byte me = 2, w, old, new, seen;
    bit done;
#ifdef MARK
    do
    :: true ->
        load_seq(CONTROL, seen);
        load_seq(1, w);
        if
#ifdef NO_EPOCH /* mutant */
        :: w == 0 && (seen & 1) == 1 -> rmw(CONTROL, true, old & 254)
#else
        :: w == 0 && (seen & 1) == 1 -> rmw(CONTROL, old == seen, seen & 254)
#endif
        :: else
        fi;
        break
    :: true -> break
    od
#endif
    skip
}
#endif

/* ---- E7: release and sleep ---- */

#ifdef SLEEP
#define SLOT 0 /* 0 idle, else held */
#define WAIT 1 /* bit 0: armed; above it the sequence */
#ifndef OPS
#define OPS 2
#endif

bit asleep[PROCS];

inline wake_one()
{
    atomic {
        DRAINED(me); /* a system call that takes a lock of the kernel's */
        woken = 0;
        if
        :: asleep[0] -> asleep[0] = 0; woken = 1
        :: asleep[1] -> asleep[1] = 0; woken = 1
#if PROCS > 2
        :: asleep[2] -> asleep[2] = 0; woken = 1
#endif
        :: else
        fi
    }
}

inline release()
{
#ifdef PLAIN_T7 /* mutant: a release store, as some mutexes end */
    store(SLOT, 0);
#else
    rmw(SLOT, true, 0); /* T7 */
#endif
    load_wake(WAIT, w);
    if
    :: (w & 1) == 1 ->
        rmw(WAIT, true, old + 2);
        w = new;
        wake_one();
        if
        :: woken
#ifdef PLAIN_DISARM /* mutant */
        :: else -> rmw(WAIT, true, old & 254)
#else
        :: else -> rmw(WAIT, old == w, w & 254)
#endif
        fi
    :: else
    fi
}

/* Sleeps have no bound here, so one past the last release ends in a deadlock. */
active [PROCS] proctype locker()
{
    byte me = _pid - PROCS, w, old, new, armed, left = OPS;
    bit done, woken;
    do
    :: left == 0 -> break
    :: else ->
        rmw(SLOT, old == 0, 1); /* T4 */
        if
        :: done ->
            release();
            left--
        :: else ->
#ifdef LOOK_FIRST /* mutant: armed after the look */
            load_look(SLOT, w);
#endif
            rmw(WAIT, true, (old + 2) | 1);
            armed = new;
#ifndef LOOK_FIRST
            load_look(SLOT, w);
#endif
            if
            :: w == 0
            :: else ->
                atomic {
                    DRAINED(me);
                    if
                    :: memory[WAIT] == armed ->
                        asleep[me] = 1
                    :: else
                    fi
                };
                !asleep[me]
            fi
        fi;
        w = 0; old = 0; new = 0; armed = 0; woken = 0; done = 0
    od
}
#endif

/* ---- E9: pins ---- */

#ifdef PINS
#define CLOSED 0
#define EMPTIED 1 /* the lease */
#define UNPINNED 2 /* the lease's pin, of the releaser's thread, was taken away */
#define PINNED 3   /* by the caller */

bit destroyed, lock;
byte finished;

/* The membarrier: every processor, at some moment of its own choice. */
inline heavy()
{
#ifndef NO_HEAVY /* mutant */
    DRAINED(0);
    DRAINED(1);
    DRAINED(2)
#else
    skip
#endif
}

inline count()
{
    load(UNPINNED, a);
    load(PINNED, b);
    zero = (a == 1 && b == 0)
}

inline reap()
{
#ifndef FENCE_ONCE /* mutant: before the second count only */
    heavy();
#endif
    atomic { !lock -> lock = 1 };
    count();
#ifndef COUNT_ONCE /* mutant */
    if
    :: zero ->
        heavy();
        count()
    :: else
    fi;
#endif
    if
    :: zero -> destroyed = 1
    :: else
    fi;
    lock = 0
}

inline leave()
{
    load(CLOSED, a);
    if
    :: a == 1 -> reap()
    :: else
    fi
}

active proctype closer()
{
    byte me = 0, a, b;
    bit zero;
    store(CLOSED, 1);
    reap();
    finished++
}

active proctype releaser()
{
    byte me = 1, a, b, old, new;
    bit zero, done;
    rmw(EMPTIED, true, 1);
    assert(!destroyed);
    store(UNPINNED, 1);
    leave();
    finished++
}

/* extend or remaining beside them; or, with ON_INSTANCE, any call on the instance */
active proctype caller()
{
    byte me = 2, a, b;
    bit zero;
    store(PINNED, 1);
#ifdef ON_INSTANCE
    load(CLOSED, a);
#else
    load(EMPTIED, a);
#endif
    if
    :: a == 0 -> assert(!destroyed)
    :: else
    fi;
    store(PINNED, 0);
    leave();
    finished++
}

active proctype nothing_is_left()
{
    finished == 3 -> assert(destroyed == 1)
}
#endif
