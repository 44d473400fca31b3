/*
 * Which layer's value counts: for a row of each class and kind, every combination of layers that are silent, empty, right
 * and wrong. What is expected is worked out here from opennebula-semantics section 3.1, not by the code under test.
 *
 * docs/precedence.md is the same as a table, of what the code does and of the attribute tables; BLESS=1 writes it.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/attr.h"
#include "conf/kvmrc.h"
#include "conf/spec_build.h"

#define GUIDE "docs/precedence.md"

enum { DRIVER, CLUSTER, HOST, VM, N_LAYERS };
enum said { SILENT, EMPTY, RIGHT, WRONG, N_SAID };

static const char *const files[N_LAYERS] = { "/etc/vmlaunch/vmm_exec_kvm.conf", "/etc/vmlaunch/cluster.conf",
                                             "/etc/vmlaunch/host.conf", "t" };

struct row {
        const char *section, *key; /* "" the top level */
        const char *right[N_LAYERS];
        const char *wrong;
        bool empty_ends;    /* a text or word: empty is a value, of which the default is made */
        const char *beside; /* what a VM of this row needs besides */
};

/* A row of each class and kind. */
static const struct row rows[] = {
        /* A: VM, host, cluster, driver */
        { "", "VCPU", { "2", "3", "4", "5" }, "two", false, "" },
        { "FEATURES", "ACPI", { "no", "no", "no", "no" }, "maybe", false, "" },
        { "CPU_MODEL", "MODEL", { "EPYC", "Haswell", "qemu64", "max" }, "a b", true, "" },
        { "",
          "ON_CRASH",
          { "restart", "preserve", "restart", "preserve" },
          "explode",
          true,
          "PANIC=[MODEL=isa]\n" },
        { "", "EMULATOR", { "/a", "/b", "/c", "/d" }, "a/b", true, "" },
        /* B: host, cluster, driver */
        { "", "CGROUPS_VERSION", { "1", "2", "1", "2" }, "3", false, "" },
        /* C: each device, host, cluster, driver */
        { "DISK", "CACHE", { "unsafe", "directsync", "writeback", "default" }, "some", true, "SOURCE=d" },
        { "DISK", "DEV_PREFIX", { "vd", "hd", "xvd", "ubd" }, "V", true, "SOURCE=d" },
        { "NIC", "MODEL", { "e1000", "e1000e", "rtl8139", "pcnet" }, "a b", true, "BRIDGE_TYPE=user" },
        /* D: VM */
        { "OS",
          "UUID",
          { "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222",
            "33333333-3333-3333-3333-333333333333", "44444444-4444-4444-4444-444444444444" },
          "x",
          true,
          "" },
        { "", "CPU", { "2", "3", "4", "5" }, "much", false, "" },
        { "DISK", "READONLY", { "yes", "yes", "yes", "yes" }, "maybe", false, "SOURCE=d" },
        /* E: cluster, driver */
        { "", "EVC_MODE", { "EPYC", "Haswell", "qemu64", "max" }, "a b", true, "" },
        /* The host's alone */
        { "", "IMAGE_DIR", { "/a", "/b", "/c", "/d" }, "a", false, "" },
};

static bool counts(enum attr_lookup class, unsigned layer)
{
        switch (class) {
        case LOOKUP_A:
        case LOOKUP_C:
                return true;
        case LOOKUP_B:
                return layer != VM;
        case LOOKUP_D:
                return layer == VM;
        case LOOKUP_E:
                return layer == CLUSTER || layer == DRIVER;
        case LOOKUP_HOST:
                return layer == HOST;
        }
        return false;
}

static const struct attr *find(const struct row *row)
{
        return attr_find(*row->section ? attr_section_find(row->section) : &attr_vm, row->key);
}

/* "host.conf: VALUE", "default", or "error FILE". */
static char *expected(const struct row *row, const enum said *said)
{
        const struct attr *attr = find(row);

        /* A layer is told of what only other layers than itself and VM templates may say, and so is a template. */
        for (unsigned layer = DRIVER; layer < N_LAYERS; layer++) {
                /* A setting of the host is read when its files are. */
                if (attr->lookup == LOOKUP_HOST && layer == HOST && said[layer] == WRONG)
                        return xasprintf("error %s", files[layer]);
                if (said[layer] != SILENT && !counts(attr->lookup, layer) && attr->lookup != LOOKUP_D)
                        return xasprintf("error %s", files[layer]);
        }
        for (unsigned i = 0; i < N_LAYERS; i++) {
                unsigned layer = VM - i;

                if (!counts(attr->lookup, layer) || said[layer] == SILENT)
                        continue;
                if (said[layer] == WRONG)
                        return xasprintf("error %s", files[layer]);
                if (said[layer] == RIGHT)
                        return xasprintf("%s: %s", files[layer], row->right[layer]);
                if (row->empty_ends)
                        return xstrdup("default");
        }
        return xstrdup("default");
}

