#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "launcher/run/effects.h"
#include "launcher/run/execute.h"
#include "launcher/state/crash_point.h"

/* Errors beyond these add nothing. */
#define ERRORS_MAX 5

struct journal_step {
        json_int_t n;
        enum plan_effect effect;
        const json_t *args; /* lent by the entries */
        json_t *learned;    /* owned */
        json_int_t apply;   /* of the fragment that it is of and that is not committed; 0: none */
        bool over;          /* it failed, or is undone: nothing is owed */
};

/* The journal of one run, understood. */
struct run_journal {
        json_t *entries;
        const char *name, *generation, *run_dir; /* lent by entries */
        pid_t executor;
        bool started;
        struct journal_step *steps; /* in the order of doing */
        size_t n_steps;
};

static void run_journal_done(struct run_journal *journal)
{
        for (size_t i = 0; i < journal->n_steps; i++)
                json_decref(journal->steps[i].learned);
        free(journal->steps);
        json_decref(journal->entries);
}

static struct journal_step *find_step(struct run_journal *journal, json_int_t n)
{
        for (size_t i = journal->n_steps; i-- > 0;)
                if (journal->steps[i].n == n)
                        return &journal->steps[i];
        return NULL;
}

static int take_run(struct run_journal *journal, const json_t *run, struct error **err)
{
        json_int_t executor;
        json_error_t why;

        if (json_unpack_ex((json_t *)run, &why, 0, "{s:s, s:s, s:s, s:I}", "name", &journal->name,
                           "generation", &journal->generation, "run_dir", &journal->run_dir, "executor",
                           &executor) < 0)
                return error_set(err, ERROR_FAILED, "the journal's first entry: %s", why.text);
        /* Both are part of what proves that something is ours. */
        if (!*journal->generation || !*journal->name)
                return error_set(err, ERROR_FAILED, "the journal's first entry names no run");
        journal->executor = (pid_t)executor;
        return 0;
}

static int take_step(struct run_journal *journal, const json_t *entry, json_int_t n, struct error **err)
{
        const char *effect = json_member_string(entry, "effect");
        const json_t *args = json_object_get(entry, "args"), *learned = json_object_get(entry, "learned");
        struct journal_step *step = find_step(journal, n);

        if (effect) {
                struct journal_step new = { .n = n, .args = args };

                if (step || !json_is_object(args) || !plan_effect_from_name(effect, &new.effect))
                        return error_set(err, ERROR_FAILED,
                                         "the journal's entry of step %d is not understood", (int)n);
                new.learned = json_object();
                new.apply = json_member_integer(entry, "apply");
                ARRAY_GROW(journal->steps, journal->n_steps);
                journal->steps[journal->n_steps++] = new;
                return 0;
        }
        if (step && json_is_object(learned))
                return json_object_update(step->learned, (json_t *)learned);
        if (step && (json_member_is_true(entry, "failed") || json_member_is_true(entry, "undone"))) {
                step->over = true;
                return 0;
        }
        return error_set(err, ERROR_FAILED, "the journal says something of step %d that is not understood",
                         (int)n);
}

static void take_mark(struct run_journal *journal, const json_t *mark)
{
        for (size_t i = 0; i < journal->n_steps && json_member_is_true(mark, "committed"); i++)
                if (journal->steps[i].apply == json_member_integer(mark, "id"))
                        journal->steps[i].apply = 0;
}

/* All of it is understood or nothing is done: half an undo by an older version would forget the rest. */
static int run_journal_read(int vm_dirfd, struct run_journal *ret, struct error **err)
{
        struct run_journal journal = { 0 };
        json_t *entry;
        size_t i;

        if (journal_read(vm_dirfd, &journal.entries, err) < 0)
                return -1;
        json_array_foreach (journal.entries, i, entry) {
                const json_t *run = json_object_get(entry, "run"), *n = json_object_get(entry, "n");

                if (run && i == 0)
                        take_run(&journal, run, err);
                else if (json_is_integer(n) && journal.name)
                        take_step(&journal, entry, json_integer_value(n), err);
                else if (json_member_is_true(entry, "started"))
                        journal.started = true;
                else if (json_is_object(json_object_get(entry, "apply")) && journal.name)
                        take_mark(&journal, json_object_get(entry, "apply")); /* fragment_journal.h */
                else
                        error_set(err, ERROR_FAILED, "the journal's entry %zu is not understood", i);
                if (*err) {
                        run_journal_done(&journal);
                        return -1;
                }
        }
        *ret = journal;
        return 0;
}

