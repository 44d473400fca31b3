/*
 * device - the devices that are neither disk, network nor display; private to this folder.
 *
 * Each kind is a file: rng.c watchdog.c tpm.c vsock.c filesystem.c serial.c panic.c
 * hostdev.c usb_host.c shmem.c. plan_build.c calls the devices_
 * functions, in the order of its phases; devices.c passes them on. Builders of JSON (rng_object(), ...) are of use for
 * -object and -device as for object-add and device_add; they return new references.
 */
#pragma once

#include "launcher/host/hostdev_facts.h"
#include "launcher/plan/builder.h"
#include "launcher/plan/chardev.h"

/* A file that QEMU gets as a fd set. */
struct plan_fdset {
        int fd;
        unsigned set; /* 0: none */
};

enum line_kind { LINES_SERIAL, LINES_CONSOLE, LINES_PARALLEL, LINES_CHANNEL, LINES_SMARTCARD };

/* One port of the guest that ends on the host. */
struct plan_line {
        const struct line_spec *spec; /* lent */
        enum line_kind kind;
        size_t index;
        char *id;                /* "serial0", "console0"; owned */
        char *socket;            /* "console", "console1"; NULL: no socket; owned */
        char *log;               /* the file, NULL: none; owned */
        char *name;              /* of the SPICE server's port; NULL: none; owned */
        struct plan_fdset fdset; /* of the log */
        struct chardev chardev;
};

/* A device of the host: one of the two, lent by the facts. */
struct plan_hostdev {
        const struct pci_facts *pci;
        const struct mdev_facts *mdev;
        char *node; /* of its IOMMU group; owned */
};

struct plan_usb {
        struct usb_facts facts; /* its strings are lent */
        char *bus, *device;     /* its numbers as text; owned */
        struct plan_fdset fdset;
};

struct device_plan {
        struct plan_fdset rng;
        int vsock_fd, tpm_fd;
        int *filesystem_fds;
        int *shmem_fds;
        struct plan_line *lines; /* of all kinds, one after the other */
        size_t n_lines;
        struct plan_hostdev *pcis;
        struct plan_usb *usbs;
};

struct device_plan *device_plan_new(const struct vm_spec *spec);
void device_plan_free(struct device_plan *devices, const struct vm_spec *spec);

/* Can they be built here? */
int devices_check(struct build *build, struct error **err);
/* Conventional PCI cards among them want the bridge of a q35 machine. */
bool devices_need_bridge(const struct build *build);
/* Asks for PCI places. */
void devices_place(struct build *build);
void devices_number_fds(struct build *build);
void devices_args(struct build *build);
/* Files, nodes and sockets. */
void devices_file_steps(struct build *build);
/* Helper processes: when the VM's control group is there. */
void devices_helper_steps(struct build *build);

/* For the kinds. */

/* An fd that is an fd set of QEMU's; its -add-fd is written by build_fdset_args(). */
struct plan_fdset build_fdset(struct build *build, const char *source, const char *text);
void build_fdset_args(struct build *build, const char *because, const struct plan_fdset *fdset,
                      const char *opaque);

/* rng.c */
int rng_check(struct build *build, struct error **err);
void rng_number_fds(struct build *build);
void rng_args(struct build *build);
void rng_steps(struct build *build);
/* filename: "/dev/fdset/N"; NULL: QEMU's own generator. */
json_t *rng_object(const struct rng_spec *rng, const char *filename);
json_t *rng_device(const struct rng_spec *rng, const char *address);

/* watchdog.c */
int watchdog_check(struct build *build, struct error **err);
void watchdog_args(struct build *build);
/* As -action watchdog= takes it; NULL: the machine has none. */
const char *watchdog_action_word(const struct vm_spec *spec);
/* The device of the model, NULL: it is part of the machine. */
const char *watchdog_device_type(const struct watchdog_spec *watchdog);

/* tpm.c */
int tpm_check(struct build *build, struct error **err);
void tpm_number_fds(struct build *build);
void tpm_args(struct build *build);
void tpm_file_steps(struct build *build);
void tpm_helper_steps(struct build *build);
const char *tpm_device_type(const struct tpm_spec *tpm);

/* vsock.c */
int vsock_check(struct build *build, struct error **err);
void vsock_number_fds(struct build *build);
void vsock_args(struct build *build);
void vsock_steps(struct build *build);
/* vhostfd: a number in argv, a name over QMP. */
json_t *vsock_device(const struct vsock_spec *vsock, const char *vhostfd, const char *address);

