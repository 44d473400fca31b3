#include "cgroups/cgroup_host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/fd.h"
#include "base/text.h"

#define MOUNTINFO_BYTES_MAX (4 << 20)
#define SMALL_FILE_MAX      65536
#define HIERARCHIES_MAX     16
#define SWAP_MAX            "memory.swap.max"
/* file-hierarchy(7) */
#define UNIFIED_MOUNT "/sys/fs/cgroup"

static const char *const kind_names[] = {
        [CGROUP_NONE] = "none",
        [CGROUP_V1] = "v1",
        [CGROUP_V2] = "v2",
        [CGROUP_HYBRID] = "hybrid",
};

const char *cgroup_kind_name(enum cgroup_kind kind)
{
        return kind_names[kind];
}

void cgroup_host_done(struct cgroup_host *host)
{
        for (size_t i = 0; i < host->n_v1; i++) {
                free(host->v1[i].controllers);
                free(host->v1[i].mount);
        }
        free(host->v1);
        free(host->v2_mount);
        free(host->v2_controllers);
        free(host->files);
        *host = (struct cgroup_host){ 0 };
}

bool cgroup_has_word(const char *list, const char *separators, const char *word)
{
        size_t n = strlen(word);

        while (*list) {
                size_t length = strcspn(list, separators);

                if (length == n && memcmp(list, word, n) == 0)
                        return true;
                list += length;
                list += strspn(list, separators);
        }
        return false;
}

unsigned cgroup_host_version(const struct cgroup_host *host)
{
        switch (host->kind) {
        case CGROUP_V1:
        case CGROUP_HYBRID:
                return 1;
        case CGROUP_V2:
                return 2;
        case CGROUP_NONE:
                break;
        }
        return 0;
}

const struct cgroup_hierarchy *cgroup_host_v1(const struct cgroup_host *host, const char *controller)
{
        for (size_t i = 0; i < host->n_v1; i++)
                if (cgroup_has_word(host->v1[i].controllers, ",", controller))
                        return &host->v1[i];
        return NULL;
}

bool cgroup_host_has(const struct cgroup_host *host, const char *controller)
{
        const struct cgroup_hierarchy *hierarchy;

        if (host->kind == CGROUP_V2)
                return host->v2_writable && cgroup_has_word(host->v2_controllers, " ", controller);
        hierarchy = cgroup_host_v1(host, controller);
        return hierarchy && hierarchy->writable;
}

bool cgroup_host_has_file(const struct cgroup_host *host, const char *file)
{
        return host->files && cgroup_has_word(host->files, " ", file);
}

bool cgroup_hierarchy_is_used(const struct cgroup_hierarchy *hierarchy)
{
        static const char *const used[] = { "cpu",  "cpuacct", "cpuset",  "memory",
                                            "pids", "blkio",   "freezer", "devices" };

        for (size_t i = 0; i < ARRAY_SIZE(used); i++)
                if (cgroup_has_word(hierarchy->controllers, ",", used[i]))
                        return true;
        return false;
}

bool cgroup_host_can_group(const struct cgroup_host *host)
{
        if (host->kind == CGROUP_V2)
                return host->v2_writable;
        for (size_t i = 0; i < host->n_v1; i++)
                if (host->v1[i].writable && cgroup_hierarchy_is_used(&host->v1[i]))
                        return true;
        return false;
}

/* The next line of *text, NUL-terminated by this; NULL at the end. */
static char *next_line(char **text)
{
        char *line = *text;

        if (!line || !*line)
                return NULL;
        *text = strchrnul(line, '\n');
        if (**text)
                *(*text)++ = '\0';
        return line;
}

/* mountinfo writes blank, tab, newline and backslash as \ooo (seq_path()). */
static void unescape(char *s)
{
        char *out = s;

        for (; *s; s++)
                if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
                    s[3] <= '7') {
                        *out++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
                        s += 3;
                } else
                        *out++ = *s;
        *out = '\0';
}