static void add(struct text *out, const struct row *row, unsigned layer, enum said said)
{
        const char *value = said == EMPTY ? "" : said == RIGHT ? row->right[layer] : row->wrong;
        const char *beside = layer == VM ? row->beside : "";

        if (!*row->section) {
                text_add(out, beside);
                if (said != SILENT)
                        text_addf(out, "%s=\"%s\"\n", row->key, value);
                return;
        }
        text_addf(out, "%s=[%s", row->section, beside);
        if (said != SILENT)
                text_addf(out, "%s%s=\"%s\"", *beside ? "," : "", row->key, value);
        text_add(out, "]\n");
}

static const void *record_of(const struct vm_spec *spec, const char *section)
{
        return strcmp(section, "FEATURES") == 0    ? (const void *)&spec->features
               : strcmp(section, "CPU_MODEL") == 0 ? (const void *)&spec->cpu_model
               : strcmp(section, "OS") == 0        ? (const void *)&spec->os
               : strcmp(section, "DISK") == 0      ? (const void *)&spec->disks[0]
               : strcmp(section, "NIC") == 0       ? (const void *)&spec->nics[0]
                                                   : (const void *)spec;
}

/* What a setting of the host alone is, or came to. */
static char *host_setting(const struct site *site)
{
        return strcmp(site->image_dir, "/var/lib/vmlaunch/images") == 0
                       ? xstrdup("default")
                       : xasprintf("%s: %s", files[HOST], site->image_dir);
}

static char *got(const struct row *row, const enum said *said)
{
        struct text texts[N_LAYERS] = { TEXT_INIT, TEXT_INIT, TEXT_INIT, TEXT_INIT };
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_(site_freep) struct site *site = NULL;
        _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL;
        _cleanup_free_ char *reference =
                xasprintf("%s%s%s", row->section, *row->section ? "/" : "", row->key);
        const struct attr *attr = find(row);
        const struct origin *origin;
        struct error *err = NULL;
        char *result = NULL;

        for (unsigned layer = 0; layer < N_LAYERS; layer++)
                add(&texts[layer], row, layer, said[layer]);
        text_add(&texts[VM], "MEMORY=64\n");
        if (site_from_text(NULL, text_str(&texts[DRIVER]), text_str(&texts[CLUSTER]), text_str(&texts[HOST]),
                           NULL, &site, &err) == 0 &&
            template_parse("t", text_str(&texts[VM]), texts[VM].length, &template, &err) == 0)
                spec_build(template, site, "/base", "t", &spec, &err);
        for (unsigned layer = 0; layer < N_LAYERS; layer++)
                text_done(&texts[layer]);
        if (err) {
                result = xasprintf("error %s", err->pos.file);
                error_free(err);
                return result;
        }
        if (attr->lookup == LOOKUP_HOST)
                return host_setting(site);
        origin = vm_spec_origin(spec, reference);
        assert_non_null(origin);
        /* An empty text ends the search, and the default is what counts then. */
        if (origin->layer <= LAYER_DEFAULT || origin->layer == LAYER_RULE || !*origin->text) {
                _cleanup_free_ char *value = attr_get(attr, record_of(spec, row->section));

                if (attr->dflt)
                        assert_string_equal(value, attr->dflt);
                return xstrdup("default");
        }
        return xasprintf("%s: %s", origin->pos.file, origin->text);
}

static void every_combination_of_layers_gives_what_its_class_says(void **state)
{
        unsigned n = 0;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                for (unsigned mask = 0; mask < 256; mask++) {
                        enum said said[N_LAYERS];
                        _cleanup_free_ char *want = NULL, *have = NULL;

                        for (unsigned layer = 0; layer < N_LAYERS; layer++)
                                said[layer] = (enum said)((mask >> (2 * layer)) % N_SAID);
                        want = expected(&rows[i], said);
                        have = got(&rows[i], said);
                        if (strcmp(want, have) != 0)
                                fail_msg("%s/%s driver %d cluster %d host %d VM %d: '%s', expected '%s'",
                                         rows[i].section, rows[i].key, said[DRIVER], said[CLUSTER],
                                         said[HOST], said[VM], have, want);
                        n++;
                }
        assert_int_equal(n, ARRAY_SIZE(rows) * 256);
}

