/* Fragments on a QEMU that the test plays, with a journal that cannot be written. */
#include "tests/unit/peer.h"
#include "tests/unit/scratch.h"

#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>

#include "launcher/run/apply.h"

#define GENERATION "0123456789abcdef01234567"

struct scene {
        struct fixture *f;
        struct loop *loop;
        struct vm_dir vm;
        struct qmp_client *qmp;
        int qemu;
        struct applies *applies;
        struct text story;
        json_t *devices;
        unsigned ready, committed, dropped, answered;
        char *refusal; /* of the last answer; NULL: it was none */
};

static struct qmp_client *qemu(void *data)
{
        struct scene *s = data;

        return s->qmp;
}

static const json_t *devices(void *data)
{
        struct scene *s = data;

        return s->devices;
}

static void committed(const char *live, const json_t *new_devices, const json_t *places, bool helpers,
                      void *data)
{
        struct scene *s = data;

        (void)live, (void)places, (void)helpers;
        s->committed++;
        json_decref(s->devices);
        s->devices = json_deep_copy(new_devices);
}

static void tell(const char *text, void *data)
{
        struct scene *s = data;

        text_addf(&s->story, "%s\n", text);
}

static void drop_lock(const char *name, void *data)
{
        struct scene *s = data;

        assert_string_equal(name, "images/1:2-3");
        s->dropped++;
}

static void device_state(const char *id, const char *is, void *data)
{
        (void)id, (void)is, (void)data;
}

static struct fragment_vm fragment_vm(void *data)
{
        (void)data;
        return (struct fragment_vm){ .name = "web", .generation = GENERATION };
}

static const struct apply_host host = {
        .qemu = qemu,
        .devices = devices,
        .committed = committed,
        .story = tell,
        .drop_lock = drop_lock,
        .device_state = device_state,
        .fragment_vm = fragment_vm,
};

static void on_ready(json_t *greeting, void *data)
{
        struct scene *s = data;

        (void)greeting;
        s->ready++;
}

static void qemu_says(struct scene *s, const char *command, const char *reply)
{
        json_auto_t *asked = NULL;
        _cleanup_free_ char *line = NULL;

        peer_settle(s->loop, 20);
        asked = peer_read_json(s->qemu);
        assert_string_equal(json_string_value(json_object_get(asked, "execute")), command);
        line = xasprintf("{\"return\":%s,\"id\":%lld}\n", reply,
                         json_integer_value(json_object_get(asked, "id")));
        peer_write(s->qemu, line);
}

static void qemu_answers(struct scene *s, const char *command)
{
        qemu_says(s, command, "{}");
}

static int scene_new(void **state)
{
        static const struct qmp_client_handlers handlers = { .on_ready = on_ready };
        struct scene *s = xcalloc(1, sizeof(*s));
        struct error *err = NULL;
        void *fixture = NULL;
        int ours;

        assert_int_equal(set_up(&fixture), 0);
        s->f = fixture;
        *state = s;
        s->loop = loop_new();
        s->vm = (struct vm_dir){ .name = (char *)"web", .path = s->f->path, .fd = s->f->fd, .lock_fd = -1 };
        s->devices = json_pack("[{s:s, s:s}]", "id", "disk1", "kind", "disk");
        json_auto_t *run = json_pack("{s:{s:s, s:s, s:s, s:i}}", "run", "name", "web", "generation",
                                     GENERATION, "run_dir", s->f->path, "executor", 1);
        assert_int_equal(journal_append(s->vm.fd, run, &err), 0);
        peer_pair(&ours, &s->qemu);
        s->qmp = qmp_client_new(s->loop, ours, 5000, &handlers, s);
        peer_write(s->qemu, "{\"QMP\":{}}\n");
        qemu_answers(s, "qmp_capabilities");
        peer_spin_until(s->loop, &s->ready, 1);
        s->applies = applies_new(s->loop, &s->vm, NULL, GENERATION, &host, s);
        return 0;
}

static int scene_done(void **state)
{
        struct scene *s = *state;
        void *fixture = s->f;

        applies_end(s->applies);
        qmp_client_free(TAKE_PTR(s->qmp));
        applies_free(s->applies);
        close(s->qemu);
        loop_free(s->loop);
        json_decref(s->devices);
        text_done(&s->story);
        free(s->refusal);
        free(s);
        return tear_down(&fixture);
}

