/* How a VM's helper process (swtpm, virtiofsd) is ended. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/fd.h"
#include "launcher/run/confine.h"
#include "launcher/run/effects.h"

static char *program;

static bool ignores_sigterm(pid_t pid)
{
        _cleanup_free_ char *path = xasprintf("/proc/%d/status", (int)pid), *text = NULL;
        struct error *err = NULL;
        const char *line;

        assert_int_equal(fd_read_file_at(AT_FDCWD, path, 65536, &text, NULL, &err), 0);
        line = strstr(text, "\nSigIgn:");
        assert_non_null(line);
        return strtoull(line + strlen("\nSigIgn:"), NULL, 16) >> (SIGTERM - 1) & 1;
}

static json_t *learned_of(pid_t pid)
{
        return json_pack("{s:i, s:I, s:i}", "pid", (int)pid, "start", (json_int_t)process_start_time(pid),
                         "uid", (int)getuid());
}

/* swtpm that QEMU has never initialised sees its sockets closed and stays: it is asked at once, not waited for. */
static void helper_that_does_not_end_by_itself_is_asked_to(void **state)
{
        struct effect_undo undo = { .vm_dirfd = -1, .run_dirfd = -1, .holds_journal = true };
        json_auto_t *args = json_pack("{s:[s]}", "argv", program), *learned = NULL;
        struct error *err = NULL;
        pid_t pid = fork();
        int status = 0;

        (void)state;
        assert_true(pid >= 0);
        if (pid == 0) {
                /* By itself it would end later, and that is what its status would say. */
                alarm(1);
                pause();
                _exit(1);
        }
        learned = learned_of(pid);
        assert_int_equal(helper_undo(&undo, args, learned, &err), 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGTERM);
        /* And again: it is gone. */
        assert_int_equal(helper_undo(&undo, args, learned, &err), 0);
}

static void many_that_do_not_listen_are_not_waited_for_one_by_one(void **state)
{
        struct effect_undo undo = { .vm_dirfd = -1, .run_dirfd = -1, .holds_journal = true };
        json_auto_t *args = json_pack("{s:[s]}", "argv", program);
        long long begin = fd_now_ms();
        struct error *err = NULL;
        pid_t pids[8];

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
                pids[i] = fork();
                assert_true(pids[i] >= 0);
                if (pids[i] == 0) {
                        signal(SIGTERM, SIG_IGN);
                        alarm(60);
                        for (;;)
                                pause();
                }
                /* Not before it does not listen. */
                while (!ignores_sigterm(pids[i]))
                        usleep(1000);
        }
        for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
                json_auto_t *learned = learned_of(pids[i]);
                int status = 0;

                assert_int_equal(helper_undo(&undo, args, learned, &err), 1);
                assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
                assert_true(WIFSIGNALED(status));
                assert_int_equal(WTERMSIG(status), SIGKILL);
        }
        /* 2 s each were 16. */
        assert_in_range(fd_now_ms() - begin, 2000, 12000);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(helper_that_does_not_end_by_itself_is_asked_to),
                cmocka_unit_test(many_that_do_not_listen_are_not_waited_for_one_by_one),
        };

        (void)argc;
        program = argv[0];
        return cmocka_run_group_tests(tests, NULL, NULL);
}
