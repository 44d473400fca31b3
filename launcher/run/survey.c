#include "launcher/run/survey.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "cgroups/cgroup_plan.h"
#include "launcher/plan/disk.h"
#include "launcher/run/adopt.h"
#include "launcher/run/execute.h"
#include "launcher/run/generation.h"
#include "launcher/state/instance.h"
#include "launcher/state/lock_file.h"
#include "launcher/state/state_dir.h"
#include "net/net_apply.h"
#include "net/openvswitch.h"

/* The kernel's limit of one argument is 128 KiB, of all of them a quarter of the stack limit. */
#define CMDLINE_MAX (8u << 20)
#define GONE_PREFIX ".gone-"

static void process_done(struct survey_process *process)
{
        free(process->vm);
        free(process->generation);
}

void survey_processes_free(struct survey_process *processes, size_t n)
{
        while (n)
                process_done(&processes[--n]);
        free(processes);
}

void survey_done(struct survey *survey)
{
        for (size_t i = 0; i < survey->n_taps; i++) {
                free(survey->taps[i].ifname);
                free(survey->taps[i].alias);
                free(survey->taps[i].bridge);
        }
        for (size_t i = 0; i < survey->n_groups; i++)
                cgroup_found_done(&survey->groups[i]);
        for (size_t i = 0; i < survey->n_vms; i++) {
                free(survey->vms[i].name);
                free(survey->vms[i].generation);
                json_decref(survey->vms[i].named);
        }
        for (size_t i = 0; i < survey->n_locks; i++)
                free(survey->locks[i].name);
        for (size_t i = 0; i < survey->n_images; i++) {
                free(survey->images[i].vm);
                free(survey->images[i].file);
        }
        free(survey->images);
        survey_processes_free(survey->processes, survey->n_processes);
        names_free(survey->gone);
        free(survey->taps);
        free(survey->groups);
        free(survey->vms);
        free(survey->locks);
        free(survey->instance);
        *survey = (struct survey){ 0 };
}

/* Processes. */

/* What it is now; false: it is no QEMU of ours, or has ended. */
static bool read_process(pid_t pid, struct survey_process *ret)
{
        _cleanup_free_ char *directory = xasprintf("/proc/%d", (int)pid);
        _cleanup_close_ int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_error_ struct error *gone = NULL;
        _cleanup_free_ char *words = NULL;
        struct stat st;
        size_t n = 0;

        if (dir < 0 || fstat(dir, &st) < 0 ||
            fd_read_file_at(dir, "cmdline", CMDLINE_MAX, &words, &n, &gone) < 0)
                return false;
        *ret = (struct survey_process){ .pid = pid, .uid = st.st_uid };
        if (!generation_read_command_line(words, n, &ret->vm, &ret->generation))
                return false;
        ret->start = process_start_time(pid);
        return true;
}

/* A process that is not dumpable shows its directory as root's: its status says whose it is. */
static bool read_uid(struct survey_process *process)
{
        _cleanup_free_ char *path = xasprintf("/proc/%d/status", (int)process->pid), *text = NULL;
        _cleanup_error_ struct error *gone = NULL;
        unsigned real, effective, saved;
        const char *line;

        if (fd_read_file_at(AT_FDCWD, path, 16384, &text, NULL, &gone) < 0)
                return false;
        line = strstr(text, "\nUid:");
        if (!line || sscanf(line, "\nUid: %u %u %u", &real, &effective, &saved) != 3 || real != effective ||
            real != saved)
                return false;
        process->uid = real;
        return true;
}

/* Anybody may write anything on a command line; the uids of UID_RANGE are QEMU's alone. */
static int find_processes(const struct site *site, const char *instance, const char *vm,
                          struct survey_process **ret, size_t *ret_n, struct error **err)
{
        DIR *dir = opendir("/proc");

        if (!dir)
                return error_os(err, errno, "read directory '/proc'");
        for (struct dirent *entry; (entry = readdir(dir));) {
                struct survey_process one = { 0 };
                uint32_t pid;

                if (!text_parse_u32(entry->d_name, &pid) || pid == 0 || pid > INT32_MAX ||
                    !read_process((pid_t)pid, &one))
                        continue;
                if (!one.start || (vm && strcmp(one.vm, vm) != 0) ||
                    !generation_is_of(one.generation, instance) || !read_uid(&one) ||
                    one.uid < site->uid_first || one.uid > site->uid_last) {
                        process_done(&one);
                        continue;
                }
                ARRAY_GROW(*ret, *ret_n);
                (*ret)[(*ret_n)++] = one;
        }
        closedir(dir);
        return 0;
}

int survey_processes(const struct site *site, const char *vm, struct survey_process **ret, size_t *ret_n,
                     struct error **err)
{
        _cleanup_free_ char *instance = NULL;

