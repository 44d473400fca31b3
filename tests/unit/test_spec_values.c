/* What single attributes come to: boot order, formats, emulator, kernel, CPU, memory. */
#include "tests/unit/spec_fixture.h"

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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(emulator_of_a_template_has_to_be_on_the_list_when_there_is_one),
                cmocka_unit_test(boot_order_is_trimmed),
                cmocka_unit_test(formats_are_told_never_probed),
                cmocka_unit_test(an_emulator_has_to_be_on_the_list),
                cmocka_unit_test(a_layers_kernel_command_line_waits_for_a_kernel),
                cmocka_unit_test(cpu_models_are_told_apart),
                cmocka_unit_test(memory_is_rounded_up_to_what_qemu_counts_in),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
