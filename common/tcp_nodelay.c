/* The process's connect(): sets TCP_NODELAY on TCP sockets first.
 *
 * Paho 1.3.12 has no option for it. Without it a publish that follows a PUBACK waits for the peer's
 * delayed acknowledgement, 44 ms a direction: a request and its reply take 88 ms instead of a
 * quarter of one. A definition in the program takes precedence over libc's for every library that
 * is linked to it, so this file is an object of its own in every program with sb_link. */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_tcp(int fd, const struct sockaddr *address, socklen_t len)
{
    socklen_t size = sizeof(int);
    int type;

    if (address == NULL || len < sizeof(address->sa_family))
        return 0;
    if (address->sa_family != AF_INET && address->sa_family != AF_INET6)
        return 0;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

/* The parameter's type is the one that glibc declares. */
int connect(int fd, __CONST_SOCKADDR_ARG target, socklen_t len)
{
    const struct sockaddr *address = target.__sockaddr__;
    int saved = errno;
    int on = 1;

    if (is_tcp(fd, address, len))
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* slower without, not wrong */
    errno = saved;
    return (int)syscall(SYS_connect, fd, address, len);
}
