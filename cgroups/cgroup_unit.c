#include "cgroups/cgroup_unit.h"

#include <inttypes.h>
#include <string.h>

#include "cgroups/cgroup_values.h"

/* systemd counts CPUQuota in hundredths of a percent of a second. */
#define QUOTA_STEP_US 100

#define SLICE_SUFFIX ".slice"

char *cgroup_unit_path(const char *slice, const char *unit)
{
        size_t n = strlen(slice) - strlen(SLICE_SUFFIX);
        struct text out = TEXT_INIT;

        /* "a-b-c.slice" is in "a-b.slice", which is in "a.slice" (systemd.slice(5)). */
        for (size_t i = 1; i < n; i++)
                if (slice[i] == '-')
                        text_addf(&out, "%.*s" SLICE_SUFFIX "/", (int)i, slice);
        text_addf(&out, "%s/%s", slice, unit);
        return text_take(&out);
}

/* CPU time in microseconds per second, rounded up to what a unit file can say. */
static uint64_t quota_per_second(const struct cgroup_limits *limits)
{
        uint64_t per_second = (uint64_t)((double)limits->quota_us * 1000000 / (double)limits->period_us);

        return (per_second + QUOTA_STEP_US - 1) / QUOTA_STEP_US * QUOTA_STEP_US;
}

static bool has_limit(const struct cgroup_plan *plan, enum cgroup_limit limit)
{
        for (size_t i = 0; i < plan->n; i++)
                if (plan->settings[i].limit == limit)
                        return true;
        return false;
}

static void drop_limit(struct cgroup_plan *plan, enum cgroup_limit limit)
{
        for (size_t i = plan->n; i-- > 0;) {
                const struct cgroup_setting gone = plan->settings[i];

                if (gone.limit != limit)
                        continue;
                plan->n--;
                memmove(&plan->settings[i], &plan->settings[i + 1], (plan->n - i) * sizeof(gone));
                free((char *)gone.controller);
                free((char *)gone.file);
                free((char *)gone.value);
        }
}

static void add(struct cgroup_unit_plan *plan, enum cgroup_limit limit, const char *name, uint64_t value)
{
        ARRAY_GROW(plan->properties, plan->n);
        plan->properties[plan->n++] = (struct cgroup_property){
                .limit = limit, .name = name, .type = "t", .value = xasprintf("%" PRIu64, value)
        };
}

/* The file in which the last property's effect is seen. */
static void __attribute__((format(printf, 5, 6)))
see(struct cgroup_unit_plan *plan, bool v2, const char *controller, const char *file, const char *format, ...)
{
        struct cgroup_property *property = &plan->properties[plan->n - 1];
        struct text expected = TEXT_INIT;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&expected, format, ap);
        va_end(ap);
        property->controller = v2 ? NULL : xstrdup(controller);
        property->file = xstrdup(file);
        property->expected = text_take(&expected);
}

static void add_cpu(struct cgroup_unit_plan *plan, const struct cgroup_limits *limits, bool v2)
{
        uint64_t weight = cgroup_v2_cpu_weight(limits->cpu), per_second, quota;

        if (has_limit(plan->files, CGROUP_LIMIT_CPU)) {
                add(plan, CGROUP_LIMIT_CPU, "CPUWeight", weight);
                /* systemd's own conversion. */
                if (v2)
                        see(plan, v2, "cpu", "cpu.weight", "%" PRIu64, weight);
                else
                        see(plan, v2, "cpu", "cpu.shares", "%" PRIu64, weight * 1024 / 100);
        }
        if (!has_limit(plan->files, CGROUP_LIMIT_CPU_QUOTA))
                return;
        per_second = quota_per_second(limits);
        quota = per_second * limits->period_us / 1000000;
        /* v2 has both in one file, and what is in force is asked of each property. */
        add(plan, CGROUP_LIMIT_CPU_QUOTA, "CPUQuotaPeriodUSec", limits->period_us);
        if (v2)
                see(plan, v2, "cpu", "cpu.max", "%" PRIu64 " %" PRIu64, quota, limits->period_us);
        else
                see(plan, v2, "cpu", "cpu.cfs_period_us", "%" PRIu64, limits->period_us);
        add(plan, CGROUP_LIMIT_CPU_QUOTA, "CPUQuotaPerSecUSec", per_second);
        if (v2)
                see(plan, v2, "cpu", "cpu.max", "%" PRIu64 " %" PRIu64, quota, limits->period_us);
        else
                see(plan, v2, "cpu", "cpu.cfs_quota_us", "%" PRIu64, quota);
}

