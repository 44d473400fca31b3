/* Fragments: what is taken, and by whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "launcher/run/command_table.h"
#include "launcher/run/fragment.h"

static const struct fragment_vm vm = { .name = "web",
                                       .generation = "0123456789abcdef",
                                       .link_group = 1900000017,
                                       .cgroup = "machine.slice/vmlaunch-web" };
static const struct fragment_vm unit_vm = { .name = "web",
                                            .generation = "0123456789abcdef",
                                            .link_group = 1900000017,
                                            .unit = "vmlaunch@web.service",
                                            .cgroup = "machine.slice/vmlaunch@web.service" };

#define TAP \
        "{\"effect\":\"net\",\"args\":{\"op\":\"tap-create\",\"ifname\":\"t1\",\"queues\":1,\"vnet-hdr\":true}}"
#define MARK                                                                                                  \
        "{\"effect\":\"net\",\"args\":{\"op\":\"link-set\",\"ifname\":\"t1\",\"group\":1900000017,\"alias\":" \
        "\"vmlaunch:web:@GENERATION@\",\"mac\":\"fe:54:00:00:00:01\"}}"
#define GETFD \
        "{\"effect\":\"qmp\",\"args\":{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"n1\"}},\"fd\":\"tap:t1:0\"}"
#define NEW_CARD(member)                                                                                    \
        "{\"steps\":[" LINK("true", "") "],\"devices\":{\"set\":[{\"id\":\"nic0\",\"kind\":\"nic\"," member \
                                        "}]}}"
#define LINK(up, undo)                                                                                       \
        "{\"effect\":\"qmp\",\"args\":{\"execute\":\"set_link\",\"arguments\":{\"name\":\"nic0\",\"up\":" up \
        "}},\"undo\":[" undo "]}"
#define LINK_UNDO    "{\"execute\":\"set_link\",\"arguments\":{\"name\":\"nic0\",\"up\":true}}"
#define STEPS(steps) "{\"steps\":[" steps "]}"

/* NULL: taken; else the error's text, owned by the caller. */
static char *refusal(const char *text, enum control_role role, size_t n_fds, enum error_code *ret_code)
{
        _cleanup_(fragment_freep) struct fragment *fragment = NULL;
        json_auto_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
        _cleanup_error_ struct error *err = NULL;

        assert_non_null(json);
        if (fragment_read(json, &vm, role, n_fds, &fragment, &err) == 0)
                return NULL;
        if (ret_code)
                *ret_code = err->code;
        return error_text(err);
}

static void a_tap_with_its_fd_is_taken_and_placeholders_are_filled_in(void **state)
{
        _cleanup_(fragment_freep) struct fragment *fragment = NULL;
        json_auto_t *json = json_loads(STEPS(TAP "," MARK "," GETFD), 0, NULL);
        struct error *err = NULL;
        const json_t *undo;

        (void)state;
        assert_int_equal(fragment_read(json, &vm, ROLE_ADMIN, 0, &fragment, &err), 0);
        assert_int_equal(fragment->n_steps, 3);
        assert_string_equal(json_string_value(json_object_get(fragment->steps[1].args, "alias")),
                            "vmlaunch:web:0123456789abcdef");
        assert_string_equal(fragment->steps[2].fd, "tap:t1:0");
        undo = json_array_get(fragment->steps[2].undo, 0);
        assert_string_equal(json_string_value(json_object_get(undo, "execute")), "closefd");
}

#define GETVHOST \
        "{\"effect\":\"qmp\",\"args\":{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"v1\"}},\"fd\":\"vhost:t1:0\"}"
#define DEVICE(path, names) \
        "{\"effect\":\"device-open\",\"args\":{\"path\":\"" path "\",\"fds\":[" names "]}}"

