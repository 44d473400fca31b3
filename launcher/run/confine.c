#include "launcher/run/confine.h"

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

/* Of the calling thread; capset(2) takes them back. */
struct capabilities {
        struct __user_cap_header_struct header;
        /* The lower 32 of each set, and the others. */
        struct __user_cap_data_struct words[_LINUX_CAPABILITY_U32S_3];
};

static int set_capabilities(const struct capabilities *own)
{
        return (int)syscall(SYS_capset, &own->header, own->words);
}

static int drop_capabilities(void)
{
        const struct capabilities none = { .header.version = _LINUX_CAPABILITY_VERSION_3 };

        return set_capabilities(&none);
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

static int read_own(struct capabilities *own, struct error **err)
{
        *own = (struct capabilities){ .header.version = _LINUX_CAPABILITY_VERSION_3 };
        if (syscall(SYS_capget, &own->header, own->words) < 0)
                return error_os(err, errno, "read the capabilities of this process");
        return 0;
}

int confine_lower_capabilities(struct error **err)
{
        struct capabilities own;

        if (read_own(&own, err) < 0)
                return -1;
        own.words[0].effective = own.words[1].effective = 0;
        if (set_capabilities(&own) < 0)
                return error_os(err, errno, "lower the capabilities");
        return 0;
}

int confine_keep_capabilities(const int *capabilities, size_t n, struct error **err)
{
        struct __user_cap_data_struct keep[_LINUX_CAPABILITY_U32S_3] = { 0 };
        struct capabilities own;

        if (read_own(&own, err) < 0)
                return -1;
        for (size_t i = 0; i < n; i++)
                keep[CAP_TO_INDEX(capabilities[i])].permitted |= CAP_TO_MASK(capabilities[i]);
        for (size_t i = 0; i < ARRAY_SIZE(keep); i++) {
                own.words[i].effective &= keep[i].permitted;
                own.words[i].permitted &= keep[i].permitted;
                own.words[i].inheritable &= keep[i].permitted;
        }
        if (set_capabilities(&own) < 0)
                return error_os(err, errno, "give up capabilities");
        return 0;
}

int confine_send_signal(int pidfd, int sig, struct error **err)
{
        const uint32_t kill = CAP_TO_MASK(CAP_KILL);
        struct capabilities own;
        bool raised, sent;
        int saved;

        if (read_own(&own, err) < 0)
                return -1;
        raised = !(own.words[0].effective & kill) && (own.words[0].permitted & kill);
        own.words[0].effective |= raised ? kill : 0;
        raised = raised && set_capabilities(&own) == 0;
        sent = fd_pidfd_send_signal(pidfd, sig) == 0;
        saved = errno;
        if (raised) {
                own.words[0].effective &= ~kill;
                set_capabilities(&own);
        }
        if (!sent && saved != ESRCH)
                return error_os(err, saved, "send signal %d to QEMU", sig);
        return 0;
}
