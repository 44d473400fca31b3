#include "launcher/host/qemu_facts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/text.h"
#include "launcher/host/qemu_cache.h"
#include "launcher/host/qemu_probe.h"

#define CACHE_MAX (1u << 20)
#define LIST_MAX  20000

static void names_done(char **names)
{
        for (size_t i = 0; names && names[i]; i++)
                free(names[i]);
}

static void strings_done(const struct qemu_facts *facts)
{
        free(facts->identity);
        free(facts->package);
        free(facts->target);
        for (size_t i = 0; i < facts->n_machines; i++) {
                free(facts->machines[i].name);
                free(facts->machines[i].alias);
                free(facts->machines[i].default_cpu);
        }
        names_done(facts->cpu_models);
        names_done(facts->cpu_flags);
        names_done(facts->tcg_flags);
        names_done(facts->devices);
}

void qemu_facts_free(struct qemu_facts *facts)
{
        if (!facts)
                return;
        if (!facts->text)
                strings_done(facts);
        free(facts->text);
        free(facts->path);
        free(facts->machines);
        free(facts->cpu_models);
        free(facts->cpu_flags);
        free(facts->tcg_flags);
        free(facts->devices);
        free(facts);
}

static json_t *names_to_json(char *const *names)
{
        json_t *array = json_array();

        for (size_t i = 0; names[i]; i++)
                json_array_append_new(array, json_string(names[i]));
        return array;
}

/* NULL for an empty list. */
static json_t *some_names_to_json(char *const *names)
{
        return names[0] ? names_to_json(names) : NULL;
}

