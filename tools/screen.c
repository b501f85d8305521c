#include "screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* The alternate screen, no cursor, no wrapping; and back. */
static const char enter_text[] = "\033[?1049h\033[?25l\033[?7l\033[H\033[2J";
static const char leave_text[] = "\033[?7h\033[?25h\033[?1049l";

static struct termios before;
static bool has_keys; /* standard input is a terminal, and `before` is how it was */
static volatile sig_atomic_t entered, resized, ended;
static sigset_t waiting_mask; /* while an event is waited for */

/* ---- What it is ---- */

bool screen_possible(void)
{
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
}

bool screen_colours(void)
{
    const char *no = getenv("NO_COLOR");
    return no == NULL || no[0] == '\0';
}

struct size screen_size(void)
{
    struct winsize w;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_row == 0 || w.ws_col == 0)
        return (struct size){24, 80};
    return (struct size){w.ws_row, w.ws_col};
}

/* ---- In and out ---- */

static void on_signal(int number)
{
    if (number == SIGWINCH)
        resized = 1;
    else
        ended = 1;
}

static bool write_all(const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes, len);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
    }
    return true;
}

void screen_leave(void)
{
    int saved = errno;
    if (entered) {
        entered = 0;
        write_all(leave_text, sizeof leave_text - 1);
        if (has_keys)
            tcsetattr(STDIN_FILENO, TCSANOW, &before);
    }
    errno = saved;
}

/* Keys come at once and unseen; what ends a program still does, what stops it does not, for that
 * would leave the screen as it is. */
static void take_keys(void)
{
    struct termios raw;
    has_keys = tcgetattr(STDIN_FILENO, &before) == 0;
    if (!has_keys)
        return;
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    raw.c_cc[VSUSP] = _POSIX_VDISABLE;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

/* Signals come while an event is waited for, never between the look at a flag and the wait. */
static void take_signals(void)
{
    static const int numbers[] = {SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked;
    sigemptyset(&action.sa_mask);
    sigemptyset(&blocked);
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        sigaction(numbers[i], &action, NULL);
        sigaddset(&blocked, numbers[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, &waiting_mask);
}

void screen_enter(void)
{
    take_signals();
    take_keys();
    entered = 1;
    atexit(screen_leave);
    write_all(enter_text, sizeof enter_text - 1);
}

/* ---- Frames ---- */

void screen_begin(struct text *frame)
{
    frame->len = 0;
    text_string(frame, "\033[H");
}

/* What was there is overwritten, and the rest of the line cleared: nothing blinks. */
void screen_line(struct text *frame, const char *style, const char *bytes, size_t len,
                 struct size size, bool last)
{
    text_string(frame, style);
    text_put(frame, bytes, utf8_fit(bytes, len, size.columns));
    text_string(frame, style[0] != '\0' ? "\033[0m\033[K" : "\033[K");
    if (!last)
        text_string(frame, "\r\n");
}

bool screen_show(struct text *frame)
{
    text_string(frame, "\033[J");
    return !frame->failed && write_all(frame->bytes, frame->len);
}

/* ---- Events ---- */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A key, EVENT_NONE if there is none, EVENT_QUIT at the end of input. */
static int read_key(void)
{
    unsigned char key;
    ssize_t n = read(STDIN_FILENO, &key, 1);
    if (n == 1)
        return key;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return EVENT_NONE;
    return EVENT_QUIT;
}

int screen_wait(int64_t ms)
{
    const int64_t until = now_ms() + ms;
    for (;;) {
        int64_t left = until - now_ms();
        struct pollfd keys = {.fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN};
        struct timespec timeout = {0};
        if (left > 0)
            timeout = (struct timespec){left / 1000, left % 1000 * 1000000};
        int ready = ppoll(&keys, 1, &timeout, &waiting_mask);
        if (ended)
            return EVENT_QUIT;
        if (resized) {
            resized = 0;
            return EVENT_RESIZE;
        }
        if (ready == 0)
            return EVENT_NONE;
        int key = ready > 0 ? read_key() : EVENT_NONE;
        if (key != EVENT_NONE)
            return key;
    }
}
