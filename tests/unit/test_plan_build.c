#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "conf/spec_build.h"
#include "launcher/plan/plan_build.h"

#define MINIMAL "CPU = \"1\"\nMEMORY = \"128\"\n"
#define UUID    "0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f"

/* A host that can do everything; each test takes something away. */
struct fixture {
        struct qemu_machine machines[2];
        char *cpu_models[2];
        char *no_flags[1];
        char *devices[8];
        struct qemu_facts qemu;
        struct host_facts host;
        struct site *site;
        struct template *template;
        struct vm_spec *spec;
        struct launch_plan *plan;
        struct error *err;
};

static void fixture_init(struct fixture *f, const char *text)
{
        *f = (struct fixture){
                .machines = { { "pc-q35-7.2", "q35", "qemu64", 288, false, false },
                              { "pc-i440fx-7.2", "pc", "qemu64", 255, true, false } },
                .cpu_models = { "qemu64", NULL },
                .devices = { "isa-serial", "pvpanic-pci", "virtio-balloon-pci", "virtio-net-pci", "virtio-serial-pci", NULL },
                .host = {
                        .arch = "x86_64",
                        .kernel = "6.1",
                        .cpus = 4,
                        .cpu_has_virt = true,
                        .kvm_node = { .exists = true, .mode = S_IFCHR | 0660, .gid = 104 },
                        .kvm_group = "kvm",
                },
        };
        f->qemu = (struct qemu_facts){
                .path = "/usr/bin/qemu-system-x86_64",
                .major = 7,
                .minor = 2,
                .target = "x86_64",
                .machines = f->machines,
                .n_machines = 2,
                .cpu_models = f->cpu_models,
                .cpu_flags = f->no_flags,
                .tcg_flags = f->no_flags,
                .devices = f->devices,
                .has_kvm = true,
                .has_tcg = true,
        };
        assert_int_equal(site_from_text(NULL, NULL, NULL, NULL, NULL, &f->site, &f->err), 0);
        assert_int_equal(template_parse("web.tmpl", text, strlen(text), &f->template, &f->err), 0);
        if (spec_build(f->template, f->site, "/vm", "web", &f->spec, &f->err) < 0)
                fail_msg("%s", f->err->message);
}

static int fixture_plan(struct fixture *f, const struct machine_lock *lock)
{
        static const struct device_facts no_devices;
        const struct plan_input input = {
                .spec = f->spec,
                .site = f->site,
                .host = &f->host,
                .qemu = &f->qemu,
                .lock = lock,
                .devices = &no_devices,
        };

        return plan_build(&input, &f->plan, &f->err);
}

static void fixture_done(struct fixture *f)
{
        error_free(f->err);
        launch_plan_free(f->plan);
        vm_spec_free(f->spec);
        template_free(f->template);
        site_free(f->site);
}

static const char *argument_after(const struct launch_plan *plan, const char *option)
{
        for (size_t i = 0; i + 1 < plan->n_args; i++)
                if (strcmp(plan->args[i].text, option) == 0)
                        return plan->args[i + 1].text;
        return "";
}

static void kvm_is_used_in_the_group_of_its_node(void **state)
{
        struct fixture f;

        (void)state;
        fixture_init(&f, MINIMAL);
        assert_int_equal(fixture_plan(&f, NULL), 0);
        assert_non_null(strstr(argument_after(f.plan, "-machine"), "accel=kvm"));
        assert_int_equal(f.plan->confine.n_groups, 1);
        assert_int_equal(f.plan->confine.groups[0], 104);
        assert_string_equal(f.plan->confine.group_names[0], "kvm");
        assert_null(strstr(argument_after(f.plan, "-cpu"), "max"));
        fixture_done(&f);
}

/* Each obstacle: auto says so once and uses TCG, kvm is an error, and no group is given. */
static void check_obstacle(void (*obstruct)(struct fixture *f), const char *words)
{
        struct fixture f;

        fixture_init(&f, MINIMAL);
        obstruct(&f);
        assert_int_equal(fixture_plan(&f, NULL), 0);
        assert_non_null(strstr(argument_after(f.plan, "-machine"), "accel=tcg"));
        assert_int_equal(f.plan->confine.n_groups, 0);
        assert_non_null(f.plan->warnings);
        assert_non_null(strstr(f.plan->warnings->message, words));
        fixture_done(&f);

        fixture_init(&f, MINIMAL "ACCEL = \"kvm\"\n");
        obstruct(&f);
        assert_int_equal(fixture_plan(&f, NULL), -1);
        assert_int_equal(f.err->code, ERROR_HOST);
        assert_int_equal(f.err->pos.line, 3);
        assert_non_null(strstr(f.err->message, words));
        fixture_done(&f);
}

