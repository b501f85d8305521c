#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/lease.h"
#include "shm/sweep.h"
#include "shm/wait.h"

#include "monitor.h"

#define LEASE_MS 30000
#define LONGER_MS 60000
#define BRIEF_MS 1

/* ---- Parsing ---- */

static const char *const verbs[] = {"take", "brief", "release", "extend", "force", "set",
                                    "held", "wait",  "sweep",   "pass",   "half",  "die"};

void program_parse(const char *text, enum who who, struct program *program)
{
    char copy[512], *rest = NULL;
    *program = (struct program){0};
    snprintf(copy, sizeof copy, "%s", text);
    for (char *one = strtok_r(copy, ",", &rest); one != NULL; one = strtok_r(NULL, ",", &rest)) {
        char *inner = NULL, *word = strtok_r(one, " ", &inner);
        struct op op = {.who = who};
        if (word != NULL && word[0] >= 'A' && word[0] <= 'D') {
            op.who = (enum who)(word[0] - 'A');
            word = strtok_r(NULL, " ", &inner);
        }
        unsigned verb = 0;
        while (word != NULL && verb <= DIE && strcmp(word, verbs[verb]) != 0)
            verb++;
        if (word == NULL || verb > DIE || program->count == OPS) {
            fprintf(stderr, "interleave: no program: %s\n", text);
            exit(2);
        }
        op.verb = (enum verb)verb;
        word = strtok_r(NULL, " ", &inner);
        op.key = word != NULL ? (unsigned)(word[0] - 'a') % KEYS : 0;
        program->op[program->count++] = op;
    }
}

/* ---- Doing, and judging each answer ---- */

static char letter(enum who who)
{
    return "ABCD"[who];
}

/* Whether anybody was forcing this key at a moment of this one's call. */
static bool forced(enum who who, unsigned key)
{
    if (world.forced[key] != world.forced_by[who][key])
        return true;
    for (unsigned w = 0; w < WHO; w++)
        if (world.forcing[w][key])
            return true;
    return false;
}

/* A lease that was granted, not given back, and that nothing may have ended. */
static bool holds(enum who process, unsigned key)
{
    const struct hold *h = &world.hold[process][key];
    for (unsigned w = 0; w < WHO; w++)
        if (world.forcing[w][key])
            return false;
    return h->held && !h->open && h->deadline > world.now && !world.dead[process];
}

static void had(enum who who, unsigned key)
{
    enum who process = process_of(who);
    struct cf_lease *lease = cf_lease_of(&world.grant[process][key]);
    for (unsigned w = 0; w < WHO; w++)
        if (holds((enum who)w, key))
            wrong("I1: %c got %c while %c holds it", letter(who), 'a' + (int)key,
                  letter((enum who)w));
    uint64_t token = world.grant[process][key].token;
    if (scheduler_actor() < 0) /* nobody watches the words */
        world.last_token[key] = token;
    else if (token != world.granted[who][key])
        wrong("I3: %c was told token %llu of %c, but got it with %llu", letter(who),
              (unsigned long long)token, 'a' + (int)key,
              (unsigned long long)world.granted[who][key]);
    world.hold[process][key] = (struct hold){
        .held = true, .open = forced(who, key), .deadline = cf_load_relaxed(&lease->deadline)};
}

static char take(enum who who, unsigned key, int64_t exp_ms)
{
    struct cf_key k = world_key(key);
    cachify_request_t request = {.key = k.bytes, .key_len = k.len, .exp_ms = exp_ms};
    struct cf_mapping *m = &world.mapping[process_of(who)];
    cachify_grant_t *grant = &world.grant[process_of(who)][key], got = {0};
    /* A grant is of the caller's own until it is granted. */
    cachify_status_t status =
        cf_table_acquire(m, &world.caller[who], &k, &request, world.now, &got);
    cf_place_end(m, cf_place_of(&world.caller[who]), k.hash);
    scheduler_settle();
    switch (status) {
    case CACHIFY_OK:
        *grant = got;
        had(who, key);
        if (got.how == CACHIFY_FRESH)
            return 'o';
        return got.how == CACHIFY_EXPIRED ? 'e' : 'd';
    case CACHIFY_LOCKED:
        if (world.caller[who].holder.state == CACHIFY_STATE_KEPT)
            return 'k';
        if (!world.seen_held[who][key])
            wrong("%c was told that %c is held, which it never was", letter(who), 'a' + (int)key);
        return 'l';
    case CACHIFY_FULL:
        return 'f';
    default:
        return '!';
    }
}

static void lost(enum who who, unsigned key, bool held)
{
    if (held && !world.threads && world.hold[process_of(who)][key].deadline > world.now &&
        !forced(who, key) && !world.hold[process_of(who)][key].open)
        wrong("I2: %c was told that its lease of %c was lost", letter(who), 'a' + (int)key);
}

static char release(enum who who, unsigned key)
{
    enum who process = process_of(who);
    bool held = holds(process, key);
    cachify_grant_t *grant = &world.grant[process][key];
    if (grant->token == 0)
        return '-';
    world.hold[process][key].held = false;
    cachify_status_t status = cf_lease_release(&world.mapping[process], &world.caller[who], grant);
    scheduler_settle();
    switch (status) {
    case CACHIFY_OK:
        return 'o';
    case CACHIFY_LOST:
        lost(who, key, held);
        return 'x';
    default:
        return '!';
    }
}

