/* The same for programs: an object a line.  First the machine; then the subjects, each beside the
 * library in the same case; then the bars.  A field that says nothing is null. */
#include "bench.h"

#include <math.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void print_string(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        if ((unsigned char)*text >= ' ')
            putchar(*text);
    }
    putchar('"');
}

static void print_field(const char *name, const char *value)
{
    printf(",\"%s\":", name);
    if (value != NULL)
        print_string(value);
    else
        fputs("null", stdout);
}

static void print_number(const char *name, double value)
{
    printf(",\"%s\":", name);
    if (isfinite(value))
        printf("%.6g", value);
    else
        fputs("null", stdout);
}

static void print_versions(void)
{
    char version[128];
    const char *comma = "";
    fputs(",\"versions\":{", stdout);
    for (unsigned i = 0; i < peer_count; i++) {
        if (peers[i]->version == NULL || !is_measured(peers[i]))
            continue;
        peers[i]->version(version, sizeof version);
        printf("%s\"%s\":", comma, peers[i]->name);
        print_string(version);
        comma = ",";
    }
    putchar('}');
}

static void print_absent(void)
{
    fputs(",\"missing\":{", stdout);
    for (unsigned i = 0; absent_at(i) != NULL; i++) {
        printf("%s\"%s\":", i > 0 ? "," : "", absent_at(i)->what);
        print_string(absent_at(i)->why);
    }
    putchar('}');
}

static void print_scaled(void)
{
    const char *comma = "";
    fputs(",\"scaled_down\":{", stdout);
    for (unsigned i = 0; i < case_count; i++)
        if (scaled_down(&cases[i])) {
            printf("%s\"%s\":%ld", comma, cases[i].name, scaled(cases[i].setting->count));
            comma = ",";
        }
    putchar('}');
}

static void print_machine(void)
{
    struct utsname u;
    uname(&u);
    printf("{\"processors\":%ld", sysconf(_SC_NPROCESSORS_ONLN));
    print_field("machine", processor());
    print_field("kernel", u.release);
    print_field("compiler", COMPILER);
    printf(",\"rounds\":%d,\"quick\":%s", wishes.rounds, wishes.quick ? "true" : "false");
    print_versions();
    print_absent();
    print_scaled();
    puts("}");
}

static void print_begin(const struct subject *s, double p99_or_nan)
{
    fputs("{\"case\":", stdout);
    print_string(s->of->name);
    print_field("subject", s->peer->name);
    printf(",\"n\":%ld", s->n);
    print_number("median", median(s));
    print_number("p99", p99_or_nan);
    print_field("unit", s->of->unit != NULL ? s->of->unit : "ns");
}

static void print_subject(struct subject *s)
{
    const struct subject *own = find(s->of->name, cachify_peer.name);
    bool beside = own != NULL && own != s;
    print_begin(s, p99(s));
    print_field("ratio_to", beside ? own->peer->name : NULL);
    print_number("ratio", beside ? median(s) / median(own) : NAN);
    fputs(",\"bar\":null,\"met\":null}\n", stdout);
}

static void print_bar(const struct bar *b)
{
    char limit[32];
    const struct subject *s;
    double value = bar_value(b, &s);
    if (isnan(value))
        return;
    snprintf(limit, sizeof limit, "%s %.7g",
             b->at_least > 0 ? ">=" : "<=", b->at_least > 0 ? b->at_least : b->at_most);
    print_begin(s, NAN);
    print_field("ratio_to", b->to != NULL ? bar_to(b) : NULL);
    print_number("ratio", b->to != NULL ? value : NAN);
    print_field("bar", b->at_most > 0 || b->at_least > 0 ? limit : NULL);
    printf(",\"met\":%s}\n", !bar_judged(b) ? "null" : bar_met(b, value) ? "true" : "false");
}

void report_json(void)
{
    print_machine();
    for (unsigned i = 0; i < subject_count; i++)
        if (subjects[i].rounds > 0)
            print_subject(&subjects[i]);
    for (unsigned i = 0; i < bar_count; i++)
        print_bar(&bars[i]);
}
