/*
 * vm_spec - what the user asked for: typed, defaults filled in, nothing about this host.
 *
 * Built by spec_build() from a template and the site's layers; owned by the caller, vm_spec_free() accepts
 * NULL. Every section starts with its origins, one per row of the section's table (conf/attr.h), so that
 * explain can say which layer and line each value came from. Strings are owned by the spec; NULL means that
 * nobody said anything and the row has no default.
 * Units: bytes, unless the name says otherwise.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "conf/device_spec.h"
#include "conf/disk_spec.h"
#include "conf/display_spec.h"
#include "conf/hostdev_spec.h"
#include "conf/hyperv_spec.h"
#include "conf/origin.h"
#include "conf/smbios_spec.h"

/* Of DISK_ID, NIC_ID and their like: far more devices than any machine has places for. */
#define SPEC_MAX_ID 9999

/* QEMU's MAX_NODES. */
#define SPEC_MAX_NUMA_NODES 128

/* QEMU counts memory in these (softmmu/vl.c rounds -m up, and holds its backend against that). */
#define MEMORY_GRAIN 8192

enum accel { ACCEL_AUTO, ACCEL_KVM, ACCEL_TCG };
enum cpu_mode { CPU_MODE_NONE, CPU_MODE_HOST_PASSTHROUGH, CPU_MODE_HOST_MODEL, CPU_MODE_NAMED };
enum panic_model { PANIC_MODEL_PCI, PANIC_MODEL_ISA, PANIC_MODEL_HYPERV };
enum reboot_action { REBOOT_RESTART, REBOOT_DESTROY };
enum crash_action { CRASH_DESTROY, CRASH_RESTART, CRASH_PRESERVE };
/* BALLOONING: the machine has MEMORY_MAX and the balloon takes the rest; the others: it grows to that. */
enum memory_resize_mode { MEMORY_BALLOONING, MEMORY_HOTPLUG, MEMORY_VIRTIO_MEM };
enum memory_access { MEMORY_ACCESS_NONE, MEMORY_ACCESS_PRIVATE, MEMORY_ACCESS_SHARED };
enum memory_encryption { MEMORY_ENCRYPTION_NONE, MEMORY_ENCRYPTION_SEV, MEMORY_ENCRYPTION_SEV_ES };
enum numa_mode { NUMA_MODE_STRICT, NUMA_MODE_PREFERRED, NUMA_MODE_INTERLEAVE, NUMA_MODE_RESTRICTIVE };
enum balloon_model { BALLOON_MODEL_VIRTIO, BALLOON_MODEL_NONE };
enum nic_bridge_type { NIC_BRIDGE_LINUX, NIC_BRIDGE_USER, NIC_BRIDGE_OVS };
enum nic_backend { NIC_BACKEND_NONE, NIC_BACKEND_PASST, NIC_BACKEND_SLIRP };
enum nic_link { NIC_LINK_NONE, NIC_LINK_UP, NIC_LINK_DOWN };
enum boot_kind { BOOT_DISK, BOOT_NIC };
enum firmware_kind { FIRMWARE_BIOS, FIRMWARE_UEFI, FIRMWARE_FILE };
enum sd_disk_bus { SD_DISK_BUS_SCSI, SD_DISK_BUS_SATA };
enum ioapic { IOAPIC_DEFAULT, IOAPIC_KVM, IOAPIC_QEMU };
enum gic_version { GIC_DEFAULT, GIC_2, GIC_3, GIC_HOST };
enum clock_offset { CLOCK_UTC, CLOCK_LOCALTIME, CLOCK_TIMEZONE, CLOCK_VARIABLE };
enum iommu_mode { IOMMU_MODE_SINGLE, IOMMU_MODE_DEVICE };
enum iommu_model { IOMMU_NONE, IOMMU_INTEL, IOMMU_AMD, IOMMU_VIRTIO, IOMMU_SMMUV3 };
enum timer_name {
        TIMER_NONE,
        TIMER_RTC,
        TIMER_PIT,
        TIMER_HPET,
        TIMER_TSC,
        TIMER_KVMCLOCK,
        TIMER_HYPERVCLOCK
};
enum timer_track { TRACK_DEFAULT, TRACK_GUEST, TRACK_WALL, TRACK_REALTIME };
enum timer_tickpolicy { TICK_DEFAULT, TICK_DELAY, TICK_CATCHUP, TICK_DISCARD };
enum timer_mode { TIMER_MODE_DEFAULT, TIMER_MODE_AUTO, TIMER_MODE_NATIVE };

