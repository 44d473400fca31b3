/*
 * bare - the least that starts the same QEMU: what `start` and `destroy` are measured against.
 *
 *   bare start PLAN DIR [GROUP]
 *        opens the fds of PLAN (`vmlaunch plan --format json`), its sockets in DIR; forks, execs its argv, speaks QMP
 *        up to cont and RESUME, leaves QEMU running and its pid in DIR/pid. GROUP: "tasks" of a control group that QEMU
 *        enters, so that it competes with the rest of the host as the one it is compared with
 *   bare run PLAN DIR
 *        the same as the program of a unit of Type=notify: says READY=1 then, and waits until QEMU has ended
 *   bare quit DIR
 *        sends quit and waits until QEMU has ended
 *   bare time COMMAND...
 *        runs a command without output and prints how many microseconds it took; ends with its status
 *   bare parallel N COMMAND...
 *        the same for N at once, {} in a word being 0 to N-1: from the first fork to the last end
 *
 * No bridge, confinement, journal, record or supervisor: the difference is our share.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

#define FDS_MAX      256
#define QMP_LINE_MAX 65536

static void __attribute__((noreturn)) die(const char *what)
{
        fprintf(stderr, "bare: %s: %s\n", what, strerror(errno));
        exit(1);
}

/* --- fds ------------------------------------------------------------------------------------------------------ */

static void unix_address(const char *dir, const char *path, struct sockaddr_un *ret)
{
        const char *slash = strrchr(path, '/');

        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if ((size_t)snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/%s", dir, slash ? slash + 1 : path) >=
            sizeof(ret->sun_path)) {
                errno = ENAMETOOLONG;
                die(dir);
        }
}

static int open_listener(const char *dir, const char *path)
{
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address;

        unix_address(dir, path, &address);
        unlink(address.sun_path);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
                die(address.sun_path);
        return fd;
}

/* source: "tap:NAME:QUEUE" */
static int open_tap(const char *source, bool vnet_hdr)
{
        struct ifreq request = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | (vnet_hdr ? IFF_VNET_HDR : 0)) };
        int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

        if (sscanf(source, "tap:%15[^:]", request.ifr_name) != 1 || fd < 0 ||
            ioctl(fd, TUNSETIFF, &request) < 0)
                die(source);
        return fd;
}

static int open_source(json_t *steps, const char *source, const char *dir)
{
        size_t i;
        json_t *step;

        json_array_foreach (steps, i, step) {
                const char *effect = json_string_value(json_object_get(step, "effect"));
                const json_t *args = json_object_get(step, "args");
                const char *path = json_string_value(json_object_get(args, "path"));
                const char *name = json_string_value(json_object_get(args, "fd"));
                const char *ifname = json_string_value(json_object_get(args, "ifname"));
                const char *access = json_string_value(json_object_get(args, "access"));
                const char *op = json_string_value(json_object_get(args, "op"));
                int fd;

                if (strcmp(effect, "net") == 0 && op && strcmp(op, "tap-create") == 0 && ifname &&
                    strncmp(source, "tap:", 4) == 0 && strncmp(source + 4, ifname, strlen(ifname)) == 0 &&
                    source[4 + strlen(ifname)] == ':')
                        return open_tap(source, json_is_true(json_object_get(args, "vnet_hdr")));
                if (!name || strcmp(name, source) != 0)
                        continue;
                if (strcmp(effect, "listen") == 0)
                        return open_listener(dir, path);
                if (strcmp(effect, "stderr") == 0)
                        return memfd_create("stderr", MFD_CLOEXEC);
                fd = open(path, (access && strcmp(access, "rw") == 0 ? O_RDWR : O_RDONLY) | O_CLOEXEC);
                if (fd < 0)
                        die(path);
                return fd;
        }
        errno = ENOENT;
        die(source);
}

/* --- QEMU ----------------------------------------------------------------------------------------------------- */

/* The plan's word with its placeholder filled in. */
static char *fill(const char *text)
{
        static const char placeholder[] = "@GENERATION@";
        const char *at = strstr(text, placeholder);

        return at ? xasprintf("%.*s0123456789abcdef%s", (int)(at - text), text, at + sizeof(placeholder) - 1)
                  : xstrdup(text);
}

