/* Machine type, accelerator, boot files, and what machine.lock keeps of them. */
#include <inttypes.h>
#include <string.h>

#include "launcher/plan/device.h"

#define ACTION_RULE "rule: QEMU stays when the guest powers off, so the end is seen even if nobody listened"

/* Why KVM cannot be used here; NULL: it can. Worked out from facts, so the answer does not depend on who asks. */
static const char *kvm_obstacle(struct build *build)
{
        const struct host_facts *host = build->in->host;
        const struct file_facts *node = &host->kvm_node;
        /* Never in group 0: it opens far more than this node. */
        gid_t group = node->gid ? node->gid : (gid_t)-1;

        if (!build->in->qemu->has_kvm)
                return "this QEMU is built without KVM";
        if (!node->exists || !S_ISCHR(node->mode))
                return "there is no /dev/kvm";
        if (!host->cpu_has_virt)
                return "the CPU has neither vmx nor svm";
        if (!confine_allows(build, node, group, true, true))
                return build->in->site->owner.user
                               ? "this user may not open /dev/kvm ('adduser USER kvm' puts it into the group)"
                               : "the VM's user may not open /dev/kvm, even in the node's group";
        build->kvm_group = node->gid != 0 && !build->in->site->owner.user;
        return NULL;
}

int machine_decide_accel(struct build *build, struct error **err)
{
        const char *obstacle;

        build->accel = ACCEL_TCG;
        if (build->spec->accel != ACCEL_TCG) {
                obstacle = kvm_obstacle(build);
                if (!obstacle) {
                        build->accel = ACCEL_KVM;
                        return 0;
                }
                if (build->spec->accel == ACCEL_KVM) {
                        build_error(build, err, ERROR_HOST, "ACCEL", "KVM cannot be used here: %s", obstacle);
                        return error_hint(err, "ACCEL = \"tcg\" emulates the CPU, many times slower");
                }
                if (build->in->qemu->has_tcg)
                        build_warn(build, NULL, "using TCG, many times slower than KVM: %s", obstacle);
        }
        if (!build->in->qemu->has_tcg)
                return build_error(
                        build, err, ERROR_HOST, "ACCEL",
                        "this QEMU is built without TCG, and KVM cannot be used or is not asked for");
        return 0;
}

static int unknown_machine(struct build *build, struct error **err)
{
        const struct qemu_facts *qemu = build->in->qemu;
        const char *wanted = build->spec->os.machine;
        const char **names = xcalloc(2 * qemu->n_machines + 1, sizeof(*names)), *nearest, *newest = NULL;
        _cleanup_text_ struct text aliases = TEXT_INIT;
        size_t n = 0;

        for (size_t i = 0; i < qemu->n_machines; i++) {
                const struct qemu_machine *machine = &qemu->machines[i];

                names[n++] = machine->name;
                if (machine->alias) {
                        names[n++] = machine->alias;
                        text_addf(&aliases, "%s%s", aliases.length ? ", " : "", machine->alias);
                        /* Of versions the newest is meant, not the one that is spelt most alike. */
                        if (strncmp(wanted, machine->name, strcspn(machine->name, "0123456789")) == 0)
                                newest = machine->name;
                }
        }
        nearest = text_nearest(wanted, names);
        build_error(build, err, ERROR_INVALID, "OS/MACHINE", "QEMU %u.%u.%u has no machine '%s'", qemu->major,
                    qemu->minor, qemu->micro, wanted);
        if (newest)
                error_hint(err, "its newest one of that kind is '%s'", newest);
        else if (nearest)
                error_hint(err, "did you mean '%s'?", nearest);
        else
                error_hint(err, "it has %s, and their versioned names", text_str(&aliases));
        free(names);
        return -1;
}

/* machine.lock counts while the VM is the same one and its template asks for the same machine, be it by the name
 * that was resolved then. */
static const struct machine_lock *lock_in_force(const struct build *build)
{
        const struct machine_lock *lock = build->in->lock;
        const char *machine = build->spec->os.machine;

        if (!lock || strcmp(lock->uuid, build->spec->uuid_text) != 0)
                return NULL;
        if (strcmp(lock->family, machine) != 0 && strcmp(lock->machine, machine) != 0)
                return NULL;
        return lock;
}