struct boot_device {
        enum boot_kind kind;
        unsigned index; /* position among the disks or NICs of the one whose number was given */
};

struct os_spec {
        struct section section;
        char *arch, *machine;  /* "x86_64"; "q35", "pc", "pc-q35-7.2": as the template says */
        char *kernel, *initrd; /* absolute paths */
        char *kernel_cmd, *root;
        char *boot; /* as written; parsed: */
        struct boot_device *boot_order;
        size_t n_boot_order;
        char *uuid;                       /* OS/UUID as written; vm_spec.uuid is what counts */
        char *firmware;                   /* FIRMWARE as written, a path made absolute; parsed: */
        enum firmware_kind firmware_kind; /* BIOS when absent */
        bool firmware_secure;
        enum disk_format firmware_format; /* of the variables: RAW or QCOW2 */
        enum sd_disk_bus sd_disk_bus;
        char *kernel_ds, *initrd_ds; /* as written */
        bool boot_menu;
        uint32_t boot_menu_timeout_ms, reboot_timeout_ms;
};

struct features_spec {
        struct section section;
        bool acpi, guest_agent, localtime;
        bool hyperv, ras;
        enum gic_version gic;
        bool smm, vmport; /* count when they are given */
        enum ioapic ioapic;
        uint64_t pcihole64; /* bytes; 0: QEMU's default */
        char *migrate_auto_converge;
        unsigned throttle_initial, throttle_increment; /* percent, parsed from it; 0: not given */
        bool migrate_compressed;
        uint32_t virtio_scsi_queues,
                virtio_blk_queues; /* SPEC_AUTO_U32: one per vCPU; 0: QEMU's own choice */
        uint32_t iothreads;
};

struct cpu_flag {
        char *name;
        bool on;
};

struct cpu_model_spec {
        struct section section;
        char *model_text;   /* MODEL, or EVC_MODE in its place; NULL: none */
        enum cpu_mode mode; /* worked out from it; NONE when absent */
        char *features_text;
        struct cpu_flag *flags; /* parsed from it; owned */
        size_t n_flags;
};

struct clock_spec {
        struct section section;
        bool present;
        enum clock_offset offset;
        char *timezone;     /* "Europe/Paris"; NULL but for CLOCK_TIMEZONE */
        int64_t adjustment; /* seconds from UTC; CLOCK_VARIABLE */
};

struct timer_spec {
        struct section section;
        enum timer_name name;
        enum timer_track track;
        enum timer_tickpolicy tickpolicy;
        enum timer_mode mode;
        uint64_t frequency; /* Hz; 0: not given */
        bool timer_present;
};

struct iommu_option {
        const char *property; /* QEMU's name; static */
        char *value;          /* "on", "off" or a number */
        bool is_number;
};

struct iommu_spec {
        struct section section;
        bool present;
        enum iommu_model model;
        enum iommu_mode mode;
        char *options_text;           /* OPTIONS as written; parsed, with the model's defaults: */
        struct iommu_option *options; /* owned */
        size_t n_options;
};

struct pm_spec {
        struct section section;
        bool present;
        bool suspend_to_mem, suspend_to_disk;
};

struct panic_spec {
        struct section section;
        bool present; /* a PANIC vector was given */
        enum panic_model model;
};

struct topology_spec {
        struct section section;
        bool present;
        uint32_t sockets, cores, threads; /* as written, 0: not; vm_spec_smp() is what counts */
        uint64_t hugepage_size;           /* 0: not given */
        enum memory_access memory_access;
        char *pin_policy;
};

/* NODE:DISTANCE of NUMA_NODE/DISTANCE. */
struct numa_distance {
        unsigned first, last;
        unsigned value;
};

struct numa_node_spec {
        struct section section;
        unsigned id; /* position, from 0 */
        uint32_t total_cpus;
        uint64_t memory;
        char *distance; /* as written; parsed: */
        struct numa_distance *distances;
        size_t n_distances;
};

struct memory_backing_spec {
        struct section section;
        bool present; /* a value other than a default was given */
        bool hugepages, nosharepages, locked, dump_core, thp;
};

struct memory_encryption_spec {
        struct section section;
        bool present;
        enum memory_encryption type;
};

struct dimm_spec {
        struct section section;
        uint32_t id; /* DIMM_ID: its slot */
        uint64_t size;
};

