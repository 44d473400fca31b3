/*
 * firmware - which UEFI firmware this host has: QEMU's firmware descriptors (docs/interop/firmware.json of QEMU), and
 * which of the files that may be meant are there.
 *
 * Descriptors are read from /usr/share/qemu/firmware, /etc/qemu/firmware and ETC/firmware; of one file name the last
 * directory counts, an empty file there hides it. They are in the order of their names, which is their order of
 * preference. Only those whose firmware is in flash memory are kept, in a pair of files: the code, and a template of the
 * variables. To and from JSON, so that a test can be any host. Owned by the caller.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "conf/vm_spec.h"

struct firmware_target {
        char *arch;      /* "x86_64" */
        char **machines; /* patterns as of glob(7): "pc-q35-*"; NULL-terminated */
};

/* One descriptor. */
struct firmware {
        char *name; /* "60-edk2-x86_64.json" */
        char *code, *vars;
        enum disk_format code_format, vars_format;
        struct firmware_target *targets;
        size_t n_targets;
        bool secure_boot, enrolled_keys, requires_smm;
};

struct firmware_list {
        struct firmware *items;
        size_t n;
        char **files; /* those files that exist, of all that may be meant; sorted, NULL-terminated */
        struct error *warnings; /* descriptors that are not understood; not in JSON */
};

/* directories: weakest first, NULL-terminated; one that does not exist is fine. files: further files that may be meant. */
int firmware_list_read(const char *const *directories, const char *const *files, struct firmware_list **ret,
                       struct error **err);
/*
 * What a VM needs: the system's directories and etc/firmware, the files that OS/FIRMWARE may mean, and ovmf_nvram
 * (OVMF_NVRAM of kvmrc; may be NULL). NULL in *ret for a VM without UEFI.
 */
int firmware_list_for(const struct vm_spec *spec, const char *etc, const char *ovmf_nvram,
                      struct firmware_list **ret, struct error **err);
json_t *firmware_list_to_json(const struct firmware_list *list);
int firmware_list_from_json(const json_t *json, struct firmware_list **ret, struct error **err);
void firmware_list_free(struct firmware_list *list);
DEFINE_FREEP(struct firmware_list, firmware_list_free)

bool firmware_file_exists(const struct firmware_list *list, const char *path);
/* Is it for this machine ("x86_64", "pc-q35-7.2")? */
bool firmware_fits(const struct firmware *firmware, const char *arch, const char *machine);
/* The variables that stand beside a code file by its name: OVMF_CODE_4M.secboot.fd has OVMF_VARS_4M.fd, or, with the keys
 * of Secure Boot in it, OVMF_VARS_4M.ms.fd. New string; NULL: its name has no CODE in it. */
char *firmware_vars_beside(const char *code, bool with_keys);
/* Is path a word of the list (OVMF_UEFIS)? */
bool firmware_is_listed(const char *list, const char *path);