/* QEMU's word for it: its 32-bit PC is an i386. */
static const char *target_of(const char *arch)
{
        return strcmp(arch, "i686") == 0 ? "i386" : arch;
}

int machine_decide(struct build *build, struct error **err)
{
        const struct qemu_facts *qemu = build->in->qemu;
        const struct os_spec *os = &build->spec->os;

        if (strcmp(target_of(os->arch), qemu->target) != 0)
                return build_error(build, err, ERROR_HOST, "OS/ARCH",
                                   "'%s' cannot be run by %s, which is for %s", os->arch, qemu->path,
                                   qemu->target);
        build->lock = lock_in_force(build);
        if (build->lock && build->lock->layout > MACHINE_LOCK_LAYOUT) {
                error_set(err, ERROR_HOST, "machine.lock has LAYOUT %u, this program knows up to %u",
                          build->lock->layout, MACHINE_LOCK_LAYOUT);
                return error_hint(err, "a newer vmlaunch made it: use that, or remove machine.lock");
        }
        build->machine = qemu_machine_find(qemu, build->lock ? build->lock->machine : os->machine);
        if (!build->machine && build->lock) {
                build_error(build, err, ERROR_HOST, "OS/MACHINE",
                            "the guest has seen a '%s' (machine.lock), QEMU %u.%u.%u has none",
                            build->lock->machine, qemu->major, qemu->minor, qemu->micro);
                return error_hint(err, "with machine.lock removed the guest gets a new machine");
        }
        if (!build->machine)
                return unknown_machine(build, err);

        if (text_starts_with(build->machine->name, "pc-q35-"))
                build->kind = MACHINE_Q35;
        else if (text_starts_with(build->machine->name, "pc-i440fx-"))
                build->kind = MACHINE_PC;
        else if (text_starts_with(build->machine->name, "virt-"))
                build->kind = MACHINE_VIRT;
        else
                return build_error(build, err, ERROR_INVALID, "OS/MACHINE",
                                   "'%s' is none of the machines q35, pc and virt, others are not supported",
                                   build->machine->name);
        if (build->machine->deprecated)
                build_warn(build, "OS/MACHINE", "QEMU %u.%u.%u says that '%s' is deprecated", qemu->major,
                           qemu->minor, qemu->micro, build->machine->name);
        return 0;
}

