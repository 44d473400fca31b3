#include "launcher/run/orphan.h"

#include <string.h>

#include "cgroups/cgroup_plan.h"
#include "launcher/run/generation.h"

static const char *const kind_names[ORPHAN_KINDS] = {
        [ORPHAN_QEMU] = "qemu",           [ORPHAN_TAP] = "tap",   [ORPHAN_CGROUP] = "cgroup",
        [ORPHAN_DIRECTORY] = "directory", [ORPHAN_LOCK] = "lock", [ORPHAN_IMAGE] = "image",
        [ORPHAN_PORT] = "port",
};

struct list {
        struct orphan *items;
        size_t n;
};

const char *orphan_kind_name(enum orphan_kind kind)
{
        return kind_names[kind];
}

static struct orphan *add(struct list *list, enum orphan_kind kind, const char *vm, char *what_consume,
                          size_t at)
{
        ARRAY_GROW(list->items, list->n);
        list->items[list->n] =
                (struct orphan){ .kind = kind, .vm = xstrdup_null(vm), .what = what_consume, .at = at };
        return &list->items[list->n++];
}

static const struct survey_vm *find_vm(const struct survey *survey, const char *name)
{
        for (size_t i = 0; i < survey->n_vms; i++)
                if (strcmp(survey->vms[i].name, name) == 0)
                        return &survey->vms[i];
        return NULL;
}

/* Does somebody look after that run, or can somebody take it over? */
static bool is_looked_after(const struct survey *survey, const char *vm, const char *generation)
{
        const struct survey_vm *seen = find_vm(survey, vm);

        if (!seen || (!seen->held && !seen->qemu))
                return false;
        /* One that has just begun has not written down which it is. */
        return !seen->generation || strcmp(seen->generation, generation) == 0;
}

static pid_t qemu_of(const struct survey *survey, const char *vm, const char *generation)
{
        for (size_t i = 0; i < survey->n_processes; i++)
                if (strcmp(survey->processes[i].vm, vm) == 0 &&
                    strcmp(survey->processes[i].generation, generation) == 0)
                        return survey->processes[i].pid;
        return 0;
}

/* What the VM's own journal names goes with its undo. */
static bool is_named(const struct survey *survey, const char *vm, const char *generation, const char *kind,
                     const char *what)
{
        const struct survey_vm *seen = find_vm(survey, vm);
        _cleanup_free_ char *wanted = xasprintf("%s %s", kind, what);
        json_t *named;
        size_t i;

        if (!seen || !seen->generation || strcmp(seen->generation, generation) != 0)
                return false;
        json_array_foreach (seen->named, i, named)
                if (strcmp(json_string_value(named), wanted) == 0)
                        return true;
        return false;
}

/* Is the mark ours, and of a run that is over? Both strings are new then. */
static bool is_over(const struct survey *survey, const char *mark, char **ret_vm, char **ret_generation)
{
        char *vm, *generation;

        if (!mark || !generation_read_mark(mark, &vm, &generation))
                return false;
        if (!generation_is_of(generation, survey->instance) || is_looked_after(survey, vm, generation)) {
                free(vm);
                free(generation);
                return false;
        }
        *ret_vm = vm;
        *ret_generation = generation;
        return true;
}

static char *over_text(const char *generation)
{
        return xasprintf("of run %s, which is over", generation);
}

static void find_qemus(const struct survey *survey, struct list *list)
{
        for (size_t i = 0; i < survey->n_processes; i++) {
                const struct survey_process *process = &survey->processes[i];
                struct orphan *orphan;

                /* Anybody may write anything on a command line; those uids are QEMU's alone. */
                if (process->uid < survey->uid_first || process->uid > survey->uid_last ||
                    !generation_is_of(process->generation, survey->instance) ||
                    is_looked_after(survey, process->vm, process->generation))
                        continue;
                orphan = add(list, ORPHAN_QEMU, process->vm, xasprintf("process %d", (int)process->pid), i);
                orphan->kept = true;
                orphan->why = xasprintf("runs without anybody who knows it: 'vmlaunch destroy %s' ends it",
                                        process->vm);
        }
}