        *ret = NULL;
        *ret_n = 0;
        if (instance_id(&site->paths, false, &instance, err) < 0)
                return -1;
        return instance ? find_processes(site, instance, vm, ret, ret_n, err) : 0;
}

int survey_process_open(const struct survey_process *process, struct error **err)
{
        _cleanup_close_ int pidfd = fd_pidfd_open(process->pid);
        struct survey_process now = { 0 };
        bool same;

        if (pidfd < 0) {
                if (errno != ESRCH)
                        error_os(err, errno, "look at process %d", (int)process->pid);
                return -1;
        }
        /* The pidfd was opened first: what it names cannot become another process below. */
        same = read_process(process->pid, &now) && read_uid(&now) && now.start == process->start &&
               now.uid == process->uid && strcmp(now.vm, process->vm) == 0 &&
               strcmp(now.generation, process->generation) == 0;
        process_done(&now);
        return same && fd_wait(pidfd, POLLIN, fd_now_ms()) == 0 ? TAKE_FD(pidfd) : -1;
}

/* The marked things. */

static int find_taps(const char *vm, struct survey *survey, struct error **err)
{
        _cleanup_free_ char *prefix = vm ? xasprintf("vmlaunch:%s:", vm) : xstrdup("vmlaunch:");
        _cleanup_free_ struct net_found *found = NULL;
        _cleanup_netlink_ struct netlink *nl = netlink_open(err);
        json_auto_t *ports = nl ? ovs_find(OVS_SOCKET, prefix, err) : NULL;
        const char *ifname = NULL;
        json_t *alias = NULL;
        size_t n = 0;

        if (nl && !ports) {
                _cleanup_free_ char *text = error_text(*err);

                log_warning("%s; ports of runs that are over stay until it answers", text);
                error_free(TAKE_PTR(*err));
                ports = json_object();
        }
        if (!ports || net_find_by_alias(nl, prefix, &found, &n, err) < 0)
                return -1;
        survey->taps = xcalloc(n + json_object_size(ports) + 1, sizeof(*survey->taps));
        for (size_t i = 0; i < n; i++)
                if (strcmp(found[i].kind, "tun") == 0)
                        survey->taps[survey->n_taps++] =
                                (struct survey_tap){ .ifname = xstrdup(found[i].ifname),
                                                     .alias = xstrdup(found[i].alias),
                                                     .bridge = xstrdup(found[i].master),
                                                     .index = found[i].index };
        json_object_foreach (ports, ifname, alias)
                survey->taps[survey->n_taps++] =
                        (struct survey_tap){ .ifname = xstrdup(ifname),
                                             .alias = xstrdup(json_string_value(alias)),
                                             .bridge = xstrdup("") };
        return 0;
}

static int find_groups(const struct cgroup_host *host, const char *vm, struct survey *survey,
                       struct error **err)
{
        size_t kept = 0;

        if (cgroup_find_all(host, &survey->groups, &survey->n_groups, err) < 0)
                return -1;
        for (size_t i = 0; vm && i < survey->n_groups; i++) {
                if (cgroup_is_vm_path(survey->groups[i].path, vm))
                        survey->groups[kept++] = survey->groups[i];
                else
                        cgroup_found_done(&survey->groups[i]);
        }
        if (vm)
                survey->n_groups = kept;
        return 0;
}

/* The directories of RUN. */

static int look_at_vm(const struct survey_options *options, const char *name, struct survey *survey,
                      struct error **err)
{
        const struct site *site = options->site;
        _cleanup_journal_run_ struct journal_run run = { 0 };
        _cleanup_error_ struct error *unknown = NULL;
        struct survey_vm seen = { .name = xstrdup(name) };
        struct vm_dir *vm = NULL;

        if (vm_dir_open(&site->paths, name, &vm, err) < 0) {
                free(seen.name);
                /* Gone between the list and the look, or never there. */
                if ((*err)->code != ERROR_NO_SUCH_VM)
                        return -1;
                error_free(TAKE_PTR(*err));
                return 0;
        }
        seen.held = !options->locked && vm_dir_is_locked(vm, NULL);
        /* What is not known counts as in use, and is reported by who cares for that VM. */
        if (journal_run_read(vm->fd, &run, &unknown) == 0) {
                seen.generation = xstrdup_null(run.generation);
                seen.named = json_incref(run.named);
        } else {
                seen.named = json_array();
        }
        if (!seen.held && !unknown && !options->locked)
                vm_qemu_lives(site, vm, 0, &seen.qemu, &seen.generation, &unknown);
        if (unknown)
                seen.held = true;
        vm_dir_release(vm, true);
        ARRAY_GROW(survey->vms, survey->n_vms);
        survey->vms[survey->n_vms++] = seen;
        return 0;
}

