/*
 * argv_check - does the real QEMU take the argv of a golden plan?
 *
 * usage: argv_check NAME.plan IMAGES. Starts QEMU as the plan says but for confinement, with stand-ins for its
 * fds: sockets, an empty kernel, taps (of the network namespace it runs in), devices of this host, a swtpm or virtiofsd, and
 * images, logs and shared directories in the directory IMAGES, where '/' in their names is '_'. Accepted means: greeting
 * on the QMP socket, and status "prelaunch".
 * Exit status: 0 accepted, 1 refused (QEMU's words on stderr), 77 something is missing here.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/argv.h"
#include "base/fd.h"
#include "base/text.h"
#include "launcher/run/generation.h"
#include "net/tap.h"
#include "tests/tools/ivshmem.h"

#define DEADLINE_MS 60000
#define FDS_MAX     512
#define QUEUES_MAX  64
/* Where stand-ins wait until the child moves them to their numbers. */
#define PARKING 600

struct stand_ins {
        int child[FDS_MAX], ours[FDS_MAX];
        size_t n;
        struct sockaddr_un qmp;
};

static int missing(const char *what, const char *why)
{
        fprintf(stderr, "argv_check: %s: %s\n", what, why);
        return 77;
}

static int listener(struct stand_ins *stand_ins, const char *name)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        /* Abstract: nothing to clean up. */
        snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "vmlaunch-argv-check-%d-%s", getpid(),
                 name);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
                return -1;
        if (strcmp(name, "qmp.sock") == 0)
                stand_ins->qmp = address;
        return fd;
}

/* The least that -kernel takes with an -initrd: the header of a bzImage (Linux' boot protocol 2.12). */
static int kernel(void)
{
        unsigned char image[16384] = { 0 };
        int fd = memfd_create("kernel", MFD_CLOEXEC);

        image[0x1f1] = 1;
        memcpy(image + 0x1fe, "\x55\xaa", 2);
        memcpy(image + 0x202, "HdrS\x0c\x02", 6);
        image[0x211] = 1;
        memcpy(image + 0x22c, "\xff\xff\xff\x7f", 4);
        memcpy(image + 0x238, "\xff\x07", 2);
        if (fd < 0 || write(fd, image, sizeof(image)) != sizeof(image))
                return -1;
        return fd;
}

/* A file of the plan in the directory; new string. */
static char *moved(const char *directory, const char *name)
{
        char *path = xasprintf("%s/%s", directory, name);

        for (char *p = path + strlen(directory) + 1; *p; p++)
                if (*p == '/')
                        *p = '_';
        return path;
}

static int image(const char *directory, const char *rest)
{
        _cleanup_free_ char *path = moved(directory, rest + 3);
        int fd;

        fd = open(path, (text_starts_with(rest, "rw") ? O_RDWR : O_RDONLY) | O_CLOEXEC);
        if (fd < 0)
                fprintf(stderr, "argv_check: %s: %s\n", path, strerror(errno));
        return fd;
}