/* Which words are controllers: the kernel's own list, else (no /proc/cgroups) those there have been. */
static bool is_controller(const char *proc_cgroups, const char *word)
{
        static const char known[] = "cpuset cpu cpuacct blkio memory devices freezer net_cls perf_event "
                                    "net_prio hugetlb pids rdma misc";
        size_t n = strlen(word);

        if (!*proc_cgroups)
                return cgroup_has_word(known, " ", word);
        for (const char *line = proc_cgroups; *line; line += strcspn(line, "\n"), line += *line == '\n')
                if (*line != '#' && strcspn(line, " \t\n") == n && memcmp(line, word, n) == 0)
                        return true;
        return false;
}

static char *controllers_of(const char *options, const char *proc_cgroups)
{
        struct text found = TEXT_INIT;

        while (*options) {
                size_t length = strcspn(options, ",");
                _cleanup_free_ char *word = xstrndup(options, length);

                if (*word && is_controller(proc_cgroups, word))
                        text_addf(&found, "%s%s", found.length ? "," : "", word);
                options += length;
                options += *options == ',';
        }
        return text_take(&found);
}

static void add_v1(struct cgroup_host *host, const char *mount, const char *options, bool writable,
                   const char *proc_cgroups)
{
        _cleanup_free_ char *controllers = controllers_of(options, proc_cgroups);
        size_t at = 0;

        if (!*controllers || host->n_v1 >= HIERARCHIES_MAX)
                return;
        for (; at < host->n_v1; at++) {
                int order = strcmp(controllers, host->v1[at].controllers);

                /* Mounted a second time: the first place is as good. */
                if (order == 0)
                        return;
                if (order < 0)
                        break;
        }
        ARRAY_GROW(host->v1, host->n_v1);
        memmove(&host->v1[at + 1], &host->v1[at], (host->n_v1 - at) * sizeof(host->v1[0]));
        host->n_v1++;
        host->v1[at] = (struct cgroup_hierarchy){ .controllers = TAKE_PTR(controllers),
                                                  .mount = xstrdup(mount),
                                                  .writable = writable };
}

/* "31 23 0:28 / /sys/fs/cgroup/cpu rw,relatime shared:5 - cgroup cgroup rw,cpu" (proc_pid_mountinfo(5)). */
static void parse_mount(char *line, const char *proc_cgroups, struct cgroup_host *host)
{
        enum { MOUNT = 4, FLAGS = 5, FIRST_OPTIONAL = 6 };
        char *fields[FIRST_OPTIONAL], *tail[3], *save = NULL, *word = strtok_r(line, " ", &save);
        size_t n = 0;
        bool writable;

        for (; word && n < FIRST_OPTIONAL; word = strtok_r(NULL, " ", &save))
                fields[n++] = word;
        while (word && strcmp(word, "-") != 0)
                word = strtok_r(NULL, " ", &save);
        if (n < FIRST_OPTIONAL || !word)
                return;
        for (n = 0; n < 3 && (word = strtok_r(NULL, " ", &save));)
                tail[n++] = word;
        if (n < 3)
                return;
        /* Both the mount and the file system behind it have to be writable. */
        writable = cgroup_has_word(fields[FLAGS], ",", "rw") && cgroup_has_word(tail[2], ",", "rw");
        unescape(fields[MOUNT]);
        if (fields[MOUNT][0] != '/')
                return;
        if (strcmp(tail[0], "cgroup") == 0)
                add_v1(host, fields[MOUNT], tail[2], writable, proc_cgroups);
        else if (strcmp(tail[0], "cgroup2") == 0 && !host->v2_mount) {
                host->v2_mount = xstrdup(fields[MOUNT]);
                host->v2_writable = writable;
        }
}

void cgroup_host_parse(const char *mountinfo, const char *proc_cgroups, const char *v2_controllers,
                       struct cgroup_host *ret)
{
        _cleanup_free_ char *copy = xstrdup(mountinfo);
        struct cgroup_host host = { 0 };
        char *rest = copy, *line;

