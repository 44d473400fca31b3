/*
 * qmp_plug - the commands of a change of devices on a QEMU's own socket, by a process of its own: what a verb is measured
 * against.
 *
 *   qmp_plug SOCKET COMMANDS [FILE]
 *        connects, negotiates, and sends each line of COMMANDS when the one before it has its answer; FILE goes with
 *        add-fd, and a device_del is awaited
 *   qmp_plug after SOCKET VERB...
 *        runs a verb, and prints how many microseconds passed from the event DEVICE_DELETED, which comes by SOCKET, to
 *        its end, and how many it took as a whole
 */
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "tests/bench/qmp_socket.h"

#define LINE_MAX_BYTES 65536

static void send_line(int fd, const char *line, int passed)
{
        struct iovec part = { .iov_base = (void *)line, .iov_len = strlen(line) };
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
        struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

        if (passed >= 0) {
                struct cmsghdr *header = (struct cmsghdr *)control;

                message.msg_control = control;
                message.msg_controllen = sizeof(control);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(header), &passed, sizeof(int));
        }
        if (sendmsg(fd, &message, 0) != (ssize_t)part.iov_len)
                fail("sendmsg");
}

static void negotiate(int fd)
{
        read_until(fd, "\"QMP\"");
        send_line(fd, "{\"execute\":\"qmp_capabilities\"}\n", -1);
        read_until(fd, "\"return\"");
}

static void change(const char *socket_path, const char *commands, const char *file)
{
        static char line[LINE_MAX_BYTES];
        FILE *lines = fopen(commands, "re");
        int fd = connect_to(socket_path), passed = file ? open(file, O_RDWR | O_CLOEXEC) : -1;

        if (!lines || (file && passed < 0))
                fail(file ? file : commands);
        negotiate(fd);
        while (fgets(line, sizeof(line), lines)) {
                send_line(fd, line, strstr(line, "\"add-fd\"") ? passed : -1);
                read_until_both(fd, "\"return\"", strstr(line, "\"device_del\"") ? "\"DEVICE_DELETED\"" : "");
        }
}

/* When the event came, by QEMU's clock, in microseconds since 1970. */
static long long event_us(const char *text)
{
        const char *event = strstr(text, "\"DEVICE_DELETED\""), *stamp = NULL;
        long long seconds, microseconds;

        for (const char *at = text; event && at && at < event; at = strstr(at + 1, "\"timestamp\""))
                stamp = at;
        if (!stamp || sscanf(strchr(stamp, '{'), "{\"seconds\":%lld,\"microseconds\":%lld", &seconds,
                             &microseconds) != 2) {
                fprintf(stderr, "no time in: %s\n", text);
                exit(1);
        }
        return seconds * 1000000 + microseconds;
}

static void after(const char *socket_path, char **verb)
{
        int fd = connect_to(socket_path), status;
        struct timespec begin, end;
        long long deleted;
        pid_t pid;

        negotiate(fd);
        clock_gettime(CLOCK_REALTIME, &begin);
        if (posix_spawn(&pid, verb[0], NULL, NULL, verb, environ) != 0)
                fail(verb[0]);
        if (waitpid(pid, &status, 0) != pid || status != 0)
                exit(1);
        clock_gettime(CLOCK_REALTIME, &end);
        deleted = event_us(read_until(fd, "\"DEVICE_DELETED\""));
        printf("%lld %.0f\n", end.tv_sec * 1000000LL + end.tv_nsec / 1000 - deleted,
               us_between(&begin, &end));
}

int main(int argc, char **argv)
{
        if (argc > 3 && strcmp(argv[1], "after") == 0) {
                after(argv[2], argv + 3);
        } else if (argc == 3 || argc == 4) {
                change(argv[1], argv[2], argv[3]);
        } else {
                fprintf(stderr, "usage: qmp_plug SOCKET COMMANDS [FILE] | qmp_plug after SOCKET VERB...\n");
                return 2;
        }
        return 0;
}
