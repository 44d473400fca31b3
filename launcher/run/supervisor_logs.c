/*
 * Logs of serial ports and consoles, kept within bounds. QEMU adds to them as to any file; what the guest writes is
 * looked at by inotify, and at most ten times a second. A file that has reached its size is copied to NAME.1, which was
 * NAME.2 before, and so on, and then emptied: QEMU has it open and goes on where it now ends (O_APPEND). What comes
 * between the copy's end and that is lost; a file cannot be renamed away from QEMU.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/log.h"
#include "launcher/run/supervisor_parts.h"

#define LOG_SIZE (2 << 20)
#define LOG_KEPT 3
#define LOOK_MS  100
#define LOG_MODE 0640

struct log_file {
        char *path;
        int fd; /* ours, to read and to cut */
};

struct log_keeper {
        struct supervisor *s;
        int inotify;
        struct loop_source *source, *timer;
        struct log_file *files;
        size_t n_files;
};

static char *kept_name(const char *path, int n)
{
        return n ? xasprintf("%s.%d", path, n) : xstrdup(path);
}

int logs_copy_aside(const char *path, int fd, off_t size)
{
        _cleanup_free_ char *first = kept_name(path, 1);
        _cleanup_close_ int to = -1;
        off_t at = size > LOG_SIZE ? size - LOG_SIZE : 0;
        ssize_t n = 0;

        for (int i = LOG_KEPT; i > 1; i--) {
                _cleanup_free_ char *old = kept_name(path, i - 1), *older = kept_name(path, i);

                rename(old, older);
        }
        unlink(first);
        to = open(first, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, LOG_MODE);
        if (to < 0)
                return -1;
        /* Not to its end: QEMU can move that as fast as it is copied. */
        while (at < size && (n = sendfile(to, fd, &at, (size_t)(size - at))) > 0)
                ;
        return n < 0 ? -1 : 0;
}

static void rotate(const struct log_keeper *keeper, const struct log_file *file, off_t size)
{
        if (logs_copy_aside(file->path, file->fd, size) < 0)
                log_warning("%s: '%s.1' cannot be written: %s; what the guest wrote is dropped",
                            keeper->s->plan->name, file->path, strerror(errno));
        /* Bounded in any case. */
        if (ftruncate(file->fd, 0) < 0)
                log_warning("%s: '%s' cannot be emptied: %s", keeper->s->plan->name, file->path,
                            strerror(errno));
}

static void look(struct log_keeper *keeper)
{
        for (size_t i = 0; i < keeper->n_files; i++) {
                struct log_file *file = &keeper->files[i];
                struct stat st;

                if (fstat(file->fd, &st) == 0 && st.st_size >= LOG_SIZE)
                        rotate(keeper, file, st.st_size);
        }
}

static void set_watches(struct log_keeper *keeper)
{
        for (size_t i = 0; i < keeper->n_files; i++)
                inotify_add_watch(keeper->inotify, keeper->files[i].path, IN_MODIFY | IN_ONESHOT);
}

static void on_look(void *data)
{
        struct log_keeper *keeper = data;

        keeper->timer = NULL;
        set_watches(keeper);
        /* After that: what was written meanwhile is seen here, what comes later by the watch. */
        look(keeper);
}

static void on_written(struct loop_source *source, uint32_t events, void *data)
{
        char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
        struct log_keeper *keeper = data;

        (void)source, (void)events;
        while (read(keeper->inotify, buffer, sizeof(buffer)) > 0)
                ;
        if (!keeper->timer)
                keeper->timer = loop_add_deadline(keeper->s->loop, LOOK_MS, on_look, keeper);
}

static void add_file(struct log_keeper *keeper, const char *path)
{
        int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);

        if (fd < 0) {
                log_warning("%s: '%s' is not kept within bounds: %s", keeper->s->plan->name, path,
                            strerror(errno));
                return;
        }
        ARRAY_GROW(keeper->files, keeper->n_files);
        keeper->files[keeper->n_files++] = (struct log_file){ .path = xstrdup(path), .fd = fd };
}

void log_attend(struct supervisor *s, const json_t *args)
{
        const char *path = json_member_string(args, "path");
        struct log_keeper *keeper = s->logs;

        /* A file that the template names is its owner's. */
        if (!path || !json_member_is_true(args, "own"))
                return;
        if (!keeper) {
                s->logs = keeper = xcalloc(1, sizeof(*keeper));
                keeper->s = s;
                keeper->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
                if (keeper->inotify < 0)
                        log_warning("%s: inotify: %s; the logs of its consoles are not kept within bounds",
                                    s->plan->name, strerror(errno));
                else
                        keeper->source = loop_add_fd(s->loop, keeper->inotify, EPOLLIN, on_written, keeper);
        }
        add_file(keeper, path);
        on_look(keeper);
}

void logs_forget(struct supervisor *s)
{
        struct log_keeper *keeper = s->logs;

        if (!keeper)
                return;
        look(keeper);
        loop_remove(s->loop, keeper->source);
        loop_remove(s->loop, keeper->timer);
        fd_close(&keeper->inotify);
        for (size_t i = 0; i < keeper->n_files; i++) {
                fd_close(&keeper->files[i].fd);
                free(keeper->files[i].path);
        }
        free(keeper->files);
        free(keeper);
        s->logs = NULL;
}