static void without_node(struct fixture *f)
{
        f->host.kvm_node.exists = false;
}

static void without_virt(struct fixture *f)
{
        f->host.cpu_has_virt = false;
}

static void with_owner_only(struct fixture *f)
{
        f->host.kvm_node.mode = S_IFCHR | 0600;
}

static void with_group_root(struct fixture *f)
{
        f->host.kvm_node.gid = 0;
}

static void without_kvm_in_qemu(struct fixture *f)
{
        f->qemu.has_kvm = false;
}

static void what_stands_between_the_vm_and_kvm_is_said(void **state)
{
        (void)state;
        check_obstacle(without_node, "no /dev/kvm");
        check_obstacle(without_virt, "neither vmx nor svm");
        check_obstacle(with_owner_only, "may not open");
        check_obstacle(with_group_root, "may not open");
        check_obstacle(without_kvm_in_qemu, "built without KVM");
}

static void a_node_open_to_all_needs_no_root_group(void **state)
{
        struct fixture f;

        (void)state;
        fixture_init(&f, MINIMAL);
        f.host.kvm_node = (struct file_facts){ .exists = true, .mode = S_IFCHR | 0666 };
        assert_int_equal(fixture_plan(&f, NULL), 0);
        assert_non_null(strstr(argument_after(f.plan, "-machine"), "accel=kvm"));
        assert_int_equal(f.plan->confine.n_groups, 0);
        fixture_done(&f);
}

static void tcg_when_asked_for_is_no_warning(void **state)
{
        struct fixture f;

        (void)state;
        fixture_init(&f, MINIMAL "ACCEL = \"tcg\"\n");
        f.host.cgroup.kind = CGROUP_V2;
        f.host.cgroup.v2_mount = "/sys/fs/cgroup";
        f.host.cgroup.v2_controllers = "cpu";
        f.host.cgroup.v2_writable = true;
        assert_int_equal(fixture_plan(&f, NULL), 0);
        assert_null(f.plan->warnings);
        fixture_done(&f);
}

static void read_only_control_groups_are_one_warning_and_no_group(void **state)
{
        struct fixture f;

        (void)state;
        fixture_init(&f,
                     MINIMAL "ACCEL = \"tcg\"\nPIDS_LIMIT = \"100\"\nMEMTUNE = [ HARD_LIMIT = \"1 TiB\" ]\n");
        f.host.cgroup.kind = CGROUP_V2;
        f.host.cgroup.v2_mount = "/sys/fs/cgroup";
        f.host.cgroup.v2_controllers = "cpu memory pids";
        assert_int_equal(fixture_plan(&f, NULL), 0);
        assert_null(f.plan->cgroup);
        for (size_t i = 0; i < f.plan->n_steps; i++) {
                assert_int_not_equal(f.plan->steps[i].effect, EFFECT_CGROUP_CREATE);
                assert_int_not_equal(f.plan->steps[i].effect, EFFECT_CGROUP_WRITE);
        }
        assert_non_null(f.plan->warnings);
        assert_null(f.plan->warnings->next);
        assert_string_equal(f.plan->warnings->message,
                            "CPU: has no effect on this host, which has read-only control groups; nor has "
                            "PIDS_LIMIT, MEMTUNE/HARD_LIMIT");
        fixture_done(&f);
}

static const struct machine_lock old_lock = {
        .layout = 1,
        .uuid = UUID,
        .machine = "pc-i440fx-7.2",
        .family = "pc",
        .uid = 1900000077,
        .addresses = (struct locked_address[]){ { "vser0", "pci.0:0x9" }, { "disk3", "pci.0:0x3" } },
        .n_addresses = 2,
};

static const char *lock_text(const struct launch_plan *plan)
{
        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_MACHINE_LOCK)
                        return json_string_value(json_object_get(plan->steps[i].args, "text"));
        return "";
}