/* The members of opennebula-semantics section 3.1. */
static void every_attribute_of_opennebula_has_its_class(void **state)
{
        static const struct {
                enum attr_lookup class;
                const char *members;
        } classes[] = {
                { LOOKUP_A,
                  "VCPU VCPU_MAX MEMORY_SLOTS EMULATOR OS/ARCH OS/MACHINE OS/KERNEL OS/INITRD OS/ROOT OS/KERNEL_CMD "
                  "OS/BOOTLOADER OS/SD_DISK_BUS OS/FIRMWARE OS/FIRMWARE_SECURE OS/FIRMWARE_FORMAT CPU_MODEL/MODEL "
                  "CPU_MODEL/FEATURES FEATURES/ACPI FEATURES/HYPERV FEATURES/LOCALTIME FEATURES/GUEST_AGENT "
                  "FEATURES/VIRTIO_SCSI_QUEUES FEATURES/VIRTIO_BLK_QUEUES FEATURES/IOTHREADS FEATURES/GIC FEATURES/RAS "
                  "FEATURES/PCIHOLE64 FEATURES/MIGRATE_AUTO_CONVERGE FEATURES/MIGRATE_COMPRESSED GRAPHICS/TYPE "
                  "GRAPHICS/LISTEN GRAPHICS/PASSWD GRAPHICS/KEYMAP GRAPHICS/RANDOM_PASSWD VIDEO/TYPE VIDEO/IOMMU "
                  "VIDEO/ATS VIDEO/VRAM VIDEO/RESOLUTION TPM/MODEL HYPERV_OPTIONS SPICE_OPTIONS HYPERV_TIMERS" },
                { LOOKUP_B,
                  "OVMF_UEFIS Q35_ROOT_PORTS Q35_NUMA_PCIE CGROUPS_VERSION EMULATOR_CPUS RAW DISK/UID_MAP "
                  "DISK/GID_MAP" },
                { LOOKUP_C,
                  "DISK/DRIVER DISK/CACHE DISK/IO DISK/DISCARD DISK/TOTAL_BYTES_SEC DISK/TOTAL_BYTES_SEC_MAX "
                  "DISK/TOTAL_BYTES_SEC_MAX_LENGTH DISK/READ_BYTES_SEC DISK/WRITE_BYTES_SEC_MAX DISK/TOTAL_IOPS_SEC "
                  "DISK/READ_IOPS_SEC DISK/WRITE_IOPS_SEC_MAX_LENGTH DISK/SIZE_IOPS_SEC DISK/VIRTIO_BLK_QUEUES "
                  "NIC/FILTER NIC/MODEL NIC/VIRTIO_QUEUES" },
                { LOOKUP_D,
                  "CPU MEMORY MEMORY_MAX MEMORY_RESIZE_MODE TOPOLOGY/PIN_POLICY NUMA_NODE/MEMORY INPUT/TYPE "
                  "IOMMU/MODEL PCI/VENDOR RAW/DATA OS/UUID OS/BOOT GRAPHICS/PORT MEMORY_ENCRYPTION/TYPE" },
                { LOOKUP_E, "EVC_MODE" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
                _cleanup_free_ char *words = xstrdup(classes[i].members);

                for (char *save = NULL, *word = strtok_r(words, " ", &save); word;
                     word = strtok_r(NULL, " ", &save)) {
                        char *slash = strchr(word, '/');
                        const struct attr_section *section = &attr_vm;
                        const struct attr *row;

                        if (slash) {
                                *slash = '\0';
                                section = attr_section_find(word);
                        }
                        row = section ? attr_find(section, slash ? slash + 1 : word) : NULL;
                        if (!row || (row->lookup != classes[i].class && row->state != ATTR_LEFT_ALONE))
                                fail_msg("%s/%s: %s", word, slash ? slash + 1 : "",
                                         row ? attr_lookup_name(row->lookup) : "unknown");
                }
        }
}

static const char *const letters[] = { [LOOKUP_A] = "A", [LOOKUP_B] = "B", [LOOKUP_C] = "C",
                                       [LOOKUP_D] = "D", [LOOKUP_E] = "E", [LOOKUP_HOST] = "host" };

/* What a layer that says this comes to, when each weaker one that counts has a value. */
static const char *outcome(const struct row *row, unsigned layer, enum said say)
{
        enum said said[N_LAYERS] = { SILENT };
        const struct attr *attr = find(row);
        _cleanup_free_ char *result = NULL, *own = xasprintf("%s: ", files[layer]);

        for (unsigned i = 0; i < layer; i++)
                if (counts(attr->lookup, i))
                        said[i] = RIGHT;
        said[layer] = say;
        result = got(row, said);
        if (text_starts_with(result, "error"))
                return "error";
        if (text_starts_with(result, own))
                return "its value";
        if (strcmp(result, "default") != 0)
                return "the next layer's";
        return say != SILENT && attr->lookup == LOOKUP_D && layer != VM ? "a warning" : "the default";
}

static void add_outcomes(struct text *out)
{
        static const char *const layers[N_LAYERS] = { "`vmm_exec_kvm.conf`", "`cluster.conf`", "`host.conf`",
                                                      "VM template" };

        text_add(out, "| class | for example | who says it | absent | empty | right | wrong |\n"
                      "|---|---|---|---|---|---|---|\n");
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                for (unsigned n = 0; n < N_LAYERS; n++) {
                        unsigned layer = VM - n;

                        text_addf(out, "| %s | `%s%s%s` | %s |", letters[find(&rows[i])->lookup],
                                  rows[i].section, *rows[i].section ? "/" : "", rows[i].key, layers[layer]);
                        for (enum said say = SILENT; say < N_SAID; say++)
                                text_addf(out, " %s |", outcome(&rows[i], layer, say));
                        text_add(out, "\n");
                }
}

static void add_members(struct text *out)
{
        static const enum attr_lookup classes[] = { LOOKUP_A, LOOKUP_B, LOOKUP_C, LOOKUP_E, LOOKUP_HOST };

        text_add(out, "| class | who counts | attributes |\n|---|---|---|\n");
        for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
                text_addf(out, "| %s | %s%s |", letters[classes[i]], attr_lookup_name(classes[i]),
                          classes[i] == LOOKUP_C ? "; each device by itself" : "");
                /* They are many, and nearly all. */
                if (classes[i] == LOOKUP_A || classes[i] == LOOKUP_C) {
                        text_add(out, " as `dist/etc/vmm_exec_kvm.conf` shows them |\n");
                        continue;
                }
                for (size_t j = 0; attr_sections[j]; j++)
                        for (size_t k = 0; k < attr_sections[j]->n_rows; k++) {
                                const struct attr *row = &attr_sections[j]->rows[k];

                                if (row->lookup == classes[i] && row->state == ATTR_HERE)
                                        text_addf(out, " `%s%s%s`", attr_sections[j]->name,
                                                  *attr_sections[j]->name ? "/" : "", row->name);
                        }
                text_add(out, " |\n");
        }
}

