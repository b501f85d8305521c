/* The owner-checked operations: one script each. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis/redis.h"

#define VOID_NAME "cachify:void:"
#define VOID_LEN (sizeof VOID_NAME - 1 + CR_OWNER_LEN)

#define OWN_HEX 32u

uint64_t cr_own_number(const struct cr_client *c, const char *owner)
{
    char own[CR_OWNER_LEN];
    cr_owner_write(own, c->id, 0);
    return strncmp(owner, own, OWN_HEX) == 0 ? strtoull(owner + OWN_HEX, NULL, 16) : 0;
}

void cr_operation_write(struct cr_client *c, char operation[CR_DIGITS + 1])
{
    snprintf(operation, CR_DIGITS + 1, "%016" PRIu64, atomic_fetch_add(&c->operations, 1) + 1);
}

void cr_done_write(struct cr_client *c, char done[CR_DONE_ROOM], uint32_t serial, char kind,
                   char remember[24])
{
    uint64_t ms = (c->settings.connect_ns + c->settings.command_ns) / CR_MS;
    snprintf(done, CR_DONE_ROOM, "cachify:done:%016" PRIx64 "%016" PRIx64 ":%c%u", c->id[0],
             c->id[1], kind, serial);
    snprintf(remember, 24, "%" PRIu64, 2 * ms + 1000);
}

#define LAST_NAME "cachify:last:"
#define WAIT_NAME "cachify:wait:"

void cr_names_make(struct cr_names *names, const char *key, uint32_t key_len)
{
    memcpy(names->last, LAST_NAME, sizeof LAST_NAME - 1);
    memcpy(names->last + sizeof LAST_NAME - 1, key, key_len);
    names->last_len = sizeof LAST_NAME - 1 + key_len;
    memcpy(names->wait, WAIT_NAME, sizeof WAIT_NAME - 1);
    memcpy(names->wait + sizeof WAIT_NAME - 1, key, key_len);
    names->wait_len = sizeof WAIT_NAME - 1 + key_len;
}

static void write_void(char to[VOID_LEN], const char owner[CR_OWNER_LEN])
{
    memcpy(to, VOID_NAME, sizeof VOID_NAME - 1);
    memcpy(to + sizeof VOID_NAME - 1, owner, CR_OWNER_LEN);
}

/* Nothing for CACHIFY_NEVER. */
static void write_expiry(char to[24], int64_t exp_ms)
{
    to[0] = '\0';
    if (exp_ms != CACHIFY_NEVER)
        snprintf(to, 24, "%" PRId64, exp_ms);
}

static uint64_t deadline_after(uint64_t from, int64_t exp_ms)
{
    return exp_ms == CACHIFY_NEVER ? UINT64_MAX : from + (uint64_t)exp_ms * CR_MS;
}

/* ---- Acquire ---- */

/* An acquisition under way. */
struct attempt {
    struct cr_client *c;
    cachify_caller_t *caller;
    const cachify_request_t *request;
    struct cr_waiter *waiter;
    uint64_t epoch; /* of the line, when it was sent */
    bool overwrite, set;
    uint64_t number;
    char *text; /* key, value */
    size_t value_len;
    struct cr_call call;
    struct cr_failure failure;
};

static bool write_text(struct attempt *a)
{
    const cachify_request_t *r = a->request;
    struct cr_client *c = a->c;
    struct cr_holder holder = {.client = {c->id[0], c->id[1]},
                               .number = a->number,
                               .pid = c->pid,
                               .thread = a->caller->thread_id,
                               .note = r->value,
                               .note_len = r->value_len};
    memcpy(holder.host, c->host, sizeof holder.host);
    memcpy(holder.command, c->command, sizeof holder.command);
    a->text = malloc(r->key_len + CR_VALUE_MAX - CR_NOTE_MAX + r->value_len);
    if (a->text == NULL) {
        cr_fail(&a->failure, CACHIFY_NO_MEMORY, "no memory for a lease");
        return false;
    }
    memcpy(a->text, r->key, r->key_len);
    a->value_len = cr_value_write(a->text + r->key_len, &holder);
    return true;
}

static bool is_heard(const struct attempt *a)
{
    return a->waiter != NULL && a->epoch != 0;
}