struct balloon_spec {
        struct section section;
        bool present; /* a value other than a default was given */
        enum balloon_model model;
        uint32_t stats_period; /* seconds; 0: none */
        bool autodeflate, free_page_reporting;
        uint64_t pressure_floor; /* bytes; 0: the balloon does not follow the host */
};

/* CPUs of the host for these vCPUs or I/O threads. */
struct cpu_pin {
        unsigned first, last;
        char *cpus; /* a list as the kernel writes it */
};

struct cpu_pins {
        struct cpu_pin *items;
        size_t n;
};

struct cputune_spec {
        struct section section;
        bool present;
        uint64_t quota_us; /* 0: no limit */
        uint64_t period_us;
        char *cpuset, *emulatorpin;  /* lists as the kernel writes them; NULL: none */
        char *vcpupin, *iothreadpin; /* as written; parsed: */
        struct cpu_pins vcpus, iothreads;
};

struct numatune_spec {
        struct section section;
        uint32_t cell; /* counts when it is given */
        bool has_cell;
        enum numa_mode mode;
        char *nodeset; /* a list as the kernel writes it */
};

struct memtune_spec {
        struct section section;
        bool present;
        uint64_t hard_limit, soft_limit, swap_hard_limit; /* bytes; 0: none */
};

struct blkiotune_spec {
        struct section section;
        bool present;
        uint32_t weight; /* 0: none given */
};

struct nic_spec {
        struct section section;
        uint32_t id; /* NIC_ID, or the first free number */
        enum nic_bridge_type bridge_type;
        enum nic_backend backend; /* NONE: by the host; NIC_BRIDGE_USER only */
        enum nic_link link;
        char *bridge; /* NULL with NIC_BRIDGE_USER, NETWORK_MODE dummy, or a tap in no bridge */
        char *model;  /* "virtio", "e1000", ... */
        char *target; /* tap name, at most 15 bytes; filled in by rule: NAME-N, or vl-HASH-N when too long */
        char *mac_text;
        uint8_t mac[6];         /* 52:54:00 and a hash of UUID and NIC number when absent */
        uint32_t virtio_queues; /* as given; ATTR_AUTO: by VCPU */
        uint32_t queues;        /* that count, 1 or more */
        uint32_t order;         /* ORDER as written, 0: none */
        uint32_t mtu;           /* of the tap, 0: none given */
        uint32_t guest_mtu;     /* that the guest is told, 0: nothing */
        uint32_t vlan_id;       /* 0: none */
        char *vlan_tagged_id;   /* "10,20-29", NULL: none */
        char *network_mode;     /* NETWORK_MODE as written */
        char *script;           /* absolute, on the list; NULL: none */
        char *address;
};

