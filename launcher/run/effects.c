#include "launcher/run/effects.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "launcher/state/lock_file.h"

/* Memory and fds end with the processes that have them; what is written into a group goes with the group. */
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
        [EFFECT_CGROUP_WRITE] = { cgroup_write_carry_out, undo_nothing },
        [EFFECT_LIVE_TEMPLATE] = { live_template_carry_out, live_template_undo },
        [EFFECT_SPAWN] = { spawn_carry_out, spawn_undo },
        [EFFECT_QMP] = { NULL, undo_nothing },
};

int effect_learn(struct effect_run *run, json_t *learned_consume, struct error **err)
{
        json_auto_t *entry = json_pack("{s:i, s:o}", "n", (int)run->step, "learned", learned_consume);

        return journal_append(run->vm->fd, entry, err);
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
