#include "conf/agent_allow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static enum agent_verdict judge(const char *list, const char *command)
{
        const char *instead = NULL;
        enum agent_verdict verdict = agent_allow_judge(list, command, &instead);

        assert_true((verdict == AGENT_NEVER) == (instead != NULL));
        return verdict;
}

static void what_only_looks_is_allowed_without_being_named(void **state)
{
        static const char *const harmless[] = { "guest-ping",           "guest-info",
                                                "guest-get-osinfo",     "guest-network-get-interfaces",
                                                "guest-fstrim",         "guest-set-time",
                                                "guest-fsfreeze-status" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(harmless); i++)
                assert_int_equal(judge(NULL, harmless[i]), AGENT_MAY);
}

static void programs_files_passwords_and_keys_are_not(void **state)
{
        static const char *const powerful[] = { "guest-exec",
                                                "guest-exec-status",
                                                "guest-file-open",
                                                "guest-file-read",
                                                "guest-file-write",
                                                "guest-set-user-password",
                                                "guest-ssh-add-authorized-keys",
                                                "guest-ssh-get-authorized-keys",
                                                "guest-of-the-future",
                                                "rm",
                                                "" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(powerful); i++) {
                assert_int_equal(judge(NULL, powerful[i]), AGENT_NOT_LISTED);
                assert_int_equal(judge("", powerful[i]), AGENT_NOT_LISTED);
        }
}

static void the_list_allows_what_it_names_and_what_begins_so(void **state)
{
        const char *list = "guest-exec, guest-file-*\tguest-ssh-add-authorized-keys";

        (void)state;
        assert_int_equal(judge(list, "guest-exec"), AGENT_MAY);
        assert_int_equal(judge(list, "guest-exec-status"), AGENT_NOT_LISTED);
        assert_int_equal(judge(list, "guest-file-open"), AGENT_MAY);
        assert_int_equal(judge(list, "guest-file"), AGENT_NOT_LISTED);
        assert_int_equal(judge(list, "guest-ssh-add-authorized-keys"), AGENT_MAY);
        assert_int_equal(judge(list, "guest-set-user-password"), AGENT_NOT_LISTED);
        assert_int_equal(judge("guest-*", "guest-set-user-password"), AGENT_MAY);
}

static void what_the_supervisor_does_itself_no_list_allows(void **state)
{
        (void)state;
        assert_int_equal(judge("guest-*", "guest-fsfreeze-freeze"), AGENT_NEVER);
        assert_int_equal(judge("guest-*", "guest-fsfreeze-thaw"), AGENT_NEVER);
        assert_int_equal(judge("guest-shutdown", "guest-shutdown"), AGENT_NEVER);
        assert_int_equal(judge("guest-*", "guest-sync-delimited"), AGENT_NEVER);
}

static void a_word_that_can_match_no_command_is_found(void **state)
{
        static const struct {
                const char *list, *bad;
        } rows[] = {
                { "", NULL },
                { "guest-exec guest-file-*, guest-*", NULL },
                { "guest-exec exec", "exec" },
                { "*", "*" },
                { "guest-*-open", "guest-*-open" },
                { "Guest-exec", "Guest-exec" },
                { "guest-exec;guest-ping", "guest-exec;guest-ping" },
                { "guest-file-**", "guest-file-**" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *bad = agent_allow_bad_word(rows[i].list);

                assert_true(!bad == !rows[i].bad);
                if (bad)
                        assert_string_equal(bad, rows[i].bad);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_only_looks_is_allowed_without_being_named),
                cmocka_unit_test(programs_files_passwords_and_keys_are_not),
                cmocka_unit_test(the_list_allows_what_it_names_and_what_begins_so),
                cmocka_unit_test(what_the_supervisor_does_itself_no_list_allows),
                cmocka_unit_test(a_word_that_can_match_no_command_is_found),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
