/*
 * qemu_facts - what one QEMU binary can do: the derived facts, about 10 KiB, not the 200 KiB schema.
 *
 * Asked by QMP from `QEMU -machine none` and cached under the binary's identity (device, inode, size, mtime)
 * in the cache directory. A plan needs them; recorded facts are test input (tests/golden/hosts/).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "conf/site.h"

struct qemu_machine {
        char *name, *alias; /* "pc-q35-7.2", "q35" or NULL */
        char *default_cpu;  /* CPU type without its architecture: "qemu64"; NULL: not known */
        unsigned cpu_max;
        bool is_default, deprecated;
};

struct qemu_facts {
        char *text;     /* of a cache: all strings below are in it; NULL: each is an allocation of its own */
        char *path;     /* as resolved: absolute; an allocation of its own */
        char *identity; /* "dev-ino-size-mtime" */
        unsigned major, minor, micro;
        char *package; /* "Debian 1:7.2+dfsg-7+deb12u18" */
        char *target;  /* "x86_64" */
        struct qemu_machine *machines;
        size_t n_machines;
        char **cpu_models; /* names -cpu takes, sorted, NULL-terminated */
        char **cpu_flags;  /* switches that -cpu takes, sorted; empty: not known */
        char **tcg_flags;  /* those of them that TCG can have on, sorted; empty: not known */
        char **devices;    /* device types of -device that are user creatable, sorted, NULL-terminated */
        bool has_action;   /* set-action in the schema: -action is taken */
        bool has_kvm;      /* built with KVM */
        bool has_tcg;
        bool json_device; /* -device takes JSON (6.2) */
        bool has_vnc;
        bool has_spice; /* and its modules are installed */
};

/*
 * The emulator to use: spec's EMULATOR when given (spec_build() has held it against EMULATORS), else the
 * first of qemu-kvm-one, qemu-kvm, /usr/libexec/qemu-kvm (these for the host's own architecture),
 * qemu-system-ARCH in the fixed PATH. Absolute path, owned by the caller. No such program: ERROR_HOST that
 * says what was looked for.
 */
struct vm_spec;
int qemu_find(const struct vm_spec *spec, char **ret_path, struct error **err);
/*
 * The facts of the binary: from the cache when its identity is known there, else by a probe with a deadline;
 * write_cache: keep the result (start, run and doctor do; plan, explain and validate do not).
 */
int qemu_facts_get(const char *path, const struct paths *paths, bool write_cache, struct qemu_facts **ret,
                   struct error **err);
json_t *qemu_facts_to_json(const struct qemu_facts *facts);
int qemu_facts_from_json(const json_t *json, struct qemu_facts **ret, struct error **err);
void qemu_facts_free(struct qemu_facts *facts);
DEFINE_FREEP(struct qemu_facts, qemu_facts_free)

bool qemu_has_device(const struct qemu_facts *facts, const char *type);
bool qemu_has_cpu_model(const struct qemu_facts *facts, const char *model);
bool qemu_has_cpu_flag(const struct qemu_facts *facts, const char *flag);
bool qemu_tcg_has_flag(const struct qemu_facts *facts, const char *flag);
/* By name or alias; NULL: none. */
const struct qemu_machine *qemu_machine_find(const struct qemu_facts *facts, const char *name);
