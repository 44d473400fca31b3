/*
 * console: the serial console on stdin and stdout. With a terminal: raw, ^] leaves. Without: what stdin has is
 * sent, and output is copied until it has been quiet for --timeout seconds (1) after the end of stdin.
 *
 * The guest waits for its console's reader, so we always read: what stdout does not take is kept to a limit and
 * then dropped, which the output says.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "launcher/state/state_dir.h"
#include "launcher/verb/relay.h"
#include "launcher/verb/verbs.h"
#include "launcher/verb/vm_find.h"

#define LEAVE_KEY 0x1d /* ^] */
#define QUIET_MS  1000

static struct termios saved_terminal;

static void restore_terminal(void)
{
        tcsetattr(STDIN_FILENO, TCSANOW, &saved_terminal);
}

static void on_end_signal(int sig)
{
        restore_terminal();
        signal(sig, SIG_DFL);
        raise(sig);
}

static void make_raw(void)
{
        static const int signals[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT };
        struct termios raw;

        tcgetattr(STDIN_FILENO, &saved_terminal);
        raw = saved_terminal;
        cfmakeraw(&raw);
        atexit(restore_terminal);
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                signal(signals[i], on_end_signal);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

/* QEMU serves one client of a chardev and lets the next hang without a word: so only one of us at a time. */
static int take_turn(int private_fd, const char *name, int *ret_fd, struct error **err)
{
        _cleanup_close_ int fd =
                openat(private_fd, "console.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        char pid[16] = "";

        if (fd < 0)
                return error_os(err, errno, "open the console's lock of '%s'", name);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (pread(fd, pid, sizeof(pid) - 1, 0) < 0)
                        pid[0] = '\0';
                pid[strspn(pid, "0123456789")] = '\0';
                return error_set(err, ERROR_BUSY, "the console of '%s' is in use by process %s", name,
                                 *pid ? pid : "unknown");
        }
        snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
        if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, strlen(pid), 0) < 0)
                return error_os(err, errno, "write the console's lock of '%s'", name);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int open_console(const struct paths *paths, const char *name, int *ret_lock, int *ret_sock,
                        struct error **err)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int private_fd = -1, lock = -1, sock = -1;
        struct vm_dir *dir = NULL;
        struct stat st;

        if (vm_dir_open(paths, name, &dir, err) < 0)
                return -1;
        private_fd = openat(dir->fd, "private", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        vm_dir_release(dir, true);
        if (private_fd < 0 && errno == ENOENT)
                return error_set(err, ERROR_NOT_RUNNING, "'%s' is not running", name);
        if (private_fd < 0)
                return error_os(err, errno, "open the console of '%s'", name);
        if (fstatat(private_fd, "console.sock", &st, 0) < 0)
                return error_set(err, ERROR_NOT_RUNNING, "'%s' has no console", name);
        if (take_turn(private_fd, name, &lock, err) < 0)
                return -1;
        sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/console.sock", private_fd);
        if (sock < 0)
                return error_os(err, errno, "make a socket for the console of '%s'", name);
        /* waits: not at all; a QEMU that does not accept has a full queue some day */
        if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
                return errno == EAGAIN ? error_set(err, ERROR_DEADLINE,
                                                   "QEMU of '%s' takes no connections to the console", name)
                                       : error_os(err, errno, "connect to the console of '%s'", name);
        fcntl(sock, F_SETFL, 0);
        *ret_lock = TAKE_FD(lock);
        *ret_sock = TAKE_FD(sock);
        return 0;
}

