#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/attr.h"
#include "conf/spec_build.h"

#include <fcntl.h>

static struct site *site_of(const char *driver, const char *cluster, const char *host)
{
        struct site *site = NULL;
        struct error *err = NULL;

        if (site_from_text(NULL, driver, cluster, host, NULL, &site, &err) < 0) {
                _cleanup_free_ char *text = error_text(err);

                fail_msg("%s", text);
        }
        return site;
}

/* NULL and *err, or the spec; the template is called t and lies in /base. */
static struct vm_spec *try_build(const struct site *site, const char *text, struct error **err)
{
        _cleanup_(template_freep) struct template *template = NULL;
        struct vm_spec *spec = NULL;

        if (template_parse("t", text, strlen(text), &template, err) < 0)
                return NULL;
        if (spec_build(template, site, "/base", "web", &spec, err) < 0)
                return NULL;
        return spec;
}

static struct vm_spec *build(const struct site *site, const char *text)
{
        struct error *err = NULL;
        struct vm_spec *spec = try_build(site, text, &err);

        if (!spec) {
                _cleanup_free_ char *words = error_text(err);

                fail_msg("%s", words);
        }
        return spec;
}

static const struct site *empty_site(void)
{
        static struct site *site;

        if (!site)
                site = site_of(NULL, NULL, NULL);
        return site;
}

static void each_row(void (*check)(const struct attr_section *, const struct attr *))
{
        for (size_t i = 0; attr_sections[i]; i++)
                for (size_t j = 0; j < attr_sections[i]->n_rows; j++)
                        check(attr_sections[i], &attr_sections[i]->rows[j]);
        for (size_t i = 0; attr_coming_sections[i]; i++)
                for (size_t j = 0; j < attr_coming_sections[i]->n_rows; j++)
                        check(attr_coming_sections[i], &attr_coming_sections[i]->rows[j]);
}