static void find_taps(const struct survey *survey, struct list *list)
{
        for (size_t i = 0; i < survey->n_taps; i++) {
                const struct survey_tap *tap = &survey->taps[i];
                _cleanup_free_ char *vm = NULL, *generation = NULL, *over = NULL;
                struct orphan *orphan;
                pid_t pid;

                if (!is_over(survey, tap->alias, &vm, &generation) ||
                    is_named(survey, vm, generation, "tap", tap->ifname))
                        continue;
                over = over_text(generation);
                pid = qemu_of(survey, vm, generation);
                orphan = add(list, tap->index ? ORPHAN_TAP : ORPHAN_PORT, vm, xstrdup(tap->ifname), i);
                orphan->kept = pid != 0;
                if (pid)
                        orphan->why = xasprintf("process %d uses it", (int)pid);
                else
                        orphan->why = *tap->bridge ? xasprintf("on bridge '%s', %s", tap->bridge, over)
                                                   : xstrdup(over);
        }
}

static void find_groups(const struct survey *survey, struct list *list)
{
        for (size_t i = 0; i < survey->n_groups; i++) {
                const struct cgroup_found *group = &survey->groups[i];
                _cleanup_free_ char *vm = NULL, *generation = NULL, *path = NULL;
                struct orphan *orphan;

                if (!is_over(survey, group->mark, &vm, &generation) ||
                    is_named(survey, vm, generation, "cgroup", group->path))
                        continue;
                /* A mark moved elsewhere proves nothing. */
                if (!cgroup_is_vm_path(group->path, vm))
                        continue;
                path = xstrdup(group->path);
                orphan = add(list, ORPHAN_CGROUP, vm, TAKE_PTR(path), i);
                orphan->kept = group->n_pids > 0;
                if (orphan->kept)
                        orphan->why = xasprintf("process %d is in it: 'vmlaunch destroy %s' ends it",
                                                (int)group->pids[0], vm);
                else
                        orphan->why = over_text(generation);
        }
}

/* Does any run of that VM go on, or wait for its undo, which takes its images along? */
static bool has_run(const struct survey *survey, const char *vm)
{
        const struct survey_vm *seen = find_vm(survey, vm);

        for (size_t i = 0; i < survey->n_processes; i++)
                if (strcmp(survey->processes[i].vm, vm) == 0)
                        return true;
        return seen && (seen->held || seen->qemu || seen->generation);
}

static void find_images(const struct survey *survey, struct list *list)
{
        for (size_t i = 0; i < survey->n_images; i++) {
                const struct survey_image *image = &survey->images[i];

                if (!has_run(survey, image->vm))
                        add(list, ORPHAN_IMAGE, image->vm, xasprintf("overlays/%s", image->file), i)->why =
                                xstrdup("of a run that is over");
        }
}

static void find_files(const struct survey *survey, struct list *list)
{
        for (size_t i = 0; survey->gone && survey->gone[i]; i++)
                add(list, ORPHAN_DIRECTORY, NULL, xstrdup(survey->gone[i]), i)->why =
                        xstrdup("its removal was begun and not ended");
        for (size_t i = 0; i < survey->n_locks; i++)
                add(list, ORPHAN_LOCK, NULL, xstrdup(survey->locks[i].name), i)->why =
                        xstrdup("its holder has ended");
}

void orphans_find(const struct survey *survey, struct orphan **ret, size_t *ret_n)
{
        struct list list = { 0 };

        find_qemus(survey, &list);
        find_taps(survey, &list);
        find_groups(survey, &list);
        find_images(survey, &list);
        find_files(survey, &list);
        *ret = list.items;
        *ret_n = list.n;
}

void orphans_free(struct orphan *orphans, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                free(orphans[i].vm);
                free(orphans[i].what);
                free(orphans[i].why);
        }
        free(orphans);
}

char *orphan_text(const struct orphan *orphan)
{
        static const char *const words[ORPHAN_KINDS] = {
                [ORPHAN_QEMU] = "QEMU (",
                [ORPHAN_TAP] = "tap ",
                [ORPHAN_CGROUP] = "control group ",
                [ORPHAN_DIRECTORY] = "directory ",
                [ORPHAN_LOCK] = "lock file ",
                [ORPHAN_IMAGE] = "image ",
                [ORPHAN_PORT] = "port of Open vSwitch ",
        };

        return xasprintf("%s%s%s %s", words[orphan->kind], orphan->what,
                         orphan->kind == ORPHAN_QEMU ? ")" : ",", orphan->why);
}
