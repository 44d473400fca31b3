/* The top-level attributes and the vectors that describe the machine as a whole. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static const struct attr_word accel_words[] = {
        WORD("auto", ACCEL_AUTO),
        WORD("kvm", ACCEL_KVM),
        WORD("tcg", ACCEL_TCG),
        WORDS_END,
};

static const struct attr_word crash_words[] = {
        WORD("destroy", CRASH_DESTROY),
        WORD("restart", CRASH_RESTART),
        WORD("preserve", CRASH_PRESERVE),
        WORDS_END,
};

static const struct attr_word resize_words[] = {
        WORD("BALLOONING", MEMORY_BALLOONING),
        WORD("HOTPLUG", MEMORY_HOTPLUG),
        WORD("VIRTIO_MEM", MEMORY_VIRTIO_MEM),
        WORDS_END,
};

static const struct attr_word reboot_words[] = {
        WORD("restart", REBOOT_RESTART),
        WORD("destroy", REBOOT_DESTROY),
        WORDS_END,
};

static const struct attr_word snippets_words[] = {
        WORD("read", 0),
        WORD("done", 1),
        WORDS_END,
};

static const struct attr_word ready_words[] = {
        WORD("qmp", 0),
        WORD("agent", 0),
        WORDS_END,
};

#define ATTR_OF struct vm_spec
static const struct attr vm_rows[] = {
        { "NAME", TEXT(name), .lookup = LOOKUP_D, .max = 128, .lands = LANDS_NAME,
          .doc = "Name of the VM: letters, digits, '.', '_' and '-', not starting with '.' or '-'. Absent: the "
                 "template file's name without suffix.",
          .source = "DESIGN 5.4" },
        { "UUID", UUID(uuid_text), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "UUID of the VM, as the guest's firmware tells it. The same as OS/UUID. Absent: made from NAME, so "
                 "that the same name gives the same UUID everywhere.",
          .source = "DESIGN 5.4" },
        { "SNIPPETS", TEXT(snippets), .lookup = LOOKUP_D, .words = snippets_words, .dflt = "read",
          .lands = LANDS_RULE,
          .doc = "done: what RAW, HYPERV_OPTIONS, HYPERV_TIMERS and SPICE_OPTIONS mean stands in this template as plain "
                 "attributes, and they are not read again; so live.tmpl has it.",
          .source = "DESIGN 5.5" },
        { "CPU", DECIMAL(cpu), .lookup = LOOKUP_D, .dflt = "1", .max = 100000, .unit = "CPUs",
          .lands = LANDS_CGROUP, .live = true,
          .doc = "Share of host CPU time when CPUs are short, in CPUs: 0.5, 1, 2. 1 is cpu.shares 1024 or cpu.weight "
                 "100.",
          .source = "opennebula-semantics 3.4" },
        { "VCPU", U32(vcpu), .lookup = LOOKUP_A, .dflt = "1", .min = 1, .max = 4096, .unit = "vCPUs",
          .lands = LANDS_ARGV, .doc = "Number of virtual CPUs the guest sees. Absent: VCPU_MAX, else 1.",
          .source = "opennebula-semantics 3.3" },
        { "VCPU_MAX", U32(vcpu_max), .lookup = LOOKUP_A, .min = 1, .max = 4096, .unit = "vCPUs",
          .lands = LANDS_ARGV,
          .doc = "Number of virtual CPUs that can be reached while the VM runs: places for those beyond VCPU.",
          .source = "opennebula-semantics 3.3" },
        { "MEMORY", SIZE(memory, 1 << 20, "MiB"), .lookup = LOOKUP_D, .min = 1 << 20, .max = 1ull << 48,
          .lands = LANDS_ARGV,
          .doc = "Memory of the guest; has to be given. Rounded up to 8 KiB, as QEMU counts it.",
          .source = "opennebula-semantics 3.2, 3.3" },
        { "MEMORY_MAX", SIZE(memory_max, 1 << 20, "MiB"), .lookup = LOOKUP_D, .min = 1 << 20,
          .max = 1ull << 48, .lands = LANDS_ARGV,
          .doc = "Memory that can be reached while the VM runs, in the way of MEMORY_RESIZE_MODE; at least MEMORY.",
          .source = "opennebula-semantics 3.3" },
        { "MEMORY_RESIZE_MODE", ENUM(memory_resize_mode, memory_resize_mode, resize_words),
          .lookup = LOOKUP_D, .dflt = "BALLOONING", .lands = LANDS_ARGV,
          .doc = "BALLOONING: the machine has MEMORY_MAX, and the balloon takes all but MEMORY from the guest; HOTPLUG: "
                 "memory modules are plugged into MEMORY_SLOTS; VIRTIO_MEM: one device grows and shrinks in steps of "
                 "2 MiB. Counts with MEMORY_MAX above MEMORY.",
          .source = "opennebula-semantics 3.3" },
        { "MEMORY_SLOTS", U32(memory_slots), .lookup = LOOKUP_A, .dflt = "16", .min = 1, .max = 256,
          .unit = "slots", .lands = LANDS_ARGV,
          .doc = "Places for memory modules, with MEMORY_RESIZE_MODE HOTPLUG: how often memory can be added.",
          .source = "opennebula-semantics 3.3; QEMU, ACPI_MAX_RAM_SLOTS" },
        { "VCPU_PLUGGED", U32(vcpu_plugged), .lookup = LOOKUP_D, .max = 4095, .unit = "vCPUs",
          .lands = LANDS_ARGV, .live = true,
          .doc = "Virtual CPUs beyond VCPU that are plugged in; for live.tmpl, where 'resize' keeps them.",
          .source = "DESIGN 1, idea 5" },
        { "MEMORY_PLUGGED", SIZE(memory_plugged, 1 << 20, "MiB"), .lookup = LOOKUP_D, .max = 1ull << 48,
          .lands = LANDS_ARGV, .live = true,
          .doc = "Memory beyond MEMORY that the virtio-mem device has; for live.tmpl, where 'resize' keeps it.",
          .source = "DESIGN 1, idea 5" },
        { "MEMORY_TUNE_OFFSET", SIZE(memory_tune_offset, 1 << 20, "MiB"), .lookup = LOOKUP_A, .dflt = "256",
          .max = 1ull << 40, .lands = LANDS_RULE,
          .doc = "Memory that QEMU itself may use of the limit of an encrypted guest, on top of MEMORY.",
          .source = "opennebula-semantics 3.13" },
        { "ACCEL", ENUM(accel, accel, accel_words), .lookup = LOOKUP_A, .dflt = "auto", .lands = LANDS_ARGV,
          .doc = "kvm: hardware virtualisation; tcg: emulation, slow, works everywhere; auto: kvm where it can be used, "
                 "else tcg with a warning.",
          .source = "DESIGN 5.5" },
        { "EMULATOR", PATH(emulator), .lookup = LOOKUP_A, .lands = LANDS_ARGV,
          .doc = "QEMU program: an absolute path or a name looked up in the host's program directories. From a VM "
                 "template it has to be on host.conf's EMULATORS list. Absent: the first of qemu-kvm-one, qemu-kvm, "
                 "/usr/libexec/qemu-kvm, qemu-system-ARCH.",
          .source = "DESIGN 5.2" },
        { "ON_CRASH", ENUM(on_crash, crash_action, crash_words), .lookup = LOOKUP_A, .dflt = "destroy",
          .lands = LANDS_RULE,
          .doc = "When the guest panics, which it tells by the PANIC device: destroy ends the VM with the verdict "
                 "panicked; restart resets it, three times in ten minutes at most, then destroy; preserve leaves it "
                 "paused to be looked at.",
          .source = "libvirt-behaviour, guest panics" },
        { "ON_REBOOT", ENUM(on_reboot, reboot_action, reboot_words), .lookup = LOOKUP_A, .dflt = "restart",
          .lands = LANDS_ARGV,
          .doc = "When the guest restarts: restart lets it; destroy ends the VM, as if the guest had powered off.",
          .source = "libvirt-behaviour 2" },
        { "AGENT_ALLOW", TEXT(agent_allow), .lookup = LOOKUP_A, .max = 4096, .lands = LANDS_RULE,
          .doc = "Guest agent commands that may be asked for beyond the harmless ones, separated by blanks or commas; "
                 "'*' at the end stands for any ending: \"guest-exec guest-file-*\". Absent: none, so no programs, "
                 "files, passwords or keys of the guest.",
          .source = "DESIGN 6" },
        { "PIDS_LIMIT", U32(pids_limit), .lookup = LOOKUP_A, .min = 17, .max = 4194304, .unit = "threads",
          .lands = LANDS_CGROUP,
          .doc = "Processes and threads that the VM may have: one for each vCPU and at least 16 more. Disks with much "
                 "traffic want 64 workers each. Absent: no limit.",
          .source = "cgroup-v2.rst, pids" },
        { "SLICE", TEXT(slice), .lookup = LOOKUP_A, .lands = LANDS_CGROUP,
          .doc = "systemd slice of the VM's control group: what its own limits and weight share out. \"a-b.slice\" is in "
                 "\"a.slice\". Without systemd it is a group of that name. Absent: machine.slice.",
          .source = "DESIGN 7; systemd.slice(5)" },
        { "START_ORDER", U32(start_order), .lookup = LOOKUP_D, .min = 1, .max = 100000, .lands = LANDS_UNIT,
          .doc = "Place among the VMs that are started at boot: lower numbers first, the same number together, those "
                 "without one after all others. They are shut down the other way round.",
          .source = "issue 4" },
        { "START_DELAY", U32(start_delay), .lookup = LOOKUP_D, .min = 1, .max = 86400, .unit = "seconds",
          .lands = LANDS_UNIT,
          .doc = "How long the VMs of a higher START_ORDER wait at boot once this one has started. Absent: not at all.",
          .source = "issue 4" },
        { "NOTIFY_READY", TEXT(notify_ready), .words = ready_words, .lookup = LOOKUP_A, .lands = LANDS_UNIT,
          .doc = "When the VM's systemd unit counts as started: qmp as soon as the guest runs, agent when its guest "
                 "agent answers, or after five minutes without an answer. Absent: qmp.",
          .source = "DESIGN 6" },
        { "SHUTDOWN_TIMEOUT", U32(shutdown_timeout), .lookup = LOOKUP_D, .min = 1, .max = 86400,
          .unit = "seconds", .lands = LANDS_RULE,
          .doc = "How long the guest has for a shutdown or reboot. Absent: SHUTDOWN_TIMEOUT of kvmrc, 180. The unit's "
                 "TimeoutStopSec is 30 s more.",
          .source = "opennebula-semantics 5.2; DESIGN 7" },
        { "CGROUPS_VERSION", U32(cgroups_version), .lookup = LOOKUP_B, .min = 1, .max = 2,
          .lands = LANDS_RULE,
          .doc = "The version of control groups that the configuration was written for, 1 or 2. The host's own version is "
                 "what counts; a different one is a warning.",
          .source = "opennebula-semantics 3.4; DESIGN 5.2" },

        /* The host's own settings: read by site.c. */
        { "EMULATORS", .kind = ATTR_TEXT, .lookup = LOOKUP_HOST, .lands = LANDS_RULE,
          .doc = "Programs that a VM template may name as EMULATOR, separated by blanks. Absent: only root may name one.",
          .source = "DESIGN 5.2" },
        { "NIC_SCRIPTS", .kind = ATTR_TEXT, .lookup = LOOKUP_HOST, .lands = LANDS_RULE,
          .doc = "Programs that NIC/SCRIPT may name, absolute paths separated by blanks: they run as root. Absent: none.",
          .source = "opennebula-semantics 9.2" },
        { "IMAGE_DIR", .kind = ATTR_PATH, .lookup = LOOKUP_HOST, .dflt = "/var/lib/vmlaunch/images",
          .lands = LANDS_RULE,
          .doc = "Directory in which DISK/IMAGE is looked up; the default is below --root.",
          .source = "DESIGN 5.3" },
        { "DATASTORE_LOCATION", .kind = ATTR_PATH, .lookup = LOOKUP_HOST, .dflt = "/var/lib/one/datastores",
          .lands = LANDS_RULE,
          .doc = "Where the directories of OpenNebula's VMs are, DS_ID/VM_ID below it each: for VM XML whose driver "
                 "message does not say it.",
          .source = "opennebula-semantics 2.1" },
        { "UID_RANGE", .kind = ATTR_TEXT, .lookup = LOOKUP_HOST, .dflt = "1900000000-1900065535",
          .lands = LANDS_RULE, .chars = "0123456789-",
          .doc = "User ids that VMs run as, FIRST-LAST; the default is clear of the ranges of "
                 "subuid and systemd.",
          .source = "DESIGN 7" },
        { "Q35_ROOT_PORTS", .kind = ATTR_U32, .lookup = LOOKUP_B, .dflt = "16", .min = 0, .max = 64,
          .lands = LANDS_ARGV,
          .doc = "Number of PCI Express root ports of a q35 machine, that is of devices that can be plugged in; 0 means "
                 "16.",
          .source = "opennebula-semantics 3.12" },
        { "OVMF_UEFIS", TEXT(ovmf_uefis), .lookup = LOOKUP_B, .lands = LANDS_RULE,
          .dflt = "/usr/share/AAVMF/AAVMF_CODE.fd /usr/share/OVMF/OVMF_CODE.fd "
                  "/usr/share/OVMF/OVMF_CODE.secboot.fd /usr/share/OVMF/OVMF_CODE_4M.fd "
                  "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd /usr/share/edk2/ovmf/OVMF_CODE.fd "
                  "/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd",
          .doc = "Firmware files that OS/FIRMWARE may name, separated by blanks. The files of QEMU's firmware descriptors "
                 "may be named as well.",
          .source = "opennebula-semantics 3.6, 4.1" },
        { "Q35_NUMA_PCIE", .kind = ATTR_BOOL, .lookup = LOOKUP_B, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "A PCI Express root (pxb-pcie) with eight ports for each NUMA node of a q35 guest that has CPUs and memory, "
                 "for devices of the host: PCI/VM_BUS_INDEX and VM_ADDRESS say who is there.",
          .source = "opennebula-semantics 3.12" },
        COMING_IN("EMULATOR_CPUS", B, "Host CPUs for the emulator's own threads."),
        { "EVC_MODE", TEXT(evc_mode), .lookup = LOOKUP_E, .chars = ALNUM "._+-", .max = 64,
          .lands = LANDS_RULE,
          .doc = "CPU model that all VMs of a cluster have, so that they can move between its hosts: replaces "
                 "CPU_MODEL/MODEL, whatever the template says there.",
          .source = "opennebula-semantics 3.7" },

        { "HYPERV_OPTIONS", .kind = ATTR_TEXT, .lookup = LOOKUP_A, .lands = LANDS_RULE,
          .doc = "Hyper-V enlightenments of VMs with FEATURES/HYPERV, as the inside of libvirt's <hyperv>. Given, one that it "
                 "does not name is off; empty: none. Absent: the defaults of HYPERV.",
          .source = "opennebula-semantics 3.8" },
        { "HYPERV_TIMERS", .kind = ATTR_TEXT, .lookup = LOOKUP_A, .lands = LANDS_RULE,
          .dflt = "<timer name='rtc' tickpolicy='catchup'/><timer name='pit' tickpolicy='delay'/>"
                  "<timer name='hpet' present='no'/><timer name='hypervclock' present='yes'/>",
          .doc = "Timers of VMs with FEATURES/HYPERV, as the inside of libvirt's <clock>; given by anybody, also of those with "
                 "FEATURES/LOCALTIME. A TIMER vector of the same name is stronger. Empty: none.",
          .source = "opennebula-semantics 3.8" },
        { "SPICE_OPTIONS", .kind = ATTR_TEXT, .lookup = LOOKUP_A, .lands = LANDS_RULE,
          .doc = "Devices of a VM with GRAPHICS of TYPE spice, as libvirt XML: video, sound, a channel to the guest's agent, "
                 "USB redirections. Given, it is all that such a VM has of them unless its template says more; empty: "
                 "none. Absent: vga, ich6 sound, the agent and three redirections.",
          .source = "opennebula-semantics 3.11" },
        { "RAW", .kind = ATTR_TEXT, .lookup = LOOKUP_B, .lands = LANDS_RULE,
          .doc = "libvirt XML for every VM, as RAW/DATA of a template of TYPE kvm.",
          .source = "opennebula-semantics 3.14" },
        { "PMU", BOOL(pmu), .lookup = LOOKUP_A, .lands = LANDS_ARGV,
          .doc = "Performance counters of the CPU, for perf in the guest. Absent: what the CPU model has.",
          .source = "DESIGN 5.3; libvirt-behaviour 3.2" },
        COMING("TPM_STATE", "State of the virtual TPM, base64 of a tar.gz."),

        /* OpenNebula's own book-keeping. */
        LEFT_ALONE("DESCRIPTION", "for people"),
        LEFT_ALONE("LOGO", "for the web interface"),
        LEFT_ALONE("LABELS", "for the web interface"),
        LEFT_ALONE("SUNSTONE_CAPACITY_SELECT", "for the web interface"),
        LEFT_ALONE("SUNSTONE_NETWORK_SELECT", "for the web interface"),
        LEFT_ALONE("NIC_COST", "for accounting"),
        LEFT_ALONE("PUBLIC_CLOUD", "for another hypervisor"),
        LEFT_ALONE("SERVICE_ID", "filled in by OneFlow"),
        LEFT_ALONE("ROLE_NAME", "filled in by OneFlow"),
        LEFT_ALONE("FLOW_SERVICE", "filled in by OneFlow"),
        LEFT_ALONE("VM_TEMPLATE_CONTENTS", "filled in by OneFlow"),
        LEFT_ALONE("INFO", "for people"),
        LEFT_ALONE("ICON", "for the web interface"),
        LEFT_ALONE("HYPERVISOR", "chosen by OpenNebula's scheduler"),
        LEFT_ALONE("SCHED_REQUIREMENTS", "for OpenNebula's scheduler"),
        LEFT_ALONE("SCHED_RANK", "for OpenNebula's scheduler"),
        LEFT_ALONE("SCHED_DS_REQUIREMENTS", "for OpenNebula's scheduler"),
        LEFT_ALONE("SCHED_DS_RANK", "for OpenNebula's scheduler"),
        LEFT_ALONE("SCHED_MESSAGE", "for OpenNebula's scheduler"),
        LEFT_ALONE("REQUIREMENTS", "for OpenNebula's scheduler"),
        LEFT_ALONE("RANK", "for OpenNebula's scheduler"),
        LEFT_ALONE("AUTOMATIC_REQUIREMENTS", "for OpenNebula's scheduler"),
        LEFT_ALONE("AUTOMATIC_DS_REQUIREMENTS", "for OpenNebula's scheduler"),
        LEFT_ALONE("AUTOMATIC_NIC_REQUIREMENTS", "for OpenNebula's scheduler"),
        LEFT_ALONE("USER_PRIORITY", "for OpenNebula's scheduler"),
        LEFT_ALONE("CPU_COST", "for accounting"),
        LEFT_ALONE("MEMORY_COST", "for accounting"),
        LEFT_ALONE("DISK_COST", "for accounting"),
        LEFT_ALONE("MEMORY_UNIT_COST", "for the web interface"),
        { "VMID", U32(vmid), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "OpenNebula's number of the VM: part of the names that its clones have on a Ceph or Gluster cluster, and of a "
                 "GRAPHICS/PORT that is not given.",
          .source = "opennebula-semantics 3.9.1" },
        LEFT_ALONE("TEMPLATE_ID", "OpenNebula's number of the template"),
        LEFT_ALONE("CLONING_TEMPLATE_ID", "OpenNebula's number of the template"),
        LEFT_ALONE("DEPLOY_ID", "OpenNebula's handle of the VM"),
        LEFT_ALONE("FROM_APP", "the market place the template came from"),
        LEFT_ALONE("FROM_APP_NAME", "the market place the template came from"),
        LEFT_ALONE("AS_GID", "used when OpenNebula instantiates a template"),
        LEFT_ALONE("AS_UID", "used when OpenNebula instantiates a template"),
        LEFT_ALONE("INPUTS_ORDER", "for the web interface"),
        LEFT_ALONE("LXD_SECURITY_PRIVILEGED", "for other hypervisors"),
        LEFT_ALONE("VROUTER", "used when OpenNebula instantiates a template"),
        LEFT_ALONE("VROUTER_ID", "used when OpenNebula instantiates a template"),
        LEFT_ALONE("SECURITY_GROUP_RULE", "filled in by OpenNebula, follows from the NICs' groups"),
        LEFT_ALONE("ERROR", "a message of OpenNebula"),
        LEFT_ALONE("USER", "the owner's data in OpenNebula"),
        LEFT_ALONE("GROUP", "the owner's data in OpenNebula"),
};
#undef ATTR_OF

