/* What lies in the segment, and nothing else.  lib/shm/README.md draws it and says
 * who may write which field when.  Fixed widths only; every offset is asserted. */
#ifndef CF_SHM_LAYOUT_H
#define CF_SHM_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define CF_LAYOUT_VERSION 2u
#define CF_MAGIC UINT64_C(0x314b434f4c464343) /* "CCFLOCK1" */
#define CF_LINE 64u
#define CF_PAGE 4096u
#define CF_SLOTS 5u              /* slots of a group */
#define CF_INTENTS 4u            /* removals a process may have under way with a trace */
#define CF_COMMAND 16u           /* bytes of a command name, as in /proc/PID/comm */
#define CF_VALUE_MAX_DEFAULT 64u /* bytes of the note kept with a lease */
#define CF_VALUE_MAX_LIMIT 4096u
#define CF_KEY_MAX_LIMIT 4096u
#define CF_LOCKS_LIMIT 6000000u
#define CF_KEY_MAX_DEFAULT 192u
#define CF_LOCKS_DEFAULT 16384u
#define CF_WAITER_BITS 64u   /* waiters to a word of bits */
#define CF_SPARES_LEAST 256u /* records beyond max_locks */

#define CF_ASSERT(name, condition) _Static_assert(condition, name)

CF_ASSERT("64-bit atomics are plain instructions", ATOMIC_LLONG_LOCK_FREE == 2);
CF_ASSERT("32-bit atomics are plain instructions", ATOMIC_INT_LOCK_FREE == 2);

/* Page 0.  Written whole before the segment is published, then only read. */
struct cf_header {
    uint64_t magic;
    uint32_t version;
    uint32_t format; /* of the sizes and offsets of this page: cf_layout_format() */
    uint64_t size;   /* bytes of the whole file */
    uint32_t max_locks;
    uint32_t records; /* max_locks and the spares */
    uint32_t groups;
    uint32_t processes;
    uint32_t waiters;
    uint32_t key_max;
    uint32_t value_max;
    uint32_t record_size;
    uint64_t processes_offset;
    uint64_t waiters_offset;
    uint64_t groups_offset;
    uint64_t records_offset;
    uint64_t hash_seed;
    uint64_t created_realtime_ns;
    uint64_t created_ns;     /* on the segment's clock */
    uint64_t time_namespace; /* inode number of the creator's, 0 unknown */
    uint8_t boot_id[16];
    uint64_t checksum; /* of all above */
};

/* A group: one cache line of the index. */
struct cf_group {
    _Atomic uint64_t control; /* bit 0: overflow; the rest an epoch */
    _Atomic uint64_t token;   /* the last token drawn here */
    _Atomic uint32_t wait;    /* bits 0-7: armed classes; the rest a sequence */
    _Atomic uint32_t called;  /* a hint: the waiter called last, its number + 1 */
    _Atomic uint64_t slot[CF_SLOTS];
};

/* A lease's memory: fixed fields, then key and note in 64-bit words. */
struct cf_record {
    _Atomic uint64_t state; /* cf_state */
    _Atomic uint64_t hash;
    _Atomic uint64_t deadline; /* ns on the segment's clock; UINT64_MAX never */
    _Atomic uint64_t token;
    _Atomic uint64_t owner;    /* cf_owner */
    _Atomic uint64_t acquired; /* ns on the segment's clock */
    _Atomic uint64_t thread;   /* cf_thread_make */
    _Atomic uint32_t slot;     /* the only one whose word can name this record */
    _Atomic uint16_t key_len;
    _Atomic uint16_t value_len;
    _Atomic uint64_t text[]; /* key, zero-padded to key_max, then value_max bytes */
};

/* A registered process. */
struct cf_process {
    _Atomic uint64_t generation; /* counted on by a registration, which makes it odd, and by a proof
                                    of death or a farewell, which makes it even */
    _Atomic uint64_t pid;        /* as the process saw itself */
    _Atomic uint64_t pid_namespace;
    _Atomic uint64_t registered; /* ns on the segment's clock */
    _Atomic uint64_t command[CF_COMMAND / 8];
    _Atomic uint64_t seen_alive; /* ns on the segment's clock: the kernel's last "alive" */
    _Atomic uint32_t bell;       /* a futex: bit 0 its attendant sleeps; the rest a sequence */
    uint32_t reserved0;
    _Atomic uint64_t intent[CF_INTENTS]; /* held words being removed (README, R5) */
    uint64_t reserved1[4];
};

/* Somebody in line for a key (README, section 9). */
struct cf_waiter {
    _Atomic uint64_t owner;   /* cf_owner; 0 unused */
    _Atomic uint64_t hash;    /* of the key */
    _Atomic uint64_t since;   /* of its arrival, ns on the segment's clock */
    _Atomic uint64_t thread;  /* cf_thread_make */
    _Atomic uint64_t awaited; /* cf_owner of who goes first; 0 nobody */
    _Atomic uint64_t until;   /* ns: it looks again by then */
    _Atomic uint64_t turn;    /* ns: until then a call counts */
    _Atomic uint32_t word;    /* a futex: called, turn, absent; the rest a sequence (wait.h) */
    _Atomic uint32_t by_bell; /* 1: it is its process's bell that has to be rung */
};

/* Behind the waiters: which of them are in use, so that a look along the line passes the others
 * by.  The first are used first. */
struct cf_line {
    _Atomic uint64_t reach;  /* no waiter from this one on has ever been in use */
    _Atomic uint64_t bits[]; /* a bit a waiter: set while somebody is in line there */
};

CF_ASSERT("the header fits its page", sizeof(struct cf_header) <= CF_PAGE);
CF_ASSERT("header checksum offset", offsetof(struct cf_header, checksum) == 136);
CF_ASSERT("a group is a cache line", sizeof(struct cf_group) == CF_LINE);
CF_ASSERT("group slots", offsetof(struct cf_group, slot) == 24);
CF_ASSERT("a record's fixed part is a cache line", offsetof(struct cf_record, text) == CF_LINE);
CF_ASSERT("record slot", offsetof(struct cf_record, slot) == 56);
CF_ASSERT("a process entry is two cache lines", sizeof(struct cf_process) == (size_t)2 * CF_LINE);
CF_ASSERT("process intents", offsetof(struct cf_process, intent) == CF_LINE);
CF_ASSERT("process bell", offsetof(struct cf_process, bell) == 56);
CF_ASSERT("a waiter is a cache line", sizeof(struct cf_waiter) == CF_LINE);
CF_ASSERT("waiter word", offsetof(struct cf_waiter, word) == 56);

#endif
