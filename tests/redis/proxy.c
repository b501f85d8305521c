#include "proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAIRS 64u
#define HELD_ROOM 65536u

struct pair {
    int client, server; /* -1: closed */
};

/* What only the proxy's thread knows. */
struct work {
    struct proxy *p;
    struct pair pair[PAIRS];
    int held_for; /* the server's end that what is held is for; -1 */
    char held[HELD_ROOM];
    size_t held_len;
};

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        bytes += n;
        len -= (size_t)n;
    }
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_pair(struct pair *pair)
{
    close_end(&pair->client);
    close_end(&pair->server);
}

/* Which of the bytes may go on; *acts: what happens after them. */
static size_t allow(struct proxy *p, bool to_server, size_t n, enum proxy_act *acts)
{
    size_t allowed = n;
    *acts = PROXY_PASS;
    pthread_mutex_lock(&p->lock);
    bool concerned =
        to_server ? p->act == PROXY_CUT_REQUEST || p->act == PROXY_HOLD : p->act == PROXY_CUT_REPLY;
    if (concerned && !p->acted) {
        if (n >= p->left) {
            allowed = p->left;
            p->acted = true;
            *acts = p->act;
        } else {
            p->left -= n;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return allowed;
}

static bool is_refusing(struct proxy *p)
{
    pthread_mutex_lock(&p->lock);
    bool refusing = p->acted && p->refuse;
    pthread_mutex_unlock(&p->lock);
    return refusing;
}

static void cut_all(struct work *w)
{
    for (unsigned i = 0; i < PAIRS; i++)
        close_pair(&w->pair[i]);
}

static void hold(struct work *w, struct pair *pair, const char *bytes, size_t n)
{
    memcpy(w->held, bytes, n);
    w->held_len = n;
    w->held_for = pair->server;
    pair->server = -1;
    close_pair(pair);
}

static void pass(struct work *w, struct pair *pair, bool to_server)
{
    char bytes[HELD_ROOM];
    enum proxy_act acts;
    ssize_t n = recv(to_server ? pair->client : pair->server, bytes, sizeof bytes, 0);
    if (n <= 0) {
        close_pair(pair);
        return;
    }
    size_t allowed = allow(w->p, to_server, (size_t)n, &acts);
    if (acts == PROXY_HOLD) {
        hold(w, pair, bytes, (size_t)n);
    } else {
        send_all(to_server ? pair->server : pair->client, bytes, allowed);
        if (acts != PROXY_PASS)
            close_pair(pair);
    }
    if (acts != PROXY_PASS && is_refusing(w->p))
        cut_all(w);
}

static void admit(struct work *w)
{
    int client = accept4(w->p->listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0)
        return;
    pthread_mutex_lock(&w->p->lock);
    w->p->accepted++;
    pthread_mutex_unlock(&w->p->lock);
    for (unsigned i = 0; i < PAIRS; i++) {
        if (w->pair[i].client >= 0 || is_refusing(w->p))
            continue;
        w->pair[i] = (struct pair){client, connect_to(w->p->server->path)};
        if (w->pair[i].server < 0)
            close_pair(&w->pair[i]);
        return;
    }
    close(client);
}

/* Until the server has read it: it answers, or closes. */
static void deliver(struct work *w)
{
    char byte;
    if (w->held_for < 0)
        return;
    send_all(w->held_for, w->held, w->held_len);
    recv(w->held_for, &byte, 1, 0);
    close_end(&w->held_for);
}

static bool goes_on(struct work *w)
{
    char byte;
    struct proxy *p = w->p;
    ssize_t rung = read(p->bell[0], &byte, 1);
    (void)rung;
    pthread_mutex_lock(&p->lock);
    bool stop = p->stop, late = p->deliver;
    pthread_mutex_unlock(&p->lock);
    if (late) {
        deliver(w);
        pthread_mutex_lock(&p->lock);
        p->deliver = false;
        pthread_mutex_unlock(&p->lock);
    }
    return !stop;
}

static void *work(void *given)
{
    static struct work w;
    struct pollfd fds[2 + 2 * PAIRS];
    w = (struct work){.p = given, .held_for = -1};
    for (unsigned i = 0; i < PAIRS; i++)
        w.pair[i] = (struct pair){-1, -1};
    for (;;) {
        fds[0] = (struct pollfd){.fd = w.p->bell[0], .events = POLLIN};
        fds[1] = (struct pollfd){.fd = w.p->listener, .events = POLLIN};
        for (unsigned i = 0; i < PAIRS; i++) {
            fds[2 + 2 * i] = (struct pollfd){.fd = w.pair[i].client, .events = POLLIN};
            fds[3 + 2 * i] = (struct pollfd){.fd = w.pair[i].server, .events = POLLIN};
        }
        poll(fds, 2 + 2 * PAIRS, -1);
        if (fds[0].revents != 0 && !goes_on(&w))
            break;
        for (unsigned i = 0; i < PAIRS; i++) {
            if (fds[2 + 2 * i].revents != 0 && w.pair[i].client == fds[2 + 2 * i].fd)
                pass(&w, &w.pair[i], true);
            if (fds[3 + 2 * i].revents != 0 && w.pair[i].server == fds[3 + 2 * i].fd)
                pass(&w, &w.pair[i], false);
        }
        if (fds[1].revents != 0)
            admit(&w);
    }
    cut_all(&w);
    close_end(&w.held_for);
    return NULL;
}

bool proxy_start(struct proxy *p, const struct server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *p = (struct proxy){.server = server};
    snprintf(p->path, sizeof p->path, "%s/proxy", server->directory);
    snprintf(p->url, sizeof p->url, "unix://%s", p->path);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", p->path);
    pthread_mutex_init(&p->lock, NULL);
    p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return pipe2(p->bell, O_CLOEXEC) == 0 &&
           bind(p->listener, (struct sockaddr *)&address, sizeof address) == 0 &&
           listen(p->listener, 64) == 0 && pthread_create(&p->thread, NULL, work, p) == 0;
}

static void ring(struct proxy *p)
{
    if (write(p->bell[1], "!", 1) != 1)
        perror("proxy");
}

void proxy_end(struct proxy *p)
{
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_mutex_unlock(&p->lock);
    ring(p);
    pthread_join(p->thread, NULL);
    close(p->listener);
    close(p->bell[0]);
    close(p->bell[1]);
    unlink(p->path);
}

void proxy_arm(struct proxy *p, enum proxy_act act, size_t bytes, bool refuse)
{
    pthread_mutex_lock(&p->lock);
    p->act = act;
    p->left = bytes;
    p->refuse = refuse;
    p->acted = false;
    pthread_mutex_unlock(&p->lock);
}

void proxy_pass(struct proxy *p)
{
    proxy_arm(p, PROXY_PASS, 0, false);
}

bool proxy_acted(struct proxy *p)
{
    pthread_mutex_lock(&p->lock);
    bool acted = p->acted;
    pthread_mutex_unlock(&p->lock);
    return acted;
}

unsigned proxy_accepted(struct proxy *p)
{
    pthread_mutex_lock(&p->lock);
    unsigned accepted = p->accepted;
    pthread_mutex_unlock(&p->lock);
    return accepted;
}

void proxy_deliver(struct proxy *p)
{
    pthread_mutex_lock(&p->lock);
    p->deliver = true;
    pthread_mutex_unlock(&p->lock);
    ring(p);
    for (bool waiting = true; waiting; usleep(1000)) {
        pthread_mutex_lock(&p->lock);
        waiting = p->deliver;
        pthread_mutex_unlock(&p->lock);
    }
}
