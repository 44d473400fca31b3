/* What verbs print: tables, TSV, errors; the console's relay; what wait waits for. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "launcher/live/guest_address.h"
#include "launcher/verb/output.h"
#include "launcher/verb/relay.h"
#include "launcher/verb/wait_goal.h"

static struct table *two_vms(void)
{
        static const char *const headers[] = { "NAME", "STATE", "PID" };
        struct table *table = table_new(headers, 3);

        table_row(table, (const char *[]){ "a-long-name", "running", "12" });
        table_row(table, (const char *[]){ "b", "stopped (asked)", NULL });
        return table;
}

static void table_is_aligned_and_has_no_blanks_at_line_ends(void **state)
{
        _cleanup_(table_freep) struct table *table = two_vms();
        _cleanup_free_ char *text = table_text(table, OUTPUT_TABLE);

        (void)state;
        assert_string_equal(text, "NAME         STATE            PID\n"
                                  "a-long-name  running          12\n"
                                  "b            stopped (asked)  -\n");
}

static void tsv_has_one_tab_between_cells(void **state)
{
        _cleanup_(table_freep) struct table *table = two_vms();
        _cleanup_free_ char *text = table_text(table, OUTPUT_TSV);

        (void)state;
        assert_string_equal(text, "NAME\tSTATE\tPID\na-long-name\trunning\t12\nb\tstopped (asked)\t-\n");
}

static void control_characters_cannot_break_a_row(void **state)
{
        static const char *const headers[] = { "A", "B" };
        _cleanup_(table_freep) struct table *table = table_new(headers, 2);
        _cleanup_free_ char *text = NULL;

        (void)state;
        table_row(table, (const char *[]){ "x\ty", "\033[2J\n" });
        text = table_text(table, OUTPUT_TSV);
        assert_null(strchr(text, '\033'));
        /* One row is left: its one tab and its newline are ours. */
        assert_ptr_equal(strrchr(text, '\n'), text + strlen(text) - 1);
        assert_null(strchr(strchr(text + strlen("A\tB\n"), '\t') + 1, '\t'));
}

static void object_as_tsv_has_a_line_for_each_plain_member(void **state)
{
        json_auto_t *object = json_pack("{s:i, s:s, s:n, s:b, s:[], s:{}, s:s}", "schema", 1, "name", "web",
                                        "pid", "frozen", 0, "devices", "limits", "reason", "");
        _cleanup_free_ char *text = object_to_tsv(object);

        (void)state;
        assert_string_equal(text, "schema\t1\nname\tweb\npid\t-\nfrozen\tfalse\nreason\t-\n");
}

static void errors_are_lines_or_one_document(void **state)
{
        _cleanup_error_ struct error *error = NULL;
        struct error *second = NULL;
        struct verb_context context = { 0 };
        _cleanup_free_ char *text = NULL, *json_text = NULL;
        json_auto_t *json = NULL;
        struct source_pos pos = { .file = "web.tmpl", .line = 3, .column = 7 };
        const char *file = NULL, *code = NULL, *hint = NULL;
        int line = 0, status = 0;

        (void)state;
        error_at(&error, &pos, "MEMORY: wrong");
        error_set(&second, ERROR_BUSY, "in use");
        error_hint(&second, "wait");
        error_append(&error, second);
        text = errors_text(error, &context);
        assert_string_equal(text, "vmlaunch: web.tmpl:3:7: MEMORY: wrong\nvmlaunch: in use\n  wait\n");
        context.output = OUTPUT_JSON;
        json_text = errors_text(error, &context);
        json = json_loads(json_text, 0, NULL);
        assert_int_equal(json_unpack(json, "{s:[{s:s, s:i}, {s:s, s:s, s:i}]}", "errors", "file", &file,
                                     "line", &line, "code", &code, "hint", &hint, "exit_status", &status),
                         0);
        assert_string_equal(file, "web.tmpl");
        assert_int_equal(line, 3);
        assert_string_equal(code, "busy");
        assert_string_equal(hint, "wait");
        assert_int_equal(status, 9);
}

static void warnings_of_json_wait_for_the_document(void **state)
{
        _cleanup_error_ struct error *warning = NULL;
        struct verb_context context = { .output = OUTPUT_JSON };

        (void)state;
        error_set(&warning, ERROR_INVALID, "no effect");
        output_warnings(warning, &context);
        assert_int_equal(json_array_size(context.warnings), 1);
        assert_null(json_object_get(json_array_get(context.warnings, 0), "exit_status"));
        json_decref(context.warnings);
        context = (struct verb_context){ .output = OUTPUT_JSON, .quiet = true };
        output_warnings(warning, &context);
        assert_null(context.warnings);
}

static void relay_gives_out_what_was_put_in(void **state)
{
        _cleanup_relay_ struct relay relay = { .says_drops = true };
        char buffer[16] = "";
        int fds[2];

        (void)state;
        assert_int_equal(pipe(fds), 0);
        relay_put(&relay, "hello ", 6);
        relay_put(&relay, "guest", 5);
        assert_int_equal(relay_write(&relay, fds[1]), 0);
        assert_int_equal(relay.length, 0);
        assert_int_equal(read(fds[0], buffer, sizeof(buffer) - 1), 11);
        assert_string_equal(buffer, "hello guest");
        close(fds[0]);
        close(fds[1]);
}

