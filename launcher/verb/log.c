/* log: the VM's log file, its last lines, or as it grows; a file that was rotated away is followed by the new one. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/spec_build.h"
#include "launcher/verb/verbs.h"
#include "launcher/verb/vm_find.h"

/* The offset where the last n lines begin. */
static off_t last_lines(int fd, uint64_t n)
{
        char buffer[16384];
        off_t end = lseek(fd, 0, SEEK_END), at = end;

        while (at > 0 && n) {
                off_t from = at > (off_t)sizeof(buffer) ? at - (off_t)sizeof(buffer) : 0;
                ssize_t got = pread(fd, buffer, (size_t)(at - from), from);

                if (got <= 0)
                        return 0;
                /* The newline that ends the last line begins none. */
                for (ssize_t i = got - 1; i >= 0; i--)
                        if (buffer[i] == '\n' && from + i + 1 != end && --n == 0)
                                return from + i + 1;
                at = from;
        }
        return n ? 0 : end;
}

/* false: whoever read us has gone. */
static bool copy_rest(int fd)
{
        char buffer[16384];
        ssize_t n;

        while ((n = read(fd, buffer, sizeof(buffer))) > 0)
                if (fwrite(buffer, 1, (size_t)n, stdout) != (size_t)n)
                        return false;
        return fflush(stdout) == 0;
}

/* logrotate moves the file away, or copies and cuts it: then the name means another file, or ours has become short. */
static void follow_rotation(int *fd, const char *path)
{
        struct stat ours, named;
        int fresh;

        if (fstat(*fd, &ours) == 0 && ours.st_size < lseek(*fd, 0, SEEK_CUR))
                lseek(*fd, 0, SEEK_SET);
        if (stat(path, &named) < 0 || (named.st_ino == ours.st_ino && named.st_dev == ours.st_dev))
                return;
        fresh = open(path, O_RDONLY | O_CLOEXEC);
        if (fresh < 0)
                return;
        copy_rest(*fd);
        fd_close(fd);
        *fd = fresh;
}

static int follow(int *fd, const char *path, long long deadline, struct error **err)
{
        _cleanup_close_ int inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        _cleanup_free_ char *directory = xstrdup(path);
        struct pollfd polled[] = { { .fd = inotify_fd, .events = POLLIN }, { .fd = STDOUT_FILENO } };
        char events[4096];

        *strrchr(directory, '/') = '\0';
        if (inotify_fd < 0 ||
            inotify_add_watch(inotify_fd, directory, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM) < 0)
                return error_os(err, errno, "watch '%s'", directory);
        for (;;) {
                long long left = deadline - fd_now_ms();

                follow_rotation(fd, path);
                if (!copy_rest(*fd) || left <= 0)
                        return 0;
                if (poll(polled, ARRAY_SIZE(polled), left > 60000 ? 60000 : (int)left) < 0 && errno != EINTR)
                        return error_os(err, errno, "watch '%s'", directory);
                if (polled[1].revents & (POLLERR | POLLHUP))
                        return 0;
                while (read(inotify_fd, events, sizeof(events)) > 0)
                        ;
        }
}

/* A VM's log outlives its directory: a name that only has a log will do. */
static int find_log(const struct verb_context *context, char **ret_path, int *ret_fd, struct error **err)
{
        const struct paths *paths = &context->site->paths;
        const char *argument = context->args[0];
        _cleanup_free_ char *name = NULL, *path = NULL;

        if (spec_name_is_valid(argument)) {
                path = xasprintf("%s/%s.log", paths->log, argument);
                *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
        } else {
                errno = ENOENT;
        }
        if (*ret_fd < 0 && errno == ENOENT) {
                if (vm_find(paths, argument, &name, err) < 0)
                        return -1;
                free(path);
                path = xasprintf("%s/%s.log", paths->log, name);
                *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
        }
        if (*ret_fd < 0)
                return error_os(err, errno, "open '%s'", path);
        *ret_path = TAKE_PTR(path);
        return 0;
}

int verb_log(struct verb_context *context, struct error **err)
{
        const char *lines = verb_value(context, "lines");
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -1;
        uint64_t n = UINT64_MAX;

        if (lines && !text_parse_u64(lines, &n))
                return error_set(err, ERROR_USAGE, "--lines takes a number, not '%s'", lines);
        if (context->timeout_s >= 0 && !verb_flag(context, "follow"))
                return error_set(err, ERROR_USAGE, "log: --timeout goes with --follow");
        if (find_log(context, &path, &fd, err) < 0)
                return -1;
        if (lseek(fd, lines ? last_lines(fd, n) : 0, SEEK_SET) < 0)
                return error_os(err, errno, "read '%s'", path);
        if (!copy_rest(fd) || !verb_flag(context, "follow"))
                return 0;
        /* A follower goes on until it is interrupted, or --timeout. */
        return follow(&fd, path,
                      context->timeout_s < 0 ? INT64_MAX : fd_now_ms() + verb_timeout_ms(context, 0), err);
}
