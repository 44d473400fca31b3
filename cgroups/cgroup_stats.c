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

/* The number behind "name " at the beginning of a line; 0: none. */
static uint64_t counter(const char *text, const char *name)
{
        size_t length = strlen(name);
        uint64_t number = 0;

        for (const char *line = text; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
                _cleanup_free_ char *value = NULL;

                if (strncmp(line, name, length) != 0 || line[length] != ' ')
                        continue;
                value = xstrndup(line + length + 1, strcspn(line + length + 1, "\n"));
                return text_parse_u64(value, &number) ? number : 0;
        }
        return 0;
}

/* A file with one number; 0: no limit, or no such file. */
static uint64_t number_of(const struct cgroup_host *host, const char *path, const char *file)
{
        _cleanup_free_ char *text = read_file(host, path, "memory", file);
        uint64_t number;

        return text && text_parse_u64(text, &number) && number < NO_LIMIT ? number : 0;
}

/* Not by the counts of failures, which some kernels do not keep. */
static bool v1_is_full(const struct cgroup_host *host, const char *path, const char *limit, const char *peak)
{
        uint64_t bytes = number_of(host, path, limit);

        return bytes && number_of(host, path, peak) >= bytes;
}

void cgroup_oom_read(const struct cgroup_host *host, const char *path, struct cgroup_oom *ret)
{
        bool v2 = host->kind == CGROUP_V2;
        _cleanup_free_ char *events =
                read_file(host, path, "memory", v2 ? "memory.events" : "memory.oom_control");

        *ret = (struct cgroup_oom){ .kills = counter(events, "oom_kill") };
        if (!ret->kills)
                return;
        ret->limit = number_of(host, path, v2 ? "memory.max" : "memory.limit_in_bytes");
        ret->peak = number_of(host, path, v2 ? "memory.peak" : "memory.max_usage_in_bytes");
        if (v2)
                ret->at_limit = counter(events, "oom") > 0;
        else
                ret->at_limit =
                        v1_is_full(host, path, "memory.limit_in_bytes", "memory.max_usage_in_bytes") ||
                        v1_is_full(host, path, "memory.memsw.limit_in_bytes",
                                   "memory.memsw.max_usage_in_bytes");
}

char *cgroup_oom_text(const struct cgroup_oom *oom)
{
        _cleanup_free_ char *limit = text_from_size(oom->limit), *peak = text_from_size(oom->peak);
        struct text out = TEXT_INIT;

        text_addf(&out, "%llu process%s killed", (unsigned long long)oom->kills, oom->kills == 1 ? "" : "es");
        if (!oom->limit)
                text_add(&out, ", the VM has no limit");
        else
                text_addf(&out, ", the VM's limit is %s", limit);
        if (oom->peak)
                text_addf(&out, ", %s were in use at most", peak);
        return text_take(&out);
}
