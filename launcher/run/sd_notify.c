#include "launcher/run/sd_notify.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

/* The first of those that systemd passes on. */
#define FIRST_PASSED 3
#define PASSED_MAX   64
/* All under one name: one message has one, and what they are is to be seen. */
#define STORED "vm"

static void send_state(const char *state, const int *fds, size_t n)
{
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        /* Most messages are of a start, a few in a row. */
        static int fd = -1;
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(SD_FDS_MAX * sizeof(int))];
        } control = { 0 };
        struct iovec iov = { .iov_base = (char *)state, .iov_len = strlen(state) };
        struct msghdr message = { .msg_name = &address, .msg_iov = &iov, .msg_iovlen = 1 };

        if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path))
                return;
        memcpy(address.sun_path, path, strlen(path));
        if (path[0] == '@')
                address.sun_path[0] = '\0';
        message.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
        if (fd < 0)
                fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (n) {
                message.msg_control = &control;
                message.msg_controllen = CMSG_SPACE(n * sizeof(int));
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
                memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
        }
        (void)!sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void sd_notify(const char *state)
{
        send_state(state, NULL, 0);
}

void sd_notify_store(const char *state, const int *fds, size_t n)
{
        _cleanup_free_ char *text = xasprintf("%s\nFDSTORE=1\nFDPOLL=0\nFDNAME=" STORED, state);

        send_state(text, fds, n);
}

void sd_notify_forget(void)
{
        send_state("FDSTOREREMOVE=1\nFDNAME=" STORED, NULL, 0);
}

/* Of an environment variable that is for this process. */
static bool is_for_us(const char *variable)
{
        const char *text = getenv(variable);
        uint32_t pid;

        return text && text_parse_u32(text, &pid) && (pid_t)pid == getpid();
}

bool sd_has_stored(void)
{
        return is_for_us("LISTEN_PID") && getenv("LISTEN_FDS");
}

int sd_stored_fd(bool is_socket)
{
        static bool taken[PASSED_MAX];
        const char *count = getenv("LISTEN_FDS");
        uint32_t n;

        if (!is_for_us("LISTEN_PID") || !count || !text_parse_u32(count, &n))
                return -1;
        for (uint32_t i = 0; i < n && i < PASSED_MAX; i++) {
                int fd = FIRST_PASSED + (int)i;
                struct stat st;

                if (!taken[i] && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) == is_socket &&
                    fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) {
                        taken[i] = true;
                        return fd;
                }
        }
        return -1;
}

unsigned sd_watchdog_ms(void)
{
        const char *text = getenv("WATCHDOG_USEC");
        uint64_t us;

        if (!text || (getenv("WATCHDOG_PID") && !is_for_us("WATCHDOG_PID")) || !text_parse_u64(text, &us) ||
            us < 2000 || us / 1000 > UINT32_MAX)
                return 0;
        return (unsigned)(us / 1000);
}
