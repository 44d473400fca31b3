/*
 * host_facts - what the plan depends on and only the host can say; read once.
 *
 * The facts are the same whoever reads them: nothing here needs a privilege, and nothing depends on the
 * caller. To and from JSON, so that a test can be any host (tests/golden/hosts/).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/number_list.h"
#include "cgroups/cgroup_host.h"
#include "conf/site.h"
#include "conf/vm_spec.h"
#include "launcher/host/systemd_facts.h"

/* What stat() says of a path, as far as permission matters. */
struct file_facts {
        bool exists;
        mode_t mode; /* with file type */
        uid_t uid;
        gid_t gid;
        uint64_t size; /* of a regular file */
};

/* A uid that another VM's machine.lock keeps, and its port of VNC or SPICE. */
struct claimed_uid {
        uid_t uid;
        unsigned port; /* 0: none */
        char *vm;
};

#define HUGEPAGE_SIZES_MAX 8

/* AMD's encryption of guest memory, as far as processor and kernel have it. */
struct sev_facts {
        bool sev, sev_es;
        unsigned cbitpos, reduced_phys_bits; /* CPUID 8000001F */
        struct file_facts node;              /* /dev/sev */
};

struct host_facts {
        char *arch;    /* uname machine: "x86_64" */
        char *kernel;  /* uname release, for messages */
        unsigned cpus; /* online: */
        struct number_list online;
        struct number_list nodes;    /* with memory; empty: a kernel that knows of none */
        bool cpu_has_virt;           /* x86 with /dev/kvm: vmx or svm in /proc/cpuinfo; else true */
        struct file_facts kvm_node;  /* /dev/kvm */
        char *kvm_group;             /* the name of its group, or NULL */
        struct file_facts vhost_net; /* /dev/vhost-net */
        uint64_t hugepage_sizes[HUGEPAGE_SIZES_MAX]; /* bytes, ascending */
        size_t n_hugepage_sizes;
        uint64_t hugepage_default; /* 0: none */
        struct sev_facts sev;
        char *sev_group; /* the name of /dev/sev's group, or NULL */
        struct cgroup_host cgroup;
        struct systemd_facts systemd;
        struct claimed_uid *claimed_uids; /* sorted by VM; read by host_claims_read() */
        size_t n_claimed_uids;
        bool has_claims;  /* they were read */
        char **addresses; /* of the interfaces; read by host_addresses_read() where a plan needs them */
        size_t n_addresses;
        struct error *warnings; /* a machine.lock that cannot be read: its uid is not known; not in JSON */
};

/* What only some plans depend on. */
enum host_facts_part {
        HOST_FACTS_CPU = 1 << 0,          /* the processor's flags */
        HOST_FACTS_KVM = 1 << 1,          /* /dev/kvm, /dev/vhost-net */
        HOST_FACTS_MEMORY = 1 << 2,       /* huge pages, memory nodes, SEV */
        HOST_FACTS_CGROUP_FILES = 1 << 3, /* cgroup_host_find_files() */
        HOST_FACTS_ALL = 0xf,
};

/* The parts that a plan of spec depends on. */
unsigned host_facts_needed(const struct vm_spec *spec);
/* needed: of enum host_facts_part; of the others it says that the host has none. */
int host_facts_read(unsigned needed, struct host_facts **ret, struct error **err);
/* What other VMs' machine.lock keep, a file for each of them, so only where a plan depends on it; unless they were read. */
int host_claims_read(const struct paths *paths, struct host_facts *facts, struct error **err);
/* The host's IP addresses, without the scope of link-local ones. */
int host_addresses_read(struct host_facts *facts, struct error **err);
/* One address in two spellings? */
bool address_equal(const char *a, const char *b);
json_t *host_facts_to_json(const struct host_facts *facts);
int host_facts_from_json(const json_t *json, struct host_facts **ret, struct error **err);
void host_facts_free(struct host_facts *facts);
DEFINE_FREEP(struct host_facts, host_facts_free)

/* stat() of path, following links; a missing file is not an error, one that the caller may not look at is. */
int file_facts_read(const char *path, struct file_facts *ret, struct error **err);
void file_facts_from_stat(const struct stat *st, struct file_facts *ret);
json_t *file_facts_to_json(const struct file_facts *facts);
/* what is for the error. */
int file_facts_from_json(const json_t *json, const char *what, struct file_facts *ret, struct error **err);
/* May a process without capabilities, of this uid, whose only groups are gid and extra_gid ((gid_t)-1:
 * none), open a file of these facts so? ACLs are not looked at. */
bool file_facts_allow(const struct file_facts *facts, uid_t uid, gid_t gid, gid_t extra_gid, bool read,
                      bool write);
