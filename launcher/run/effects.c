#include "launcher/run/effects.h"

#include <errno.h>
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

const struct effect effects[PLAN_EFFECTS] = {
        [EFFECT_UID_CLAIM] = { uid_claim_carry_out, uid_claim_undo },
        [EFFECT_IMAGE_OPEN] = { image_open_carry_out, image_open_undo },
        [EFFECT_FILE_OPEN] = { file_open_carry_out, undo_nothing },
        [EFFECT_DIRECTORY] = { directory_carry_out, directory_undo },
        [EFFECT_LISTEN] = { listen_carry_out, listen_undo },
        [EFFECT_STDERR] = { stderr_carry_out, undo_nothing },
        [EFFECT_MACHINE_LOCK] = { machine_lock_carry_out, machine_lock_undo },
        [EFFECT_NET] = { net_carry_out, net_undo },
        [EFFECT_CGROUP_CREATE] = { cgroup_create_carry_out, cgroup_create_undo },
        [EFFECT_CGROUP_WRITE] = { cgroup_write_carry_out, cgroup_write_undo },
        [EFFECT_LIVE_TEMPLATE] = { live_template_carry_out, live_template_undo },
        [EFFECT_SPAWN] = { spawn_carry_out, spawn_undo },
        [EFFECT_QMP] = { NULL, undo_nothing },
};

int effect_do(struct effect_run *run, unsigned n, enum plan_effect effect, json_t *args, json_t *more,
              bool fail, struct error **err)
{
        const char *name = plan_effect_name(effect);
        json_auto_t *entry = json_pack("{s:i, s:s, s:O}", "n", (int)n, "effect", name, "args", args);
        json_auto_t *failed = json_pack("{s:i, s:b}", "n", (int)n, "failed", 1);
        struct error *unwritten = NULL;

        if (more)
                json_object_update(entry, more);
        if (journal_append(run->vm->fd, entry, err) < 0)
                return -1;
        run->step = n;
        crash_point_effect(name, CRASH_DO);
        if (fail)
                error_set(err, ERROR_FAILED, "step %u (%s) fails as asked", n, name);
        else if (effects[effect].carry_out(run, args, err) == 0) {
                crash_point_effect(name, CRASH_DONE);
                return 0;
        }
        if (journal_append(run->vm->fd, failed, &unwritten) < 0)
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
        effect_release_locks(run);
        fd_close(&run->run_dirfd);
        netlink_close(run->nl);
}

void effect_release_locks(struct effect_run *run)
{
        for (size_t i = 0; i < run->n_locks; i++) {
                lock_file_release(run->run_dirfd, run->locks[i].name, run->locks[i].fd);
                free(run->locks[i].name);
        }
        free(run->locks);
        run->locks = NULL;
        run->n_locks = 0;
}

int effect_learn(struct effect_run *run, json_t *learned_consume, struct error **err)
{
        json_auto_t *entry = json_pack("{s:i, s:o}", "n", (int)run->step, "learned", learned_consume);

        return journal_append(run->vm->fd, entry, err);
}

void effect_keep_fd(struct effect_run *run, const char *name, int fd_consume)
{
        ARRAY_GROW(run->fds, run->n_fds);
        run->fds[run->n_fds++] = (struct named_fd){ .name = xstrdup(name), .fd = fd_consume };
}

int effect_find_fd(const struct effect_run *run, const char *name)
{
        for (size_t i = 0; i < run->n_fds; i++)
                if (strcmp(run->fds[i].name, name) == 0)
                        return run->fds[i].fd;
        return -1;
}

int effect_take_lock(struct effect_run *run, const char *name, const char *what, bool shared,
                     struct error **err)
{
        const struct lock_request request = {
                .name = name, .what = what, .holder = run->vm->name, .shared = shared
        };
        int fd;

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
