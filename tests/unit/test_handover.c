#include "launcher/run/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "tests/unit/peer.h"

static int null_fd(void)
{
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

static bool is_open(int fd)
{
        return fcntl(fd, F_GETFD) >= 0;
}

static void what_is_written_is_read_with_its_fds(void **state)
{
        _cleanup_handover_ struct handover written = { 0 }, read = { 0 };
        _cleanup_error_ struct error *err = NULL;
        _cleanup_close_ int taken = null_fd(), untaken = null_fd();
        _cleanup_free_ char *bytes = NULL;
        int fd, found = -1;
        size_t n;

        (void)state;
        handover_init(&written);
        json_object_set_new(written.document, "a", handover_give_fd(&written, taken));
        json_object_set_new(written.document, "b", handover_give_fd(&written, untaken));
        json_object_set_new(written.document, "c", handover_bytes("\xff\0x", 3));
        json_object_set_new(written.document, "none", json_null());
        json_object_set_new(written.document, "somebody's", json_string("ignored"));
        assert_int_equal(handover_write(&written, &fd, &err), 0);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        handover_keep_fds(&written, true);
        assert_int_equal(fcntl(fd, F_GETFD), 0);
        assert_int_equal(fcntl(taken, F_GETFD), 0);
        handover_keep_fds(&written, false);
        assert_int_equal(fcntl(taken, F_GETFD), FD_CLOEXEC);
        handover_keep_fds(&written, true);

        assert_int_equal(handover_read(fd, &read, &err), 0);
        assert_int_equal(fcntl(taken, F_GETFD), FD_CLOEXEC);
        assert_int_equal(handover_take_fd(&read, read.document, "a", &found, &err), 0);
        assert_int_equal(found, taken);
        assert_int_equal(handover_take_fd_if(&read, read.document, "none", &found, &err), 0);
        assert_int_equal(found, -1);
        assert_int_equal(handover_take_bytes(read.document, "c", 3, &bytes, &n, &err), 0);
        assert_memory_equal(bytes, "\xff\0x", 3);
        close(fd);
        /* What nobody has taken is closed. */
        handover_done(&read);
        assert_true(is_open(taken));
        assert_false(is_open(untaken));
        untaken = -1;
}

static void an_fd_is_taken_once_and_only_if_it_was_given(void **state)
{
        _cleanup_handover_ struct handover handover = { 0 };
        _cleanup_close_ int fd = null_fd();
        _cleanup_free_ char *text =
                xasprintf("{\"format\":1,\"fds\":[%d],\"a\":%d,\"b\":\"%d\",\"c\":2}", fd, fd, fd);
        static const char *const members[] = { "a", "b", "c", "d" };
        struct error *err = NULL;
        int found;

        (void)state;
        assert_int_equal(handover_parse(text, strlen(text), &handover, &err), 0);
        assert_int_equal(handover_take_fd(&handover, handover.document, "a", &found, &err), 0);
        for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
                assert_int_equal(handover_take_fd(&handover, handover.document, members[i], &found, &err),
                                 -1);
                assert_int_equal(err->code, ERROR_FAILED);
                error_free(TAKE_PTR(err));
        }
}

static void a_document_that_is_wrong_is_refused(void **state)
{
        static const char *const wrong[] = {
                "",
                "[]",
                "{}",
                "{\"format\":1}",
                "{\"format\":0,\"fds\":[]}",
                "{\"format\":2,\"fds\":[]}",
                "{\"format\":\"1\",\"fds\":[]}",
                "{\"format\":1,\"fds\":{}}",
                "{\"format\":1,\"fds\":[2]}",
                "{\"format\":1,\"fds\":[-1]}",
                "{\"format\":1,\"fds\":[1000000]}",
                "{\"format\":1,\"fds\":[4294967299]}",
                "{\"format\":1,\"fds\":[\"5\"]}",
                "{\"format\":1,\"format\":1,\"fds\":[]}",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                struct handover handover;
                struct error *err = NULL;

                assert_int_equal(handover_parse(wrong[i], strlen(wrong[i]), &handover, &err), -1);
                assert_int_equal(err->code, ERROR_FAILED);
                error_free(err);
        }
}

static void an_fd_named_twice_is_refused_and_closed(void **state)
{
        int fd = null_fd();
        _cleanup_free_ char *text = xasprintf("{\"format\":1,\"fds\":[%d,%d]}", fd, fd);
        struct handover handover;
        struct error *err = NULL;

        (void)state;
        assert_int_equal(handover_parse(text, strlen(text), &handover, &err), -1);
        assert_false(is_open(fd));
        error_free(err);
}