static void check_row(const struct attr_section *section, const struct attr *row)
{
        struct error *err = NULL;

        assert_ptr_equal(attr_find(section, row->name), row);
        for (const char *c = row->name; *c; c++)
                assert_true((*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_');
        if (row->state == ATTR_MISSPELT) {
                assert_non_null(attr_find(section, row->right));
                return;
        }
        if (row->state == ATTR_LEFT_ALONE) {
                assert_non_null(row->why);
                return;
        }
        assert_non_null(row->doc);
        if (row->state == ATTR_COMING) {
                assert_false(row->has_field);
                return;
        }
        assert_int_not_equal(row->lands, LANDS_NOWHERE);
        assert_non_null(row->source);
        assert_true(row->kind != ATTR_ENUM || row->words);
        assert_true(row->kind != ATTR_SIZE || (row->unit && row->max > row->min));
        if (row->dflt && attr_set(section, row, row->dflt, NULL, NULL, &err) < 0)
                fail_msg("%s: %s", row->name, err->message);
}

static void every_row_is_complete_and_its_default_is_valid(void **state)
{
        (void)state;
        each_row(check_row);
}

static void no_section_is_known_twice(void **state)
{
        (void)state;
        for (size_t i = 0; attr_sections[i]; i++)
                assert_ptr_equal(attr_section_find(attr_sections[i]->name), attr_sections[i]);
        for (size_t i = 0; attr_coming_sections[i]; i++)
                assert_ptr_equal(attr_section_find(attr_coming_sections[i]->name), attr_coming_sections[i]);
}

static void defaults_are_filled_in(void **state)
{
        _cleanup_(vm_spec_freep) struct vm_spec *spec = build(
                empty_site(), "MEMORY = 512\nDISK = [ SOURCE = \"./d.qcow2\" ]\nNIC = [ BRIDGE = br0 ]");

        (void)state;
        assert_string_equal(spec->name, "web");
        assert_int_equal(vm_spec_origin(spec, "NAME")->layer, LAYER_RULE);
        assert_int_equal(spec->memory, 512ull << 20);
        assert_true(spec->cpu == 1);
        assert_int_equal(spec->vcpu, 1);
        assert_int_equal(spec->accel, ACCEL_AUTO);
        assert_null(spec->emulator);
        assert_string_equal(spec->os.machine, "q35");
        assert_string_equal(spec->os.arch, "x86_64");
        assert_true(spec->features.acpi && spec->features.guest_agent && !spec->features.localtime);
        assert_int_equal(spec->cpu_model.mode, CPU_MODE_NONE);
        assert_null(spec->cpu_model.model_text);
        assert_false(spec->panic.present);
        assert_string_equal(spec->disks[0].path, "/base/d.qcow2");
        assert_int_equal(spec->disks[0].format, DISK_FORMAT_QCOW2);
        assert_true(spec->disks[0].format_is_guess);
        assert_int_equal(spec->disks[0].cache, DISK_CACHE_NONE);
        assert_int_equal(spec->disks[0].discard, DISK_DISCARD_UNMAP);
        assert_int_equal(spec->disks[0].io, DISK_IO_NONE);
        assert_string_equal(spec->nics[0].model, "virtio");
        assert_string_equal(spec->nics[0].target, "web-0");
        assert_int_equal(spec->n_serials, 1);
        assert_int_equal(vm_spec_origin(spec, "SERIAL[0]/TYPE")->layer, LAYER_RULE);
        assert_int_equal(vm_spec_origin(spec, "OS/MACHINE")->layer, LAYER_DEFAULT);
        assert_int_equal(vm_spec_origin(spec, "DISK[0]/SOURCE")->pos.line, 2);
        assert_null(vm_spec_origin(spec, "DISK[1]/SOURCE"));
        assert_null(vm_spec_origin(spec, "DISK[0]/NOTHING"));
        assert_null(vm_spec_origin(spec, "DISK[0"));
        assert_null(spec->warnings);
}

static const char *layer_of(const char *driver, const char *cluster, const char *host, const char *text,
                            const char *reference, const char *value)
{
        static char name[32];
        _cleanup_(site_freep) struct site *site = site_of(driver, cluster, host);
        _cleanup_(vm_spec_freep) struct vm_spec *spec = build(site, text);
        const struct origin *origin = vm_spec_origin(spec, reference);

        assert_non_null(origin);
        snprintf(name, sizeof(name), "%s", layer_name(origin->layer));
        if (value)
                assert_string_equal(origin->text, value);
        return name;
}

#define DISK_LINE "MEMORY = 64\nDISK = [ SOURCE = d ]\n"
#define D         "VCPU = 2\nOS = [ MACHINE = pc ]\nDISK = [ CACHE = writeback, TARGET = vdz ]\nMEMORY = 1\n"
#define C         "VCPU = 3\nOS = [ MACHINE = q35 ]\nDISK = [ CACHE = unsafe ]\nMEMORY = 1\n"
#define H         "VCPU = 4\nOS = [ MACHINE = pc-q35-7.2 ]\nDISK = [ CACHE = directsync ]\nMEMORY = 1\n"

static void the_strongest_layer_wins_for_each_class(void **state)
{
        static const struct {
                const char *reference;
                /* value with only the driver's file, then with cluster's, host's, and the template's as well */
                const char *values[4];
        } rows[] = {
                { "VCPU", { "2", "3", "4", "5" } },
                { "OS/MACHINE", { "pc", "q35", "pc-q35-7.2", "pc-i440fx-7.2" } },
                { "DISK/CACHE", { "writeback", "unsafe", "directsync", "writethrough" } },
        };
        static const char full[] = "MEMORY = 64\nVCPU = 5\nOS = [ MACHINE = pc-i440fx-7.2 ]\n"
                                   "DISK = [ SOURCE = d, CACHE = writethrough ]\n";

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                const char *name = rows[i].reference;

                assert_string_equal(layer_of(D, NULL, NULL, DISK_LINE, name, rows[i].values[0]),
                                    "vmm_exec_kvm.conf");
                assert_string_equal(layer_of(D, C, NULL, DISK_LINE, name, rows[i].values[1]), "cluster.conf");
                assert_string_equal(layer_of(D, C, H, DISK_LINE, name, rows[i].values[2]), "host.conf");
                assert_string_equal(layer_of(D, C, H, full, name, rows[i].values[3]), "template");
        }
        /* Class D: a layer cannot give it, and is told so. */
        assert_string_equal(layer_of(D, C, H, DISK_LINE, "MEMORY", "64"), "template");
        assert_string_equal(layer_of(D, C, H, DISK_LINE, "DISK/TARGET", "sda"), "rule");
        /* Per key, not per vector. */
        assert_string_equal(
                layer_of(D, NULL, NULL, "MEMORY = 64\nOS = [ ARCH = x86_64 ]", "OS/MACHINE", "pc"),
                "vmm_exec_kvm.conf");
}

static void an_empty_text_ends_the_search_and_an_empty_number_does_not(void **state)
{
        static const char layer[] = "VCPU = 2\nFEATURES = [ ACPI = no ]\nCPU_MODEL = [ MODEL = EPYC ]\n"
                                    "DISK = [ IO = threads ]\n";
        _cleanup_(site_freep) struct site *site = site_of(layer, NULL, NULL);
        _cleanup_(vm_spec_freep) struct vm_spec *spec =
                build(site, "MEMORY = 64\nVCPU =\nFEATURES = [ ACPI = \"\" ]\nCPU_MODEL = [ MODEL = \"\" ]\n"
                            "DISK = [ SOURCE = d, IO = \"\", CACHE = \"\" ]\n");
        _cleanup_free_ char *text = spec_to_template(spec);
        _cleanup_(vm_spec_freep) struct vm_spec *again = build(site, text);

        (void)state;
        assert_int_equal(spec->vcpu, 2);
        assert_false(spec->features.acpi);
        assert_null(spec->cpu_model.model_text);
        assert_int_equal(spec->disks[0].io, DISK_IO_NONE);
        assert_int_equal(spec->disks[0].cache, DISK_CACHE_NONE);
        assert_null(again->cpu_model.model_text);
        assert_int_equal(again->disks[0].io, DISK_IO_NONE);
}

static void wrong_input_is_rejected_by_name_and_place(void **state)
{
        static const struct {
                const char *text, *error;
        } rows[] = {
                { "VCPU = 1", "t: MEMORY: has to be given (for example MEMORY = \"2 GiB\")" },
                { "CPU = 1\nMEMORY = \"8 GBs\"",
                  "t:2:10: MEMORY: '8 GBs' is not a size (try MEMORY = \"8192\" for MiB, or \"8 GiB\")" },
                { "MEMORY = 0", "t:1:10: MEMORY: '0' is out of range (1 MiB to 256 TiB)" },
                { "MEMORY = \"99999999999999 TiB\"",
                  "t:1:10: MEMORY: '99999999999999 TiB' is out of range (1 MiB to 256 TiB)" },
                { "MEMORY = 64 MEMROY = 64", "t:1:13: MEMROY: no such attribute; did you mean 'MEMORY'?" },
                { "MEMORY = 64 QWERTZUIOP = 1", "t:1:13: QWERTZUIOP: no such attribute" },
                { "MEMORY = 64 DISC = [ SOURCE = d ]",
                  "t:1:13: DISC: no such attribute; did you mean 'DISK'?" },
                { "MEMORY = 64 DISK = [ SOURCE = d, CACH = none ]",
                  "t:1:34: DISK/CACH: no such key; did you mean 'CACHE'?" },
                { "MEMORY = 64 DISK = d", "t:1:20: DISK: is a vector: DISK = [ KEY = \"VALUE\" ]" },
                { "MEMORY = 64 VCPU = [ X = 1 ]", "t:1:20: VCPU: is not a vector: VCPU = \"VALUE\"" },
                { "MEMORY = 64 VCPU = 0", "t:1:20: VCPU: '0' is out of range (1 to 4096)" },
                { "MEMORY = 64 VCPU = two", "t:1:20: VCPU: 'two' is not a number (1 to 4096)" },
                { "MEMORY = 64 CPU = 0", "t:1:19: CPU: '0' is out of range (above 0, up to 100000)" },
                { "MEMORY = 64 CPU = -1", "t:1:19: CPU: '-1' is not a number (try CPU = \"0.5\")" },
                { "MEMORY = 64 FEATURES = [ ACPI = maybe ]",
                  "t:1:33: FEATURES/ACPI: 'maybe' is neither yes nor no" },
                { "MEMORY = 64 ACCEL = kvn",
                  "t:1:21: ACCEL: 'kvn' is not one of auto, kvm, tcg; did you mean 'kvm'?" },
                { "MEMORY = 64 UUID = 1-2",
                  "t:1:20: UUID: '1-2' is not a UUID (like 6b1c5a2e-04a1-4a0c-9f39-0a2f6c7d8e90)" },
                { "MEMORY = 64 UUID = 6b1c5a2e-04a1-4a0c-9f39-0a2f6c7d8e90\n"
                  "OS = [ UUID = 6b1c5a2e-04a1-4a0c-9f39-0a2f6c7d8e91 ]",
                  "t:2:15: OS/UUID: is not the UUID of line 1" },
                { "MEMORY = 64 NAME = \"a/b\"",
                  "t:1:20: NAME: 'a/b' is not a name for a VM: letters, digits, '.', '_' and '-' only, not starting "
                  "with '.' or '-', at most 128 bytes" },
                { "MEMORY = 64 NAME = \"..\"",
                  "t:1:20: NAME: '..' is not a name for a VM: letters, digits, '.', '_' and '-' only, not starting "
                  "with '.' or '-', at most 128 bytes" },
                { "MEMORY = 64 NAME = \"a\nb\"",
                  "t:1:20: NAME: 'a\\nb' is not a name for a VM: letters, digits, '.', '_' and '-' only, not starting "
                  "with '.' or '-', at most 128 bytes" },
                { "MEMORY = 64 CONTEXT = [ NETWORK = yes ]",
                  "t:1:13: CONTEXT: not supported by this version of vmlaunch" },
                { "MEMORY = 64 SNAPSHOT = [ NAME = a ]",
                  "t:1:13: SNAPSHOT: not supported by this version of vmlaunch" },
                { "MEMORY = 64 DISK = [ SOURCE = d, MOUNT_TAG = t ]",
                  "t:1:34: DISK/MOUNT_TAG: is of shared directories (try TYPE = \"filesystem\")" },
                { "MEMORY = 64 DISK = [ SOURCE = d, TYPE = filesystem ]",
                  "t:1:13: DISK/MOUNT_TAG: has to be given, the name that the guest mounts" },
                { "MEMORY = 64 Q35_ROOT_PORTS = 4",
                  "t:1:13: Q35_ROOT_PORTS: is read from host.conf, cluster.conf, vmm_exec_kvm.conf only" },
                { "MEMORY = 64 IMAGE_DIR = \"/\"", "t:1:13: IMAGE_DIR: is read from host.conf only" },
                { "MEMORY = 64 DISK = [ TARGET = vda ]",
                  "t:1:13: DISK: SOURCE or IMAGE has to be given (for example SOURCE = \"disk.qcow2\")" },
                { "MEMORY = 64 DISK = [ SOURCE = \" \" ]",
                  "t:1:13: DISK: SOURCE or IMAGE has to be given (for example SOURCE = \"disk.qcow2\")" },
                { "MEMORY = 64 DISK = [ SOURCE = d,\nIMAGE = d ]",
                  "t:2:9: DISK/IMAGE: SOURCE is given too (line 1)" },
                { "MEMORY = 64 DISK = [ IMAGE = \"../d\" ]",
                  "t:1:30: DISK/IMAGE: '../d' is not the name of an image: no '/', not starting with '.'" },
                { "MEMORY = 64 DISK = [ SOURCE = d, TARGET = VDA ]",
                  "t:1:43: DISK/TARGET: 'VDA' is not a disk name: 3 to 12 lower-case letters, such as vda or sdb" },
                { "MEMORY = 64 DISK = [ SOURCE = d, TARGET = vda ]\nDISK = [ SOURCE = e, TARGET = vda ]",
                  "t:2:31: DISK/TARGET: 'vda' is also the disk of line 1" },
                { "MEMORY = 64 DISK = [ SOURCE = d, FORMAT = raw,\nDRIVER = qcow2 ]",
                  "t:2:10: DISK/DRIVER: is not the FORMAT of line 1" },
                { "MEMORY = 64 DISK = [ SOURCE = d, TYPE = cdrom, FORMAT = qcow2 ]",
                  "t:1:57: DISK: the image of a CD is raw" },
                { "MEMORY = 64 DISK = [ SOURCE = d, IO = native, CACHE = writeback ]",
                  "t:1:39: DISK/IO: native needs CACHE none or directsync, and CACHE is writeback (template)" },
                { "MEMORY = 64 DISK = [ SOURCE = \"a\nb\" ]",
                  "t:1:31: DISK/SOURCE: 'a\\nb' holds a newline" },
                { "MEMORY = 64 NIC = [ TARGET = abcdefghijklmnop, BRIDGE = br0 ]",
                  "t:1:30: NIC/TARGET: 'abcdefghijklmnop' is 16 bytes long; the kernel takes 15 for an interface "
                  "name" },
                { "MEMORY = 64 NIC = [ TARGET = \"a%d\", BRIDGE = br0 ]",
                  "t:1:30: NIC/TARGET: 'a%d' is not an interface name: letters, digits, '.', '_' and '-' only" },
                { "MEMORY = 64 NIC = [ MODEL = e1000 ]",
                  "t:1:13: NIC: give BRIDGE = \"NAME\" of a bridge of this host, or BRIDGE_TYPE = \"user\" for "
                  "user-mode networking (BRIDGE = \"\": a tap in no bridge)" },
                { "MEMORY = 64 NIC = [ BRIDGE = br0, BRIDGE_TYPE = user ]",
                  "t:1:30: NIC/BRIDGE: BRIDGE_TYPE user has no bridge" },
                { "MEMORY = 64 NIC = [ TARGET = tap0, BRIDGE_TYPE = user ]",
                  "t:1:30: NIC/TARGET: BRIDGE_TYPE user has no tap" },
                { "MEMORY = 64 NIC = [ BRIDGE = br0, TARGET = t ]\nNIC = [ BRIDGE = br0, TARGET = t ]",
                  "t:2:1: NIC/TARGET: 't' is also the tap of the NIC of line 1" },
                { "MEMORY = 64 NIC = [ BRIDGE = br0, MAC = \"01:00:5e:00:00:01\" ]",
                  "t:1:41: NIC/MAC: '01:00:5e:00:00:01' is a multicast address: the first byte has to be even" },
                { "MEMORY = 64 NIC = [ BRIDGE = br0, MAC = \"52-54-00-00-00-01\" ]",
                  "t:1:41: NIC/MAC: '52-54-00-00-00-01' is not a MAC address (like 52:54:00:12:34:56)" },
                { "MEMORY = 64 OS = [ BOOT = \"hd,network\" ]",
                  "t:1:27: OS/BOOT: 'hd,network' is the old form; write BOOT = \"disk0,nic0\"" },
                { "MEMORY = 64 OS = [ BOOT = disk0 ]",
                  "t:1:27: OS/BOOT: there is no disk0, they are counted from 0" },
                { "MEMORY = 64 OS = [ BOOT = sda ]", "t:1:27: OS/BOOT: 'sda' is neither diskN nor nicN" },
                { "MEMORY = 64 DISK = [ SOURCE = d ] OS = [ BOOT = \"disk0, disk0\" ]",
                  "t:1:49: OS/BOOT: disk0 is given twice" },
                { "MEMORY = 64 OS = [ KERNEL_CMD = quiet ]",
                  "t:1:33: OS/KERNEL_CMD: goes with KERNEL, which is not given" },
                { "MEMORY = 64 OS = [ KERNEL = k, ROOT = /dev/vda1 ]",
                  "t:1:39: OS/ROOT: is a device's name without /dev/ (try ROOT = \"vda1\")" },
                { "MEMORY = 64 NAME = uids",
                  "t:1:20: NAME: 'uids' is a directory of vmlaunch's own, not a VM name" },
                { "MEMORY = 64 NIC = [ BRIDGE = b, MAC = 00:00:00:00:00:00 ]",
                  "t:1:39: NIC/MAC: '00:00:00:00:00:00' is no address of a card" },
                { "MEMORY = 64 OS = [ ARCH = s390x ]",
                  "t:1:27: OS/ARCH: 's390x' is not supported by this version of vmlaunch" },
                { "MEMORY = 64 OS = [ MACHINE = \"q35,accel=kvm\" ]",
                  "t:1:30: OS/MACHINE: 'q35,accel=kvm' holds a character that is not allowed here" },
                { "MEMORY = 64 EMULATOR = \"bin/qemu\"",
                  "t:1:24: EMULATOR: 'bin/qemu' is neither an absolute path nor a plain name" },
                { "MEMORY = 64 SERIAL = [ ] SERIAL = [ ] SERIAL = [ ] SERIAL = [ ] SERIAL = [ ]",
                  "t:1:65: SERIAL: more than 4 serial ports" },
                { "MEMORY = 64\nDISK = [ SOURCE = \"a\nCPU = 1",
                  "t:2:19: DISK/SOURCE: the quote that begins here is not closed" },
                { "MEMORY = 64\nDISK = [ SOURCE = a\nCPU = 1",
                  "t:3:1: DISK: ',' or ']' is missing before 'CPU' ('[' is in line 2)" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_error_ struct error *err = NULL;
                struct vm_spec *spec = try_build(empty_site(), rows[i].text, &err);
                _cleanup_free_ char *text = err ? error_text(err) : NULL;

                if (spec)
                        fail_msg("accepted: %s", rows[i].text);
                assert_string_equal(text, rows[i].error);
                assert_int_equal(error_count(err), 1);
                assert_int_equal(error_exit_status(err), 6);
                assert_true(!err->pos.line || err->excerpt);
        }
}

static void errors_come_in_line_order_and_at_most_twenty(void **state)
{
        _cleanup_text_ struct text text = TEXT_INIT;
        _cleanup_error_ struct error *err = NULL;
        unsigned line = 0;

        (void)state;
        text_add(&text, "MEMORY = x\n");
        for (int i = 0; i < 15; i++)
                text_addf(&text, "A%d = 1\nDISK = [ SOURCE = d, CACHE = x ]\n", i);
        assert_null(try_build(empty_site(), text_str(&text), &err));
        assert_int_equal(error_count(err), 20);
        for (const struct error *e = err; e; e = e->next) {
                assert_true(e->pos.line >= line);
                line = e->pos.line;
        }
}

static void emulator_of_a_template_has_to_be_on_the_list_when_there_is_one(void **state)
{
        static const struct {
                const char *emulators, *layer, *wanted;
                bool taken;
        } rows[] = {
                { "", "", "/opt/qemu", true }, /* no list: the caller's business */
                { "EMULATORS = \"/opt/qemu qemu-kvm\"", "", "/opt/qemu", true },
                { "EMULATORS = \"/opt/qemu qemu-kvm\"", "", "qemu-kvm", true },
                { "EMULATORS = \"/opt/qemu qemu-kvm\"", "", "/usr/bin/qemu-kvm", false },
                { "EMULATORS = \"/opt/qemu qemu-kvm\"", "", "/opt/qemu/../evil", false },
                /* What the host's own configuration names is not the template's wish. */
                { "EMULATORS = \"/opt/qemu\"", "EMULATOR = \"/usr/bin/q\"", NULL, true },
                { "EMULATORS = \"/opt/qemu\"", "EMULATOR = \"/usr/bin/q\"", "/usr/bin/q", true },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_(site_freep) struct site *site = site_of(rows[i].layer, NULL, rows[i].emulators);
                _cleanup_free_ char *text = xasprintf("MEMORY = 64 %s%s", rows[i].wanted ? "EMULATOR = " : "",
                                                      rows[i].wanted ? rows[i].wanted : "");
                _cleanup_error_ struct error *err = NULL;
                struct vm_spec *spec = try_build(site, text, &err);

                if ((spec != NULL) != rows[i].taken)
                        fail_msg("row %zu", i);
                if (!spec)
                        assert_non_null(strstr(err->message, "is not on the EMULATORS list of host.conf"));
                vm_spec_free(spec);
        }
}

static void cd_that_is_to_be_written_is_warned_about(void **state)
{
        _cleanup_(vm_spec_freep) struct vm_spec *spec =
                build(empty_site(), "MEMORY = 64 DISK = [ SOURCE = d, TYPE = cdrom, READONLY = no ]");
        _cleanup_free_ char *text = error_text(spec->warnings);

        (void)state;
        assert_true(spec->disks[0].readonly);
        assert_string_equal(text, "t:1:59: DISK/READONLY: a CD is read-only all the same");
}

static void template_without_a_file_has_to_give_its_name(void **state)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_error_ struct error *err = NULL;
        struct vm_spec *spec = NULL;

        (void)state;
        assert_int_equal(template_parse("-", "MEMORY = 64", 11, &template, &err), 0);
        assert_int_equal(spec_build(template, empty_site(), "/base", NULL, &spec, &err), -1);
        assert_non_null(strstr(err->message, "NAME: has to be given"));
}

static void what_is_left_alone_is_named_once(void **state)
{
        _cleanup_(vm_spec_freep) struct vm_spec *spec =
                build(empty_site(), "MEMORY = 64\nLABELS = x\nSCHED_RANK = y\nUSER_INPUTS = [ A = b ]\n"
                                    "NIC = [ BRIDGE = b, VN_MAD = n ]\nNIC = [ BRIDGE = b, VN_MAD = n ]\n");
        _cleanup_free_ char *text = error_text(spec->warnings);

        (void)state;
        assert_string_equal(
                text, "t:2:1: known and without effect here: LABELS, SCHED_RANK, USER_INPUTS, NIC/VN_MAD");
        assert_null(spec->warnings->next);
}

static void targets_follow_the_order_of_upstream(void **state)
{
        static const struct {
                const char *machine, *disks, *expect; /* TARGET:bus of each disk */
        } rows[] = {
                { "q35", "d d d", "sda:scsi sdb:scsi sdc:scsi" },
                { "q35", "d c d", "sda:scsi sdb:sata sdc:scsi" },
                { "q35", "c d", "sdb:sata sda:scsi" },
                { "pc", "c d d", "hda:ide sda:scsi sdb:scsi" },
                { "pc", "h c", "hda:ide hdb:ide" },
                { "q35", "h c", "hda:sata sda:sata" },
                { "q35", "v d v", "vda:virtio sda:scsi vdb:virtio" },
                { "q35", "d c =sda", "sdb:scsi sdc:sata sda:scsi" },
                { "q35", "=vdb v v", "vdb:virtio vda:virtio vdc:virtio" },
                { "virt-7.2", "x c", "xvda:scsi sda:scsi" },
                { "pc-i440fx-7.2", "=vda c", "vda:virtio hda:ide" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_text_ struct text text = TEXT_INIT, result = TEXT_INIT;
                _cleanup_free_ char *disks = xstrdup(rows[i].disks);
                struct vm_spec *spec;

                text_addf(&text, "MEMORY = 64\nOS = [ MACHINE = %s ]\n", rows[i].machine);
                for (char *save = NULL, *word = strtok_r(disks, " ", &save); word;
                     word = strtok_r(NULL, " ", &save)) {
                        static const char *const prefixes[] = { ['d'] = "",
                                                                ['c'] = ", TYPE = cdrom",
                                                                ['h'] = ", DEV_PREFIX = hd",
                                                                ['v'] = ", DEV_PREFIX = vd",
                                                                ['x'] = ", DEV_PREFIX = xvd" };

                        if (*word == '=')
                                text_addf(&text, "DISK = [ SOURCE = d, TARGET = %s ]\n", word + 1);
                        else
                                text_addf(&text, "DISK = [ SOURCE = d%s ]\n", prefixes[(unsigned char)*word]);
                }
                spec = build(empty_site(), text_str(&text));
                for (size_t j = 0; j < spec->n_disks; j++)
                        text_addf(&result, "%s%s:%s", j ? " " : "", spec->disks[j].target,
                                  disk_bus_name(spec->disks[j].bus));
                assert_string_equal(text_str(&result), rows[i].expect);
                vm_spec_free(spec);
        }
}

static void targets_go_on_after_z(void **state)
{
        _cleanup_text_ struct text text = TEXT_INIT;
        struct vm_spec *spec;

        (void)state;
        text_add(&text, "MEMORY = 64\n");
        for (int i = 0; i < 54; i++)
                text_add(&text, "DISK = [ SOURCE = d, DEV_PREFIX = vd ]\n");
        spec = build(empty_site(), text_str(&text));
        assert_string_equal(spec->disks[25].target, "vdz");
        assert_string_equal(spec->disks[26].target, "vdaa");
        assert_string_equal(spec->disks[53].target, "vdbb");
        vm_spec_free(spec);
}

static void a_fifth_ide_disk_is_an_error(void **state)
{
        static const char line[] = "DISK = [ SOURCE = d, DEV_PREFIX = hd ]\n";
        _cleanup_free_ char *text =
                xasprintf("MEMORY = 64 OS = [ MACHINE = pc ]\n%s%s%s%s%s", line, line, line, line, line);
        _cleanup_error_ struct error *err = NULL;

        (void)state;
        assert_null(try_build(empty_site(), text, &err));
        assert_int_equal(err->pos.line, 6);
        assert_string_equal(err->message,
                            "DISK: machine 'pc' has room for 4 IDE disks and CDs (try DEV_PREFIX = \"vd\")");
}

static void identity_is_the_same_every_time(void **state)
{
        static const char text[] = "MEMORY = 64\nNIC = [ BRIDGE = b ]\nNIC = [ BRIDGE = b ]\n";
        _cleanup_(vm_spec_freep) struct vm_spec *one = build(empty_site(), text),
                                                *two = build(empty_site(), text);
        _cleanup_(vm_spec_freep) struct vm_spec *other =
                build(empty_site(), "NAME = other MEMORY = 64 NIC = [ BRIDGE = b ]");

        (void)state;
        assert_string_equal(one->uuid_text, two->uuid_text);
        assert_string_equal(one->nics[0].mac_text, two->nics[0].mac_text);
        assert_string_not_equal(one->nics[0].mac_text, one->nics[1].mac_text);
        assert_string_not_equal(one->uuid_text, other->uuid_text);
        assert_string_not_equal(one->nics[0].mac_text, other->nics[0].mac_text);
        assert_memory_equal(one->nics[0].mac, "\x52\x54\x00", 3);
        assert_int_equal(one->uuid[8] & 0xc0, 0x80);
}

static void a_mac_given_by_hand_is_never_given_again(void **state)
{
        _cleanup_(vm_spec_freep) struct vm_spec *one =
                build(empty_site(), "MEMORY = 64 NIC = [ BRIDGE = b ]");
        _cleanup_free_ char *text = xasprintf(
                "MEMORY = 64 NIC = [ BRIDGE = b ] NIC = [ BRIDGE = b, MAC = \"%s\" ]", one->nics[0].mac_text);
        _cleanup_(vm_spec_freep) struct vm_spec *two = build(empty_site(), text);

        (void)state;
        assert_string_equal(two->nics[1].mac_text, one->nics[0].mac_text);
        assert_string_not_equal(two->nics[0].mac_text, one->nics[0].mac_text);
}

static void a_long_name_gives_a_short_tap(void **state)
{
        _cleanup_(vm_spec_freep) struct vm_spec *spec =
                build(empty_site(),
                      "NAME = abcdefghijklmn MEMORY = 64 NIC = [ BRIDGE = b ] NIC = [ BRIDGE = \"\" ]");
        _cleanup_(vm_spec_freep) struct vm_spec *fits =
                build(empty_site(), "NAME = abcdefghijklm MEMORY = 64 NIC = [ BRIDGE = b ]");

        (void)state;
        assert_true(text_starts_with(spec->nics[0].target, "vl-") &&
                    text_ends_with(spec->nics[0].target, "-0"));
        assert_int_equal(strlen(spec->nics[0].target), 13);
        assert_true(text_ends_with(spec->nics[1].target, "-1"));
        assert_null(spec->nics[1].bridge);
        assert_string_equal(fits->nics[0].target, "abcdefghijklm-0");
}

static void boot_order_is_trimmed(void **state)
{
        _cleanup_(vm_spec_freep) struct vm_spec *spec = build(
                empty_site(), "MEMORY = 64 DISK = [ SOURCE = d ] DISK = [ SOURCE = e ] NIC = [ BRIDGE = b ]\n"
                              "OS = [ BOOT = \" disk1 ,, NIC0,disk0\" ]");

        (void)state;
        assert_int_equal(spec->os.n_boot_order, 3);
        assert_int_equal(spec->os.boot_order[0].index, 1);
        assert_int_equal(spec->os.boot_order[1].kind, BOOT_NIC);
        assert_int_equal(spec->os.boot_order[2].index, 0);
}

static void formats_are_told_never_probed(void **state)
{
        static const struct {
                const char *driver, *disk;
                enum disk_format format;
                bool is_guess;
                unsigned warnings;
        } rows[] = {
                { NULL, "SOURCE = a.qcow2", DISK_FORMAT_QCOW2, true, 0 },
                { NULL, "SOURCE = a.img", DISK_FORMAT_RAW, true, 0 },
                { NULL, "SOURCE = a.img, FORMAT = qcow2", DISK_FORMAT_QCOW2, false, 0 },
                { NULL, "SOURCE = a.qcow2, DRIVER = RAW", DISK_FORMAT_RAW, false, 0 },
                { "DISK = [ DRIVER = raw ]", "SOURCE = a.img", DISK_FORMAT_RAW, false, 0 },
                { "DISK = [ DRIVER = qcow2 ]", "SOURCE = a.img", DISK_FORMAT_QCOW2, false, 0 },
                { "DISK = [ DRIVER = raw ]", "SOURCE = a.qcow2", DISK_FORMAT_QCOW2, true, 1 },
                { "DISK = [ DRIVER = raw ]", "SOURCE = a.qcow2, FORMAT = raw", DISK_FORMAT_RAW, false, 0 },
                { "DISK = [ DRIVER = raw ]", "SOURCE = a, FORMAT = qcow2", DISK_FORMAT_QCOW2, false, 0 },
                { "DISK = [ DRIVER = qcow2 ]", "SOURCE = a.iso, TYPE = cdrom", DISK_FORMAT_RAW, false, 0 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_(site_freep) struct site *site = site_of(rows[i].driver, NULL, NULL);
                _cleanup_free_ char *text = xasprintf("MEMORY = 64 DISK = [ %s ]", rows[i].disk);
                _cleanup_(vm_spec_freep) struct vm_spec *spec = build(site, text);

                assert_int_equal(spec->disks[0].format, rows[i].format);
                assert_int_equal(spec->disks[0].format_is_guess, rows[i].is_guess);
                assert_int_equal(error_count(spec->warnings), rows[i].warnings);
        }
}

static void an_emulator_has_to_be_on_the_list(void **state)
{
        _cleanup_(site_freep) struct site *site =
                site_of("EMULATOR = \"/opt/c\"", NULL, "EMULATORS = \"/opt/a qemu-system-x86_64\"");
        _cleanup_(vm_spec_freep) struct vm_spec *listed = build(site, "MEMORY = 64 EMULATOR = \"/opt/a\"");
        _cleanup_(vm_spec_freep) struct vm_spec *from_layer = build(site, "MEMORY = 64");
        _cleanup_free_ char *text = spec_to_template(from_layer);
        _cleanup_(vm_spec_freep) struct vm_spec *again = build(site, text);
        _cleanup_error_ struct error *err = NULL;

        (void)state;
        assert_string_equal(listed->emulator, "/opt/a");
        assert_string_equal(again->emulator, "/opt/c");
        assert_null(try_build(site, "MEMORY = 64 EMULATOR = \"/opt/b\"", &err));
        assert_string_equal(err->message, "EMULATOR: '/opt/b' is not on the EMULATORS list of host.conf");
}

static void a_layers_kernel_command_line_waits_for_a_kernel(void **state)
{
        _cleanup_(site_freep) struct site *site = site_of("OS = [ KERNEL_CMD = quiet ]", NULL, NULL);
        _cleanup_(vm_spec_freep) struct vm_spec *without = build(site, "MEMORY = 64");
        _cleanup_(vm_spec_freep) struct vm_spec *with = build(site, "MEMORY = 64 OS = [ KERNEL = k ]");
        _cleanup_(site_freep) struct site *relative = site_of("OS = [ KERNEL = k ]", NULL, NULL);
        _cleanup_error_ struct error *err = NULL;

        (void)state;
        assert_null(without->os.kernel_cmd);
        assert_string_equal(with->os.kernel_cmd, "quiet");
        assert_string_equal(with->os.kernel, "/base/k");
        assert_null(try_build(relative, "MEMORY = 64", &err));
        assert_string_equal(err->pos.file, "/etc/vmlaunch/vmm_exec_kvm.conf");
        assert_string_equal(err->message, "OS/KERNEL: has to be an absolute path here");
        assert_non_null(err->excerpt);
}

static void cpu_models_are_told_apart(void **state)
{
        static const struct {
                const char *model;
                enum cpu_mode mode;
        } rows[] = { { "none", CPU_MODE_NONE },
                     { "host-model", CPU_MODE_HOST_MODEL },
                     { "Host-Passthrough", CPU_MODE_HOST_PASSTHROUGH },
                     { "Skylake-Client-v1", CPU_MODE_NAMED } };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *text =
                        xasprintf("MEMORY = 64 CPU_MODEL = [ MODEL = %s ]", rows[i].model);
                _cleanup_(vm_spec_freep) struct vm_spec *spec = build(empty_site(), text);

                assert_int_equal(spec->cpu_model.mode, rows[i].mode);
        }
}

static void memory_is_rounded_up_to_what_qemu_counts_in(void **state)
{
        _cleanup_(vm_spec_freep) struct vm_spec *spec = build(empty_site(), "MEMORY = \"64.0000001 MiB\"");
        _cleanup_(vm_spec_freep) struct vm_spec *decimal = build(empty_site(), "MEMORY = \"1 GB\"");

        (void)state;
        assert_int_equal(spec->memory, (64ull << 20) + 8192);
        assert_int_equal(decimal->memory, 1000005632); /* 976562.5 KiB, rounded up to 8 KiB */
}

/* Everything that a template can say survives being written, but for what is said more exactly. */
static void assert_same_spec(const struct vm_spec *one, const struct vm_spec *two)
{
        static const struct attr_section *const singles[] = { &attr_vm,        &attr_os,       &attr_features,
                                                              &attr_cpu_model, &attr_panic,    &attr_cputune,
                                                              &attr_memtune,   &attr_blkiotune };
        const void *records[2][ARRAY_SIZE(singles)] = {
                { one, &one->os, &one->features, &one->cpu_model, &one->panic, &one->cputune, &one->memtune,
                  &one->blkiotune },
                { two, &two->os, &two->features, &two->cpu_model, &two->panic, &two->cputune, &two->memtune,
                  &two->blkiotune }
        };

        for (size_t i = 0; i < ARRAY_SIZE(singles); i++) {
                for (size_t j = 0; j < singles[i]->n_rows; j++) {
                        const struct attr *row = &singles[i]->rows[j];
                        _cleanup_free_ char *a = NULL, *b = NULL;

                        /* What a layer alone may say is not the template's; snippets have been read. */
                        if (!row->has_field || row->lookup == LOOKUP_B || strcmp(row->name, "SNIPPETS") == 0)
                                continue;
                        a = attr_get(row, records[0][i]);
                        b = attr_get(row, records[1][i]);
                        assert_string_equal(a ? a : "(none)", b ? b : "(none)");
                }
        }
        assert_memory_equal(one->uuid, two->uuid, 16);
        assert_int_equal(one->panic.present, two->panic.present);
        assert_int_equal(one->cputune.present, two->cputune.present);
        assert_int_equal(one->memtune.present, two->memtune.present);
        assert_int_equal(one->blkiotune.present, two->blkiotune.present);
        assert_int_equal(one->cpu_model.mode, two->cpu_model.mode);
        assert_int_equal(one->os.n_boot_order, two->os.n_boot_order);
        assert_int_equal(one->n_disks, two->n_disks);
        for (size_t i = 0; i < one->n_disks; i++) {
                const struct disk_spec *a = &one->disks[i], *b = &two->disks[i];

                assert_string_equal(a->path ? a->path : "", b->path ? b->path : "");
                assert_int_equal(a->bus, b->bus);
                assert_int_equal(a->medium, b->medium);
                assert_int_equal(a->store, b->store);
                assert_int_equal(a->is_clone, b->is_clone);
                assert_int_equal(a->is_kept, b->is_kept);
                for (size_t j = 0; j < attr_disk.n_rows; j++) {
                        const struct attr *row = &attr_disk.rows[j];
                        _cleanup_free_ char *was = NULL, *is = NULL;

                        /* The place is written as an absolute SOURCE. */
                        if (!row->has_field || strcmp(row->name, "SOURCE") == 0 ||
                            strcmp(row->name, "IMAGE") == 0)
                                continue;
                        was = attr_get(row, a);
                        is = attr_get(row, b);
                        assert_string_equal(was ? was : "(none)", is ? is : "(none)");
                }
        }
        assert_int_equal(one->n_nics, two->n_nics);
        for (size_t i = 0; i < one->n_nics; i++) {
                const struct nic_spec *a = &one->nics[i], *b = &two->nics[i];

                assert_int_equal(a->bridge_type, b->bridge_type);
                assert_string_equal(a->bridge ? a->bridge : "", b->bridge ? b->bridge : "");
                assert_string_equal(a->target ? a->target : "", b->target ? b->target : "");
                assert_string_equal(a->model, b->model);
                assert_memory_equal(a->mac, b->mac, 6);
                assert_string_equal(a->address ? a->address : "", b->address ? b->address : "");
        }
        assert_int_equal(one->n_serials, two->n_serials);
}

static void survives_writing(const char *path)
{
        _cleanup_free_ char *text = NULL, *written = NULL, *again = NULL;
        _cleanup_(vm_spec_freep) struct vm_spec *one = NULL, *two = NULL;
        _cleanup_error_ struct error *err = NULL;

        assert_int_equal(fd_read_file_at(AT_FDCWD, path, TEMPLATE_MAX_BYTES, &text, NULL, &err), 0);
        one = try_build(empty_site(), text, &err);
        if (!one)
                return;
        written = spec_to_template(one);
        two = build(empty_site(), written);
        assert_same_spec(one, two);
        again = spec_to_template(two);
        assert_string_equal(written, again);
}

static void a_spec_survives_being_written_as_a_template(void **state)
{
        static const char *const patterns[] = { "tests/corpus/template/*", "tests/golden/*.tmpl" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
                glob_t found = { 0 };

                if (glob(patterns[i], 0, NULL, &found) == 0)
                        for (size_t j = 0; j < found.gl_pathc; j++)
                                survives_writing(found.gl_pathv[j]);
                globfree(&found);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_row_is_complete_and_its_default_is_valid),
                cmocka_unit_test(no_section_is_known_twice),
                cmocka_unit_test(defaults_are_filled_in),
                cmocka_unit_test(the_strongest_layer_wins_for_each_class),
                cmocka_unit_test(an_empty_text_ends_the_search_and_an_empty_number_does_not),
                cmocka_unit_test(wrong_input_is_rejected_by_name_and_place),
                cmocka_unit_test(errors_come_in_line_order_and_at_most_twenty),
                cmocka_unit_test(emulator_of_a_template_has_to_be_on_the_list_when_there_is_one),
                cmocka_unit_test(cd_that_is_to_be_written_is_warned_about),
                cmocka_unit_test(template_without_a_file_has_to_give_its_name),
                cmocka_unit_test(what_is_left_alone_is_named_once),
                cmocka_unit_test(targets_follow_the_order_of_upstream),
                cmocka_unit_test(targets_go_on_after_z),
                cmocka_unit_test(a_fifth_ide_disk_is_an_error),
                cmocka_unit_test(identity_is_the_same_every_time),
                cmocka_unit_test(a_mac_given_by_hand_is_never_given_again),
                cmocka_unit_test(a_long_name_gives_a_short_tap),
                cmocka_unit_test(boot_order_is_trimmed),
                cmocka_unit_test(formats_are_told_never_probed),
                cmocka_unit_test(an_emulator_has_to_be_on_the_list),
                cmocka_unit_test(a_layers_kernel_command_line_waits_for_a_kernel),
                cmocka_unit_test(cpu_models_are_told_apart),
                cmocka_unit_test(memory_is_rounded_up_to_what_qemu_counts_in),
                cmocka_unit_test(a_spec_survives_being_written_as_a_template),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
