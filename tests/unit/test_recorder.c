#include "launcher/run/recorder.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/peer.h"

static int set_up(void **state)
{
        *state = xasprintf("/tmp/vmlaunch-recorder-%d.wire", (int)getpid());
        unlink(*state);
        return 0;
}

static int tear_down(void **state)
{
        unlink(*state);
        free(*state);
        return 0;
}

static void record(struct recorder *recorder, const char *json)
{
        json_auto_t *message = json_loads(json, 0, NULL);

        assert_non_null(message);
        recorder_message(recorder, "qmp", true, message);
}

static json_t *entries(const char *path)
{
        struct error *err = NULL;
        json_t *all = NULL;

        assert_int_equal(recorder_read(path, &all, &err), 0);
        return all;
}

static const char *text_of(const json_t *all, size_t n)
{
        return json_string_value(json_object_get(json_array_get(all, n), "text"));
}

static void entries_come_back_in_order_with_their_channel_and_direction(void **state)
{
        struct error *err = NULL;
        struct recorder *recorder = recorder_open(*state, &err);
        json_auto_t *all = NULL;
        struct stat st;

        record(recorder, "{\"execute\":\"stop\",\"id\":4}");
        recorder_note(recorder, "the guest\nruns \"well\"");
        recorder_close(recorder);
        assert_int_equal(stat(*state, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        all = entries(*state);
        assert_int_equal(json_array_size(all), 2);
        assert_string_equal(text_of(all, 0), "{\"execute\":\"stop\",\"id\":4}");
        assert_string_equal(json_string_value(json_object_get(json_array_get(all, 0), "direction")), "sent");
        assert_string_equal(json_string_value(json_object_get(json_array_get(all, 1), "direction")), "note");
        assert_string_equal(text_of(all, 1), "\"the guest\\u000aruns \\u0022well\\u0022\"");
}

static void secrets_are_not_recorded(void **state)
{
        static const char *const said[] = {
                "{\"execute\":\"set_password\",\"arguments\":{\"protocol\":\"vnc\",\"password\":\"hidden\"}}",
                "{\"execute\":\"object-add\",\"arguments\":{\"qom-type\":\"secret\",\"data\":\"hidden\"}}",
                "{\"execute\":\"guest-exec\",\"arguments\":{\"path\":\"/bin/x\",\"arg\":[\"hidden\"],\"env\":[\"hidden\"]}}",
                "{\"return\":{\"exited\":true,\"out-data\":\"hidden\",\"err-data\":\"hidden\"}}",
                "{\"return\":\"hidden\",\"id\":1}",
                "{\"execute\":\"qom-set\",\"arguments\":{\"property\":\"data\",\"value\":\"hidden\"}}",
                "{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"https\",\"cookie\":\"hidden\"}}",
                "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"hidden\"}}",
                "{\"execute\":\"guest-set-user-password\",\"arguments\":{\"username\":\"r\",\"password\":\"hidden\"}}",
        };
        struct error *err = NULL;
        struct recorder *recorder = recorder_open(*state, &err);
        json_auto_t *all = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(said); i++)
                record(recorder, said[i]);
        /* An event's data is looked into. */
        record(recorder, "{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true}}");
        recorder_close(recorder);
        all = entries(*state);
        for (size_t i = 0; i < ARRAY_SIZE(said); i++)
                assert_null(strstr(text_of(all, i), "hidden"));
        assert_non_null(strstr(text_of(all, ARRAY_SIZE(said)), "\"guest\":true"));
}

static void the_file_stays_bounded_and_keeps_the_newest(void **state)
{
        struct error *err = NULL;
        struct recorder *recorder = recorder_open(*state, &err);
        json_auto_t *all = NULL;
        json_int_t before = 0;
        struct stat st;
        size_t n;

        for (int i = 0; i < 9000; i++) {
                _cleanup_free_ char *note = xasprintf("note %d %.*s", i, i % 97,
                                                      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                                                      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");

                /* A successor goes on where its predecessor was killed. */
                if (i % 1000 == 999) {
                        recorder_close(recorder);
                        recorder = recorder_open(*state, &err);
                }
                recorder_note(recorder, note);
        }
        recorder_close(recorder);
        assert_int_equal(stat(*state, &st), 0);
        assert_true(st.st_size <= RECORDER_BYTES && st.st_size > RECORDER_BYTES / 2);
        all = entries(*state);
        n = json_array_size(all);
        assert_true(n > 1000);
        assert_non_null(strstr(text_of(all, n - 1), "note 8999"));
        for (size_t i = 0; i < n; i++) {
                json_int_t number = json_integer_value(json_object_get(json_array_get(all, i), "number"));

                assert_true(i == 0 || number == before + 1);
                before = number;
        }
}

static void a_huge_message_is_cut(void **state)
{
        struct error *err = NULL;
        struct recorder *recorder = recorder_open(*state, &err);
        _cleanup_free_ char *filler = xmalloc(100001);
        json_auto_t *message = NULL, *all = NULL;

        memset(filler, 'x', 100000);
        filler[100000] = '\0';
        message = json_pack("{s:[s, s]}", "return", filler, filler);
        recorder_message(recorder, "qmp", false, message);
        recorder_note(recorder, "after");
        recorder_close(recorder);
        all = entries(*state);
        assert_int_equal(json_array_size(all), 2);
        assert_true(strlen(text_of(all, 0)) < RECORDER_LINE);
        assert_non_null(strstr(text_of(all, 0), "xxx..."));
        assert_string_equal(text_of(all, 1), "\"after\"");
}

static void what_is_no_recording_is_read_as_nothing(void **state)
{
        static const char *const garbage[] = {
                "",
                "\n\n\n",
                "#",
                "#00000000011 x\n",
                "#0000000001 \n",
                "#0000000001 a b\n",
                "#000000000a a b > c\n",
                "#0000000001 a b ? c\n",
                "no newline #0000000001 a b > c",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
                json_auto_t *all = recorder_parse(garbage[i], strlen(garbage[i]));

                assert_int_equal(json_array_size(all), 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
                TEST(entries_come_back_in_order_with_their_channel_and_direction),
                TEST(secrets_are_not_recorded),
                TEST(the_file_stays_bounded_and_keeps_the_newest),
                TEST(a_huge_message_is_cut),
                TEST(what_is_no_recording_is_read_as_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