static redisReply *ask(struct attempt *a)
{
    struct cr_names names;
    struct cr_call *call = &a->call;
    char owner[CR_OWNER_LEN], void_name[VOID_LEN], expiry[24], pid[24], life[24] = "0";
    const char *value = a->text + a->request->key_len;
    const char *tail = value + CR_HEAD_LEN + CR_DIGITS + 1 + CR_DIGITS;
    cr_names_make(&names, a->request->key, a->request->key_len);
    cr_owner_write(owner, a->c->id, a->number);
    write_void(void_name, owner);
    write_expiry(expiry, a->request->exp_ms);
    snprintf(pid, sizeof pid, "%" PRId64, a->c->pid);
    if (is_heard(a))
        snprintf(life, sizeof life, "%" PRIu64, a->waiter->life_ms);

    cr_call_script(call, CR_ACQUIRE, 5);
    cr_call_add(call, a->request->key, a->request->key_len);
    cr_call_add(call, names.last, names.last_len);
    cr_call_add(call, names.wait, names.wait_len);
    cr_call_add(call, void_name, sizeof void_name);
    cr_call_text(call, "cachify:token");
    cr_call_add(call, owner, sizeof owner);
    cr_call_text(call, expiry);
    cr_call_add(call, value, CR_HEAD_LEN);
    cr_call_add(call, tail, a->value_len - (size_t)(tail - value));
    cr_call_text(call, pid);
    cr_call_again(call);
    cr_call_add(call, is_heard(a) ? a->waiter->member : "",
                is_heard(a) ? a->waiter->member_len : 0);
    cr_call_text(call, is_heard(a) ? a->waiter->arrival : "");
    cr_call_text(call, life);
    cr_call_text(call, CR_REMEMBER_MS);
    cr_call_text(call, a->overwrite ? "1" : a->set ? "2" : "0");
    cr_call_text(call, CR_GIVEN_BACK_MS);
    return cr_call_run(&a->c->pool, &a->c->scripts, call, REDIS_REPLY_ARRAY, &a->failure);
}

static const char *text_of(const redisReply *reply, size_t i)
{
    return i < reply->elements && reply->element[i]->type == REDIS_REPLY_STRING
               ? reply->element[i]->str
               : "";
}

static long long number_of(const redisReply *reply, size_t i)
{
    return i < reply->elements && reply->element[i]->type == REDIS_REPLY_INTEGER
               ? reply->element[i]->integer
               : 0;
}

static uint64_t digits_of(const redisReply *reply, size_t i)
{
    const char *text = text_of(reply, i);
    return cr_digits(text, strlen(text));
}

/* Whose lease it is, if it is one of this client's; 0. */
static uint64_t own_number(const struct cr_client *c, const struct cr_holder *h)
{
    return h->client[0] == c->id[0] && h->client[1] == c->id[1] ? h->number : 0;
}

static cachify_status_t busy(struct attempt *a, const redisReply *reply)
{
    cachify_caller_t *caller = a->caller;
    struct cr_holder h;
    long long left = number_of(reply, 2), waiters = number_of(reply, 4);
    const redisReply *value = reply->elements > 1 ? reply->element[1] : NULL;
    bool has = value != NULL && value->type == REDIS_REPLY_STRING;
    cr_value_describe(&caller->holder, has ? value->str : "", has ? value->len : 0, left,
                      (int64_t)digits_of(reply, 3));
    caller->holder_is_self = has && left < 0 && cr_value_read(value->str, value->len, &h) &&
                             cr_lease_is_self(&a->c->leases, own_number(a->c, &h), caller->serial);
    caller->holder.waiters = (uint32_t)(waiters - (is_heard(a) && waiters > 0));
    if (a->waiter != NULL)
        cr_line_note_busy(&a->c->line, a->waiter, a->epoch, left, text_of(reply, 5));
    return CACHIFY_LOCKED;
}

/* Had before, by a try whose answer was cut off, it is counted from that. */
static cachify_status_t got(struct attempt *a, const redisReply *reply, struct cr_lease *lease,
                            cachify_grant_t *grant)
{
    const cachify_request_t *r = a->request;
    bool before = number_of(reply, 6) != 0;
    uint64_t sent = before ? a->call.first : a->call.latest;
    if (text_of(reply, 7)[0] != '\0') /* overwritten */
        cr_lease_end(&a->c->leases, cr_own_number(a->c, text_of(reply, 7)));
    if (grant == NULL)
        return CACHIFY_OK;
    char *stamps = a->text + r->key_len + CR_HEAD_LEN;
    snprintf(stamps, CR_DIGITS + 1, "%016" PRIu64, digits_of(reply, 1));
    stamps[CR_DIGITS] = ' ';
    memcpy(stamps + CR_DIGITS + 1, text_of(reply, 2), strnlen(text_of(reply, 2), CR_DIGITS));
    cr_lease_begin(&a->c->leases, lease, deadline_after(sent, r->exp_ms),
                   &(struct cr_lease){.serial = a->caller->serial,
                                      .again = a->call.sent > 1,
                                      .key_len = r->key_len,
                                      .value_len = (uint32_t)a->value_len,
                                      .text = a->text});
    a->text = NULL;
    *grant = (cachify_grant_t){.token = digits_of(reply, 1),
                               .how = (uint32_t)digits_of(reply, 3),
                               .previous_token = digits_of(reply, 4),
                               .previous_pid = (int64_t)digits_of(reply, 5),
                               .store = {(uint64_t)(uintptr_t)lease, a->number}};
    return CACHIFY_OK;
}