/* "directory /run/vmlaunch/web/private" */
static char *step_line(const struct journal_step *step)
{
        static const char *const telling[] = { "path", "ifname", "uid", "fd" };
        const char *op = json_member_string(step->args, "op");
        const json_t *pid = json_object_get(step->learned, "pid");
        const char *effect = plan_effect_name(step->effect);

        if (json_is_integer(pid))
                return xasprintf("%s process %d", effect, (int)json_integer_value(pid));
        for (size_t i = 0; i < ARRAY_SIZE(telling); i++) {
                const json_t *value = json_object_get(step->args, telling[i]);

                if (json_is_string(value))
                        return xasprintf("%s %s%s%s", effect, op ? op : "", op ? " " : "",
                                         json_string_value(value));
                if (json_is_integer(value))
                        return xasprintf("%s %d", effect, (int)json_integer_value(value));
        }
        return xstrdup(effect);
}

/* Some of the journal's steps. */
struct undo_range {
        json_int_t first, last;
        int mark_dirfd; /* where the journal goes on: each step undone is marked in it; -1: it ends */
        undo_line_fn *what_done;
        void *data;
};

static int mark_undone(const struct undo_range *range, json_int_t n, struct error **err)
{
        json_auto_t *entry = json_pack("{s:I, s:b}", "n", n, "undone", 1);

        return range->mark_dirfd < 0 ? 0 : journal_append(range->mark_dirfd, entry, err);
}

/*
 * What the guest has seen (machine.lock) outlives its run. The journal's last line says that it has seen something; where
 * that is lost the record knows, and one that is lost too leaves it possible.
 */
static bool guest_has_run(int vm_dirfd, const struct run_journal *journal)
{
        json_auto_t *record = NULL;
        struct error *unreadable = NULL;
        const char *state, *verdict;
        bool missing;

        if (journal->started)
                return true;
        if (record_read(vm_dirfd, &record, &unreadable) < 0) {
                missing = unreadable->code == ERROR_NO_SUCH_VM;
                error_free(unreadable);
                return !missing;
        }
        state = json_member_string(record, "state");
        verdict = json_member_string(record, "verdict");
        if (verdict)
                return strcmp(verdict, "never-started") != 0;
        return state && (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0);
}

/* 0, or -1: what is below it must stay. Errors are collected. */
static int undo_step(struct effect_undo *undo, const struct journal_step *step,
                     const struct undo_range *range, struct error **err)
{
        _cleanup_free_ char *line = step_line(step);
        struct error *one = NULL;
        int done;

        crash_point_effect(plan_effect_name(step->effect), CRASH_UNDO);
        undo->uncommitted = step->apply != 0;
        done = effects[step->effect].undo(undo, step->args, step->learned, &one);
        crash_point_effect(plan_effect_name(step->effect), CRASH_UNDONE);
        if (done > 0 && range->what_done)
                range->what_done(line, range->data);
        if (done >= 0 && mark_undone(range, step->n, &one) == 0)
                return 0;
        error_wrap(&one, "undo %s", line);
        if (error_count(*err) < ERRORS_MAX)
                error_append(err, one);
        else
                error_free(one);
        /* What QEMU still has cannot be taken away below it: its image locks, its group, its uid. */
        return step->effect == EFFECT_SPAWN ? -1 : 0;
}

static void undo_steps(struct effect_undo *undo, const struct run_journal *journal,
                       const struct undo_range *range, struct error **err)
{
        /* QEMU first, which fragments have given more than the start had. */
        for (int pass = 0; pass < 2; pass++)
                for (size_t i = journal->n_steps; i-- > 0;) {
                        const struct journal_step *step = &journal->steps[i];
                        bool is_spawn = step->effect == EFFECT_SPAWN;

                        if (step->over || is_spawn != (pass == 0) || step->n < range->first ||
                            step->n > range->last)
                                continue;
                        if (undo_step(undo, step, range, err) < 0)
                                return;
                }
}

