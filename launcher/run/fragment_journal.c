#include "launcher/run/fragment_journal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/state/crash_point.h"
#include "launcher/state/state_dir.h"

static json_t *find_fragment(const json_t *fragments, json_int_t id)
{
        json_t *fragment;
        size_t i;

        json_array_foreach ((json_t *)fragments, i, fragment) {
                if (json_member_integer(fragment, "id") == id)
                        return fragment;
        }
        return NULL;
}

static void take_mark(json_t *fragments, const json_t *mark, json_int_t *next_id)
{
        json_int_t id = json_member_integer(mark, "id");
        json_t *fragment = find_fragment(fragments, id);

        if (id >= *next_id)
                *next_id = id + 1;
        if (!fragment) {
                fragment = json_pack("{s:I, s:b, s:b, s:[]}", "id", id, "committed", 0, "undone", 0, "steps");
                json_array_append_new(fragments, fragment);
        }
        json_object_update(fragment, (json_t *)mark);
}

static void take_step(json_t *fragments, const json_t *entry)
{
        json_t *fragment = find_fragment(fragments, json_member_integer(entry, "apply"));
        json_t *undo = json_object_get(entry, "undo");

        if (!fragment)
                return;
        json_array_append_new(json_object_get(fragment, "steps"),
                              json_pack("{s:O, s:O, s:O*}", "n", json_object_get(entry, "n"), "effect",
                                        json_object_get(entry, "effect"), "undo", undo));
}

/* What a step learned: the lock of an image. */
static void learn(json_t *fragments, json_int_t n, const json_t *learned)
{
        json_t *fragment, *step, *lock = json_object_get(learned, "lock");
        size_t i, j;

        json_array_foreach (fragments, i, fragment) {
                json_array_foreach (json_object_get(fragment, "steps"), j, step) {
                        if (lock && json_member_integer(step, "n") == n)
                                json_object_set(step, "lock", lock);
                }
        }
}

static void drop_step(json_t *fragments, json_int_t n)
{
        json_t *fragment, *step;
        size_t i, j;

        json_array_foreach (fragments, i, fragment) {
                json_array_foreach (json_object_get(fragment, "steps"), j, step) {
                        if (json_member_integer(step, "n") == n) {
                                json_array_remove(json_object_get(fragment, "steps"), j);
                                return;
                        }
                }
        }
}

static void count_step(const json_t *entry, json_int_t *next)
{
        const json_t *n = json_object_get(entry, "n");

        if (json_is_integer(n) && json_integer_value(n) >= *next)
                *next = json_integer_value(n) + 1;
}

static json_t *read_entries(const json_t *entries, json_int_t *ret_next, json_int_t *ret_next_id)
{
        json_t *fragments = json_array();
        const json_t *entry;
        size_t i;

        *ret_next = 0;
        *ret_next_id = 1;
        json_array_foreach ((json_t *)entries, i, entry) {
                const json_t *n = json_object_get(entry, "n"), *mark = json_object_get(entry, "apply");

                count_step(entry, ret_next);
                if (json_is_object(mark))
                        take_mark(fragments, mark, ret_next_id);
                else if (json_is_integer(mark) && json_is_string(json_object_get(entry, "effect")))
                        take_step(fragments, entry);
                else if (json_is_object(json_object_get(entry, "learned")))
                        learn(fragments, json_integer_value(n), json_object_get(entry, "learned"));
                else if (json_member_is_true(entry, "failed") || json_member_is_true(entry, "undone"))
                        drop_step(fragments, json_integer_value(n));
        }
        return fragments;
}

int fragment_journal_read(int vm_dirfd, json_t **ret_fragments, json_int_t *ret_next, json_int_t *ret_next_id,
                          struct error **err)
{
        json_auto_t *entries = NULL;

        if (journal_read(vm_dirfd, &entries, err) < 0)
                return -1;
        *ret_fragments = read_entries(entries, ret_next, ret_next_id);
        return 0;
}

static bool is_as_seen(const struct stat *st, const struct fragment_journal_seen *seen)
{
        return st->st_ino == seen->inode && st->st_size == seen->size &&
               st->st_mtim.tv_sec == seen->changed.tv_sec && st->st_mtim.tv_nsec == seen->changed.tv_nsec;
}

/* next: what its entries say. */
static void see(int vm_dirfd, json_int_t next, struct fragment_journal_seen *ret)
{
        struct stat st;

        *ret = (struct fragment_journal_seen){ 0 };
        if (fstatat(vm_dirfd, "journal", &st, AT_SYMLINK_NOFOLLOW) == 0)
                *ret = (struct fragment_journal_seen){
                        .inode = st.st_ino, .size = st.st_size, .changed = st.st_mtim, .next = next
                };
}

