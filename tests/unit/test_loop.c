#include "base/loop.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "tests/unit/peer.h"

struct trace {
        struct loop *loop;
        struct loop_source *source, *other;
        unsigned n;
        char order[16];
};

struct named {
        struct trace *trace;
        char name;
};

static void note(void *data)
{
        struct named *named = data;

        named->trace->order[named->trace->n++] = named->name;
}

static void deadlines_fire_in_the_order_they_are_due(void **state)
{
        struct trace t = { .loop = loop_new() };
        struct named a = { &t, 'a' }, b = { &t, 'b' }, c = { &t, 'c' }, d = { &t, 'd' };

        (void)state;
        loop_add_deadline(t.loop, 20, note, &c);
        loop_add_deadline(t.loop, 5, note, &a);
        loop_add_deadline(t.loop, 10, note, &b);
        loop_add_deadline(t.loop, 20, note, &d);
        /* All of them are overdue when the loop looks. */
        usleep(30000);
        peer_spin_until(t.loop, &t.n, 4);
        assert_string_equal(t.order, "abcd");
        loop_free(t.loop);
}

static void add_another(void *data)
{
        struct trace *t = data;

        if (++t->n < 3)
                loop_add_deadline(t->loop, 0, add_another, t);
}

static void a_deadline_added_by_a_deadline_waits_for_the_next_round(void **state)
{
        struct trace t = { .loop = loop_new() };

        (void)state;
        loop_add_deadline(t.loop, 0, add_another, &t);
        for (unsigned i = 1; i <= 3; i++) {
                loop_step(t.loop, 1000);
                assert_int_equal(t.n, i);
        }
        loop_step(t.loop, 0);
        assert_int_equal(t.n, 3);
        loop_free(t.loop);
}

static void a_removed_deadline_does_not_fire_and_never_is_far_away(void **state)
{
        struct trace t = { .loop = loop_new() };
        struct named a = { &t, 'a' };
        struct loop_source *source = loop_add_deadline(t.loop, 5, note, &a);

        (void)state;
        loop_add_deadline(t.loop, UINT64_MAX, note, &a);
        loop_remove(t.loop, source);
        loop_remove(t.loop, NULL);
        loop_step(t.loop, 20);
        assert_int_equal(t.n, 0);
        loop_free(t.loop);
}

static void remove_both(struct loop_source *source, uint32_t events, void *data)
{
        struct trace *t = data;

        (void)source;
        (void)events;
        t->n++;
        loop_remove(t->loop, t->source);
        loop_remove(t->loop, t->other);
}

static void a_callback_may_remove_itself_and_what_is_due_in_the_same_round(void **state)
{
        struct trace t = { .loop = loop_new() };
        int fds[2];

        (void)state;
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(write(fds[1], "x", 1), 1);
        t.source = loop_add_fd(t.loop, fds[0], EPOLLIN, remove_both, &t);
        t.other = loop_add_fd(t.loop, fds[1], EPOLLOUT, remove_both, &t);
        loop_step(t.loop, 1000);
        loop_step(t.loop, 0);
        assert_int_equal(t.n, 1);
        loop_free(t.loop);
        close(fds[0]);
        close(fds[1]);
}

static void count_events(struct loop_source *source, uint32_t events, void *data)
{
        unsigned *n = data;

        (void)source;
        if (events & EPOLLIN)
                ++*n;
}

static void events_can_be_switched_off_and_on(void **state)
{
        struct loop *loop = loop_new();
        struct loop_source *source;
        unsigned n = 0;
        int fds[2];

        (void)state;
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(write(fds[1], "x", 1), 1);
        source = loop_add_fd(loop, fds[0], EPOLLIN, count_events, &n);
        loop_set_events(source, 0);
        loop_step(loop, 5);
        assert_int_equal(n, 0);
        loop_set_events(source, EPOLLIN);
        loop_step(loop, 1000);
        assert_int_equal(n, 1);
        loop_free(loop);
        close(fds[0]);
        close(fds[1]);
}

