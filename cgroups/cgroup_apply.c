#include "cgroups/cgroup_apply.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "cgroups/cgroup_plan.h"

#define FILE_BYTES_MAX  65536
#define PROCS_BYTES_MAX (1 << 20)
/* Groups below the VM's: vCPU and helper groups at most, so this is generous. */
#define DEPTH_MAX      8
#define PIDS_NAMED_MAX 10

/* The controllers whose v1 hierarchies a VM has a group in. */
static const char *const used_controllers[] = { "cpu",  "cpuacct", "cpuset",  "memory",
                                                "pids", "blkio",   "freezer", "devices" };
/* What is switched on for the group on v2, where the parents allow it. */
static const char *const v2_controllers[] = { "cpu", "memory", "io", "pids" };

/* Where the group is: one directory per hierarchy in use. */
struct place {
        char *mount, *dir;
        bool cpuset, freezer, v2;
};

struct places {
        struct place at[CGROUP_HIERARCHIES_MAX];
        size_t n;
};

static void places_done(struct places *places)
{
        for (size_t i = 0; i < places->n; i++) {
                free(places->at[i].mount);
                free(places->at[i].dir);
        }
        places->n = 0;
}
#define _cleanup_places_ _cleanup_(places_done)

static bool has_word(const char *list, char separator, const char *word)
{
        size_t n = strlen(word);

        for (;; list++) {
                const char *end = strchrnul(list, separator);

                if ((size_t)(end - list) == n && memcmp(list, word, n) == 0)
                        return true;
                if (!*end)
                        return false;
                list = end;
        }
}

static void add_place(struct places *places, const char *mount, const char *path, bool cpuset, bool freezer,
                      bool v2)
{
        if (places->n < CGROUP_HIERARCHIES_MAX)
                places->at[places->n++] = (struct place){ .mount = xstrdup(mount),
                                                          .dir = xasprintf("%s/%s", mount, path),
                                                          .cpuset = cpuset,
                                                          .freezer = freezer,
                                                          .v2 = v2 };
}

static int find_places(const struct cgroup_host *host, const char *path, struct places *ret,
                       struct error **err)
{
        if (cgroup_path_check(path, err) < 0)
                return -1;
        if (host->kind == CGROUP_V2 && host->v2_writable)
                add_place(ret, host->v2_mount, path, false, false, true);
        for (size_t i = 0; i < host->n_v1; i++) {
                const struct cgroup_hierarchy *one = &host->v1[i];
                bool used = false;

                for (size_t j = 0; j < ARRAY_SIZE(used_controllers); j++)
                        used = used || has_word(one->controllers, ',', used_controllers[j]);
                if (used && one->writable)
                        add_place(ret, one->mount, path, has_word(one->controllers, ',', "cpuset"),
                                  has_word(one->controllers, ',', "freezer"), false);
        }
        if (ret->n == 0)
                return error_set(err, ERROR_HOST, "no control group hierarchy can be written on this host");
        return 0;
}

static void forget_error(struct error **err)
{
        error_free(*err);
        *err = NULL;
}

static int read_in(const char *dir, const char *file, size_t max, char **ret_text, struct error **err)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, file);

        return fd_read_file_at(AT_FDCWD, path, max, ret_text, NULL, err);
}

static int write_in(const char *dir, const char *file, const char *value, struct error **err)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, file);

        return fd_write_existing_at(AT_FDCWD, path, value, err);
}

/* 0 done; else the errno. */
static int try_write_in(const char *dir, const char *file, const char *value)
{
        struct error *err = NULL;
        int why = 0;

        if (write_in(dir, file, value, &err) < 0) {
                why = err->os_errno ? err->os_errno : EIO;
                error_free(err);
        }
        return why;
}

/* A list of pids that grows. */
struct pids {
        pid_t *items;
        size_t n;
};

static void pids_done(struct pids *pids)
{
        free(pids->items);
        *pids = (struct pids){ 0 };
}
#define _cleanup_pids_ _cleanup_(pids_done)

static bool pids_have(const struct pids *pids, pid_t pid)
{
        for (size_t i = 0; i < pids->n; i++)
                if (pids->items[i] == pid)
                        return true;
        return false;
}