int fragment_journal_next(int vm_dirfd, struct fragment_journal_seen *seen, json_int_t *ret_next,
                          struct error **err)
{
        json_auto_t *fragments = NULL;
        json_int_t next_id;
        struct stat st;

        if (seen->size > 0 && fstatat(vm_dirfd, "journal", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            is_as_seen(&st, seen)) {
                *ret_next = seen->next;
                return 0;
        }
        return fragment_journal_read(vm_dirfd, &fragments, ret_next, &next_id, err);
}

/* Does the end of the VM undo it? Not what ends with QEMU or with its group, has no undo or is an fd that somebody has by now;
 * of its unit the start's own step forgets all that was set. */
static bool outlives_qemu(const char *effect, const char *op)
{
        static const enum plan_effect others[] = { EFFECT_QMP,    EFFECT_CGROUP_WRITE, EFFECT_UNIT_SET,
                                                   EFFECT_SCRIPT, EFFECT_DEVICE_OPEN,  EFFECT_SOCKET_PAIR,
                                                   EFFECT_STDERR };

        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                if (strcmp(effect, plan_effect_name(others[i])) == 0)
                        return false;
        /* A tap in another bridge is still that tap. */
        return !op || strcmp(op, "bridge-move") != 0;
}

enum keeping { KEEP, KEEP_AS_RUNS, DROP };

/* What becomes of a step or a mark of this fragment. effect NULL: a mark. */
static enum keeping judge(const json_t *fragment, const char *effect, const char *op)
{
        if (json_member_is_true(fragment, "undone"))
                return DROP;
        if (!json_member_is_true(fragment, "committed"))
                return KEEP;
        return effect && outlives_qemu(effect, op) ? KEEP_AS_RUNS : DROP;
}

/* The numbers of steps that are taken out, so that what was learned of them goes too. */
static bool has_number(const json_t *numbers, const json_t *n)
{
        json_t *each;
        size_t i;

        json_array_foreach ((json_t *)numbers, i, each) {
                if (json_equal(each, n))
                        return true;
        }
        return false;
}

/* New reference, or NULL: out it goes. */
static json_t *compacted(const json_t *fragments, json_t *dropped, json_t *entry)
{
        const json_t *mark = json_object_get(entry, "apply");
        const char *effect = json_member_string(entry, "effect");
        json_t *n = json_object_get(entry, "n"), *copy;
        const json_t *fragment;

        if (!mark || has_number(dropped, n))
                return has_number(dropped, n) ? NULL : json_incref(entry);
        fragment = find_fragment(
                fragments, json_integer_value(json_is_object(mark) ? json_object_get(mark, "id") : mark));
        switch (judge(fragment, effect, json_member_string(json_object_get(entry, "args"), "op"))) {
        case KEEP:
                return json_incref(entry);
        case KEEP_AS_RUNS:
                copy = json_copy(entry);
                json_object_del(copy, "apply");
                return copy;
        case DROP:
                break;
        }
        if (n)
                json_array_append(dropped, n);
        return NULL;
}

int fragment_journal_compact(int vm_dirfd, struct fragment_journal_seen *seen, struct error **err)
{
        json_auto_t *entries = NULL, *fragments = NULL, *dropped = json_array();
        _cleanup_text_ struct text out = TEXT_INIT;
        json_int_t next, next_id, left = 0;
        json_t *entry;
        size_t i;

        *seen = (struct fragment_journal_seen){ 0 };
        if (journal_read(vm_dirfd, &entries, err) < 0)
                return -1;
        fragments = read_entries(entries, &next, &next_id);
        /* A step that was taken back is nobody's. */
        json_array_foreach (entries, i, entry) {
                if (json_member_is_true(entry, "undone") && json_object_get(entry, "n"))
                        json_array_append(dropped, json_object_get(entry, "n"));
        }
        json_array_foreach (entries, i, entry) {
                json_auto_t *kept = compacted(fragments, dropped, entry);
                _cleanup_free_ char *line = kept ? json_dumps(kept, JSON_COMPACT) : NULL;

                if (!line)
                        continue;
                text_addf(&out, "%s\n", line);
                count_step(kept, &left);
        }
        crash_point(CRASH_JOURNAL_APPEND);
        if (fd_write_file_at(vm_dirfd, "journal", text_str(&out), out.length, 0600, 0, err) < 0)
                return error_wrap(err, "compact the journal");
        crash_point(CRASH_JOURNAL_APPENDED);
        see(vm_dirfd, left, seen);
        return 0;
}
