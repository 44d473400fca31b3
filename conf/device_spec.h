/*
 * device_spec - the devices of a VM that are neither disk, network nor display; part of vm_spec.
 *
 * Strings are the rows' and owned by the spec; what is said to be parsed or worked out is filled in by
 * spec_set_devices().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "conf/origin.h"

enum watchdog_model { WATCHDOG_I6300ESB, WATCHDOG_IB700, WATCHDOG_ITCO };
enum watchdog_action {
        WATCHDOG_RESET,
        WATCHDOG_SHUTDOWN,
        WATCHDOG_POWEROFF,
        WATCHDOG_PAUSE,
        WATCHDOG_DEBUG,
        WATCHDOG_NONE,
        WATCHDOG_INJECT_NMI
};
enum tpm_model { TPM_CRB, TPM_TIS };
/* virtio 1.2, 5.11.4: 36 bytes of UTF-8; hw/9pfs of QEMU: 31. */
#define FILESYSTEM_TAG_MAX 31
/* A map of 65536 ids has to end before the last one, which means none. */
#define FILESYSTEM_MAP_MAX 4294900000u

enum filesystem_driver { FILESYSTEM_9P, FILESYSTEM_VIRTIOFS };
enum filesystem_access { FILESYSTEM_MAPPED, FILESYSTEM_PASSTHROUGH, FILESYSTEM_SQUASH };
enum filesystem_cache { FILESYSTEM_CACHE_AUTO, FILESYSTEM_CACHE_NONE, FILESYSTEM_CACHE_ALWAYS };
enum line_type {
        LINE_SOCKET,
        LINE_CONNECT,
        LINE_PTY,
        LINE_FILE,
        LINE_LOG,
        LINE_SPICE,
        LINE_NULL,
        LINE_HOST,        /* of smart cards: there is no line, a card of this host */
        LINE_CERTIFICATES /* and one that QEMU makes */
};
enum console_target { CONSOLE_VIRTIO, CONSOLE_SERIAL };

struct rng_spec {
        struct section section;
        bool present;
        char *model;
        char *source; /* path of a character device, or "builtin" */
        uint64_t rate_bytes;
        uint32_t rate_period_ms;
};

struct watchdog_spec {
        struct section section;
        bool present;
        enum watchdog_model model;
        enum watchdog_action action;
};

struct tpm_spec {
        struct section section;
        bool present; /* also when only a layer gives MODEL */
        enum tpm_model model;
};

struct vsock_spec {
        struct section section;
        bool present;
        char *model;
        char *cid_text; /* as written */
        uint32_t cid;   /* parsed; for auto worked out from the UUID */
};

struct filesystem_spec {
        struct section section;
        uint32_t id;                   /* FS_ID: given, or the first free number */
        char *source;                  /* absolute */
        char *target;                  /* the tag that the guest mounts */
        enum filesystem_driver driver; /* by rule virtiofs when ACCESSMODE is passthrough and nobody said */
        enum filesystem_access access;
        bool readonly;
        enum filesystem_cache cache;
        uint32_t uid_map, gid_map; /* first host ids of the guest's; virtiofs, mapped */
        char *address;
};

/* SERIAL, PARALLEL, CONSOLE, CHANNEL, SMARTCARD: bytes of the guest, and where they end. */
struct line_spec {
        struct section section;
        bool present; /* SMARTCARD */
        enum line_type type;
        char *path;                 /* absolute */
        char *name;                 /* of a CHANNEL, in the guest; of a SMARTCARD its certificates */
        uint32_t port;              /* SERIAL, PARALLEL: worked out where nobody said */
        enum console_target target; /* CONSOLE */
        bool log;
};

enum shmem_model { SHMEM_PLAIN, SHMEM_DOORBELL };
enum shmem_role { SHMEM_ROLE_DEFAULT, SHMEM_MASTER, SHMEM_PEER };

struct shmem_spec {
        struct section section;
        char *name;
        enum shmem_model model;
        enum shmem_role role;
        uint64_t size;    /* bytes; SHMEM_PLAIN */
        char *path;       /* absolute; SHMEM_DOORBELL */
        uint32_t vectors; /* 0: not given */
};

/* RAW of TYPE qemu; those of other types have become attributes, or are of other hypervisors. */
struct raw_spec {
        struct section section;
        char *type, *data, *env;
        char **words; /* of QEMU's command line; owned; filled in by spec_set_raws() */
        size_t n_words;
        char **variables; /* of its environment, "NAME=VALUE"; the same */
        size_t n_variables;
};