struct vm_spec {
        struct section section; /* top-level attributes */
        char *template_file;    /* as given by the user; "-" for stdin */
        char *name, *uuid_text;
        char *snippets; /* SNIPPETS: "read", or "done" in live.tmpl */
        uint8_t uuid[16];
        uint32_t vmid; /* OpenNebula's number; its origin says whether there is one */
        double cpu;
        uint32_t vcpu;
        uint32_t vcpu_max;   /* 0: no more than vcpu */
        uint64_t memory;     /* bytes, a multiple of MEMORY_GRAIN */
        uint64_t memory_max; /* the same; 0: no more than memory */
        uint32_t memory_slots;
        enum memory_resize_mode memory_resize_mode;
        uint32_t vcpu_plugged;   /* beyond vcpu */
        uint64_t memory_plugged; /* of the virtio-mem device; bytes */
        struct dimm_spec *dimms; /* memory modules that were plugged */
        size_t n_dimms;
        uint64_t memory_tune_offset; /* bytes */
        /* Guest memory is mapped by another process too; by: what asks for it, "FILESYSTEM[0]/DRIVER" (owned). */
        bool memory_shared;
        char *memory_shared_by;
        uint32_t pids_limit;                    /* 0: none */
        char *slice;                            /* NULL: machine.slice */
        uint32_t start_order;                   /* 0: after those that have one */
        uint32_t start_delay, shutdown_timeout; /* seconds; 0: none given */
        char *notify_ready;                     /* "agent"; NULL or "qmp": as soon as the guest runs */
        uint32_t cgroups_version;               /* of the configuration; 0: it says nothing */
        enum accel accel;
        enum crash_action on_crash;
        enum reboot_action on_reboot;
        char *agent_allow; /* AGENT_ALLOW as written; NULL: none (conf/agent_allow.h) */
        char *emulator;    /* absolute path or a bare name; NULL: found on the host */
        char *ovmf_uefis;  /* OVMF_UEFIS as written */
        char *evc_mode;    /* EVC_MODE; NULL: none */
        bool pmu;          /* counts when PMU is given */
        struct os_spec os;
        struct features_spec features;
        struct cpu_model_spec cpu_model;
        struct topology_spec topology;
        struct numa_node_spec *numa_nodes;
        size_t n_numa_nodes;
        struct memory_backing_spec memory_backing;
        struct memory_encryption_spec memory_encryption;
        struct balloon_spec balloon;
        struct hyperv_spec hyperv;
        struct smbios_spec smbios;
        struct clock_spec clock;
        struct pm_spec pm;
        struct iommu_spec iommu;
        struct timer_spec *timers;
        size_t n_timers;
        struct panic_spec panic;
        struct cputune_spec cputune;
        struct numatune_spec *numatunes;
        size_t n_numatunes;
        struct memtune_spec memtune;
        struct blkiotune_spec blkiotune;
        struct graphics_spec graphics;
        struct video_spec video;
        struct sound_spec sound;
        struct rng_spec rng;
        struct watchdog_spec watchdog;
        struct tpm_spec tpm;
        struct vsock_spec vsock;
        struct disk_spec *disks;
        size_t n_disks;
        struct nic_spec *nics;
        size_t n_nics;
        struct line_spec *serials; /* without them and consoles: one by rule, on console.sock */
        size_t n_serials;
        struct line_spec *parallels, *channels;
        size_t n_parallels, n_channels;
        struct line_spec smartcard;
        struct shmem_spec *shmems;
        size_t n_shmems;
        struct input_spec *inputs;
        size_t n_inputs;
        struct redirfilter_spec *redirfilters;
        size_t n_redirfilters;
        struct line_spec *consoles;
        size_t n_consoles;
        struct filesystem_spec *filesystems;
        size_t n_filesystems;
        struct pci_spec *pcis;
        size_t n_pcis;
        struct usb_spec *usbs;
        size_t n_usbs;
        struct raw_spec *raws;
        size_t n_raws;
        struct error *warnings; /* list; places where known; owned */
        char **files;           /* pool of the file names that origins and positions point into; owned */
        size_t n_files;
};

void vm_spec_free(struct vm_spec *spec);
DEFINE_FREEP(struct vm_spec, vm_spec_free)

/* q35 and virt machines count as one family (opennebula-semantics section 3.6). */
bool vm_spec_is_q35(const struct vm_spec *spec);
/* vCPUs that the machine has places for. */
uint32_t vm_spec_vcpu_max(const struct vm_spec *spec);
/* How its vCPUs are arranged; the product is vm_spec_vcpu_max(). */
struct smp {
        uint32_t sockets, cores, threads;
};
struct smp vm_spec_smp(const struct vm_spec *spec);
/* Memory that the machine has at boot, balloon or not. */
uint64_t vm_spec_ram(const struct vm_spec *spec);
/* Memory that it can grow by; 0: none. */
uint64_t vm_spec_memory_room(const struct vm_spec *spec);
/* Sizes of its DIMMs together. */
uint64_t vm_spec_dimms(const struct vm_spec *spec);
/* What NUMATUNE says of memory of the guest's node, or of a guest without nodes; NULL: nothing. */
const struct numatune_spec *vm_spec_numatune(const struct vm_spec *spec, unsigned node);
/* The CPUs of vCPU or I/O thread number n, else CPUSET; NULL: nothing is said. */
const char *vm_spec_pin(const struct vm_spec *spec, const struct cpu_pins *pins, unsigned n);
bool vm_spec_has_hugepages(const struct vm_spec *spec);
/* The virt machine of ARM. */
bool vm_spec_is_virt(const struct vm_spec *spec);
/* NULL: the template has none of this name. */
const struct timer_spec *vm_spec_timer(const struct vm_spec *spec, enum timer_name name);
/* The origin of ATTRIBUTE or SECTION[index]/KEY ("MEMORY", "OS/MACHINE", "DISK[1]/CACHE"), NULL when there is
 * no such row. */
const struct origin *vm_spec_origin(const struct vm_spec *spec, const char *reference);
/* Lower-case words as templates write them; for printers and live.tmpl. */
const char *layer_name(enum layer layer);
