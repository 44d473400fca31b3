/* Files of a plan opened apart: their storage may not answer. */
#include <stdio.h>

#include "base/json_member.h"
#include "launcher/run/effects.h"
#include "launcher/run/generation.h"
#include "launcher/storage/apart.h"

static bool opens_a_file(const struct plan_step *step)
{
        return step->effect == EFFECT_IMAGE_OPEN || step->effect == EFFECT_FILE_OPEN ||
               step->effect == EFFECT_LOG_OPEN ||
               (step->effect == EFFECT_SECRET && json_object_get(step->args, "path"));
}

/* {"lock"} or {}; NULL and *err. */
static json_t *open_one(struct apart *apart, enum plan_effect effect, const json_t *args, struct error **err)
{
        const char *path = json_member_string(args, "path");
        _cleanup_free_ char *lock = NULL;
        int fd = -1, opened;

        apart_at(apart, path ? path : "");
        opened = effect == EFFECT_IMAGE_OPEN  ? image_open_fd(args, &fd, &lock, err)
                 : effect == EFFECT_FILE_OPEN ? file_open_fd(args, &fd, err)
                 : effect == EFFECT_LOG_OPEN  ? log_open_fd(args, &fd, err)
                                              : secret_open_fd(args, &fd, err);
        /* Not closed here: that might be what hangs. */
        if (opened < 0 || apart_hand_over(apart, fd, err) < 0)
                return NULL;
        return json_pack("{s:s?}", "lock", lock);
}

/* In the child. Up to the first that fails: the steps end there. */
static json_t *open_all(struct apart *apart, void *data, struct error **err)
{
        const struct effect_run *run = data;
        json_t *steps = json_object();

        for (size_t n = 0; n < run->plan->n_steps && !*err; n++) {
                const struct plan_step *step = &run->plan->steps[n];
                json_auto_t *args = NULL;
                json_t *result;
                char key[16];

                if (!opens_a_file(step))
                        continue;
                snprintf(key, sizeof(key), "%u", (unsigned)n);
                args = generation_fill_json(step->args, run->generation);
                result = open_one(apart, step->effect, args, err);
                if (!result)
                        result = json_pack("{s:o}", "error", apart_error_to_json(*err));
                json_object_set_new(steps, key, result);
        }
        error_free(*err);
        *err = NULL;
        return steps;
}

int effect_open_files(struct effect_run *run, struct error **err)
{
        struct opened_files *opened = &run->opened;
        const char *key;
        json_t *step;
        size_t n = 0;

        while (n < run->plan->n_steps && !opens_a_file(&run->plan->steps[n]))
                n++;
        if (n == run->plan->n_steps)
                return 0;
        if (apart_run(open_all, run, APART_STORAGE_MS, &opened->steps, &opened->sock, err) < 0)
                return -1;
        json_object_foreach (opened->steps, key, step)
                opened->n += !json_object_get(step, "error");
        return 0;
}

int effect_opened(struct effect_run *run, char **ret_lock, struct error **err)
{
        const json_t *step, *error;
        char key[16];

        snprintf(key, sizeof(key), "%u", run->step);
        step = json_object_get(run->opened.steps, key);
        if (!step)
                return 0;
        error = json_object_get(step, "error");
        if (error) {
                apart_error_from_json(error, err);
                return -1;
        }
        *ret_lock = xstrdup_null(json_member_string(step, "lock"));
        return 1;
}

int effect_carry_out_open(struct effect_run *run, const json_t *args, const char *what,
                          int (*open_fd)(const json_t *args, int *ret_fd, struct error **err),
                          struct error **err)
{
        const char *fd_name = json_member_string(args, "fd");
        _cleanup_free_ char *no_lock = NULL;
        int fd = -1, opened;

        if (!fd_name)
                return error_set(err, ERROR_FAILED, "step %s: no fd", what);
        opened = effect_opened(run, &no_lock, err);
        if (opened < 0 || (!opened && open_fd(args, &fd, err) < 0))
                return -1;
        if (opened)
                effect_keep_waiting(run, fd_name);
        else
                effect_keep_fd(run, fd_name, fd);
        return 0;
}
