#include "cgroups/cgroup_plan.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define PATH_BYTES_MAX 1024

uint64_t cgroup_cpu_shares(unsigned version, double cpu)
{
        float base = version == 2 ? 100 : 1024;
        float low = version == 2 ? 1 : 2;
        float high = version == 2 ? 10000 : 262144;
        float shares = ceilf(base * (float)cpu);

        assert(cpu > 0);
        return (uint64_t)(shares < low ? low : shares > high ? high : shares);
}

char *cgroup_vm_path(const char *name)
{
        return xasprintf(CGROUP_VM_PARENT "/" CGROUP_VM_PREFIX "%s", name);
}

int cgroup_path_check(const char *path, struct error **err)
{
        _cleanup_free_ char *shown = text_printable(path);
        const char *component = path;

        if (strlen(path) > PATH_BYTES_MAX)
                return error_set(err, ERROR_INVALID, "cgroup path '%s' is longer than %d bytes", shown,
                                 PATH_BYTES_MAX);
        for (const char *c = path;; c++) {
                size_t length = (size_t)(c - component);

                if ((unsigned char)*c < ' ' && *c)
                        return error_set(err, ERROR_INVALID, "control byte in cgroup path '%s'", shown);
                if (*c && *c != '/')
                        continue;
                if (length == 0 || length > 255 || (length == 1 && component[0] == '.') ||
                    (length == 2 && memcmp(component, "..", 2) == 0))
                        return error_set(err, ERROR_INVALID, "'%s' is not a path of a cgroup", shown);
                if (!*c)
                        return 0;
                component = c + 1;
        }
}

static void add(struct cgroup_plan *plan, const char *controller, const char *file, char *value_consume)
{
        ARRAY_GROW(plan->settings, plan->n);
        plan->settings[plan->n++] = (struct cgroup_setting){
                .controller = xstrdup_null(controller),
                .file = xstrdup(file),
                .value = value_consume,
        };
}

struct cgroup_plan *cgroup_plan_build(const struct cgroup_limits *limits, unsigned version, const char *path,
                                      struct error **err)
{
        _cleanup_(cgroup_plan_freep) struct cgroup_plan *plan = xcalloc(1, sizeof(*plan));

        assert(version <= 2);
        if (cgroup_path_check(path, err) < 0)
                return NULL;
        /* Written so that a NaN is refused too. */
        if (!(limits->cpu >= 0) || isinf(limits->cpu)) {
                error_set(err, ERROR_INVALID, "CPU is a positive number");
                return NULL;
        }
        plan->path = xstrdup(path);
        if (limits->cpu > 0 && version > 0)
                add(plan, version == 1 ? "cpu" : NULL, version == 1 ? "cpu.shares" : "cpu.weight",
                    xasprintf("%llu", (unsigned long long)cgroup_cpu_shares(version, limits->cpu)));
        return TAKE_PTR(plan);
}

void cgroup_plan_free(struct cgroup_plan *plan)
{
        if (!plan)
                return;
        for (size_t i = 0; i < plan->n; i++) {
                free((char *)plan->settings[i].controller);
                free((char *)plan->settings[i].file);
                free((char *)plan->settings[i].value);
        }
        free(plan->settings);
        free(plan->path);
        free(plan);
}

json_t *cgroup_setting_to_json(const char *path, const struct cgroup_setting *setting)
{
        return json_pack("{s:s, s:s?, s:s, s:s}", "path", path, "controller", setting->controller, "file",
                         setting->file, "value", setting->value);
}

/* A control file is named inside its group: nothing may lead out of it. */
static bool is_file_name(const char *file)
{
        return *file && *file != '.' && strlen(file) <= 255 && !strchr(file, '/');
}

int cgroup_setting_from_json(const json_t *json, const char **ret_path, struct cgroup_setting *ret,
                             struct error **err)
{
        struct cgroup_setting setting = { 0 };
        const char *path;
        json_t *controller = NULL;
        json_error_t why;

        if (json_unpack_ex((json_t *)json, &why, 0, "{s:s, s?:o, s:s, s:s}", "path", &path, "controller",
                           &controller, "file", &setting.file, "value", &setting.value) < 0)
                return error_set(err, ERROR_INVALID, "cgroup setting: %s", why.text);
        setting.controller = json_string_value(controller);
        if (controller && !setting.controller && !json_is_null(controller))
                return error_set(err, ERROR_INVALID, "cgroup setting: bad controller");
        if (cgroup_path_check(path, err) < 0)
                return -1;
        if (!is_file_name(setting.file))
                return error_set(err, ERROR_INVALID, "cgroup setting: bad file name");
        *ret_path = path;
        *ret = setting;
        return 0;
}

void cgroup_setting_text(const char *path, const struct cgroup_setting *setting, struct text *out)
{
        text_addf(out, "write         %s/%s = %s", path, setting->file, setting->value);
}