        while ((line = next_line(&rest)))
                parse_mount(line, proc_cgroups, &host);
        if (host.v2_mount) {
                host.v2_controllers = xstrdup(v2_controllers ? v2_controllers : "");
                host.v2_controllers[strcspn(host.v2_controllers, "\n")] = '\0';
        }
        host.kind = host.n_v1 && host.v2_mount ? CGROUP_HYBRID
                    : host.n_v1                ? CGROUP_V1
                    : host.v2_mount            ? CGROUP_V2
                                               : CGROUP_NONE;
        *ret = host;
}

/* 1 read, 0 not there, -1 error. */
static int read_below(const char *root, const char *path, size_t max, char **ret, struct error **err)
{
        _cleanup_free_ char *whole = xasprintf("%s%s", root, path);

        if (fd_read_file_at(AT_FDCWD, whole, max, ret, NULL, err) == 0)
                return 1;
        if ((*err)->code != ERROR_OS || ((*err)->os_errno != ENOENT && (*err)->os_errno != ENOTDIR))
                return -1;
        error_free(*err);
        *err = NULL;
        return 0;
}

/* group: "" for the root group. */
static bool is_there(const char *root, const char *mount, const char *group, const char *file)
{
        _cleanup_free_ char *path = xasprintf("%s%s/%s/%s", root, mount, group, file);

        return access(path, F_OK) == 0;
}

/* The first group directly below the mount that has the file; NULL: none. */
static char *group_with(const char *root, const char *mount, const char *file)
{
        _cleanup_free_ char *path = xasprintf("%s%s", root, mount);
        DIR *stream = opendir(path);
        char *found = NULL;

        for (struct dirent *entry; stream && !found && (entry = readdir(stream));)
                if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
                    is_there(root, mount, entry->d_name, file))
                        found = xstrdup(entry->d_name);
        if (stream)
                closedir(stream);
        return found;
}

/* The mount of a controller of cgroup v1, or of v2 where all are there; NULL: the host does not have it so. */
static const char *mount_of(const struct cgroup_host *host, bool v2, const char *controller)
{
        const struct cgroup_hierarchy *at = v2 ? NULL : cgroup_host_v1(host, controller);

        if (v2 && host->kind == CGROUP_V2 && cgroup_has_word(host->v2_controllers, " ", controller))
                return host->v2_mount;
        return at ? at->mount : NULL;
}

/*
 * A file's presence, told by one that the same part of the kernel puts into the root group, else, as most files are in no
 * root group, by the first one below that has the controller: with it come the file beside and what all the others have.
 */
void cgroup_host_find_files(const char *root, struct cgroup_host *host)
{
        static const struct {
                bool v2;
                const char *controller, *file, *told_by, *beside;
        } rows[] = {
                { false, "memory", "memory.memsw.limit_in_bytes", "memory.memsw.limit_in_bytes", "tasks" },
                { false, "blkio", "blkio.weight", "blkio.weight", "tasks" },
                { false, "blkio", "blkio.bfq.weight", "blkio.bfq.io_service_bytes", "tasks" },
                { true, "io", "io.weight", "io.cost.qos", "io.stat" },
                { true, "io", "io.bfq.weight", "io.bfq.weight", "io.stat" },
                { true, "memory", SWAP_MAX, SWAP_MAX, "memory.max" },
        };
        _cleanup_text_ struct text files = TEXT_INIT;
        _cleanup_free_ char *group = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                const char *mount = mount_of(host, rows[i].v2, rows[i].controller);

                /* One that the row before has found is of another mount. */
                if (i && strcmp(rows[i].controller, rows[i - 1].controller) != 0)
                        free(TAKE_PTR(group));
                if (!mount)
                        continue;
                if (!is_there(root, mount, "", rows[i].told_by)) {
                        if (!group)
                                group = group_with(root, mount, rows[i].beside);
                        /* Swap is counted unless the kernel was told not to. */
                        if (group ? !is_there(root, mount, group, rows[i].file)
                                  : strcmp(rows[i].file, SWAP_MAX) != 0)
                                continue;
                }
                text_addf(&files, " %s", rows[i].file);
        }
        free(host->files);
        host->files = files.length ? xstrdup(text_str(&files) + 1) : NULL;
}

