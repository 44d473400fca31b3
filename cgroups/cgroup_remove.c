#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "cgroups/cgroup_apply.h"
#include "cgroups/cgroup_places.h"
#include "cgroups/cgroup_plan.h"

static void forget_error(struct error **err)
{
        error_free(*err);
        *err = NULL;
}

/* Sends SIGKILL to the group's processes and waits for their ends, at most until the deadline. */
static int kill_round(const struct cgroup_places *places, const struct cgroup_pids *pids,
                      long long deadline_ms, struct error **err)
{
        _cleanup_cgroup_pids_ struct cgroup_pids again = { 0 };
        int *pidfds = xcalloc(pids->n, sizeof(*pidfds));
        pid_t not_permitted = 0;

        for (size_t i = 0; i < pids->n; i++)
                pidfds[i] = pids->items[i] == getpid() ? -1 : fd_pidfd_open(pids->items[i]);
        /* A pid that ended before its pidfd was open may be another process now: then it is not listed. */
        cgroup_pids_collect(places, &again, err);
        for (size_t i = 0; i < pids->n && !*err; i++)
                if (pidfds[i] >= 0 && cgroup_pids_have(&again, pids->items[i]) &&
                    fd_pidfd_send_signal(pidfds[i], SIGKILL) < 0 && errno == EPERM)
                        not_permitted = pids->items[i];
        for (size_t i = 0; i < places->n; i++)
                if (places->at[i].freezer)
                        cgroup_dir_try_write(places->at[i].dir, "freezer.state", "THAWED");
        for (size_t i = 0; i < pids->n; i++) {
                if (pidfds[i] >= 0 && !*err && !not_permitted && cgroup_pids_have(&again, pids->items[i]))
                        fd_wait(pidfds[i], POLLIN, deadline_ms);
                fd_close(&pidfds[i]);
        }
        free(pidfds);
        if (!*err && not_permitted)
                return error_os(err, EPERM, "kill process %d", (int)not_permitted);
        return *err ? -1 : 0;
}

/* v2: waits until the group's cgroup.events says that it is empty (it changes: POLLPRI). */
static void wait_unpopulated(const char *dir, long long deadline_ms)
{
        _cleanup_free_ char *path = xasprintf("%s/cgroup.events", dir);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        char text[256];

        while (fd >= 0) {
                ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

                if (n <= 0)
                        return;
                text[n] = '\0';
                if (strstr(text, "populated 0") || fd_wait(fd, POLLPRI, deadline_ms) <= 0)
                        return;
        }
}

/* One try to have the group empty. */
static int empty(const struct cgroup_places *places, long long deadline_ms, struct error **err)
{
        _cleanup_cgroup_pids_ struct cgroup_pids pids = { 0 };

        for (size_t i = 0; i < places->n; i++)
                if (places->at[i].v2 && cgroup_dir_try_write(places->at[i].dir, "cgroup.kill", "1") == 0) {
                        wait_unpopulated(places->at[i].dir, deadline_ms);
                        return 0;
                }
        /* Frozen, nothing forks away from the list that is being killed; else the rounds have to do. */
        for (size_t i = 0; i < places->n; i++)
                if (places->at[i].freezer)
                        cgroup_dir_try_write(places->at[i].dir, "freezer.state", "FROZEN");
        if (cgroup_pids_collect(places, &pids, err) < 0)
                return -1;
        return kill_round(places, &pids, deadline_ms, err);
}

static int still_there(const struct cgroup_places *places, const char *path, int timeout_ms, int why,
                       struct error **err)
{
        _cleanup_cgroup_pids_ struct cgroup_pids pids = { 0 };
        _cleanup_text_ struct text names = TEXT_INIT;

        if (cgroup_pids_collect(places, &pids, err) < 0)
                return -1;
        if (pids.n == 0)
                return error_os(err, why, "remove control group '%s'", path);
        cgroup_pids_text(&pids, &names);
        return error_set(err, ERROR_DEADLINE, "control group '%s' still has processes after %d ms: %s", path,
                         timeout_ms, text_str(&names));
}

/* 0, or why the group is still there: EBUSY or ENOTEMPTY when it is in use. */
static int remove_places(const struct cgroup_places *places)
{
        int why = 0;

        for (size_t i = 0; i < places->n; i++) {
                int one = cgroup_dir_remove(places->at[i].dir, CGROUP_DEPTH_MAX);

                why = one ? one : why;
        }
        return why;
}

/* 1: *places, 0: nothing can be written there, so nothing was made, -1: *err. */
static int places_to_remove(const struct cgroup_host *host, const char *path, struct cgroup_places *places,
                            struct error **err)
{
        if (cgroup_path_check(path, err) < 0)
                return -1;
        if (cgroup_places_find(host, path, places, err) == 0)
                return 1;
        if ((*err)->code != ERROR_HOST)
                return -1;
        forget_error(err);
        return 0;
}

int cgroup_remove_empty(const struct cgroup_host *host, const char *path, struct error **err)
{
        _cleanup_cgroup_places_ struct cgroup_places places = { 0 };
        int why, found = places_to_remove(host, path, &places, err);

        if (found <= 0)
                return found < 0 ? -1 : 1;
        why = remove_places(&places);
        if (why && why != EBUSY && why != ENOTEMPTY)
                return error_os(err, why, "remove control group '%s'", path);
        return why == 0;
}

int cgroup_remove(const struct cgroup_host *host, const char *path, int timeout_ms, struct error **err)
{
        static const struct timespec pause = { .tv_nsec = 1000000 };
        long long deadline_ms = fd_now_ms() + timeout_ms;
        _cleanup_cgroup_places_ struct cgroup_places places = { 0 };
        int found = places_to_remove(host, path, &places, err);

        if (found <= 0)
                return found;
        for (;;) {
                _cleanup_cgroup_pids_ struct cgroup_pids pids = { 0 };
                int why = remove_places(&places);

                if (why == 0)
                        return 0;
                if (why != EBUSY && why != ENOTEMPTY)
                        return error_os(err, why, "remove control group '%s'", path);
                if (cgroup_pids_collect(&places, &pids, err) < 0)
                        return -1;
                if (cgroup_pids_have(&pids, getpid()))
                        return error_set(err, ERROR_BUSY, "this process is in control group '%s' itself",
                                         path);
                if (fd_now_ms() >= deadline_ms)
                        return still_there(&places, path, timeout_ms, why, err);
                if (pids.n == 0)
                        /* A process leaves its group a moment after its end; v1 has no event for that. */
                        nanosleep(&pause, NULL); /* waits: 1 ms */
                else if (empty(&places, deadline_ms, err) < 0)
                        return error_wrap(err, "empty control group '%s'", path);
        }
}
