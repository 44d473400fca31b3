#include "launcher/host/systemd_facts.h"

#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cgroups/cgroup_plan.h"
#include "cgroups/cgroup_unit.h"

/* Where systemd looks for units (systemd.unit(5)). */
static bool has_unit_file(const char *name)
{
        static const char *const directories[] = { "/etc/systemd/system", "/run/systemd/system",
                                                   "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
                                                   "/lib/systemd/system" };

        for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
                _cleanup_free_ char *path = xasprintf("%s/%s", directories[i], name);

                if (access(path, F_OK) == 0)
                        return true;
        }
        return false;
}

bool slice_is_known(const char *slice, const struct cgroup_host *cgroup)
{
        _cleanup_free_ char *inside = cgroup_unit_path(slice, "x"), *path = NULL;
        const char *mount = cgroup->n_v1 ? cgroup->v1[0].mount : cgroup->v2_mount;

        if (strcmp(slice, CGROUP_VM_PARENT) == 0 || has_unit_file(slice))
                return true;
        inside[strlen(inside) - 2] = '\0';
        path = xasprintf("%s/%s", mount ? mount : "", inside);
        return mount && access(path, F_OK) == 0;
}

void systemd_facts_read(struct systemd_facts *ret)
{
        /* sd_booted(3) */
        ret->runs = access("/run/systemd/system", F_OK) == 0;
        if (!ret->runs)
                return;
        ret->has_bus = access("/run/dbus/system_bus_socket", F_OK) == 0;
        ret->has_unit = has_unit_file("vmlaunch@.service");
}

bool systemd_has_unit(const struct paths *paths)
{
        struct systemd_facts facts = { 0 };

        systemd_facts_read(&facts);
        return !paths->user && !*paths->root && facts.has_unit;
}

void systemd_facts_to_json(const struct systemd_facts *facts, json_t *host)
{
        if (facts->runs)
                json_object_set_new(host, "systemd",
                                    json_pack("{s:b, s:b}", "bus", facts->has_bus, "unit", facts->has_unit));
}

void systemd_facts_from_json(const json_t *json, struct systemd_facts *ret)
{
        *ret = (struct systemd_facts){
                .runs = json_is_object(json),
                .has_bus = json_is_true(json_object_get(json, "bus")),
                .has_unit = json_is_true(json_object_get(json, "unit")),
        };
}