const struct attr_section attr_vm = {
        .name = "",
        .rows = vm_rows,
        .n_rows = ARRAY_SIZE(vm_rows),
        .doc = "Attributes of the VM itself.",
        .source = "opennebula-semantics 3.3",
};

#define ATTR_OF struct os_spec
static const struct attr_word arch_words[] = {
        WORD("x86_64", 0), WORD("aarch64", 0), WORD("i686", 0), SOON("ppc64le"), SOON("s390x"), WORDS_END,
};
static const struct attr_word nvram_words[] = {
        WORD("raw", DISK_FORMAT_RAW),
        WORD("qcow2", DISK_FORMAT_QCOW2),
        WORDS_END,
};
static const struct attr_word sd_bus_words[] = {
        WORD("scsi", SD_DISK_BUS_SCSI),
        WORD("sata", SD_DISK_BUS_SATA),
        WORDS_END,
};
static const struct attr os_rows[] = {
        { "ARCH", TEXT(arch), .lookup = LOOKUP_A, .words = arch_words, .dflt = "x86_64", .lands = LANDS_ARGV,
          .doc = "Processor architecture of the guest. i686 is the 32-bit PC, aarch64 the virt machine of 64-bit ARM.",
          .source = "opennebula-semantics 3.6" },
        { "MACHINE", TEXT(machine), .lookup = LOOKUP_A, .chars = ALNUM "._-", .max = 64, .dflt = "q35",
          .lands = LANDS_ARGV,
          .doc = "QEMU's machine type: q35, pc, for ARM virt, or a versioned one such as pc-q35-7.2. An alias is resolved "
                 "at the first start and kept. Absent, or from a weaker layer than ARCH = aarch64: virt.",
          .source = "opennebula-semantics 3.6, DESIGN 5.5" },
        { "KERNEL", PATH(kernel), .lookup = LOOKUP_A, .lands = LANDS_ARGV,
          .doc = "Linux kernel on the host to boot directly; relative paths start from the template's directory.",
          .source = "opennebula-semantics 3.6" },
        { "INITRD", PATH(initrd), .lookup = LOOKUP_A, .lands = LANDS_ARGV,
          .doc = "Initial RAM disk that goes with KERNEL.", .source = "opennebula-semantics 3.6" },
        { "KERNEL_CMD", TEXT(kernel_cmd), .lookup = LOOKUP_A, .max = 2047, .lands = LANDS_ARGV,
          .doc = "Command line that goes with KERNEL.", .source = "opennebula-semantics 3.6" },
        { "ROOT", TEXT(root), .lookup = LOOKUP_A, .chars = ALNUM "/._:=-", .max = 255, .lands = LANDS_ARGV,
          .doc = "Root device without /dev/; goes in front of KERNEL_CMD as root=/dev/ROOT.",
          .source = "opennebula-semantics 3.6" },
        { "BOOT", TEXT(boot), .lookup = LOOKUP_D, .max = 4096, .lands = LANDS_ARGV,
          .doc = "Devices to boot from in this order: diskN and nicN, counted from 0, separated by commas. Absent: "
                 "the first disk.",
          .source = "opennebula-semantics 3.6" },
        { "UUID", UUID(uuid), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "UUID of the VM; the same as UUID.", .source = "opennebula-semantics 3.6" },
        { "FIRMWARE", TEXT(firmware), .lookup = LOOKUP_A, .max = 4095, .lands = LANDS_ARGV,
          .doc = "BIOS: SeaBIOS, what a PC has without anything said. UEFI: the first of QEMU's firmware descriptors "
                 "(/usr/share/qemu/firmware/*.json) that fits the machine. Or a firmware file, one of OVMF_UEFIS. The "
                 "guest's UEFI variables are kept over its runs in a file of the state directory that is named after the "
                 "UUID.",
          .source = "opennebula-semantics 3.6, DESIGN 5.4" },
        { "FIRMWARE_SECURE", BOOL(firmware_secure), .lookup = LOOKUP_A, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "UEFI Secure Boot: firmware that starts nothing but what is signed by an enrolled key, with variables "
                 "that only the firmware's own code can write. On a PC the machine has to be a q35.",
          .source = "opennebula-semantics 3.6, DESIGN 5.4" },
        { "FIRMWARE_FORMAT", ENUM(firmware_format, disk_format, nvram_words), .lookup = LOOKUP_A,
          .dflt = "raw", .lands = LANDS_ARGV,
          .doc = "Format of the file with the UEFI variables. A file of the other format is converted once, with what is "
                 "in it.",
          .source = "opennebula-semantics 3.6" },
        { "SD_DISK_BUS", ENUM(sd_disk_bus, sd_disk_bus, sd_bus_words), .lookup = LOOKUP_A, .dflt = "scsi",
          .lands = LANDS_RULE,
          .doc = "Bus of disks with a TARGET of sda style: scsi (a virtio-scsi controller) or sata (the q35's own AHCI "
                 "controller, six places).",
          .source = "opennebula-semantics 3.6, 3.9.2" },
        { "BOOT_MENU", BOOL(boot_menu), .lookup = LOOKUP_A, .lands = LANDS_ARGV,
          .doc = "The firmware offers a menu of what to boot from. Absent: as the firmware has it.",
          .source = "libvirt-behaviour 2" },
        { "BOOT_MENU_TIMEOUT", U32(boot_menu_timeout_ms), .lookup = LOOKUP_A, .max = 65535,
          .unit = "milliseconds", .lands = LANDS_ARGV, .doc = "How long the menu waits.",
          .source = "libvirt-behaviour 2" },
        { "REBOOT_TIMEOUT", U32(reboot_timeout_ms), .lookup = LOOKUP_A, .max = 65535, .unit = "milliseconds",
          .lands = LANDS_ARGV,
          .doc = "A machine that has found nothing to boot tries again after this time. Absent: never.",
          .source = "libvirt-behaviour 2" },
        { "KERNEL_DS", TEXT(kernel_ds), .lookup = LOOKUP_D, .lands = LANDS_RULE,
          .doc = "Kernel in an OpenNebula datastore: OpenNebula copies it and gives its place as KERNEL, which is what "
                 "counts here.",
          .source = "opennebula-semantics 3.6" },
        { "INITRD_DS", TEXT(initrd_ds), .lookup = LOOKUP_D, .lands = LANDS_RULE,
          .doc = "Initial RAM disk in an OpenNebula datastore, as KERNEL_DS.",
          .source = "opennebula-semantics 3.6" },
        { .name = "BOOTLOADER",
          .state = ATTR_LEFT_ALONE,
          .lookup = LOOKUP_A,
          .why = "is for paravirtualised Xen guests; KERNEL boots a kernel directly" },
        MISSPELT("FIMRWARE_SECURE", "FIRMWARE_SECURE"),
};
#undef ATTR_OF

