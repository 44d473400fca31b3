#include "launcher/state/crash_point.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

#define FILE_NAME    "crash-at"
#define REACHED_NAME "crash-reached"
#define TRACE_NAME   "crash-trace"
#define LINE_MAX_    128

/* RUN while a test watches, else -1. One process is one victim, so this is the process's, not an object's. */
static int watched_dirfd = -1;
static bool looked;

static const struct {
        const char *name, *doc;
} points[CRASH_POINTS_N] = {
#define CRASH_POINT_ROW(id, name, doc) [CRASH_##id] = { name, doc },
        CRASH_POINTS(CRASH_POINT_ROW)
#undef CRASH_POINT_ROW
};

static const char *const phases[CRASH_PHASES] = {
        [CRASH_DO] = "do",
        [CRASH_DONE] = "done",
        [CRASH_UNDO] = "undo",
        [CRASH_UNDONE] = "undone",
};

const char *crash_point_name(enum crash_point point)
{
        return points[point].name;
}

const char *crash_point_doc(enum crash_point point)
{
        return points[point].doc;
}

const char *crash_phase_name(enum crash_phase phase)
{
        return phases[phase];
}

void crash_points_init(int run_dirfd)
{
        if (looked)
                return;
        looked = true;
        if (faccessat(run_dirfd, FILE_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                watched_dirfd = openat(run_dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* The file's line; false: nothing is armed. */
static bool read_armed(char line[LINE_MAX_])
{
        _cleanup_close_ int fd =
                openat(watched_dirfd, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
            (st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)))
                return false;
        n = read(fd, line, LINE_MAX_ - 1);
        if (n <= 0)
                return false;
        line[n] = '\0';
        return true;
}

/* "NAME PID" behind the others. */
static void trace(const char *name)
{
        _cleanup_close_ int fd = openat(watched_dirfd, TRACE_NAME,
                                        O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd >= 0)
                dprintf(fd, "%s %d\n", name, (int)getpid());
}

static void reach(const char *name)
{
        char line[LINE_MAX_], armed[LINE_MAX_], action[LINE_MAX_];
        _cleanup_error_ struct error *ignored = NULL;
        _cleanup_free_ char *next = NULL;
        unsigned count;
        bool last;

        if (!read_armed(line) || sscanf(line, "%127s %u %127s", armed, &count, action) != 3)
                return;
        if (strcmp(action, "trace") == 0)
                trace(name);
        if (strcmp(armed, name) != 0)
                return;
        last = count <= 1;
        next = last ? xasprintf("%d\n", (int)getpid()) : xasprintf("%s %u %s\n", armed, count - 1, action);
        fd_write_file_at(watched_dirfd, FILE_NAME, next, strlen(next), 0600, 0, &ignored);
        if (!last)
                return;
        /* Once: whoever repairs what this leaves goes the same way again. */
        renameat(watched_dirfd, FILE_NAME, watched_dirfd, REACHED_NAME);
        kill(getpid(), strcmp(action, "stop") == 0 ? SIGSTOP : SIGKILL);
}

void crash_point(enum crash_point point)
{
        if (watched_dirfd >= 0)
                reach(points[point].name);
}

void crash_point_effect(const char *effect, enum crash_phase phase)
{
        if (watched_dirfd >= 0) {
                _cleanup_free_ char *name = xasprintf("%s:%s", effect, phases[phase]);

                reach(name);
        }
}
