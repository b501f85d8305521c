/* cachify-lock: run a command while a lock is held; or ask about a lock.
 *
 * Two processes look after a command.  The runner is the one that was started: it is signalled
 * and waited for.  The keeper, its child, holds the lock.  If one of them is killed the other
 * ends the command; the lock lives as long as the keeper, so only its death can free the lock
 * while the command runs, and then both the runner and the kernel end the command at once.
 *
 * On a server the lock outlives the keeper, until its lease is over; and may be lost while all are
 * well, because the server is gone.  So the keeper ends the command while there is some of the
 * lease left. */
#include <fcntl.h>
#include <unistd.h>

#include "options.h"
#include "questions.h"
#include "runner.h"

/* Where standard output or error is closed, the segment would be opened in its place, and our
 * messages written into it.  To the command it stays closed. */
static void occupy_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

int main(int argc, char **argv)
{
    struct options options;
    occupy_standard_descriptors();
    options_parse(argc, argv, &options);
    return options.act == ACT_RUN ? run(&options) : answer(&options);
}
