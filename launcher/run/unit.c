#include "launcher/run/unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

#define CGROUP_FILE_MAX 65536

char *unit_service_name(const char *vm)
{
        return xasprintf("vmlaunch@%s.service", vm);
}

char *unit_scope_name(const struct paths *paths, const char *vm)
{
        if (!*paths->root)
                return xasprintf("vmlaunch-%s.scope", vm);
        return xasprintf("vmlaunch:%08x:%s.scope", (uint32_t)text_hash(paths->root, strlen(paths->root)), vm);
}

/* The process's group as systemd sees it, with a slash in front: of v1's hierarchies name=systemd counts, and v2 has but
 * one. New string, NULL: in none. */
static char *group_of(pid_t pid)
{
        _cleanup_free_ char *path = xasprintf("/proc/%d/cgroup", (int)pid), *text = NULL;
        static const char *const prefixes[] = { "0::/", ":name=systemd:/" };
        _cleanup_error_ struct error *gone = NULL;

        if (fd_read_file_at(AT_FDCWD, path, CGROUP_FILE_MAX, &text, NULL, &gone) < 0)
                return NULL;
        /* Hybrid hosts have both, and there v1's is the one; in a container that has v2 v1's may be the host's, at its root. */
        for (size_t i = ARRAY_SIZE(prefixes); i-- > 0;) {
                const char *found = strstr(text, prefixes[i]);
                size_t len;

                if (!found)
                        continue;
                found += strlen(prefixes[i]) - 1;
                len = strcspn(found, "\n");
                if (len > 1)
                        return xstrndup(found, len);
        }
        return NULL;
}

bool unit_has_process(const char *unit, pid_t pid)
{
        _cleanup_free_ char *group = group_of(pid), *end = xasprintf("/%s", unit),
                            *below = xasprintf("/%s/", unit);

        return group && (text_ends_with(group, end) || strstr(group, below));
}

bool unit_is_own(char **ret_unit, char **ret_group)
{
        const char *main_pid = getenv("SYSTEMD_EXEC_PID");
        _cleanup_free_ char *group = NULL;
        const char *slash;
        uint32_t pid;

        /* Children inherit the variable: it names the one that systemd has started (systemd.exec(5)). */
        if (!main_pid || !text_parse_u32(main_pid, &pid) || (pid_t)pid != getpid())
                return false;
        group = group_of(getpid());
        slash = group ? strrchr(group, '/') : NULL;
        if (!slash || !text_ends_with(slash, ".service"))
                return false;
        *ret_unit = xstrdup(slash + 1);
        *ret_group = xstrdup(group + 1);
        return true;
}
