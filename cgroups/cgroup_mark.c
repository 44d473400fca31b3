/* Whose group it is: written into it, and read of all that are there. */
#include <dirent.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/text.h"
#include "cgroups/cgroup_apply.h"
#include "cgroups/cgroup_places.h"
#include "cgroups/cgroup_plan.h"

/* Control groups have trusted attributes with or without the mount option "xattr". */
#define MARK_ATTRIBUTE "trusted.vmlaunch"
#define MARK_MAX       511

void cgroup_mark(const struct cgroup_host *host, const char *path, const char *mark)
{
        _cleanup_cgroup_places_ struct cgroup_places places = { 0 };
        _cleanup_error_ struct error *ignored = NULL;

        if (cgroup_places_find(host, path, &places, &ignored) < 0)
                return;
        for (size_t i = 0; i < places.n; i++)
                setxattr(places.at[i].dir, MARK_ATTRIBUTE, mark, strlen(mark), 0);
}

void cgroup_found_done(struct cgroup_found *found)
{
        free(found->path);
        free(found->mark);
        free(found->pids);
        *found = (struct cgroup_found){ 0 };
}

/* A mark of another form than ours would not be known as one anyway. */
static void add_mark(struct cgroup_found *found, const char *dir)
{
        char mark[MARK_MAX + 1];
        ssize_t n = getxattr(dir, MARK_ATTRIBUTE, mark, MARK_MAX);

        if (n <= 0 || found->marked_twice)
                return;
        mark[n] = '\0';
        if (!found->mark) {
                found->mark = xstrdup(mark);
                return;
        }
        if (strcmp(found->mark, mark) == 0)
                return;
        found->marked_twice = true;
        free(TAKE_PTR(found->mark));
}

int cgroup_look(const struct cgroup_host *host, const char *path, struct cgroup_found *ret,
                struct error **err)
{
        _cleanup_(cgroup_found_done) struct cgroup_found found = { .path = xstrdup(path) };
        _cleanup_cgroup_places_ struct cgroup_places places = { 0 };
        _cleanup_cgroup_pids_ struct cgroup_pids pids = { 0 };
        bool exists = false;

        if (cgroup_path_check(path, err) < 0)
                return -1;
        if (cgroup_places_find(host, path, &places, err) < 0) {
                if ((*err)->code != ERROR_HOST)
                        return -1;
                error_free(TAKE_PTR(*err));
                return 0;
        }
        for (size_t i = 0; i < places.n; i++) {
                if (access(places.at[i].dir, F_OK) < 0)
                        continue;
                exists = true;
                add_mark(&found, places.at[i].dir);
        }
        if (!exists)
                return 0;
        if (cgroup_pids_collect(&places, &pids, err) < 0)
                return -1;
        found.n_pids = pids.n;
        found.pids = TAKE_PTR(pids.items);
        *ret = found;
        found = (struct cgroup_found){ 0 };
        return 1;
}

static bool is_found(const struct cgroup_found *found, size_t n, const char *path)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(found[i].path, path) == 0)
                        return true;
        return false;
}

/* Those in one hierarchy that were in none before: VMs' groups are in slices, and those in slices. parent: below the
 * mount, "": the mount itself. */
static int find_in(const struct cgroup_host *host, const char *mount, const char *parent, unsigned depth,
                   struct cgroup_found **all, size_t *n, struct error **err)
{
        _cleanup_free_ char *directory = xasprintf("%s/%s", mount, parent);
        DIR *dir = opendir(directory);

        for (struct dirent *entry; dir && !*err && (entry = readdir(dir));) {
                _cleanup_free_ char *path = xasprintf("%s%s%s", parent, *parent ? "/" : "", entry->d_name);
                struct cgroup_found one;

                if (entry->d_type != DT_DIR)
                        continue;
                if (text_ends_with(entry->d_name, ".slice") && depth < CGROUP_DEPTH_MAX)
                        find_in(host, mount, path, depth + 1, all, n, err);
                if (!*parent || !text_starts_with(entry->d_name, CGROUP_VM_PREFIX) ||
                    is_found(*all, *n, path) || cgroup_look(host, path, &one, err) <= 0)
                        continue;
                ARRAY_GROW(*all, *n);
                (*all)[(*n)++] = one;
        }
        if (dir)
                closedir(dir);
        return *err ? -1 : 0;
}

int cgroup_find_all(const struct cgroup_host *host, struct cgroup_found **ret, size_t *ret_n,
                    struct error **err)
{
        _cleanup_cgroup_places_ struct cgroup_places places = { 0 };
        struct cgroup_found *all = NULL;
        size_t n = 0;

        *ret = NULL;
        *ret_n = 0;
        if (cgroup_places_find(host, CGROUP_VM_PARENT, &places, err) < 0) {
                if ((*err)->code != ERROR_HOST)
                        return -1;
                error_free(TAKE_PTR(*err));
                return 0;
        }
        for (size_t i = 0; i < places.n && !*err; i++)
                find_in(host, places.at[i].mount, "", 0, &all, &n, err);
        if (*err) {
                while (n)
                        cgroup_found_done(&all[--n]);
                free(all);
                return -1;
        }
        *ret = all;
        *ret_n = n;
        return 0;
}