static cachify_status_t judge(struct attempt *a, const redisReply *reply, struct cr_lease *lease,
                              cachify_grant_t *grant)
{
    switch (number_of(reply, 0)) {
    case 0:
        return busy(a, reply);
    case 1:
        return got(a, reply, lease, grant);
    default:
        return cr_fail(&a->failure, CACHIFY_SYSTEM,
                       "the acquisition was given back to the server at %s before it was made",
                       a->c->settings.address);
    }
}

cachify_status_t cr_take(struct cr_client *c, cachify_caller_t *caller,
                         const cachify_request_t *request, struct cr_waiter *waiter, bool overwrite,
                         cachify_grant_t *grant)
{
    struct attempt a = {.c = c,
                        .caller = caller,
                        .request = request,
                        .waiter = waiter,
                        .overwrite = overwrite,
                        .set = grant == NULL};
    struct cr_lease *lease = cr_lease_make(&c->leases, &a.failure);
    if (lease == NULL)
        return cr_report(&a.failure);
    a.number = lease->number;
    if (waiter != NULL)
        a.epoch = cr_line_arm(&c->line, waiter);
    redisReply *reply = write_text(&a) ? ask(&a) : NULL;
    cachify_status_t status = reply != NULL ? judge(&a, reply, lease, grant) : a.failure.status;
    if (reply == NULL && a.text != NULL && a.call.unsure)
        cr_orphan_lease(c, request->key, request->key_len, a.number);
    if (reply != NULL)
        freeReplyObject(reply);
    if (waiter != NULL)
        waiter->failed = status != CACHIFY_OK && status != CACHIFY_LOCKED;
    if (status != CACHIFY_OK || grant == NULL)
        cr_lease_drop(&c->leases, lease, a.number);
    free(a.text);
    return status == CACHIFY_OK || status == CACHIFY_LOCKED ? status : cr_report(&a.failure);
}

/* ---- Release ---- */

int cr_release_owner(struct cr_client *c, const char *key, uint32_t key_len, uint64_t number,
                     uint32_t serial, bool again, bool void_owner, struct cr_failure *f)
{
    struct cr_names names;
    struct cr_call call;
    char owner[CR_OWNER_LEN], void_name[VOID_LEN], done[CR_DONE_ROOM], operation[CR_DIGITS + 1],
        remember[24];
    cr_names_make(&names, key, key_len);
    cr_owner_write(owner, c->id, number);
    write_void(void_name, owner);
    cr_operation_write(c, operation);
    cr_done_write(c, done, serial, 'r', remember);

    cr_call_script(&call, CR_RELEASE, 5);
    cr_call_add(&call, key, key_len);
    cr_call_add(&call, names.last, names.last_len);
    cr_call_add(&call, names.wait, names.wait_len);
    cr_call_add(&call, void_name, sizeof void_name);
    cr_call_text(&call, done);
    cr_call_add(&call, owner, sizeof owner);
    cr_call_text(&call, operation);
    cr_call_again(&call);
    cr_call_text(&call, remember);
    cr_call_text(&call, void_owner ? CR_GIVEN_BACK_MS : "");
    if (again)
        call.again[0] = '1';
    redisReply *reply = cr_call_run(&c->pool, &c->scripts, &call, REDIS_REPLY_INTEGER, f);
    if (reply == NULL)
        return -1;
    int released = reply->integer != 0;
    freeReplyObject(reply);
    return released;
}

static struct cr_lease *lease_of(const cachify_grant_t *grant)
{
    return (struct cr_lease *)(uintptr_t)grant->store[0]; // NOLINT(performance-no-int-to-ptr)
}

/* Nobody believes in it from here on, whatever comes of it. */
cachify_status_t cr_release(void *self, cachify_caller_t *caller, cachify_grant_t *grant)
{
    struct cr_client *c = self;
    struct cr_lease copy;
    struct cr_failure f;
    uint64_t number = grant->store[1];
    if (!cr_lease_look(&c->leases, lease_of(grant), number, &copy, &f))
        return cr_report(&f);
    if (!cr_lease_drop(&c->leases, lease_of(grant), number)) {
        free(copy.text);
        return cachify_report(CACHIFY_LOST, "the lease had been released");
    }
    struct cr_guard guard = cr_guard();
    int released =
        cr_release_owner(c, copy.text, copy.key_len, number, caller->serial, false, copy.again, &f);
    if (released < 0)
        cr_orphan_lease(c, copy.text, copy.key_len, number);
    cr_unguard(guard);
    cachify_status_t status = released > 0 ? CACHIFY_OK
                              : released < 0
                                  ? cr_report(&f)
                                  : cachify_report(CACHIFY_LOST,
                                                   "the lease of %.*s had ended: released by key, "
                                                   "or over and taken by another",
                                                   (int)copy.key_len, copy.text);
    free(copy.text);
    return status;
}

