#include "launcher/run/memory_cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "launcher/run/host_helper.h"
#include "launcher/run/host_helper_fds.h"
#include "launcher/state/crash_point.h"

#define MEMINFO_MAX 65536

int memory_cleanup(const struct memory_cleanup *cleanup, struct error **err)
{
        json_t *request = json_pack("{s:s, s:s, s:i}", "action", "memory-cleanup", "vm", cleanup->vm,
                                    "interval_s", (int)cleanup->interval_s);
        _cleanup_close_ int pidfd = host_helper_leave(cleanup->run_dirfd, cleanup->log_fd, request, err);

        if (pidfd < 0)
                return -1;
        crash_point(CRASH_CLEANUP_STARTED);
        if (!cleanup->wait_ms)
                return 0;
        if (fd_wait(pidfd, POLLIN, fd_now_ms() + cleanup->wait_ms) <= 0)
                return error_set(err, ERROR_DEADLINE, "the cleanup of memory takes more than %u s",
                                 cleanup->wait_ms / 1000);
        waitid(P_PIDFD, (id_t)pidfd, NULL, WEXITED | WNOHANG);
        return 0;
}

void memory_cleanup_of(const struct site *site, const char *vm, unsigned wait_ms)
{
        _cleanup_free_ char *path = xasprintf("%s/%s.log", site->paths.log, vm);
        _cleanup_close_ int run_dirfd = open(site->paths.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int log_fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        const struct memory_cleanup cleanup = { .run_dirfd = run_dirfd,
                                                .log_fd = log_fd,
                                                .vm = vm,
                                                .interval_s = PLAN_CLEANUP_INTERVAL_S,
                                                .wait_ms = wait_ms };
        _cleanup_error_ struct error *error = NULL;

        if (!site->owner.user && run_dirfd >= 0 && memory_cleanup(&cleanup, &error) < 0) {
                _cleanup_free_ char *text = error_text(error);

                log_warning("%s: memory cleanup: %s", vm, text);
        }
}

int memory_cleanup_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        struct error *late = NULL;
        int interval_s, wait_ms;
        json_error_t why;
        struct memory_cleanup cleanup = { .run_dirfd = effect_run_dir(run),
                                          .log_fd = log_get_file(),
                                          .vm = run->vm->name };

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:i, s:i}", "interval_s", &interval_s, "wait_ms",
                           &wait_ms) < 0 ||
            interval_s < 0 || wait_ms <= 0)
                return error_set(err, ERROR_FAILED, "step memory-cleanup: %s", why.text);
        cleanup.interval_s = (unsigned)interval_s;
        cleanup.wait_ms = (unsigned)wait_ms;
        if (memory_cleanup(&cleanup, &late) < 0) {
                _cleanup_free_ char *text = error_text(late);

                log_warning("%s: %s; the start goes on", run->vm->name, text);
                error_free(late);
        }
        return 0;
}

static long long clock_ms(clockid_t clock)
{
        struct timespec now;

        clock_gettime(clock, &now);
        return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

/* MemFree, in MiB; -1: not known. */
static long long free_mib(void)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ struct error *unknown = NULL;
        const char *line;
        long long kib;

        if (fd_read_file_at(AT_FDCWD, "/proc/meminfo", MEMINFO_MAX, &text, NULL, &unknown) < 0)
                return -1;
        line = strstr(text, "MemFree:");
        return line && sscanf(line, "MemFree: %lld", &kib) == 1 ? kib / 1024 : -1;
}

/* How long it took. */
static int tell_kernel(const char *path, const char *value, long long *ret_ms, struct error **err)
{
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
        long long begin = clock_ms(CLOCK_MONOTONIC);

        if (fd < 0 || write(fd, value, strlen(value)) < 0)
                return error_os(err, errno, "write %s to %s", value, path);
        *ret_ms = clock_ms(CLOCK_MONOTONIC) - begin;
        return 0;
}

/* The lock of the stamp when it is time; -1: another is at it, or it was not long ago. */
static int take_turn(int run_dirfd, long long interval_s, const char *vm)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        _cleanup_close_ int fd =
                openat(run_dirfd, MEMORY_CLEANUP_STAMP, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        long long now = clock_ms(CLOCK_BOOTTIME) / 1000, last;
        char text[32] = "";

        if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) < 0) {
                log_info("%s: memory cleanup: left out, another is at it", vm);
                return -1;
        }
        if (pread(fd, text, sizeof(text) - 1, 0) > 0 && sscanf(text, "%lld", &last) == 1 && last <= now &&
            now - last < interval_s) {
                log_info("%s: memory cleanup: left out, the last one was %lld s ago", vm, now - last);
                return -1;
        }
        crash_point(CRASH_CLEANUP_WORKS);
        snprintf(text, sizeof(text), "%lld\n", now);
        if (ftruncate(fd, 0) < 0 || pwrite(fd, text, strlen(text), 0) < 0)
                log_warning("%s: memory cleanup: cannot note the time: %s", vm, strerror(errno));
        return TAKE_FD(fd);
}

int memory_cleanup_serve(const json_t *request, struct error **err)
{
        _cleanup_close_ int turn = -1;
        long long caches_ms, compact_ms, before;
        _cleanup_error_ struct error *error = NULL;
        json_error_t why;
        const char *vm;
        int interval_s;

        if (json_unpack_ex((json_t *)request, &why, 0, "{s:s, s:i}", "vm", &vm, "interval_s", &interval_s) <
            0)
                return error_set(err, ERROR_USAGE, "the request: %s", why.text);
        log_set_stderr(false);
        log_set_file(HOST_HELPER_LOCK);
        turn = take_turn(HOST_HELPER_VM_DIR, interval_s, vm);
        if (turn < 0)
                return 0;
        before = free_mib();
        if (tell_kernel("/proc/sys/vm/drop_caches", "3", &caches_ms, &error) < 0 ||
            tell_kernel("/proc/sys/vm/compact_memory", "1", &compact_ms, &error) < 0) {
                _cleanup_free_ char *text = error_text(error);

                log_warning("%s: memory cleanup: %s", vm, text);
                return 0;
        }
        log_info(
                "%s: memory cleanup: %lld ms to drop caches, %lld ms to compact, %lld MiB free before, %lld MiB after",
                vm, caches_ms, compact_ms, before, free_mib());
        return 0;
}
