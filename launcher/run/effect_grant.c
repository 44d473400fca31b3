/* Nodes of devices that QEMU opens itself: they are the VM's user's while it runs. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "launcher/run/effects.h"

/* O_PATH: opening a group of vfio would take it. */
static int open_node(const char *path, struct stat *st, int *ret, struct error **err)
{
        _cleanup_close_ int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0 || fstat(fd, st) < 0)
                return error_os(err, errno, "open '%s'", path);
        if (!S_ISCHR(st->st_mode))
                return error_set(err, ERROR_HOST, "'%s' is no device", path);
        *ret = TAKE_FD(fd);
        return 0;
}

static int unpack(const json_t *args, const char **ret_path, json_int_t *ret_uid, struct error **err)
{
        json_error_t why;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:I}", "path", ret_path, "uid", ret_uid) < 0)
                return error_set(err, ERROR_FAILED, "step device-grant: %s", why.text);
        return 0;
}

int device_grant_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        _cleanup_close_ int fd = -1;
        const char *path;
        json_int_t uid;
        struct stat st;

        if (unpack(args, &path, &uid, err) < 0 || open_node(path, &st, &fd, err) < 0 ||
            effect_learn(run,
                         json_pack("{s:I, s:I}", "uid", (json_int_t)st.st_uid, "gid", (json_int_t)st.st_gid),
                         err) < 0)
                return -1;
        if (fchownat(fd, "", (uid_t)uid, (gid_t)-1, AT_EMPTY_PATH) < 0)
                return error_os(err, errno, "give '%s' to user %u", path, (unsigned)uid);
        return 0;
}

int device_grant_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        _cleanup_error_ struct error *gone = NULL;
        _cleanup_close_ int fd = -1;
        json_int_t uid, was;
        const char *path;
        struct stat st;

        (void)undo;
        if (unpack(args, &path, &uid, err) < 0)
                return -1;
        /* Not learned: it had not come so far. Somebody else's by now: theirs to say. */
        if (json_unpack((json_t *)learned, "{s:I}", "uid", &was) < 0 ||
            open_node(path, &st, &fd, &gone) < 0 || st.st_uid != (uid_t)uid || was == uid)
                return 0;
        if (fchownat(fd, "", (uid_t)was, (gid_t)-1, AT_EMPTY_PATH) < 0)
                return error_os(err, errno, "give '%s' back to user %u", path, (unsigned)was);
        return 1;
}
