#include "cgroups/cgroup_apply.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cgroups/cgroup_places.h"
#include "cgroups/cgroup_plan.h"

/* What is switched on for the group on v2, where the parents allow it. */
static const char *const v2_controllers[] = { "cpu", "memory", "io", "pids" };

/* A v1 cpuset takes no process before it has cpus and mems: the parent's, top down. */
static int fill_cpuset(const char *parent, const char *dir, struct error **err)
{
        static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };

        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *own = NULL, *above = NULL;

                if (cgroup_dir_read(dir, files[i], CGROUP_FILE_BYTES_MAX, &own, err) < 0)
                        return -1;
                if (own[strspn(own, " \n")] != '\0')
                        continue;
                if (cgroup_dir_read(parent, files[i], CGROUP_FILE_BYTES_MAX, &above, err) < 0)
                        return -1;
                above[strcspn(above, "\n")] = '\0';
                if (cgroup_dir_write(dir, files[i], above, err) < 0)
                        return -1;
        }
        return 0;
}

/*
 * Switches our controllers on for the children of dir. As far as allowed: one that cannot be had shows when a
 * limit of it is written. What is on already is not written again, each change walks the whole tree.
 */
static void enable_v2(const char *dir)
{
        struct error *ignored = NULL;
        _cleanup_free_ char *offered = NULL, *enabled = NULL;
        _cleanup_text_ struct text wanted = TEXT_INIT;

        if (cgroup_dir_read(dir, "cgroup.controllers", CGROUP_FILE_BYTES_MAX, &offered, &ignored) < 0 ||
            cgroup_dir_read(dir, "cgroup.subtree_control", CGROUP_FILE_BYTES_MAX, &enabled, &ignored) < 0) {
                error_free(ignored);
                return;
        }
        offered[strcspn(offered, "\n")] = '\0';
        enabled[strcspn(enabled, "\n")] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(v2_controllers); i++)
                if (cgroup_has_word(offered, " ", v2_controllers[i]) &&
                    !cgroup_has_word(enabled, " ", v2_controllers[i]))
                        text_addf(&wanted, "%s+%s", wanted.length ? " " : "", v2_controllers[i]);
        if (!wanted.length || cgroup_dir_try_write(dir, "cgroup.subtree_control", text_str(&wanted)) == 0)
                return;
        /* All or none in one write: one at a time then. */
        for (size_t i = 0; i < ARRAY_SIZE(v2_controllers); i++)
                if (cgroup_has_word(offered, " ", v2_controllers[i]) &&
                    !cgroup_has_word(enabled, " ", v2_controllers[i])) {
                        _cleanup_free_ char *one = xasprintf("+%s", v2_controllers[i]);

                        cgroup_dir_try_write(dir, "cgroup.subtree_control", one);
                }
}

static int group_is_taken(const char *dir, struct error **err)
{
        _cleanup_cgroup_pids_ struct cgroup_pids pids = { 0 };
        _cleanup_text_ struct text names = TEXT_INIT;

        if (cgroup_pids_below(dir, CGROUP_DEPTH_MAX, &pids, err) < 0)
                return -1;
        cgroup_pids_text(&pids, &names);
        return error_set(err, ERROR_BUSY, "control group '%s' exists already (processes: %s)", dir,
                         pids.n ? text_str(&names) : "none that can be seen");
}

/* Makes the group and its parents in one hierarchy. */
static int create_in(const struct cgroup_place *place, struct error **err)
{
        _cleanup_free_ char *dir = xstrdup(place->dir);
        char *slash = dir + strlen(place->mount);

        /* Each round makes dir up to the next slash, with what is before it as the parent. */
        for (;;) {
                char *next = strchrnul(slash + 1, '/');
                bool last = !*next;
                int why = 0;

                if (place->v2) {
                        *slash = '\0';
                        enable_v2(dir);
                        *slash = '/';
                }
                *next = '\0';
                if (mkdir(dir, 0755) < 0)
                        why = errno;
                /* Left by a VM that is dead: made anew, so that none of its limits stay. */
                if (why == EEXIST && last) {
                        why = cgroup_dir_remove(dir, CGROUP_DEPTH_MAX);
                        if (why == EBUSY || why == ENOTEMPTY)
                                return group_is_taken(dir, err);
                        if (why == 0 && mkdir(dir, 0755) < 0)
                                why = errno;
                } else if (why == EEXIST)
                        why = 0;
                if (why)
                        return error_os(err, why, "create control group '%s'", dir);
                if (place->cpuset) {
                        _cleanup_free_ char *parent = xstrndup(dir, (size_t)(slash - dir));

                        if (fill_cpuset(parent, dir, err) < 0) {
                                if (last)
                                        rmdir(dir);
                                return error_wrap(err, "give control group '%s' its CPUs", dir);
                        }
                }
                if (last)
                        return 0;
                *next = '/';
                slash = next;
        }
}

