#include "launcher/host/caller.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define CONTROLLERS_MAX 4096

extern char **environ;

static const char *const variables[CALLER_VARIABLES] = { "HOME",           "XDG_CONFIG_HOME",
                                                         "XDG_DATA_HOME",  "XDG_STATE_HOME",
                                                         "XDG_CACHE_HOME", "XDG_RUNTIME_DIR" };

void caller_environment(const struct owner *owner, char *ret[CALLER_VARIABLES + 1])
{
        size_t n = 0;

        for (char **one = environ; owner->user && *one; one++)
                for (size_t i = 0; i < CALLER_VARIABLES && n < CALLER_VARIABLES; i++) {
                        size_t length = strlen(variables[i]);

                        if (strncmp(*one, variables[i], length) == 0 && (*one)[length] == '=')
                                ret[n++] = *one;
                }
        ret[n] = NULL;
}

/* "Paths must be absolute; others are to be ignored" (XDG Base Directory Specification). */
static char *directory(const char *variable, const char *home, const char *otherwise)
{
        const char *value = getenv(variable);

        return value && *value == '/' ? xstrdup(value) : xasprintf("%s/%s", home, otherwise);
}

/* NULL: not known. A name service is not asked: it may ask the network. */
static const char *find_home(void)
{
        const char *home = getenv("HOME");

        return home && *home == '/' ? home : NULL;
}

/* Of a systemd that runs for this user and can be talked to; on v1 it has no group that it could give away. */
static void find_manager(struct owner *owner)
{
        _cleanup_free_ char *bus = xasprintf("%s/bus", owner->runtime);
        _cleanup_free_ char *group = xasprintf("user.slice/user-%u.slice/user@%u.service",
                                               (unsigned)owner->uid, (unsigned)owner->uid);
        _cleanup_free_ char *path = xasprintf("/sys/fs/cgroup/%s/cgroup.controllers", group);
        _cleanup_error_ struct error *none = NULL;
        char *controllers = NULL;

        if (access(bus, W_OK) < 0 ||
            fd_read_file_at(AT_FDCWD, path, CONTROLLERS_MAX, &controllers, NULL, &none) < 0)
                return;
        controllers[strcspn(controllers, "\n")] = '\0';
        owner->manager_group = TAKE_PTR(group);
        owner->manager_controllers = controllers;
}

/* Without the variable (su, cron) it is what logind makes. */
static int check_runtime(const struct owner *owner, struct error **err)
{
        struct stat st;

        if (stat(owner->runtime, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != owner->uid) {
                error_set(err, ERROR_HOST, "'%s' is no directory of yours: there is no place for running VMs",
                          owner->runtime);
                return error_hint(err,
                                  "set XDG_RUNTIME_DIR to a directory of your own that a reboot empties, or "
                                  "give --root=DIR");
        }
        return 0;
}

int caller_read(bool below_root, struct owner *ret, struct error **err)
{
        struct owner owner = { .user = true, .uid = geteuid(), .gid = getegid() };
        const char *home = find_home(), *value = getenv("XDG_RUNTIME_DIR");
        int n = getgroups(0, NULL);

        owner.groups = xcalloc(n > 0 ? (size_t)n + 1 : 1, sizeof(*owner.groups));
        n = getgroups(n > 0 ? n : 0, owner.groups);
        owner.n_groups = n > 0 ? (size_t)n : 0;
        owner.runtime =
                value && *value == '/' ? xstrdup(value) : xasprintf("/run/user/%u", (unsigned)owner.uid);
        find_manager(&owner);
        if (!below_root && !home) {
                error_set(err, ERROR_HOST, "you have no home directory: HOME is not set");
                error_hint(err, "--root=DIR keeps everything below DIR");
        } else if (!below_root && check_runtime(&owner, err) == 0) {
                owner.config = directory("XDG_CONFIG_HOME", home, ".config");
                owner.data = directory("XDG_DATA_HOME", home, ".local/share");
                owner.state = directory("XDG_STATE_HOME", home, ".local/state");
                owner.cache = directory("XDG_CACHE_HOME", home, ".cache");
        }
        if (*err) {
                owner_done(&owner);
                return -1;
        }
        *ret = owner;
        return 0;
}