/* ---- Extend ---- */

/* The script's answer; -1, and why. */
static int extend_once(struct cr_client *c, struct cr_call *call, const struct cr_lease *lease,
                       uint64_t number, int64_t exp_ms, bool say_value, const char *operation,
                       struct cr_failure *f)
{
    struct cr_names names;
    char owner[CR_OWNER_LEN], expiry[24];
    cr_names_make(&names, lease->text, lease->key_len);
    cr_owner_write(owner, c->id, number);
    write_expiry(expiry, exp_ms);
    cr_call_script(call, CR_EXTEND, 3);
    cr_call_add(call, lease->text, lease->key_len);
    cr_call_add(call, names.last, names.last_len);
    cr_call_add(call, names.wait, names.wait_len);
    cr_call_add(call, owner, sizeof owner);
    cr_call_text(call, expiry);
    cr_call_add(call, lease->text + lease->key_len, say_value ? lease->value_len : 0);
    cr_call_text(call, CR_REMEMBER_MS);
    cr_call_text(call, operation);
    redisReply *reply = cr_call_run(&c->pool, &c->scripts, call, REDIS_REPLY_INTEGER, f);
    if (reply == NULL)
        return -1;
    int answer = (int)reply->integer;
    freeReplyObject(reply);
    return answer;
}

/* An answer that never came: the server may have done it or not, so it is over when the sooner of
 * the two is. */
static cachify_status_t not_known(struct cr_client *c, struct cr_lease *lease, uint64_t number,
                                  const struct cr_call *call, int64_t exp_ms, uint32_t serial,
                                  const struct cr_failure *f)
{
    uint64_t now = cr_lease_deadline(lease, number), then = deadline_after(call->first, exp_ms);
    if (call->unsure && then < now)
        cr_lease_renew(&c->leases, lease, number, then, serial);
    return cr_report(f);
}

static cachify_status_t extend(struct cr_client *c, const cachify_caller_t *caller,
                               struct cr_lease *lease, const struct cr_lease *copy, uint64_t number,
                               int64_t exp_ms)
{
    struct cr_call call;
    struct cr_failure f;
    char operation[CR_DIGITS + 1];
    cr_operation_write(c, operation);
    int answer = extend_once(c, &call, copy, number, exp_ms, false, operation, &f);
    if (answer == 2) /* over, and nobody's: it is taken again as it was */
        answer = extend_once(c, &call, copy, number, exp_ms, true, operation, &f);
    if (answer < 0)
        return not_known(c, lease, number, &call, exp_ms, caller->serial, &f);
    if (answer == 1) {
        cr_lease_renew(&c->leases, lease, number, deadline_after(call.latest, exp_ms),
                       caller->serial);
        return CACHIFY_OK;
    }
    if (answer == 3) /* another thread's, with its own deadline */
        return CACHIFY_OK;
    cr_lease_end(&c->leases, number);
    return cachify_report(CACHIFY_LOST,
                          "the lease of %.*s had ended: released, or over and taken by another",
                          (int)copy->key_len, copy->text);
}

cachify_status_t cr_extend(void *self, cachify_caller_t *caller, cachify_grant_t *grant,
                           int64_t exp_ms)
{
    struct cr_client *c = self;
    struct cr_lease copy;
    struct cr_failure f;
    if (!cr_lease_look(&c->leases, lease_of(grant), grant->store[1], &copy, &f))
        return cr_report(&f);
    struct cr_guard guard = cr_guard();
    cachify_status_t status = extend(c, caller, lease_of(grant), &copy, grant->store[1], exp_ms);
    cr_unguard(guard);
    free(copy.text);
    return status;
}

int64_t cr_remaining_ns(void *self, cachify_caller_t *caller, const cachify_grant_t *grant)
{
    uint64_t deadline = cr_lease_deadline(lease_of(grant), grant->store[1]);
    (void)self;
    (void)caller;
    if (deadline == UINT64_MAX)
        return CACHIFY_NEVER;
    uint64_t now = cr_lease_now_ns();
    return deadline > now ? (int64_t)(deadline - now) : 0;
}
