#include "ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const results[] = {
    [HASHED] = "hashed", [SEEN] = "seen", [LOST] = "lost", [KILLED] = "killed"};

#define RESULTS (sizeof results / sizeof results[0])
#define NUMBERS_MAX 400u

/* ---- Writing ---- */

size_t show_path(char shown[SHOWN_ROOM], const char *path)
{
    char *at = shown;
    for (; *path != '\0'; path++) {
        unsigned char c = (unsigned char)*path;
        if (c <= ' ' || c == '%' || c == 0x7f)
            at += sprintf(at, "%%%02x", c);
        else
            *at++ = (char)c;
    }
    *at = '\0';
    return (size_t)(at - shown);
}

bool ledger_append(int fd, const struct hold *h, const char *path)
{
    char line[NUMBERS_MAX + SHOWN_ROOM + 1];
    int numbers =
        snprintf(line, NUMBERS_MAX,
                 "%u %" PRIu64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %u %" PRId64
                 " %" PRIu64 " %u %s %016" PRIx64 " ",
                 h->file, h->token, h->start, h->end, h->until, h->pid, h->how, h->previous_pid,
                 h->previous_token, h->told, results[h->result], h->checksum);
    size_t len = (size_t)numbers;
    len += show_path(line + len, path);
    line[len++] = '\n';
    ssize_t written = write(fd, line, len);
    if (written >= 0 && (size_t)written < len)
        errno = ENOSPC;
    return written == (ssize_t)len;
}

/* ---- Reading ---- */

static bool parse(const char *line, struct hold *h)
{
    char word[16];
    int used = 0;
    int fields = sscanf(line,
                        "%u %" SCNu64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %u %" SCNd64
                        " %" SCNu64 " %u %15s %" SCNx64 " %n",
                        &h->file, &h->token, &h->start, &h->end, &h->until, &h->pid, &h->how,
                        &h->previous_pid, &h->previous_token, &h->told, word, &h->checksum, &used);
    size_t len = strlen(line);
    if (fields != 12 || used == 0 || line[used] == '\0' || line[len - 1] != '\n' ||
        strchr(line + used, ' ') != NULL)
        return false;
    for (size_t i = 0; i < RESULTS; i++)
        if (strcmp(word, results[i]) == 0) {
            h->result = (enum result)i;
            return true;
        }
    return false;
}

static bool keep(struct ledger *ledger, const struct hold *hold, size_t *room)
{
    if (ledger->count == *room) {
        size_t more = *room != 0 ? 2 * *room : 4096;
        struct hold *grown = reallocarray(ledger->hold, more, sizeof *grown);
        if (grown == NULL)
            return false;
        ledger->hold = grown;
        *room = more;
    }
    ledger->hold[ledger->count++] = *hold;
    return true;
}

static bool read_lines(FILE *in, const char *path, struct ledger *ledger)
{
    char *line = NULL;
    size_t line_room = 0, room = 0;
    bool good = true;
    while (good && getline(&line, &line_room, in) > 0) {
        struct hold hold;
        good = parse(line, &hold);
        if (!good)
            fprintf(stderr, "worker-pool: line %zu of the ledger %s is torn: %s", ledger->count + 1,
                    path, line);
        else if (!keep(ledger, &hold, &room)) {
            fprintf(stderr, "worker-pool: no memory for the ledger %s\n", path);
            good = false;
        }
    }
    free(line);
    return good && !ferror(in);
}

bool ledger_read(const char *path, struct ledger *ledger)
{
    *ledger = (struct ledger){0};
    FILE *in = fopen(path, "re");
    if (in == NULL) {
        fprintf(stderr, "worker-pool: cannot read the ledger %s: %s\n", path, strerror(errno));
        return false;
    }
    bool good = read_lines(in, path, ledger);
    fclose(in);
    if (!good)
        ledger_free(ledger);
    return good;
}

void ledger_free(struct ledger *ledger)
{
    free(ledger->hold);
    *ledger = (struct ledger){0};
}
