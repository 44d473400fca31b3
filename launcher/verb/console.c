/*
 * console: the serial console on stdin and stdout. With a terminal: raw, ^] leaves. Without: what stdin has is
 * sent, and output is copied until it has been quiet for --timeout seconds (1) after the end of stdin.
 */
#include <errno.h>
#include <fcntl.h>
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
        struct termios raw;

        tcgetattr(STDIN_FILENO, &saved_terminal);
        raw = saved_terminal;
        cfmakeraw(&raw);
        atexit(restore_terminal);
        signal(SIGTERM, on_end_signal);
        signal(SIGHUP, on_end_signal);
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
        sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/console.sock", private_fd);
        if (sock < 0 || connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
                return error_os(err, errno, "connect to the console of '%s'", name);
        *ret_lock = TAKE_FD(lock);
        *ret_sock = TAKE_FD(sock);
        return 0;
}

/* false: the guest's end has gone. */
static bool copy_out(int sock)
{
        char buffer[4096];
        ssize_t n = read(sock, buffer, sizeof(buffer));

        if (n <= 0)
                return n < 0 && errno == EINTR;
        fwrite(buffer, 1, (size_t)n, stdout);
        return fflush(stdout) == 0;
}

enum input { INPUT_GOES_ON, INPUT_ENDED, INPUT_LEAVE };

static enum input copy_in(int sock, bool terminal)
{
        char buffer[1024];
        ssize_t n = read(STDIN_FILENO, buffer, sizeof(buffer));
        char *leave;

        if (n <= 0)
                return n < 0 && errno == EINTR ? INPUT_GOES_ON : INPUT_ENDED;
        leave = terminal ? memchr(buffer, LEAVE_KEY, (size_t)n) : NULL;
        if (leave)
                n = leave - buffer;
        for (ssize_t at = 0; at < n;) {
                ssize_t written = write(sock, buffer + at, (size_t)(n - at));

                if (written < 0 && errno != EINTR)
                        return INPUT_LEAVE;
                at += written > 0 ? written : 0;
        }
        return leave ? INPUT_LEAVE : INPUT_GOES_ON;
}

int verb_console(struct verb_context *context, struct error **err)
{
        _cleanup_close_ int lock = -1, sock = -1;
        _cleanup_free_ char *name = NULL;
        bool terminal = isatty(STDIN_FILENO), reading = true;
        long long quiet_ms = verb_timeout_ms(context, QUIET_MS);

        if (vm_find(&context->site->paths, context->args[0], &name, err) < 0 ||
            open_console(&context->site->paths, name, &lock, &sock, err) < 0)
                return -1;
        if (terminal) {
                fprintf(stderr, "connected to the console of '%s', ^] leaves\r\n", name);
                make_raw();
        }
        for (;;) {
                struct pollfd fds[] = { { .fd = sock, .events = POLLIN },
                                        { .fd = reading ? STDIN_FILENO : -1, .events = POLLIN } };
                int n = poll(fds, 2, reading ? -1 : (int)quiet_ms);

                if (n == 0)
                        break;
                if (fds[0].revents && !copy_out(sock))
                        break;
                if (n > 0 && fds[1].revents) {
                        enum input input = copy_in(sock, terminal);

                        if (input == INPUT_LEAVE || (input == INPUT_ENDED && terminal))
                                break;
                        reading = input == INPUT_GOES_ON;
                }
        }
        return 0;
}
