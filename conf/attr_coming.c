/* Vectors that this version knows by name and keys only, and those that are none of its business. */
#include <stddef.h>

#include "base/mem.h"
#include "conf/attr.h"

/* One a line. */
/* clang-format off */
const struct attr_section *const attr_sections[] = {
        &attr_vm,
        &attr_os,
        &attr_features,
        &attr_cpu_model,
        &attr_panic,
        &attr_cputune,
        &attr_numatune,
        &attr_memtune,
        &attr_blkiotune,
        &attr_disk,
        &attr_nic,
        &attr_nic_default,
        &attr_serial,
        &attr_parallel,
        &attr_raw,
        &attr_hyperv,
        &attr_smbios,
        &attr_topology,
        &attr_numa_node,
        &attr_dimm,
        &attr_memory_backing,
        &attr_memory_encryption,
        &attr_balloon,
        &attr_graphics,
        &attr_video,
        &attr_sound,
        &attr_input,
        &attr_redirfilter,
        &attr_clock,
        &attr_timer,
        &attr_pm,
        &attr_iommu,
        &attr_console,
        &attr_channel,
        &attr_smartcard,
        &attr_rng,
        &attr_watchdog,
        &attr_tpm,
        &attr_vsock,
        &attr_filesystem,
        &attr_shmem,
        &attr_pci,
        &attr_usb,
        NULL,
};
/* clang-format on */

#define SECTION(ident, vector, text, from)                                             \
        static const struct attr_section ident = { .name = (vector),                   \
                                                   .state = ATTR_COMING,               \
                                                   .rows = ident##_rows,               \
                                                   .n_rows = ARRAY_SIZE(ident##_rows), \
                                                   .doc = (text),                      \
                                                   .source = (from) }
#define ALONE(ident, vector, reason)                                         \
        static const struct attr_section ident = { .name = (vector),         \
                                                   .state = ATTR_LEFT_ALONE, \
                                                   .any_key = true,          \
                                                   .why = (reason),          \
                                                   .source = "opennebula-semantics 2.1" }

static const struct attr context_rows[] = {
        COMING("NETWORK", "Tell the guest its network."),
        COMING("TOKEN", "OneGate token."),
        COMING("FILES", "Files for the guest."),
        COMING("FILES_DS", "Files for the guest, from a datastore."),
        COMING("TARGET", "Disk name of the CD."),
        COMING("DEV_PREFIX", "Prefix of the CD's disk name."),
        COMING("DISK_ID", "Number of the CD."),
        COMING("SSH_PUBLIC_KEY", "For the guest."),
        COMING("START_SCRIPT", "For the guest."),
        COMING("START_SCRIPT_BASE64", "For the guest."),
        COMING("USERNAME", "For the guest."),
        { .name = "PASSWORD",
          .state = ATTR_COMING,
          .lookup = LOOKUP_D,
          .secret = true,
          .doc = "For the guest." },
        COMING("SET_HOSTNAME", "For the guest."),
        COMING("GROW_FS", "For the guest."),
        COMING("TIMEZONE", "For the guest."),
        COMING("REPORT_READY", "For the guest."),
};
static const struct attr_section context = {
        .name = "CONTEXT",
        .state = ATTR_COMING,
        .any_key = true,
        .rows = context_rows,
        .n_rows = ARRAY_SIZE(context_rows),
        .doc = "Data for the guest's contextualisation, on a CD; any key.",
        .source = "opennebula-semantics 6",
};

static const struct attr backup_config_rows[] = {
        COMING("FS_FREEZE", "NONE, AGENT or SUSPEND."),
        COMING("KEEP_LAST", "Number of backups kept."),
        COMING("BACKUP_VOLATILE", "Volatile disks too."),
        COMING("MODE", "FULL or INCREMENT."),
        COMING("INCREMENT_MODE", "CBT or SNAPSHOT."),
        COMING("DISK_IDS", "Disks to back up."),
        COMING("INTERACTIVE", "Backup driven from outside."),
        COMING("LAST_INCREMENT_ID", "Filled in by OpenNebula."),
        COMING("INCREMENTAL_BACKUP_ID", "Filled in by OpenNebula."),
        COMING("LAST_DATASTORE_ID", "Filled in by OpenNebula."),
        COMING("LAST_BRIDGE", "Filled in by OpenNebula."),
        COMING("LAST_BACKUP_ID", "Filled in by OpenNebula."),
        COMING("LAST_BACKUP_SIZE", "Filled in by OpenNebula."),
        COMING("LAST_BACKUP_FORMAT", "Filled in by OpenNebula."),
        COMING("ACTIVE_FLATTEN", "Filled in by OpenNebula."),
};
SECTION(backup_config, "BACKUP_CONFIG", "How the VM is backed up.", "opennebula-semantics 7");

static const struct attr nic_alias_rows[] = {
        COMING("PARENT", "Name of the NIC."),
        COMING("NETWORK", "OpenNebula's virtual network."),
        COMING("IP", "Further address."),
};
static const struct attr_section nic_alias = {
        .name = "NIC_ALIAS",
        .state = ATTR_COMING,
        .any_key = true,
        .rows = nic_alias_rows,
        .n_rows = ARRAY_SIZE(nic_alias_rows),
        .doc = "A further address of a NIC.",
        .source = "opennebula-semantics 2.1",
};

static const struct attr snapshot_rows[] = {
        COMING("SNAPSHOT_ID", "Number."),
        COMING("NAME", "Name."),
        COMING("TIME", "Time."),
        COMING("HYPERVISOR_ID", "Name at the hypervisor."),
        COMING("ACTIVE", "Filled in by OpenNebula."),
        COMING("ACTION", "Filled in by OpenNebula."),
        COMING("SYSTEM_DISK_SIZE", "Filled in by OpenNebula."),
};
SECTION(snapshot, "SNAPSHOT", "A snapshot of the whole VM.", "opennebula-semantics 2.1");

ALONE(user_inputs, "USER_INPUTS", "asked by OpenNebula when a template is instantiated");
ALONE(sched_action, "SCHED_ACTION", "for OpenNebula's scheduler");
ALONE(vcenter, "VCENTER", "for another hypervisor");
ALONE(security_group_rule, "SECURITY_GROUP_RULE", "filled in by OpenNebula, follows from the NICs' groups");
ALONE(resize, "RESIZE", "filled in by OpenNebula");
ALONE(monitoring, "MONITORING", "filled in by OpenNebula");
ALONE(hot_resize, "HOT_RESIZE", "for the web interface");
ALONE(modification, "MODIFICATION", "for the web interface");
ALONE(sunstone, "SUNSTONE", "for the web interface");
ALONE(vmgroup, "VMGROUP", "for OpenNebula's scheduler");
ALONE(schedule_action, "SCHED_ACTIONS", "for OpenNebula's scheduler");
ALONE(ec2, "EC2", "for another hypervisor");
ALONE(public_cloud, "PUBLIC_CLOUD", "for another hypervisor");

/* One a line. */
/* clang-format off */
const struct attr_section *const attr_coming_sections[] = {
        &context,
        &backup_config,
        &nic_alias,
        &snapshot,
        &user_inputs,
        &sched_action,
        &vcenter,
        &security_group_rule,
        &resize,
        &monitoring,
        &hot_resize,
        &modification,
        &sunstone,
        &vmgroup,
        &schedule_action,
        &ec2,
        &public_cloud,
        NULL,
};
/* clang-format on */