/*
 * The unified hierarchy where every host has it. 1: it has all the controllers that a VM's limits use, so no hierarchy of v1
 * has one of them, and mountinfo, which is long, need not be asked; 0: it has to be; -1: *err.
 */
static int read_unified(const char *root, struct cgroup_host *host, struct error **err)
{
        static const char *const limits[] = { "cpu", "cpuset", "memory", "io", "pids" };
        _cleanup_free_ char *path = xasprintf("%s" UNIFIED_MOUNT, root), *controllers = NULL;
        struct statfs fs;
        int there;

        if (statfs(path, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
                return 0;
        there = read_below(root, UNIFIED_MOUNT "/cgroup.controllers", SMALL_FILE_MAX, &controllers, err);
        if (there <= 0)
                return there;
        controllers[strcspn(controllers, "\n")] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
                if (!cgroup_has_word(controllers, " ", limits[i]))
                        return 0;
        *host = (struct cgroup_host){ .kind = CGROUP_V2,
                                      .v2_mount = xstrdup(UNIFIED_MOUNT),
                                      .v2_controllers = TAKE_PTR(controllers),
                                      /* Of the mount or of the file system behind it (statfs(2)). */
                                      .v2_writable = !(fs.f_flags & ST_RDONLY) };
        return 1;
}

static int read_mounts(const char *root, struct cgroup_host *host, struct error **err)
{
        _cleanup_free_ char *mountinfo = NULL, *proc_cgroups = NULL, *controllers = NULL, *path = NULL;

        /* /proc/cgroups tells controllers of v1 from mount options. */
        if (read_below(root, "/proc/self/mountinfo", MOUNTINFO_BYTES_MAX, &mountinfo, err) < 0 ||
            (mountinfo && strstr(mountinfo, " - cgroup ") &&
             read_below(root, "/proc/cgroups", SMALL_FILE_MAX, &proc_cgroups, err) < 0))
                return -1;
        cgroup_host_parse(mountinfo ? mountinfo : "", proc_cgroups ? proc_cgroups : "", NULL, host);
        if (!host->v2_mount)
                return 0;
        path = xasprintf("%s/cgroup.controllers", host->v2_mount);
        if (read_below(root, path, SMALL_FILE_MAX, &controllers, err) < 0)
                return -1;
        if (controllers) {
                controllers[strcspn(controllers, "\n")] = '\0';
                free(host->v2_controllers);
                host->v2_controllers = TAKE_PTR(controllers);
        }
        return 0;
}

int cgroup_host_read(const char *root, struct cgroup_host *ret, struct error **err)
{
        struct cgroup_host host = { 0 };
        int known = read_unified(root, &host, err);

        if (known < 0 || (!known && read_mounts(root, &host, err) < 0)) {
                cgroup_host_done(&host);
                return -1;
        }
        *ret = host;
        return 0;
}

static json_t *words_to_json(const char *list, const char *separators)
{
        json_t *array = json_array();

        while (*list) {
                size_t length = strcspn(list, separators);

                if (length)
                        json_array_append_new(array, json_stringn(list, length));
                list += length;
                list += strspn(list, separators);
        }
        return array;
}

/* An array of plain words as one string; NULL when it is not that. */
static char *words_from_json(const json_t *array, const char *separator)
{
        _cleanup_text_ struct text words = TEXT_INIT;
        const json_t *item;
        size_t i;

        if (!json_is_array(array))
                return NULL;
        json_array_foreach ((json_t *)array, i, item) {
                const char *word = json_string_value(item);

                if (!word || !*word || strpbrk(word, ", \t\n/"))
                        return NULL;
                text_addf(&words, "%s%s", i ? separator : "", word);
        }
        return text_take(&words);
}

json_t *cgroup_host_to_json(const struct cgroup_host *host)
{
        json_t *v1 = json_array(), *v2 = NULL;

        for (size_t i = 0; i < host->n_v1; i++)
                json_array_append_new(v1, json_pack("{s:o, s:s, s:b}", "controllers",
                                                    words_to_json(host->v1[i].controllers, ","), "mount",
                                                    host->v1[i].mount, "writable", host->v1[i].writable));
        if (host->v2_mount)
                v2 = json_pack("{s:s, s:o, s:b}", "mount", host->v2_mount, "controllers",
                               words_to_json(host->v2_controllers, " "), "writable", host->v2_writable);
        return json_pack("{s:s, s:o, s:o, s:o}", "kind", cgroup_kind_name(host->kind), "v1", v1, "v2",
                         v2 ? v2 : json_null(), "files", words_to_json(host->files ? host->files : "", " "));
}

/* 0, or -1 when it is not a recorded host; *host may be half filled then. */
static int unpack(const json_t *json, struct cgroup_host *host, json_error_t *why)
{
        json_t *v1, *v2, *item, *controllers, *files = NULL;
        const char *kind, *mount;
        int writable;
        size_t i;

        if (json_unpack_ex((json_t *)json, why, 0, "{s:s, s:o, s:o, s?:o}", "kind", &kind, "v1", &v1, "v2",
                           &v2, "files", &files) < 0)
                return -1;
        strcpy(why->text, "not a record of a host");
        if (!json_is_array(v1) || json_array_size(v1) > HIERARCHIES_MAX)
                return -1;
        json_array_foreach (v1, i, item) {
                struct cgroup_hierarchy one;

                if (json_unpack_ex(item, why, 0, "{s:o, s:s, s:b}", "controllers", &controllers, "mount",
                                   &mount, "writable", &writable) < 0)
                        return -1;
                one = (struct cgroup_hierarchy){ .controllers = words_from_json(controllers, ","),
                                                 .writable = writable };
                if (!one.controllers) {
                        strcpy(why->text, "controllers are a list of names");
                        return -1;
                }
                one.mount = xstrdup(mount);
                ARRAY_GROW(host->v1, host->n_v1);
                host->v1[host->n_v1++] = one;
        }
        if (!json_is_null(v2)) {
                if (json_unpack_ex(v2, why, 0, "{s:s, s:o, s:b}", "mount", &mount, "controllers",
                                   &controllers, "writable", &writable) < 0)
                        return -1;
                host->v2_mount = xstrdup(mount);
                host->v2_writable = writable;
                host->v2_controllers = words_from_json(controllers, " ");
                if (!host->v2_controllers) {
                        strcpy(why->text, "controllers are a list of names");
                        return -1;
                }
        }
        if (files) {
                host->files = words_from_json(files, " ");
                if (!host->files) {
                        strcpy(why->text, "files are a list of names");
                        return -1;
                }
        }
        host->kind = host->n_v1 ? (host->v2_mount ? CGROUP_HYBRID : CGROUP_V1)
                                : (host->v2_mount ? CGROUP_V2 : CGROUP_NONE);
        strcpy(why->text, "kind and mounts do not agree");
        return strcmp(kind, cgroup_kind_name(host->kind)) == 0 ? 0 : -1;
}

int cgroup_host_from_json(const json_t *json, struct cgroup_host *ret, struct error **err)
{
        struct cgroup_host host = { 0 };
        json_error_t why;

        if (unpack(json, &host, &why) < 0) {
                cgroup_host_done(&host);
                return error_set(err, ERROR_INVALID, "cgroup facts of the host: %s", why.text);
        }
        *ret = host;
        return 0;
}
