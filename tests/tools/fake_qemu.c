/*
 * fake_qemu - an EMULATOR for tests: says what it was started with, and then answers as a QEMU that does nothing.
 *
 * Asked for `-machine none` it becomes the real QEMU, so the facts of a plan are real. Otherwise it writes one JSON
 * object to fd 2 - argv, environment, fds and what is behind them, ids, capability sets, working directory, session -
 * before it opens anything, and serves QMP on the listener that argv names: enough for a VM to start, pause, resume
 * and quit. Words on the guest's command line make it misbehave:
 *   fake.hangup      each query-version ends the connection, and so do the next three greetings
 *   fake.leave       hangs up in the middle of the start, and lives on
 *   fake.mute        takes connections and says nothing
 *   fake.flood       from cont on events as fast as they are taken
 *   fake.endless     a greeting that never ends
 *   fake.deep        a greeting of brackets
 * and what it does from inject-nmi on, as a guest would that works:
 *   fake.spin        a thread that computes
 *   fake.crowd       as many threads as it may have, up to 10000; their number on fd 2
 *   fake.eat=MIB     memory that is used
 * It runs as an unprivileged uid with nothing but the planned fds; a test reads /proc/PID/fd/2.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

#define REAL_QEMU "/usr/bin/qemu-system-x86_64"

static void __attribute__((noreturn)) die(const char *what)
{
        fprintf(stderr, "fake_qemu: %s: %s\n", what, strerror(errno));
        exit(1);
}

/* The word after option number from..., NULL: there is none. */
static const char *option_value(char **argv, const char *option, int *from)
{
        for (int i = *from; argv[i]; i++)
                if (strcmp(argv[i], option) == 0 && argv[i + 1]) {
                        *from = i + 2;
                        return argv[i + 1];
                }
        return NULL;
}

static bool is_probe(char **argv)
{
        int from = 1;
        const char *machine = option_value(argv, "-machine", &from);

        if (!machine) {
                from = 1;
                machine = option_value(argv, "-M", &from);
        }
        return machine && strncmp(machine, "none", 4) == 0 && (machine[4] == '\0' || machine[4] == ',');
}

/* --- the report ----------------------------------------------------------------------------------------------- */

static json_t *strings(char *const *list)
{
        json_t *array = json_array();

        for (; *list; list++)
                json_array_append_new(array, json_string(*list));
        return array;
}

/* What a tap's fdinfo calls it. */
static void add_tap_name(json_t *entry, int fd)
{
        _cleanup_free_ char *path = xasprintf("/proc/self/fdinfo/%d", fd);
        char line[256], name[64];
        FILE *file = fopen(path, "re");

        if (!file)
                return;
        while (fgets(line, sizeof(line), file))
                if (sscanf(line, "iff: %63s", name) == 1)
                        json_object_set_new(entry, "tap", json_string(name));
        fclose(file);
}

static void add_socket(json_t *entry, int fd)
{
        struct sockaddr_un address = { 0 };
        socklen_t size = sizeof(address) - 1;
        int listens = 0;
        socklen_t int_size = sizeof(listens);

        if (getsockname(fd, (struct sockaddr *)&address, &size) < 0 || address.sun_family != AF_UNIX)
                return;
        json_object_set_new(entry, "socket", json_string(address.sun_path));
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &int_size);
        json_object_set_new(entry, "listens", json_boolean(listens));
}

static json_t *describe_fd(int fd)
{
        static const char *const modes[] = { [O_RDONLY] = "ro", [O_WRONLY] = "wo", [O_RDWR] = "rw" };
        _cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", fd);
        char target[4096];
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        int flags = fcntl(fd, F_GETFL), seals = fcntl(fd, F_GET_SEALS);
        json_t *entry = json_object();

        target[n < 0 ? 0 : n] = '\0';
        json_object_set_new(entry, "fd", json_integer(fd));
        json_object_set_new(entry, "link", json_string(target));
        if ((flags & O_ACCMODE) <= O_RDWR)
                json_object_set_new(entry, "access", json_string(modes[flags & O_ACCMODE]));
        if (seals > 0)
                json_object_set_new(entry, "seals", json_integer(seals));
        add_socket(entry, fd);
        add_tap_name(entry, fd);
        return entry;
}