static void vhost_is_opened_for_the_queues_of_a_tap_and_nothing_else_is(void **state)
{
        static const struct {
                const char *text, *says;
        } cases[] = {
                { STEPS(TAP "," MARK "," DEVICE("/dev/vhost-net", "\"vhost:t1:0\"") "," GETFD "," GETVHOST),
                  NULL },
                { STEPS(TAP "," MARK "," DEVICE("/dev/kmsg", "\"vhost:t1:0\"") "," GETFD "," GETVHOST),
                  "path is not /dev/vhost-net" },
                { STEPS(TAP "," MARK "," DEVICE("/dev/vhost-net", "\"vhost:t1:1\"") "," GETFD),
                  "fds: entry 1 is of no queue of a tap" },
                { STEPS(TAP "," MARK "," DEVICE("/dev/vhost-net", "\"x\"") "," GETFD),
                  "entry 1 is of no queue" },
                { STEPS(DEVICE("/dev/vhost-net", "\"vhost:t1:0\"") "," TAP "," MARK "," GETFD),
                  "entry 1 is of no queue" },
                { STEPS(TAP "," MARK "," DEVICE("/dev/vhost-net", "\"vhost:t1:0\"") "," GETFD),
                  "no step takes the fd 'vhost:t1:0'" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *why = refusal(cases[i].text, ROLE_ADMIN, 0, NULL);

                if (!cases[i].says)
                        assert_null(why);
                else if (!why || !strstr(why, cases[i].says))
                        fail_msg("%s: %s", cases[i].text, why ? why : "accepted");
        }
}

#define ADDFD(fd)                                                                                           \
        "{\"effect\":\"qmp\",\"args\":{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":7}},\"fd\":\"" fd \
        "\"}"
#define USB(path, ids, fds) \
        "{\"effect\":\"device-open\",\"args\":{\"path\":\"" path "\",\"usb\":\"" ids "\",\"fds\":[" fds "]}}"
#define GRANT(path, uid) "{\"effect\":\"device-grant\",\"args\":{\"path\":\"" path "\",\"uid\":" uid "}}"
#define PAIR \
        "{\"effect\":\"socket-pair\",\"args\":{\"fd\":\"helper:fs0\",\"peer\":\"qemu:fs0\",\"listens\":true}}"
#define SAYS "{\"effect\":\"stderr\",\"args\":{\"fd\":\"stderr:fs0\",\"max\":16384}}"
#define HELPER(argv, more)                                                                                    \
        "{\"effect\":\"helper\",\"args\":{\"id\":\"fs0\",\"argv\":[" argv                                     \
        "],\"fds\":[{\"fd\":3,\"source\":\"helper:fs0\"}],\"stderr\":\"stderr:fs0\",\"uid\":1,\"gid\":1" more \
        "}}"
#define GETPEER \
        "{\"effect\":\"qmp\",\"args\":{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"f\"}},\"fd\":\"qemu:fs0\"}"

