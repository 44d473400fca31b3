#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "launcher/plan/pci.h"

static void devices_done(struct pci_device *devices, size_t n, struct pci_layout *layout)
{
        for (size_t i = 0; i < n; i++)
                free(devices[i].address);
        pci_layout_done(layout);
}

static void devices_take_ports_in_the_order_given(void **state)
{
        struct pci_device devices[] = { { .id = "vser0" }, { .id = "disk0" }, { .id = "nic0" } };
        struct pci_layout layout;
        struct error *err = NULL;

        (void)state;
        assert_int_equal(pci_place(true, 16, NULL, devices, 3, &layout, &err), 0);
        assert_string_equal(devices[0].address, "rp1:0x0");
        assert_string_equal(devices[1].address, "rp2:0x0");
        assert_string_equal(devices[2].address, "rp3:0x0");
        assert_int_equal(layout.n_ports, 16);
        devices_done(devices, 3, &layout);
}

static void four_ports_stay_free_whatever_is_asked_for(void **state)
{
        struct pci_device devices[40] = { 0 };
        char ids[40][8];
        struct pci_layout layout;
        struct error *err = NULL;

        (void)state;
        for (unsigned i = 0; i < 40; i++) {
                ids[i][0] = 'd', ids[i][1] = (char)('a' + i / 10), ids[i][2] = (char)('0' + i % 10),
                ids[i][3] = 0;
                devices[i].id = ids[i];
        }
        assert_int_equal(pci_place(true, 16, NULL, devices, 40, &layout, &err), 0);
        assert_int_equal(layout.n_ports, 44);
        assert_string_equal(devices[39].address, "rp40:0x0");
        devices_done(devices, 40, &layout);
}

static void a_known_device_keeps_its_place_and_a_new_one_avoids_all_known_places(void **state)
{
        struct locked_address addresses[] = { { "disk0", "rp2:0x0" },
                                              { "nic0", "rp3:0x0" },
                                              { "disk9", "rp1:0x0" } };
        struct machine_lock lock = { .addresses = addresses, .n_addresses = 3 };
        struct pci_device devices[] = { { .id = "disk0" }, { .id = "disk1" }, { .id = "nic0" } };
        struct pci_layout layout;
        struct error *err = NULL;

        (void)state;
        assert_int_equal(pci_place(true, 16, &lock, devices, 3, &layout, &err), 0);
        assert_string_equal(devices[0].address, "rp2:0x0");
        assert_string_equal(devices[1].address, "rp4:0x0");
        assert_string_equal(devices[2].address, "rp3:0x0");
        assert_int_equal(layout.n_forgotten, 0);
        devices_done(devices, 3, &layout);
}

static void the_place_of_a_device_that_is_gone_is_given_away_last(void **state)
{
        struct locked_address addresses[29];
        struct machine_lock lock = { .addresses = addresses, .n_addresses = 29 };
        struct pci_device devices[] = { { .id = "new" } };
        struct pci_layout layout;
        struct error *err = NULL;

        (void)state;
        for (unsigned i = 0; i < 29; i++)
                addresses[i] =
                        (struct locked_address){ xasprintf("gone%u", i), xasprintf("pci.0:0x%x", i + 3) };
        assert_int_equal(pci_place(false, 16, &lock, devices, 1, &layout, &err), 0);
        assert_string_equal(devices[0].address, "pci.0:0x3");
        assert_int_equal(layout.n_forgotten, 1);
        assert_string_equal(layout.forgotten[0], "gone0");
        devices_done(devices, 1, &layout);
        for (unsigned i = 0; i < 29; i++) {
                free(addresses[i].device);
                free(addresses[i].address);
        }
}

static void a_device_far_out_keeps_the_ports_up_to_it(void **state)
{
        struct locked_address addresses[] = { { "disk0", "rp30:0x0" } };
        struct machine_lock lock = { .addresses = addresses, .n_addresses = 1 };
        struct pci_device devices[] = { { .id = "disk0" } };
        struct pci_layout layout;
        struct error *err = NULL;

        (void)state;
        assert_int_equal(pci_place(true, 16, &lock, devices, 1, &layout, &err), 0);
        assert_string_equal(devices[0].address, "rp30:0x0");
        assert_int_equal(layout.n_ports, 30);
        devices_done(devices, 1, &layout);
}

