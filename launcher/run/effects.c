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

#define file_open_undo    undo_nothing
#define stderr_undo       undo_nothing
#define cgroup_write_undo undo_nothing
#define qmp_undo          undo_nothing
/* The supervisor's own. */
#define qmp_carry_out NULL

const struct effect effects[PLAN_EFFECTS] = {
#define EFFECT_ROW(id, name, word) [EFFECT_##id] = { word##_carry_out, word##_undo },
        PLAN_EFFECT_LIST(EFFECT_ROW)
#undef EFFECT_ROW
};

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
