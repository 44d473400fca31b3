/*
 * host_fixture - what programs on the real host share: a plan made by hand, a bridge, what stands beside them. Root only.
 */
#pragma once

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "launcher/plan/launch_plan.h"
#include "net/net_apply.h"

/* Whether a test may have taps in a network namespace of its own; if not it says so, and is to end with 77. */
static inline bool has_taps(void)
{
        if (geteuid() == 0 && unshare(CLONE_NEWNET) == 0 && access("/dev/net/tun", R_OK | W_OK) == 0)
                return true;
        puts("skipped: needs root, network namespaces and /dev/net/tun");
        return false;
}

static inline void add_step(struct launch_plan *plan, enum plan_effect effect, json_t *args)
{
        assert_non_null(args);
        ARRAY_GROW(plan->steps, plan->n_steps);
        plan->steps[plan->n_steps++] = (struct plan_step){ .effect = effect, .args = args };
}

static inline void add_arg(struct launch_plan *plan, const char *text)
{
        ARRAY_GROW(plan->args, plan->n_args);
        plan->args[plan->n_args++] = (struct plan_arg){ .text = xstrdup(text) };
}

static inline void add_fd(struct launch_plan *plan, int child_fd, const char *source)
{
        ARRAY_GROW(plan->fds, plan->n_fds);
        plan->fds[plan->n_fds++] = (struct plan_fd){ .child_fd = child_fd, .source = xstrdup(source) };
}

static inline void add_nic_steps(struct launch_plan *plan, const struct net_nic *nic)
{
        struct net_op ops[NET_OPS_PER_NIC];
        struct error *err = NULL;
        size_t n;

        assert_int_equal(net_plan_nic(nic, ops, &n, &err), 0);
        for (size_t i = 0; i < n; i++)
                add_step(plan, EFFECT_NET, net_op_to_json(&ops[i]));
}

static inline void free_plan(struct launch_plan *plan)
{
        for (size_t i = 0; i < plan->n_steps; i++)
                json_decref(plan->steps[i].args);
        for (size_t i = 0; i < plan->n_args; i++)
                free(plan->args[i].text);
        for (size_t i = 0; i < plan->n_fds; i++)
                free(plan->fds[i].source);
        if (plan->env)
                free(plan->env[0]);
        free(plan->env);
        free(plan->steps);
        free(plan->args);
        free(plan->fds);
        free(plan->name);
        free(plan->emulator);
        free(plan->cgroup);
        free(plan->qemu_group);
}

/* Bridges by hand, as the administrator makes them: the library makes none. SIOCBRADDBR. */
static inline void make_bridge(const char *name)
{
        _cleanup_close_ int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        assert_int_equal(ioctl(sock, 0x89a0, name), 0);
}

/* build/tests/stand_in beside build/tests/it_execute. */
static inline char *beside_us(const char *name)
{
        char self[4096] = "";

        assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
        *strrchr(self, '/') = '\0';
        return xasprintf("%s/%s", self, name);
}

/* For costs that are printed. */
static inline double now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}
