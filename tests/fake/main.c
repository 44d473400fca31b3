/*
 * vmlaunch-fake-qemu - a peer that speaks QMP and the guest agent's protocol as told by a scenario.
 *
 * docs/fake-qemu.md. As EMULATOR it takes the sockets that argv names and passes `-machine none` on to the real
 * QEMU, so the facts of a plan are real; standalone it takes --qmp and --agent. Without a scenario it is a QEMU that
 * does as it is told and a guest that obeys.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/fake/fake.h"

static const char *const real_qemus[] = { "/usr/bin/qemu-system-x86_64", "/usr/bin/qemu-kvm",
                                          "/usr/libexec/qemu-kvm" };

void die(const char *format, ...)
{
        va_list ap;

        fputs("vmlaunch-fake-qemu: ", stderr);
        va_start(ap, format);
        vfprintf(stderr, format, ap);
        va_end(ap);
        fputc('\n', stderr);
        exit(2);
}

void leave(struct fake *fake, int status)
{
        const json_t *next = json_array_get(fake->scenario.expect, fake->scenario.expected);

        if (next && status == 0) {
                fprintf(stderr, "vmlaunch-fake-qemu: expectation %zu of %zu did not come: %s\n",
                        fake->scenario.expected + 1, json_array_size(fake->scenario.expect),
                        json_string_value(json_object_get(next, "execute")));
                status = 3;
        }
        exit(status);
}

/* --- argv of QEMU --- */

static bool has_word(char **argv, const char *word)
{
        for (int i = 1; argv[i]; i++)
                if (strcmp(argv[i], word) == 0)
                        return true;
        return false;
}

static bool is_probe(char **argv)
{
        int from = 1;
        const char *machine = option_value(argv, "-machine", &from);

        from = 1;
        if (!machine)
                machine = option_value(argv, "-M", &from);
        return machine && strncmp(machine, "none", 4) == 0 && (machine[4] == '\0' || machine[4] == ',');
}

/* The fd of the socket chardev with this id, -1: none. */
static int chardev_fd(char **argv, const char *id)
{
        const char *chardev;
        int from = 1;

        while ((chardev = option_value(argv, "-chardev", &from))) {
                _cleanup_free_ char *its = key_value(chardev, "id"), *fd = key_value(chardev, "fd");

                if (its && fd && strcmp(its, id) == 0)
                        return atoi(fd);
        }
        return -1;
}

static int monitor_fd(char **argv)
{
        int from = 1;
        const char *mon = option_value(argv, "-mon", &from);
        _cleanup_free_ char *id = mon ? key_value(mon, "chardev") : NULL;

        return id ? chardev_fd(argv, id) : -1;
}

/* --- sockets --- */

static void on_message_of_qmp(json_t *message, void *data)
{
        qmp_message(message, ((struct channel *)data)->fake);
}

static void on_message_of_agent(json_t *message, void *data)
{
        agent_message(message, ((struct channel *)data)->fake);
}

static void on_garbage_of_qmp(const char *why, void *data)
{
        qmp_garbage(why, ((struct channel *)data)->fake);
}

static void on_garbage_of_agent(const char *why, void *data)
{
        (void)why;
        (void)data;
}

static void on_connect(struct loop_source *source, uint32_t events, void *data);

static void on_closed(void *data)
{
        hang_up(data);
}

static bool is_qmp(const struct channel *channel)
{
        return channel == &channel->fake->qmp;
}

static void attach(struct channel *channel, int fd_consume)
{
        static const struct wire_handlers qmp = { on_message_of_qmp, on_garbage_of_qmp, on_closed };
        static const struct wire_handlers agent = { on_message_of_agent, on_garbage_of_agent, on_closed };
        struct fake *fake = channel->fake;

        channel->wire =
                wire_new(fake->loop, fd_consume, !is_qmp(channel), is_qmp(channel) ? &qmp : &agent, channel);
        if (is_qmp(channel))
                qmp_connected(fake);
        else
                agent_connected(fake);
}

/* One client at a time, as a chardev of QEMU: the others wait in the queue. */
static void listen_again(struct channel *channel)
{
        if (channel->listen_fd >= 0 && !channel->listener)
                channel->listener =
                        loop_add_fd(channel->fake->loop, channel->listen_fd, EPOLLIN, on_connect, channel);
}

static void on_connect(struct loop_source *source, uint32_t events, void *data)
{
        struct channel *channel = data;
        int fd = accept4(channel->listen_fd, NULL, NULL, SOCK_CLOEXEC);

        (void)events;
        if (fd < 0)
                return;
        loop_remove(channel->fake->loop, source);
        channel->listener = NULL;
        attach(channel, fd);
}

void hang_up(struct channel *channel)
{
        struct fake *fake = channel->fake;

        wire_free(channel->wire);
        channel->wire = NULL;
        /* fds that came by name are the connection's (monitor_fdsets_cleanup() and mon->fds). */
        if (is_qmp(channel) && fake->quitting)
                leave(fake, 0);
        if (channel->listen_fd >= 0)
                listen_again(channel);
        else if (is_qmp(channel))
                leave(fake, 0);
}

static bool listens(int fd)
{
        int value = 0;
        socklen_t size = sizeof(value);

        return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value;
}

