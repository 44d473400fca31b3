/*
 * machine_lock - what the guest has seen once and must see again: machine type, addresses, uid, LAYOUT. And what it may
 * not change: which backing file an image had that QEMU may write to, header and all.
 *
 * Kept as template text in /var/lib/vmlaunch/NAME/machine.lock (0644). Written at start, read by the plan;
 * a new default of ours is a new LAYOUT, so an old VM keeps its shape (DESIGN section 5.5).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "conf/site.h"

#define MACHINE_LOCK_LAYOUT 1
#define MACHINE_LOCK_IMAGES 512

struct locked_address {
        char *device;  /* QEMU's id: "disk0", "nic1", "vser0", "scsi0", "panic0" */
        char *address; /* "rp3:0x0", "pci.0:0x4", "ide.1:0", "scsi0.0:2" */
};

struct locked_image {
        char *path;
        char *backing; /* "qcow2:/srv/base.qcow2"; "": none */
};

struct machine_lock {
        unsigned layout;
        char *uuid;    /* of the VM it was made for: another UUID makes a new lock */
        char *machine; /* "pc-q35-7.2" */
        char *family;  /* what the template asked for then: "q35"; another makes a new lock */
        uid_t uid;
        unsigned port; /* of VNC or SPICE; 0: none */
        struct locked_address *addresses;
        size_t n_addresses;
        struct locked_image *images;  /* at most MACHINE_LOCK_IMAGES */
        size_t n_images, image_bytes; /* how long all their names are */
};

int machine_lock_parse(const char *file, const char *text, struct machine_lock **ret, struct error **err);
char *machine_lock_text(const struct machine_lock *lock);
/* The place of a device from now on; both are copied. */
void machine_lock_set(struct machine_lock *lock, const char *device, const char *address);
/* What was under an image at the last start; NULL: nobody knows. */
const char *machine_lock_backing(const struct machine_lock *lock, const char *path);
/* For one that is not there yet; both are copied. Not what the language cannot say, nor one too many: a VM
 * whose images have another name at each start would have a file that nobody can read. */
void machine_lock_add_image(struct machine_lock *lock, const char *path, const char *backing);
/* Replaces the file, which there is. */
int machine_lock_write(const char *state_dir, const char *vm, const struct machine_lock *lock,
                       struct error **err);
/*
 * Only what other VMs must not have, which a start that does not hold its own yet reads of all VMs. 1: *ret_uid and
 * *ret_port (0: none); 0: there is no file; -1: *err.
 */
int machine_lock_read_claims(const char *state_dir, const char *vm, uid_t *ret_uid, unsigned *ret_port,
                             struct error **err);
/*
 * STATE/.uids/UID and STATE/.ports/PORT are links to the name of the VM whose guest ran with it last. Whoever finds its own
 * name there, and the number in its own machine.lock, need not read those of all others: another one that has it in its
 * lock, of a backup for instance, does not find its own, reads them all, and takes another. Only a way to find out: a link
 * that is missing or out of date costs that reading, and RUN/uids and RUN/ports keep two running ones apart.
 */
bool machine_lock_holds(const struct paths *paths, const char *vm, const char *what, unsigned number);
/* Makes them of the VM's machine.lock, which stays from now on, and while RUN/uids is locked. */
void machine_lock_hold(const struct paths *paths, const char *vm);
/* NULL in *ret and 0 when there is no file. */
int machine_lock_read(const char *state_dir, const char *vm, struct machine_lock **ret, struct error **err);
void machine_lock_free(struct machine_lock *lock);
DEFINE_FREEP(struct machine_lock, machine_lock_free)
