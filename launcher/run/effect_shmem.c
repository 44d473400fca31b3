/*
 * Memory that virtual machines share. Each QEMU has another uid, so anybody may write the file; but its directory is root's
 * (the instance's own user's), and who has no fd of it does not get there. A shared lock on the fd that QEMU inherits
 * says that somebody has it: who can lock it for himself alone is the last one.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "launcher/run/effects.h"

/* The last one's undo takes no time. */
#define TRIES 100

/* A file of this name that nobody is about to remove; -1 and *err. */
static int open_file(const char *path, struct error **err)
{
        for (int i = 0; i < TRIES; i++) {
                int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
                struct stat st;

                if (fd < 0)
                        return error_os(err, errno, "open '%s'", path);
                /* waits: not at all */
                if (flock(fd, LOCK_SH | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink)
                        return fd;
                fd_close(&fd);
                /* waits: TRIES of them, 0.1 s */
                usleep(1000);
        }
        return error_set(err, ERROR_BUSY, "'%s' is locked by another program", path);
}

int shared_memory_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        _cleanup_free_ char *copy = NULL;
        _cleanup_close_ int fd = -1;
        const char *path, *name;
        json_error_t why;
        json_int_t size;
        struct stat st;

        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:I, s:s}", "path", &path, "size", &size, "fd",
                           &name) < 0)
                return error_set(err, ERROR_FAILED, "step shared-memory: %s", why.text);
        copy = xstrdup(path);
        if (fd_mkdir_p(AT_FDCWD, dirname(copy), 0700, err) < 0)
                return -1;
        fd = open_file(path, err);
        if (fd < 0)
                return -1;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return error_set(err, ERROR_FAILED, "'%s' is not a regular file", path);
        if (st.st_size && st.st_size != size) {
                error_set(err, ERROR_BUSY, "shared memory '%s' has %lld bytes, not %lld", path,
                          (long long)st.st_size, (long long)size);
                return error_hint(err, "SHMEM/SIZE has to be the same for all VMs that have it");
        }
        if (fchmod(fd, 0666) < 0 || ftruncate(fd, size) < 0)
                error_os(err, errno, "make '%s' of %lld bytes", path, (long long)size);
        if (*err) {
                fd_close(&fd);
                shared_memory_undo(NULL, args, NULL, err);
                return -1;
        }
        effect_keep_fd(run, name, TAKE_FD(fd));
        return 0;
}

int shared_memory_undo(struct effect_undo *undo, const json_t *args, const json_t *learned,
                       struct error **err)
{
        const char *path = json_member_string(args, "path");
        _cleanup_close_ int fd = path ? open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
        struct stat st;

        (void)undo, (void)learned, (void)err;
        /* waits: not at all. Somebody else has it, or it is gone: then the path may be a new file's. */
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 || !st.st_nlink)
                return 0;
        return unlink(path) == 0;
}