static json_t *describe_fds(void)
{
        DIR *dir = opendir("/proc/self/fd");
        int own = dir ? dirfd(dir) : -1;
        json_t *array = json_array();
        /* All numbers first: describing one opens another. */
        int fds[1024];
        size_t n = 0;

        if (!dir)
                die("/proc/self/fd");
        for (struct dirent *each; (each = readdir(dir));)
                if (each->d_name[0] != '.' && atoi(each->d_name) != own && n < sizeof(fds) / sizeof(*fds))
                        fds[n++] = atoi(each->d_name);
        closedir(dir);
        for (size_t i = 0; i < n; i++)
                json_array_append_new(array, describe_fd(fds[i]));
        return array;
}

/* "CapEff:\t0000" of /proc/self/status as "CapEff": "0000", for all lines: Uid, Gid, Groups, Sig..., Cap..., ... */
static json_t *describe_status(void)
{
        FILE *file = fopen("/proc/self/status", "re");
        json_t *object = json_object();
        char line[4096];

        if (!file)
                die("/proc/self/status");
        while (fgets(line, sizeof(line), file)) {
                char *value = strchr(line, ':');

                if (!value)
                        continue;
                *value++ = '\0';
                value += strspn(value, " \t");
                value[strcspn(value, "\n")] = '\0';
                for (char *end = value + strlen(value); end > value && end[-1] == ' ';)
                        *--end = '\0';
                json_object_set_new(object, line, json_string(value));
        }
        fclose(file);
        return object;
}

static void report(char **argv)
{
        json_t *fds = describe_fds(); /* before anything else is open */
        char *cwd = getcwd(NULL, 0);
        json_t *all =
                json_pack("{s:o, s:o, s:o, s:o, s:s, s:i, s:i, s:i}", "argv", strings(argv), "env",
                          strings(environ), "fds", fds, "status", describe_status(), "cwd", cwd ? cwd : "?",
                          "pid", (int)getpid(), "session", (int)getsid(0), "group", (int)getpgrp());
        char *text = json_dumps(all, JSON_COMPACT);

        if (!text || dprintf(2, "%s\n", text) < 0)
                die("write the report");
        free(text);
        free(cwd);
        json_decref(all);
}

/* --- how it misbehaves ---------------------------------------------------------------------------------------- */

static struct {
        bool hangup, leave, mute, flood, endless, deep, spin, crowd;
        unsigned eat_mib;
        unsigned hangups;
} manner;

static bool has_word(const char *text, const char *word)
{
        return text && strstr(text, word);
}

static void read_manner(char **argv)
{
        int from = 1;
        const char *line = option_value(argv, "-append", &from);

        manner.hangup = has_word(line, "fake.hangup");
        manner.leave = has_word(line, "fake.leave");
        manner.mute = has_word(line, "fake.mute");
        manner.flood = has_word(line, "fake.flood");
        manner.endless = has_word(line, "fake.endless");
        manner.deep = has_word(line, "fake.deep");
        manner.spin = has_word(line, "fake.spin");
        manner.crowd = has_word(line, "fake.crowd");
        if (has_word(line, "fake.eat="))
                manner.eat_mib = (unsigned)atoi(strstr(line, "fake.eat=") + strlen("fake.eat="));
}

/* The same over and over; ends with the connection, or after so many times. */
static void pour(int fd, const char *text, unsigned times)
{
        for (unsigned i = 0; i < times; i++)
                if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
                        return;
}

/* --- QMP ------------------------------------------------------------------------------------------------------ */