static int undo_some(int vm_dirfd, const struct cgroup_host *cgroup, const struct undo_range *range,
                     struct error **err)
{
        _cleanup_(run_journal_done) struct run_journal journal = { 0 };
        _cleanup_close_ int run_dirfd = openat(vm_dirfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct effect_undo undo = { .vm_dirfd = vm_dirfd, .run_dirfd = run_dirfd, .cgroup = cgroup };

        if (run_dirfd < 0)
                return error_os(err, errno, "open the directory of the VMs");
        if (run_journal_read(vm_dirfd, &journal, err) < 0)
                return -1;
        undo.name = journal.name;
        undo.generation = journal.generation;
        undo.run_dir = journal.run_dir;
        undo.executor = journal.executor;
        undo.started = guest_has_run(vm_dirfd, &journal);
        undo.holds_journal = range->mark_dirfd >= 0;
        crash_point(CRASH_UNDO_BEGIN);
        undo_steps(&undo, &journal, range, err);
        netlink_close(undo.nl);
        return *err ? -1 : 0;
}

int undo_journal_steps(int vm_dirfd, const struct cgroup_host *cgroup, json_int_t first, json_int_t last,
                       undo_line_fn *what_done, void *data, struct error **err)
{
        const struct undo_range range = {
                .first = first, .last = last, .mark_dirfd = vm_dirfd, .what_done = what_done, .data = data
        };

        return undo_some(vm_dirfd, cgroup, &range, err);
}

int undo_journal(int vm_dirfd, const struct cgroup_host *cgroup, undo_line_fn *what_done, void *data,
                 struct error **err)
{
        const struct undo_range range = {
                .first = 0, .last = INT64_MAX, .mark_dirfd = -1, .what_done = what_done, .data = data
        };