static void devices_of_the_host_are_given_as_far_as_a_plan_gives_them(void **state)
{
        static const struct {
                const char *text, *says;
        } cases[] = {
                { STEPS(USB("/dev/bus/usb/001/004", "0951:1625",
                            "\"usb:usbhost0\"") "," ADDFD("usb:usbhost0")),
                  NULL },
                { STEPS(USB("/dev/bus/usb/001/../../sda", "0951:1625", "\"usb:u\"")),
                  "path is no node of a USB device" },
                { STEPS(USB("/dev/bus/usb/1/4", "0951:1625", "\"usb:u\"")),
                  "path is no node of a USB device" },
                { STEPS(USB("/dev/bus/usb/001/004", "0951", "\"usb:u\"")), "usb is no pair of ids" },
                { STEPS(USB("/dev/bus/usb/001/004", "0951:16255", "\"usb:u\"")), "usb is no pair of ids" },
                { STEPS(USB("/dev/bus/usb/001/004", "0951:1625", "\"tap:t1:0\"")), "fds is not one name" },
                { STEPS(USB("/dev/bus/usb/001/004", "0951:1625", "\"usb:a\",\"usb:b\"")),
                  "fds is not one name" },
                { STEPS(USB("/dev/bus/usb/001/004", "0951:1625", "\"usb:u\"")),
                  "no step takes the fd 'usb:u'" },
                { STEPS(DEVICE("/dev/bus/usb/001/004", "\"usb:u\"")), "path is not /dev/vhost-net" },
                { STEPS(GRANT("/dev/vfio/27", "1900000017")), NULL },
                { STEPS(GRANT("/dev/vfio/devices/vfio3", "1900000017")), NULL },
                { STEPS(GRANT("/dev/vfio/devices/../27", "1900000017")),
                  "path is no group or device of vfio" },
                { STEPS(GRANT("/dev/vfio/27", "0")), "uid is not the VM's" },
                { STEPS(GRANT("/dev/vfio/../kmsg", "1900000017")), "path is no group or device of vfio" },
                { STEPS(GRANT("/dev/vfio/vfio", "1900000017")), "path is no group or device of vfio" },
                { STEPS("{\"effect\":\"affinity\",\"args\":{\"vcpus\":{\"0\":\"0-1\",\"3\":\"any\"},\"iothreads\":{}}}"),
                  NULL },
                { STEPS("{\"effect\":\"affinity\",\"args\":{\"vcpus\":{\"0\":\"x\"},\"iothreads\":{}}}"),
                  "vcpus: one is not {NUMBER: CPUS}" },
                { STEPS("{\"effect\":\"affinity\",\"args\":{\"vcpus\":{},\"iothreads\":{\"a\":\"1\"}}}"),
                  "iothreads: one is not {NUMBER: CPUS}" },
                { STEPS("{\"effect\":\"affinity\",\"args\":{\"vcpus\":{}}}"), "iothreads is no object" },
                { STEPS("{\"effect\":\"affinity\",\"args\":{\"vcpus\":{},\"iothreads\":{},\"threads\":{\"1\":\"0\"}}}"),
                  "member 'threads' is unexpected" },
                { STEPS("{\"effect\":\"memory-lock\",\"args\":{\"bytes\":\"1342177280\"}}"), NULL },
                { STEPS("{\"effect\":\"memory-lock\",\"args\":{\"bytes\":\"-1\"}}"), "bytes is no number" },
                { STEPS(PAIR "," SAYS "," HELPER(
                          "\"/bin/d\",\"-f\"",
                          ",\"ids\":65536,\"directory\":\"/srv\",\"directory_fd\":4") "," GETPEER),
                  NULL },
                { STEPS(PAIR "," SAYS "," GETPEER), "the socket for 'fs0' has no helper process" },
                { STEPS(PAIR "," HELPER("\"/bin/d\"", "")), "id is of no process whose socket and messages" },
                { STEPS(SAYS), "fd is of no helper process" },
                { STEPS(PAIR "," SAYS "," HELPER("\"d\"", "")), "argv is no list" },
                { STEPS(PAIR "," SAYS "," HELPER("\"/bin/d\",7", "")), "argv: word 2 is not one line" },
                { STEPS(PAIR "," SAYS "," HELPER("\"/bin/d\"", ",\"directory\":\"srv\"")),
                  "directory is no path" },
                { STEPS(PAIR "," SAYS "," HELPER("\"/bin/d\"", ",\"ids\":-1")),
                  "uid, gid or ids is no number" },
                { STEPS("{\"effect\":\"socket-pair\",\"args\":{\"fd\":\"helper:a\",\"peer\":\"qemu:b\"}}"),
                  "no ends for one helper" },
                { STEPS("{\"effect\":\"stderr\",\"args\":{\"fd\":\"stderr\",\"max\":1}}"),
                  "fd is of no helper process" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *why = refusal(cases[i].text, ROLE_ADMIN, 0, NULL);

                if (!cases[i].says ? why != NULL : !why || !strstr(why, cases[i].says))
                        fail_msg("%s: %s", cases[i].text, why ? why : "accepted");
                /* They are an administrator's. */
                if (!cases[i].says) {
                        free(why);
                        why = refusal(cases[i].text, ROLE_OPERATOR, 0, NULL);
                        assert_non_null(strstr(why, "needs the role admin"));
                }
        }
}

#define MAKE(path, fd, more)                                                                            \
        "{\"effect\":\"image-create\",\"args\":{\"path\":\"" path "\",\"format\":\"raw\",\"size\":512," \
        "\"keep\":false,\"fd\":\"" fd "\"" more "}}"
#define GET(fd)                                                                                              \
        "{\"effect\":\"qmp\",\"args\":{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"i\"}},\"fd\":\"" fd \
        "\"}"
#define MOVE "{\"effect\":\"net\",\"args\":{\"op\":\"bridge-move\",\"ifname\":\"t1\",\"bridge\":\"\"}}"

static void what_is_wrong_is_named_with_its_step(void **state)
{
        static const struct {
                const char *text, *says;
                size_t n_fds;
        } cases[] = {
                { "[]", "fragment is not an object", 0 },
                { "{}", "steps is not an array", 0 },
                { STEPS(""), "steps is not an array", 0 },
                { "{\"steps\":[" LINK("true", "") "],\"more\":1}", "member 'more' is unexpected", 0 },
                { "{\"what\":\"a\\nb\",\"steps\":[" LINK("true", "") "]}", "what is not a line", 0 },
                { STEPS("7"), "step 1: effect is missing", 0 },
                { STEPS("{\"effect\":\"wish\",\"args\":{}}"), "step 1: effect 'wish' is unknown", 0 },
                { STEPS("{\"effect\":\"net\"}"), "step 1: args is not an object", 0 },
                { STEPS(MAKE("/v/overlays/a", "image:a", "") "," GET("image:a")), NULL, 0 },
                { STEPS(MAKE("/v/overlays/a", "image:a", "")), "no step takes the fd 'image:a'", 0 },
                { STEPS(MAKE("v/overlays/a", "image:a", "")), "path or backing is no absolute one", 0 },
                { STEPS(MAKE("/v/a", "image:a", ",\"backing\":\"b\"")), "path or backing is no absolute one",
                  0 },
                { STEPS(MAKE("/v/a", "image:a", ",\"fs\":\"../sh\"")),
                  "format, backing-format or fs is no name", 0 },
                { STEPS(MAKE("/v/a", "tap:t1:0", "")), "fd is no name of an image, or is there twice", 0 },
                { STEPS(MAKE("/v/a", "image:a", "") "," MAKE("/v/b", "image:a", "")),
                  "fd is no name of an image", 0 },
                { STEPS(MAKE("/v/a", "image:a", ",\"own\":true")), "member 'own' is unexpected", 0 },
                { STEPS(MOVE), NULL, 0 },
                { STEPS(TAP "," MARK "," GETFD "," MOVE),
                  "step 4 (net bridge-move): the tap 't1' is made here", 0 },
                { STEPS(TAP "," GETFD), "the tap 't1' gets no group", 0 },
                { STEPS(TAP "," MARK), "no step takes the fd 'tap:t1:0'", 0 },
                { STEPS(MARK), "step 1 (net link-set): no step before it makes the tap", 0 },
                { STEPS(TAP "," TAP), "step 2 (net tap-create): the tap 't1' is made twice", 0 },
                { STEPS(GETFD), "fd names none", 0 },
                { STEPS(LINK("true", "")), "fds names 0 fds, and 1 came", 1 },
                { "{\"fds\":[\"image\"],\"steps\":[" LINK("true", "") "]}", "no step takes the fd 'image'",
                  1 },
                { "{\"fds\":[\"tap:x\"],\"steps\":[" LINK("true", "") "]}", "fds: entry 1 is no name", 1 },
                { STEPS("{\"effect\":\"qmp\",\"args\":{\"execute\":\"set_link\"}}"), "undo is not an array",
                  0 },
                { STEPS(LINK("true", "") "," LINK("true", "{\"execute\":7}")),
                  "step 2 (qmp set_link): undo 1: execute is missing", 0 },
                { STEPS("{\"effect\":\"qmp\",\"args\":{\"execute\":\"device_add\",\"arguments\":{\"id\":\"9\"}}}"),
                  "id is no name", 0 },
                { STEPS("{\"effect\":\"qmp\",\"args\":{\"execute\":\"device_add\",\"arguments\":{\"id\":\"a\"}},"
                        "\"undo\":[]}"),
                  "undo of device_add is known", 0 },
                { STEPS("{\"effect\":\"qmp\",\"args\":{\"execute\":\"closefd\",\"arguments\":{\"fdname\":"
                        "\"client1-x\"}},\"undo\":[]}"),
                  "begins with 'client'", 0 },
                { STEPS("{\"effect\":\"qmp\",\"args\":{\"execute\":\"set_link\"},\"undo\":[],\"await\":{\"event\":"
                        "\"X\"}}"),
                  "either device or id", 0 },
                { STEPS("{\"effect\":\"qmp\",\"args\":{\"execute\":\"set_link\"},\"undo\":[],\"await\":{\"event\":"
                        "\"X\",\"id\":\"a\",\"timeout\":0}}"),
                  "timeout is not between", 0 },
                { STEPS("{\"effect\":\"cgroup-write\",\"args\":{\"path\":\"machine.slice\",\"controller\":null,"
                        "\"file\":\"cpu.weight\",\"value\":\"1\"}}"),
                  "path is not the VM's own group", 0 },
                { STEPS("{\"effect\":\"cgroup-write\",\"args\":{\"path\":\"machine.slice/vmlaunch-web\",\"file\":"
                        "\"cgroup.procs\",\"value\":\"1\"}}"),
                  "file is none of a limit", 0 },
                { STEPS("{\"effect\":\"cgroup-write\",\"args\":{\"path\":\"machine.slice/vmlaunch-web\",\"file\":"
                        "\"cpu.weight/../../x\",\"value\":\"1\"}}"),
                  "file is none of a limit", 0 },
                { "{\"steps\":[" LINK("true", "") "],\"live\":{\"set\":[1]}}",
                  "live: set: entry 1 is no object", 0 },
                { "{\"steps\":[" LINK("true", "") "],\"devices\":{\"set\":[{\"id\":\"a\"}]}}",
                  "devices: set: entry 1: id or kind", 0 },
                { NEW_CARD("\"slot\":{}"), "devices: set: entry 1: a member is not", 0 },
                { NEW_CARD("\"metadata\":[{\"IP\":\"10.0.0.1\"}]"), "devices: set: entry 1: a member is not",
                  0 },
                { NEW_CARD("\"metadata\":\"a\\nb\""), "devices: set: entry 1: a member is not", 0 },
                { NEW_CARD("\"metadata\":{\"IP\":[]}"), "devices: set: entry 1: a member is not", 0 },
                { NEW_CARD("\"metadata\":{\"I\\nP\":\"a\"}"), "devices: set: entry 1: a member is not", 0 },
                { "{\"steps\":[" LINK("true", "") "],\"places\":{\"a\":\"rp4:0x0\",\"/a b\":\"raw:/b c\"}}",
                  NULL, 0 },
                { "{\"steps\":[" LINK("true", "") "],\"places\":{\"a b\":\"rp4:0x0\"}}", "places: a device",
                  0 },
                { "{\"steps\":[" LINK("true", "") "],\"places\":{\"/a\":7}}", "places: a device", 0 },
                { "{\"steps\":[" LINK("true", "") "],\"places\":{\"/a\":\"b\\nc\"}}", "places: a device", 0 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *text = refusal(cases[i].text, ROLE_ADMIN, cases[i].n_fds, NULL);

                if (!text != !cases[i].says || (text && !strstr(text, cases[i].says)))
                        fail_msg("%s: '%s' instead of '%s'", cases[i].text, text ? text : "taken",
                                 cases[i].says ? cases[i].says : "taken");
        }
}

static void a_mark_of_another_run_or_group_is_refused(void **state)
{
        _cleanup_free_ char *alias = refusal(
                STEPS(TAP
                      ",{\"effect\":\"net\",\"args\":{\"op\":\"link-set\",\"ifname\":\"t1\",\"group\":1900000017,"
                      "\"alias\":\"vmlaunch:db:0123456789abcdef\",\"mac\":\"fe:54:00:00:00:01\"}}"),
                ROLE_ADMIN, 0, NULL);
        _cleanup_free_ char *group = refusal(
                STEPS(TAP ",{\"effect\":\"net\",\"args\":{\"op\":\"link-set\",\"ifname\":\"t1\",\"group\":7,"
                          "\"alias\":\"vmlaunch:web:@GENERATION@\",\"mac\":\"fe:54:00:00:00:01\"}}"),
                ROLE_ADMIN, 0, NULL);

        (void)state;
        assert_non_null(strstr(alias, "alias is not this run's"));
        assert_non_null(strstr(group, "group is not this VM's"));
}

static void only_so_many_steps_are_taken(void **state)
{
        _cleanup_text_ struct text many = TEXT_INIT;
        _cleanup_free_ char *text = NULL;

        (void)state;
        text_add(&many, "{\"steps\":[");
        for (int i = 0; i <= FRAGMENT_STEPS; i++)
                text_addf(&many, "%s%s", i ? "," : "", LINK("true", ""));
        text_add(&many, "]}");
        text = refusal(text_str(&many), ROLE_ADMIN, 0, NULL);
        assert_non_null(strstr(text, "steps is not an array of 1 to 64"));
}

#define UNIT_SET(unit, group, properties)                                                   \
        STEPS("{\"effect\":\"unit-set\",\"args\":{\"unit\":\"" unit "\",\"group\":\"" group \
              "\",\"properties\":" properties "}}")
#define PROPERTY(name, type, value) "{\"name\":\"" name "\",\"type\":\"" type "\",\"value\":\"" value "\"}"
#define OWN_UNIT                    "vmlaunch@web.service"
#define OWN_GROUP                   "machine.slice/vmlaunch@web.service"

static void limits_of_the_vms_own_unit_are_taken_and_nothing_else_of_it(void **state)
{
        static const struct {
                const char *text, *says;
        } cases[] = {
                { UNIT_SET(OWN_UNIT, OWN_GROUP, "[" PROPERTY("TasksMax", "t", "200") "]"), NULL },
                { UNIT_SET("ssh.service", OWN_GROUP, "[]"), "unit and group are not the VM's own" },
                { UNIT_SET(OWN_UNIT, "system.slice", "[]"), "unit and group are not the VM's own" },
                { UNIT_SET(OWN_UNIT, OWN_GROUP, "{}"), "properties is not an array" },
                { UNIT_SET(OWN_UNIT, OWN_GROUP, "[" PROPERTY("ExecStart", "t", "1") "]"),
                  "property 1 is none of a limit" },
                { UNIT_SET(OWN_UNIT, OWN_GROUP, "[" PROPERTY("TasksMax", "s", "200") "]"),
                  "property 1 is none of a limit" },
                { UNIT_SET(OWN_UNIT, OWN_GROUP, "[" PROPERTY("TasksMax", "t", "-1") "]"),
                  "property 1 is none of a limit" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(fragment_freep) struct fragment *fragment = NULL;
                json_auto_t *json = json_loads(cases[i].text, 0, NULL);
                _cleanup_error_ struct error *err = NULL;
                int status = fragment_read(json, &unit_vm, ROLE_ADMIN, 0, &fragment, &err);

                assert_int_equal(status, cases[i].says ? -1 : 0);
                if (cases[i].says && !strstr(err->message, cases[i].says)) {
                        _cleanup_free_ char *text = error_text(err);

                        if (!strstr(text, cases[i].says))
                                fail_msg("%s: %s", cases[i].text, text);
                }
        }
        /* A VM without a unit has none to set. */
        {
                _cleanup_free_ char *why = refusal(cases[0].text, ROLE_ADMIN, 0, NULL);

                assert_non_null(strstr(why, "unit and group are not the VM's own"));
        }
}

static void operators_send_none(void **state)
{
        static const char *const refused[] = {
                STEPS(TAP "," MARK "," GETFD),
                STEPS(LINK("false", LINK_UNDO)),
                STEPS(LINK("false", "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"nic0\"}}")),
                STEPS("{\"effect\":\"cgroup-write\",\"args\":{\"path\":\"machine.slice/vmlaunch-web\",\"file\":"
                      "\"cpu.weight\",\"value\":\"1\"}}"),
                "{\"steps\":[" LINK("true", "") "],\"live\":{\"set\":[]}}",
        };
        enum error_code code = 0;

        (void)state;
        assert_null(refusal(STEPS(LINK("false", LINK_UNDO)), ROLE_ADMIN, 0, NULL));
        for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
                _cleanup_free_ char *text = refusal(refused[i], ROLE_OPERATOR, 0, &code);

                assert_non_null(text);
                assert_int_equal(code, ERROR_NOT_PERMITTED);
        }
}

static void effects_and_commands_without_a_row_are_nobodys(void **state)
{
        static const char *const refused[] = {
                STEPS("{\"effect\":\"file-open\",\"args\":{\"path\":\"/etc/shadow\"}}"),
                STEPS("{\"effect\":\"spawn\",\"args\":{}}"),
                STEPS("{\"effect\":\"qmp\",\"args\":{\"execute\":\"quit\"},\"undo\":[]}"),
                STEPS("{\"effect\":\"qmp\",\"args\":{\"execute\":\"human-monitor-command\"},\"undo\":[]}"),
        };
        enum error_code code = 0;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
                _cleanup_free_ char *text = refusal(refused[i], ROLE_ADMIN, 0, &code);

                assert_non_null(text);
                assert_int_equal(code, ERROR_NOT_PERMITTED);
        }
}

static void each_command_has_a_deadline_and_what_it_creates_an_undo(void **state)
{
        const struct fragment_command *row;

        (void)state;
        for (size_t i = 0; (row = fragment_command_at(i)); i++) {
                const struct fragment_command *undo = row->undo ? fragment_command_find(row->undo) : NULL;

                assert_non_null(control_command_find(row->name));
                assert_int_equal(row->role, ROLE_ADMIN);
                assert_int_equal(row->action == ACTION_CREATE, undo != NULL);
                if (undo) {
                        assert_int_equal(undo->action, ACTION_REMOVE);
                        assert_int_equal(undo->object, row->object);
                        assert_string_equal(undo->id, row->id);
                }
        }
}

static void devices_are_replaced_added_and_removed_by_id(void **state)
{
        json_auto_t *devices = json_loads("[{\"id\":\"a\",\"n\":1},{\"id\":\"b\",\"n\":1}]", 0, NULL);
        json_auto_t *changes = json_loads(
                "{\"remove\":[\"a\",\"x\"],\"set\":[{\"id\":\"b\",\"n\":2},{\"id\":\"c\",\"n\":2}]}", 0,
                NULL);
        json_auto_t *want = json_loads("[{\"id\":\"b\",\"n\":2},{\"id\":\"c\",\"n\":2}]", 0, NULL);
        json_auto_t *got = fragment_devices(devices, changes);

        (void)state;
        assert_true(json_equal(got, want));
        assert_int_equal(json_array_size(devices), 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_tap_with_its_fd_is_taken_and_placeholders_are_filled_in),
                cmocka_unit_test(vhost_is_opened_for_the_queues_of_a_tap_and_nothing_else_is),
                cmocka_unit_test(devices_of_the_host_are_given_as_far_as_a_plan_gives_them),
                cmocka_unit_test(what_is_wrong_is_named_with_its_step),
                cmocka_unit_test(a_mark_of_another_run_or_group_is_refused),
                cmocka_unit_test(only_so_many_steps_are_taken),
                cmocka_unit_test(limits_of_the_vms_own_unit_are_taken_and_nothing_else_of_it),
                cmocka_unit_test(operators_send_none),
                cmocka_unit_test(effects_and_commands_without_a_row_are_nobodys),
                cmocka_unit_test(each_command_has_a_deadline_and_what_it_creates_an_undo),
                cmocka_unit_test(devices_are_replaced_added_and_removed_by_id),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
