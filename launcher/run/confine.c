#include "launcher/run/confine.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/number_list.h"

/* Linux' MAX_NUMNODES at most. */
#define MEMORY_NODES_MAX 1024
/* More than any kernel has: capability sets are 64 bits wide. */
#define CAPABILITIES_MAX 64

static int drop_bounding_set(void)
{
        for (unsigned long cap = 0; cap < CAPABILITIES_MAX; cap++) {
                if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
                        continue;
                /* EINVAL: no such capability, so there are no more. */
                return errno == EINVAL && cap > 0 ? 0 : -1;
        }
        return 0;
}

static int drop_capabilities(void)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

        return (int)syscall(SYS_capset, &header, none);
}

static int change_ids(const struct plan_confinement *confine, const char **ret_what)
{
        *ret_what = "set the supplementary groups";
        if (setgroups(confine->n_groups, confine->groups) < 0)
                return -1;
        *ret_what = "set the gid";
        if (setresgid(confine->gid, confine->gid, confine->gid) < 0)
                return -1;
        *ret_what = "set the uid";
        return setresuid(confine->uid, confine->uid, confine->uid);
}

static int set_memory_rules(const struct plan_confinement *confine, const char **ret_what)
{
        rlim_t most = confine->memlock == UINT64_MAX ? RLIM_INFINITY : (rlim_t)confine->memlock;

        *ret_what = "raise the limit of locked memory (MEMORY_BACKING/LOCKED)";
        if (confine->memlock && setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ most, most }) < 0)
                return -1;
        /* Kept by exec; kernels before 3.15 do not know it. */
        *ret_what = "switch transparent huge pages off (MEMORY_BACKING/THP)";
        return confine->no_thp ? prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) : 0;
}

/* With them all threads begin. In the control group already, whose cpuset says what is left of them. */
static int set_places(const struct plan_confinement *confine, const char **ret_what)
{
        struct number_list wanted, has = { 0 };

        *ret_what = "run on all CPUs of CPUTUNE (its cpuset may lack some)";
        if (confine->cpus) {
                if (!number_list_parse(confine->cpus, &wanted) ||
                    sched_setaffinity(0, sizeof(wanted), (const cpu_set_t *)&wanted) < 0 ||
                    sched_getaffinity(0, sizeof(has), (cpu_set_t *)&has) < 0)
                        return -1;
                if (!number_list_is_within(&wanted, &has))
                        return errno = EINVAL, -1;
        }
        *ret_what = "take memory from the nodes of NUMATUNE";
        if (!confine->memory_nodes)
                return 0;
        if (!number_list_parse(confine->memory_nodes, &wanted))
                return errno = EINVAL, -1;
        /* Kept by exec; the kernel takes one bit less than it is told. */
        return (int)syscall(SYS_set_mempolicy, MPOL_BIND, wanted.bits, MEMORY_NODES_MAX + 1);
}

int confine_child(const struct plan_confinement *confine, const char **ret_what)
{
        bool is_root = geteuid() == 0;

        if (set_memory_rules(confine, ret_what) < 0 || set_places(confine, ret_what) < 0)
                return -1;
        /* Needs CAP_SETPCAP, which goes with uid 0. Without it no_new_privs keeps exec from using the set. */
        *ret_what = "empty the capability bounding set";
        if (drop_bounding_set() < 0 && (is_root || errno != EPERM))
                return -1;
        /* Kernels before 4.3 have no ambient set. */
        *ret_what = "clear the ambient capabilities";
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
                return -1;
        if ((is_root || confine->uid != geteuid()) && change_ids(confine, ret_what) < 0)
                return -1;
        *ret_what = "drop all capabilities";
        if (drop_capabilities() < 0)
                return -1;
        *ret_what = "set no_new_privs";
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static int apply(const char *what, struct error **err)
{
        errno = 0;
        if (capng_apply(CAPNG_SELECT_CAPS) < 0)
                return error_os(err, errno ? errno : EPERM, "%s", what);
        return 0;
}

static int read_own(struct error **err)
{
        capng_setpid((int)getpid());
        if (capng_get_caps_process() < 0)
                return error_set(err, ERROR_FAILED, "read the capabilities of this process");
        return 0;
}

int confine_lower_capabilities(struct error **err)
{
        if (read_own(err) < 0)
                return -1;
        for (unsigned cap = 0; cap <= (unsigned)CAP_LAST_CAP; cap++)
                capng_update(CAPNG_DROP, CAPNG_EFFECTIVE, cap);
        return apply("lower the capabilities", err);
}

int confine_keep_capabilities(const int *capabilities, size_t n, struct error **err)
{
        uint64_t keep = 0;

        for (size_t i = 0; i < n; i++)
                keep |= UINT64_C(1) << capabilities[i];
        if (read_own(err) < 0)
                return -1;
        for (unsigned cap = 0; cap <= (unsigned)CAP_LAST_CAP; cap++)
                if (!(keep & (UINT64_C(1) << cap)))
                        capng_update(CAPNG_DROP, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE, cap);
        return apply("give up capabilities", err);
}

/* Makes CAP_KILL effective or not; false: it is not permitted. */
static bool switch_kill(bool on)
{
        struct error *ignored = NULL;

        if (!capng_have_capability(CAPNG_PERMITTED, CAP_KILL))
                return false;
        capng_update(on ? CAPNG_ADD : CAPNG_DROP, CAPNG_EFFECTIVE, CAP_KILL);
        if (apply("switch CAP_KILL", &ignored) == 0)
                return true;
        error_free(ignored);
        return false;
}

int confine_send_signal(int pidfd, int sig, struct error **err)
{
        bool raised, sent;
        int saved;

        if (read_own(err) < 0)
                return -1;
        raised = !capng_have_capability(CAPNG_EFFECTIVE, CAP_KILL) && switch_kill(true);
        sent = fd_pidfd_send_signal(pidfd, sig) == 0;
        saved = errno;
        if (raised)
                switch_kill(false);
        if (!sent && saved != ESRCH)
                return error_os(err, saved, "send signal %d to QEMU", sig);
        return 0;
}