static void on_answer(json_t *value_consume, const struct error *error, void *data)
{
        struct scene *s = data;

        s->answered++;
        free(s->refusal);
        s->refusal = error ? error_text(error) : NULL;
        json_decref(value_consume);
}

static void begin(struct scene *s, json_t *fragment_consume)
{
        const struct fragment_vm vm = fragment_vm(s);
        struct apply_request request = { .client = 1, .who = "uid 0 (pid 1)" };
        struct error *err = NULL;

        assert_int_equal(fragment_read(fragment_consume, &vm, ROLE_ADMIN, 0, &request.fragment, &err), 0);
        json_decref(fragment_consume);
        applies_begin(s->applies, &request, on_answer, s);
}

/* As a full file system does: what is there can be read, and nothing be added. */
static void fill_disk(const struct scene *s, bool full)
{
        struct rlimit limit;
        struct stat st;

        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(fstatat(s->vm.fd, "journal", &st, 0), 0);
        limit.rlim_cur = full ? (rlim_t)st.st_size : limit.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void what_is_taken_away_is_committed_when_the_journal_can_be_written_again(void **state)
{
        struct scene *s = *state;

        begin(s, json_pack("{s:b, s:[{s:s, s:{s:s, s:{s:s}}, s:[]}], s:{s:[s]}}", "forward", 1, "steps",
                           "effect", "qmp", "args", "execute", "netdev_del", "arguments", "id", "net1",
                           "undo", "devices", "remove", "disk1"));
        qemu_answers(s, "netdev_del");
        fill_disk(s, true);
        peer_settle(s->loop, 50);
        fill_disk(s, false);
        /* It is gone in QEMU: nobody may be told that it was undone. */
        assert_null(strstr(text_str(&s->story), "is undone"));
        assert_int_equal(s->committed, 0);
        assert_int_equal(s->answered, 1);
        assert_non_null(s->refusal);
        peer_spin_until(s->loop, &s->committed, 1);
        assert_int_equal(json_array_size(s->devices), 0);
        assert_true(applies_are_idle(s->applies));
}

static void a_lock_is_given_back_once_though_the_journal_cannot_be_written(void **state)
{
        struct scene *s = *state;
        /* Two disks of one image hold it twice. */
        for (int n = 0; n < 2; n++) {
                json_auto_t *step =
                        json_pack("{s:i, s:s, s:{s:s, s:s}}", "n", n, "effect", "image-open", "args", "path",
                                  "/base.raw", "fd", n ? "image:disk1" : "image:disk0");
                json_auto_t *learned = json_pack("{s:i, s:{s:s}}", "n", n, "learned", "lock", "images/1:2-3");
                struct error *err = NULL;

                assert_int_equal(journal_append(s->vm.fd, step, &err), 0);
                assert_int_equal(journal_append(s->vm.fd, learned, &err), 0);
        }
        begin(s,
              json_pack("{s:b, s:[{s:s, s:{s:s, s:{s:s}}, s:[]}, {s:s, s:{s:s, s:s, s:s}}], s:{s:[s]}}",
                        "forward", 1, "steps", "effect", "qmp", "args", "execute", "netdev_del", "arguments",
                        "id", "net1", "undo", "effect", "take-back", "args", "effect", "image-open", "member",
                        "fd", "value", "image:disk1", "devices", "remove", "disk1"));
        qemu_answers(s, "netdev_del");
        fill_disk(s, true);
        peer_settle(s->loop, 50);
        fill_disk(s, false);
        peer_spin_until(s->loop, &s->committed, 1);
        assert_int_equal(s->dropped, 1);
}

/* QEMU ends before it has answered whether a device is there that somebody still waits for. */
static void an_owed_change_that_asks_qemu_outlives_its_end(void **state)
{
        struct scene *s = *state;
        json_auto_t *deleted = json_pack("{s:s}", "path", "/machine/peripheral/cpu2/x");

        begin(s,
              json_pack("{s:b, s:[{s:s, s:{s:s, s:{s:s}}, s:[], s:{s:s, s:s, s:f}}]}", "forward", 1, "steps",
                        "effect", "qmp", "args", "execute", "device_del", "arguments", "id", "cpu2", "undo",
                        "await", "event", "DEVICE_DELETED", "device", "cpu2", "timeout", 0.01));
        qemu_answers(s, "device_del");
        peer_spin_until(s->loop, &s->answered, 1);
        applies_event(s->applies, "DEVICE_DELETED", deleted);
        peer_settle(s->loop, 5);
        json_decref(peer_read_json(s->qemu));
        assert_true(applies_end(s->applies));
        qmp_client_free(TAKE_PTR(s->qmp));
        assert_int_equal(s->answered, 1);
}

/* What QEMU has is asked while a client makes its fragment, and after each one. */
static void qemu_is_looked_at(struct scene *s, const char *nodes)
{
        peer_settle(s->loop, 50);
        qemu_says(s, "qom-list", "[]");
        qemu_says(s, "query-named-block-nodes", nodes);
        qemu_says(s, "query-fdsets", "[]");
        peer_settle(s->loop, 20);
}

static void look(struct scene *s, const char *nodes)
{
        unsigned before = s->answered;

        applies_look(s->applies, on_answer, s);
        qemu_is_looked_at(s, nodes);
        peer_spin_until(s->loop, &s->answered, before + 1);
        assert_null(s->refusal);
}

static void add_node(struct scene *s)
{
        begin(s, json_pack("{s:[{s:s, s:{s:s, s:{s:s, s:s}}}]}", "steps", "effect", "qmp", "args", "execute",
                           "blockdev-add", "arguments", "driver", "null-co", "node-name", "n1"));
}

static void fragment_is_checked_by_what_was_seen(void **state)
{
        struct scene *s = *state;

        look(s, "[]");
        add_node(s);
        qemu_answers(s, "blockdev-add");
        peer_spin_until(s->loop, &s->committed, 1);
        assert_int_equal(s->answered, 2);
        /* Then it was seen anew, for whoever comes next. */
        qemu_is_looked_at(s, "[]");
        applies_look(s->applies, on_answer, s);
        assert_int_equal(s->answered, 3);
        add_node(s);
        qemu_answers(s, "blockdev-add");
        peer_spin_until(s->loop, &s->committed, 2);
}

/* It may have gone without a word. */
static void what_was_seen_to_be_there_is_asked_for_once_more(void **state)
{
        struct scene *s = *state;

        look(s, "[{\"node-name\":\"n1\"}]");
        add_node(s);
        qemu_says(s, "query-named-block-nodes", "[{\"node-name\":\"n1\"}]");
        peer_spin_until(s->loop, &s->answered, 2);
        assert_non_null(strstr(s->refusal, "QEMU has 'n1' already"));
        assert_int_equal(s->committed, 0);
        assert_true(applies_are_idle(s->applies));
        add_node(s);
        qemu_says(s, "query-named-block-nodes", "[]");
        qemu_answers(s, "blockdev-add");
        peer_spin_until(s->loop, &s->committed, 1);
}

static void on_told(json_t *reply, const struct error *error, void *data)
{
        struct scene *s = data;

        (void)reply, (void)error;
        s->ready++;
}

static void change_by_hand(struct scene *s)
{
        unsigned before = s->ready;

        qmp_client_call(s->qmp, "blockdev-add", NULL, QMP_MUTATE, NULL, 0, on_told, s);
        qemu_answers(s, "blockdev-add");
        peer_spin_until(s->loop, &s->ready, before + 1);
}

static void what_was_seen_is_old_once_qemu_was_told_to_change(void **state)
{
        struct scene *s = *state;

        look(s, "[]");
        change_by_hand(s);
        add_node(s);
        qemu_says(s, "query-named-block-nodes", "[]");
        qemu_answers(s, "blockdev-add");
        peer_spin_until(s->loop, &s->committed, 1);
}

static void what_was_seen_is_old_once_qemu_tells_of_something(void **state)
{
        struct scene *s = *state;

        look(s, "[]");
        applies_event(s->applies, "BLOCK_JOB_COMPLETED", NULL);
        add_node(s);
        qemu_says(s, "query-named-block-nodes", "[]");
        qemu_answers(s, "blockdev-add");
        peer_spin_until(s->loop, &s->committed, 1);
        qemu_is_looked_at(s, "[]");
        applies_try_again(s->applies);
        add_node(s);
        qemu_says(s, "query-named-block-nodes", "[]");
        qemu_answers(s, "blockdev-add");
        peer_spin_until(s->loop, &s->committed, 2);
}

/* A supervisor is small while nothing happens, however many disks there are. */
static void of_what_was_seen_little_is_kept(void **state)
{
        static const char node[] =
                "%s{\"node-name\":\"n%u\",\"iops\":0,\"iops_rd\":0,\"iops_wr\":0,\"bps\":0,\"bps_rd\":0,\"bps_wr\":0,"
                "\"ro\":false,\"drv\":\"file\",\"file\":\"/srv/%u.img\",\"encrypted\":false,\"write_threshold\":0,"
                "\"detect_zeroes\":\"off\",\"backing_file_depth\":0,\"cache\":{\"writeback\":true,\"direct\":false,"
                "\"no-flush\":false},\"image\":{\"filename\":\"/srv/%u.img\",\"format\":\"file\",\"virtual-size\":1,"
                "\"actual-size\":1,\"dirty-flag\":false}}";
        struct scene *s = *state;
        _cleanup_text_ struct text nodes = TEXT_INIT;
        size_t before;

        text_add(&nodes, "[");
        for (unsigned i = 0; i < 200; i++)
                text_addf(&nodes, node, i ? "," : "", i, i, i);
        text_add(&nodes, "]");
        /* What the connection needs for so much it has then. */
        look(s, text_str(&nodes));
        change_by_hand(s);
        look(s, "[]");
        before = mallinfo2().uordblks;
        change_by_hand(s);
        look(s, text_str(&nodes));
        assert_in_range(mallinfo2().uordblks - before, 0, 100000);
        add_node(s);
        qemu_says(s, "query-named-block-nodes", text_str(&nodes));
        peer_spin_until(s->loop, &s->answered, 4);
        assert_non_null(strstr(s->refusal, "QEMU has 'n1' already"));
}

static void who_looks_when_qemu_ends_is_told(void **state)
{
        struct scene *s = *state;

        applies_look(s->applies, on_answer, s);
        qemu_says(s, "qom-list", "[]");
        peer_settle(s->loop, 5);
        /* A second one takes its place, and both have their answer. */
        applies_look(s->applies, on_answer, s);
        qemu_says(s, "query-named-block-nodes", "[]");
        qemu_says(s, "query-fdsets", "[]");
        peer_spin_until(s->loop, &s->answered, 1);
        assert_null(s->refusal);
        assert_true(applies_end(s->applies));
        assert_int_equal(s->answered, 2);
        assert_non_null(strstr(s->refusal, "QEMU has ended"));
        qmp_client_free(TAKE_PTR(s->qmp));
        assert_int_equal(s->answered, 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        what_is_taken_away_is_committed_when_the_journal_can_be_written_again, scene_new,
                        scene_done),
                cmocka_unit_test_setup_teardown(fragment_is_checked_by_what_was_seen, scene_new, scene_done),
                cmocka_unit_test_setup_teardown(what_was_seen_to_be_there_is_asked_for_once_more, scene_new,
                                                scene_done),
                cmocka_unit_test_setup_teardown(what_was_seen_is_old_once_qemu_was_told_to_change, scene_new,
                                                scene_done),
                cmocka_unit_test_setup_teardown(what_was_seen_is_old_once_qemu_tells_of_something, scene_new,
                                                scene_done),
                cmocka_unit_test_setup_teardown(of_what_was_seen_little_is_kept, scene_new, scene_done),
                cmocka_unit_test_setup_teardown(who_looks_when_qemu_ends_is_told, scene_new, scene_done),
                cmocka_unit_test_setup_teardown(an_owed_change_that_asks_qemu_outlives_its_end, scene_new,
                                                scene_done),
                cmocka_unit_test_setup_teardown(
                        a_lock_is_given_back_once_though_the_journal_cannot_be_written, scene_new,
                        scene_done),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
