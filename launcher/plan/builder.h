/*
 * builder - a plan under construction, shared by the files of this folder and by nobody else.
 *
 * plan_build() works in phases: decide (uid, accelerator, machine, addresses), number the child fds, write argv,
 * write the steps. Every word of argv and every step says what it is there for.
 */
#pragma once

#include <stdarg.h>

#include "conf/attr.h"
#include "launcher/plan/pci.h"
#include "launcher/plan/plan_build.h"

/* Child fd numbers start here; 0 to 2 are the standard ones. */
#define PLAN_FIRST_FD 10

enum machine_kind { MACHINE_Q35, MACHINE_PC, MACHINE_VIRT };

/* Where QEMU finds a file. */
struct plan_layer {
        int fd;       /* in the child */
        unsigned set; /* -add-fd set=, the N of /dev/fdset/N */
};

struct plan_disk {
        struct disk_layer *layers; /* the top one first; owned */
        size_t n_layers;           /* 0: an empty drive */
        char *made_path;           /* of the overlay or volatile disk; NULL: none; owned */
        char *address;             /* "rp3:0x0", "scsi0.0:2", "ide.1:0", "fdc0.0:0"; owned */
        unsigned bootindex;        /* 0: not booted from */
        unsigned iothread;         /* 0: none */
        unsigned queues;           /* 0: QEMU's own choice */
        int conf_fd, socket_fd;    /* CEPH_CONF, NBD_SOCKET; -1: none */
};

struct plan_nic {
        char *fds;       /* "10:11", of its tap's queues or its passt; NULL: slirp; owned */
        char *vhost_fds; /* as many of /dev/vhost-net; NULL: without; owned */
        char *address;
        unsigned bootindex;
};

/* A secret object of QEMU's. */
struct plan_secret_use {
        char *id, *reference, *path; /* path NULL: the value is in the plan */
        unsigned random;             /* above 0: so many random characters, which are kept in path */
        bool base64;
        int fd;
};

/* UEFI: the code and the template of its variables. */
struct plan_firmware {
        bool present;
        char *code, *vars; /* owned */
        enum disk_format code_format, vars_format;
        bool smm, keys;
        struct plan_layer code_layer, vars_layer;
};

struct build {
        const struct plan_input *in;
        const struct vm_spec *spec;
        struct launch_plan *plan;

        uid_t uid;
        gid_t gid;
        enum accel accel; /* KVM or TCG */
        bool kvm_group;   /* the VM's processes are in the group of /dev/kvm */
        bool sev_group;   /* and of /dev/sev */
        const struct qemu_machine *machine;
        enum machine_kind kind;
        const struct machine_lock *lock; /* NULL: none, or it was made for something else */
        struct pci_layout pci;
        struct pci_device *pci_devices;
        size_t n_pci_devices;
        char **pci_ids; /* what those ids point into; owned */
        size_t n_pci_ids;

        int next_fd;
        unsigned next_set;
        int qmp_fd, agent_fd, kernel_fd, initrd_fd;
        unsigned graphics_port; /* 0: none */
        struct plan_secret_use *secrets;
        size_t n_secrets;
        struct plan_disk *disks;
        unsigned scsi_iothread, scsi_queues; /* of the SCSI controller; 0: none, QEMU's own choice */
        struct plan_nic *nics;
        struct plan_firmware firmware;
        int64_t clock_ahead;         /* seconds of UTC: CLOCK OFFSET = "variable" */
        struct device_plan *devices; /* device.h */
        struct text scratch;         /* what is being put together */
        struct text reasons[3];      /* and why: build_reason() */
};

/* Number which of the texts that references are put together in, empty: of hundreds of disks' that is much to allocate. */
struct text *build_reason(struct build *build, unsigned which);
/* One option, or an option and its value. */
void build_flag(struct build *build, const char *because, const char *option);
void build_option(struct build *build, const char *because, const char *option, const char *format, ...)
        __attribute__((format(printf, 4, 5)));
