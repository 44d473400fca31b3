/* Names and addresses that nobody gave: disks, cards, taps, the VM. */
#include "tests/unit/spec_fixture.h"

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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(targets_follow_the_order_of_upstream),
                cmocka_unit_test(targets_go_on_after_z),
                cmocka_unit_test(a_fifth_ide_disk_is_an_error),
                cmocka_unit_test(identity_is_the_same_every_time),
                cmocka_unit_test(a_mac_given_by_hand_is_never_given_again),
                cmocka_unit_test(a_long_name_gives_a_short_tap),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