static void a_locked_address_that_makes_no_sense_is_as_if_unknown(void **state)
{
        struct locked_address addresses[] = { { "disk0", "rp0:0x0" },
                                              { "disk1", "rp99999999999:0x0" },
                                              { "disk2", "pci.0:0x4" },
                                              { "disk3", "" } };
        struct machine_lock lock = { .addresses = addresses, .n_addresses = 4 };
        struct pci_device devices[] = {
                { .id = "disk0" }, { .id = "disk1" }, { .id = "disk2" }, { .id = "disk3" }
        };
        struct pci_layout layout;
        struct error *err = NULL;

        (void)state;
        assert_int_equal(pci_place(true, 16, &lock, devices, 4, &layout, &err), 0);
        assert_string_equal(devices[0].address, "rp1:0x0");
        assert_string_equal(devices[3].address, "rp4:0x0");
        assert_int_equal(layout.n_ports, 16);
        devices_done(devices, 4, &layout);
}

static void pc_has_slots_3_to_31_and_says_how_many_when_they_run_out(void **state)
{
        struct pci_device devices[30] = { 0 };
        struct pci_layout layout = { 0 };
        struct error *err = NULL;

        (void)state;
        for (unsigned i = 0; i < 30; i++)
                devices[i].id = "x";
        assert_int_equal(pci_place(false, 16, NULL, devices, 30, &layout, &err), -1);
        assert_non_null(strstr(err->message, "29"));
        assert_string_equal(devices[0].address, "pci.0:0x3");
        assert_string_equal(devices[28].address, "pci.0:0x1f");
        error_free(err);
        devices_done(devices, 30, &layout);
}

static void conventional_cards_share_the_bridge_on_q35_but_not_on_pc(void **state)
{
        struct pci_device q35[] = { { .id = PCI_BRIDGE },
                                    { .id = "nic0", .is_legacy = true },
                                    { .id = "nic1", .is_legacy = true } };
        struct pci_device pc[] = { { .id = "nic0", .is_legacy = true } };
        struct pci_layout layout;
        struct error *err = NULL;

        (void)state;
        assert_int_equal(pci_place(true, 16, NULL, q35, 3, &layout, &err), 0);
        assert_string_equal(q35[0].address, "rp1:0x0");
        assert_string_equal(q35[2].address, "pci1:0x2");
        devices_done(q35, 3, &layout);
        assert_int_equal(pci_place(false, 16, NULL, pc, 1, &layout, &err), 0);
        assert_string_equal(pc[0].address, "pci.0:0x3");
        devices_done(pc, 1, &layout);
}

static void an_address_of_the_template_is_taken_or_an_error(void **state)
{
        struct pci_device good[] = { { .id = "disk0" }, { .id = "disk1", .wanted = "rp1:0x0" } };
        struct pci_device twice[] = { { .id = "disk0", .wanted = "rp1:0x0" },
                                      { .id = "disk1", .wanted = "rp1:0x0" } };
        struct pci_device nowhere[] = { { .id = "disk0", .wanted = "rp1:0x1" } };
        struct pci_layout layout = { 0 };
        struct error *err = NULL;

        (void)state;
        assert_int_equal(pci_place(true, 16, NULL, good, 2, &layout, &err), 0);
        assert_string_equal(good[0].address, "rp2:0x0");
        devices_done(good, 2, &layout);
        layout = (struct pci_layout){ 0 };
        assert_int_equal(pci_place(true, 16, NULL, twice, 2, &layout, &err), -1);
        assert_non_null(strstr(err->message, "is taken"));
        error_free(TAKE_PTR(err));
        devices_done(twice, 2, &layout);
        assert_int_equal(pci_place(true, 16, NULL, nowhere, 1, &layout, &err), -1);
        assert_non_null(strstr(err->message, "no PCI address"));
        error_free(err);
}

static void root_ports_are_packed_eight_to_a_slot_from_slot_2(void **state)
{
        unsigned slot, function;

        (void)state;
        pci_root_port_place(1, &slot, &function);
        assert_int_equal(slot, 2);
        assert_int_equal(function, 0);
        pci_root_port_place(16, &slot, &function);
        assert_int_equal(slot, 3);
        assert_int_equal(function, 7);
        pci_root_port_place(232, &slot, &function);
        assert_int_equal(slot, 0x1e);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(devices_take_ports_in_the_order_given),
                cmocka_unit_test(four_ports_stay_free_whatever_is_asked_for),
                cmocka_unit_test(a_known_device_keeps_its_place_and_a_new_one_avoids_all_known_places),
                cmocka_unit_test(the_place_of_a_device_that_is_gone_is_given_away_last),
                cmocka_unit_test(a_device_far_out_keeps_the_ports_up_to_it),
                cmocka_unit_test(a_locked_address_that_makes_no_sense_is_as_if_unknown),
                cmocka_unit_test(pc_has_slots_3_to_31_and_says_how_many_when_they_run_out),
                cmocka_unit_test(conventional_cards_share_the_bridge_on_q35_but_not_on_pc),
                cmocka_unit_test(an_address_of_the_template_is_taken_or_an_error),
                cmocka_unit_test(root_ports_are_packed_eight_to_a_slot_from_slot_2),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