/* Adds the processes of the group at dir and of those below it. A group that is not there has none. */
static int collect_pids(const char *dir, unsigned depth, struct pids *pids, struct error **err)
{
        _cleanup_free_ char *text = NULL;
        DIR *stream;

        if (read_in(dir, "cgroup.procs", PROCS_BYTES_MAX, &text, err) < 0) {
                /* ENODEV: removed while it was open. EOPNOTSUPP: a threaded v2 group, its parent has the
                 * list. */
                if ((*err)->os_errno != ENOENT && (*err)->os_errno != ENODEV &&
                    (*err)->os_errno != EOPNOTSUPP)
                        return -1;
                forget_error(err);
        }
        for (char *line = text, *end; line && *line; line = end) {
                uint32_t pid;

                end = strchrnul(line, '\n');
                if (*end)
                        *end++ = '\0';
                /* 0 stands for a process of another pid namespace: out of reach. */
                if (!text_parse_u32(line, &pid) || pid == 0 || pid > INT32_MAX || pids_have(pids, (pid_t)pid))
                        continue;
                ARRAY_GROW(pids->items, pids->n);
                pids->items[pids->n++] = (pid_t)pid;
        }
        stream = depth ? opendir(dir) : NULL;
        for (struct dirent *entry; stream && !*err && (entry = readdir(stream));) {
                _cleanup_free_ char *below = xasprintf("%s/%s", dir, entry->d_name);

                if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
                        collect_pids(below, depth - 1, pids, err);
        }
        if (stream)
                closedir(stream);
        return *err ? -1 : 0;
}

static int collect_all(const struct places *places, struct pids *pids, struct error **err)
{
        for (size_t i = 0; i < places->n; i++)
                if (collect_pids(places->at[i].dir, DEPTH_MAX, pids, err) < 0)
                        return -1;
        return 0;
}

static void pids_text(const struct pids *pids, struct text *out)
{
        for (size_t i = 0; i < pids->n && i < PIDS_NAMED_MAX; i++)
                text_addf(out, "%s%d", i ? ", " : "", (int)pids->items[i]);
        if (pids->n > PIDS_NAMED_MAX)
                text_addf(out, " and %zu more", pids->n - PIDS_NAMED_MAX);
}

/* Removes the groups below dir and dir itself, all without processes. 0 done or not there; else the errno. */
static int remove_empty(const char *dir, unsigned depth)
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
                        why = remove_empty(below, depth - 1);
        }
        closedir(stream);
        if (!why && rmdir(dir) < 0 && errno != ENOENT)
                why = errno;
        return why;
}

/* A v1 cpuset takes no process before it has cpus and mems: the parent's, top down. */
static int fill_cpuset(const char *parent, const char *dir, struct error **err)
{
        static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };

        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *own = NULL, *above = NULL;

                if (read_in(dir, files[i], FILE_BYTES_MAX, &own, err) < 0)
                        return -1;
                if (own[strspn(own, " \n")] != '\0')
                        continue;
                if (read_in(parent, files[i], FILE_BYTES_MAX, &above, err) < 0)
                        return -1;
                above[strcspn(above, "\n")] = '\0';
                if (write_in(dir, files[i], above, err) < 0)
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

        if (read_in(dir, "cgroup.controllers", FILE_BYTES_MAX, &offered, &ignored) < 0 ||
            read_in(dir, "cgroup.subtree_control", FILE_BYTES_MAX, &enabled, &ignored) < 0) {
                error_free(ignored);
                return;
        }
        offered[strcspn(offered, "\n")] = '\0';
        enabled[strcspn(enabled, "\n")] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(v2_controllers); i++)
                if (has_word(offered, ' ', v2_controllers[i]) && !has_word(enabled, ' ', v2_controllers[i]))
                        text_addf(&wanted, "%s+%s", wanted.length ? " " : "", v2_controllers[i]);
        if (!wanted.length || try_write_in(dir, "cgroup.subtree_control", text_str(&wanted)) == 0)
                return;
        /* All or none in one write: one at a time then. */
        for (size_t i = 0; i < ARRAY_SIZE(v2_controllers); i++)
                if (has_word(offered, ' ', v2_controllers[i]) && !has_word(enabled, ' ', v2_controllers[i])) {
                        _cleanup_free_ char *one = xasprintf("+%s", v2_controllers[i]);

                        try_write_in(dir, "cgroup.subtree_control", one);
                }
}

