#include "launcher/state/state_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/spec_build.h"
#include "launcher/state/crash_point.h"

/* How often a directory is tried that its last run removes just now, or whose lock's holder will let go: 5 s. */
#define MAX_TRIES 1000
#define LOOK_MS   5
/* /proc/locks of a host with many locks; beyond it we say that we do not know. */
#define PROC_LOCKS_MAX (8u << 20)
/* What is in the lock file of a holder that will let go by itself, behind its pid. */
#define BRIEFLY "briefly\n"
/* /proc/PID/stat, whose numbers have 20 digits at most. */
#define STAT_MAX 1280

static int check_name(const char *name, struct error **err)
{
        if (!spec_name_is_valid(name)) {
                _cleanup_free_ char *printable = text_printable(name);

                return error_set(err, ERROR_INVALID, "'%s' is not a VM name", printable);
        }
        if (spec_name_is_reserved(name))
                return error_set(err, ERROR_INVALID, "'%s' is a directory of vmlaunch's own, not a VM name",
                                 name);
        return 0;
}

static struct vm_dir *vm_dir_new(const struct paths *paths, const char *name)
{
        struct vm_dir *vm = xcalloc(1, sizeof(*vm));

        vm->name = xstrdup(name);
        vm->path = xasprintf("%s/%s", paths->run, name);
        vm->fd = vm->lock_fd = -1;
        return vm;
}

static void vm_dir_freep(struct vm_dir **vm)
{
        vm_dir_release(*vm, true);
}

