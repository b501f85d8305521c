#include "redis/net.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- Waiting for a socket ---- */

/* 1; 0 when the time is up; -1 with errno. */
static int wait_for(int fd, short what, uint64_t until)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = what};
        int left = cr_left_ms(until);
        int n = poll(&p, 1, left);
        if (n > 0 || (n == 0 && left == 0))
            return n;
        if (n < 0 && errno != EINTR)
            return -1;
    }
}

static void fail_late(const struct cr_settings *s, struct cr_failure *f, const char *what)
{
    cr_fail(f, CACHIFY_SYSTEM, "the server at %s %s", s->address, what);
}

static void fail_errno(const struct cr_settings *s, struct cr_failure *f, const char *what,
                       int error)
{
    char why[128];
    cr_fail(f, CACHIFY_SYSTEM, "%s the server at %s: %s", what, s->address,
            strerror_r(error, why, sizeof why));
}

/* ---- Connecting ---- */

static int open_socket(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || fd > 2)
        return fd;
    int other = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return other;
}

/* 0, or an errno. */
static int connect_to(int fd, const struct sockaddr *address, socklen_t len, uint64_t until)
{
    int error = 0;
    socklen_t size = sizeof error;
    while (connect(fd, address, len) != 0) {
        if (errno == EINTR)
            continue;
        if (errno == EISCONN)
            return 0;
        if (errno == EAGAIN && address->sa_family == AF_UNIX) { /* its backlog is full */
            if (cr_left_ms(until) == 0)
                return ETIMEDOUT;
            poll(NULL, 0, 1);
            continue;
        }
        if (errno != EINPROGRESS && errno != EALREADY)
            return errno;
        int n = wait_for(fd, POLLOUT, until);
        if (n <= 0)
            return n == 0 ? ETIMEDOUT : errno;
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
    }
    return 0;
}

static int try_address(const struct sockaddr *address, socklen_t len, uint64_t until, int *error)
{
    int fd = open_socket(address->sa_family);
    *error = fd < 0 ? errno : connect_to(fd, address, len, until);
    if (*error == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static int connect_path(const struct cr_settings *s, uint64_t until, struct cr_failure *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int error;
    if (strlen(s->path) >= sizeof address.sun_path) {
        cr_fail(f, CACHIFY_INVALID, "the socket's path %s has %zu bytes; expected less than %zu",
                s->path, strlen(s->path), sizeof address.sun_path);
        return -1;
    }
    memcpy(address.sun_path, s->path, strlen(s->path) + 1);
    int fd = try_address((const struct sockaddr *)&address, sizeof address, until, &error);
    if (fd < 0)
        fail_errno(s, f, "cannot connect to", error);
    return fd;
}

static void tune(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

static int connect_host(const struct cr_settings *s, uint64_t until, struct cr_failure *f)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char port[16];
    snprintf(port, sizeof port, "%u", s->port);
    int bad = getaddrinfo(s->host, port, &hints, &found), error = ENOENT, fd = -1;
    if (bad != 0) {
        cr_fail(f, CACHIFY_SYSTEM, "cannot find the server's host %s: %s", s->host,
                gai_strerror(bad));
        return -1;
    }
    for (const struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next)
        fd = try_address(a->ai_addr, a->ai_addrlen, until, &error);
    freeaddrinfo(found);
    if (fd < 0)
        fail_errno(s, f, "cannot connect to", error);
    else
        tune(fd);
    return fd;
}

int cr_net_connect(const struct cr_settings *s, uint64_t until, struct cr_failure *f)
{
    return s->path != NULL ? connect_path(s, until, f) : connect_host(s, until, f);
}

/* ---- Bytes ---- */

bool cr_net_send(const struct cr_settings *s, int fd, const char *bytes, size_t len, uint64_t until,
                 struct cr_failure *f)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            bytes += n;
            len -= (size_t)n;
            continue;
        }
        if (errno == EINTR)
            continue;
        int ready = errno == EAGAIN ? wait_for(fd, POLLOUT, until) : -1;
        if (ready < 0) {
            fail_errno(s, f, "cannot write to", errno);
            return false;
        }
        if (ready == 0) {
            fail_late(s, f, "took no command within command_timeout_ms");
            return false;
        }
    }
    return true;
}

size_t cr_net_receive(const struct cr_settings *s, int fd, char *bytes, size_t room, uint64_t until,
                      struct cr_failure *f)
{
    for (;;) {
        int ready = wait_for(fd, POLLIN, until);
        if (ready == 0) {
            fail_late(s, f, "gave no answer within command_timeout_ms");
            return 0;
        }
        ssize_t n = ready > 0 ? recv(fd, bytes, room, MSG_DONTWAIT) : -1;
        if (n > 0)
            return (size_t)n;
        if (n == 0) {
            fail_late(s, f, "closed the connection");
            return 0;
        }
        if (errno != EINTR && errno != EAGAIN) {
            fail_errno(s, f, "cannot read from", errno);
            return 0;
        }
    }
}

bool cr_net_is_quiet(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}