static void machine_lock_keeps_machine_places_and_uid(void **state)
{
        struct fixture f;

        (void)state;
        fixture_init(&f,
                     MINIMAL "UUID = \"" UUID "\"\nOS = [ MACHINE = \"pc\" ]\nNIC = [ BRIDGE = \"br0\" ]\n");
        assert_int_equal(fixture_plan(&f, &old_lock), 0);
        assert_int_equal(f.plan->confine.uid, 1900000077);
        assert_non_null(strstr(lock_text(f.plan), "\"vser0\", ADDRESS = \"pci.0:0x9\""));
        /* The place of the disk that is gone waits for it. */
        assert_non_null(strstr(lock_text(f.plan), "\"disk3\", ADDRESS = \"pci.0:0x3\""));
        assert_non_null(strstr(lock_text(f.plan), "\"nic0\", ADDRESS = \"pci.0:0x4\""));
        fixture_done(&f);
}

static void machine_lock_of_another_uuid_counts_for_nothing(void **state)
{
        struct fixture f;

        (void)state;
        fixture_init(&f, MINIMAL "OS = [ MACHINE = \"pc\" ]\n");
        assert_int_equal(fixture_plan(&f, &old_lock), 0);
        assert_int_not_equal(f.plan->confine.uid, 1900000077);
        assert_null(strstr(lock_text(f.plan), "disk3"));
        assert_non_null(strstr(lock_text(f.plan), "\"vser0\", ADDRESS = \"pci.0:0x3\""));
        fixture_done(&f);
}

static void machine_lock_holds_for_the_name_it_was_resolved_to(void **state)
{
        struct fixture f;

        (void)state;
        fixture_init(&f, MINIMAL "UUID = \"" UUID "\"\nOS = [ MACHINE = \"pc-i440fx-7.2\" ]\n");
        assert_int_equal(fixture_plan(&f, &old_lock), 0);
        assert_non_null(strstr(lock_text(f.plan), "\"vser0\", ADDRESS = \"pci.0:0x9\""));
        assert_non_null(strstr(lock_text(f.plan), "FAMILY = \"pc\""));
        fixture_done(&f);
}

static void machine_lock_of_a_newer_layout_is_refused(void **state)
{
        struct machine_lock newer = old_lock;
        struct fixture f;

        (void)state;
        newer.layout = MACHINE_LOCK_LAYOUT + 1;
        fixture_init(&f, MINIMAL "UUID = \"" UUID "\"\nOS = [ MACHINE = \"pc\" ]\n");
        assert_int_equal(fixture_plan(&f, &newer), -1);
        assert_int_equal(f.err->code, ERROR_HOST);
        fixture_done(&f);
}

static void uid_of_machine_lock_outside_the_range_is_given_up(void **state)
{
        struct machine_lock outside = old_lock;
        struct fixture f;

        (void)state;
        outside.uid = 0;
        fixture_init(&f, MINIMAL "UUID = \"" UUID "\"\n");
        assert_int_equal(fixture_plan(&f, &outside), 0);
        assert_true(f.plan->confine.uid >= f.site->uid_first && f.plan->confine.uid <= f.site->uid_last);
        fixture_done(&f);
}

static void every_argument_and_step_says_why_it_is_there(void **state)
{
        struct fixture f;

        (void)state;
        fixture_init(&f, MINIMAL "NIC = [ BRIDGE = \"br0\" ]\nPANIC = [ MODEL = \"pci\" ]\n");
        assert_int_equal(fixture_plan(&f, NULL), 0);
        for (size_t i = 0; i < f.plan->n_args; i++)
                assert_true(strlen(f.plan->args[i].because) > 3);
        for (size_t i = 0; i < f.plan->n_steps; i++)
                assert_true(strlen(f.plan->steps[i].because) > 2);
        fixture_done(&f);
}

static void steps_come_in_the_order_that_undo_needs(void **state)
{
        struct fixture f;
        enum plan_effect last = EFFECT_UID_CLAIM;

        (void)state;
        fixture_init(&f, MINIMAL "NIC = [ BRIDGE = \"br0\" ]\n");
        assert_int_equal(fixture_plan(&f, NULL), 0);
        assert_int_equal(f.plan->steps[0].effect, EFFECT_UID_CLAIM);
        for (size_t i = 0; i < f.plan->n_steps; i++) {
                enum plan_effect effect = f.plan->steps[i].effect;

                /* live-template comes before the network, spawn after everything on the host. */
                if (effect == EFFECT_LIVE_TEMPLATE)
                        assert_int_equal(last, EFFECT_MACHINE_LOCK);
                else if (effect == EFFECT_NET)
                        assert_true(last == EFFECT_LIVE_TEMPLATE || last == EFFECT_NET);
                last = effect;
        }
        assert_int_equal(f.plan->steps[f.plan->n_steps - 2].effect, EFFECT_SPAWN);
        assert_int_equal(last, EFFECT_QMP);
        fixture_done(&f);
}