static int log_file(const char *directory, const char *name)
{
        _cleanup_free_ char *path = moved(directory, name);

        return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

/* The other end of QEMU's socket as fd 3 of a helper process, which ends with QEMU. */
static void run_helper(int fd, char *const *argv, const char *directory)
{
        if (fork() != 0)
                return;
        if (chdir(directory) < 0 || (fd == 3 ? fcntl(fd, F_SETFD, 0) : dup2(fd, 3)) < 0)
                _exit(127);
        execv(argv[0], argv);
        _exit(127);
}

static int tpm(const char *directory)
{
        char *const argv[] = {
                "/usr/bin/swtpm",         "socket",      "--tpm2", "--tpmstate", "dir=.", "--ctrl",
                "type=unixio,clientfd=3", "--terminate", NULL
        };
        int fds[2];

        if (access(argv[0], X_OK) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return -1;
        run_helper(fds[1], argv, directory);
        close(fds[1]);
        return fds[0];
}

static int virtiofs(struct stand_ins *stand_ins, const char *directory)
{
        static unsigned number;
        _cleanup_free_ char *real = realpath(directory, NULL);
        _cleanup_free_ char *source = xasprintf("source=%s", real ? real : "");
        char *const argv[] = { "/usr/lib/qemu/virtiofsd", "--fd=3", "-o", source, "-o",
                               "sandbox=chroot",          "-f",     NULL };
        _cleanup_free_ char *name = xasprintf("virtiofs-%u", number++);
        _cleanup_close_ int listening = -1;
        struct sockaddr_un address;
        socklen_t length = sizeof(address);
        int fd;

        /* Its sandbox needs root. */
        if (access(argv[0], X_OK) < 0 || geteuid() != 0)
                return -1;
        listening = listener(stand_ins, name);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (listening < 0 || fd < 0 || getsockname(listening, (struct sockaddr *)&address, &length) < 0 ||
            connect(fd, (struct sockaddr *)&address, length) < 0)
                return -1;
        run_helper(listening, argv, directory);
        return fd;
}

/* "local,id=fs0-source,path=/data,...": the path, which has its commas doubled, below the directory. */
static char *move_fsdev(const char *word, const char *directory)
{
        const char *path = strstr(word, ",path="), *end;
        _cleanup_text_ struct text name = TEXT_INIT;
        _cleanup_free_ char *there = NULL;
        struct text out = TEXT_INIT;

        if (!path)
                return xstrdup(word);
        path += strlen(",path=");
        for (end = path; *end && (*end != ',' || end[1] == ','); end += *end == ',' ? 2 : 1)
                text_add_bytes(&name, end, 1);
        there = moved(directory, text_str(&name));
        mkdir(there, 0755);
        text_add_bytes(&out, word, (size_t)(path - word));
        for (const char *p = there; *p; p++)
                text_addf(&out, "%s%c", *p == ',' ? "," : "", *p);
        text_add(&out, end);
        return text_take(&out);
}

/* The passphrase that golden_argv.sh encrypts images with. */
static int secret(void)
{
        int fd = memfd_create("secret", MFD_CLOEXEC);

        return fd >= 0 && write(fd, "sesame", 6) == 6 ? fd : -1;
}

/* "tap NAME queue N": the first one opens them all. */
static int tap(const char *what, const char *plan)
{
        static int queues[QUEUES_MAX];
        size_t length = strcspn(what + 4, " ");
        _cleanup_free_ char *name = xstrndup(what + 4, length), *line = xasprintf(" tap %s queue ", name);
        unsigned queue = (unsigned)atoi(what + 4 + length + strlen(" queue ")), n = 0;
        struct error *err = NULL;

        if (queue)
                return queues[queue];
        for (const char *at = plan; (at = strstr(at, line)); at++)
                n++;
        if (n > QUEUES_MAX || tap_open(name, n, true, queues, &err) < 0) {
                fprintf(stderr, "argv_check: %s\n", err ? err->message : "too many queues");
                error_free(err);
                return -1;
        }
        return queues[0];
}

/* The server at the other end; to other devices than ivshmem what it says is noise. */
static int connection(void)
{
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 || ivshmem_greet(fds[1]) < 0)
                return -1;
        /* The server stays: its end is not closed. */
        return fds[0];
}

/* what: "socket qmp.sock", "kernel PATH", "image rw PATH", "tap NAME queue 0", "secret ATTRIBUTE". */
static int stand_in(struct stand_ins *stand_ins, const char *what, const char *directory, const char *plan)
{
        if (strcmp(what, "socket to the TPM's swtpm") == 0)
                return tpm(directory);
        if (text_starts_with(what, "socket to the virtiofsd "))
                return virtiofs(stand_ins, directory);
        if (text_starts_with(what, "socket to the passt "))
                return connection();
        if (text_starts_with(what, "device "))
                return open(what + 7, (strstr(what, "vhost") ? O_RDWR : O_RDONLY) | O_CLOEXEC);
        if (text_starts_with(what, "log "))
                return log_file(directory, what + 4);
        if (text_starts_with(what, "socket "))
                return listener(stand_ins, what + 7);
        if (text_starts_with(what, "connection to "))
                return connection();
        if (text_starts_with(what, "shared memory "))
                return memfd_create("shared", MFD_CLOEXEC);
        if (text_starts_with(what, "kernel "))
                return kernel();
        if (text_starts_with(what, "initrd "))
                return kernel(); /* any bytes do */
        if (text_starts_with(what, "image "))
                return image(directory, what + 6);
        if (text_starts_with(what, "secret "))
                return secret();
        return text_starts_with(what, "tap ") ? tap(what, plan) : -1;
}

/* SPICE's socket is QEMU's to make: in our directory. */
static char *in_directory(const char *word, const char *directory)
{
        const char *start = strstr(word, "=/run/vmlaunch/"), *end = start ? strstr(start, "/spice/") : NULL;

        if (!end)
                return xstrdup(word);
        return xasprintf("%.*s=%s/%s", (int)(start - word), word, directory, end + strlen("/spice/"));
}

/* Reads the plan's text: lines "fd N WHAT", and after "argv" one JSON string per line. */
static int read_plan(const char *text, const char *directory, struct stand_ins *stand_ins, struct argv *argv)
{
        bool in_argv = false;

        for (const char *line = text; *line;) {
                size_t n = strcspn(line, "\n");
                _cleanup_free_ char *copy = xstrndup(line, n);
                int child, at = 0;

                line += n + (line[n] == '\n');
                if (strcmp(copy, "argv") == 0) {
                        in_argv = true;
                } else if (in_argv && *copy == '"') {
                        json_auto_t *word = json_loads(copy, JSON_DECODE_ANY, NULL);

                        if (argv->n && strcmp(argv->items[argv->n - 1], "-fsdev") == 0)
                                argv_add_take(argv, move_fsdev(json_string_value(word), directory));
                        else
                                argv_add_take(argv, in_directory(json_string_value(word), directory));
                } else if (in_argv) {
                        in_argv = false;
                } else if (sscanf(copy, "fd %d %n", &child, &at) == 1 && child != 2 &&
                           stand_ins->n < FDS_MAX) {
                        int fd = stand_in(stand_ins, copy + at, directory, text);

                        if (fd < 0)
                                return missing("stand-in", copy);
                        stand_ins->child[stand_ins->n] = child;
                        stand_ins->ours[stand_ins->n++] = fcntl(fd, F_DUPFD_CLOEXEC, PARKING);
                        close(fd);
                }
        }
        return argv->n ? 0 : missing("plan", "has no argv");
}

/* The clock that a plan leaves to the executor. */
static void fill_clock(struct argv *argv)
{
        for (size_t i = 1; i < argv->n; i++)
                if (strcmp(argv->items[i - 1], "-rtc") == 0) {
                        char *filled = rtc_fill(argv->items[i], time(NULL));

                        free(argv->items[i]);
                        argv->items[i] = filled;
                }
}

static void run_child(const struct stand_ins *stand_ins, const struct argv *argv)
{
        for (size_t i = 0; i < stand_ins->n; i++)
                if (dup2(stand_ins->ours[i], stand_ins->child[i]) < 0)
                        _exit(127);
        execv(argv->items[0], argv->items);
        _exit(127);
}

/* Sends the command and waits for its reply's "return", which the caller owns; NULL: none came. */
static json_t *ask(FILE *from, FILE *to, const char *command)
{
        char line[65536];

        if (command) {
                fprintf(to, "{\"execute\":\"%s\"}\n", command);
                fflush(to);
        }
        while (fgets(line, sizeof(line), from)) {
                json_t *message = json_loads(line, 0, NULL);
                json_t *reply = json_object_get(message, command ? "return" : "QMP");

                if (reply) {
                        json_incref(reply);
                        json_decref(message);
                        return reply;
                }
                json_decref(message);
        }
        return NULL;
}

static bool accepted(const struct stand_ins *stand_ins)
{
        struct timeval limit = { .tv_sec = DEADLINE_MS / 1000 };
        int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        json_auto_t *greeting = NULL, *ready = NULL, *status = NULL, *done = NULL;
        FILE *from, *to;
        bool ok;

        setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        if (connect(sock, (const struct sockaddr *)&stand_ins->qmp, sizeof(stand_ins->qmp)) < 0)
                return false;
        from = fdopen(sock, "r");
        to = fdopen(dup(sock), "w");
        greeting = ask(from, to, NULL);
        ready = greeting ? ask(from, to, "qmp_capabilities") : NULL;
        status = ready ? ask(from, to, "query-status") : NULL;
        ok = status && strcmp(json_string_value(json_object_get(status, "status")), "prelaunch") == 0;
        done = ok ? ask(from, to, "quit") : NULL;
        fclose(from);
        fclose(to);
        return ok;
}

int main(int argc, char **argv)
{
        _cleanup_argv_ struct argv qemu = ARGV_INIT;
        _cleanup_free_ char *text = NULL;
        struct stand_ins stand_ins = { .n = 0 };
        struct error *err = NULL;
        bool ok;
        int status;
        pid_t pid;

        if (argc != 3) {
                fprintf(stderr, "usage: argv_check NAME.plan IMAGES\n");
                return 2;
        }
        signal(SIGPIPE, SIG_IGN);
        if (fd_read_file_at(AT_FDCWD, argv[1], 1 << 20, &text, NULL, &err) < 0)
                return missing(argv[1], err->message);
        status = read_plan(text, argv[2], &stand_ins, &qemu);
        if (status)
                return status;
        fill_clock(&qemu);
        pid = fork();
        if (pid < 0)
                return missing("fork", strerror(errno));
        if (pid == 0)
                run_child(&stand_ins, &qemu);
        /* The child has them: a QEMU that ends closes the last listener, which ends the wait for a greeting. */
        for (size_t i = 0; i < stand_ins.n; i++)
                close(stand_ins.ours[i]);
        ok = accepted(&stand_ins);
        if (!ok)
                kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        if (ok && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
                fprintf(stderr, "argv_check: QEMU ended with status 0x%x\n", status);
                ok = false;
        }
        return ok ? 0 : 1;
}