/* Steals json. */
void build_word(struct build *build, const char *because, const char *option, const char *value);
void build_json(struct build *build, const char *because, const char *option, json_t *json);
/* The same with an object that is written member by member (base/json_text.h) into the text that is lent between the two. */
struct text *build_object_begin(struct build *build);
void build_object_end(struct build *build, const char *because, const char *option);
/* Steals args. */
void build_step(struct build *build, const char *because, enum plan_effect effect, json_t *args);
/* The next child fd; source: the name a step gives it; text: for printers, "tap web-0 queue 0". */
int build_fd(struct build *build, const char *source, const char *text);
/* The same, with strings that are the plan's from now on. */
int build_fd_take(struct build *build, char *source_consume, char *text_consume);
/* NAME=VALUE in QEMU's environment, which has no other variables. */
void build_env(struct build *build, const char *variable);
/* For status: steals device. */
void build_device(struct build *build, json_t *device);

/* An error with the place of the reference ("DISK[0]/IO") and its name in front; always -1. code says what kind. */
int build_error(const struct build *build, struct error **err, enum error_code code, const char *reference,
                const char *format, ...) __attribute__((format(printf, 5, 6)));
/* ERROR_HOST when this QEMU has no such device type. */
int build_need_device(const struct build *build, const char *reference, const char *type, struct error **err);
/* An error when the text cannot stand in a plan, which is JSON; NULL can. */
int build_check_utf8(const struct build *build, const char *reference, const char *text, struct error **err);
/* reference NULL: no place. */
void build_warn(struct build *build, const char *reference, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* As a warning, for those who ask what a plan is worth. */
void build_note(struct build *build, const char *reference, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* Appends the reference when it has a value somebody wrote or a default that is in force. */
void build_refer(const struct build *build, struct text *because, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Asks for a PCI place; wanted: the template's ADDRESS, NULL: none. */
void build_place(struct build *build, char *id_consume, const char *wanted, bool is_legacy);
/* A listening socket in the VM's private directory; the fd is named listen:NAME. */
void build_listen_step(struct build *build, const char *because, const char *name);
/* The same of a key of record number index of a section, of which there may be hundreds. */
void build_refer_key(const struct build *build, struct text *because, const struct attr_section *section,
                     size_t index, const char *key);

/* The address that this device had before, from machine.lock; NULL: never seen. */
const char *build_locked_address(const struct build *build, const char *device);
/* The address that PCI placement gave to this device; NULL: it is no PCI device of this VM. */
const char *build_pci_address(const struct build *build, const char *device);
/* "rp3:0x0" into the bus and addr members of a device. */
void build_set_address(json_t *device, const char *address);

/* KEY=value of -machine, -cpu, -smp, ... with commas doubled; key NULL: the value alone. The only printer of such
 * lists (qemu's option parser: a comma in a value is written twice). */
void keyval_add(struct text *out, const char *key, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* confine_plan.c: uid and groups. */
/* May the VM's processes, put into this group ((gid_t)-1: none), open the file so? */
bool confine_allows(const struct build *build, const struct file_facts *file, gid_t group, bool read,
                    bool write);
int confine_decide_uid(struct build *build, struct error **err);
void confine_plan(struct build *build);

/* machine.c */
int machine_decide_accel(struct build *build, struct error **err);
int machine_decide(struct build *build, struct error **err);
void machine_args_identity(struct build *build);
void machine_args(struct build *build);
void machine_args_boot(struct build *build);
/* A new machine_lock with everything this plan shows the guest. */
struct machine_lock *machine_new_lock(const struct build *build);
int machine_check_files(struct build *build, struct error **err);
void machine_file_steps(struct build *build);
/* MIGRATE_*: what any migration of this QEMU will go by. */
void machine_migration_steps(struct build *build);

/* firmware.c */
int firmware_decide(struct build *build, struct error **err);
void firmware_number_fds(struct build *build);
void firmware_args(struct build *build);
/* What they add to -machine, and why. */
void firmware_machine_options(const struct build *build, struct text *value, struct text *because);
void firmware_steps(struct build *build);
void firmware_done(struct build *build);

/* clock.c: clock, timers, sleep states. */
int clock_decide(struct build *build, struct error **err);
void clock_args(struct build *build);
void clock_machine_options(const struct build *build, struct text *value, struct text *because);
void clock_cpu_options(const struct build *build, struct text *value, struct text *because);
void sleep_args(struct build *build);

/* iommu.c */
int iommu_check(struct build *build, struct error **err);
/* Once it is known how many root ports there are. */
int iommu_check_place(struct build *build, struct error **err);
void iommu_machine_options(const struct build *build, struct text *value, struct text *because);
void iommu_args(struct build *build);

/* cpu.c */
int cpu_check(struct build *build, struct error **err);
void cpu_args(struct build *build);
/* plugged.c: behind all other arguments of vCPUs and memory. */
int plugged_check(struct build *build, struct error **err);
void plugged_args(struct build *build);
/* board.c */
int board_check(struct build *build, struct error **err);
void board_machine_options(const struct build *build, struct text *value, struct text *because);
void smbios_args(struct build *build);
void boot_args(struct build *build);
/* hyperv.c */
void hyperv_cpu_options(const struct build *build, struct text *value, struct text *because);
/* smp.c */
int smp_check(struct build *build, struct error **err);
void smp_args(struct build *build);
/* memory.c; numa.c for its nodes */
/* Whose pages an object of the guest's memory has; is_spare: none of them is needed from the start. */
void memory_add_backing(const struct build *build, json_t *object, bool is_spare, struct text *because);
int memory_check(struct build *build, struct error **err);
void memory_machine_args(const struct build *build, struct text *value, struct text *because);
void memory_args(struct build *build);
void memory_device_args(struct build *build);
void memory_confine(struct build *build);
void numa_args(struct build *build);
/* balloon.c */
int balloon_check(struct build *build, struct error **err);
void balloon_args(struct build *build);
void balloon_steps(struct build *build);
void nic_qmp_steps(struct build *build);

/* agent.c */
int agent_check(struct build *build, struct error **err);
/* The controller too, which others share. */
void agent_args(struct build *build);

/*
 * secret.c: a value that QEMU must have and nobody may read, as its object ID of type secret. Call it while fds are
 * numbered; what names ID (password-secret, key-secret) comes with the rest of argv. reference: the attribute it is for.
 * value: a row's with .secret (conf/secret.h). base64: that is how it is written down, QEMU decodes it.
 */
void secret_add(struct build *build, const char *id, const char *reference, const char *value, bool base64);
/* The same from a file of the host, absolute path. */
void secret_add_file(struct build *build, const char *id, const char *reference, const char *path,
                     bool base64);
/* The value is made when the plan is carried out: length letters and digits, also kept in the new file keep, which is the
 * VM's administrators'. */
void secret_add_random(struct build *build, const char *id, const char *reference, unsigned length,
                       const char *keep);
/* "/proc/self/fd/12": where QEMU reads it; also for secret objects that are added later (object-add). */
json_t *secret_object(const char *id, int fd, bool base64);
void secret_args(struct build *build);
void secret_steps(struct build *build);

/* limits.c */
int limits_steps(struct build *build, struct error **err);
/* What follows once QEMU runs. */
void unit_late_steps(struct build *build);

/* disk.c and the disk_*.c beside it */
void disk_layers_done(struct plan_disk *disk);
int disk_check_all(struct build *build, struct error **err);
/* Into a new machine_lock: what is under each image whose header the guest may write. */
void disk_lock_images(const struct build *build, struct machine_lock *lock);
/* Places that are not PCI: scsi ids, IDE and SATA ports. */
int disk_place_all(struct build *build, struct error **err);
bool disk_needs_scsi(const struct build *build);
void disk_number_fds(struct build *build);
void disk_controller_args(struct build *build);
void disk_args(struct build *build);
void disk_steps(struct build *build);

/* notes.c */
void notes_add(struct build *build);

/* nic.c */
int nic_check_all(struct build *build, struct error **err);
void nic_number_fds(struct build *build);
void nic_args(struct build *build);
int nic_steps(struct build *build, struct error **err);
/* BRIDGE_TYPE user by passt, not by slirp. */
bool nic_wants_passt(const struct build *build, const struct nic_spec *nic);
void nic_helper_steps(struct build *build);

/* display.c: can they be built here? */
int display_check(struct build *build, struct error **err);
/* Asks for PCI places. */
void display_place(struct build *build);
void display_args(struct build *build);

/* graphics.c: the VNC or SPICE server. */
int graphics_check(struct build *build, struct error **err);
void graphics_number_fds(struct build *build);
void graphics_args(struct build *build);
/* The port, or the socket; before the emulator. */
void graphics_file_steps(struct build *build);
/* What is said to QEMU before the guest runs. */
void graphics_qmp_steps(struct build *build);
