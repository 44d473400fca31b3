#include "cgroups/cgroup_places.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "cgroups/cgroup_plan.h"

#define PROCS_BYTES_MAX (1 << 20)
#define PIDS_NAMED_MAX  10

void cgroup_places_done(struct cgroup_places *places)
{
        for (size_t i = 0; i < places->n; i++) {
                free(places->at[i].mount);
                free(places->at[i].dir);
        }
        places->n = 0;
}

static void add_place(struct cgroup_places *places, const char *mount, const char *path, bool cpuset,
                      bool freezer, bool v2)
{
        if (places->n < CGROUP_HIERARCHIES_MAX)
                places->at[places->n++] = (struct cgroup_place){ .mount = xstrdup(mount),
                                                                 .dir = xasprintf("%s/%s", mount, path),
                                                                 .cpuset = cpuset,
                                                                 .freezer = freezer,
                                                                 .v2 = v2 };
}

int cgroup_places_find(const struct cgroup_host *host, const char *path, struct cgroup_places *ret,
                       struct error **err)
{
        if (cgroup_path_check(path, err) < 0)
                return -1;
        if (host->kind == CGROUP_V2 && host->v2_writable)
                add_place(ret, host->v2_mount, path, false, false, true);
        for (size_t i = 0; i < host->n_v1; i++) {
                const struct cgroup_hierarchy *one = &host->v1[i];

                if (one->writable && cgroup_hierarchy_is_used(one))
                        add_place(ret, one->mount, path, cgroup_has_word(one->controllers, ",", "cpuset"),
                                  cgroup_has_word(one->controllers, ",", "freezer"), false);
        }
        if (ret->n == 0)
                return error_set(err, ERROR_HOST, "no control group hierarchy can be written on this host");
        return 0;
}

int cgroup_dir_read(const char *dir, const char *file, size_t max, char **ret_text, struct error **err)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, file);

        return fd_read_file_at(AT_FDCWD, path, max, ret_text, NULL, err);
}

int cgroup_dir_write(const char *dir, const char *file, const char *value, struct error **err)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, file);

        return fd_write_existing_at(AT_FDCWD, path, value, err);
}

int cgroup_dir_try_write(const char *dir, const char *file, const char *value)
{
        struct error *err = NULL;
        int why = 0;

        if (cgroup_dir_write(dir, file, value, &err) < 0) {
                why = err->os_errno ? err->os_errno : EIO;
                error_free(err);
        }
        return why;
}

void cgroup_pids_done(struct cgroup_pids *pids)
{
        free(pids->items);
        *pids = (struct cgroup_pids){ 0 };
}

bool cgroup_pids_have(const struct cgroup_pids *pids, pid_t pid)
{
        for (size_t i = 0; i < pids->n; i++)
                if (pids->items[i] == pid)
                        return true;
        return false;
}

int cgroup_pids_below(const char *dir, unsigned depth, struct cgroup_pids *pids, struct error **err)
{
        _cleanup_free_ char *text = NULL;
        DIR *stream;

        if (cgroup_dir_read(dir, "cgroup.procs", PROCS_BYTES_MAX, &text, err) < 0) {
                /* ENODEV: removed while it was open. EOPNOTSUPP: a threaded v2 group, its parent has the
                 * list. */
                if ((*err)->os_errno != ENOENT && (*err)->os_errno != ENODEV &&
                    (*err)->os_errno != EOPNOTSUPP)
                        return -1;
                error_free(*err);
                *err = NULL;
        }
        for (char *line = text, *end; line && *line; line = end) {
                uint32_t pid;

                end = strchrnul(line, '\n');
                if (*end)
                        *end++ = '\0';
                /* 0 stands for a process of another pid namespace: out of reach. */
                if (!text_parse_u32(line, &pid) || pid == 0 || pid > INT32_MAX ||
                    cgroup_pids_have(pids, (pid_t)pid))
                        continue;
                ARRAY_GROW(pids->items, pids->n);
                pids->items[pids->n++] = (pid_t)pid;
        }
        stream = depth ? opendir(dir) : NULL;
        for (struct dirent *entry; stream && !*err && (entry = readdir(stream));) {
                _cleanup_free_ char *below = xasprintf("%s/%s", dir, entry->d_name);

                if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
                        cgroup_pids_below(below, depth - 1, pids, err);
        }
        if (stream)
                closedir(stream);
        return *err ? -1 : 0;
}

int cgroup_pids_collect(const struct cgroup_places *places, struct cgroup_pids *pids, struct error **err)
{
        for (size_t i = 0; i < places->n; i++)
                if (cgroup_pids_below(places->at[i].dir, CGROUP_DEPTH_MAX, pids, err) < 0)
                        return -1;
        return 0;
}

void cgroup_pids_text(const struct cgroup_pids *pids, struct text *out)
{
        for (size_t i = 0; i < pids->n && i < PIDS_NAMED_MAX; i++)
                text_addf(out, "%s%d", i ? ", " : "", (int)pids->items[i]);
        if (pids->n > PIDS_NAMED_MAX)
                text_addf(out, " and %zu more", pids->n - PIDS_NAMED_MAX);
}

int cgroup_dir_remove(const char *dir, unsigned depth)
{
        DIR *stream;
        int why = 0;

        if (rmdir(dir) == 0 || errno == ENOENT)
                return 0;
        if ((errno != EBUSY && errno != ENOTEMPTY) || !depth)
                return errno;
        /* EBUSY is said for processes and for groups below alike. */
        stream = opendir(dir);
        if (!stream)
                return errno == ENOENT ? 0 : errno;
        for (struct dirent *entry; !why && (entry = readdir(stream));) {
                _cleanup_free_ char *below = xasprintf("%s/%s", dir, entry->d_name);

                if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
                        why = cgroup_dir_remove(below, depth - 1);
        }
        closedir(stream);
        if (!why && rmdir(dir) < 0 && errno != ENOENT)
                why = errno;
        return why;
}
