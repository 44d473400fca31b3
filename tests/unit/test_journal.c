#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fd.h"
#include "launcher/state/state_dir.h"
#include "tests/unit/scratch.h"

static void append(struct fixture *f, const char *what)
{
        json_auto_t *entry = json_pack("{s:s}", "effect", what);
        struct error *err = NULL;

        assert_int_equal(journal_append(f->fd, entry, &err), 0);
}

static json_t *entries(struct fixture *f)
{
        struct error *err = NULL;
        json_t *all = NULL;

        assert_int_equal(journal_read(f->fd, &all, &err), 0);
        return all;
}

static void write_raw(struct fixture *f, const char *name, const char *text)
{
        int fd = openat(f->fd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        close(fd);
}

static const char *effect(const json_t *all, size_t i)
{
        return json_string_value(json_object_get(json_array_get(all, i), "effect"));
}

static void steps_come_back_in_order(void **state)
{
        struct fixture *f = *state;
        json_auto_t *all = NULL;

        assert_true(journal_is_empty(f->fd));
        append(f, "listen");
        append(f, "net");
        assert_false(journal_is_empty(f->fd));
        all = entries(f);
        assert_int_equal(json_array_size(all), 2);
        assert_string_equal(effect(all, 0), "listen");
        assert_string_equal(effect(all, 1), "net");
}

static void no_journal_owes_nothing(void **state)
{
        json_auto_t *all = entries(*state);
        struct error *err = NULL;

        assert_int_equal(json_array_size(all), 0);
        assert_int_equal(journal_clear(((struct fixture *)*state)->fd, &err), 0);
}

static void torn_last_line_is_left_out_and_does_not_spoil_the_next(void **state)
{
        struct fixture *f = *state;
        json_auto_t *all = NULL, *more = NULL;

        append(f, "listen");
        write_raw(f, "journal", "{\"effect\":\"ne");
        all = entries(f);
        assert_int_equal(json_array_size(all), 1);
        append(f, "spawn");
        more = entries(f);
        assert_int_equal(json_array_size(more), 2);
        assert_string_equal(effect(more, 1), "spawn");
}

static void write_kept(struct journal *journal, const char *name, int result)
{
        json_auto_t *entry = json_pack("{s:s}", "effect", name);
        struct error *err = NULL;

        assert_int_equal(journal_write(journal, entry, &err), result);
        error_free(err);
}

/* room: bytes that the file may become larger by; none: what the limit was. */
static void write_within(struct journal *journal, off_t room, const struct rlimit *none)
{
        const struct rlimit limit = { .rlim_cur = (rlim_t)(journal->size + room),
                                      .rlim_max = none->rlim_max };

        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        write_kept(journal, "script", -1);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, none), 0);
}

static void journal_that_is_kept_open_has_each_entry_on_a_line_of_its_own(void **state)
{
        struct fixture *f = *state;
        struct rlimit none;
        struct journal journal;
        json_auto_t *all = NULL;
        struct error *err = NULL, *reported = NULL;

        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &none), 0);
        append(f, "listen");
        write_raw(f, "journal", "{\"effect\":\"ne");
        assert_int_equal(journal_open(&journal, f->fd, &err), 0);
        /* Nothing of it is written, or not all: that is taken back. */
        write_within(&journal, 0, &none);
        write_within(&journal, 5, &none);
        write_kept(&journal, "spawn", 0);
        write_kept(&journal, "net", 0);
        write_within(&journal, 5, &none);
        write_kept(&journal, "stderr", 0);
        fd_close(&journal.fd);
        assert_int_equal(journal_read_lines(f->fd, &all, &reported, &err), 0);
        assert_int_equal(error_count(reported), 1);
        error_free(reported);
        assert_int_equal(json_array_size(all), 4);
        assert_string_equal(effect(all, 1), "spawn");
        assert_string_equal(effect(all, 2), "net");
        assert_string_equal(effect(all, 3), "stderr");
}

static void garbage_lines_are_reported_and_skipped(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL, *garbage = NULL;
        json_auto_t *all = NULL;

        append(f, "listen");
        write_raw(f, "journal", "garbage\n[1]\n\n");
        append(f, "net");
        assert_int_equal(journal_read_lines(f->fd, &all, &garbage, &err), 0);
        assert_int_equal(json_array_size(all), 2);
        assert_int_equal(error_count(garbage), 2);
        assert_string_equal(garbage->next->message, "line 3 of the journal is no step: not an object");
        error_free(garbage);
}

static void journal_has_a_limit(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        json_auto_t *entry = json_pack("{s:s}", "effect", "net"), *all = NULL;

        write_raw(f, "journal", "{}\n");
        {
                int fd = openat(f->fd, "journal", O_WRONLY | O_CLOEXEC);

                assert_int_equal(ftruncate(fd, 4 << 20), 0);
                close(fd);
        }
        assert_int_equal(journal_append(f->fd, entry, &err), -1);
        error_free(TAKE_PTR(err));
        assert_int_equal(journal_clear(f->fd, &err), 0);
        assert_true(journal_is_empty(f->fd));
        all = entries(f);
        assert_int_equal(json_array_size(all), 0);
}

static void record_comes_back_and_is_for_everybody(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;
        json_auto_t *record = json_pack("{s:i, s:s}", "schema", 1, "name", "web"), *back = NULL;
        struct stat st;

        assert_int_equal(record_write(f->fd, record, &err), 0);
        assert_int_equal(record_read(f->fd, &back, &err), 0);
        assert_true(json_equal(record, back));
        assert_int_equal(fstatat(f->fd, "record.json", &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0644);
}

static void record_that_is_none_is_an_error(void **state)
{
        static const char *const bad[] = {
                "", "[]", "{}", "{\"schema\":2}", "{\"schema\":\"1\"}", "{\"schema\":1"
        };
        struct fixture *f = *state;
        struct error *err = NULL;
        json_t *record = NULL;

        assert_int_equal(record_read(f->fd, &record, &err), -1);
        assert_int_equal(err->code, ERROR_NO_SUCH_VM);
        error_free(TAKE_PTR(err));
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                write_raw(f, "record.json", bad[i]);
                assert_int_equal(record_read(f->fd, &record, &err), -1);
                assert_int_equal(err->code, ERROR_FAILED);
                error_free(TAKE_PTR(err));
                unlinkat(f->fd, "record.json", 0);
        }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static void entry_whose_line_has_no_end_counts_once(void **state)
{
        struct fixture *f = *state;
        json_auto_t *all = NULL, *more = NULL;

        append(f, "listen");
        write_raw(f, "journal", "{\"effect\":\"net\"}");
        all = entries(f);
        assert_int_equal(json_array_size(all), 2);
        append(f, "spawn");
        more = entries(f);
        assert_int_equal(json_array_size(more), 3);
        assert_string_equal(effect(more, 1), "net");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(steps_come_back_in_order),
                TEST(no_journal_owes_nothing),
                TEST(entry_whose_line_has_no_end_counts_once),
                TEST(torn_last_line_is_left_out_and_does_not_spoil_the_next),
                TEST(journal_that_is_kept_open_has_each_entry_on_a_line_of_its_own),
                TEST(garbage_lines_are_reported_and_skipped),
                TEST(journal_has_a_limit),
                TEST(record_comes_back_and_is_for_everybody),
                TEST(record_that_is_none_is_an_error),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
