/* Logs of serial ports: what QEMU does with them meanwhile does not matter. */
#include "tests/unit/scratch.h"

#include "base/text.h"
#include "launcher/run/supervisor_parts.h"

#define LOG_SIZE (2 << 20)

/* QEMU can make the file as large as it likes, at any time. */
static void a_log_that_grows_while_it_is_copied_fills_no_disk(void **state)
{
        const struct fixture *f = *state;
        _cleanup_free_ char *path = xasprintf("%s/web.log", f->path), *kept = xasprintf("%s.1", path);
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct stat st;

        assert_int_equal(pwrite(fd, "old", 3, LOG_SIZE - 3), 3);
        assert_int_equal(ftruncate(fd, 16 * LOG_SIZE), 0);
        assert_int_equal(logs_copy_aside(path, fd, LOG_SIZE), 0);
        assert_int_equal(stat(kept, &st), 0);
        assert_int_equal(st.st_size, LOG_SIZE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_log_that_grows_while_it_is_copied_fills_no_disk, set_up,
                                                tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