static int group_is_taken(const char *dir, struct error **err)
{
        _cleanup_pids_ struct pids pids = { 0 };
        _cleanup_text_ struct text names = TEXT_INIT;

        if (collect_pids(dir, DEPTH_MAX, &pids, err) < 0)
                return -1;
        pids_text(&pids, &names);
        return error_set(err, ERROR_BUSY, "control group '%s' exists already (processes: %s)", dir,
                         pids.n ? text_str(&names) : "none that can be seen");
}

/* Makes the group and its parents in one hierarchy. */
static int create_in(const struct place *place, struct error **err)
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
                        why = remove_empty(dir, DEPTH_MAX);
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
        _cleanup_places_ struct places places = { 0 };
        _cleanup_argv_ struct argv made = ARGV_INIT;
        _cleanup_error_ struct error *skipped = NULL;

        if (find_places(host, path, &places, err) < 0)
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

/* The group's directory that has the controller's files; new string. */
static int directory_of(const struct cgroup_host *host, const char *path, const char *controller, char **ret,
                        struct error **err)
{
        _cleanup_places_ struct places places = { 0 };
        const struct cgroup_hierarchy *hierarchy;

        if (find_places(host, path, &places, err) < 0)
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
        if (write_in(dir, file, value, err) == 0)
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
            read_in(dir, file, FILE_BYTES_MAX, &text, err) < 0)
                return -1;
        n = strlen(text);
        if (n && text[n - 1] == '\n')
                text[n - 1] = '\0';
        *ret_text = text;
        return 0;
}

int cgroup_attach(const struct cgroup_host *host, const char *path, pid_t pid, struct error **err)
{
        _cleanup_places_ struct places places = { 0 };
        char digits[16];
        size_t entered = 0;

        if (find_places(host, path, &places, err) < 0)
                return -1;
        snprintf(digits, sizeof(digits), "%d", (int)pid);
        for (size_t i = 0; i < places.n; i++) {
                if (write_in(places.at[i].dir, "cgroup.procs", digits, err) < 0) {
                        /* A hierarchy that cgroup_create() could do nothing in. */
                        if ((*err)->os_errno == ENOENT && access(places.at[i].dir, F_OK) < 0) {
                                forget_error(err);
                                continue;
                        }
                        return error_wrap(err, "move process %d", (int)pid);
                }
                entered++;
        }
        if (!entered)
                return error_set(err, ERROR_FAILED, "there is no control group '%s'", path);
        return 0;
}

/* *ret is -1 when there is no such file. */
static int open_in(const char *dir, const char *file, int flags, int *ret, struct error **err)
{
        _cleanup_free_ char *path = xasprintf("%s%s%s", dir, *file ? "/" : "", file);

        *ret = open(path, flags | O_CLOEXEC);
        if (*ret < 0 && errno != ENOENT)
                return error_os(err, errno, "open '%s'", path);
        return 0;
}

static int open_entry(const struct place *place, struct cgroup_entry *entry, struct error **err)
{
        int fd;

        if (place->v2) {
                if (open_in(place->dir, "", O_RDONLY | O_DIRECTORY, &entry->v2_dir_fd, err) < 0)
                        return -1;
                return open_in(place->dir, "cgroup.procs", O_WRONLY, &entry->v2_procs_fd, err);
        }
        if (open_in(place->dir, "tasks", O_WRONLY, &fd, err) < 0)
                return -1;
        if (fd >= 0)
                entry->task_fds[entry->n++] = fd;
        return 0;
}

int cgroup_entry_open(const struct cgroup_host *host, const char *path, struct cgroup_entry *ret,
                      struct error **err)
{
        _cleanup_places_ struct places places = { 0 };
        struct cgroup_entry entry = CGROUP_ENTRY_INIT;

