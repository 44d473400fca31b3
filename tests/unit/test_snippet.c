/* libvirt XML in templates: what holds for all elements, whose it is, and what the template says itself. */
#include "tests/unit/snippet_rows.h"

static void what_nothing_can_carry_is_an_error_at_its_place(void **state)
{
        static const struct row rows[] = {
                { "<foo/>", "2:9: RAW/DATA: <foo>: has no counterpart" },
                { "\n  <devices>\n    <toaster heat='9'/>\n  </devices>",
                  "4:5: RAW/DATA: <devices/toaster>: has no counterpart" },
                { "<devices x='1'/>", "2:18: RAW/DATA: <devices>: x='1' of <devices> has no counterpart" },
                { "<devices>text</devices>",
                  "2:18: RAW/DATA: <devices>: the text 'text' has no counterpart" },
                { "text", "2:9: RAW/DATA: <domain>: the text 'text' has no counterpart" },
                { "<memtune><min_guarantee>1</min_guarantee></memtune>",
                  "2:18: RAW/DATA: <memtune>: <min_guarantee> in it has no counterpart" },
                { "<memtune><hard_limit unit='parsec'>1</hard_limit></memtune>",
                  "2:44: RAW/DATA: MEMTUNE/HARD_LIMIT: '1 parsec' is not a size (try HARD_LIMIT = \"8192\" for MiB, or "
                  "\"8 GiB\")" },
                { "<memtune>\n<hard_limit a='b'>1</hard_limit></memtune>",
                  "3:19: RAW/DATA: MEMTUNE/HARD_LIMIT: '1 KiB' is out of range (1 MiB to 256 TiB); 3:13: RAW/DATA: "
                  "<memtune>: a='b' of <hard_limit> has no counterpart" },
                { "<on_crash>coredump-restart</on_crash>",
                  "2:19: RAW/DATA: <on_crash>/.: 'coredump-restart' has no counterpart" },
                { "<on_crash>explode</on_crash>",
                  "2:19: RAW/DATA: ON_CRASH: 'explode' is not one of destroy, restart, preserve" },
                { "<devices><panic model='pseries'/></devices>",
                  "2:32: RAW/DATA: PANIC/MODEL: 'pseries' is not one of pci, isa, hyperv" },
                { "<devices><panic model='isa'/><panic model='hyperv'/></devices>",
                  "PANIC[MODEL=isa]; 2:38: RAW/DATA: a second <devices/panic> has no counterpart" },
                { "<on_crash>restart</on_crash><bar/>",
                  "ON_CRASH=restart; 2:37: RAW/DATA: <bar>: has no counterpart" },
                { "<on_poweroff>preserve</on_poweroff>",
                  "2:22: RAW/DATA: <on_poweroff>: 'preserve' has no counterpart, ours is destroy" },
                { "<a></b>", "2:14: RAW/DATA: not XML: mismatched tag; <a> of line 2 is open" },
                { "<!DOCTYPE x><a/>", "2:11: RAW/DATA: not XML: not well-formed (invalid token)" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

static void names_of_other_worlds_are_told_whose_they_are(void **state)
{
        static const struct row rows[] = {
                { "<bootloader>pygrub</bootloader>",
                  "2:9: RAW/DATA: <bootloader>: is for Xen's paravirtualised guests; a kernel is OS/KERNEL" },
                { "<vcpus>4</vcpus>",
                  "2:9: RAW/DATA: <vcpus>: is no element of libvirt; did you mean <vcpu>?" },
                { "<os><type machine='xenfv'>hvm</type></os>",
                  "2:28: RAW/DATA: <os>: this machine is Xen's; QEMU's are q35 and pc" },
                { "<features><hap/></features>",
                  "2:19: RAW/DATA: <features/hap>: is Xen's: under KVM the host's CPU decides" },
                /* A whole domain, as guides print it and virsh shows it. */
                { "<domain type='kvm'><on_crash>restart</on_crash></domain>", "ON_CRASH=restart" },
                { "<domain><devices><emulator>/usr/bin/qemu-kvm</emulator></devices></domain>",
                  "EMULATOR=/usr/bin/qemu-kvm" },
                { "<domain type='xen'/>", "2:23: RAW/DATA: <domain>: type='xen' has no counterpart" },
                { "<domain><domain/></domain>", "2:17: RAW/DATA: <domain>: has no counterpart" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

static void what_has_no_effect_is_a_warning(void **state)
{
        static const struct row rows[] = {
                { "<features><pae/></features>",
                  "warning 2:19: RAW/DATA: <features/pae> has no effect in QEMU" },
                { "<title>x</title>", "warning 2:9: RAW/DATA: <title> has no effect in QEMU" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

static void what_the_template_says_itself_is_stronger(void **state)
{
        _cleanup_free_ char *other = meaning_of(
                "MEMTUNE=[HARD_LIMIT=64]\nON_CRASH=preserve\nRAW=[TYPE=kvm,DATA=\"<memtune><hard_limit unit='M'>"
                "32</hard_limit><soft_limit unit='M'>8</soft_limit></memtune><on_crash>preserve</on_crash>\"]",
                NULL, NULL);
        _cleanup_free_ char *twice = raw_meaning("<memtune><soft_limit unit='M'>8</soft_limit></memtune>\n"
                                                 "<memtune><soft_limit unit='M'>9</soft_limit></memtune>",
                                                 NULL);

        (void)state;
        assert_string_equal(
                other,
                "MEMTUNE[SOFT_LIMIT=8 M]; warning 3:51: RAW/DATA: MEMTUNE/HARD_LIMIT is given in line 1 "
                "too, which counts");
        assert_string_equal(
                twice, "MEMTUNE[SOFT_LIMIT=8 M]; warning 3:31: RAW/DATA: MEMTUNE/SOFT_LIMIT is given in line "
                       "2 too, which counts");
}

static void the_configuration_may_have_a_snippet_too(void **state)
{
        static const char crash[] = "RAW=\"<on_crash>restart</on_crash>\"";
        static const char tune[] = "RAW=\"<memtune><soft_limit unit='M'>8</soft_limit></memtune>\"";
        static const char own[] = "RAW=[TYPE=kvm,DATA=\"<on_crash>destroy</on_crash>\"]";
        _cleanup_free_ char *host = meaning_of("CPU=1", crash, tune),
                            *driver = meaning_of("CPU=1", NULL, tune);
        _cleanup_free_ char *both = meaning_of(own, crash, NULL),
                            *wrong = meaning_of("CPU=1", "RAW=\"<x/>\"", NULL);
        _cleanup_free_ char *none = meaning_of("CPU=1", "RAW=\"\"", tune),
                            *done = meaning_of("SNIPPETS=done", crash, NULL);

        (void)state;
        assert_string_equal(host, "ON_CRASH=restart from host.conf");
        assert_string_equal(driver, "MEMTUNE[SOFT_LIMIT=8 M from vmm_exec_kvm.conf]");
        assert_string_equal(
                both, "ON_CRASH=destroy; warning 1:16: RAW: ON_CRASH is given in line 1 too, which counts");
        assert_string_equal(wrong, "1:6: RAW: <x>: has no counterpart");
        /* One that is there and empty keeps the weaker ones away. */
        assert_string_equal(none, "");
        assert_string_equal(done, "");
}

static void raw_of_another_hypervisor_is_a_warning(void **state)
{
        _cleanup_free_ char *other = meaning_of("RAW=[TYPE=vmware,DATA_VMX=x,DATA=\"<a\"]", NULL, NULL);
        _cleanup_free_ char *none = meaning_of("RAW=[DATA=\"<a/>\"]", NULL, NULL);
        _cleanup_free_ char *empty = meaning_of("RAW=[TYPE=KVM,DATA=\"  \"]\nRAW=[TYPE=kvm]", NULL, NULL);

        (void)state;
        assert_string_equal(other, "warning 1:11: RAW: is for hypervisor 'vmware', without effect here");
        assert_string_equal(none, "1:1: RAW/TYPE: has to be given (kvm: DATA is libvirt XML; qemu: "
                                  "arguments of QEMU)");
        assert_string_equal(empty, "");
}

static void arguments_of_qemu_become_raw_of_that_type(void **state)
{
        static const struct row rows[] = {
                { "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
                  "<qemu:arg value='-smbios'/><qemu:arg value='type=11,value=it&apos;s'/></qemu:commandline>",
                  "RAW[TYPE=qemu DATA=-smbios 'type=11,value=it'\\''s']" },
                { "<qemu:commandline><qemu:env name='PULSE_SERVER' value='b c'/><qemu:env name='LC_ALL' value='C'/>"
                  "</qemu:commandline>",
                  "RAW[TYPE=qemu DATA= ENV='PULSE_SERVER=b c' LC_ALL=C]" },
                { "<qemu:commandline>\n<qemu:env name='LD_PRELOAD' value='/x.so'/></qemu:commandline>",
                  "3:1: RAW/DATA: <qemu:commandline>: 'LD_PRELOAD' is none of the variables that QEMU may have: it could "
                  "change what is loaded into QEMU, or is nothing that QEMU knows" },
                { "<qemu:commandline><qemu:env value='b'/></qemu:commandline>",
                  "2:27: RAW/DATA: <qemu:commandline>: '' is none of the variables that QEMU may have: it could "
                  "change what is loaded into QEMU, or is nothing that QEMU knows" },
                { "<qemu:commandline><qemu:arg/></qemu:commandline>",
                  "2:27: RAW/DATA: <qemu:commandline>: <qemu:arg> has no value" },
        };
        _cleanup_free_ char *ours = meaning_of("RAW=[TYPE=\" QEMU\",DATA=\"-seed 1\"]", NULL, NULL);
        _cleanup_free_ char *lax = meaning_of("RAW=[TYPE=qemu,VALIDATE=no,DATA=\"-seed 1\"]", NULL, NULL);

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
        assert_string_equal(ours, "");
        assert_string_equal(lax,
                            "1:25: RAW/VALIDATE: is of TYPE kvm; what TYPE qemu may not say stays an error");
}

static void validate_no_makes_warnings_of_it(void **state)
{
        _cleanup_free_ char *lax =
                raw_meaning("<foo/><on_crash>restart</on_crash><memtune><x/></memtune>", "no");
        _cleanup_free_ char *wrong = raw_meaning("<on_crash>restart</on_crash>", "perhaps");

        (void)state;
        assert_string_equal(
                lax, "ON_CRASH=restart; warning 2:9: RAW/DATA: <foo>: has no counterpart, going on without "
                     "<foo>; warning 2:52: RAW/DATA: <memtune>: <x> in it has no counterpart, going on "
                     "without <memtune>");
        assert_string_equal(wrong, "ON_CRASH=restart; 1:24: RAW/VALIDATE: 'perhaps' is neither yes nor no");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_nothing_can_carry_is_an_error_at_its_place),
                cmocka_unit_test(names_of_other_worlds_are_told_whose_they_are),
                cmocka_unit_test(what_has_no_effect_is_a_warning),
                cmocka_unit_test(what_the_template_says_itself_is_stronger),
                cmocka_unit_test(the_configuration_may_have_a_snippet_too),
                cmocka_unit_test(raw_of_another_hypervisor_is_a_warning),
                cmocka_unit_test(arguments_of_qemu_become_raw_of_that_type),
                cmocka_unit_test(validate_no_makes_warnings_of_it),
        };

        return cmocka_run_group_tests_name("snippet", tests, NULL, NULL);
}
