#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../client.h"
#include "../duration.h"
#include "../refused.h"
#include "say.h"

#define LEAST_EXP_MS 100 /* renewing every third of it, on a busy machine */
#define SERVER_LEAST_EXP_MS 1000
#define SERVER_EXP_MS 30000 /* there, who holds a lock may die and it is not noticed */

enum {
    OPTION_EXP = 256,
    OPTION_MAX_HOLD,
    OPTION_GRACE,
    OPTION_NOTE,
    OPTION_NAME,
    OPTION_PATH,
    OPTION_CLIENT,
    OPTION_PREFIX,
    OPTION_VERBOSE,
    OPTION_ACT /* and an enum act */
};

/* From this list come the parser and the help; what has no help is another name of the one
 * before it. */
static const struct {
    int code; /* the short option, if it is a character */
    const char *name;
    const char *argument;
    const char *help;
} option_list[] = {
    {'n', "nonblock", NULL, "do not wait for the lock"},
    {'n', "nb", NULL, NULL},
    {'w', "wait", "DURATION", "wait so long at the most (default: without limit)"},
    {'w', "timeout", "DURATION", NULL},
    {'E', "conflict-exit-code", "N", "exit status if it is not had (default: 1)"},
    {'c', "command", "STRING", "run STRING by the shell"},
    {OPTION_EXP, "exp", "DURATION", "let the lease expire unless renewed; it is renewed"},
    {OPTION_MAX_HOLD, "max-hold", "DURATION", "renew no longer than this, then end the command"},
    {OPTION_GRACE, "grace", "DURATION", "from TERM to KILL when it is ended (default: 10s)"},
    {OPTION_NOTE, "note", "TEXT", "what others are shown (default: the command line)"},
    {OPTION_NAME, "name", "NAME", "use the segment /dev/shm/NAME"},
    {OPTION_PATH, "path", "PATH", "use the segment in the file PATH"},
    {OPTION_CLIENT, "client", "URL", "use a Redis server: redis://HOST, unix:///PATH"},
    {OPTION_PREFIX, "prefix", "TEXT", "put before the key (default: PYC-)"},
    {OPTION_VERBOSE, "verbose", NULL, "say what is waited for and how the lock was got"},
    {OPTION_ACT + ACT_IS_LOCKED, "is-locked", NULL, "is KEY locked?  status 0: yes, 1: no"},
    {OPTION_ACT + ACT_WHO, "who", NULL, "print who holds KEY; status 1: nobody"},
    {OPTION_ACT + ACT_RELEASE, "release", NULL, "take KEY away from whoever holds it"},
    {OPTION_ACT + ACT_AWAIT, "await", NULL, "wait until KEY is free, and do not take it"},
    {'h', "help", NULL, "print this help"},
    {'V', "version", NULL, "print the version"},
};

#define OPTIONS (sizeof option_list / sizeof option_list[0])

static void print_help(void)
{
    puts("Usage: " PROGRAM " KEY [OPTIONS] -- COMMAND [ARGUMENT...]\n"
         "       " PROGRAM " [OPTIONS] --is-locked|--who|--release|--await KEY\n"
         "Runs a command while it holds the lock KEY; see " PROGRAM "(1).");
    for (size_t i = 0; i < OPTIONS; i++) {
        char letter[] = "  ", text[32];
        if (option_list[i].help == NULL)
            continue;
        if (option_list[i].code < 256) {
            letter[0] = '-';
            letter[1] = (char)option_list[i].code;
        }
        snprintf(text, sizeof text, "--%s%s%s", option_list[i].name,
                 option_list[i].argument != NULL ? " " : "",
                 option_list[i].argument != NULL ? option_list[i].argument : "");
        printf(" %s%s %-22s %s\n", letter, option_list[i].code < 256 ? "," : " ", text,
               option_list[i].help);
    }
}

/* ---- Arguments of options ---- */

static int64_t duration(const char *option)
{
    int64_t ms;
    if (strcmp(optarg, "never") == 0)
        ms = CACHIFY_NEVER;
    else if (!duration_parse(optarg, &ms))
        fail(EX_USAGE, "--%s \"%s\": expected " DURATION_EXPECTED ", or never", option, optarg);
    return ms;
}

