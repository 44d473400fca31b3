#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf/kvmrc.h"
#include "conf/site.h"

static struct site *build(const char *driver, const char *cluster, const char *host, const char *kvmrc)
{
        struct site *site = NULL;
        struct error *err = NULL;

        if (site_from_text(NULL, driver, cluster, host, kvmrc, &site, &err) < 0) {
                _cleanup_free_ char *text = error_text(err);

                fail_msg("%s", text);
        }
        return site;
}

static char *error_of(const char *driver, const char *cluster, const char *host, const char *kvmrc)
{
        struct site *site = NULL;
        _cleanup_error_ struct error *err = NULL;

        assert_int_equal(site_from_text(NULL, driver, cluster, host, kvmrc, &site, &err), -1);
        assert_non_null(err->excerpt);
        return error_text(err);
}

static void nothing_configured_gives_the_defaults(void **state)
{
        _cleanup_(site_freep) struct site *site = build(NULL, NULL, NULL, NULL);

        (void)state;
        assert_string_equal(site->paths.etc, "/etc/vmlaunch");
        assert_string_equal(site->paths.run, "/run/vmlaunch");
        assert_string_equal(site->image_dir, "/var/lib/vmlaunch/images");
        assert_int_equal(site->uid_first, 1900000000);
        assert_int_equal(site->uid_last, 1900065535);
        assert_int_equal(site->q35_root_ports, 16);
        assert_false(site->q35_numa_pcie);
        assert_null(site->emulators);
        assert_int_equal(site->kvmrc.shutdown_timeout_s, 180);
        assert_false(site->kvmrc.force_destroy || site->kvmrc.cancel_no_acpi);
        assert_true(site->kvmrc.sync_time);
        assert_null(site->warnings);
}

static void a_root_is_in_front_of_every_directory(void **state)
{
        struct site *site = NULL;
        struct error *err = NULL;

        (void)state;
        assert_int_equal(site_load("/nowhere/at/all//", NULL, &site, &err), 0);
        assert_string_equal(site->paths.root, "/nowhere/at/all");
        assert_string_equal(site->paths.cache, "/nowhere/at/all/var/cache/vmlaunch");
        assert_string_equal(site->image_dir, "/nowhere/at/all/var/lib/vmlaunch/images");
        site_free(site);
}

static void a_user_has_the_directories_of_xdg(void **state)
{
        gid_t groups[] = { 44 };
        const struct owner owner = { .user = true,
                                     .uid = 1000,
                                     .gid = 100,
                                     .groups = groups,
                                     .n_groups = 1,
                                     .config = (char *)"/h/.config",
                                     .data = (char *)"/h/.local/share",
                                     .state = (char *)"/h/.local/state",
                                     .cache = (char *)"/h/.cache",
                                     .runtime = (char *)"/run/user/1000" };
        _cleanup_(site_freep) struct site *site = NULL, *below = NULL;
        struct error *err = NULL;

        (void)state;
        /* UID_RANGE is the system's: a user has one uid. */
        assert_int_equal(site_of_user(NULL, &owner, "UID_RANGE = \"5-9\"", &site, &err), 0);
        assert_true(site->paths.user);
        assert_string_equal(site->paths.etc, "/h/.config/vmlaunch");
        assert_string_equal(site->paths.run, "/run/user/1000/vmlaunch");
        assert_string_equal(site->paths.state, "/h/.local/share/vmlaunch");
        assert_string_equal(site->paths.log, "/h/.local/state/vmlaunch");
        assert_string_equal(site->paths.cache, "/h/.cache/vmlaunch");
        assert_string_equal(site->image_dir, "/h/.local/share/vmlaunch/images");
        assert_int_equal(site->uid_first, 1000);
        assert_int_equal(site->uid_last, 1000);
        assert_true(owner_has_group(&site->owner, 44));
        assert_true(owner_has_group(&site->owner, 100));
        assert_false(owner_has_group(&site->owner, 1000));

        assert_int_equal(site_of_user("/r", &owner, NULL, &below, &err), 0);
        assert_string_equal(below->paths.run, "/r/run/vmlaunch");
        assert_string_equal(below->image_dir, "/r/var/lib/vmlaunch/images");
        assert_int_equal(below->uid_first, 1000);
}