static void what_epoll_refuses_is_always_ready(void **state)
{
        struct loop *loop = loop_new();
        _cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int file = open("Makefile", O_RDONLY | O_CLOEXEC);
        struct loop_source *source;
        unsigned n = 0, of_file = 0;
        long long start = fd_now_ms();

        (void)state;
        source = loop_add_fd(loop, fd, EPOLLIN, count_events, &n);
        if (file >= 0)
                loop_add_fd(loop, file, 0, count_events, &of_file);
        loop_step(loop, 5000);
        loop_step(loop, 5000);
        assert_int_equal(n, 2);
        assert_int_equal(of_file, 0);
        assert_true(fd_now_ms() - start < 4000);
        loop_remove(loop, source);
        loop_step(loop, 0);
        assert_int_equal(n, 2);
        loop_free(loop);
}

static void on_signal(const struct signalfd_siginfo *info, void *data)
{
        int *got = data;

        *got = (int)info->ssi_signo;
}

static void a_signal_comes_as_an_event(void **state)
{
        static const int first[] = { SIGHUP, SIGUSR1, 0 }, second[] = { SIGUSR2, 0 };
        struct loop *loop = loop_new();
        struct loop_source *source;
        int got = 0, other = 0;

        (void)state;
        source = loop_add_signals(loop, first, on_signal, &got);
        loop_add_signals(loop, second, on_signal, &other);
        for (int i = 0; first[i]; i++) {
                kill(getpid(), first[i]);
                loop_step(loop, 1000);
                assert_int_equal(got, first[i]);
                assert_int_equal(other, 0);
        }
        got = 0;
        loop_remove(loop, source);
        kill(getpid(), SIGUSR1);
        kill(getpid(), SIGUSR2);
        loop_step(loop, 1000);
        assert_int_equal(got, 0);
        assert_int_equal(other, SIGUSR2);
        loop_free(loop);
}

static void on_child(int pidfd, void *data)
{
        unsigned *n = data;

        assert_true(pidfd >= 0);
        ++*n;
}

static void a_childs_end_is_told_once(void **state)
{
        struct loop *loop = loop_new();
        unsigned n = 0;
        int status, pidfd;
        pid_t pid = fork();

        (void)state;
        if (pid == 0)
                _exit(7);
        pidfd = fd_pidfd_open(pid);
        assert_true(pidfd >= 0);
        loop_add_child(loop, pidfd, on_child, &n);
        peer_spin_until(loop, &n, 1);
        loop_step(loop, 5);
        assert_int_equal(n, 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), 7);
        close(pidfd);
        loop_free(loop);
}

static void quit_now(void *data)
{
        loop_quit(data, 42);
}

static void quit_ends_the_run_also_when_it_came_before(void **state)
{
        struct loop *loop = loop_new();

        (void)state;
        loop_add_deadline(loop, 1, quit_now, loop);
        assert_int_equal(loop_run(loop), 42);
        loop_quit(loop, 3);
        assert_int_equal(loop_run(loop), 3);
        loop_free(loop);
}

static unsigned rests;

static void rest(void)
{
        rests++;
}

static void end_loop(void *data)
{
        loop_quit(data, 0);
}

static void do_nothing(void *data)
{
        (void)data;
}

static void quiet_loop_rests_once_until_something_comes(void **state)
{
        struct loop *loop = loop_new();

        (void)state;
        rests = 0;
        loop_set_rest(loop, 20, rest);
        /* Quiet up to 200 ms, and from then to 600 ms. */
        loop_add_deadline(loop, 200, do_nothing, NULL);
        loop_add_deadline(loop, 600, end_loop, loop);
        assert_int_equal(loop_run(loop), 0);
        assert_int_equal(rests, 2);
        loop_free(loop);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(deadlines_fire_in_the_order_they_are_due),
                cmocka_unit_test(a_deadline_added_by_a_deadline_waits_for_the_next_round),
                cmocka_unit_test(a_removed_deadline_does_not_fire_and_never_is_far_away),
                cmocka_unit_test(a_callback_may_remove_itself_and_what_is_due_in_the_same_round),
                cmocka_unit_test(events_can_be_switched_off_and_on),
                cmocka_unit_test(what_epoll_refuses_is_always_ready),
                cmocka_unit_test(a_signal_comes_as_an_event),
                cmocka_unit_test(a_childs_end_is_told_once),
                cmocka_unit_test(quit_ends_the_run_also_when_it_came_before),
                cmocka_unit_test(quiet_loop_rests_once_until_something_comes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