static int find_vms(const struct survey_options *options, struct survey *survey, struct error **err)
{
        char **names = NULL;

        if (options->vm)
                return look_at_vm(options, options->vm, survey, err);
        if (vm_dir_names(&options->site->paths, &names, err) < 0)
                return -1;
        for (char **name = names; *name && !*err; name++)
                look_at_vm(options, *name, survey, err);
        names_free(names);
        return *err ? -1 : 0;
}

/* ".gone-NAME-INODE" (state_dir.c). */
static bool is_gone_name(const char *name, const char *vm)
{
        size_t length = vm ? strlen(vm) : 0;
        const char *rest = name + strlen(GONE_PREFIX);

        if (!text_starts_with(name, GONE_PREFIX) || !*rest)
                return false;
        return !vm || (strncmp(rest, vm, length) == 0 && rest[length] == '-' && rest[length + 1] &&
                       strspn(rest + length + 1, "0123456789") == strlen(rest + length + 1));
}

static void find_gone(int run_dirfd, const char *vm, struct survey *survey)
{
        int fd = openat(run_dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        size_t n = 0;

        survey->gone = xcalloc(1, sizeof(*survey->gone));
        for (struct dirent *entry; dir && (entry = readdir(dir));)
                if (is_gone_name(entry->d_name, vm)) {
                        survey->gone = xreallocarray(survey->gone, n + 2, sizeof(*survey->gone));
                        survey->gone[n++] = xstrdup(entry->d_name);
                        survey->gone[n] = NULL;
                }
        if (dir)
                closedir(dir);
}

static void find_locks(int run_dirfd, struct survey *survey)
{
        static const char *const kinds[] = { "images", "uids", "ports" };

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                int fd = openat(run_dirfd, kinds[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                DIR *dir = fd < 0 ? NULL : fdopendir(fd);

                for (struct dirent *entry; dir && (entry = readdir(dir));) {
                        _cleanup_free_ char *name = xasprintf("%s/%s", kinds[i], entry->d_name);

                        if ((entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN) ||
                            entry->d_name[0] == '.' || !lock_file_is_free(run_dirfd, name))
                                continue;
                        ARRAY_GROW(survey->locks, survey->n_locks);
                        survey->locks[survey->n_locks++].name = TAKE_PTR(name);
                }
                if (dir)
                        closedir(dir);
        }
}

static void find_images_of(const char *state, const char *vm, struct survey *survey)
{
        _cleanup_free_ char *path = xasprintf("%s/%s/overlays", state, vm);
        DIR *dir = opendir(path);

        for (struct dirent *entry; dir && (entry = readdir(dir));) {
                if (!strstr(entry->d_name, DISK_DROPPED ".") && !strstr(entry->d_name, ".new."))
                        continue;
                ARRAY_GROW(survey->images, survey->n_images);
                survey->images[survey->n_images++] =
                        (struct survey_image){ .vm = xstrdup(vm), .file = xstrdup(entry->d_name) };
        }
        if (dir)
                closedir(dir);
}

static void find_images(const char *state, const char *vm, struct survey *survey)
{
        DIR *dir = vm ? NULL : opendir(state);

        if (vm)
                find_images_of(state, vm, survey);
        for (struct dirent *entry; dir && (entry = readdir(dir));)
                if (entry->d_name[0] != '.')
                        find_images_of(state, entry->d_name, survey);
        if (dir)
                closedir(dir);
}

int survey_host(const struct survey_options *options, struct survey *ret, struct error **err)
{
        const struct site *site = options->site;
        _cleanup_survey_ struct survey survey = { .uid_first = site->uid_first, .uid_last = site->uid_last };
        _cleanup_close_ int run = open(site->paths.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (run < 0 && errno != ENOENT)
                return error_os(err, errno, "open '%s'", site->paths.run);
        if (instance_id(&site->paths, false, &survey.instance, err) < 0)
                return -1;
        /* The order is what makes it conclusive: see above. */
        if (survey.instance && (find_taps(options->vm, &survey, err) < 0 ||
                                find_groups(options->cgroup, options->vm, &survey, err) < 0))
                return -1;
        if (run >= 0 && find_vms(options, &survey, err) < 0)
                return -1;
        if (survey.instance && find_processes(site, survey.instance, options->vm, &survey.processes,
                                              &survey.n_processes, err) < 0)
                return -1;
        find_images(site->paths.state, options->vm, &survey);
        find_gone(run, options->vm, &survey);
        find_locks(run, &survey);
        *ret = survey;
        survey = (struct survey){ 0 };
        return 0;
}