        if (find_places(host, path, &places, err) < 0)
                return -1;
        for (size_t i = 0; i < places.n && !*err; i++)
                open_entry(&places.at[i], &entry, err);
        if (!*err && entry.n == 0 && (entry.v2_dir_fd < 0 || entry.v2_procs_fd < 0))
                error_set(err, ERROR_FAILED, "there is no control group '%s'", path);
        if (*err) {
                cgroup_entry_done(&entry);
                return -1;
        }
        *ret = entry;
        return 0;
}

void cgroup_entry_done(struct cgroup_entry *entry)
{
        while (entry->n)
                fd_close(&entry->task_fds[--entry->n]);
        fd_close(&entry->v2_dir_fd);
        fd_close(&entry->v2_procs_fd);
}

pid_t cgroup_entry_fork(struct cgroup_entry *entry, int *ret_pidfd)
{
        pid_t pid;

        if (entry->v2_dir_fd >= 0) {
                int pidfd = -1;
                struct clone_args args = { .flags = CLONE_INTO_CGROUP | CLONE_PIDFD,
                                           .pidfd = (uint64_t)(uintptr_t)&pidfd,
                                           .exit_signal = SIGCHLD,
                                           .cgroup = (uint64_t)entry->v2_dir_fd };

                pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
                if (pid == 0)
                        entry->inside_v2 = true;
                if (pid > 0 && ret_pidfd)
                        *ret_pidfd = pidfd;
                else if (pid > 0)
                        close(pidfd);
                /* An old kernel: the child moves itself, at the price of a grace period. */
                if (pid >= 0 || (errno != ENOSYS && errno != E2BIG && errno != EINVAL))
                        return pid;
        }
        pid = fork();
        if (pid > 0 && ret_pidfd) {
                int pidfd = fd_pidfd_open(pid);

                if (pidfd < 0) {
                        int why = errno;

                        kill(pid, SIGKILL);
                        waitpid(pid, NULL, 0);
                        errno = why;
                        return -1;
                }
                *ret_pidfd = pidfd;
        }
        return pid;
}

int cgroup_entry_enter(const struct cgroup_entry *entry)
{
        for (size_t i = 0; i < entry->n; i++)
                if (write(entry->task_fds[i], "0", 1) != 1)
                        return -1;
        if (entry->v2_procs_fd >= 0 && !entry->inside_v2 && write(entry->v2_procs_fd, "0", 1) != 1)
                return -1;
        return 0;
}

/* Sends SIGKILL to the group's processes and waits for their ends, at most until the deadline. */
static int kill_round(const struct places *places, const struct pids *pids, long long deadline_ms,
                      struct error **err)
{
        _cleanup_pids_ struct pids again = { 0 };
        int *pidfds = xcalloc(pids->n, sizeof(*pidfds));
        pid_t not_permitted = 0;

        for (size_t i = 0; i < pids->n; i++)
                pidfds[i] = pids->items[i] == getpid() ? -1 : fd_pidfd_open(pids->items[i]);
        /* A pid that ended before its pidfd was open may be another process now: then it is not listed. */
        collect_all(places, &again, err);
        for (size_t i = 0; i < pids->n && !*err; i++)
                if (pidfds[i] >= 0 && pids_have(&again, pids->items[i]) &&
                    fd_pidfd_send_signal(pidfds[i], SIGKILL) < 0 && errno == EPERM)
                        not_permitted = pids->items[i];
        for (size_t i = 0; i < places->n; i++)
                if (places->at[i].freezer)
                        try_write_in(places->at[i].dir, "freezer.state", "THAWED");
        for (size_t i = 0; i < pids->n; i++) {
                if (pidfds[i] >= 0 && !*err && !not_permitted && pids_have(&again, pids->items[i]))
                        fd_wait(pidfds[i], POLLIN, deadline_ms);
                fd_close(&pidfds[i]);
        }
        free(pidfds);
        if (!*err && not_permitted)
                return error_os(err, EPERM, "kill process %d", (int)not_permitted);
        return *err ? -1 : 0;
}

