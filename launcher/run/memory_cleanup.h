/*
 * memory_cleanup - the host's page cache dropped and its memory compacted around the starts and ends of VMs.
 *
 * CLEANUP_MEMORY_ON_START and CLEANUP_MEMORY_ON_STOP of kvmrc (opennebula-semantics 4.2): 3 into vm.drop_caches, then 1 into
 * vm.compact_memory. A host helper does it, at most once a minute for all VMs of an instance, of which a host has one; what it
 * cost is a line of the VM's log. It is a convenience: no start fails for it, and nothing is undone.
 */
#pragma once

#include "base/error.h"
#include "launcher/run/effects.h"

/* In RUN: its lock, and seconds since boot of the last time. */
#define MEMORY_CLEANUP_STAMP ".memory-cleanup"

struct memory_cleanup {
        int run_dirfd;  /* RUN; borrowed */
        int log_fd;     /* the VM's log; borrowed, -1: none */
        const char *vm; /* for the line */
        unsigned interval_s;
        unsigned wait_ms; /* 0: it is left to itself */
};

/* For those who do not hold RUN: after a VM of this site has ended or grown; says no more than debug of an error. */
void memory_cleanup_of(const struct site *site, const char *vm, unsigned wait_ms);
/* An error is that it could not be begun, or ERROR_DEADLINE: it goes on by itself then. */
int memory_cleanup(const struct memory_cleanup *cleanup, struct error **err);
/* The host helper's own side; fds as host_helper_fds.h has them. */
int memory_cleanup_serve(const json_t *request, struct error **err);