void machine_args_identity(struct build *build)
{
        _cleanup_text_ struct text name = TEXT_INIT, because = TEXT_INIT, action = TEXT_INIT,
                                   rule = TEXT_INIT;
        const char *watchdog = watchdog_action_word(build->spec);

        keyval_add(&name, "guest", "%s", build->spec->name);
        keyval_add(&name, "process", "%s-@GENERATION@", build->spec->name);
        keyval_add(&name, "debug-threads", "on");
        build_option(build, "NAME rule: the process name proves which run a process belongs to", "-name",
                     "%s", text_str(&name));
        build_refer(build, &because, "UUID");
        build_refer(build, &because, "OS/UUID");
        build_option(build, text_str(&because), "-uuid", "%s", build->spec->uuid_text);
        build_flag(build, "rule: nothing but what the plan says", "-no-user-config");
        build_flag(build, "rule: nothing but what the plan says", "-nodefaults");
        build_flag(build, "rule: the guest starts when everything is in place", "-S");
        build_option(build, "rule: no window on the host", "-display", "none");
        keyval_add(&action, "shutdown", "pause");
        keyval_add(&action, "reboot", "%s", build->spec->on_reboot == REBOOT_DESTROY ? "shutdown" : "reset");
        keyval_add(&action, "panic", "pause");
        if (watchdog)
                keyval_add(&action, "watchdog", "%s", watchdog);
        text_addf(&rule, "%s%s" ACTION_RULE, build->spec->on_reboot == REBOOT_DESTROY ? "ON_REBOOT " : "",
                  watchdog ? "WATCHDOG/ACTION " : "");
        build_option(build, text_str(&rule), "-action", "%s", text_str(&action));
        build_option(build, "rule: confinement", "-sandbox",
                     "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
}

static void arm_options(const struct build *build, struct text *value, struct text *because)
{
        static const char *const gics[] = { [GIC_2] = "2", [GIC_3] = "3", [GIC_HOST] = "host" };
        const struct features_spec *features = &build->spec->features;

        if (features->gic) {
                keyval_add(value, "gic-version", "%s", gics[features->gic]);
                build_refer(build, because, "FEATURES/GIC");
        }
        if (features->ras) {
                keyval_add(value, "ras", "on");
                build_refer(build, because, "FEATURES/RAS");
        }
}

void machine_args(struct build *build)
{
        _cleanup_text_ struct text value = TEXT_INIT, because = TEXT_INIT;

        keyval_add(&value, NULL, "%s", build->machine->name);
        keyval_add(&value, "accel", "%s", build->accel == ACCEL_KVM ? "kvm" : "tcg");
        keyval_add(&value, "usb", "off");
        build_refer(build, &because, "OS/MACHINE");
        build_refer(build, &because, "ACCEL");
        memory_machine_args(build, &value, &because);
        build_refer(build, &because, "FEATURES/ACPI");
        /* Of an ARM machine only UEFI passes the tables on (opennebula-semantics 3.6). */
        if (!build->spec->features.acpi || (build->kind == MACHINE_VIRT && !build->firmware.present))
                keyval_add(&value, "acpi", "off");
        if (build->kind == MACHINE_VIRT)
                arm_options(build, &value, &because);
        clock_machine_options(build, &value, &because);
        iommu_machine_options(build, &value, &because);
        firmware_machine_options(build, &value, &because);
        board_machine_options(build, &value, &because);
        build_option(build, text_str(&because), "-machine", "%s", text_str(&value));
        if (build->spec->features.pcihole64)
                build_option(build, "FEATURES/PCIHOLE64", "-global", "%s.pci-hole64-size=%" PRIu64 "K",
                             build->kind == MACHINE_Q35 ? "q35-pcihost" : "i440FX-pcihost",
                             (build->spec->features.pcihole64 + 1023) / 1024);
}

void machine_migration_steps(struct build *build)
{
        const struct features_spec *features = &build->spec->features;
        const struct {
                bool wanted;
                const char *reference, *capability;
        } rows[] = { { features->throttle_initial, "FEATURES/MIGRATE_AUTO_CONVERGE", "auto-converge" },
                     { features->migrate_compressed, "FEATURES/MIGRATE_COMPRESSED", "xbzrle" } };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (rows[i].wanted)
                        build_step(build, rows[i].reference, EFFECT_QMP,
                                   json_pack("{s:s, s:{s:[{s:s, s:b}]}}", "execute",
                                             "migrate-set-capabilities", "arguments", "capabilities",
                                             "capability", rows[i].capability, "state", 1));
        if (features->throttle_initial) {
                json_t *arguments =
                        json_pack("{s:i}", "cpu-throttle-initial", (int)features->throttle_initial);

                if (features->throttle_increment)
                        json_object_set_new(arguments, "cpu-throttle-increment",
                                            json_integer((json_int_t)features->throttle_increment));
                build_step(
                        build, rows[0].reference, EFFECT_QMP,
                        json_pack("{s:s, s:o}", "execute", "migrate-set-parameters", "arguments", arguments));
        }
}

void machine_args_boot(struct build *build)
{
        const struct os_spec *os = &build->spec->os;
        _cleanup_text_ struct text append = TEXT_INIT, because = TEXT_INIT;

        smbios_args(build);
        boot_args(build);
        if (!os->kernel)
                return;
        build_option(build, "OS/KERNEL", "-kernel", "/proc/self/fd/%d", build->kernel_fd);
        if (os->initrd)
                build_option(build, "OS/INITRD", "-initrd", "/proc/self/fd/%d", build->initrd_fd);
        if (os->root && *os->root) {
                text_addf(&append, "root=/dev/%s", os->root);
                build_refer(build, &because, "OS/ROOT");
        }
        if (os->kernel_cmd && *os->kernel_cmd) {
                text_addf(&append, "%s%s", append.length ? " " : "", os->kernel_cmd);
                build_refer(build, &because, "OS/KERNEL_CMD");
        }
        if (append.length)
                build_option(build, text_str(&because), "-append", "%s", text_str(&append));
}

static int check_file(struct build *build, const char *reference, const char *path,
                      const struct file_facts *file, struct error **err)
{
        if (!file->exists)
                return build_error(build, err, ERROR_INVALID, reference, "there is no file '%s'", path);
        if (!S_ISREG(file->mode))
                return build_error(build, err, ERROR_INVALID, reference, "'%s' is not a regular file", path);
        return 0;
}

int machine_check_files(struct build *build, struct error **err)
{
        const struct os_spec *os = &build->spec->os;

        if (os->kernel && check_file(build, "OS/KERNEL", os->kernel, &build->in->kernel, err) < 0)
                return -1;
        if (os->kernel && os->initrd &&
            check_file(build, "OS/INITRD", os->initrd, &build->in->initrd, err) < 0)
                return -1;
        return 0;
}

/* QEMU opens /proc/self/fd/N anew, as the VM's user: where that one may not read the file it gets a copy. */
static void file_step(struct build *build, const char *reference, const char *source, const char *path,
                      const struct file_facts *file)
{
        const struct host_facts *host = build->in->host;
        gid_t group = build->kvm_group ? host->kvm_node.gid : (gid_t)-1;
        bool copy = !confine_allows(build, file, group, true, false);

        build_step(build, reference, EFFECT_FILE_OPEN,
                   json_pack("{s:s, s:s, s:b, s:I}", "path", path, "fd", source, "copy", copy, "uid",
                             (json_int_t)build->uid));
}

void machine_file_steps(struct build *build)
{
        const struct os_spec *os = &build->spec->os;

        if (!os->kernel)
                return;
        file_step(build, "OS/KERNEL", "kernel", os->kernel, &build->in->kernel);
        if (os->initrd)
                file_step(build, "OS/INITRD", "initrd", os->initrd, &build->in->initrd);
}

static void lock_add(struct machine_lock *lock, const char *device, const char *address)
{
        ARRAY_GROW(lock->addresses, lock->n_addresses);
        lock->addresses[lock->n_addresses++] = (struct locked_address){ xstrdup(device), xstrdup(address) };
}

/* Among the first n of its addresses. */
static bool lock_has(const struct machine_lock *lock, size_t n, const char *device)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(lock->addresses[i].device, device) == 0)
                        return true;
        return false;
}