static int64_t positive(const char *option)
{
    int64_t ms = duration(option);
    if (ms == 0)
        fail(EX_USAGE, "--%s \"%s\": expected more than nothing", option, optarg);
    return ms;
}

static int64_t expiry(void)
{
    int64_t ms = duration("exp");
    if (ms < LEAST_EXP_MS)
        fail(EX_USAGE, "--exp \"%s\": expected %dms or more, so that it can be renewed in time",
             optarg, LEAST_EXP_MS);
    return ms;
}

static int exit_code(void)
{
    char *end;
    errno = 0;
    long code = strtol(optarg, &end, 10);
    if (end == optarg || *end != '\0' || errno != 0 || code < 0 || code > 255)
        fail(EX_USAGE, "--conflict-exit-code \"%s\": expected a number from 0 to 255", optarg);
    return (int)code;
}

static void set_act(struct options *o, enum act act)
{
    if (o->act != ACT_RUN && o->act != act)
        fail(EX_USAGE, "more than one of --is-locked, --who, --release and --await; expected one");
    o->act = act;
}

/* ---- Options ---- */

static void set_shell(struct options *o)
{
    const char *shell = getenv("SHELL");
    o->shell[0] = (char *)(shell != NULL && *shell != '\0' ? shell : "/bin/sh");
    o->shell[1] = (char *)"-c";
    o->shell[2] = optarg;
    o->command = o->shell;
}

static void set_option(struct options *o, int code, char **argv)
{
    char letter[3];
    switch (code) {
    case 'n':
        o->wait_ms = 0;
        break;
    case 'w':
        o->wait_ms = duration("wait");
        break;
    case 'E':
        o->conflict = exit_code();
        break;
    case 'c':
        set_shell(o);
        break;
    case OPTION_EXP:
        o->exp_ms = expiry();
        break;
    case OPTION_MAX_HOLD:
        o->max_hold_ms = positive("max-hold");
        break;
    case OPTION_GRACE:
        o->grace_ms = duration("grace");
        break;
    case OPTION_NOTE:
        o->note = optarg;
        break;
    case OPTION_NAME:
        o->name = optarg;
        break;
    case OPTION_PATH:
        o->path = optarg;
        break;
    case OPTION_CLIENT:
        o->client = optarg;
        break;
    case OPTION_PREFIX:
        o->prefix = optarg;
        break;
    case OPTION_VERBOSE:
        o->verbose = true;
        break;
    case 'h':
        print_help();
        exit(EXIT_SUCCESS);
    case 'V':
        printf(PROGRAM " from cachify-shm %s\n", cachify_version());
        exit(EXIT_SUCCESS);
    case ':':
        fail(EX_USAGE, "option %s needs an argument", option_refused(argv, letter));
    case '?':
        fail(EX_USAGE, "option %s is unknown, is short for more than one, or takes no argument",
             option_refused(argv, letter));
    default:
        set_act(o, (enum act)(code - OPTION_ACT));
    }
}

/* Those up to the first argument that is none; returns how many words they are, "--" included. */
static int take_options(int argc, char **argv, struct options *o)
{
    struct option known[OPTIONS + 1] = {0};
    char letters[2 * OPTIONS + 3] = "+:";
    for (size_t i = 0; i < OPTIONS; i++) {
        known[i].name = option_list[i].name;
        known[i].has_arg = option_list[i].argument != NULL ? required_argument : no_argument;
        known[i].val = option_list[i].code;
        if (option_list[i].code < 256 && option_list[i].help != NULL) {
            letters[strlen(letters)] = (char)option_list[i].code;
            if (option_list[i].argument != NULL)
                letters[strlen(letters)] = ':';
        }
    }
    opterr = 0;
    optind = 0; /* anew: of another array */
    for (int code; (code = getopt_long(argc, argv, letters, known, NULL)) != -1;)
        set_option(o, code, argv);
    return optind;
}