static void full_relay_drops_and_says_how_much(void **state)
{
        _cleanup_relay_ struct relay relay = { .says_drops = true };
        _cleanup_free_ char *block = xcalloc(1, RELAY_MAX);

        (void)state;
        relay_put(&relay, block, RELAY_MAX - 10);
        assert_int_equal(relay_room(&relay), 10);
        relay_put(&relay, block, 30);
        assert_int_equal(relay.length, RELAY_MAX);
        assert_int_equal(relay.dropped, 20);
        /* A little room is no end of the gap. */
        relay.start += 100;
        relay.length -= 100;
        relay_put(&relay, block, 7);
        assert_int_equal(relay.dropped, 27);
        relay.start += RELAY_MAX / 2;
        relay.length -= RELAY_MAX / 2;
        relay_put(&relay, "on", 2);
        assert_int_equal(relay.dropped, 0);
        assert_non_null(memmem(relay.bytes, relay.length, "[vmlaunch: 27 bytes", 19));
        assert_memory_equal(relay.bytes + relay.length - 2, "on", 2);
}

static void relay_never_waits_for_a_reader(void **state)
{
        _cleanup_relay_ struct relay relay = { 0 };
        _cleanup_free_ char *block = xcalloc(1, RELAY_MAX);
        int fds[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        relay_put(&relay, block, RELAY_MAX);
        assert_int_equal(relay_write(&relay, fds[1]), 0);
        assert_true(relay.length > 0 && relay.length < RELAY_MAX);
        close(fds[0]);
        assert_int_equal(relay_write(&relay, fds[1]), -1);
        close(fds[1]);
}

static void what_wait_waits_for_is_told_by_state_or_agent(void **state)
{
        static const struct {
                const char *goal, *state, *agent;
                bool reached;
        } rows[] = {
                { "started", "starting", "absent", false }, { "started", "running", "absent", true },
                { "started", "paused", NULL, true },        { "started", "stopping", NULL, false },
                { "paused", "running", NULL, false },       { "paused", "paused", NULL, true },
                { "agent", "running", "silent", false },    { "agent", "running", "answering", true },
                { "agent", "running", NULL, false },        { "stopped", "stopped", NULL, true },
                { "stopped", "stopping", NULL, false },     { "stopped", NULL, NULL, false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct wait_goal goal = { 0 };
                struct error *err = NULL;

                assert_int_equal(wait_goal_read(rows[i].goal, &goal, &err), 0);
                assert_int_equal(wait_goal_is_state(goal.kind, rows[i].state, rows[i].agent),
                                 rows[i].reached);
        }
}

static void what_wait_does_not_know_is_refused_with_what_it_does(void **state)
{
        static const char *const wrong[] = { "",      "run",       "agent:",     "started:x", "port",
                                             "port:", "port:0",    "port:70000", "port:ssh",  "job",
                                             "job:",  "unplugged", "unplugged:", NULL };
        struct wait_goal goal = { 0 };
        struct error *err = NULL;

        (void)state;
        for (size_t i = 0; wrong[i]; i++) {
                assert_int_equal(wait_goal_read(wrong[i], &goal, &err), -1);
                assert_int_equal(err->code, ERROR_USAGE);
                error_free(TAKE_PTR(err));
        }
        assert_int_equal(wait_goal_read("port:22", &goal, &err), 0);
        assert_int_equal(goal.port, 22);
        assert_int_equal(wait_goal_read("job:a:b", &goal, &err), 0);
        assert_string_equal(goal.argument, "a:b");
}

static void addresses_of_a_guest_are_those_that_others_can_use(void **state)
{
        json_auto_t *interfaces = json_loads(
                "[{\"name\": \"lo\", \"ip-addresses\": [{\"ip-address\": \"127.0.0.1\"}, {\"ip-address\": \"::1\"}]},"
                " {\"ip-addresses\": [{\"ip-address\": \"169.254.1.2\"}, {\"ip-address\": \"fe80::1\"},"
                "  {\"ip-address\": \"10.0.0.7; rm\"}, {\"ip-address\": 7}, {\"ip-address\": \"::ffff:127.0.0.1\"},"
                "  {\"ip-address\": \"0.0.0.0\"}, {\"ip-address\": \"224.0.0.1\"},"
                "  {\"ip-address\": \"10.0.0.7\"}, {\"ip-address\": \"2001:DB8::7\"}]}, 7, {\"ip-addresses\": 1}]",
                0, NULL);
        json_auto_t *devices = json_loads(
                "[{\"id\": \"disk0\"}, {\"id\": \"nic0\", \"metadata\": {\"IP\": \"10.1.1.1\", \"MAC\": \"x\"}}]",
                0, NULL);
        json_auto_t *told = guest_addresses_read(interfaces), *planned = guest_addresses_planned(devices);

        (void)state;
        assert_int_equal(json_array_size(told), 2);
        assert_string_equal(json_string_value(json_array_get(told, 0)), "10.0.0.7");
        assert_string_equal(json_string_value(json_array_get(told, 1)), "2001:db8::7");
        assert_int_equal(json_array_size(planned), 1);
        assert_string_equal(json_string_value(json_array_get(planned, 0)), "10.1.1.1");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(table_is_aligned_and_has_no_blanks_at_line_ends),
                cmocka_unit_test(tsv_has_one_tab_between_cells),
                cmocka_unit_test(control_characters_cannot_break_a_row),
                cmocka_unit_test(object_as_tsv_has_a_line_for_each_plain_member),
                cmocka_unit_test(errors_are_lines_or_one_document),
                cmocka_unit_test(warnings_of_json_wait_for_the_document),
                cmocka_unit_test(relay_gives_out_what_was_put_in),
                cmocka_unit_test(full_relay_drops_and_says_how_much),
                cmocka_unit_test(relay_never_waits_for_a_reader),
                cmocka_unit_test(what_wait_waits_for_is_told_by_state_or_agent),
                cmocka_unit_test(what_wait_does_not_know_is_refused_with_what_it_does),
                cmocka_unit_test(addresses_of_a_guest_are_those_that_others_can_use),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
