/* What QEMU says of itself, read. */
#include "qmp/qmp_client.h"

#include "qmp/ops_machine.h"
#include "tests/unit/peer.h"

static void run_states_have_names_and_unknown_ones_are_said(void **state)
{
        enum run_state run_state;
        struct error *error = NULL;
        json_t *reply = json_pack("{s:s}", "status", "levitating"), *bad = json_pack("{s:i}", "status", 1);

        (void)state;
        assert_int_equal(ops_status_read(reply, &run_state, &error), 0);
        assert_int_equal(run_state, RUN_STATE_UNKNOWN);
        assert_int_equal(ops_status_read(bad, &run_state, &error), -1);
        error_free(error);
        for (int i = RUN_STATE_UNKNOWN; i <= RUN_STATE_WATCHDOG; i++)
                assert_non_null(run_state_name((enum run_state)i));
        json_decref(reply);
        json_decref(bad);
}

static void a_pseudo_terminal_is_one_and_nothing_else(void **state)
{
        static const struct {
                const char *filename, *pty;
        } cases[] = {
                { "pty:/dev/pts/3", "/dev/pts/3" },
                { "pty:/dev/pts/1048575", "/dev/pts/1048575" },
                { "pty:/dev/sda", NULL },
                { "pty:/dev/pts/", NULL },
                { "pty:/dev/pts/../sda", NULL },
                { "pty:/dev/pts/3/../../sda", NULL },
                { "pty:/dev/pts/33333333333333333333333333333333", NULL },
                { "unix:/x", NULL },
                { "", NULL },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                json_auto_t *chardev = json_pack("{s:s}", "filename", cases[i].filename);
                const char *pty = ops_pty_read(chardev);

                if (cases[i].pty)
                        assert_string_equal(pty, cases[i].pty);
                else
                        assert_null(pty);
        }
        assert_null(ops_pty_read(NULL));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_pseudo_terminal_is_one_and_nothing_else),
                cmocka_unit_test(run_states_have_names_and_unknown_ones_are_said),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