/* stdout as a description of its own that does not block; the mode of the one we were given is not ours to change. */
static int own_stdout(void)
{
        struct stat st;

        /* A file opened anew would be written from its beginning; it does not block either. */
        if (fstat(STDOUT_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
                return open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        return -1;
}

struct console {
        int sock, out;
        bool terminal;
        struct relay to_guest, to_us;
        bool reading; /* stdin has not ended */
        bool leaving; /* ^] */
};

/* false: nothing more will come from there. */
static bool read_guest(struct console *console)
{
        char buffer[4096];
        ssize_t n = read(console->sock, buffer, sizeof(buffer));

        if (n <= 0)
                return n < 0 && (errno == EINTR || errno == EAGAIN);
        relay_put(&console->to_us, buffer, (size_t)n);
        return true;
}

static void read_input(struct console *console)
{
        char buffer[1024];
        ssize_t n = read(STDIN_FILENO, buffer, sizeof(buffer));
        char *leave;

        if (n <= 0) {
                console->reading = n < 0 && (errno == EINTR || errno == EAGAIN);
                console->leaving = !console->reading && console->terminal;
                return;
        }
        leave = console->terminal ? memchr(buffer, LEAVE_KEY, (size_t)n) : NULL;
        console->leaving = leave != NULL;
        relay_put(&console->to_guest, buffer, leave ? (size_t)(leave - buffer) : (size_t)n);
}

/* false: the guest or our reader has gone, nothing came for quiet_ms, or ^]. */
static bool step(struct console *console, int quiet_ms)
{
        /* A terminal is always read, for its ^]; a file waits until the guest takes what it has. */
        bool read_stdin = console->reading && (console->terminal || relay_room(&console->to_guest) >= 1024);
        struct pollfd fds[] = {
                { .fd = console->sock, .events = (short)(POLLIN | (console->to_guest.length ? POLLOUT : 0)) },
                { .fd = read_stdin ? STDIN_FILENO : -1, .events = POLLIN },
                { .fd = console->to_us.length ? console->out : -1, .events = POLLOUT },
        };
        /* waits: for whoever types, as long as stdin has not ended */
        int n = poll(fds, ARRAY_SIZE(fds), console->reading ? -1 : quiet_ms);

        if (n <= 0)
                return n < 0 && errno == EINTR;
        if (fds[2].revents && relay_write(&console->to_us, console->out) < 0)
                return false;
        if ((fds[0].revents & POLLOUT) && relay_write(&console->to_guest, console->sock) < 0)
                return false;
        if ((fds[0].revents & ~POLLOUT) && !read_guest(console))
                return false;
        if (fds[1].revents)
                read_input(console);
        return !console->leaving;
}

/* The guest is free of us by now: whoever reads us may take the time to read the rest. */
static void write_rest(struct console *console)
{
        struct pollfd out = { .fd = console->out, .events = POLLOUT };

        /* waits: for the reader of stdout, as any write to it would */
        while (console->to_us.length && !console->leaving && (poll(&out, 1, -1) >= 0 || errno == EINTR))
                if (out.revents && relay_write(&console->to_us, console->out) < 0)
                        return;
}

int verb_console(struct verb_context *context, struct error **err)
{
        _cleanup_close_ int lock = -1, sock = -1, own_out = own_stdout();
        _cleanup_free_ char *name = NULL;
        struct console console = { .terminal = isatty(STDIN_FILENO), .reading = true };
        long long timeout_ms = verb_timeout_ms(context, QUIET_MS);
        int quiet_ms = timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms;

        if (vm_find(&context->site->paths, context->args[0], &name, err) < 0 ||
            open_console(&context->site->paths, name, &lock, &sock, err) < 0)
                return -1;
        console.sock = sock;
        console.out = own_out >= 0 ? own_out : STDOUT_FILENO;
        console.to_us.says_drops = true;
        if (console.terminal) {
                fprintf(stderr, "connected to the console of '%s', ^] leaves\n", name);
                make_raw();
        }
        while (step(&console, quiet_ms))
                ;
        fd_close(&sock);
        fd_close(&lock);
        write_rest(&console);
        if (console.terminal) {
                restore_terminal();
                fprintf(stderr, "\n%s the console of '%s'\n",
                        console.leaving ? "left" : "this was the end of", name);
        }
        relay_done(&console.to_us);
        relay_done(&console.to_guest);
        return 0;
}