static void host_settings_are_read(void **state)
{
        _cleanup_(site_freep) struct site *site = build(
                "Q35_ROOT_PORTS = 4", "Q35_ROOT_PORTS = 8",
                "IMAGE_DIR = \"/srv/images\"\nUID_RANGE = \"1000-1999\"\nEMULATORS = \"qemu-kvm\n/opt/qemu\"",
                NULL);

        (void)state;
        assert_string_equal(site->image_dir, "/srv/images");
        assert_int_equal(site->uid_first, 1000);
        assert_int_equal(site->uid_last, 1999);
        assert_int_equal(site->q35_root_ports, 8);
        assert_string_equal(site->emulators[0], "qemu-kvm");
        assert_string_equal(site->emulators[1], "/opt/qemu");
        assert_null(site->emulators[2]);
}

static void wrong_settings_are_rejected_with_their_place(void **state)
{
        static const struct {
                const char *driver, *cluster, *host, *kvmrc, *error;
        } rows[] = {
                { .host = "UID_RANGE = 5",
                  .error =
                          "/etc/vmlaunch/host.conf:1:13: UID_RANGE: '5' is not a range of user ids (try UID_RANGE = "
                          "\"1900000000-1900065535\")" },
                { .host = "UID_RANGE = 0-5",
                  .error =
                          "/etc/vmlaunch/host.conf:1:13: UID_RANGE: '0-5' is not a range of user ids (try UID_RANGE = "
                          "\"1900000000-1900065535\")" },
                { .host = "IMAGE_DIR = images",
                  .error = "/etc/vmlaunch/host.conf:1:13: IMAGE_DIR: 'images' is not an absolute path" },
                { .host = "Q35_ROOT_PORTS = 65",
                  .error = "/etc/vmlaunch/host.conf:1:18: Q35_ROOT_PORTS: '65' is out of range (0 to 64)" },
                { .host = "EMULATORS = \"bin/qemu\"",
                  .error =
                          "/etc/vmlaunch/host.conf:1:13: EMULATORS: 'bin/qemu' is neither an absolute path nor a plain "
                          "name" },
                { .cluster = "\nIMAGE_DIR = \"/x\"",
                  .error = "/etc/vmlaunch/cluster.conf:2:1: IMAGE_DIR: is read from host.conf only" },
                { .driver = "FEATURES = [ ACPY = yes ]",
                  .error =
                          "/etc/vmlaunch/vmm_exec_kvm.conf:1:14: FEATURES/ACPY: no such key; did you mean 'ACPI'?" },
                { .driver = "A = ",
                  .error =
                          "/etc/vmlaunch/vmm_exec_kvm.conf:1:5: A: a value is expected, not the end of the text" },
                { .kvmrc = "SHUTDOWN_TIMEOUT=soon",
                  .error =
                          "/etc/vmlaunch/kvmrc:1:1: SHUTDOWN_TIMEOUT: 'soon' is not a number of seconds (1 to 604800)" },
                { .kvmrc = "\n\nexport FORCE_DESTROY=perhaps",
                  .error = "/etc/vmlaunch/kvmrc:3:1: FORCE_DESTROY: 'perhaps' is neither yes nor no" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *text =
                        error_of(rows[i].driver, rows[i].cluster, rows[i].host, rows[i].kvmrc);

                assert_string_equal(text, rows[i].error);
        }
}

/* The values of opennebula-semantics section 4.1, in the form that upstream ships them in. */
static void the_configuration_that_upstream_ships_is_read(void **state)
{
        static const char driver[] =
                "MEMORY_SLOTS = 16\nOS = [ ARCH = \"x86_64\", MACHINE = \"q35\" ]\n"
                "FEATURES = [ PAE = \"no\", ACPI = \"yes\", APIC = \"no\", HYPERV = \"no\", GUEST_AGENT = \"yes\",\n"
                "             VIRTIO_SCSI_QUEUES = \"auto\", IOTHREADS = \"0\" ]\n"
                "DISK = [ DRIVER = \"raw\", CACHE = \"none\", DISCARD = \"unmap\", UID_MAP = 100000, GID_MAP = 100000 ]\n"
                "NIC = [ MODEL = \"virtio\", VIRTIO_QUEUES = \"auto\" ]\n"
                "HYPERV_OPTIONS = \"<relaxed state='on'/>\"\nHYPERV_TIMERS = \"<timer name='rtc'/>\"\n"
                "SPICE_OPTIONS = \"\n    <video>\n    </video>\"\nMEMORY_TUNE_OFFSET = 256\nQ35_ROOT_PORTS = 16\n"
                "Q35_NUMA_PCIE = YES\nOVMF_UEFIS = \"/usr/share/OVMF/OVMF_CODE.fd\"\n";
        _cleanup_(site_freep) struct site *site = build(driver, NULL, NULL, NULL);
        _cleanup_free_ char *alone = NULL;

        (void)state;
        assert_int_equal(error_count(site->warnings), 1);
        assert_true(site->q35_numa_pcie);
        alone = error_text(site->warnings);
        assert_non_null(strstr(alone, "known and without effect here: FEATURES/PAE, FEATURES/APIC"));
}

static void what_only_a_vm_can_say_is_named(void **state)
{
        _cleanup_(site_freep) struct site *site =
                build(NULL, NULL, "MEMORY = 64\nDISK = [ TARGET = vda ]", NULL);
        _cleanup_free_ char *text = error_text(site->warnings);

        (void)state;
        assert_string_equal(
                text, "/etc/vmlaunch/host.conf:1:1: without effect, counts in a VM template only: MEMORY, "
                      "DISK/TARGET");
}

static void kvmrc_is_read_and_never_executed(void **state)
{
        _cleanup_(site_freep) struct site *site = build(
                NULL, NULL, NULL,
                "# comment\n\nexport LANG=C\nexport SHUTDOWN_TIMEOUT=60 # seconds\n  FORCE_DESTROY=\"yes\"\r\n"
                "CANCEL_NO_ACPI='YES'\nexport SYNC_TIME=no\nexport MIGRATE_OPTIONS=\"--unsafe\"\n");
        _cleanup_free_ char *text = error_text(site->warnings);

        (void)state;
        assert_int_equal(site->kvmrc.shutdown_timeout_s, 60);
        assert_true(site->kvmrc.force_destroy);
        assert_true(site->kvmrc.cancel_no_acpi);
        assert_false(site->kvmrc.sync_time);
        assert_int_equal(error_count(site->warnings), 1);
        assert_string_equal(text,
                            "/etc/vmlaunch/kvmrc:8:1: not supported by this version of vmlaunch, going on "
                            "without: MIGRATE_OPTIONS");
}

static void other_lines_of_kvmrc_are_reported(void **state)
{
        static const char *const lines[] = {
                "rm -rf /",
                "SHUTDOWN_TIMEOUT=$(id)",
                "SHUTDOWN_TIMEOUT=60; id",
                "SHUTDOWN_TIMEOUT=\"$X\"",
                "SHUTDOWN_TIMEOUT='60",
                "SHUTDOWN_TIMEOUT = 60",
                "if true; then",
                "FORCE_DESTROY=yes id",
                "1A=2",
                "export SHUTDOWN_TIMEOUT",
                "FORCE_DESTROY=`id`",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                _cleanup_(site_freep) struct site *site = build(NULL, NULL, NULL, lines[i]);

                assert_int_equal(error_count(site->warnings), 1);
                assert_string_equal(site->warnings->message, "not an assignment of a plain value, no effect");
                assert_int_equal(site->kvmrc.shutdown_timeout_s, 180);
                assert_false(site->kvmrc.force_destroy);
        }
        _cleanup_(site_freep) struct site *site = build(NULL, NULL, NULL, "SHUTDOWN_TIMOUT=60");

        assert_string_equal(site->warnings->message,
                            "SHUTDOWN_TIMOUT: no such variable, no effect; did you mean 'SHUTDOWN_TIMEOUT'?");
}

static void the_last_of_a_name_counts_in_a_layer(void **state)
{
        _cleanup_(site_freep) struct site *site =
                build("Q35_ROOT_PORTS = 4\nQ35_ROOT_PORTS = 5", NULL, NULL, NULL);

        (void)state;
        assert_int_equal(site->q35_root_ports, 5);
        assert_int_equal(error_count(site->warnings), 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nothing_configured_gives_the_defaults),
                cmocka_unit_test(a_root_is_in_front_of_every_directory),
                cmocka_unit_test(a_user_has_the_directories_of_xdg),
                cmocka_unit_test(host_settings_are_read),
                cmocka_unit_test(wrong_settings_are_rejected_with_their_place),
                cmocka_unit_test(the_configuration_that_upstream_ships_is_read),
                cmocka_unit_test(what_only_a_vm_can_say_is_named),
                cmocka_unit_test(kvmrc_is_read_and_never_executed),
                cmocka_unit_test(other_lines_of_kvmrc_are_reported),
                cmocka_unit_test(the_last_of_a_name_counts_in_a_layer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
