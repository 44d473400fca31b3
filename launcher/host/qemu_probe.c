#include "launcher/host/qemu_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/loop.h"
#include "base/process.h"
#include "base/text.h"
#include "qmp/ops_machine.h"
#include "qmp/qmp_client.h"

#define PROBE_PATH "/usr/local/bin:/usr/bin:/bin"
#define NOBODY     65534
#define SOCKET_FD  3
#define STDERR_MAX 16384
#define QUIT_MS    2000
#define KILL_MS    1000
/* Bounds on what a binary may tell us: ten times what QEMU 9 has. */
#define MACHINES_MAX 2000
#define NAMES_MAX    20000
#define NAME_MAX_LEN 128

struct probe {
        const char *path;
        pid_t pid;
        int pidfd, stderr_fd;
        bool late;  /* the deadline has passed and it was killed */
        bool ended; /* the process has */
        struct loop *loop;
        struct qmp_client *client;
};

/* A user namespace may have nobody but root; then there is no one else to become. */
static int become_nobody(void)
{
        if (geteuid() != 0)
                return 0;
        if (setgroups(0, NULL) < 0 && errno != EPERM)
                return -1;
        if (setresgid(NOBODY, NOBODY, NOBODY) < 0 && errno != EINVAL)
                return -1;
        if (setresuid(NOBODY, NOBODY, NOBODY) < 0 && errno != EINVAL)
                return -1;
        return 0;
}

static void __attribute__((noreturn)) child(const char *path, int sock, int stderr_fd, pid_t parent)
{
        static char *const env[] = { "PATH=" PROBE_PATH, "LC_ALL=C", NULL };
        /* clang-format off */
        char *const argv[] = { (char *)path, "-machine", "none", "-accel", "tcg", "-accel", "qtest",
                               "-nodefaults", "-no-user-config", "-display", "none", "-S",
                               "-chardev", "socket,id=probe,fd=3", "-mon", "chardev=probe,mode=control",
                               NULL };
        /* clang-format on */
        const struct rlimit no_core = { 0, 0 };
        int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

        process_signals_default();
        setsid();
        /* Out of the way of the numbers they get. */
        sock = fcntl(sock, F_DUPFD_CLOEXEC, 10);
        stderr_fd = fcntl(stderr_fd, F_DUPFD_CLOEXEC, 10);
        if (null_fd < 0 || sock < 0 || stderr_fd < 0 || dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0 ||
            dup2(stderr_fd, 2) < 0 || dup2(sock, SOCKET_FD) < 0)
                _exit(127);
        close_range(SOCKET_FD + 1, ~0u, 0);
        setrlimit(RLIMIT_CORE, &no_core);
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        if (become_nobody() < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
                dprintf(2, "cannot give up privileges: %s\n", strerror(errno));
                _exit(127);
        }
        /* Last, as a change of uid clears it (prctl(2)). */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(127);
        execve(path, argv, env);
        dprintf(2, "cannot run it: %s\n", strerror(errno));
        _exit(127);
}

static void deadline_passed(void *data)
{
        struct probe *probe = data;

        probe->late = true;
        kill(-probe->pid, SIGKILL);
        kill(probe->pid, SIGKILL);
}

static void process_ended(int pidfd, void *data)
{
        struct probe *probe = data;

        (void)pidfd;
        probe->ended = true;
}

