#include "launcher/state/lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "base/text.h"
#include "launcher/state/crash_point.h"

/* The file: a header line, then the holders' lines, all of this length. */
#define LINE_BYTES  160
#define MAX_HOLDERS 256
/* How often a lock is tried that has no holder yet or no more: it is being taken or removed just now. */
#define MAX_TRIES 50
#define TRY_MS    2

static int set_lock(int fd, short type, off_t start, off_t length)
{
        struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length };

        return fcntl(fd, F_OFD_SETLK, &lock);
}

static off_t line_start(unsigned i)
{
        return (off_t)(i + 1) * LINE_BYTES;
}

/* Somebody else's lock on this line; our own do not count (OFD locks are per open file). */
static bool line_is_held(int fd, unsigned i)
{
        struct flock lock = {
                .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = line_start(i), .l_len = LINE_BYTES
        };

        return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static int make_line(char line[static LINE_BYTES], const char *text, struct error **err)
{
        int n = snprintf(line, LINE_BYTES, "%s", text);

        if (n < 0 || n >= LINE_BYTES)
                return error_set(err, ERROR_FAILED, "'%s' is too long for a lock file", text);
        memset(line + n, ' ', LINE_BYTES - (size_t)n - 1);
        line[LINE_BYTES - 1] = '\n';
        return 0;
}

/* The first one writes the header too. */
static int write_line(int fd, unsigned i, const char *text, struct error **err)
{
        char lines[2][LINE_BYTES];
        const size_t from = i ? 1 : 0, n = sizeof(lines) - from * LINE_BYTES;

        if (make_line(lines[0], "# vmlaunch: one line per holder", err) < 0 ||
            make_line(lines[1], text, err) < 0)
                return -1;
        if (pwrite(fd, lines[from], n, i ? line_start(i) : 0) != (ssize_t)n)
                return error_os(err, errno ? errno : EIO, "write to the lock file");
        return 0;
}

/* The holders as "VM 'web' (read-write)", or NULL when nobody holds a line. */
static char *holders(int fd)
{
        _cleanup_free_ char *first = NULL;
        unsigned n = 0;

        for (unsigned i = 0; i < MAX_HOLDERS; i++) {
                char line[LINE_BYTES + 1] = "", mode[16] = "", name[LINE_BYTES] = "";

                if (!line_is_held(fd, i) || pread(fd, line, LINE_BYTES, line_start(i)) <= 0)
                        continue;
                /* Held, but its line is not written yet. */
                if (sscanf(line, "%15s %159s", mode, name) != 2)
                        continue;
                if (n++ == 0) {
                        _cleanup_free_ char *vm = text_printable(name);

                        first = xasprintf("VM '%s' (%s)", vm,
                                          strcmp(mode, "shared") == 0 ? "read-only" : "read-write");
                }
        }
        if (n > 1)
                return xasprintf("%s and %u more", first, n - 1);
        return TAKE_PTR(first);
}

/* Does the path still lead to this open file? Its last holder may have removed it meanwhile. */
static bool is_current(int run_dirfd, const char *name, int fd)
{
        struct stat by_fd, by_path;

        return fstat(fd, &by_fd) == 0 && fstatat(run_dirfd, name, &by_path, AT_SYMLINK_NOFOLLOW) == 0 &&
               by_fd.st_dev == by_path.st_dev && by_fd.st_ino == by_path.st_ino;
}

static int make_directory(int run_dirfd, const char *name, struct error **err)
{
        _cleanup_free_ char *dir = xstrndup(name, strcspn(name, "/"));

        if (mkdirat(run_dirfd, dir, 0755) == 0) {
                /* Whatever umask the caller has. */
                if (fchmodat(run_dirfd, dir, 0755, 0) < 0)
                        return error_os(err, errno, "set the mode of '%s'", dir);
        } else if (errno != EEXIST) {
                return error_os(err, errno, "create directory '%s'", dir);
        }
        return 0;
}

static int claim_line(int fd, const struct lock_request *request, struct error **err)
{
        _cleanup_free_ char *text =
                xasprintf("%s %s", request->shared ? "shared" : "exclusive", request->holder);

        for (unsigned i = 0; i < MAX_HOLDERS; i++) {
                if (set_lock(fd, F_WRLCK, line_start(i), LINE_BYTES) == 0)
                        return write_line(fd, i, text, err);
                if (errno != EAGAIN && errno != EACCES)
                        return error_os(err, errno, "lock");
        }
        return error_set(err, ERROR_BUSY, "more than %u VMs use it", MAX_HOLDERS);
}

static int open_or_make(int run_dirfd, const char *name)
{
        return openat(run_dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* 1: taken; 0: try again; -1: *err. */
static int try_take(int run_dirfd, const struct lock_request *request, bool last, int *ret_fd,
                    struct error **err)
{
        _cleanup_close_ int fd = open_or_make(run_dirfd, request->name);
        _cleanup_free_ char *who = NULL;

        if (fd < 0 && errno == ENOENT && strchr(request->name, '/')) {
                if (make_directory(run_dirfd, request->name, err) < 0)
                        return -1;
                fd = open_or_make(run_dirfd, request->name);
        }
        if (fd < 0)
                return error_os(err, errno, "open the lock file '%s'", request->name);
        if (set_lock(fd, request->shared ? F_RDLCK : F_WRLCK, 0, 1) < 0) {
                if (errno != EAGAIN && errno != EACCES)
                        return error_os(err, errno, "lock '%s'", request->name);
                who = holders(fd);
                if ((!who || !is_current(run_dirfd, request->name, fd)) && !last)
                        return 0;
                return error_set(err, ERROR_BUSY, "%s is in use by %s", request->what,
                                 who ? who : "a process that does not say who it is");
        }
        if (!is_current(run_dirfd, request->name, fd)) {
                if (!last)
                        return 0;
                return error_set(err, ERROR_BUSY, "%s: the lock file '%s' is removed all the time",
                                 request->what, request->name);
        }
        if (claim_line(fd, request, err) < 0) {
                /* Not even an empty file stays, on a full file system say. */
                lock_file_release(run_dirfd, request->name, TAKE_FD(fd));
                return error_wrap(err, "%s", request->what);
        }
        crash_point(CRASH_LOCK_TAKEN);
        *ret_fd = TAKE_FD(fd);
        return 1;
}

int lock_file_take(int run_dirfd, const struct lock_request *request, int *ret_fd, struct error **err)
{
        for (unsigned i = 1;; i++) {
                int taken = try_take(run_dirfd, request, i == MAX_TRIES, ret_fd, err);

                if (taken)
                        return taken < 0 ? -1 : 0;
                poll(NULL, 0, TRY_MS);
        }
}

void lock_file_release(int run_dirfd, const char *name, int fd_consume)
{
        _cleanup_close_ int fd = fd_consume;

        if (fd < 0)
                return;
        crash_point(CRASH_LOCK_RELEASE);
        /* The line goes first: a lock without a holder tells others to try again in a moment. */
        set_lock(fd, F_UNLCK, LINE_BYTES, 0);
        if (set_lock(fd, F_WRLCK, 0, 1) == 0 && is_current(run_dirfd, name, fd))
                unlinkat(run_dirfd, name, 0);
        /* Copies of the fd may be open elsewhere: closing ours would not end the lock then. */
        set_lock(fd, F_UNLCK, 0, 0);
}

void lock_file_sweep(int run_dirfd, const char *name)
{
        _cleanup_close_ int fd = openat(run_dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0 || set_lock(fd, F_WRLCK, 0, 1) < 0 || !is_current(run_dirfd, name, fd))
                return;
        crash_point(CRASH_LOCK_RELEASE);
        unlinkat(run_dirfd, name, 0);
}

bool lock_file_is_free(int run_dirfd, const char *name)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
        _cleanup_close_ int fd = openat(run_dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

        return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
}

int lock_file_image_name(int image_fd, char **ret, struct error **err)
{
        struct stat st;

        if (fstat(image_fd, &st) < 0)
                return error_os(err, errno, "stat an image");
        if (S_ISBLK(st.st_mode))
                *ret = xasprintf("images/block-%u:%u", major(st.st_rdev), minor(st.st_rdev));
        else
                *ret = xasprintf("images/%u:%u-%llu", major(st.st_dev), minor(st.st_dev),
                                 (unsigned long long)st.st_ino);
        return 0;
}