/* systemd writes BFQ's file too, where there is one. */
static void add_io(struct cgroup_unit_plan *plan, const struct cgroup_limits *limits,
                   const struct cgroup_host *host)
{
        bool v2 = host->kind == CGROUP_V2;

        if (!has_limit(plan->files, CGROUP_LIMIT_IO_WEIGHT))
                return;
        add(plan, CGROUP_LIMIT_IO_WEIGHT, "IOWeight", limits->io_weight);
        if (v2 && cgroup_host_has_file(host, "io.weight"))
                see(plan, v2, "io", "io.weight", "default %u", limits->io_weight);
        else if (!v2 && cgroup_host_has_file(host, "blkio.weight"))
                see(plan, v2, "blkio", "blkio.weight", "%u", cgroup_v1_cfq_weight(limits->io_weight));
}

static void add_memory(struct cgroup_unit_plan *plan, const struct cgroup_limits *limits, bool v2)
{
        if (v2 && has_limit(plan->files, CGROUP_LIMIT_MEMORY_SOFT)) {
                add(plan, CGROUP_LIMIT_MEMORY_SOFT, "MemoryHigh", limits->memory_soft);
                see(plan, v2, "memory", "memory.high", "%" PRIu64, limits->memory_soft);
        }
        if (has_limit(plan->files, CGROUP_LIMIT_MEMORY_HARD)) {
                add(plan, CGROUP_LIMIT_MEMORY_HARD, "MemoryMax", limits->memory_hard);
                see(plan, v2, "memory", v2 ? "memory.max" : "memory.limit_in_bytes", "%" PRIu64,
                    limits->memory_hard);
        }
        if (v2 && has_limit(plan->files, CGROUP_LIMIT_MEMORY_SWAP)) {
                add(plan, CGROUP_LIMIT_MEMORY_SWAP, "MemorySwapMax",
                    limits->memory_swap_hard - limits->memory_hard);
                see(plan, v2, "memory", "memory.swap.max", "%" PRIu64,
                    limits->memory_swap_hard - limits->memory_hard);
        }
}

struct cgroup_unit_plan *cgroup_unit_plan_build(const struct cgroup_limits *limits,
                                                const struct cgroup_host *host, const char *group,
                                                struct error **err)
{
        _cleanup_(cgroup_unit_plan_freep) struct cgroup_unit_plan *plan = xcalloc(1, sizeof(*plan));
        bool v2 = host->kind == CGROUP_V2;

        plan->files = cgroup_plan_build(limits, host, group, err);
        if (!plan->files)
                return NULL;
        add_cpu(plan, limits, v2);
        add_io(plan, limits, host);
        if (has_limit(plan->files, CGROUP_LIMIT_PIDS)) {
                add(plan, CGROUP_LIMIT_PIDS, "TasksMax", limits->pids);
                see(plan, v2, "pids", "pids.max", "%u", limits->pids);
        }
        add_memory(plan, limits, v2);
        for (size_t i = 0; i < plan->n; i++)
                drop_limit(plan->files, plan->properties[i].limit);
        return TAKE_PTR(plan);
}

void cgroup_unit_plan_free(struct cgroup_unit_plan *plan)
{
        if (!plan)
                return;
        for (size_t i = 0; i < plan->n; i++) {
                free(plan->properties[i].value);
                free(plan->properties[i].controller);
                free(plan->properties[i].file);
                free(plan->properties[i].expected);
        }
        free(plan->properties);
        cgroup_plan_free(plan->files);
        free(plan);
}

json_t *cgroup_property_to_json(const struct cgroup_property *property)
{
        return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s?}", "name", property->name, "type", property->type,
                         "value", property->value, "controller", property->controller, "file", property->file,
                         "expected", property->expected);
}

bool cgroup_property_words(const json_t *property, struct argv *words)
{
        const char *name, *type, *value;

        if (json_unpack((json_t *)property, "{s:s, s:s, s:s}", "name", &name, "type", &type, "value",
                        &value) < 0)
                return false;
        argv_add(words, name);
        argv_add(words, type);
        argv_add(words, value);
        return true;
}

void cgroup_unit_text(const struct cgroup_limits *limits, struct text *out)
{
        if (limits->cpu > 0)
                text_addf(out, "CPUWeight=%" PRIu64 "\n", cgroup_v2_cpu_weight(limits->cpu));
        if (limits->quota_us) {
                uint64_t per_second = quota_per_second(limits);

                text_addf(out, "CPUQuotaPeriodSec=%" PRIu64 "us\nCPUQuota=%" PRIu64 ".%02u%%\n",
                          limits->period_us, per_second / 10000,
                          (unsigned)(per_second % 10000 / QUOTA_STEP_US));
        }
        if (limits->io_weight)
                text_addf(out, "IOWeight=%u\n", limits->io_weight);
        if (limits->pids)
                text_addf(out, "TasksMax=%u\n", limits->pids);
        if (limits->memory_soft)
                text_addf(out, "MemoryHigh=%" PRIu64 "\n", limits->memory_soft);
        if (limits->memory_hard)
                text_addf(out, "MemoryMax=%" PRIu64 "\n", limits->memory_hard);
        if (limits->memory_swap_hard)
                text_addf(out, "MemorySwapMax=%" PRIu64 "\n", limits->memory_swap_hard - limits->memory_hard);
}
