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
#include "base/json_member.h"
#include "base/text.h"
#include "conf/spec_build.h"
#include "launcher/run/recorder.h"
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

static void print_entry(const json_t *entry, enum output_format format)
{
        const char *time, *channel, *direction, *text;

        if (format == OUTPUT_JSON) {
                _cleanup_free_ char *line = json_dumps(entry, JSON_COMPACT);

                printf("%s\n", line);
        } else if (json_unpack((json_t *)entry, "{s:s, s:s, s:s, s:s}", "time", &time, "channel", &channel,
                               "direction", &direction, "text", &text) == 0) {
                printf("%s %s %s %s\n", time, channel,
                       strcmp(direction, "sent") == 0       ? ">"
                       : strcmp(direction, "received") == 0 ? "<"
                                                            : "=",
                       text);
        }
}

/* Entries with a number above *last; the recorder writes one file round and round. */
static int print_wire(const char *path, json_int_t *last, uint64_t n, enum output_format format,
                      struct error **err)
{
        json_auto_t *entries = NULL;
        size_t i, size;
        json_t *entry;

        if (recorder_read(path, &entries, err) < 0)
                return -1;
        size = json_array_size(entries);
        json_array_foreach (entries, i, entry) {
                json_int_t number = json_member_integer(entry, "number");

                if (number <= *last || size - i > n)
                        continue;
                print_entry(entry, format);
                *last = number;
        }
        return 0;
}

static int show_wire(struct verb_context *context, uint64_t n, struct error **err)
{
        const char *name = context->args[0];
        long long deadline = context->timeout_s < 0 ? INT64_MAX : fd_now_ms() + verb_timeout_ms(context, 0);
        _cleanup_free_ char *path = xasprintf("%s/%s.wire", context->site->paths.log, name);
        _cleanup_close_ int inotify_fd = -1;
        json_int_t last = 0;
        char buffer[4096];

        if (!verb_flag(context, "follow"))
                return print_wire(path, &last, n, context->output, err);
        inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (inotify_fd < 0 || inotify_add_watch(inotify_fd, path, IN_MODIFY) < 0)
                return error_os(err, errno, "watch '%s'", path);
        for (;;) {
                if (print_wire(path, &last, n, context->output, err) < 0)
                        return -1;
                n = UINT64_MAX;
                if (fflush(stdout) != 0 || fd_now_ms() >= deadline)
                        return 0;
                if (fd_wait(inotify_fd, POLLIN, deadline) < 0)
                        return error_os(err, errno, "watch '%s'", path);
                while (read(inotify_fd, buffer, sizeof(buffer)) > 0)
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
        if (verb_flag(context, "wire"))
                return show_wire(context, n, err);
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
