/*
 * What tests/unit/machines/ has are the answers of a QEMU 7.2, live.tmpl and the journal's steps, recorded by
 * tests/tools/record_machine.sh while nothing differed; each test changes something on one side.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf/spec_build.h"
#include "launcher/run/state_compare.h"

struct machine {
        json_t *json; /* template, facts, steps */
        json_t *facts, *steps;
        struct site *site;
        struct template *template;
        struct vm_spec *spec;
        const char *record_state;
};

static void read_spec(struct machine *m, const char *text)
{
        struct error *err = NULL;

        vm_spec_free(m->spec);
        template_free(m->template);
        m->spec = NULL;
        m->template = NULL;
        if (template_parse("live.tmpl", text, strlen(text), &m->template, &err) < 0 ||
            spec_build(m->template, m->site, "/", "web", &m->spec, &err) < 0)
                fail_msg("%s", err->message);
}

static struct machine machine_of(const char *name)
{
        _cleanup_free_ char *path = xasprintf("tests/unit/machines/%s.json", name);
        struct machine m = { .json = json_load_file(path, 0, NULL), .record_state = "running" };
        struct error *err = NULL;

        if (!m.json)
                fail_msg("%s cannot be read", path);
        m.facts = json_object_get(m.json, "facts");
        m.steps = json_object_get(m.json, "steps");
        assert_int_equal(site_from_text(NULL, NULL, NULL, NULL, NULL, &m.site, &err), 0);
        read_spec(&m, json_string_value(json_object_get(m.json, "template")));
        return m;
}

static void machine_done(struct machine *m)
{
        vm_spec_free(m->spec);
        template_free(m->template);
        site_free(m->site);
        json_decref(m->json);
}

static json_t *compare(const struct machine *m)
{
        const struct state_sides sides = {
                .spec = m->spec, .facts = m->facts, .steps = m->steps, .record_state = m->record_state
        };

        return state_compare(&sides);
}

/* Exactly these lines, in this order. */
static void assert_differs(const struct machine *m, const char *const *lines)
{
        json_auto_t *differences = compare(m);
        size_t n = 0;

        for (; lines[n]; n++) {
                _cleanup_free_ char *text = state_difference_text(json_array_get(differences, n));

                assert_string_equal(text, lines[n]);
        }
        if (json_array_size(differences) > n) {
                _cleanup_free_ char *more = state_difference_text(json_array_get(differences, n));

                fail_msg("one more: %s", more);
        }
}
#define assert_differences(m, ...) assert_differs((m), (const char *const[]){ __VA_ARGS__, NULL })

static void assert_same(const struct machine *m)
{
        json_auto_t *differences = compare(m);

        if (json_array_size(differences)) {
                _cleanup_free_ char *text = state_difference_text(json_array_get(differences, 0));

                fail_msg("%zu, the first: %s", json_array_size(differences), text);
        }
}

static json_t *fact(const struct machine *m, const char *name)
{
        json_t *answer = json_object_get(m->facts, name);

        assert_non_null(answer);
        return answer;
}

/* The entry of a list that has this value under key. */
static json_t *entry(json_t *list, const char *key, const char *value, size_t *ret_index)
{
        json_t *each;
        size_t i;

        json_array_foreach (list, i, each) {
                const char *has = json_string_value(json_object_get(each, key));

                if (has && strcmp(has, value) == 0) {
                        if (ret_index)
                                *ret_index = i;
                        return each;
                }
        }
        fail_msg("no %s is '%s'", key, value);
        return NULL;
}

static void take_out(json_t *list, const char *key, const char *value)
{
        size_t i = 0;

        entry(list, key, value, &i);
        json_array_remove(list, i);
}

