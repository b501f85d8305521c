#include "columns.h"

#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include "say.h"

const struct column *column_of_field(const struct kind *kind, const char *field)
{
    for (size_t i = 0; i < kind->count; i++)
        if (strcmp(kind->columns[i].field, field) == 0)
            return &kind->columns[i];
    return NULL;
}

/* By its heading, in any case of letters. */
static const struct column *find(const struct kind *kind, const char *option, const char *name,
                                 size_t len)
{
    char known[512] = "";
    for (size_t i = 0; i < kind->count; i++) {
        const char *heading = kind->columns[i].heading;
        if (strlen(heading) == len && strncasecmp(heading, name, len) == 0)
            return &kind->columns[i];
        strncat(known, i > 0 ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, heading, sizeof known - strlen(known) - 1);
    }
    fail(EX_USAGE, "%s: there is no column \"%.*s\" of %s; expected some of: %s", option, (int)len,
         name, kind->name, known);
}

static void add(struct choice *choice, const struct column *column)
{
    if (choice->count == COLUMNS_MOST)
        fail(EX_USAGE, "more columns are asked for than %d", COLUMNS_MOST);
    choice->shown[choice->count++] = column;
}

static void add_list(struct choice *choice, const char *list)
{
    for (;; list++) {
        size_t n = strcspn(list, ",");
        add(choice, find(choice->kind, "--output", list, n));
        list += n;
        if (*list == '\0')
            return;
    }
}

static void add_usual(struct choice *choice, bool all)
{
    const struct kind *kind = choice->kind;
    for (size_t i = 0; i < kind->count; i++)
        if (all || kind->columns[i].shown == USUAL)
            add(choice, &kind->columns[i]);
}

static bool is_shown(const struct choice *choice, const struct column *column)
{
    for (size_t i = 0; i < choice->count; i++)
        if (choice->shown[i] == column)
            return true;
    return false;
}

/* In front of the usual ones. */
static void add_first(struct choice *choice, const char *heading)
{
    const struct column *column = find(choice->kind, "--all", heading, strlen(heading));
    if (is_shown(choice, column))
        return;
    add(choice, column);
    for (size_t i = choice->count - 1; i > 0; i--)
        choice->shown[i] = choice->shown[i - 1];
    choice->shown[0] = column;
}

void columns_choose(struct choice *choice, const char *list, bool all, const char *more,
                    const char *sort)
{
    choice->count = 0;
    if (all || list == NULL || list[0] == '+') {
        add_usual(choice, all);
        if (more != NULL)
            add_first(choice, more);
    }
    if (list != NULL && !all)
        add_list(choice, list + (list[0] == '+'));
    if (sort == NULL)
        return;
    choice->descending = sort[0] == '-';
    sort += choice->descending;
    choice->sort = find(choice->kind, "--sort", sort, strlen(sort));
}

void columns_print(const struct kind *kind, FILE *out)
{
    static const char *const types[] = {
        [OF_COLUMN] = "any", [BYTES] = "bytes",   [WORD] = "word", [NUMBER] = "number",
        [TIME] = "time",     [SERIAL] = "serial", [FLAG] = "flag",
    };
    fputs("COLUMN         TYPE   USUAL CONTENT\n", out);
    for (size_t i = 0; i < kind->count; i++) {
        const struct column *c = &kind->columns[i];
        fprintf(out, "%-14s %-6s %-5s %s\n", c->heading, types[c->type],
                c->shown == ON_DEMAND ? "no" : "yes", c->help);
    }
}