static char extend(enum who who, unsigned key)
{
    enum who process = process_of(who);
    bool held = holds(process, key);
    cachify_grant_t *grant = &world.grant[process][key];
    if (grant->token == 0)
        return '-';
    cachify_status_t status =
        cf_lease_extend(&world.mapping[process], &world.caller[who], grant, LONGER_MS);
    scheduler_settle();
    switch (status) {
    case CACHIFY_OK:
        world.hold[process][key].deadline = world.now + LONGER_MS * CF_MS;
        return 'o';
    case CACHIFY_LOST:
        lost(who, key, held);
        world.hold[process][key].held = false;
        return 'x';
    case CACHIFY_FULL:
        return 'f';
    default:
        return '!';
    }
}

static char force(enum who who, unsigned key)
{
    struct cf_key k = world_key(key);
    world.forcing[who][key] = true;
    cachify_status_t status = cf_force(&world.mapping[process_of(who)], &k);
    scheduler_settle();
    world.forcing[who][key] = false;
    world.forced[key]++;
    for (unsigned w = 0; w < WHO; w++)
        world.hold[w][key].open = true;
    return status == CACHIFY_OK ? 'o' : '!';
}

/* Set without nx: it ends what lease there is, and nobody has the proof of the new one. */
static char overwrite(enum who who, unsigned key)
{
    struct cf_key k = world_key(key);
    cachify_request_t request = {.key = k.bytes, .key_len = k.len, .exp_ms = LEASE_MS};
    world.forcing[who][key] = true;
    cachify_status_t status =
        cf_table_overwrite(&world.mapping[process_of(who)], &world.caller[who], &k, &request);
    scheduler_settle();
    world.forcing[who][key] = false;
    world.forced[key]++;
    for (unsigned w = 0; w < WHO; w++)
        world.hold[w][key].open = true;
    return status == CACHIFY_OK ? 'o' : '!';
}

static char held(enum who who, unsigned key)
{
    struct cf_key k = world_key(key);
    bool locked;
    if (cf_is_locked(&world.mapping[process_of(who)], &k,
                     cf_now_coarse(&world.mapping[process_of(who)]), &locked) != CACHIFY_OK)
        return '!';
    if (locked ? !world.seen_held[who][key] : !world.seen_free[who][key])
        wrong("%c was told that %c is %s, which it never was", letter(who), 'a' + (int)key,
              locked ? "held" : "free");
    return locked ? 'y' : 'n';
}

static char wait_for(enum who who, unsigned key)
{
    struct cf_key k = world_key(key);
    cachify_request_t request = {.key = k.bytes, .key_len = k.len};
    cf_spare_of(&world.caller[who])->hash = k.hash; /* as an acquire before it leaves it */
    world_client.wait(&world.mapping[process_of(who)], &world.caller[who], &request,
                      (int64_t)CF_SECOND);
    return 'o';
}

/* What an inserter leaves that was killed before step 4. */
static void half(enum who who, unsigned key)
{
    take(who, key, LEASE_MS);
    struct cf_lease *lease = cf_lease_of(&world.grant[who][key]);
    _Atomic uint64_t *slot = cf_slot_at(&world.mapping[who], (uint32_t)lease->slot);
    cf_store_relaxed(slot, cf_word_with_state(cf_load_relaxed(slot), CF_INSERTING));
}

static char do_op(enum who who, const struct op *op)
{
    if (op->verb < SWEEP)
        monitor_call(who, op->key);
    switch (op->verb) {
    case TAKE:
        return take(who, op->key, LEASE_MS);
    case BRIEF:
        return take(who, op->key, BRIEF_MS);
    case RELEASE:
        return release(who, op->key);
    case EXTEND:
        return extend(who, op->key);
    case FORCE:
        return force(who, op->key);
    case SET:
        return overwrite(who, op->key);
    case HELD:
        return held(who, op->key);
    case WAIT:
        return wait_for(who, op->key);
    case SWEEP:
        cf_sweep(&world.mapping[process_of(who)]);
        return 's';
    case PASS:
        scheduler_point("time passes");
        world.now += CF_SECOND;
        monitor_passed();
        return 'p';
    case HALF:
        half(who, op->key);
        return ' ';
    case DIE:
        world_kill(who);
        return ' ';
    }
    return '!';
}

void program_run(const struct program *program)
{
    for (unsigned i = 0; i < program->count; i++) {
        enum who who = program->op[i].who;
        char said = do_op(who, &program->op[i]);
        size_t n = strlen(world.said[who]);
        if (said == '!')
            wrong("%c: %s: %s", letter(who), verbs[program->op[i].verb], cachify_last_error());
        if (n < SAID)
            world.said[who][n] = said;
    }
}

bool program_passes(const struct program *program)
{
    for (unsigned i = 0; i < program->count; i++)
        if (program->op[i].verb == PASS)
            return true;
    return false;
}

uint32_t program_keys(const struct program *program)
{
    uint32_t keys = 0;
    for (unsigned i = 0; i < program->count; i++)
        if (program->op[i].verb < SWEEP)
            keys |= UINT32_C(1) << program->op[i].key;
    return keys;
}

void program_audit(uint32_t keys)
{
    for (unsigned key = 0; key < KEYS; key++) {
        if ((keys >> key & 1) == 0)
            continue;
        uint64_t before = world.last_token[key];
        bool busy = monitor_held(key);
        monitor_call(D, key);
        char said = take(D, key, LEASE_MS);
        if (busy != (said == 'l'))
            wrong("afterwards %c is %s, but acquiring answers %c", 'a' + (int)key,
                  busy ? "held" : "free", said);
        if (said == 'l' || said == 'f')
            continue;
        if (world.grant[D][key].token <= before)
            wrong("I3: afterwards %c has token %llu after %llu", 'a' + (int)key,
                  (unsigned long long)world.grant[D][key].token, (unsigned long long)before);
        if (release(D, key) != 'o')
            wrong("afterwards %c cannot be released", 'a' + (int)key);
    }
    cf_sweep(&world.mapping[D]);
    monitor_swept();
}