/* A template with one text in place of another. */
static void edit_template(struct machine *m, const char *old, const char *new)
{
        const char *text = json_string_value(json_object_get(m->json, "template"));
        const char *at = strstr(text, old);
        _cleanup_free_ char *edited = NULL;

        assert_non_null(at);
        edited = xasprintf("%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
        read_spec(m, edited);
}

/* The tests. */

static void recorded_machines_are_as_their_templates_say(void **state)
{
        static const char *const names[] = { "q35", "pc" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                struct machine m = machine_of(names[i]);

                assert_same(&m);
                machine_done(&m);
        }
}

static void device_that_is_gone_is_told_once_and_not_by_its_properties(void **state)
{
        struct machine m = machine_of("q35");

        (void)state;
        take_out(fact(&m, "devices"), "name", "disk0");
        json_object_del(fact(&m, "properties"), "disk0");
        take_out(fact(&m, "block"), "qdev", "/machine/peripheral/disk0/virtio-backend");
        assert_differences(&m, "device disk0: template virtio-blk-pci, QEMU none");
        machine_done(&m);
}

static void devices_that_nobody_asked_for_are_told_by_number(void **state)
{
        struct machine m = machine_of("q35");
        static const char *const ids[] = { "bal10", "bal9", "rp99", "rpx" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
                json_array_append_new(fact(&m, "devices"),
                                      json_pack("{s:s, s:s}", "name", ids[i], "type",
                                                i == 2 ? "child<pcie-root-port>" : "child<virtio-rng-pci>"));
        json_array_append_new(fact(&m, "anonymous"),
                              json_pack("{s:s, s:s}", "name", "device[0]", "type", "child<usb-tablet>"));
        assert_differences(&m, "device bal9: template none, QEMU virtio-rng-pci",
                           "device bal10: template none, QEMU virtio-rng-pci",
                           "device rpx: template none, QEMU virtio-rng-pci",
                           "device device[0]: template none, QEMU usb-tablet");
        machine_done(&m);
}

static void device_of_another_kind_place_or_mac_differs(void **state)
{
        struct machine m = machine_of("q35");
        json_t *nic0 = json_object_get(fact(&m, "properties"), "nic0");

        (void)state;
        json_object_set_new(entry(fact(&m, "devices"), "name", "panic0", NULL), "type",
                            json_string("child<pvpanic>"));
        json_object_set_new(json_object_get(fact(&m, "properties"), "disk0"), "addr", json_integer(9));
        json_object_set_new(json_object_get(fact(&m, "properties"), "disk1"), "scsi-id", json_integer(7));
        json_object_set_new(nic0, "mac", json_string("52:54:00:00:00:01"));
        json_object_set_new(nic0, "netdev", json_string("net2"));
        assert_differences(&m, "device panic0 type: template pvpanic-pci, QEMU pvpanic",
                           "device disk0 address: template rp3:0x0, QEMU rp3:0x1.0x1",
                           "device disk1 address: template scsi0.0:1, QEMU scsi0.0:7",
                           "device nic0 mac: template 52:54:00:1f:fb:03, QEMU 52:54:00:00:00:01",
                           "device nic0 netdev: template net0, QEMU net2");
        machine_done(&m);
}

static void medium_taken_out_and_disk_made_read_only_differ(void **state)
{
        struct machine m = machine_of("q35");
        json_t *block = fact(&m, "block");
        json_t *inserted = json_object_get(entry(block, "qdev", "disk3", NULL), "inserted");

        (void)state;
        json_object_del(entry(block, "qdev", "disk2", NULL), "inserted");
        json_object_set_new(inserted, "ro", json_true());
        json_object_set_new(inserted, "drv", json_string("qcow2"));
        assert_differences(&m, "device disk2 medium: template disk2-format, QEMU none",
                           "device disk3 format: template raw, QEMU qcow2",
                           "device disk3 read-only: template no, QEMU yes");
        machine_done(&m);
}

static void machine_itself_is_compared(void **state)
{
        struct machine m = machine_of("pc");
        _cleanup_free_ char *uuid = xasprintf("machine uuid: template %s, QEMU none", m.spec->uuid_text);

        (void)state;
        json_object_set_new(m.facts, "name", json_pack("{s:s}", "name", "other"));
        json_object_set_new(m.facts, "uuid", json_pack("{}"));
        json_object_set_new(m.facts, "type", json_string("pc-i440fx-6.0-machine"));
        json_object_set_new(m.facts, "memory",
                            json_pack("{s:i, s:i}", "base-memory", 134217728, "plugged-memory", 134217728));
        json_object_set_new(m.facts, "balloon", json_pack("{s:i}", "actual", 67108864));
        json_array_remove(fact(&m, "cpus"), 0);
        assert_differences(&m, "machine name: template pc, QEMU other", uuid,
                           "machine type: template pc-i440fx-7.2, QEMU pc-i440fx-6.0-machine",
                           "machine memory: template 128 MiB, QEMU 256 MiB",
                           "machine balloon: template 128 MiB, QEMU 64 MiB",
                           "machine vcpus: template 2, QEMU 1");
        machine_done(&m);
}

static void backends_that_are_gone_or_new_differ(void **state)
{
        struct machine m = machine_of("q35");
        _cleanup_free_ char *network = NULL;

        (void)state;
        take_out(fact(&m, "nodes"), "node-name", "disk1-file");
        json_array_append_new(fact(&m, "nodes"), json_pack("{s:s}", "node-name", "#block17"));
        json_array_append_new(fact(&m, "nodes"), json_pack("{s:s}", "node-name", "disk9-base1-file"));
        json_array_append_new(fact(&m, "nodes"), json_pack("{s:s}", "node-name", "disk0-base2-format"));
        take_out(fact(&m, "chardevs"), "label", "serial0");
        json_array_append_new(fact(&m, "objects"),
                              json_pack("{s:s, s:s}", "name", "io0", "type", "child<iothread>"));
        network = xasprintf("%snet7: index=0,type=user,net=10.0.2.0,restrict=off\r\n",
                            json_string_value(fact(&m, "network")));
        json_object_set_new(m.facts, "network", json_string(network));
        assert_differences(&m, "node disk1-file: template disk1-file, QEMU none",
                           "node disk9-base1-file: template none, QEMU disk9-base1-file",
                           "chardev serial0: template serial0, QEMU none",
                           "netdev net7: template none, QEMU user",
                           "object io0: template none, QEMU iothread");
        machine_done(&m);
}

static void template_that_says_something_else_differs(void **state)
{
        struct machine m = machine_of("q35");

        (void)state;
        edit_template(&m, "MODEL = \"e1000\"", "MODEL = \"e1000e\"");
        assert_differences(&m, "device nic1 type: template e1000e, QEMU e1000");
        edit_template(&m, "GUEST_AGENT = \"yes\"", "GUEST_AGENT = \"no\"");
        assert_differences(&m, "device agent0: template none, QEMU virtserialport",
                           "device vser0: template none, QEMU virtio-serial-pci",
                           "chardev agent0: template none, QEMU agent0");
        machine_done(&m);
}

static void work_that_nobody_has_written_down_is_told(void **state)
{
        struct machine m = machine_of("q35");

        (void)state;
        json_object_set_new(m.facts, "jobs",
                            json_pack("[{s:s, s:s, s:s}]", "id", "m1", "type", "mirror", "status", "ready"));
        json_object_set_new(m.facts, "exports", json_pack("[{s:s, s:s}]", "id", "e1", "type", "nbd"));
        json_object_set_new(m.facts, "migration", json_pack("{s:s}", "status", "active"));
        m.record_state = "paused";
        assert_differences(&m, "state guest: QEMU running, record paused",
                           "job m1: QEMU mirror, ready, record none", "export e1: QEMU nbd, record none",
                           "migration guest: QEMU active, record none");
        json_object_set_new(m.facts, "migration", json_pack("{s:s}", "status", "completed"));
        json_object_set_new(m.facts, "jobs", json_array());
        json_object_set_new(m.facts, "exports", json_array());
        json_object_set_new(m.facts, "status", json_pack("{s:s}", "status", "io-error"));
        assert_same(&m);
        m.record_state = NULL;
        assert_same(&m);
        machine_done(&m);
}

static void locks_and_taps_of_the_journal_are_held_against_the_template(void **state)
{
        struct machine m = machine_of("q35");
        const char *path = m.spec->disks[1].path;
        _cleanup_free_ char *missing = xasprintf("image disk1: template %s, record none", path);

        (void)state;
        for (size_t i = 0; i < json_array_size(m.steps);) {
                const json_t *args = json_object_get(json_array_get(m.steps, i), "args");
                const char *fd = json_string_value(json_object_get(args, "fd"));

                if (json_object_get(args, "ifname") || (fd && strcmp(fd, "image:disk1-file") == 0))
                        json_array_remove(m.steps, i);
                else
                        i++;
        }
        json_array_append_new(m.steps, json_pack("{s:s, s:{s:s, s:s}}", "effect", "net", "args", "op",
                                                 "tap-create", "ifname", "stray"));
        json_array_append_new(m.steps, json_pack("{s:s, s:{s:s, s:s}}", "effect", "image-open", "args", "fd",
                                                 "image:disk11-file", "path", "/stray"));
        assert_differences(&m, missing, "image image:disk11-file: template none, record /stray",
                           "tap nic0: template many-0, record none",
                           "tap stray: template none, record stray");
        machine_done(&m);
}

static void template_journal_or_facts_that_cannot_be_read_are_told(void **state)
{
        struct machine m = machine_of("q35");
        struct state_sides sides = { .trouble = "live.tmpl: gone", .facts = m.facts, .steps = m.steps };
        json_auto_t *without_template = state_compare(&sides), *without_all = NULL;

        (void)state;
        assert_int_equal(json_array_size(without_template), 1);
        sides.facts = sides.steps = NULL;
        without_all = state_compare(&sides);
        assert_true(json_equal(without_template, without_all));
        m.steps = NULL;
        json_object_set_new(m.facts, "errors", json_pack("{s:s}", "exports", "CommandNotFound"));
        json_object_del(m.facts, "exports");
        json_object_del(m.facts, "nodes");
        assert_differences(&m, "question nodes: QEMU an answer that is not understood",
                           "question exports: QEMU CommandNotFound",
                           "question journal: template none, record none");
        machine_done(&m);
}

static void compare_and_print(const struct machine *m)
{
        json_auto_t *differences = compare(m);

        for (size_t i = 0; i < json_array_size(differences); i++)
                free(state_difference_text(json_array_get(differences, i)));
}

/* Every value below, one after the other, is something else: of each type, and absent. How often. */
static size_t spoil(struct machine *m, json_t *where)
{
        static const char *const values[] = {
                "null", "-1", "1e300", "\"x\\u0007\\u20ac\"", "[[[null]]]", "{}"
        };
        json_auto_t *before = json_copy(where);
        const char *key;
        json_t *value;
        size_t i, n = 0;

        json_object_foreach (before, key, value) {
                for (i = 0; i < ARRAY_SIZE(values); i++) {
                        json_object_set_new(where, key, json_loads(values[i], JSON_DECODE_ANY, NULL));
                        compare_and_print(m);
                }
                json_object_del(where, key);
                compare_and_print(m);
                json_object_set(where, key, value);
                n += ARRAY_SIZE(values) + 1 + spoil(m, value);
        }
        json_array_foreach (before, i, value)
                n += spoil(m, value);
        return n;
}

static void answers_of_any_shape_are_taken(void **state)
{
        struct machine m = machine_of("q35");

        (void)state;
        /* What a disk's image looks like is not looked at. */
        for (size_t i = 0; i < json_array_size(fact(&m, "block")); i++)
                json_object_del(json_object_get(json_array_get(fact(&m, "block"), i), "inserted"), "image");
        assert_true(spoil(&m, m.facts) > 1000);
        assert_true(spoil(&m, m.steps) > 100);
        machine_done(&m);
}

static void differences_beyond_a_number_are_not_listed(void **state)
{
        struct machine m = machine_of("pc");
        json_t *objects = fact(&m, "objects");
        json_auto_t *differences = NULL;

        (void)state;
        for (int i = 0; i < 100000; i++)
                json_array_append_new(objects, json_pack("{s:o, s:s}", "name", json_sprintf("o%d", i), "type",
                                                         "child<iothread>"));
        differences = compare(&m);
        assert_int_equal(json_array_size(differences), STATE_DIFFERENCES_MAX + 1);
        machine_done(&m);
}

static void text_from_outside_is_made_fit_to_print(void **state)
{
        struct machine m = machine_of("pc");
        json_auto_t *differences = NULL;
        const json_t *last;

        (void)state;
        json_array_append_new(fact(&m, "objects"),
                              json_pack("{s:s, s:s}", "name", "\x1b[2Jx", "type", "child<a\nb>"));
        differences = compare(&m);
        assert_int_equal(json_array_size(differences), 1);
        last = json_array_get(differences, 0);
        assert_null(strchr(json_string_value(json_object_get(last, "id")), '\x1b'));
        assert_null(strchr(json_string_value(json_object_get(last, "qemu")), '\n'));
        machine_done(&m);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(recorded_machines_are_as_their_templates_say),
                cmocka_unit_test(device_that_is_gone_is_told_once_and_not_by_its_properties),
                cmocka_unit_test(devices_that_nobody_asked_for_are_told_by_number),
                cmocka_unit_test(device_of_another_kind_place_or_mac_differs),
                cmocka_unit_test(medium_taken_out_and_disk_made_read_only_differ),
                cmocka_unit_test(machine_itself_is_compared),
                cmocka_unit_test(backends_that_are_gone_or_new_differ),
                cmocka_unit_test(template_that_says_something_else_differs),
                cmocka_unit_test(work_that_nobody_has_written_down_is_told),
                cmocka_unit_test(locks_and_taps_of_the_journal_are_held_against_the_template),
                cmocka_unit_test(template_journal_or_facts_that_cannot_be_read_are_told),
                cmocka_unit_test(answers_of_any_shape_are_taken),
                cmocka_unit_test(differences_beyond_a_number_are_not_listed),
                cmocka_unit_test(text_from_outside_is_made_fit_to_print),
        };

        json_set_alloc_funcs(xmalloc, free);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
