#include "launcher/run/thread_cpus.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/number_list.h"
#include "base/text.h"
#include "launcher/plan/launch_plan.h"

#define STATUS_MAX 65536

int thread_cpus_open(pid_t pid, int pidfd, int *ret)
{
        _cleanup_free_ char *path = xasprintf("/proc/%d/task", (int)pid);
        _cleanup_close_ int fd = open(path, O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return errno = errno == ENOENT ? ESRCH : errno, -1;
        /* The pid was this process's when the directory was opened if it still has not ended. */
        if (fd_pidfd_check(pidfd) < 0)
                return -1;
        *ret = TAKE_FD(fd);
        return 0;
}

char *thread_cpus_read(int threads_fd, pid_t tid)
{
        static const char word[] = "\nCpus_allowed_list:";
        _cleanup_free_ char *path = xasprintf("%d/status", (int)tid), *text = NULL;
        struct error *ignored = NULL;
        const char *line;

        if (fd_read_file_at(threads_fd, path, STATUS_MAX, &text, NULL, &ignored) < 0) {
                error_free(ignored);
                return NULL;
        }
        line = strstr(text, word);
        if (!line)
                return NULL;
        line += strlen(word);
        line += strspn(line, " \t");
        return xstrndup(line, strcspn(line, "\n"));
}

static int check_thread(int threads_fd, pid_t tid)
{
        _cleanup_free_ char *name = xasprintf("%d", (int)tid);

        if (faccessat(threads_fd, name, F_OK, 0) == 0)
                return 0;
        return errno = errno == ENOENT ? ESRCH : errno, -1;
}

int thread_cpus_set(int threads_fd, pid_t tid, const char *cpus)
{
        struct number_list list;

        if (strcmp(cpus, AFFINITY_ANY) == 0)
                memset(&list, 0xff, sizeof(list));
        else if (!number_list_parse(cpus, &list))
                return errno = EINVAL, -1;
        if (check_thread(threads_fd, tid) < 0 ||
            sched_setaffinity(tid, sizeof(list), (const cpu_set_t *)&list) < 0)
                return -1;
        /* What was there before and is there after was there in between. */
        return check_thread(threads_fd, tid);
}