static void json_has_the_members_of_schema_1(void **state)
{
        static const char *const arrays[] = { "argv",    "env", "fds",      "net",   "cgroup", "files",
                                              "helpers", "qmp", "warnings", "steps", "devices" };
        json_auto_t *json = NULL;
        struct fixture f;

        (void)state;
        fixture_init(&f, MINIMAL "NIC = [ BRIDGE = \"br0\" ]\n");
        assert_int_equal(fixture_plan(&f, NULL), 0);
        json = launch_plan_json(f.plan);
        assert_int_equal(json_integer_value(json_object_get(json, "schema")), 1);
        for (size_t i = 0; i < ARRAY_SIZE(arrays); i++)
                if (!json_is_array(json_object_get(json, arrays[i])))
                        fail_msg("no array '%s'", arrays[i]);
        assert_int_equal(json_array_size(json_object_get(json, "argv")), f.plan->n_args);
        assert_int_equal(json_array_size(json_object_get(json, "steps")), f.plan->n_steps);
        assert_int_equal(json_array_size(json_object_get(json, "net")), 4);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "confine"), "uid")),
                         f.plan->confine.uid);
        fixture_done(&f);
}

static void a_template_whose_directory_is_not_utf8_is_left_out_of_json(void **state)
{
        json_auto_t *json = NULL;
        struct fixture f;

        (void)state;
        fixture_init(&f, MINIMAL);
        assert_int_equal(fixture_plan(&f, NULL), 0);
        free(f.plan->template_file);
        f.plan->template_file = xstrdup("/vm\xff/web.tmpl");
        json = launch_plan_json(f.plan);
        assert_non_null(json);
        assert_null(json_object_get(json, "template"));
        fixture_done(&f);
}

static void shell_and_argv_printers_give_every_argument(void **state)
{
        _cleanup_free_ char *shell = NULL, *argv = NULL;
        struct fixture f;
        size_t lines = 0;

        (void)state;
        fixture_init(&f, MINIMAL);
        assert_int_equal(fixture_plan(&f, NULL), 0);
        shell = launch_plan_shell(f.plan);
        argv = launch_plan_argv(f.plan);
        for (const char *p = argv; *p; p++)
                lines += *p == '\n';
        assert_int_equal(lines, f.plan->n_args);
        assert_true(text_starts_with(shell, "/usr/bin/qemu-system-x86_64 -name guest=web,"));
        assert_non_null(strstr(shell, "'{\"qom-type\":\"memory-backend-ram\""));
        fixture_done(&f);
}

static void effect_names_are_read_back(void **state)
{
        (void)state;
        for (int i = 0; i < PLAN_EFFECTS; i++) {
                enum plan_effect effect;

                assert_true(plan_effect_from_name(plan_effect_name((enum plan_effect)i), &effect));
                assert_int_equal(effect, i);
        }
        assert_false(plan_effect_from_name("format-disk", &(enum plan_effect){ 0 }));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(kvm_is_used_in_the_group_of_its_node),
                cmocka_unit_test(what_stands_between_the_vm_and_kvm_is_said),
                cmocka_unit_test(a_node_open_to_all_needs_no_root_group),
                cmocka_unit_test(tcg_when_asked_for_is_no_warning),
                cmocka_unit_test(read_only_control_groups_are_one_warning_and_no_group),
                cmocka_unit_test(machine_lock_keeps_machine_places_and_uid),
                cmocka_unit_test(machine_lock_of_another_uuid_counts_for_nothing),
                cmocka_unit_test(machine_lock_holds_for_the_name_it_was_resolved_to),
                cmocka_unit_test(machine_lock_of_a_newer_layout_is_refused),
                cmocka_unit_test(uid_of_machine_lock_outside_the_range_is_given_up),
                cmocka_unit_test(every_argument_and_step_says_why_it_is_there),
                cmocka_unit_test(steps_come_in_the_order_that_undo_needs),
                cmocka_unit_test(json_has_the_members_of_schema_1),
                cmocka_unit_test(a_template_whose_directory_is_not_utf8_is_left_out_of_json),
                cmocka_unit_test(shell_and_argv_printers_give_every_argument),
                cmocka_unit_test(effect_names_are_read_back),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
