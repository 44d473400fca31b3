/*
 * site - this host's configuration: directories, the three default layers, kvmrc.
 *
 * Files of DESIGN sections 5.2 and 6. Pure but for site_load(), which reads the (optional) files once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "conf/owner.h"
#include "conf/template.h"

/* Absolute directories of one instance, all below --root when one is given. Owned strings. */
struct paths {
        bool user;   /* an ordinary user's instance, whose directories are those of conf/owner.h */
        char *root;  /* "" or "/some/root" */
        char *etc;   /* /etc/vmlaunch */
        char *run;   /* /run/vmlaunch */
        char *state; /* /var/lib/vmlaunch */
        char *log;   /* /var/log/vmlaunch */
        char *cache; /* /var/cache/vmlaunch */
};

/* owner NULL: the system. */
void paths_init(struct paths *paths, const char *root, const struct owner *owner);
void paths_done(struct paths *paths);

/* The variables of kvmrc that this program acts on (docs/differences.md says where upstream differs). */
/* DEFAULT_ATTACH_CACHE=none: CACHE, none. */
struct kvmrc_attach {
        char *key, *value;
};

struct kvmrc {
        unsigned shutdown_timeout_s; /* SHUTDOWN_TIMEOUT, 180 */
        bool force_destroy;          /* FORCE_DESTROY, no */
        bool cancel_no_acpi;         /* CANCEL_NO_ACPI, no */
        bool sync_time;              /* SYNC_TIME, yes */
        bool cleanup_on_start;       /* CLEANUP_MEMORY_ON_START, no */
        bool cleanup_on_stop;        /* CLEANUP_MEMORY_ON_STOP, no */
        char *ovmf_nvram;            /* OVMF_NVRAM; owned, NULL: not set */
        struct kvmrc_attach *attach; /* DEFAULT_ATTACH_*, each key once; owned */
        size_t n_attach;
        char *virtiofsd; /* VIRTIOFSD_BINARY_PATH: programs separated by blanks */
};

struct site {
        struct paths paths;
        struct owner owner;
        struct template *driver;  /* vmm_exec_kvm.conf; NULL: no such file */
        struct template *cluster; /* cluster.conf */
        struct template *host;    /* host.conf */
        struct kvmrc kvmrc;
        char *image_dir;           /* IMAGE_DIR of host.conf */
        char *datastore_location;  /* DATASTORE_LOCATION of host.conf */
        uid_t uid_first, uid_last; /* UID_RANGE of host.conf: "1900000000-1900065535"; a user's own */
        unsigned q35_root_ports;   /* Q35_ROOT_PORTS, 16 */
        bool q35_numa_pcie;        /* Q35_NUMA_PCIE, no */
        char **emulators;          /* EMULATORS of host.conf, NULL-terminated; NULL: no list */
        char **nic_scripts;        /* NIC_SCRIPTS of host.conf, likewise */
        struct error *warnings;    /* unknown lines of kvmrc and the like; owned */
};

/* root NULL or "": the directories of the owner (NULL: the system). Missing files are fine; a broken one is an error. */
int site_load(const char *root, const struct owner *owner, struct site **ret, struct error **err);
/* The same from texts, for tests: any may be NULL. */
int site_from_text(const char *root, const char *driver, const char *cluster, const char *host,
                   const char *kvmrc, struct site **ret, struct error **err);
/* The same of an ordinary user's instance, which has host.conf alone. */
int site_of_user(const char *root, const struct owner *owner, const char *host, struct site **ret,
                 struct error **err);
void site_free(struct site *site);
DEFINE_FREEP(struct site, site_free)