/* The mount's flags said writable, this caller or this kernel says no: the hierarchy is done without. */
static bool is_unusable(const struct error *error)
{
        return error->code == ERROR_OS &&
               (error->os_errno == EROFS || error->os_errno == EACCES || error->os_errno == EPERM);
}

int cgroup_create(const struct cgroup_host *host, const char *path, struct argv *ret_directories,
                  struct error **err)
{
        _cleanup_cgroup_places_ struct cgroup_places places = { 0 };
        _cleanup_argv_ struct argv made = ARGV_INIT;
        _cleanup_error_ struct error *skipped = NULL;

        if (cgroup_places_find(host, path, &places, err) < 0)
                return -1;
        for (size_t i = 0; i < places.n && !*err; i++) {
                if (create_in(&places.at[i], err) == 0)
                        argv_add(&made, places.at[i].dir);
                else if (is_unusable(*err)) {
                        error_free(skipped);
                        skipped = TAKE_PTR(*err);
                }
        }
        if (!*err && made.n == 0)
                *err = TAKE_PTR(skipped);
        if (*err) {
                for (size_t i = made.n; i-- > 0;)
                        rmdir(made.items[i]);
                return -1;
        }
        if (ret_directories)
                for (size_t i = 0; i < made.n; i++)
                        argv_add(ret_directories, made.items[i]);
        return 0;
}

int cgroup_create_below(const struct cgroup_host *host, const char *path, struct error **err)
{
        struct cgroup_place place = { 0 };
        int result;

        if (cgroup_path_check(path, err) < 0)
                return -1;
        if (host->kind != CGROUP_V2 || !strchr(path, '/'))
                return error_set(err, ERROR_INVALID, "'%s' cannot be a sub-group here", path);
        place.dir = xasprintf("%s/%s", host->v2_mount, path);
        place.mount = xstrndup(place.dir, (size_t)(strrchr(place.dir, '/') - place.dir));
        result = create_in(&place, err);
        free(place.dir);
        free(place.mount);
        return result;
}

int cgroup_create_in(const struct cgroup_host *host, const char *path, const char *controller,
                     struct error **err)
{
        const struct cgroup_hierarchy *hierarchy = cgroup_host_v1(host, controller);
        struct cgroup_hierarchy copy = hierarchy ? *hierarchy : (struct cgroup_hierarchy){ 0 };
        const struct cgroup_host alone = { .kind = CGROUP_V1, .v1 = &copy, .n_v1 = hierarchy ? 1 : 0 };

        return cgroup_create(&alone, path, NULL, err);
}

/* The group's directory that has the controller's files; new string. */
static int directory_of(const struct cgroup_host *host, const char *path, const char *controller, char **ret,
                        struct error **err)
{
        _cleanup_cgroup_places_ struct cgroup_places places = { 0 };
        const struct cgroup_hierarchy *hierarchy;

        if (cgroup_places_find(host, path, &places, err) < 0)
                return -1;
        if (host->kind == CGROUP_V2 || !controller) {
                *ret = xstrdup(places.at[0].dir);
                return 0;
        }
        hierarchy = cgroup_host_v1(host, controller);
        if (!hierarchy || !hierarchy->writable)
                return error_set(err, ERROR_HOST, "controller '%s' is %s on this host", controller,
                                 hierarchy ? "read-only" : "not mounted");
        *ret = xasprintf("%s/%s", hierarchy->mount, path);
        return 0;
}

static int file_check(const char *file, struct error **err)
{
        _cleanup_free_ char *shown = text_printable(file);

        if (!*file || *file == '.' || strchr(file, '/'))
                return error_set(err, ERROR_INVALID, "'%s' is not a control file", shown);
        return 0;
}

int cgroup_write(const struct cgroup_host *host, const char *path, const char *controller, const char *file,
                 const char *value, struct error **err)
{
        _cleanup_free_ char *dir = NULL;

        if (file_check(file, err) < 0 || directory_of(host, path, controller, &dir, err) < 0)
                return -1;
        if (cgroup_dir_write(dir, file, value, err) == 0)
                return 0;
        if ((*err)->os_errno == ENOENT && dir && access(dir, F_OK) == 0)
                return error_wrap(err, "the controller of '%s' is not enabled for this group", file);
        return -1;
}

int cgroup_read(const struct cgroup_host *host, const char *path, const char *controller, const char *file,
                char **ret_text, struct error **err)
{
        _cleanup_free_ char *dir = NULL;
        char *text;
        size_t n;

        if (file_check(file, err) < 0 || directory_of(host, path, controller, &dir, err) < 0 ||
            cgroup_dir_read(dir, file, CGROUP_FILE_BYTES_MAX, &text, err) < 0)
                return -1;
        n = strlen(text);
        if (n && text[n - 1] == '\n')
                text[n - 1] = '\0';
        *ret_text = text;
        return 0;
}
