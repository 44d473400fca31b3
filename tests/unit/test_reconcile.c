/* Ending what no journal names, while somebody starts the VM anew. Control groups are a directory here, with their marks. */
#include "tests/unit/scratch.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "base/text.h"
#include "cgroups/cgroup_apply.h"
#include "launcher/run/generation.h"
#include "launcher/run/reconcile.h"
#include "launcher/state/instance.h"
#include "launcher/state/state_dir.h"

#define VM    "vmlaunch-test-web"
#define GROUP "machine.slice/vmlaunch-" VM

struct scene {
        struct fixture *f;
        struct site *site;
        struct cgroup_host cgroup;
        char *instance, *generation; /* of the run that is over */
        pid_t stray, fresh;
        bool starts; /* somebody does, as soon as a stray is ended */
        struct vm_dir *starting;
};

/* A process that looks like the QEMU of a run, with a uid of UID_RANGE where it has a generation. */
static pid_t run_process(const struct scene *s, const char *generation)
{
        _cleanup_free_ char *name = xasprintf("guest=" VM ",process=" VM "-%s", generation ? generation : "");
        /* It ends with this test at the latest. */
        char *argv[] = { "sh", "-c", "read x; :", "-name", name, NULL };
        int started[2], held[2];
        pid_t pid;
        char c;

        assert_int_equal(pipe2(started, O_CLOEXEC), 0);
        assert_int_equal(pipe2(held, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                uid_t uid = s->site->uid_first;

                if (!generation)
                        argv[3] = NULL;
                else if (setresuid(uid, uid, uid) < 0)
                        _exit(1);
                if (dup2(held[0], 0) < 0)
                        _exit(1);
                execv("/bin/sh", argv);
                _exit(1);
        }
        close(held[0]);
        assert_true(pid > 0);
        close(started[1]);
        /* The other end closes at its exec. */
        assert_int_equal(read(started[0], &c, 1), 0);
        close(started[0]);
        return pid;
}

static bool lives(pid_t pid)
{
        return waitpid(pid, NULL, WNOHANG) == 0;
}

static void fill_group(const struct scene *s, const char *generation, pid_t pid)
{
        _cleanup_free_ char *dir = xasprintf("%s/cgroup/" GROUP, s->f->path),
                            *mark = generation_mark(VM, generation), *line = xasprintf("%d\n", (int)pid);
        _cleanup_free_ char *procs = xasprintf("%s/cgroup.procs", dir);
        struct error *err = NULL;

        assert_int_equal(fd_mkdir_p(AT_FDCWD, dir, 0755, &err), 0);
        assert_int_equal(fd_write_file_at(AT_FDCWD, procs, line, strlen(line), 0644, 0, &err), 0);
        if (setxattr(dir, "trusted.vmlaunch", mark, strlen(mark), 0) < 0)
                skip();
}

/* The group is the new run's by the time the old one's would be removed. */
static void on_line(const char *line, void *data)
{
        struct scene *s = data;
        _cleanup_free_ char *generation = NULL;
        struct error *err = NULL;

        if (!s->starts || !text_starts_with(line, VM ": killed: process"))
                return;
        s->starts = false;
        assert_int_equal(vm_dir_lock(&s->site->paths, VM, &s->starting, &err), 0);
        generation = generation_new(s->instance);
        fill_group(s, generation, s->fresh);
}

static int scene_done(void **state)
{
        struct scene *s = *state;
        void *fixture = s->f;

        for (int i = 0; i < 2; i++) {
                pid_t pid = i ? s->fresh : s->stray;

                if (pid > 0 && lives(pid)) {
                        kill(pid, SIGKILL);
                        waitpid(pid, NULL, 0);
                }
        }
        vm_dir_release(s->starting, true);
        if (s->site) {
                s->site->paths = (struct paths){ 0 };
                site_free(s->site);
        }
        free(s->instance);
        free(s->generation);
        free(s->cgroup.v2_mount);
        free(s->cgroup.v2_controllers);
        free(s);
        return tear_down(&fixture);
}

static int scene_new(void **state)
{
        struct scene *s = xcalloc(1, sizeof(*s));
        struct error *err = NULL;
        void *fixture = NULL;

        assert_int_equal(set_up(&fixture), 0);
        s->f = fixture;
        *state = s;
        assert_int_equal(site_from_text(NULL, NULL, NULL, NULL, NULL, &s->site, &err), 0);
        paths_done(&s->site->paths);
        s->site->paths = s->f->paths;
        s->cgroup = (struct cgroup_host){ .kind = CGROUP_V2,
                                          .v2_mount = xasprintf("%s/cgroup", s->f->path),
                                          .v2_controllers = xstrdup("cpu memory"),
                                          .v2_writable = true };
        assert_int_equal(instance_id(&s->site->paths, true, &s->instance, &err), 0);
        assert_int_equal(fd_mkdir_p(AT_FDCWD, s->site->paths.run, 0755, &err), 0);
        s->generation = generation_new(s->instance);
        return 0;
}

static void a_start_meanwhile_keeps_its_control_group(void **state)
{
        struct scene *s = *state;
        struct error *err = NULL;

        if (geteuid() != 0)
                skip();
        s->starts = true;
        s->stray = run_process(s, s->generation);
        s->fresh = run_process(s, NULL);
        fill_group(s, s->generation, s->stray);
        assert_int_equal(strays_destroy(s->site, &s->cgroup, VM, on_line, s, &err), 1);
        assert_null(err);
        assert_non_null(s->starting);
        assert_false(lives(s->stray));
        s->stray = 0;
        assert_true(lives(s->fresh));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_start_meanwhile_keeps_its_control_group, scene_new,
                                                scene_done),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