static void a_document_cut_at_any_byte_is_refused(void **state)
{
        static const char whole[] =
                "{\"format\":1,\"version\":\"0.1.0\",\"fds\":[],\"record\":{\"a\":[1,2]}}";

        (void)state;
        for (size_t n = 0; n < sizeof(whole) - 1; n++) {
                struct handover handover;
                struct error *err = NULL;

                assert_int_equal(handover_parse(whole, n, &handover, &err), -1);
                error_free(err);
        }
}

static void only_a_sealed_memory_file_is_read(void **state)
{
        static const char text[] = "{\"format\":1,\"fds\":[]}";
        _cleanup_close_ int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING), file = null_fd();
        struct handover handover;
        struct error *err = NULL;

        (void)state;
        assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
        assert_int_equal(handover_read(file, &handover, &err), -1);
        error_free(TAKE_PTR(err));
        assert_int_equal(handover_read(fd, &handover, &err), -1);
        assert_non_null(strstr(err->message, "sealed"));
        error_free(TAKE_PTR(err));
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK), 0);
        assert_int_equal(handover_read(fd, &handover, &err), 0);
        handover_done(&handover);
}

static void members_have_their_types_and_ranges(void **state)
{
        json_auto_t *json =
                json_loads("{\"i\":5,\"b\":true,\"s\":\"x\",\"h\":\"7b7\",\"hh\":\"7b7d\"}", 0, NULL);
        _cleanup_free_ char *bytes = NULL;
        struct error *err = NULL;
        json_int_t number = 0;
        const char *string;
        bool flag = false;
        size_t n;

        (void)state;
        assert_int_equal(handover_integer(json, "i", 0, 5, &number, &err), 0);
        assert_int_equal(number, 5);
        assert_int_equal(handover_bool(json, "b", &flag, &err), 0);
        assert_true(flag);
        assert_int_equal(handover_string(json, "s", &string, &err), 0);
        assert_int_equal(handover_take_bytes(json, "hh", 2, &bytes, &n, &err), 0);
#define REFUSED(call)                                      \
        do {                                               \
                assert_int_equal(call, -1);                \
                assert_int_equal(err->code, ERROR_FAILED); \
                error_free(TAKE_PTR(err));                 \
        } while (0)
        REFUSED(handover_integer(json, "i", 0, 4, &number, &err));
        REFUSED(handover_integer(json, "i", 6, 9, &number, &err));
        REFUSED(handover_integer(json, "s", 0, 9, &number, &err));
        REFUSED(handover_integer(NULL, "i", 0, 9, &number, &err));
        REFUSED(handover_bool(json, "i", &flag, &err));
        REFUSED(handover_string(json, "b", &string, &err));
        REFUSED(handover_take_bytes(json, "h", 9, &bytes, &n, &err));
        REFUSED(handover_take_bytes(json, "hh", 1, &bytes, &n, &err));
        REFUSED(handover_take_bytes(json, "i", 9, &bytes, &n, &err));
}

static void our_own_word_is_understood(void **state)
{
        _cleanup_free_ char *word = handover_word(), *version = NULL;
        _cleanup_error_ struct error *err = NULL;

        (void)state;
        assert_int_equal(handover_hear_word(word, &version, &err), 0);
        assert_string_equal(version, VMLAUNCH_VERSION);
}

static void other_words_are_not(void **state)
{
        static const char *const wrong[] = {
                "",
                "vmlaunch 0.1.0\n",
                "{}",
                "{\"vmlaunch\":\"9\"}",
                "{\"vmlaunch\":\"9\",\"handover\":{\"oldest\":1}}",
                "{\"vmlaunch\":9,\"handover\":{\"oldest\":1,\"newest\":1}}",
                "{\"vmlaunch\":\"9\",\"handover\":{\"oldest\":2,\"newest\":9}}",
                "{\"vmlaunch\":\"9\",\"handover\":{\"oldest\":0,\"newest\":0}}",
                ("{\"vmlaunch\":\"0123456789012345678901234567890123456789012345678901234567890123456789\","
                 "\"handover\":{\"oldest\":1,\"newest\":1}}"),
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                _cleanup_error_ struct error *err = NULL;
                char *version;

                assert_int_equal(handover_hear_word(wrong[i], &version, &err), -1);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_written_is_read_with_its_fds),
                cmocka_unit_test(an_fd_is_taken_once_and_only_if_it_was_given),
                cmocka_unit_test(a_document_that_is_wrong_is_refused),
                cmocka_unit_test(an_fd_named_twice_is_refused_and_closed),
                cmocka_unit_test(a_document_cut_at_any_byte_is_refused),
                cmocka_unit_test(only_a_sealed_memory_file_is_read),
                cmocka_unit_test(members_have_their_types_and_ranges),
                cmocka_unit_test(our_own_word_is_understood),
                cmocka_unit_test(other_words_are_not),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