/* v2: waits until the group's cgroup.events says that it is empty (it changes: POLLPRI). */
static void wait_unpopulated(const char *dir, long long deadline_ms)
{
        _cleanup_free_ char *path = xasprintf("%s/cgroup.events", dir);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        char text[256];

        while (fd >= 0) {
                ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

                if (n <= 0)
                        return;
                text[n] = '\0';
                if (strstr(text, "populated 0") || fd_wait(fd, POLLPRI, deadline_ms) <= 0)
                        return;
        }
}

/* One try to have the group empty. */
static int empty(const struct places *places, long long deadline_ms, struct error **err)
{
        _cleanup_pids_ struct pids pids = { 0 };

        for (size_t i = 0; i < places->n; i++)
                if (places->at[i].v2 && try_write_in(places->at[i].dir, "cgroup.kill", "1") == 0) {
                        wait_unpopulated(places->at[i].dir, deadline_ms);
                        return 0;
                }
        /* Frozen, nothing forks away from the list that is being killed; else the rounds have to do. */
        for (size_t i = 0; i < places->n; i++)
                if (places->at[i].freezer)
                        try_write_in(places->at[i].dir, "freezer.state", "FROZEN");
        if (collect_all(places, &pids, err) < 0)
                return -1;
        return kill_round(places, &pids, deadline_ms, err);
}

static int still_there(const struct places *places, const char *path, int timeout_ms, int why,
                       struct error **err)
{
        _cleanup_pids_ struct pids pids = { 0 };
        _cleanup_text_ struct text names = TEXT_INIT;

        if (collect_all(places, &pids, err) < 0)
                return -1;
        if (pids.n == 0)
                return error_os(err, why, "remove control group '%s'", path);
        pids_text(&pids, &names);
        return error_set(err, ERROR_DEADLINE, "control group '%s' still has processes after %d ms: %s", path,
                         timeout_ms, text_str(&names));
}

/* 0, or why the group is still there: EBUSY or ENOTEMPTY when it is in use. */
static int remove_places(const struct places *places)
{
        int why = 0;

        for (size_t i = 0; i < places->n; i++) {
                int one = remove_empty(places->at[i].dir, DEPTH_MAX);

                why = one ? one : why;
        }
        return why;
}

int cgroup_remove_empty(const struct cgroup_host *host, const char *path, struct error **err)
{
        _cleanup_places_ struct places places = { 0 };
        int why;

        if (cgroup_path_check(path, err) < 0)
                return -1;
        if (find_places(host, path, &places, err) < 0) {
                if ((*err)->code != ERROR_HOST)
                        return -1;
                forget_error(err);
                return 1;
        }
        why = remove_places(&places);
        if (why && why != EBUSY && why != ENOTEMPTY)
                return error_os(err, why, "remove control group '%s'", path);
        return why == 0;
}

int cgroup_remove(const struct cgroup_host *host, const char *path, int timeout_ms, struct error **err)
{
        static const struct timespec pause = { .tv_nsec = 1000000 };
        long long deadline_ms = fd_now_ms() + timeout_ms;
        _cleanup_places_ struct places places = { 0 };

        if (cgroup_path_check(path, err) < 0)
                return -1;
        if (find_places(host, path, &places, err) < 0) {
                /* Nothing can be written, so nothing was made. */
                if ((*err)->code != ERROR_HOST)
                        return -1;
                forget_error(err);
                return 0;
        }
        for (;;) {
                _cleanup_pids_ struct pids pids = { 0 };
                int why = remove_places(&places);

                if (why == 0)
                        return 0;
                if (why != EBUSY && why != ENOTEMPTY)
                        return error_os(err, why, "remove control group '%s'", path);
                if (collect_all(&places, &pids, err) < 0)
                        return -1;
                if (pids_have(&pids, getpid()))
                        return error_set(err, ERROR_BUSY, "this process is in control group '%s' itself",
                                         path);
                if (fd_now_ms() >= deadline_ms)
                        return still_there(&places, path, timeout_ms, why, err);
                if (pids.n == 0)
                        /* A process leaves its group a moment after its end; v1 has no event for that. */
                        nanosleep(&pause, NULL);
                else if (empty(&places, deadline_ms, err) < 0)
                        return error_wrap(err, "empty control group '%s'", path);
        }
}