const struct attr_section attr_os = {
        .name = "OS",
        .rows = os_rows,
        .n_rows = ARRAY_SIZE(os_rows),
        .doc = "Machine type, firmware and what is booted.",
        .source = "opennebula-semantics 3.6",
};

static const struct attr_word ioapic_words[] = {
        WORD("kvm", IOAPIC_KVM),
        WORD("qemu", IOAPIC_QEMU),
        WORDS_END,
};

static const struct attr_word gic_words[] = {
        WORD("2", GIC_2),
        WORD("3", GIC_3),
        WORD("host", GIC_HOST),
        WORDS_END,
};

static const struct attr_word auto_words[] = { WORD("auto", -1), WORDS_END };

#define ATTR_OF struct features_spec
static const struct attr features_rows[] = {
        { "ACPI", BOOL(acpi), .lookup = LOOKUP_A, .dflt = "yes", .lands = LANDS_ARGV,
          .doc = "ACPI tables and the power button.", .source = "opennebula-semantics 3.8" },
        { "GUEST_AGENT", BOOL(guest_agent), .lookup = LOOKUP_A, .dflt = "yes", .lands = LANDS_ARGV,
          .doc = "Channel to the QEMU guest agent.", .source = "opennebula-semantics 3.8" },
        { "LOCALTIME", BOOL(localtime), .lookup = LOOKUP_A, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "Hardware clock in the host's local time instead of UTC.",
          .source = "opennebula-semantics 3.8" },
        { "HYPERV", BOOL(hyperv), .lookup = LOOKUP_A, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "Hyper-V enlightenments for Windows guests, those of HYPERV, and the timers of HYPERV_TIMERS: the Hyper-V "
                 "clock, an RTC and a PIT that catch up, no HPET. The guest sees them under KVM only.",
          .source = "opennebula-semantics 3.8" },
        { "VIRTIO_SCSI_QUEUES", U32(virtio_scsi_queues), .lookup = LOOKUP_A, .dflt = "auto", .min = 1,
          .max = 1021, .words = auto_words, .lands = LANDS_ARGV,
          .doc = "Queues of the SCSI disks' controller: a number, or auto for one per vCPU.",
          .source = "opennebula-semantics 3.8" },
        { "VIRTIO_BLK_QUEUES", U32(virtio_blk_queues), .lookup = LOOKUP_A, .min = 1, .max = 1024,
          .words = auto_words, .lands = LANDS_ARGV,
          .doc = "Queues of virtio disks whose DISK says nothing: a number, or auto for one per vCPU. Absent: QEMU's own "
                 "choice.",
          .source = "opennebula-semantics 3.8" },
        { "IOTHREADS", U32(iothreads), .lookup = LOOKUP_A, .dflt = "0", .max = 64, .lands = LANDS_ARGV,
          .doc = "Threads that do the work of virtio disks and of the SCSI controller, which take turns; 0: QEMU's main "
                 "thread does it.",
          .source = "opennebula-semantics 3.8, 3.9.3" },
        { "GIC", ENUM(gic, gic_version, gic_words), .lookup = LOOKUP_A, .lands = LANDS_ARGV,
          .doc = "Version of an ARM guest's interrupt controller; host: the host's own, which needs KVM. 2 is for up to 8 "
                 "vCPUs. Absent: what QEMU's machine has.",
          .source = "opennebula-semantics 3.8" },
        { "SMM", BOOL(smm), .lookup = LOOKUP_A, .lands = LANDS_ARGV,
          .doc = "System management mode of a PC, in which firmware protects its variables. Absent: where the firmware "
                 "needs it, else as QEMU's machine has it.",
          .source = "libvirt-behaviour 3.1" },
        { "VMPORT", BOOL(vmport), .lookup = LOOKUP_A, .lands = LANDS_ARGV,
          .doc = "VMware's I/O port, which its tools in the guest speak to. Absent: as QEMU's machine has it.",
          .source = "libvirt-behaviour 3.1" },
        { "IOAPIC", ENUM(ioapic, ioapic, ioapic_words), .lookup = LOOKUP_A, .lands = LANDS_ARGV,
          .doc = "Where a PC's interrupt controller is: kvm, in the kernel; qemu, the I/O APIC in QEMU, which interrupt "
                 "remapping needs. Absent: kvm.",
          .source = "libvirt-behaviour 3.1" },
        { "RAS", BOOL(ras), .lookup = LOOKUP_A, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "Memory errors of the host are told to an ARM guest by ACPI. Needs UEFI firmware.",
          .source = "opennebula-semantics 3.8" },
        { "PCIHOLE64", SIZE(pcihole64, 1024, "KiB"), .lookup = LOOKUP_A, .min = 1 << 20, .max = 1ull << 46,
          .lands = LANDS_ARGV,
          .doc = "Address space of a PC above 4 GiB for the memory of its PCI devices: more for GPUs with large "
                 "memories, less for CPUs with few address bits. Absent: QEMU's default, 32 GiB on a q35.",
          .source = "opennebula-semantics 3.2, 3.8" },
        { "MIGRATE_AUTO_CONVERGE", TEXT(migrate_auto_converge), .lookup = LOOKUP_A, .chars = "0123456789, ",
          .max = 16, .lands = LANDS_QMP,
          .doc = "INITIAL or INITIAL,INCREMENT, each 1 to 99: a guest that writes faster than a migration carries is "
                 "slowed down by INITIAL percent, and by INCREMENT more each time.",
          .source = "opennebula-semantics 3.8" },
        { "MIGRATE_COMPRESSED", BOOL(migrate_compressed), .lookup = LOOKUP_A, .dflt = "no",
          .lands = LANDS_QMP,
          .doc = "A migration sends of memory that has changed the differences only (XBZRLE).",
          .source = "opennebula-semantics 3.8" },
        LEFT_ALONE("PAE", "has no effect in QEMU: every x86 CPU model has it"),
        LEFT_ALONE("APIC", "has no effect in QEMU: every x86 machine has it"),
        MISSPELT("HEPRV", "HYPERV"),
};
#undef ATTR_OF

