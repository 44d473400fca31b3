/* What systemd is asked for: a scope for a VM that was started by hand, and properties of the VM's unit. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bus.h"
#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "cgroups/cgroup_apply.h"
#include "cgroups/cgroup_unit.h"
#include "launcher/run/effects.h"
#include "launcher/run/unit.h"

#define SYSTEMD    "org.freedesktop.systemd1"
#define SYSTEMD_AT "/org/freedesktop/systemd1"
#define MANAGER    SYSTEMD ".Manager"
#define BUS_MS     10000
/* The scope of the last run goes when systemd hears that it is empty; ours is there when its job is done. */
#define SCOPE_MS 10000
#define STEP_MS  5
/* Ignored by everybody but a supervisor, who takes it for SIGTERM: so `systemctl stop` of the scope, which signals every
 * process in it, does not end QEMU before its guest. */
#define STOP_SIGNAL SIGURG
/* Where systemd keeps what SetUnitProperties() was told with runtime = true. */
#define RUNTIME_PROPERTIES "/run/systemd/system.control"

/* A property of a unit as text; interface: behind the bus's name. New string; NULL and *err. */
static char *get_property(const char *unit, bool user, const char *interface, const char *property,
                          struct error **err)
{
        _cleanup_free_ char *escaped = bus_path_escape(unit),
                            *path = xasprintf(SYSTEMD_AT "/unit/%s", escaped),
                            *full = xasprintf(SYSTEMD ".%s", interface);
        const struct bus_call of = { .destination = SYSTEMD, .path = path, .interface = full, .user = user };

        return bus_get(&of, property, BUS_MS, err);
}

static bool is_inactive(const char *unit, bool user, struct error **err)
{
        _cleanup_free_ char *state = get_property(unit, user, "Unit", "ActiveState", err);

        return state && strcmp(state, "inactive") == 0;
}

static void add_property(struct argv *words, unsigned *n, const char *name, const char *type,
                         const char *value)
{
        argv_add(words, name);
        argv_add(words, type);
        argv_add(words, value);
        (*n)++;
}

static int start_scope(const struct effect_run *run, const json_t *args, struct error **err)
{
        const char *unit, *slice, *description;
        _cleanup_argv_ struct argv words = ARGV_INIT, properties = ARGV_INIT;
        _cleanup_free_ char *stop_us = NULL, *signal = xasprintf("%d", STOP_SIGNAL);
        const struct bus_call call = { .destination = SYSTEMD,
                                       .path = SYSTEMD_AT,
                                       .interface = MANAGER,
                                       .member = "StartTransientUnit",
                                       .signature = "ssa(sv)a(sa(sv))",
                                       .user = json_member_is_true(args, "user"),
                                       .words = &words };
        json_t *list, *property;
        json_error_t why;
        unsigned n = 0;
        int stop_s;
        size_t i;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:s, s:s, s:i, s:o}", "unit", &unit, "slice",
                           &slice, "description", &description, "stop_s", &stop_s, "properties", &list) < 0)
                return error_set(err, ERROR_FAILED, "step scope: %s", why.text);
        stop_us = xasprintf("%lld", stop_s * 1000000ll);
        add_property(&properties, &n, "Description", "s", description);
        add_property(&properties, &n, "Slice", "s", slice);
        add_property(&properties, &n, "Delegate", "b", "true");
        add_property(&properties, &n, "CollectMode", "s", "inactive-or-failed");
        add_property(&properties, &n, "KillSignal", "i", signal);
        add_property(&properties, &n, "TimeoutStopUSec", "t", stop_us);
        /* It is for the guest to have its network as long as it runs. */
        argv_add(&properties, "After");
        argv_add(&properties, "as");
        argv_add(&properties, "1");
        argv_add(&properties, "network.target");
        n++;
        argv_add(&properties, "PIDs");
        argv_add(&properties, "au");
        argv_add(&properties, run->keeper ? "2" : "1");
        argv_addf(&properties, "%d", (int)getpid());
        if (run->keeper)
                argv_addf(&properties, "%d", (int)run->keeper);
        n++;
        json_array_foreach (list, i, property)
                n += cgroup_property_words(property, &properties);
        argv_add(&words, unit);
        argv_add(&words, "fail");
        argv_addf(&words, "%u", n);
        for (i = 0; i < properties.n; i++)
                argv_add(&words, properties.items[i]);
        argv_add(&words, "0");
        return bus_call(&call, BUS_MS, NULL, err);
}

int scope_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        const char *unit = json_member_string(args, "unit");
        bool user = json_member_is_true(args, "user");
        long long deadline = fd_now_ms() + SCOPE_MS;
        bool there = false;

        if (!unit)
                return error_set(err, ERROR_FAILED, "step scope: no unit");
        while (!*err && !is_inactive(unit, user, err) && !*err) {
                if (fd_now_ms() >= deadline)
                        return error_set(err, ERROR_BUSY, "systemd still has the unit '%s' of an earlier run",
                                         unit);
                poll(NULL, 0, STEP_MS);
        }
        if (*err || start_scope(run, args, err) < 0)
                return error_wrap(err, "ask systemd for the scope '%s'", unit);
        while (!there && fd_now_ms() < deadline) {
                there = unit_has_process(unit, getpid()) &&
                        (!run->keeper || unit_has_process(unit, run->keeper));
                if (!there)
                        poll(NULL, 0, STEP_MS);
        }
        return there ? 0
                     : error_set(err, ERROR_DEADLINE, "systemd has not made the scope '%s' within %d s", unit,
                                 SCOPE_MS / 1000);
}

