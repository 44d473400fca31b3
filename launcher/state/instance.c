#include "launcher/state/instance.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "launcher/state/crash_point.h"

#define FILE_NAME    ".instance" /* no VM has such a name */
#define NEW_PREFIX   FILE_NAME ".new."
#define RANDOM_BYTES 16
#define FILE_MAX     4096

/* What is in it does not matter, only that it is there: a file cut short is as good. 1: *ret; 0: no file; -1: *err. */
static int read_id(const struct paths *paths, char **ret, struct error **err)
{
        _cleanup_free_ char *path = xasprintf("%s/" FILE_NAME, paths->state);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        _cleanup_text_ struct text all = TEXT_INIT;
        _cleanup_free_ char *content = NULL;
        struct stat st;
        size_t n = 0;
        uint64_t hash;

        if (fd < 0)
                return errno == ENOENT ? 0 : error_os(err, errno, "open '%s'", FILE_NAME);
        if (fstat(fd, &st) < 0)
                return error_os(err, errno, "stat '%s'", FILE_NAME);
        if (fd_read_all(fd, FILE_NAME, FILE_MAX, &content, &n, err) < 0)
                return -1;
        text_addf(&all, "%llu:%llu:", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
        text_add_bytes(&all, content, n);
        hash = text_hash(all.data, all.length);
        *ret = xasprintf("%08x", (unsigned)(hash ^ hash >> 32));
        return 1;
}

/* Whole or not at all: of two first starts one makes it, and both read it. */
static int make_file(const struct paths *paths, struct error **err)
{
        _cleanup_free_ char *temporary = xasprintf(NEW_PREFIX "%d", (int)getpid());
        unsigned char bytes[RANDOM_BYTES];
        char digits[2 * RANDOM_BYTES + 2];
        _cleanup_close_ int fd = -1, dirfd = -1;
        int result = 0;

        if (fd_mkdir_p(AT_FDCWD, paths->state, 0755, err) < 0)
                return -1;
        dirfd = open(paths->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dirfd < 0)
                return error_os(err, errno, "open '%s'", paths->state);
        if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
                return error_os(err, errno, "draw random bytes");
        for (size_t i = 0; i < sizeof(bytes); i++)
                snprintf(digits + 2 * i, 3, "%02x", bytes[i]);
        strcat(digits, "\n");
        /* Of a process with our pid that died here. */
        unlinkat(dirfd, temporary, 0);
        fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return error_os(err, errno, "create '%s'", FILE_NAME);
        if (fd_write_all(fd, FILE_NAME, digits, strlen(digits), err) < 0)
                result = -1;
        /* Swept away: then there is one already. */
        else if (linkat(dirfd, temporary, dirfd, FILE_NAME, 0) < 0 && errno != EEXIST && errno != ENOENT)
                result = error_os(err, errno, "create '%s'", FILE_NAME);
        crash_point(CRASH_INSTANCE_MADE);
        unlinkat(dirfd, temporary, 0);
        return result;
}

int instance_id(const struct paths *paths, bool make, char **ret, struct error **err)
{
        int found = read_id(paths, ret, err);

        if (found == 0 && make && make_file(paths, err) == 0 && (found = read_id(paths, ret, err)) == 0)
                error_set(err, ERROR_FAILED, "it is removed all the time");
        if (*err)
                return error_wrap(err, "the instance's id in '%s'", paths->state);
        if (found == 0)
                *ret = NULL;
        return 0;
}

void instance_sweep(const struct paths *paths)
{
        DIR *dir = opendir(paths->state);

        if (dir && faccessat(dirfd(dir), FILE_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
                crash_point(CRASH_ORPHAN_REMOVE);
                for (struct dirent *entry; (entry = readdir(dir));)
                        if (text_starts_with(entry->d_name, NEW_PREFIX))
                                unlinkat(dirfd(dir), entry->d_name, 0);
        }
        if (dir)
                closedir(dir);
}
