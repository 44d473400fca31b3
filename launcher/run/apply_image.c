/* Images of fragments: the client opened them, their locks are ours, as those of a start. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json_member.h"
#include "launcher/run/apply_parts.h"
#include "launcher/state/crash_point.h"
#include "launcher/state/lock_file.h"

static int check_file(int fd, const char *path, bool rw, struct error **err)
{
        int flags = fcntl(fd, F_GETFL);
        struct stat st;

        if (flags < 0 || fstat(fd, &st) < 0)
                return error_os(err, errno, "look at '%s'", path);
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
                return error_set(err, ERROR_FAILED, "'%s' is neither a file nor a block device", path);
        if ((flags & O_ACCMODE) != (rw ? O_RDWR : O_RDONLY))
                return error_set(err, ERROR_FAILED, "'%s' is not open %s", path,
                                 rw ? "for reading and writing" : "for reading only");
        return 0;
}

int apply_image_open(struct apply *apply, const struct fragment_step *step, int fd, struct error **err)
{
        const struct applies *applies = apply->applies;
        const char *path = json_member_string(step->args, "path");
        const char *access = json_member_string(step->args, "access");
        bool rw = strcmp(access, "rw") == 0;
        json_int_t n = apply->first + (json_int_t)apply->at;
        _cleanup_free_ char *name = NULL, *what = xasprintf("image '%s'", path);
        json_auto_t *entry = NULL, *learned = NULL;

        if (check_file(fd, path, rw, err) < 0 || lock_file_image_name(fd, &name, err) < 0)
                return -1;
        entry = json_pack("{s:I, s:s, s:O, s:I}", "n", n, "effect", plan_effect_name(step->effect), "args",
                          step->args, "apply", apply->id);
        learned = json_pack("{s:I, s:{s:s}}", "n", n, "learned", "lock", name);
        if (journal_append(applies->vm->fd, entry, err) < 0)
                return -1;
        crash_point_effect(plan_effect_name(step->effect), CRASH_DO);
        if (journal_append(applies->vm->fd, learned, err) < 0 ||
            applies->host.take_lock(name, what, !rw, applies->data, err) < 0) {
                json_auto_t *failed = json_pack("{s:I, s:b}", "n", n, "failed", 1);
                struct error *unwritten = NULL;

                if (journal_append(applies->vm->fd, failed, &unwritten) < 0)
                        error_append(err, unwritten);
                return -1;
        }
        crash_point_effect(plan_effect_name(step->effect), CRASH_DONE);
        return 0;
}

int apply_image_made(struct apply *apply, const struct fragment_step *step, int fd, struct error **err)
{
        const struct applies *applies = apply->applies;
        _cleanup_free_ char *name = NULL,
                            *what = xasprintf("image '%s'", json_member_string(step->args, "path"));

        return lock_file_image_name(fd, &name, err) < 0
                       ? -1
                       : applies->host.take_lock(name, what, false, applies->data, err);
}