/* Has the property's control file the value that it gives? What shows in no file is taken to have. */
static bool is_in_force(const struct cgroup_host *host, const char *group, const json_t *property)
{
        const char *controller = json_member_string(property, "controller");
        const char *file = json_member_string(property, "file");
        const char *expected = json_member_string(property, "expected");
        _cleanup_free_ char *now = NULL;
        struct error *unreadable = NULL;

        if (!file || !expected)
                return true;
        if (cgroup_read(host, group, controller, file, &now, &unreadable) < 0) {
                error_free(unreadable);
                return false;
        }
        return strcmp(now, expected) == 0;
}

static int set_properties(const char *unit, bool user, const json_t *properties, struct error **err)
{
        _cleanup_argv_ struct argv words = ARGV_INIT;
        const struct bus_call call = { .destination = SYSTEMD,
                                       .path = SYSTEMD_AT,
                                       .interface = MANAGER,
                                       .member = "SetUnitProperties",
                                       .signature = "sba(sv)",
                                       .user = user,
                                       .words = &words };
        const json_t *property;
        size_t i;

        argv_add(&words, unit);
        argv_add(&words, "true");
        argv_addf(&words, "%zu", json_array_size(properties));
        json_array_foreach (properties, i, property) {
                if (!cgroup_property_words(property, &words))
                        return error_set(err, ERROR_FAILED, "property %zu is none", i + 1);
        }
        if (bus_call(&call, BUS_MS, NULL, err) < 0)
                return error_wrap(err, "set the limits of unit '%s'", unit);
        return 0;
}

/* The same properties with the values that they have now. */
static json_t *read_properties(const char *unit, bool user, const json_t *properties, struct error **err)
{
        json_t *now = json_array();
        const json_t *property;
        size_t i;

        json_array_foreach (properties, i, property) {
                const char *name = json_member_string(property, "name");
                _cleanup_free_ char *value = get_property(
                        unit, user, text_ends_with(unit, ".scope") ? "Scope" : "Service", name, err);

                if (!value) {
                        json_decref(now);
                        error_wrap(err, "read the limits of unit '%s'", unit);
                        return NULL;
                }
                json_array_append_new(now, json_pack("{s:s, s:O, s:s}", "name", name, "type",
                                                     json_object_get(property, "type"), "value", value));
        }
        return now;
}

int unit_set_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        bool user = json_member_is_true(args, "user");
        json_auto_t *wanted = json_array();
        json_t *list, *property, *previous;
        const char *unit, *group;
        json_error_t why;
        size_t i;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:s, s:o}", "unit", &unit, "group", &group,
                           "properties", &list) < 0)
                return error_set(err, ERROR_FAILED, "step unit-set: %s", why.text);
        json_array_foreach (list, i, property) {
                if (!is_in_force(run->cgroup, group, property))
                        json_array_append(wanted, property);
        }
        if (!json_array_size(wanted))
                return 0;
        if (run->restores) {
                previous = read_properties(unit, user, wanted, err);
                if (!previous || effect_learn(run, json_pack("{s:o}", "previous", previous), err) < 0)
                        return -1;
        }
        if (set_properties(unit, user, wanted, err) == 0)
                return 0;
        if ((*err)->code == ERROR_HOST && !run->restores)
                error_wrap(err, "systemd has not read the limits in the template, for which there is "
                                "'systemctl daemon-reload', and cannot be told");
        return -1;
}

/* What was set for this run is not for the next one: systemd keeps it in files, and in its memory until it reads those
 * anew. */
static int forget_properties(const char *unit, struct error **err)
{
        const struct bus_call call = { .destination = SYSTEMD,
                                       .path = SYSTEMD_AT,
                                       .interface = MANAGER,
                                       .member = "Reload",
                                       .signature = "" };
        _cleanup_free_ char *directory = xasprintf(RUNTIME_PROPERTIES "/%s.d", unit);
        _cleanup_error_ struct error *ignored = NULL;
        DIR *dir = opendir(directory);
        int forgotten = 0;

        if (!dir)
                return errno == ENOENT ? 0 : error_os(err, errno, "read directory '%s'", directory);
        for (struct dirent *entry; (entry = readdir(dir));)
                if (text_starts_with(entry->d_name, "50-") && unlinkat(dirfd(dir), entry->d_name, 0) == 0)
                        forgotten = 1;
        closedir(dir);
        rmdir(directory);
        rmdir(RUNTIME_PROPERTIES);
        /* It is undone once systemd has heard of it; one that does not answer finds the files gone later. */
        if (forgotten)
                bus_call(&call, BUS_MS, NULL, &ignored);
        return forgotten;
}

int unit_set_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        const char *unit = json_member_string(args, "unit");
        const json_t *previous = json_object_get(learned, "previous");

        (void)undo;
        if (!unit || strchr(unit, '/'))
                return error_set(err, ERROR_FAILED, "no unit");
        if (previous)
                return set_properties(unit, json_member_is_true(args, "user"), previous, err) < 0 ? -1 : 1;
        return forget_properties(unit, err);
}