/* In the child. */
static void enter_group(const char *group)
{
        int fd;

        if (!group)
                return;
        fd = open(group, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0", 1) != 1)
                die(group);
        close(fd);
}

static pid_t fork_qemu(json_t *plan, const char *dir, const char *group)
{
        json_t *argv = json_object_get(plan, "argv"), *fds = json_object_get(plan, "fds");
        size_t n = json_array_size(argv), n_fds = json_array_size(fds);
        char **words = xcalloc(n + 1, sizeof(*words)), *env[] = { NULL };
        const char *program = json_string_value(json_object_get(plan, "emulator"));
        int numbers[FDS_MAX], sources[FDS_MAX];
        pid_t pid;

        if (n_fds > FDS_MAX || !program) {
                errno = EINVAL;
                die("the plan");
        }
        for (size_t i = 0; i < n; i++)
                words[i] = fill(json_string_value(json_array_get(argv, i)));
        for (size_t i = 0; i < n_fds; i++) {
                const json_t *entry = json_array_get(fds, i);
                int fd = open_source(json_object_get(plan, "steps"),
                                     json_string_value(json_object_get(entry, "source")), dir);

                numbers[i] = (int)json_integer_value(json_object_get(entry, "fd"));
                sources[i] = fcntl(fd, F_DUPFD_CLOEXEC, FDS_MAX);
                close(fd);
                if (sources[i] < 0)
                        die("arrange the fds");
        }
        pid = fork();
        if (pid == 0) {
                setsid();
                enter_group(group);
                for (size_t i = 0; i < n_fds; i++)
                        dup2(sources[i], numbers[i]);
                execve(program, words, env);
                die(program);
        }
        if (pid < 0)
                die("fork");
        return pid;
}

static int connect_qmp(const char *dir)
{
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address;

        unix_address(dir, "qmp.sock", &address);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                die(address.sun_path);
        return fd;
}

/* Reads until what came holds word. */
static void await_word(int fd, const char *word)
{
        static char text[QMP_LINE_MAX];
        size_t length = 0;

        do {
                ssize_t n = read(fd, text + length, sizeof(text) - 1 - length);

                if (n <= 0)
                        die("QEMU's monitor");
                length += (size_t)n;
                text[length] = '\0';
        } while (!strstr(text, word));
}

static void send_command(int fd, const char *command)
{
        if (dprintf(fd, "{\"execute\":\"%s\"}\n", command) < 0)
                die(command);
}

static void negotiate(int fd)
{
        await_word(fd, "\"QMP\"");
        send_command(fd, "qmp_capabilities");
        await_word(fd, "\"return\"");
}

/* What systemd waits for (sd_notify(3)); the socket's name is a path or, with '@', an abstract one. */
static void say_ready(void)
{
        const char *name = getenv("NOTIFY_SOCKET");
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        size_t length = name ? strlen(name) : 0;
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (length == 0 || length >= sizeof(address.sun_path)) {
                errno = EINVAL;
                die("NOTIFY_SOCKET");
        }
        memcpy(address.sun_path, name, length);
        if (*name == '@')
                address.sun_path[0] = '\0';
        if (fd < 0 || sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&address,
                             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) != 7)
                die(name);
}

static int start(const char *plan_path, const char *dir, const char *group, bool is_unit)
{
        json_error_t why;
        json_t *plan = json_load_file(plan_path, 0, &why);
        char *pid_path = xasprintf("%s/pid", dir);
        FILE *file;
        pid_t pid;
        int qmp;

        if (!plan) {
                fprintf(stderr, "bare: %s: %s\n", plan_path, why.text);
                return 1;
        }
        pid = fork_qemu(plan, dir, group);
        qmp = connect_qmp(dir);
        negotiate(qmp);
        send_command(qmp, "cont");
        await_word(qmp, "\"RESUME\"");
        file = fopen(pid_path, "we");
        if (!file || fprintf(file, "%d\n", (int)pid) < 0 || fclose(file) != 0)
                die(pid_path);
        if (is_unit) {
                /* QEMU serves one client, and the next one is quit's. */
                close(qmp);
                say_ready();
                waitpid(pid, NULL, 0);
        }
        return 0;
}

static int quit(const char *dir)
{
        char *pid_path = xasprintf("%s/pid", dir);
        FILE *file = fopen(pid_path, "re");
        int pid, pidfd, qmp;
        struct pollfd poll_fd;

        if (!file || fscanf(file, "%d", &pid) != 1)
                die(pid_path);
        pidfd = fd_pidfd_open(pid);
        if (pidfd < 0)
                die("QEMU");
        qmp = connect_qmp(dir);
        negotiate(qmp);
        send_command(qmp, "quit");
        poll_fd = (struct pollfd){ .fd = pidfd, .events = POLLIN };
        if (poll(&poll_fd, 1, 30000) != 1)
                die("QEMU does not end");
        return 0;
}

/* --- time ----------------------------------------------------------------------------------------------------- */

static long long now_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/* Words with {} replaced by number. */
static char **numbered(char **command, unsigned number)
{
        size_t n = 0;
        char **words;

        while (command[n])
                n++;
        words = xcalloc(n + 1, sizeof(*words));
        for (size_t i = 0; i < n; i++) {
                const char *at = strstr(command[i], "{}");

                words[i] = at ? xasprintf("%.*s%u%s", (int)(at - command[i]), command[i], number, at + 2)
                              : xstrdup(command[i]);
        }
        return words;
}

static int run_timed(unsigned n, char **command)
{
        posix_spawn_file_actions_t actions;
        char ***words = xcalloc(n, sizeof(*words));
        int failed = 0, status;
        long long begin;

        for (unsigned i = 0; i < n; i++)
                words[i] = numbered(command, i);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
        begin = now_us();
        for (unsigned i = 0; i < n; i++) {
                pid_t pid;

                errno = posix_spawnp(&pid, words[i][0], &actions, NULL, words[i], environ);
                if (errno)
                        die(words[i][0]);
        }
        for (unsigned left = n; left > 0; left--) {
                while (wait(&status) < 0)
                        if (errno != EINTR)
                                die("wait");
                if (status != 0)
                        failed = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        }
        printf("%lld\n", now_us() - begin);
        return failed;
}

int main(int argc, char **argv)
{
        if ((argc == 4 || argc == 5) && strcmp(argv[1], "start") == 0)
                return start(argv[2], argv[3], argv[4], false);
        if (argc == 4 && strcmp(argv[1], "run") == 0)
                return start(argv[2], argv[3], NULL, true);
        if (argc == 3 && strcmp(argv[1], "quit") == 0)
                return quit(argv[2]);
        if (argc >= 3 && strcmp(argv[1], "time") == 0)
                return run_timed(1, argv + 2);
        if (argc >= 4 && strcmp(argv[1], "parallel") == 0 && atoi(argv[2]) > 0)
                return run_timed((unsigned)atoi(argv[2]), argv + 3);
        fprintf(stderr,
                "usage: bare start PLAN DIR [GROUP] | run PLAN DIR | quit DIR | time COMMAND... | parallel N COMMAND...\n");
        return 2;
}