static bool is_forgotten(const struct build *build, const char *device)
{
        for (size_t i = 0; i < build->pci.n_forgotten; i++)
                if (strcmp(build->pci.forgotten[i], device) == 0)
                        return true;
        return false;
}

struct machine_lock *machine_new_lock(const struct build *build)
{
        struct machine_lock *lock = xcalloc(1, sizeof(*lock));

        lock->layout = build->lock ? build->lock->layout : MACHINE_LOCK_LAYOUT;
        lock->uuid = xstrdup(build->spec->uuid_text);
        lock->machine = xstrdup(build->machine->name);
        lock->family = xstrdup(build->lock ? build->lock->family : build->spec->os.machine);
        lock->uid = build->uid;
        lock->port = build->graphics_port ? build->graphics_port : build->lock ? build->lock->port : 0;
        for (size_t i = 0; i < build->n_pci_devices; i++)
                lock_add(lock, build->pci_devices[i].id, build->pci_devices[i].address);
        for (size_t i = 0; i < build->spec->n_disks; i++) {
                _cleanup_free_ char *id = xasprintf("disk%u", build->spec->disks[i].id);

                /* Other disks have other ids. */
                if (!lock_has(lock, build->n_pci_devices, id))
                        lock_add(lock, id, build->disks[i].address);
        }
        /* A device that is gone now may come back: its place waits for it. */
        for (size_t i = 0; build->lock && i < build->lock->n_addresses; i++) {
                const struct locked_address *old = &build->lock->addresses[i];

                if (!lock_has(lock, lock->n_addresses, old->device) && !is_forgotten(build, old->device))
                        lock_add(lock, old->device, old->address);
        }
        disk_lock_images(build, lock);
        return lock;
}