/* What follows "KEY=" in a comma list, up to the next comma; NULL: not there. */
static const char *key_value(const char *list, const char *key)
{
        size_t n = strlen(key);

        for (const char *at = list; at; at = strchr(at, ',')) {
                at += *at == ',';
                if (strncmp(at, key, n) == 0 && at[n] == '=')
                        return at + n + 1;
        }
        return NULL;
}

/* The listener of the monitor: "-mon chardev=ID,mode=control", "-chardev socket,id=ID,fd=N,...". */
static int monitor_fd(char **argv)
{
        const char *mon, *id, *chardev, *other, *fd;
        int from = 1;
        size_t n;

        mon = option_value(argv, "-mon", &from);
        id = mon ? key_value(mon, "chardev") : NULL;
        if (!id)
                return -1;
        n = strcspn(id, ",");
        from = 1;
        while ((chardev = option_value(argv, "-chardev", &from))) {
                other = key_value(chardev, "id");
                fd = key_value(chardev, "fd");
                if (fd && other && strcspn(other, ",") == n && strncmp(id, other, n) == 0)
                        return atoi(fd);
        }
        return -1;
}

/* One byte at a time: what follows a message stays in the socket. */
static size_t read_byte(void *buffer, size_t size, void *data)
{
        ssize_t n;

        (void)size;
        do
                n = read(*(int *)data, buffer, 1);
        while (n < 0 && errno == EINTR);
        return n == 1 ? 1 : (size_t)-1;
}

static void say(int fd, json_t *message)
{
        char *text = json_dumps(message, JSON_COMPACT);

        if (text && dprintf(fd, "%s\r\n", text) < 0)
                fprintf(stderr, "fake_qemu: the client is gone\n");
        free(text);
        json_decref(message);
}

static void say_event(int fd, const char *event, json_t *data)
{
        json_t *message = json_pack("{s:s, s:{s:i, s:i}}", "event", event, "timestamp", "seconds", 0,
                                    "microseconds", 0);

        if (data)
                json_object_set_new(message, "data", data);
        say(fd, message);
}

static json_t *status_reply(bool running)
{
        return json_pack("{s:b, s:b, s:s}", "running", running, "singlestep", 0, "status",
                         running ? "running" : "prelaunch");
}

static json_t *error_reply(const char *command)
{
        _cleanup_free_ char *text = xasprintf("The command %s has not been found", command);

        return json_pack("{s:s, s:s}", "class", "CommandNotFound", "desc", text);
}

/* The events of a command come before its reply, as QEMU's do. *ret_error: the result is an error. */
static json_t *obey(int fd, const char *command, bool *running, bool *ret_error)
{
        if (strcmp(command, "query-status") == 0)
                return status_reply(*running);
        if (strcmp(command, "cont") == 0 || strcmp(command, "stop") == 0) {
                bool on = *command == 'c';

                if (*running != on)
                        say_event(fd, on ? "RESUME" : "STOP", NULL);
                *running = on;
                return json_object();
        }
        if (strcmp(command, "system_powerdown") == 0) {
                say_event(fd, "POWERDOWN", NULL);
                /* A guest that does as it is asked, at once; -action shutdown=pause keeps QEMU. */
                *running = false;
                say_event(fd, "SHUTDOWN", json_pack("{s:b, s:s}", "guest", 1, "reason", "guest-shutdown"));
                return json_object();
        }
        if (strcmp(command, "inject-nmi") == 0 || strcmp(command, "qmp_capabilities") == 0 ||
            strcmp(command, "quit") == 0)
                return json_object();
        *ret_error = true;
        return error_reply(command);
}

static void *spin(void *unused)
{
        for (volatile unsigned long i = 0;; i++)
                ;
        return unused;
}

static void *rest(void *unused)
{
        for (;;)
                pause();
        return unused;
}

