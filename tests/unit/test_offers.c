#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "launcher/plan/offers.h"

/* "name name ..." of what this recorded QEMU offers; new string. */
static char *offered(const char *host, const char *full_name)
{
        _cleanup_free_ char *path = xasprintf("tests/golden/hosts/%s.json", host);
        _cleanup_(qemu_facts_freep) struct qemu_facts *qemu = NULL;
        json_auto_t *json = json_load_file(path, 0, NULL), *values = NULL;
        struct error *err = NULL;
        struct text out = TEXT_INIT;
        json_t *value;
        size_t i;

        assert_int_equal(qemu_facts_from_json(json_object_get(json, "qemu"), &qemu, &err), 0);
        values = plan_offers(full_name, qemu);
        assert_non_null(values);
        json_array_foreach (values, i, value)
                text_addf(&out, "%s%s", i ? " " : "", json_string_value(json_object_get(value, "name")));
        return text_take(&out);
}

static void expect(const char *host, const char *full_name, const char *wanted)
{
        _cleanup_free_ char *found = offered(host, full_name);

        assert_string_equal(found, wanted);
}

static void what_a_qemu_lacks_is_not_offered(void **state)
{
        (void)state;
        expect("debian12-v1", "GRAPHICS/TYPE", "vnc spice");
        expect("qemu-small", "GRAPHICS/TYPE", "vnc");
        expect("debian12-v1", "SOUND/MODEL", "none ich6 ich9 ac97 es1370 sb16 usb");
        expect("debian12-v1", "VIDEO/TYPE", "none vga cirrus virtio qxl bochs vmvga");
        expect("qemu-small", "NIC/MODEL",
               "virtio virtio-transitional virtio-non-transitional e1000-82544gc e1000-82545em rtl8139 vmxnet3 pcnet "
               "ne2k_pci tulip i82551 i82557b i82559er");
}

static void aliases_of_machines_come_first(void **state)
{
        _cleanup_free_ char *machines = offered("debian12-v1", "OS/MACHINE");

        (void)state;
        assert_true(text_starts_with(machines, "pc q35 pc-i440fx-"));
        assert_null(strstr(machines, "isapc"));
}

static void only_what_depends_on_qemu_is_offered(void **state)
{
        (void)state;
        assert_true(plan_has_offers("NIC/MODEL"));
        assert_false(plan_has_offers("DISK/CACHE"));
        assert_null(plan_offers("DISK/CACHE", NULL));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_a_qemu_lacks_is_not_offered),
                cmocka_unit_test(aliases_of_machines_come_first),
                cmocka_unit_test(only_what_depends_on_qemu_is_offered),
        };

        return cmocka_run_group_tests_name("offers", tests, NULL, NULL);
}