json_t *qemu_facts_to_json(const struct qemu_facts *facts)
{
        json_t *machines = json_array();

        for (size_t i = 0; i < facts->n_machines; i++) {
                const struct qemu_machine *m = &facts->machines[i];

                json_array_append_new(machines,
                                      json_pack("{s:s, s:s*, s:s*, s:I, s:b, s:b}", "name", m->name, "alias",
                                                m->alias, "default-cpu", m->default_cpu, "cpu-max",
                                                (json_int_t)m->cpu_max, "default", (int)m->is_default,
                                                "deprecated", (int)m->deprecated));
        }
        return json_pack(
                "{s:s, s:s, s:[iii], s:s, s:s, s:o, s:o, s:o*, s:o*, s:o, s:b, s:b, s:b, s:b, s:b, s:b}",
                "path", facts->path, "identity", facts->identity, "version", (int)facts->major,
                (int)facts->minor, (int)facts->micro, "package", facts->package, "target", facts->target,
                "machines", machines, "cpu-models", names_to_json(facts->cpu_models), "cpu-flags",
                some_names_to_json(facts->cpu_flags), "tcg-flags", some_names_to_json(facts->tcg_flags),
                "devices", names_to_json(facts->devices), "has-action", (int)facts->has_action, "has-kvm",
                (int)facts->has_kvm, "has-tcg", (int)facts->has_tcg, "json-device", (int)facts->json_device,
                "has-vnc", (int)facts->has_vnc, "has-spice", (int)facts->has_spice);
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static int names_from_json(const json_t *array, const char *what, char ***ret, struct error **err)
{
        size_t n = json_array_size(array);

        if ((array && !json_is_array(array)) || n > LIST_MAX)
                return error_set(err, ERROR_FAILED, "QEMU facts: %s is no list", what);
        *ret = xcalloc(n + 1, sizeof(char *));
        for (size_t i = 0; i < n; i++) {
                const char *name = json_string_value(json_array_get(array, i));

                if (!name)
                        return error_set(err, ERROR_FAILED, "QEMU facts: %s: not a string", what);
                (*ret)[i] = xstrdup(name);
        }
        /* Somebody may have edited it: look-ups rely on the order. */
        for (size_t i = 1; i < n; i++) {
                if (strcmp((*ret)[i - 1], (*ret)[i]) <= 0)
                        continue;
                qsort(*ret, n, sizeof(char *), compare_names);
                break;
        }
        return 0;
}

static int machines_from_json(const json_t *array, struct qemu_facts *facts, struct error **err)
{
        json_t *entry;
        size_t i;

        if (!json_is_array(array) || json_array_size(array) > LIST_MAX)
                return error_set(err, ERROR_FAILED, "QEMU facts: machines is no list");
        json_array_foreach (array, i, entry) {
                const char *name, *alias = NULL, *default_cpu = NULL;
                int is_default, deprecated;
                json_int_t cpu_max;
                json_error_t why;

                if (json_unpack_ex(entry, &why, 0, "{s:s, s?s, s?s, s:I, s:b, s:b}", "name", &name, "alias",
                                   &alias, "default-cpu", &default_cpu, "cpu-max", &cpu_max, "default",
                                   &is_default, "deprecated", &deprecated) < 0)
                        return error_set(err, ERROR_FAILED, "QEMU facts: machines: %s", why.text);
                if (cpu_max < 1 || cpu_max > INT32_MAX)
                        return error_set(err, ERROR_FAILED, "QEMU facts: machines: cpu-max is out of range");
                ARRAY_GROW(facts->machines, facts->n_machines);
                facts->machines[facts->n_machines++] = (struct qemu_machine){
                        .name = xstrdup(name),
                        .alias = xstrdup_null(alias),
                        .default_cpu = xstrdup_null(default_cpu),
                        .cpu_max = (unsigned)cpu_max,
                        .is_default = is_default,
                        .deprecated = deprecated,
                };
        }
        return 0;
}

int qemu_facts_from_json(const json_t *json, struct qemu_facts **ret, struct error **err)
{
        _cleanup_(qemu_facts_freep) struct qemu_facts *facts = xcalloc(1, sizeof(*facts));
        int major, minor, micro, has_action, has_kvm, has_tcg, json_device, has_vnc, has_spice;
        const char *path, *identity, *package, *target;
        json_t *machines, *cpu_models, *cpu_flags = NULL, *tcg_flags = NULL, *devices;
        json_error_t why;

        if (json_unpack_ex(
                    (json_t *)json, &why, 0,
                    "{s:s, s:s, s:[iii], s:s, s:s, s:o, s:o, s?o, s?o, s:o, s:b, s:b, s:b, s:b, s:b, s:b}",
                    "path", &path, "identity", &identity, "version", &major, &minor, &micro, "package",
                    &package, "target", &target, "machines", &machines, "cpu-models", &cpu_models,
                    "cpu-flags", &cpu_flags, "tcg-flags", &tcg_flags, "devices", &devices, "has-action",
                    &has_action, "has-kvm", &has_kvm, "has-tcg", &has_tcg, "json-device", &json_device,
                    "has-vnc", &has_vnc, "has-spice", &has_spice) < 0)
                return error_set(err, ERROR_FAILED, "QEMU facts: %s", why.text);
        if (major < 0 || minor < 0 || micro < 0)
                return error_set(err, ERROR_FAILED, "QEMU facts: version is out of range");
        facts->path = xstrdup(path);
        facts->identity = xstrdup(identity);
        facts->package = xstrdup(package);
        facts->target = xstrdup(target);
        facts->major = (unsigned)major;
        facts->minor = (unsigned)minor;
        facts->micro = (unsigned)micro;
        facts->has_action = has_action;
        facts->has_kvm = has_kvm;
        facts->has_tcg = has_tcg;
        facts->json_device = json_device;
        facts->has_vnc = has_vnc;
        facts->has_spice = has_spice;
        if (machines_from_json(machines, facts, err) < 0 ||
            names_from_json(cpu_models, "cpu-models", &facts->cpu_models, err) < 0 ||
            names_from_json(cpu_flags, "cpu-flags", &facts->cpu_flags, err) < 0 ||
            names_from_json(tcg_flags, "tcg-flags", &facts->tcg_flags, err) < 0 ||
            names_from_json(devices, "devices", &facts->devices, err) < 0)
                return -1;
        *ret = TAKE_PTR(facts);
        return 0;
}

/* "DEV-INO-SIZE-MTIME" of the file that path leads to; new string, NULL and *err on failure. */
static char *identity_of(const char *path, struct error **err)
{
        struct stat st;

        if (stat(path, &st) < 0) {
                error_os(err, errno, "look at QEMU '%s'", path);
                return NULL;
        }
        return xasprintf("%llx-%llu-%lld-%lld.%09ld", (unsigned long long)st.st_dev,
                         (unsigned long long)st.st_ino, (long long)st.st_size, (long long)st.st_mtim.tv_sec,
                         st.st_mtim.tv_nsec);
}

/* NULL for anything that is not a good cache: then it is asked again. */
static struct qemu_facts *read_cache(const char *file, const char *identity)
{
        _cleanup_(qemu_facts_freep) struct qemu_facts *facts = NULL;
        _cleanup_error_ struct error *error = NULL;
        char *text;

        if (fd_read_file_at(AT_FDCWD, file, CACHE_MAX, &text, NULL, &error) < 0)
                return NULL;
        facts = qemu_cache_read(text);
        if (!facts || strcmp(facts->identity, identity) != 0)
                return NULL;
        return TAKE_PTR(facts);
}

/* Only a cache: where it cannot be written the next one asks again. */
static void write_cache_file(const struct paths *paths, const char *file, const struct qemu_facts *facts)
{
        _cleanup_free_ char *text = qemu_cache_text(facts);
        _cleanup_error_ struct error *error = NULL;
        mode_t old = umask(022);

        if (fd_mkdir_p(AT_FDCWD, paths->cache, 0755, &error) == 0)
                fd_write_file_at(AT_FDCWD, file, text, strlen(text), 0644, 0, &error);
        umask(old);
}

int qemu_facts_get(const char *path, const struct paths *paths, bool write_cache, struct qemu_facts **ret,
                   struct error **err)
{
        _cleanup_(qemu_facts_freep) struct qemu_facts *facts = NULL;
        _cleanup_free_ char *identity = identity_of(path, err), *file = NULL, *after = NULL;

        if (!identity)
                return -1;
        file = xasprintf("%s/qemu-%s.facts", paths->cache, identity);
        facts = read_cache(file, identity);
        if (facts) {
                /* The same file may have several names; the plan shows the one that was asked for. */
                free(facts->path);
                facts->path = xstrdup(path);
                *ret = TAKE_PTR(facts);
                return 0;
        }
        if (qemu_probe(path, QEMU_PROBE_DEADLINE_MS, &facts, err) < 0)
                return -1;
        after = identity_of(path, err);
        if (!after)
                return -1;
        facts->identity = TAKE_PTR(identity);
        /* Replaced while it was asked: whose answers these are is not known. */
        if (write_cache && strcmp(facts->identity, after) == 0)
                write_cache_file(paths, file, facts);
        *ret = TAKE_PTR(facts);
        return 0;
}

static bool has_name(char *const *names, const char *name)
{
        size_t n = 0;

        while (names[n])
                n++;
        return bsearch(&name, names, n, sizeof(char *), compare_names) != NULL;
}

bool qemu_has_device(const struct qemu_facts *facts, const char *type)
{
        return has_name(facts->devices, type);
}

bool qemu_has_cpu_model(const struct qemu_facts *facts, const char *model)
{
        return has_name(facts->cpu_models, model);
}

bool qemu_has_cpu_flag(const struct qemu_facts *facts, const char *flag)
{
        return has_name(facts->cpu_flags, flag);
}

bool qemu_tcg_has_flag(const struct qemu_facts *facts, const char *flag)
{
        return has_name(facts->tcg_flags, flag);
}

const struct qemu_machine *qemu_machine_find(const struct qemu_facts *facts, const char *name)
{
        for (size_t i = 0; i < facts->n_machines; i++)
                if (strcmp(facts->machines[i].name, name) == 0)
                        return &facts->machines[i];
        for (size_t i = 0; i < facts->n_machines; i++)
                if (facts->machines[i].alias && strcmp(facts->machines[i].alias, name) == 0)
                        return &facts->machines[i];
        return NULL;
}
