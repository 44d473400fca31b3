/* log: the VM's log file, its last lines, or as it grows. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/spec_build.h"
#include "launcher/run/recorder.h"
#include "launcher/verb/verbs.h"

#define LOG_READ_MAX (64u << 20)

/* Where the last n lines of text begin. */
static const char *last_lines(const char *text, size_t length, uint64_t n)
{
        const char *at = text + length;

        if (at > text && at[-1] == '\n')
                at--;
        while (at > text && n) {
                if (at[-1] == '\n' && --n == 0)
                        break;
                at--;
        }
        return at;
}

static int follow(int fd, const char *path, long long deadline, struct error **err)
{
        _cleanup_close_ int inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        char buffer[16384];
        ssize_t n;

        if (inotify_fd < 0 ||
            inotify_add_watch(inotify_fd, path, IN_MODIFY | IN_DELETE_SELF | IN_MOVE_SELF) < 0)
                return error_os(err, errno, "watch '%s'", path);
        for (;;) {
                while ((n = read(fd, buffer, sizeof(buffer))) > 0)
                        fwrite(buffer, 1, (size_t)n, stdout);
                if (fflush(stdout) != 0)
                        return 0; /* whoever read us has gone */
                if (fd_now_ms() >= deadline)
                        return 0;
                if (fd_wait(inotify_fd, POLLIN, deadline) < 0)
                        return error_os(err, errno, "watch '%s'", path);
                while (read(inotify_fd, buffer, sizeof(buffer)) > 0)
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
                json_int_t number = json_integer_value(json_object_get(entry, "number"));

                if (number <= *last || size - i > n)
                        continue;
                print_entry(entry, format);
                *last = number;
        }
        return 0;
}

static int show_wire(struct verb_context *context, const char *name, uint64_t n, struct error **err)
{
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

int verb_log(struct verb_context *context, struct error **err)
{
        const char *name = context->args[0], *lines = verb_value(context, "lines");
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_close_ int fd = -1;
        uint64_t n = UINT64_MAX;
        size_t length;

        if (lines && !text_parse_u64(lines, &n))
                return error_set(err, ERROR_USAGE, "--lines takes a number, not '%s'", lines);
        if (!spec_name_is_valid(name))
                return error_set(err, ERROR_NO_SUCH_VM, "'%s' is no VM's name", name);
        if (verb_flag(context, "wire"))
                return show_wire(context, name, n, err);
        path = xasprintf("%s/%s.log", context->site->paths.log, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
                return error_set(err, ERROR_NO_SUCH_VM, "no log of a VM '%s' (%s)", name, path);
        if (fd < 0)
                return error_os(err, errno, "open '%s'", path);
        if (fd_read_all(fd, path, LOG_READ_MAX, &text, &length, err) < 0)
                return -1;
        fputs(last_lines(text, length, n), stdout);
        if (!verb_flag(context, "follow"))
                return 0;
        /* A follower goes on until it is interrupted, or --timeout. */
        return follow(fd, path,
                      context->timeout_s < 0 ? INT64_MAX : fd_now_ms() + verb_timeout_ms(context, 0), err);
}