/* filesystem.c */
int filesystem_check_all(struct build *build, struct error **err);
void filesystem_number_fds(struct build *build);
void filesystem_args(struct build *build);
void filesystem_helper_steps(struct build *build);
/* "fs0"; new string. */
char *filesystem_id(const struct filesystem_spec *fs);
const char *filesystem_device_type(const struct filesystem_spec *fs);
/* It uses the fsdev ID-source, or the chardev ID-socket. */
json_t *filesystem_device(const struct filesystem_spec *fs, const char *address);

/* hostdev.c */
int hostdev_check(struct build *build, struct error **err);
void hostdev_place(struct build *build);
void hostdev_args(struct build *build);
void hostdev_steps(struct build *build);
/* Memory that QEMU may lock; after memory_confine(). */
void hostdev_confine(struct build *build);
/* What live.tmpl says of it; the strings are lent by the build. */
void hostdev_live(const struct build *build, size_t i, struct pci_spec *live);
/* "hostdev0"; new string. */
char *hostdev_id(const struct pci_spec *pci);
/* The object through which devices are reached without a group of vfio. */
#define HOSTDEV_IOMMUFD "iommufd0"
/* "hostdev0-node2", the object that ties a device to a NUMA node of the guest; new string. */
char *hostdev_initiator_id(const char *id, unsigned node);
/* uuid NULL: the device at the host's address. */
json_t *hostdev_device(const char *id, const char *host, const char *uuid, const char *address);

/* usb_host.c */
int usb_host_check(struct build *build, struct error **err);
void usb_host_number_fds(struct build *build);
void usb_host_args(struct build *build);
void usb_host_steps(struct build *build);
void usb_host_live(const struct build *build, size_t i, struct usb_spec *live);
/* "usbhost0"; new string. */
char *usb_host_id(const struct usb_spec *usb);
/* hostdevice: "/dev/fdset/N". */
json_t *usb_host_device(const struct usb_spec *usb, const char *hostdevice);

/* serial.c */
int serial_check(struct build *build, struct error **err);
void serial_number_fds(struct build *build);
/* Serial and parallel ports. */
void serial_args(struct build *build);
/* After the virtio-serial controller: consoles and channels. */
void console_args(struct build *build);
/* After the USB controller; port: on its bus. */
void smartcard_args(struct build *build, unsigned port);
void serial_steps(struct build *build);
/* Each line with its id, the type of its device (NULL: it is a part of the machine) and whether it has a chardev: for
 * whoever compares. */
void serial_each(const struct vm_spec *spec,
                 void (*fn)(const char *id, const char *type, bool has_chardev, void *data), void *data);

/* shmem.c */
int shmem_check(struct build *build, struct error **err);
void shmem_place(struct build *build);
void shmem_number_fds(struct build *build);
void shmem_args(struct build *build);
void shmem_steps(struct build *build);
/* As serial_each(). */
void shmem_each(const struct vm_spec *spec,
                void (*fn)(const char *id, const char *type, bool has_chardev, void *data), void *data);

/* raw.c: RAW of TYPE qemu, behind all other arguments. */
int raw_check(struct build *build, struct error **err);
void raw_args(struct build *build);
/* What they name in QEMU. */
enum raw_named { RAW_DEVICE, RAW_OBJECT, RAW_NETDEV, RAW_CHARDEV, RAW_NODE };
void raw_each_named(const struct vm_spec *spec, void (*fn)(enum raw_named kind, const char *id, void *data),
                    void *data);

/* panic.c */
/* NULL: there is no device. */
const char *panic_device_type(const struct panic_spec *panic);
int panic_check(struct build *build, struct error **err);
void panic_args(struct build *build);

/*
 * helper - a process beside QEMU that serves one of its devices: swtpm, virtiofsd. It ends when QEMU closes its socket.
 */
#define HELPER_SOCKET_FD    3
#define HELPER_DIRECTORY_FD 4

struct helper {
        const char *id; /* of the device */
        const char *because;
        json_t *argv;   /* [0]: absolute path; stolen */
        bool listens;   /* it takes the socket as one to accept from, else as the connection itself */
        uid_t uid, gid; /* it runs as */
        unsigned
                ids; /* 0: no capabilities; else in a user namespace in which its 0, 1, ... are uid, gid and so
                              * many that follow, and it is root there */
        const char *directory; /* it has as an fd; NULL: none */
        bool readonly;         /* the directory, for it and what it serves */
};

/* QEMU's end of its socket: an fd of QEMU's. */
int helper_number_fd(struct build *build, const char *id, const char *text);
void helper_steps(struct build *build, const struct helper *helper);