static void check_command(const struct options *o, char **rest)
{
    if (o->act != ACT_RUN) {
        if (o->command != NULL || *rest != NULL)
            fail(EX_USAGE, "unexpected command \"%s\": a question about a key runs none",
                 *rest != NULL ? *rest : o->shell[2]);
        return;
    }
    if (o->command != NULL && *rest != NULL)
        fail(EX_USAGE, "both -c \"%s\" and the command \"%s\" are given; expected one of them",
             o->shell[2], *rest);
    if (o->command == NULL && *rest == NULL)
        fail(EX_USAGE, "no command for the lock \"%s\"; expected KEY -- COMMAND, or KEY -c STRING",
             o->key);
}

/* The URL may have a password in it, so it is not repeated. */
static void check_place(struct options *o)
{
    if (o->name != NULL && o->path != NULL)
        fail(EX_USAGE, "both --name %s and --path %s are given; expected one at most", o->name,
             o->path);
    bool segment = o->name != NULL || o->path != NULL;
    if (o->client == NULL && !segment)
        o->client = client_of_environment();
    if (o->client != NULL && *o->client == '\0')
        o->client = NULL;
    if (o->client != NULL && segment)
        fail(EX_USAGE,
             "both --client, a server, and --%s %s, a segment, are given; expected one of them",
             o->name != NULL ? "name" : "path", o->name != NULL ? o->name : o->path);
}

static void set_expiry(struct options *o)
{
    if (o->exp_ms == 0)
        o->exp_ms = o->client != NULL ? SERVER_EXP_MS : CACHIFY_NEVER;
    if (o->client != NULL && o->exp_ms < SERVER_LEAST_EXP_MS)
        fail(
            EX_USAGE,
            "--exp is %lldms; expected %dms or more on a server, so that it can be renewed in time",
            (long long)o->exp_ms, SERVER_LEAST_EXP_MS);
}

void options_parse(int argc, char **argv, struct options *o)
{
    *o = (struct options){
        .wait_ms = CACHIFY_NEVER, .max_hold_ms = CACHIFY_NEVER, .grace_ms = 10000, .conflict = 1};
    int at = take_options(argc, argv, o);
    if (at >= argc)
        fail(EX_USAGE, "no key; expected KEY [OPTIONS] -- COMMAND");
    o->key = argv[at];
    argv[at] = argv[0]; /* what getopt takes for the program's name */
    at += take_options(argc - at, argv + at, o);
    check_command(o, argv + at);
    if (o->act == ACT_RUN && o->command == NULL)
        o->command = argv + at;
    if (*o->key == '\0')
        fail(EX_USAGE, "the key is empty; expected a name of one byte or more");
    check_place(o);
    set_expiry(o);
}

/* ---- What they name ---- */

static cachify_t *open_on_server(const struct options *options)
{
    cachify_t *instance = NULL;
    cachify_client_t client;
    cachify_config_t config = {.size = sizeof config, .client = &client, .prefix = options->prefix};
    cachify_status_t status = client_of_url(options->client, &client);
    if (status == CACHIFY_OK)
        status = cachify_open(&config, &instance);
    if (status != CACHIFY_OK)
        fail_of(status, AT_SERVER);
    return instance;
}

cachify_t *options_open(const struct options *options)
{
    cachify_t *instance;
    if (options->client != NULL)
        return open_on_server(options);
    cachify_config_t config = {
        .size = sizeof config,
        .name = options->name,
        .path = options->path,
        .prefix = options->prefix,
    };
    cachify_status_t status = cachify_open(&config, &instance);
    if (status != CACHIFY_OK)
        fail_of(status, AT_OPENING);
    return instance;
}

const char *options_segment(const struct options *options)
{
    static char path[PATH_MAX];
    if (options->path != NULL)
        return options->path;
    if (options->name != NULL)
        snprintf(path, sizeof path, "/dev/shm/%s", options->name);
    else
        snprintf(path, sizeof path, "/dev/shm/cachify.%u", (unsigned)geteuid());
    return path;
}

const char *options_prefix(const struct options *options)
{
    return options->prefix != NULL ? options->prefix : "PYC-";
}
