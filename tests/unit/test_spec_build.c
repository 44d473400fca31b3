/* From a template and the layers to a VM: which value counts, what is refused, what is warned about. */
#include "tests/unit/spec_fixture.h"

#include <fcntl.h>
#include <glob.h>

#include "base/fd.h"

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

#define D "VCPU = 2\nOS = [ MACHINE = pc ]\nDISK = [ CACHE = writeback, TARGET = vdz ]\nMEMORY = 1\n"

#define C "VCPU = 3\nOS = [ MACHINE = q35 ]\nDISK = [ CACHE = unsafe ]\nMEMORY = 1\n"

#define H "VCPU = 4\nOS = [ MACHINE = pc-q35-7.2 ]\nDISK = [ CACHE = directsync ]\nMEMORY = 1\n"

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

static void assert_same_origins(const struct vm_spec *one, const struct vm_spec *two)
{
        for (size_t i = 0; attr_sections[i]; i++)
                for (size_t j = 0; j < attr_sections[i]->n_rows; j++) {
                        _cleanup_free_ char *name =
                                attr_full_name(attr_sections[i], &attr_sections[i]->rows[j]);
                        const struct origin *a = vm_spec_origin(one, name), *b = vm_spec_origin(two, name);

                        if (!a != !b || (a && a->layer != b->layer) || (a && !a->text != !b->text) ||
                            (a && a->text && strcmp(a->text, b->text) != 0))
                                fail_msg("%s has another origin", name);
                }
}

/* One of which nobody has given anything is a copy; the look-up in layers, where there are any, fills it row by row. */
static void a_section_that_nobody_gave_is_what_filling_it_makes(void **state)
{
        static const char plain[] = "MEMORY = 64\nDISK = [ SOURCE = d ]\nNIC = [ BRIDGE = br0 ]\n",
                          other[] = "MEMORY = 64\nOS = [ ARCH = aarch64, KERNEL = k ]\n"
                                    "GRAPHICS = [ TYPE = spice ]\nTOPOLOGY = [ HUGEPAGE_SIZE = 2 ]\n";
        _cleanup_(site_freep) struct site *layered =
                site_of(NULL, NULL, "UID_RANGE = \"1900000000-1900065535\"\n");
        _cleanup_(vm_spec_freep) struct vm_spec *before = build(empty_site(), plain),
                                                *changed = build(empty_site(), other),
                                                *changed_too = build(layered, other),
                                                *after = build(empty_site(), plain),
                                                *filled = build(layered, plain);

        (void)state;
        assert_same_spec(before, after);
        assert_same_origins(before, after);
        assert_same_spec(before, filled);
        assert_same_origins(before, filled);
        assert_same_spec(changed, changed_too);
        assert_same_origins(changed, changed_too);
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
                cmocka_unit_test(cd_that_is_to_be_written_is_warned_about),
                cmocka_unit_test(template_without_a_file_has_to_give_its_name),
                cmocka_unit_test(what_is_left_alone_is_named_once),
                cmocka_unit_test(a_section_that_nobody_gave_is_what_filling_it_makes),
                cmocka_unit_test(a_spec_survives_being_written_as_a_template),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