static void add_variables(struct text *out)
{
        text_add(out, "| variable | upstream ships | here |\n|---|---|---|\n");
        for (const struct kvmrc_row *row = kvmrc_rows; row->name; row++)
                text_addf(out, "| `%s` | %s | %s%s |\n", row->name, row->dflt ? row->dflt : "", row->doc,
                          row->here                   ? ""
                          : row->plain && *row->plain ? "; another value is named in a warning"
                                                      : "; named in a warning when it is set");
}

static char *guide(void)
{
        struct text out = TEXT_INIT;

        text_add(
                &out,
                "# Where a value comes from\n\n"
                "A VM template is stronger than `host.conf`, that than `cluster.conf`, that than "
                "`vmm_exec_kvm.conf`, and what nobody\nsays has a default of ours. It goes by the key, not by "
                "the vector: `OS/ARCH` may come from one and `OS/MACHINE` from\nanother. `vmlaunch explain` says "
                "for each value which one it was. Not every layer may say everything: an attribute\nhas a class. "
                "What is in no class below is of D, for VM templates only.\n\n"
                "This page is made of the tables and of what the program does (`make bless`).\n\n");
        add_members(&out);
        text_add(
                &out,
                "\n## What a layer's saying comes to\n\n"
                "Each weaker layer that counts has a value here. An empty text ends the search, and the default "
                "counts; an empty number or\nswitch is passed over. A value that is wrong is an error when it is "
                "the one that counts; of `host.conf`'s own settings always.\nA key that nobody knows is an error in any layer, with the one that was probably meant.\n\n");
        add_outcomes(&out);
        text_add(
                &out,
                "\n## kvmrc\n\nRead line by line, `[export] NAME=value`, never executed. Any other line and any "
                "other name is reported and has no effect.\n\n");
        add_variables(&out);
        return text_take(&out);
}

static void the_guide_is_what_the_program_does(void **state)
{
        _cleanup_free_ char *want = guide(), *have = NULL;
        struct error *err = NULL;

        (void)state;
        if (getenv("BLESS"))
                assert_int_equal(fd_write_file_at(AT_FDCWD, GUIDE, want, strlen(want), 0644, 0, &err), 0);
        if (fd_read_file_at(AT_FDCWD, GUIDE, 1 << 20, &have, NULL, &err) < 0)
                fail_msg("%s", err->message);
        if (strcmp(want, have) != 0)
                fail_msg("%s is not what the tables say: make bless", GUIDE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_combination_of_layers_gives_what_its_class_says),
                cmocka_unit_test(every_attribute_of_opennebula_has_its_class),
                cmocka_unit_test(the_guide_is_what_the_program_does),
        };

        return cmocka_run_group_tests_name("precedence", tests, NULL, NULL);
}
