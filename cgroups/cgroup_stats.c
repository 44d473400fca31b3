#include "cgroups/cgroup_stats.h"

#include <string.h>

#include "base/text.h"
#include "cgroups/cgroup_apply.h"

/* v1 says "no limit" as the number of bytes that its counters can hold. */
#define NO_LIMIT (1ull << 62)

/* The file's text, NULL: not there, or no group. */
static char *read_file(const struct cgroup_host *host, const char *path, const char *controller,
                       const char *file)
{
        struct error *ignored = NULL;
        char *text = NULL;

        if (cgroup_host_has(host, controller) &&
            cgroup_read(host, path, controller, file, &text, &ignored) < 0)
                error_free(ignored);
        return text;
}

static bool is_limit(const char *value, const char *by_default)
{
        uint64_t number;

        if (by_default && strcmp(value, by_default) == 0)
                return false;
        if (strcmp(value, "-1") == 0 || strcmp(value, "max") == 0 || text_starts_with(value, "max "))
                return false;
        return !text_parse_u64(value, &number) || number < NO_LIMIT;
}

json_t *cgroup_limits_read(const struct cgroup_host *host, const char *path)
{
        static const struct row {
                const char *controller, *file, *by_default;
        } v1[] = { { "cpu", "cpu.shares", NULL },
                   { "cpu", "cpu.cfs_quota_us", NULL },
                   { "cpu", "cpu.cfs_period_us", "100000" },
                   { "blkio", "blkio.weight", "500" },
                   { "blkio", "blkio.bfq.weight", "100" },
                   { "pids", "pids.max", NULL },
                   { "memory", "memory.soft_limit_in_bytes", NULL },
                   { "memory", "memory.limit_in_bytes", NULL },
                   { "memory", "memory.memsw.limit_in_bytes", NULL } },
          v2[] = { { "cpu", "cpu.weight", NULL },        { "cpu", "cpu.max", NULL },
                   { "io", "io.weight", "default 100" }, { "io", "io.bfq.weight", "default 100" },
                   { "pids", "pids.max", NULL },         { "memory", "memory.high", NULL },
                   { "memory", "memory.max", NULL },     { "memory", "memory.swap.max", NULL } };
        const struct row *rows = host->kind == CGROUP_V2 ? v2 : v1;
        size_t n = host->kind == CGROUP_V2 ? ARRAY_SIZE(v2) : ARRAY_SIZE(v1);
        json_t *limits = json_object();

        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *value = read_file(host, path, rows[i].controller, rows[i].file);

                if (value && is_limit(value, rows[i].by_default))
                        json_object_set_new(limits, rows[i].file, json_string(value));
        }
        return limits;
}
