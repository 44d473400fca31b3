#include "launcher/host/systemd_facts.h"

#include <string.h>
#include <unistd.h>

#include "base/bus.h"
#include "base/json_member.h"
#include "base/mem.h"
#include "cgroups/cgroup_plan.h"

/* sd_booted(3) */
#define RUNS "/run/systemd/system"

/* Where systemd looks for units (systemd.unit(5)). */
static const char *const directories[] = {
        "/etc/systemd/system.control",  "/run/systemd/system.control",   "/run/systemd/transient",
        "/run/systemd/generator.early", "/etc/systemd/system",           "/run/systemd/system",
        "/run/systemd/generator",       "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
        "/lib/systemd/system",          "/run/systemd/generator.late",
};

static bool has_unit_file(const char *name)
{
        for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
                _cleanup_free_ char *path = xasprintf("%s/%s", directories[i], name);

                if (access(path, F_OK) == 0)
                        return true;
        }
        return false;
}

bool slice_is_known(const char *slice)
{
        _cleanup_free_ char *dropins = xasprintf("%s.d", slice);

        return strcmp(slice, CGROUP_VM_PARENT) == 0 || has_unit_file(slice) || has_unit_file(dropins);
}

void systemd_facts_read(struct systemd_facts *ret)
{
        ret->runs = access(RUNS, F_OK) == 0;
}

void systemd_bus_read(struct systemd_facts *facts)
{
        if (!facts->runs)
                return;
        facts->has_bus = access("/run/dbus/system_bus_socket", F_OK) == 0;
        facts->has_client = bus_has_client();
}

bool systemd_has_unit(const struct paths *paths)
{
        return !paths->user && !*paths->root && access(RUNS, F_OK) == 0 && has_unit_file("vmlaunch@.service");
}

void systemd_facts_to_json(const struct systemd_facts *facts, json_t *host)
{
        if (facts->runs)
                json_object_set_new(
                        host, "systemd",
                        json_pack("{s:b, s:b}", "bus", facts->has_bus, "client", facts->has_client));
}

void systemd_facts_from_json(const json_t *json, struct systemd_facts *ret)
{
        *ret = (struct systemd_facts){
                .runs = json_is_object(json),
                .has_bus = json_member_is_true(json, "bus"),
                /* Recorded before it was a fact. */
                .has_client = !json_is_false(json_object_get(json, "client")),
        };
}