bool qemu_is_name(const char *s)
{
        size_t n = strlen(s);

        for (size_t i = 0; i < n; i++)
                if (s[i] <= ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\')
                        return false;
        return n > 0 && n <= NAME_MAX_LEN;
}

static int strange(struct error **err, const char *what, const char *why)
{
        return error_set(err, ERROR_HOST, "its answer to %s is strange: %s", what, why);
}

static int read_version(struct qmp_client *client, struct qemu_facts *facts, struct error **err)
{
        json_auto_t *reply = ops_query_version(client, err), *target = NULL;
        const char *package, *arch;
        int major, minor, micro;
        json_error_t why;

        if (!reply)
                return -1;
        if (json_unpack_ex(reply, &why, 0, "{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", &major, "minor",
                           &minor, "micro", &micro, "package", &package) < 0)
                return strange(err, "query-version", why.text);
        if (major < 0 || major > 10000 || minor < 0 || minor > 10000 || micro < 0 || micro > 10000)
                return strange(err, "query-version", "a number is out of range");
        target = ops_query_target(client, err);
        if (!target)
                return -1;
        if (json_unpack_ex(target, &why, 0, "{s:s}", "arch", &arch) < 0)
                return strange(err, "query-target", why.text);
        if (!qemu_is_name(arch))
                return strange(err, "query-target", "no architecture");
        facts->major = (unsigned)major;
        facts->minor = (unsigned)minor;
        facts->micro = (unsigned)micro;
        facts->package = text_printable(package);
        facts->target = xstrdup(arch);
        return 0;
}

static int compare_machines(const void *a, const void *b)
{
        return strcmp(((const struct qemu_machine *)a)->name, ((const struct qemu_machine *)b)->name);
}

/* "qemu64-x86_64-cpu" is qemu64; new string, NULL for NULL. */
static char *cpu_name(const char *type)
{
        char *name = xstrdup_null(type), *end = name;

        for (int i = 0; i < 2 && name && (end = strrchr(name, '-')); i++)
                *end = '\0';
        return name;
}

static int read_machines(struct qmp_client *client, struct qemu_facts *facts, struct error **err)
{
        json_auto_t *reply = ops_query_machines(client, err);
        json_t *entry;
        size_t i;

        if (!reply)
                return -1;
        json_array_foreach (reply, i, entry) {
                const char *name, *alias = NULL, *cpu = NULL;
                int is_default = 0, deprecated = 0;
                json_int_t cpu_max;
                json_error_t why;

                if (json_unpack_ex(entry, &why, 0, "{s:s, s?s, s?s, s:I, s?b, s?b}", "name", &name, "alias",
                                   &alias, "default-cpu-type", &cpu, "cpu-max", &cpu_max, "is-default",
                                   &is_default, "deprecated", &deprecated) < 0)
                        return strange(err, "query-machines", why.text);
                if (!qemu_is_name(name) || (alias && !qemu_is_name(alias)) || (cpu && !qemu_is_name(cpu)) ||
                    cpu_max < 1 || cpu_max > 1000000 || i >= MACHINES_MAX)
                        return strange(err, "query-machines", "a value is out of range");
                ARRAY_GROW(facts->machines, facts->n_machines);
                facts->machines[facts->n_machines++] = (struct qemu_machine){
                        .name = xstrdup(name),
                        .alias = xstrdup_null(alias),
                        .default_cpu = cpu_name(cpu),
                        .cpu_max = (unsigned)cpu_max,
                        .is_default = is_default,
                        .deprecated = deprecated,
                };
        }
        if (facts->n_machines == 0)
                return strange(err, "query-machines", "no machines");
        qsort(facts->machines, facts->n_machines, sizeof(facts->machines[0]), compare_machines);
        return 0;
}

static int compare_strings(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The "name" of each element, sorted. Those that end in unwanted_suffix (may be NULL) are left out. */
static int read_names(const json_t *array, const char *what, const char *unwanted_suffix, char ***ret,
                      struct error **err)
{
        size_t n = 0, size = json_array_size(array);
        char **names;

        if (size > NAMES_MAX)
                return strange(err, what, "too long");
        names = xcalloc(size + 1, sizeof(*names));
        *ret = names;
        for (size_t i = 0; i < size; i++) {
                const char *name = json_member_string(json_array_get(array, i), "name");

                if (!name || !qemu_is_name(name))
                        return strange(err, what, "no name");
                if (!unwanted_suffix || !text_ends_with(name, unwanted_suffix))
                        names[n++] = xstrdup(name);
        }
        qsort(names, n, sizeof(*names), compare_strings);
        return 0;
}

/* `info qdm` is `-device help`: the only place where QEMU says which types -device does not take. A line is
 * `name "NAME", bus BUS, ..., no-user`. QEMU without that command leaves the list too long. */
static int drop_internal_devices(struct qmp_client *client, struct qemu_facts *facts, struct error **err)
{
        json_auto_t *reply = ops_human_monitor_command(client, "info qdm", err);
        _cleanup_free_ char *text = NULL;
        char *save = NULL;
        size_t n = 0;

        if (!reply) {
                if ((*err)->code != ERROR_QMP)
                        return -1;
                error_free(TAKE_PTR(*err));
                return 0;
        }
        text = xstrdup(json_is_string(reply) ? json_string_value(reply) : "");
        for (char *line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
                char *name = line + strlen("name \""), *end;

                if (!text_starts_with(line, "name \"") || !text_ends_with(line, ", no-user"))
                        continue;
                end = strchr(name, '"');
                if (!end)
                        continue;
                *end = '\0';
                for (size_t i = 0; facts->devices[i]; i++)
                        if (strcmp(facts->devices[i], name) == 0)
                                facts->devices[i][0] = '\0';
        }
        for (size_t i = 0; facts->devices[i]; i++)
                if (facts->devices[i][0])
                        facts->devices[n++] = facts->devices[i];
                else
                        free(facts->devices[i]);
        facts->devices[n] = NULL;
        return 0;
}

static int read_types(struct qmp_client *client, struct qemu_facts *facts, struct error **err)
{
        json_auto_t *models = NULL, *accels = NULL, *chardevs = NULL, *devices = NULL;
        const char *name;
        json_t *entry;
        size_t i;

        models = ops_query_cpu_definitions(client, err);
        if (models) {
                if (read_names(models, "query-cpu-definitions", NULL, &facts->cpu_models, err) < 0)
                        return -1;
        } else if ((*err)->code == ERROR_QMP) {
                /* Targets with a single CPU model have no such command. */
                error_free(TAKE_PTR(*err));
                facts->cpu_models = xcalloc(1, sizeof(char *));
        } else {
                return -1;
        }
        if (qemu_probe_cpu(client, models, facts, err) < 0)
                return -1;
        accels = ops_qom_list_types(client, "accel", false, err);
        if (!accels)
                return -1;
        json_array_foreach (accels, i, entry) {
                name = json_member_string(entry, "name");
                facts->has_kvm = facts->has_kvm || (name && strcmp(name, "kvm-accel") == 0);
                facts->has_tcg = facts->has_tcg || (name && strcmp(name, "tcg-accel") == 0);
        }
        /* SPICE is a set of modules, packaged apart; that the program was built for it, as query-spice would say, is not
         * enough. */
        chardevs = ops_qom_list_types(client, "chardev", false, err);
        if (!chardevs)
                return -1;
        json_array_foreach (chardevs, i, entry) {
                name = json_member_string(entry, "name");
                facts->has_spice = facts->has_spice || (name && strcmp(name, "chardev-spicevmc") == 0);
        }
        devices = ops_qom_list_types(client, "device", false, err);
        /* CPUs are device types too, half of them all; nobody asks for those by name. */
        if (!devices || read_names(devices, "qom-list-types", "-cpu", &facts->devices, err) < 0)
                return -1;
        return drop_internal_devices(client, facts, err);
}

static int read_schema(struct qmp_client *client, struct qemu_facts *facts, struct error **err)
{
        json_auto_t *schema = ops_query_qmp_schema(client, err);
        json_t *entry, *feature;
        size_t i, j;

        if (!schema)
                return -1;
        json_array_foreach (schema, i, entry) {
                const char *name = json_member_string(entry, "name");
                const char *type = json_member_string(entry, "meta-type");

                if (!name || !type || strcmp(type, "command") != 0)
                        continue;
                if (strcmp(name, "set-action") == 0)
                        facts->has_action = true;
                if (strcmp(name, "query-vnc-servers") == 0)
                        facts->has_vnc = true;
                if (strcmp(name, "device_add") != 0)
                        continue;
                json_array_foreach (json_object_get(entry, "features"), j, feature)
                        if (json_is_string(feature) && strcmp(json_string_value(feature), "json-cli") == 0)
                                facts->json_device = true;
        }
        return 0;
}

static int read_facts(struct qmp_client *client, void *data, struct error **err)
{
        struct qemu_facts *facts = data;

        if (read_version(client, facts, err) < 0 || read_machines(client, facts, err) < 0 ||
            read_types(client, facts, err) < 0)
                return -1;
        return read_schema(client, facts, err);
}

static void quit_answered(json_t *reply, const struct error *error, void *data)
{
        (void)reply;
        (void)error;
        (void)data;
}

static int start(struct probe *probe, unsigned deadline_ms, struct error **err)
{
        _cleanup_close_ int ours = -1, theirs = -1;
        static const struct qmp_client_handlers no_handlers = { 0 };
        pid_t parent = getpid();
        int pair[2];

        /* A file of fixed size, so that the binary can neither fill our memory nor wait for us to read. */
        probe->stderr_fd = memfd_create("probe-stderr", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (probe->stderr_fd < 0 || ftruncate(probe->stderr_fd, STDERR_MAX) < 0 ||
            fcntl(probe->stderr_fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0)
                return error_os(err, errno, "make a file for its messages");
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return error_os(err, errno, "make a socket");
        ours = pair[0];
        theirs = pair[1];
        fcntl(ours, F_SETFL, O_NONBLOCK);
        probe->pid = fork();
        if (probe->pid == 0)
                child(probe->path, theirs, probe->stderr_fd, parent);
        if (probe->pid < 0)
                return error_os(err, errno, "fork");
        probe->pidfd = fd_pidfd_open(probe->pid);
        if (probe->pidfd < 0)
                return error_os(err, errno, "watch it");
        loop_add_child(probe->loop, probe->pidfd, process_ended, probe);
        loop_add_deadline(probe->loop, deadline_ms, deadline_passed, probe);
        probe->client = qmp_client_new(probe->loop, TAKE_FD(ours), deadline_ms + QUIT_MS, &no_handlers, NULL);
        return 0;
}

static void finish(struct probe *probe)
{
        if (probe->client && qmp_client_is_ready(probe->client)) {
                long long deadline = fd_now_ms() + QUIT_MS;

                ops_quit(probe->client, quit_answered, NULL);
                while (!probe->ended && !probe->late && fd_now_ms() < deadline)
                        loop_step(probe->loop, (int)(deadline - fd_now_ms()));
        }
        qmp_client_free(probe->client);
        if (probe->pid > 0) {
                /* The group too: a stand-in may have started QEMU as its child. The pid is not free for
                 * others before it is waited for. */
                kill(-probe->pid, SIGKILL);
                kill(probe->pid, SIGKILL);
                /* A binary on storage that does not answer is left behind. */
                process_reap(probe->pid, KILL_MS, NULL);
        }
        loop_free(probe->loop);
        fd_close(&probe->pidfd);
}

/* What it wrote on stderr, as one printable line; "" when nothing. */
static char *messages(const struct probe *probe)
{
        char buffer[1024] = "";
        ssize_t n = probe->stderr_fd >= 0 ? pread(probe->stderr_fd, buffer, sizeof(buffer) - 1, 0) : 0;
        size_t length = n > 0 ? strlen(buffer) : 0;

        while (length && (buffer[length - 1] == '\n' || buffer[length - 1] == '\r'))
                buffer[--length] = '\0';
        return text_printable(buffer);
}

int qemu_ask(const char *path, unsigned deadline_ms, qemu_ask_fn *fn, void *data, struct error **err)
{
        struct probe probe = { .path = path, .pid = -1, .pidfd = -1, .stderr_fd = -1, .loop = loop_new() };
        struct error *problem = NULL;

        if (start(&probe, deadline_ms, &problem) == 0 && qmp_client_wait_ready(probe.client, &problem) == 0)
                fn(probe.client, data, &problem);
        finish(&probe);
        if (problem) {
                _cleanup_free_ char *words = messages(&probe);

                if (probe.late)
                        error_set(err, ERROR_DEADLINE, "'%s' did not say within %u ms what it can do%s%s",
                                  path, deadline_ms, *words ? ": " : "", words);
                else
                        error_set(err, ERROR_HOST, "'%s' does not work as QEMU%s%s", path, *words ? ": " : "",
                                  words);
                /* QEMU's own words say it better than that the connection has ended. */
                if (*words || probe.late)
                        error_free(problem);
                else
                        (*err)->cause = problem;
        }
        fd_close(&probe.stderr_fd);
        return *err ? -1 : 0;
}

int qemu_probe(const char *path, unsigned deadline_ms, struct qemu_facts **ret, struct error **err)
{
        _cleanup_(qemu_facts_freep) struct qemu_facts *facts = xcalloc(1, sizeof(*facts));

        if (qemu_ask(path, deadline_ms, read_facts, facts, err) < 0)
                return -1;
        facts->path = xstrdup(path);
        *ret = TAKE_PTR(facts);
        return 0;
}
