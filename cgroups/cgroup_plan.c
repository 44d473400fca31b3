#include "cgroups/cgroup_plan.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "cgroups/cgroup_unit.h"
#include "cgroups/cgroup_values.h"

#define PATH_BYTES_MAX 1024

char *cgroup_vm_path(const char *name)
{
        return xasprintf(CGROUP_VM_PARENT "/" CGROUP_VM_PREFIX "%s", name);
}

char *cgroup_vm_path_in(const char *slice, const char *name)
{
        _cleanup_free_ char *group = xasprintf(CGROUP_VM_PREFIX "%s", name);

        return cgroup_unit_path(slice ? slice : CGROUP_VM_PARENT, group);
}

bool cgroup_is_vm_path(const char *path, const char *name)
{
        const char *slash;

        for (; (slash = strchr(path, '/')); path = slash + 1)
                if (slash - path <= 6 || strncmp(slash - 6, ".slice", 6) != 0)
                        return false;
        return text_starts_with(path, CGROUP_VM_PREFIX) && strcmp(path + strlen(CGROUP_VM_PREFIX), name) == 0;
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

/* What stands in the way of the controller; NULL: nothing. New string. */
static char *controller_missing(const struct cgroup_host *host, const char *controller)
{
        const struct cgroup_hierarchy *hierarchy = cgroup_host_v1(host, controller);

        if (host->kind == CGROUP_NONE)
                return xstrdup("no control groups");
        if (cgroup_host_has(host, controller))
                return NULL;
        if (host->kind == CGROUP_V2 && !host->v2_writable)
                return xstrdup("read-only control groups");
        if (hierarchy)
                return xasprintf("a read-only %s controller", controller);
        return xasprintf("no %s controller", controller);
}

static void add_missing(struct cgroup_plan *plan, enum cgroup_limit limit, char *why_consume)
{
        /* One limit may have several files. */
        if (plan->n_missing && plan->missing[plan->n_missing - 1].limit == limit) {
                free(why_consume);
                return;
        }
        ARRAY_GROW(plan->missing, plan->n_missing);
        plan->missing[plan->n_missing++] = (struct cgroup_missing){ .limit = limit, .why = why_consume };
}

void cgroup_value_add(struct cgroup_filler *filler, enum cgroup_limit limit, const char *controller,
                      const char *file, bool need, const char *format, ...)
{
        struct cgroup_plan *plan = filler->plan;
        char *why = controller_missing(filler->host, controller);
        _cleanup_text_ struct text value = TEXT_INIT;
        va_list ap;

        if (!why && need && !cgroup_host_has_file(filler->host, file))
                why = xasprintf("no %s", file);
        if (why) {
                add_missing(plan, limit, why);
                return;
        }
        va_start(ap, format);
        text_vaddf(&value, format, ap);
        va_end(ap);
        ARRAY_GROW(plan->settings, plan->n);
        plan->settings[plan->n++] = (struct cgroup_setting){
                .limit = limit,
                .controller = filler->host->kind == CGROUP_V2 ? NULL : xstrdup(controller),
                .file = xstrdup(file),
                .value = text_take(&value),
        };
}

struct cgroup_plan *cgroup_plan_build(const struct cgroup_limits *limits, const struct cgroup_host *host,
                                      const char *path, struct error **err)
{
        _cleanup_(cgroup_plan_freep) struct cgroup_plan *plan = xcalloc(1, sizeof(*plan));
        struct cgroup_filler filler = { .plan = plan, .host = host };

        if (cgroup_path_check(path, err) < 0)
                return NULL;
        /* Written so that a NaN is refused too. */
        if (!(limits->cpu >= 0) || isinf(limits->cpu)) {
                error_set(err, ERROR_INVALID, "CPU is a positive number");
                return NULL;
        }
        if ((limits->quota_us && !limits->period_us) ||
            (limits->memory_swap_hard &&
             (!limits->memory_hard || limits->memory_swap_hard < limits->memory_hard))) {
                error_set(err, ERROR_INVALID, "limits of a control group that do not go together");
                return NULL;
        }
        if (cgroup_host_can_group(host))
                plan->path = xstrdup(path);
        if (host->kind == CGROUP_V2)
                cgroup_v2_values(limits, &filler);
        else
                cgroup_v1_values(limits, &filler);
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
        for (size_t i = 0; i < plan->n_missing; i++)
                free(plan->missing[i].why);
        free(plan->settings);
        free(plan->missing);
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