        if (undo_some(vm_dirfd, cgroup, &range, err) < 0)
                return -1;
        /* Leases of a guest that is no more. */
        crash_point(CRASH_LEASES_WRITE);
        unlinkat(vm_dirfd, "leases", 0);
        return journal_clear(vm_dirfd, err);
}

int undo_describe(int vm_dirfd, undo_line_fn *fn, void *data, struct error **err)
{
        _cleanup_(run_journal_done) struct run_journal journal = { 0 };

        if (run_journal_read(vm_dirfd, &journal, err) < 0)
                return -1;
        for (size_t i = journal.n_steps; i-- > 0;) {
                _cleanup_free_ char *line = step_line(&journal.steps[i]);

                if (!journal.steps[i].over)
                        fn(line, data);
        }
        return 0;
}

void journal_run_done(struct journal_run *run)
{
        free(run->name);
        free(run->generation);
        free(run->run_dir);
        json_decref(run->spawned);
        json_decref(run->locks);
        json_decref(run->named);
}

/* The lock that a step took, as its executor named it; NULL: none. */
static json_t *lock_of(const struct journal_step *step)
{
        const char *path = json_member_string(step->args, "path");
        const char *name = json_member_string(step->learned, "lock");
        const char *kind = json_member_string(step->args, "lock");
        _cleanup_free_ char *what = NULL, *file = NULL;
        unsigned uid, port;

        if (step->effect == EFFECT_UID_CLAIM) {
                uid = (unsigned)json_member_integer(step->args, "uid");
                file = uid_lock_name(uid);
                what = xasprintf("uid %u", uid);
                return json_pack("{s:s, s:s, s:b}", "name", file, "what", what, "shared", 0);
        }
        if (step->effect == EFFECT_PORT) {
                port = (unsigned)json_member_integer(step->args, "port");
                file = port_lock_name(port);
                what = xasprintf("port %u", port);
                return json_pack("{s:s, s:s, s:b}", "name", file, "what", what, "shared", 0);
        }
        if ((step->effect != EFFECT_IMAGE_OPEN && step->effect != EFFECT_IMAGE_CREATE &&
             step->effect != EFFECT_NVRAM) ||
            !name || !path)
                return NULL;
        what = xasprintf("image '%s'", path);
        return json_pack("{s:s, s:s, s:b}", "name", name, "what", what, "shared",
                         kind && strcmp(kind, "shared") == 0);
}

static void add_named(const struct journal_step *step, const char *run_dir, json_t *named)
{
        const char *ifname = json_member_string(step->args, "ifname");
        const char *path = json_member_string(step->args, "path");

        if (step->effect == EFFECT_NET && ifname)
                json_array_append_new(named, json_sprintf("tap %s", ifname));
        if (step->effect == EFFECT_CGROUP_CREATE && path)
                json_array_append_new(named, json_sprintf("cgroup %s", path));
        path = path && run_dir ? effect_path_in_run(run_dir, path) : NULL;
        if (path)
                json_array_append_new(named, json_sprintf("file %.*s", (int)strcspn(path, "/"), path));
}

int journal_run_read(int vm_dirfd, struct journal_run *ret, struct error **err)
{
        _cleanup_(run_journal_done) struct run_journal journal = { 0 };

        if (run_journal_read(vm_dirfd, &journal, err) < 0)
                return -1;
        *ret = (struct journal_run){ .name = xstrdup_null(journal.name),
                                     .generation = xstrdup_null(journal.generation),
                                     .run_dir = xstrdup_null(journal.run_dir),
                                     .started = journal.started,
                                     .locks = json_array(),
                                     .named = json_array() };
        for (size_t i = 0; i < journal.n_steps; i++) {
                const struct journal_step *step = &journal.steps[i];
                json_t *lock = step->over ? NULL : lock_of(step);

                if (lock)
                        json_array_append_new(ret->locks, lock);
                if (!step->over)
                        add_named(step, journal.run_dir, ret->named);
                if (step->effect == EFFECT_SPAWN && !step->over && json_object_size(step->learned) > 0 &&
                    !ret->spawned)
                        ret->spawned = json_incref(step->learned);
        }
        return 0;
}

int journal_steps_read(int vm_dirfd, json_t **ret, struct error **err)
{
        _cleanup_(run_journal_done) struct run_journal journal = { 0 };
        json_t *steps;

        if (run_journal_read(vm_dirfd, &journal, err) < 0)
                return -1;
        steps = json_array();
        for (size_t i = 0; i < journal.n_steps; i++)
                if (!journal.steps[i].over)
                        json_array_append_new(
                                steps, json_pack("{s:I, s:s, s:O, s:O}", "n", journal.steps[i].n, "effect",
                                                 plan_effect_name(journal.steps[i].effect), "args",
                                                 journal.steps[i].args, "learned", journal.steps[i].learned));
        *ret = steps;
        return 0;
}

int journal_wait_settled(int vm_dirfd, struct error **err)
{
        return faccessat(vm_dirfd, "journal", F_OK, AT_SYMLINK_NOFOLLOW) < 0
                       ? 0
                       : spawn_wait_settled(vm_dirfd, err);
}

json_t *spawned_by_record(const json_t *record)
{
        json_int_t pid = 0, start = 0, uid = -1;

        if (json_unpack((json_t *)record, "{s:I, s:I, s:I}", "pid", &pid, "pid_start", &start, "uid", &uid) <
            0)
                return NULL;
        return json_pack("{s:I, s:I, s:I}", "pid", pid, "start", start, "uid", uid);
}

/* A journal that lost its end may not know the process; the record may. One that cannot be read knows nothing. */
static int record_qemu_lives(int vm_dirfd, pid_t *ret_pid, struct error **err)
{
        json_auto_t *record = NULL, *spawned = NULL;
        struct error *unreadable = NULL;
        const char *generation;
        int lives;

        if (record_read(vm_dirfd, &record, &unreadable) < 0) {
                error_free(unreadable);
                return 0;
        }
        generation = json_member_string(record, "generation");
        spawned = spawned_by_record(record);
        if (!spawned || !generation || !*generation)
                return 0;
        lives = qemu_prove(spawned, generation, NULL, err);
        if (lives > 0)
                *ret_pid = (pid_t)json_member_integer(spawned, "pid");
        return lives;
}

int journal_qemu_lives(int vm_dirfd, pid_t *ret_pid, struct error **err)
{
        _cleanup_(run_journal_done) struct run_journal journal = { 0 };

        if (run_journal_read(vm_dirfd, &journal, err) < 0)
                return -1;
        for (size_t i = 0; i < journal.n_steps; i++) {
                const struct journal_step *step = &journal.steps[i];
                int lives;

                if (step->effect != EFFECT_SPAWN || step->over)
                        continue;
                if (spawn_wait_settled(vm_dirfd, err) < 0)
                        return -1;
                lives = qemu_prove(step->learned, journal.generation, NULL, err);
                if (lives > 0)
                        *ret_pid = (pid_t)json_member_integer(step->learned, "pid");
                if (lives)
                        return lives;
        }
        return record_qemu_lives(vm_dirfd, ret_pid, err);
}