const struct attr_section attr_features = {
        .name = "FEATURES",
        .rows = features_rows,
        .n_rows = ARRAY_SIZE(features_rows),
        .doc = "Switches of the machine.",
        .source = "opennebula-semantics 3.8",
};

#define ATTR_OF struct cpu_model_spec
static const struct attr cpu_model_rows[] = {
        { "MODEL", TEXT(model_text), .lookup = LOOKUP_A, .chars = ALNUM "._+-", .max = 64,
          .lands = LANDS_ARGV,
          .doc = "host-model, host-passthrough, none (QEMU's own default) or a CPU model of QEMU by name. Absent: "
                 "host-model under KVM, QEMU's default otherwise.",
          .source = "opennebula-semantics 3.7, DESIGN 5.4" },
        { "FEATURES", TEXT(features_text), .lookup = LOOKUP_A, .chars = ALNUM " ,._+-=", .max = 4096,
          .lands = LANDS_ARGV,
          .doc = "CPU flags that the guest must have, separated by commas: QEMU's names, such as ssse3 or invtsc. -NAME or "
                 "NAME=off takes one away. One that cannot be had ends the start.",
          .source = "opennebula-semantics 3.7; libvirt-behaviour 3.2" },
};
#undef ATTR_OF

const struct attr_section attr_cpu_model = {
        .name = "CPU_MODEL",
        .rows = cpu_model_rows,
        .n_rows = ARRAY_SIZE(cpu_model_rows),
        .doc = "The virtual processor.",
        .source = "opennebula-semantics 3.7",
};

static const struct attr_word panic_words[] = {
        WORD("pci", PANIC_MODEL_PCI),
        WORD("isa", PANIC_MODEL_ISA),
        WORD("hyperv", PANIC_MODEL_HYPERV),
        WORDS_END,
};

#define ATTR_OF struct panic_spec
static const struct attr panic_rows[] = {
        { "MODEL", ENUM(model, panic_model, panic_words), .lookup = LOOKUP_D, .dflt = "pci",
          .lands = LANDS_ARGV,
          .doc = "pci: pvpanic-pci; isa: pvpanic, for guests with an older driver; hyperv: what Windows writes to Hyper-V's crash "
                 "registers, which the CPU has then (hv-crash), under KVM.",
          .source = "DESIGN 5.3; libvirt-behaviour 3.2" },
};
#undef ATTR_OF

const struct attr_section attr_panic = {
        .name = "PANIC",
        .rows = panic_rows,
        .n_rows = ARRAY_SIZE(panic_rows),
        .doc = "A device through which the guest tells that its kernel panicked.",
        .source = "DESIGN 5.3",
};