/* What a guest does when it works. */
static void begin_work(void)
{
        pthread_t thread;
        unsigned n = 0;

        if (manner.spin && pthread_create(&thread, NULL, spin, NULL) != 0)
                die("start a thread");
        while (manner.crowd && n < 10000 && pthread_create(&thread, NULL, rest, NULL) == 0)
                n++;
        if (manner.crowd)
                fprintf(stderr, "fake_qemu: %u threads more\n", n);
        if (manner.eat_mib) {
                size_t size = (size_t)manner.eat_mib << 20;
                volatile char *memory = malloc(size);

                if (!memory)
                        die("malloc");
                for (size_t at = 0; at < size; at += 4096)
                        memory[at] = 1;
        }
        manner.spin = manner.crowd = false;
        manner.eat_mib = 0;
}

/* Until the client leaves, or QEMU has to. */
static void serve(int fd, bool *running)
{
        char filler[16384] = "";

        if (manner.mute)
                for (;;)
                        pause();
        if (manner.endless || manner.deep) {
                pour(fd, manner.deep ? "{\"QMP\":[" : "{\"QMP\": \"", 1);
                memset(filler, manner.deep ? '[' : 'x', sizeof(filler) - 1);
                for (;;)
                        pour(fd, filler, 1000);
        }
        if (manner.hangups) {
                manner.hangups--;
                return;
        }
        say(fd, json_pack("{s:{s:{s:{s:i, s:i, s:i}, s:s}, s:[]}}", "QMP", "version", "qemu", "major", 7,
                          "minor", 2, "micro", 0, "package", "stand-in", "capabilities"));
        for (;;) {
                json_error_t why;
                json_t *message = json_load_callback(read_byte, &fd, JSON_DISABLE_EOF_CHECK, &why);
                const char *command = json_string_value(json_object_get(message, "execute"));
                json_t *id = json_object_get(message, "id"), *reply = json_object();
                bool is_error = false, quit;

                if (!command) {
                        json_decref(message);
                        json_decref(reply);
                        return;
                }
                if ((manner.leave && strcmp(command, "qmp_capabilities") != 0) ||
                    (manner.hangup && strcmp(command, "query-version") == 0)) {
                        manner.hangups = manner.leave ? 0 : 3;
                        json_decref(message);
                        json_decref(reply);
                        return;
                }
                quit = strcmp(command, "quit") == 0;
                if (strcmp(command, "inject-nmi") == 0)
                        begin_work();
                json_object_set_new(reply, "return", obey(fd, command, running, &is_error));
                if (is_error) {
                        json_object_set(reply, "error", json_object_get(reply, "return"));
                        json_object_del(reply, "return");
                }
                if (id)
                        json_object_set(reply, "id", id);
                say(fd, reply);
                if (quit) {
                        say_event(fd, "SHUTDOWN",
                                  json_pack("{s:b, s:s}", "guest", 0, "reason", "host-qmp-quit"));
                        exit(0);
                }
                if (manner.flood && strcmp(command, "cont") == 0) {
                        manner.flood = false;
                        if (fork() == 0) {
                                for (;;)
                                        pour(fd,
                                             "{\"event\":\"STOP\",\"timestamp\":{}}\n"
                                             "{\"event\":\"RESUME\",\"timestamp\":{}}\n"
                                             "{\"event\":\"RESET\",\"data\":{\"guest\":true},\"timestamp\":{}}\n"
                                             "{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":false,\"reason\":\"x\"}}\n",
                                             1000);
                        }
                }
                json_decref(message);
        }
}

int main(int argc, char **argv)
{
        bool running = false;
        int listener;

        (void)argc;
        if (is_probe(argv)) {
                execv(REAL_QEMU, argv);
                die(REAL_QEMU);
        }
        report(argv);
        read_manner(argv);
        listener = monitor_fd(argv);
        if (listener < 0) {
                fprintf(stderr, "fake_qemu: argv names no monitor\n");
                return 1;
        }
        for (;;) {
                int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

                if (fd < 0 && errno != EINTR)
                        die("accept");
                if (fd >= 0) {
                        serve(fd, &running);
                        close(fd);
                }
        }
}