int run_dir_open(const struct paths *paths, int *ret_fd, struct error **err)
{
        _cleanup_close_ int fd = open(paths->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT) {
                if (fd_mkdir_p(AT_FDCWD, paths->run, 0755, err) < 0)
                        return -1;
                fd = open(paths->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                /* Whatever umask the caller has: `list` is for everybody. */
                if (fd >= 0 && fchmod(fd, 0755) < 0)
                        return error_os(err, errno, "set the mode of '%s'", paths->run);
        }
        if (fd < 0)
                return error_os(err, errno, "open '%s'", paths->run);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int lock_whole(int fd)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        return fcntl(fd, F_OFD_SETLK, &lock);
}

static bool same_file(int dirfd, const char *path, int fd)
{
        struct stat by_fd, by_path;

        return fstat(fd, &by_fd) == 0 && fstatat(dirfd, path, &by_path, AT_SYMLINK_NOFOLLOW) == 0 &&
               by_fd.st_dev == by_path.st_dev && by_fd.st_ino == by_path.st_ino;
}

/* The pid that the holder wrote into its lock file; 0: it has not yet. ret_briefly may be NULL. */
static pid_t read_pid(int lock_fd, bool *ret_briefly)
{
        char text[32] = "";
        uint32_t pid = 0;
        ssize_t n = pread(lock_fd, text, sizeof(text) - 1, 0);
        size_t end = strcspn(text, "\n");

        if (n <= 0)
                return 0;
        if (ret_briefly)
                *ret_briefly = text[end] && strcmp(text + end + 1, BRIEFLY) == 0;
        text[end] = '\0';
        return text_parse_u32(text, &pid) ? (pid_t)pid : 0;
}

static int write_pid(int lock_fd, bool briefly, struct error **err)
{
        char text[32];
        int n = snprintf(text, sizeof(text), "%d\n%s", (int)getpid(), briefly ? BRIEFLY : "");

        if (ftruncate(lock_fd, 0) < 0 || pwrite(lock_fd, text, (size_t)n, 0) != n)
                return error_os(err, errno ? errno : EIO, "write the pid into the lock file");
        return 0;
}

static int busy(const char *name, int lock_fd, struct error **err)
{
        pid_t pid = read_pid(lock_fd, NULL);

        if (pid)
                error_set(err, ERROR_BUSY, "VM '%s' is in use: process %d holds its lock", name, (int)pid);
        else
                error_set(err, ERROR_BUSY, "VM '%s' is in use: another process holds its lock", name);
        return error_hint(err, "it runs already, or is about to start or to end: 'vmlaunch status %s'", name);
}

/* What another holds: is it going to let go? One that has not said who it is yet will have in a moment. */
static bool is_brief(int lock_fd)
{
        bool briefly = false;

        return read_pid(lock_fd, &briefly) == 0 || briefly;
}

/* 1: locked; 0: the directory was removed under us, or the holder will let go: try again; -1: *err. wait: for that. */
static int try_lock(struct vm_dir *vm, int run_fd, bool briefly, bool wait, struct error **err)
{
        _cleanup_free_ char *lock_path = xasprintf("%s/lock", vm->name);
        _cleanup_close_ int dir = -1, lock = -1;
        bool made = mkdirat(run_fd, vm->name, 0755) == 0;

        if (!made && errno != EEXIST)
                return error_os(err, errno, "create '%s'", vm->path);
        dir = openat(run_fd, vm->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (dir < 0)
                return errno == ENOENT ? 0 : error_os(err, errno, "open '%s'", vm->path);
        if (made && fchmod(dir, 0755) < 0)
                return error_os(err, errno, "set the mode of '%s'", vm->path);
        crash_point(CRASH_VM_DIR);
        lock = openat(dir, "lock", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        vm->is_new = lock >= 0;
        if (lock < 0 && errno == EEXIST)
                lock = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (lock < 0)
                return errno == ENOENT ? 0 : error_os(err, errno, "open '%s/lock'", vm->path);
        if (lock_whole(lock) < 0) {
                if (errno != EAGAIN && errno != EACCES)
                        return error_os(err, errno, "lock '%s/lock'", vm->path);
                if (!same_file(run_fd, lock_path, lock))
                        return 0;
                if (!wait || !is_brief(lock))
                        return busy(vm->name, lock, err);
                poll(NULL, 0, LOOK_MS);
                return 0;
        }
        if (!same_file(run_fd, lock_path, lock))
                return 0;
        if (write_pid(lock, briefly, err) < 0) {
                unlinkat(dir, "lock", 0);
                if (made)
                        unlinkat(run_fd, vm->name, AT_REMOVEDIR);
                return -1;
        }
        vm->fd = TAKE_FD(dir);
        vm->lock_fd = TAKE_FD(lock);
        return 1;
}

static int lock(const struct paths *paths, const char *name, bool briefly, struct vm_dir **ret,
                struct error **err)
{
        _cleanup_(vm_dir_freep) struct vm_dir *vm = NULL;
        _cleanup_close_ int run_fd = -1;
        int locked = 0;

        if (check_name(name, err) < 0 || run_dir_open(paths, &run_fd, err) < 0)
                return -1;
        crash_points_init(run_fd);
        vm = vm_dir_new(paths, name);
        for (unsigned i = 0; !locked && i < MAX_TRIES; i++)
                locked = try_lock(vm, run_fd, briefly, !briefly && i + 1 < MAX_TRIES, err);
        if (locked < 0)
                return -1;
        if (!locked)
                return error_set(err, ERROR_BUSY, "'%s' is removed all the time", vm->path);
        crash_point(CRASH_VM_LOCKED);
        *ret = TAKE_PTR(vm);
        return 0;
}

int vm_dir_lock(const struct paths *paths, const char *name, struct vm_dir **ret, struct error **err)
{
        return lock(paths, name, false, ret, err);
}

int vm_dir_lock_briefly(const struct paths *paths, const char *name, struct vm_dir **ret, struct error **err)
{
        return lock(paths, name, true, ret, err);
}

int vm_dir_take_over(const struct paths *paths, const char *name, int lock_fd_consume, struct vm_dir **ret,
                     struct error **err)
{
        _cleanup_(vm_dir_freep) struct vm_dir *vm = NULL;
        _cleanup_close_ int lock = lock_fd_consume, run_fd = -1;

        if (run_dir_open(paths, &run_fd, err) < 0 || vm_dir_open(paths, name, &vm, err) < 0 || !vm)
                return -1;
        crash_points_init(run_fd);
        if (!same_file(vm->fd, "lock", lock) || lock_whole(lock) < 0)
                return error_set(err, ERROR_FAILED, "what was passed on is not the lock of '%s'", name);
        if (write_pid(lock, false, err) < 0)
                return -1;
        vm->lock_fd = TAKE_FD(lock);
        *ret = TAKE_PTR(vm);
        return 0;
}

int vm_dir_open(const struct paths *paths, const char *name, struct vm_dir **ret, struct error **err)
{
        _cleanup_(vm_dir_freep) struct vm_dir *vm = NULL;

        if (check_name(name, err) < 0)
                return -1;
        vm = vm_dir_new(paths, name);
        vm->fd = open(vm->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (vm->fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
                return error_set(err, ERROR_NO_SUCH_VM, "no VM '%s'", name);
        if (vm->fd < 0)
                return error_os(err, errno, "open '%s'", vm->path);
        *ret = TAKE_PTR(vm);
        return 0;
}

/* The lock file is 0600, as whoever may open it may lock it; but everybody may know that it is locked. */
static bool proc_locks_has(const struct stat *st)
{
        _cleanup_free_ char *text = NULL, *wanted = NULL;
        _cleanup_error_ struct error *error = NULL;

        if (fd_read_file_at(AT_FDCWD, "/proc/locks", PROC_LOCKS_MAX, &text, NULL, &error) < 0)
                return false;
        /* "1: OFDLCK ADVISORY  WRITE -1 00:1a:1234 0 EOF", device in hexadecimal (proc_locks(5)). */
        wanted = xasprintf(" %02x:%02x:%llu ", major(st->st_dev), minor(st->st_dev),
                           (unsigned long long)st->st_ino);
        return strstr(text, wanted) != NULL;
}

bool vm_dir_is_locked(const struct vm_dir *vm, pid_t *ret_pid)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        _cleanup_close_ int fd = -1;
        struct stat st;
        bool locked;

        if (ret_pid)
                *ret_pid = 0;
        if (vm->lock_fd >= 0) {
                if (ret_pid)
                        *ret_pid = getpid();
                return true;
        }
        fd = openat(vm->fd, "lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return errno == EACCES && fstatat(vm->fd, "lock", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                       proc_locks_has(&st);
        locked = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
        if (locked && ret_pid)
                *ret_pid = read_pid(fd, NULL);
        return locked;
}

bool vm_dir_is_at_rest(const struct vm_dir *vm)
{
        return journal_is_empty(vm->fd) && faccessat(vm->fd, "record.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
               (vm->lock_fd >= 0
                        ? vm->is_new
                        : faccessat(vm->fd, "lock", F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT);
}

/*
 * First out of the way in one move, under a name nobody else takes: a new run that makes the directory anew
 * must not lose files to us. Somebody who opened it before that may still put a lock file in, and then
 * notices.
 */
static void remove_directory(const struct vm_dir *vm)
{
        const char *slash = strrchr(vm->path, '/');
        _cleanup_free_ char *gone = NULL;
        struct stat st;

        if (fstat(vm->fd, &st) < 0)
                return;
        gone = xasprintf("%.*s/.gone-%s-%llu", (int)(slash - vm->path), vm->path, vm->name,
                         (unsigned long long)st.st_ino);
        if (rename(vm->path, gone) < 0)
                return;
        crash_point(CRASH_VM_DIR_GONE);
        for (unsigned i = 0; i < MAX_TRIES; i++) {
                _cleanup_error_ struct error *error = NULL;

                if (fd_remove_tree(AT_FDCWD, gone, &error) == 0)
                        break;
        }
}

void vm_dir_release(struct vm_dir *vm, bool keep_directory)
{
        if (!vm)
                return;
        if (!keep_directory && vm->lock_fd >= 0)
                remove_directory(vm);
        fd_close(&vm->lock_fd);
        fd_close(&vm->fd);
        free(vm->name);
        free(vm->path);
        free(vm);
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

int directory_vm_names(const char *path, char ***ret, struct error **err)
{
        DIR *dir = opendir(path);
        char **names = xcalloc(1, sizeof(*names));
        size_t n = 0;

        if (!dir && errno != ENOENT) {
                free(names);
                return error_os(err, errno, "read directory '%s'", path);
        }
        for (struct dirent *entry; dir && (entry = readdir(dir));) {
                if (!spec_name_is_valid(entry->d_name) || spec_name_is_reserved(entry->d_name))
                        continue;
                if (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN)
                        continue;
                names = xreallocarray(names, n + 2, sizeof(*names));
                names[n++] = xstrdup(entry->d_name);
                names[n] = NULL;
        }
        if (dir)
                closedir(dir);
        qsort(names, n, sizeof(*names), compare_names);
        *ret = names;
        return 0;
}

int vm_dir_names(const struct paths *paths, char ***ret, struct error **err)
{
        return directory_vm_names(paths->run, ret, err);
}

void names_free(char **names)
{
        for (size_t i = 0; names && names[i]; i++)
                free(names[i]);
        free(names);
}

/* /proc/PID/stat from behind the name, which is in parentheses and may hold anything. Lent; NULL: none. */
static const char *behind_name(const char *stat_text)
{
        const char *end = strrchr(stat_text, ')');

        return end ? end + 1 : NULL;
}

/* 0, or -1: there is no such process. It is one record, so that one read() has it all. */
static int read_stat(pid_t pid, char text[static STAT_MAX])
{
        _cleanup_close_ int fd = -1;
        char path[32];
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, text, STAT_MAX - 1);
        text[n > 0 ? n : 0] = '\0';
        return n > 0 ? 0 : -1;
}

unsigned long long process_start_time(pid_t pid)
{
        char text[STAT_MAX];
        const char *p = read_stat(pid, text) == 0 ? behind_name(text) : NULL;
        unsigned long long start = 0;

        if (!p ||
            sscanf(p, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                   &start) != 1)
                return 0;
        return start;
}

char process_state_in(const char *stat_text)
{
        const char *p = behind_name(stat_text);
        char state = 0;

        return p && sscanf(p, " %c", &state) == 1 ? state : '\0';
}

char process_state(pid_t pid)
{
        char text[STAT_MAX];

        return read_stat(pid, text) == 0 ? process_state_in(text) : '\0';
}
