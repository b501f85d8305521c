#include "processes.h"

struct row {
    struct row_head head;
    cachify_shm_process_t process;
};

int processes_add(void *context, const cachify_shm_process_t *process)
{
    struct row *row = listing_new_row(
        context, sizeof *row, (uint64_t)(INT64_MAX - process->registered_ms), process->entry);
    if (row == NULL)
        return 1;
    row->process = *process;
    listing_keep(context);
    return 0;
}

static const cachify_shm_process_t *process_of(const void *row)
{
    return &((const struct row *)row)->process;
}

static struct value pid_of(const void *row)
{
    return pid_value(process_of(row)->pid);
}

static struct value command_of(const void *row)
{
    return command_value(process_of(row)->command);
}

static struct value state_of(const void *row)
{
    uint32_t evidence = process_of(row)->evidence;
    bool dead = evidence == CACHIFY_SHM_BYTE_FREE || evidence == CACHIFY_SHM_OTHER_BOOT;
    return word_value(dead ? "dead" : "alive");
}

static struct value evidence_of(const void *row)
{
    static const char *const words[] = {
        [CACHIFY_SHM_BYTE_LOCKED] = "byte-locked",
        [CACHIFY_SHM_BYTE_FREE] = "byte-free",
        [CACHIFY_SHM_OTHER_BOOT] = "other-boot",
        [CACHIFY_SHM_NOT_TOLD] = "not-told",
    };
    return word_value(words[process_of(row)->evidence]);
}

static struct value registered_of(const void *row)
{
    return number_value((uint64_t)process_of(row)->registered_ms);
}

static struct value leases_of(const void *row)
{
    return number_value(process_of(row)->leases);
}

static struct value waits_of(const void *row)
{
    return number_value(process_of(row)->waits);
}

static struct value entry_of(const void *row)
{
    return number_value(process_of(row)->entry);
}

static struct value namespace_of(const void *row)
{
    return pid_value((int64_t)process_of(row)->pid_namespace);
}

static struct value asked_of(const void *row)
{
    int64_t ms = process_of(row)->asked_ms;
    return (struct value){.number = (uint64_t)ms, .none = ms < 0};
}

static const struct column columns[] = {
    {"PID", "pid", NUMBER, USUAL, pid_of, "process, in its own PID namespace"},
    {"COMMAND", "command", BYTES, USUAL, command_of, "its name"},
    {"STATE", "state", WORD, USUAL, state_of, "alive; or dead, as is one that closed the segment"},
    {"EVIDENCE", "evidence", WORD, USUAL, evidence_of,
     "byte-locked: alive; byte-free, other-boot: dead; not-told: taken for alive"},
    {"REGISTERED", "registered_ms", TIME, USUAL, registered_of, "time since it came"},
    {"LEASES", "leases", NUMBER, USUAL, leases_of, "locks that it holds, or left when it died"},
    {"WAITS", "waits", NUMBER, USUAL, waits_of, "places that it has in line"},
    {"ENTRY", "entry", NUMBER, ON_DEMAND, entry_of, "number of its entry in the segment"},
    {"NAMESPACE", "pid_namespace", NUMBER, ON_DEMAND, namespace_of,
     "inode number of its PID namespace"},
    {"ASKED", "asked_ms", TIME, ON_DEMAND, asked_of,
     "time since others asked the kernel, and it lived"},
    SEGMENT_COLUMN,
};

static const char *const states[] = {"alive", "dead", NULL};

const struct kind processes = {
    "processes",      columns,         sizeof columns / sizeof columns[0],
    order_by_numbers, "registered_ms", states};
