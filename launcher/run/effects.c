#include "launcher/run/effects.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "launcher/state/crash_point.h"
#include "launcher/state/lock_file.h"

/* Memory and fds end with the processes that have them. */
static int undo_nothing(struct effect_undo *undo, const json_t *args, const json_t *learned,
                        struct error **err)
{
        (void)undo, (void)args, (void)learned, (void)err;
        return 0;
}

#define file_open_undo   undo_nothing
#define device_open_undo undo_nothing
#define script_undo      undo_nothing
#define connect_undo     undo_nothing
#define log_open_undo    undo_nothing
#define socket_pair_undo undo_nothing
#define connect_undo     undo_nothing
#define secret_undo      undo_nothing
#define stderr_undo      undo_nothing
#define qmp_undo         undo_nothing
#define take_back_undo   undo_nothing
/* It goes when the last process has left it, and the one that undoes this is in it. */
#define scope_undo          undo_nothing
#define memory_cleanup_undo undo_nothing
/* The supervisor's own. */
#define qmp_carry_out       NULL
#define take_back_carry_out NULL

const struct effect effects[PLAN_EFFECTS] = {
#define EFFECT_ROW(id, name, word) [EFFECT_##id] = { word##_carry_out, word##_undo },
        PLAN_EFFECT_LIST(EFFECT_ROW)
#undef EFFECT_ROW
};

int effect_journal(const struct effect_run *run, const json_t *entry, struct error **err)
{
        return run->journal ? journal_write(run->journal, entry, err)
                            : journal_append(run->vm->fd, entry, err);
}

int effect_do(struct effect_run *run, unsigned n, enum plan_effect effect, json_t *args, json_t *more,
              bool fail, struct error **err)
{
        const char *name = plan_effect_name(effect);
        json_auto_t *entry = json_pack("{s:i, s:s, s:O}", "n", (int)n, "effect", name, "args", args);
        json_auto_t *failed = NULL;
        struct error *unwritten = NULL;

        if (more)
                json_object_update(entry, more);
        if (effect_journal(run, entry, err) < 0)
                return -1;
        run->step = n;
        crash_point_effect(name, CRASH_DO);
        if (fail)
                error_set(err, ERROR_FAILED, "step %u (%s) fails as asked", n, name);
        else if (effects[effect].carry_out(run, args, err) == 0) {
                crash_point_effect(name, CRASH_DONE);
                return 0;
        }
        failed = json_pack("{s:i, s:b}", "n", (int)n, "failed", 1);
        if (effect_journal(run, failed, &unwritten) < 0)
                error_append(err, unwritten);
        return -1;
}

void effect_run_done(struct effect_run *run)
{
        for (size_t i = 0; i < run->n_fds; i++) {
                fd_close(&run->fds[i].fd);
                free(run->fds[i].name);
        }
        free(run->fds);
        fd_close(&run->opened.sock);
        json_decref(run->opened.steps);
        effect_release_locks(run);
        fd_close(&run->run_dirfd);
        netlink_close(run->nl);
}

int effect_run_dir(struct effect_run *run)
{
        if (run->run_dirfd < 0)
                run->run_dirfd = openat(run->vm->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return run->run_dirfd;
}

void effect_release_locks(struct effect_run *run)
{
        for (size_t i = 0; i < run->n_locks; i++) {
                lock_file_release(effect_run_dir(run), run->locks[i].name, run->locks[i].fd);
                free(run->locks[i].name);
        }
        free(run->locks);
        run->locks = NULL;
        run->n_locks = 0;
}

int effect_learn(struct effect_run *run, json_t *learned_consume, struct error **err)
{
        json_auto_t *entry = json_pack("{s:i, s:o}", "n", (int)run->step, "learned", learned_consume);

        return effect_journal(run, entry, err);
}

void effect_keep_fd(struct effect_run *run, const char *name, int fd_consume)
{
        ARRAY_GROW(run->fds, run->n_fds);
        run->fds[run->n_fds++] = (struct named_fd){ .name = xstrdup(name), .fd = fd_consume, .received = -1 };
}

void effect_keep_waiting(struct effect_run *run, const char *name)
{
        int number = 0;

        for (size_t i = 0; i < run->n_fds; i++)
                number += run->fds[i].received >= 0;
        ARRAY_GROW(run->fds, run->n_fds);
        run->fds[run->n_fds++] = (struct named_fd){ .name = xstrdup(name), .fd = -1, .received = number };
}

const struct named_fd *effect_find(const struct effect_run *run, const char *name)
{
        for (size_t i = 0; i < run->n_fds; i++)
                if (strcmp(run->fds[i].name, name) == 0)
                        return &run->fds[i];
        return NULL;
}

int effect_find_fd(const struct effect_run *run, const char *name)
{
        const struct named_fd *found = effect_find(run, name);

        return found ? found->fd : -1;
}

int effect_take_lock(struct effect_run *run, const char *name, const char *what, bool shared,
                     struct error **err)
{
        const struct lock_request request = {
                .name = name, .what = what, .holder = run->vm->name, .shared = shared
        };
        int fd;

        if (effect_run_dir(run) < 0)
                return error_os(err, errno, "open the directory of the VMs");
        if (lock_file_take(run->run_dirfd, &request, &fd, err) < 0)
                return -1;
        ARRAY_GROW(run->locks, run->n_locks);
        run->locks[run->n_locks++] = (struct held_lock){ .name = xstrdup(name), .fd = fd };
        return 0;
}

int effect_netlink(struct netlink **nl, struct error **err)
{
        if (!*nl)
                *nl = netlink_open(err);
        return *nl ? 0 : -1;
}

const char *effect_path_in_run(const char *run_dir, const char *path)
{
        size_t length = strlen(run_dir);
        const char *below;

        if (strncmp(path, run_dir, length) != 0 || path[length] != '/')
                return NULL;
        below = path + length + 1;
        for (const char *part = below;; part++) {
                size_t n = strcspn(part, "/");

                if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
                        return NULL;
                part += n;
                if (!*part)
                        return below;
        }
}
