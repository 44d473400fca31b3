#include "launcher/run/stuck.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "launcher/state/state_dir.h"

#define FILE_MAX 4096
#define TELL_MAX 3

/* Those whose first argument is an fd and that may wait for its file. */
static const long fd_calls[] = {
        SYS_read,      SYS_write,     SYS_pread64, SYS_pwrite64, SYS_preadv, SYS_pwritev,
        SYS_preadv2,   SYS_pwritev2,  SYS_fsync,   SYS_close,    SYS_fstat,  SYS_fdatasync,
        SYS_fallocate, SYS_ftruncate, SYS_lseek,   SYS_ioctl,
};

/* A small file below dirfd, without its last line end; NULL: it cannot be read. */
static char *read_small(int dirfd, const char *name)
{
        _cleanup_error_ struct error *ignored = NULL;
        char *text = NULL;
        size_t n = 0;

        if (fd_read_file_at(dirfd, name, FILE_MAX, &text, &n, &ignored) < 0)
                return NULL;
        if (n && text[n - 1] == '\n')
                text[n - 1] = '\0';
        return text;
}

/* What the thread's system call is about, printable; NULL: not known. */
static char *file_of(int task_fd)
{
        _cleanup_free_ char *text = read_small(task_fd, "syscall"), *link = NULL, *path = NULL;
        unsigned long long argument;
        bool has_fd = false;
        long number;

        if (!text || sscanf(text, "%ld 0x%llx", &number, &argument) != 2 || argument > INT_MAX)
                return NULL;
        for (size_t i = 0; i < ARRAY_SIZE(fd_calls); i++)
                has_fd = has_fd || fd_calls[i] == number;
        if (!has_fd)
                return NULL;
        link = xasprintf("fd/%d", (int)argument);
        path = fd_read_link(task_fd, link);
        return path ? text_printable(path) : NULL;
}

/* false: it is not held. */
static bool tell(struct text *out, int tasks_fd, const char *tid)
{
        _cleanup_close_ int fd = openat(tasks_fd, tid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *stat_text = fd < 0 ? NULL : read_small(fd, "stat"), *name = NULL, *where = NULL,
                            *file = NULL, *shown = NULL;

        if (!stat_text || process_state_in(stat_text) != 'D')
                return false;
        name = read_small(fd, "comm");
        shown = text_printable(name ? name : "?");
        where = read_small(fd, "wchan");
        file = file_of(fd);
        text_addf(out, "%sthread '%s' (%s)", out->length ? ", " : "", shown, tid);
        if (where && *where && strcmp(where, "0") != 0)
                text_addf(out, " in %s", where);
        if (file)
                text_addf(out, ", about '%s'", file);
        return true;
}

char *stuck_where(pid_t pid)
{
        _cleanup_free_ char *path = xasprintf("/proc/%d/task", (int)pid);
        DIR *dir = opendir(path);
        struct text out = TEXT_INIT;
        unsigned n = 0;

        for (struct dirent *entry; dir && (entry = readdir(dir));)
                if (*entry->d_name != '.' && n < TELL_MAX && tell(&out, dirfd(dir), entry->d_name))
                        n++;
        if (dir)
                closedir(dir);
        return n ? text_take(&out) : NULL;
}
