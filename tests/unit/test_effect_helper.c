/* How a VM's helper process (swtpm, virtiofsd) is ended. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "launcher/run/confine.h"
#include "launcher/run/effects.h"

static char *program;

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
        learned = json_pack("{s:i, s:I, s:i}", "pid", (int)pid, "start", (json_int_t)process_start_time(pid),
                            "uid", (int)getuid());
        assert_int_equal(helper_undo(&undo, args, learned, &err), 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGTERM);
        /* And again: it is gone. */
        assert_int_equal(helper_undo(&undo, args, learned, &err), 0);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(helper_that_does_not_end_by_itself_is_asked_to),
        };

        (void)argc;
        program = argv[0];
        return cmocka_run_group_tests(tests, NULL, NULL);
}