/* Who sees the path can connect: it appears when the socket listens. */
static int listen_at(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s.new", path);

        if (n < 0 || (size_t)n >= sizeof(address.sun_path))
                die("the path '%s' is too long for a socket", path);
        unlink(address.sun_path);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 4) < 0 ||
            rename(address.sun_path, path) < 0)
                die("listen at '%s': %s", path, strerror(errno));
        return fd;
}

static void open_channel(struct fake *fake, struct channel *channel, int fd)
{
        channel->fake = fake;
        channel->listen_fd = -1;
        if (fd < 0)
                return;
        if (listens(fd)) {
                channel->listen_fd = fd;
                listen_again(channel);
        } else {
                attach(channel, fd);
        }
}

static int fd_or_path(const char *word)
{
        uint32_t fd;

        return text_parse_u32(word, &fd) ? (int)fd : listen_at(word);
}

/* --- main --- */

static void on_term(const struct signalfd_siginfo *info, void *data)
{
        (void)info;
        if (!fault_hit_kind(data, TERM_IGNORED, NULL))
                quit_now(data, "host-signal");
}

static int usage(FILE *out, int status)
{
        fputs("usage: vmlaunch-fake-qemu --qmp FD|PATH [--agent FD|PATH] [--scenario FILE | --fault NAME] [-S]\n"
              "       vmlaunch-fake-qemu --list-faults\n"
              "       vmlaunch-fake-qemu QEMU'S ARGUMENTS   (as EMULATOR; scenario: PROGRAM.scenario.json)\n",
              out);
        return status;
}

static int standalone(struct fake *fake, char **argv, int *ret_qmp, int *ret_agent, bool *ret_prelaunch)
{
        bool told = false;

        for (int i = 1; argv[i]; i++) {
                const char *value = argv[i + 1];

                if (strcmp(argv[i], "-S") == 0) {
                        *ret_prelaunch = true;
                        continue;
                }
                if (!value)
                        return usage(stderr, 2);
                if (strcmp(argv[i], "--qmp") == 0)
                        *ret_qmp = fd_or_path(value);
                else if (strcmp(argv[i], "--agent") == 0)
                        *ret_agent = fd_or_path(value);
                else if (strcmp(argv[i], "--scenario") == 0 && !told)
                        scenario_read(&fake->scenario, value);
                else if (strcmp(argv[i], "--fault") == 0 && !told)
                        scenario_of_fault(&fake->scenario, value);
                else
                        return usage(stderr, 2);
                told = told || argv[i][2] == 's' || argv[i][2] == 'f';
                i++;
        }
        if (!told)
                scenario_read(&fake->scenario, NULL);
        return *ret_qmp < 0 ? usage(stderr, 2) : 0;
}

static void emulator(struct fake *fake, char **argv, int *ret_qmp, int *ret_agent)
{
        /* The name it was run by, which the kernel keeps: a link to the program may have a scenario of its own. */
        const char *self =
                (const char *)getauxval(AT_EXECFN); /* NOLINT(performance-no-int-to-ptr): getauxval(3) */
        _cleanup_free_ char *path = xasprintf("%s.scenario.json", self ? self : argv[0]);
        const char *value;
        int from = 1;

        scenario_read(&fake->scenario, access(path, F_OK) == 0 ? path : NULL);
        value = option_value(argv, "-name", &from);
        if (value)
                fake->name = key_value(value, "guest") ?: xstrdup(value);
        from = 1;
        value = option_value(argv, "-uuid", &from);
        if (value)
                fake->uuid = value;
        *ret_qmp = monitor_fd(argv);
        *ret_agent = chardev_fd(argv, "agent0");
        if (*ret_qmp < 0)
                die("argv names no monitor");
}

int main(int argc, char **argv)
{
        static struct fake fake = { .name = "fake",
                                    .uuid = "00000000-0000-0000-0000-000000000000",
                                    .next_set = 1 };
        int qmp_fd = -1, agent_fd = -1;
        bool prelaunch = false;

        if (argc < 2)
                return usage(stderr, 2);
        if (is_probe(argv)) {
                for (size_t i = 0; i < ARRAY_SIZE(real_qemus); i++)
                        execv(real_qemus[i], argv);
                die("no QEMU on this host can be probed: %s", strerror(errno));
        }
        if (strcmp(argv[1], "--list-faults") == 0) {
                fault_list();
                return 0;
        }
        if (strcmp(argv[1], "--help") == 0)
                return usage(stdout, 0);
        fake.loop = loop_new();
        signal(SIGPIPE, SIG_IGN);
        loop_add_signals(fake.loop, (const int[]){ SIGTERM, 0 }, on_term, &fake);
        if (has_word(argv, "--qmp")) {
                int status = standalone(&fake, argv, &qmp_fd, &agent_fd, &prelaunch);

                if (status)
                        return status;
                model_init(&fake, prelaunch);
        } else {
                emulator(&fake, argv, &qmp_fd, &agent_fd);
                model_init(&fake, has_word(argv, "-S"));
                machine_read_argv(&fake, argv);
        }
        open_channel(&fake, &fake.qmp, qmp_fd);
        open_channel(&fake, &fake.agent, agent_fd);
        return loop_run(fake.loop);
}
