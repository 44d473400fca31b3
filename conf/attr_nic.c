/* NIC: rows of opennebula-semantics section 3.10. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

static const struct attr_word bridge_type_words[] = {
        WORD("linux", NIC_BRIDGE_LINUX),
        WORD("user", NIC_BRIDGE_USER),
        WORD("none", NIC_BRIDGE_LINUX), /* upstream's word for a driver that brings no bridge of its own */
        WORD("openvswitch", NIC_BRIDGE_OVS),
        SOON("openvswitch_dpdk"),
        WORDS_END,
};

static const struct attr_word backend_words[] = {
        WORD("passt", NIC_BACKEND_PASST),
        WORD("slirp", NIC_BACKEND_SLIRP),
        WORDS_END,
};

static const struct attr_word link_words[] = {
        WORD("up", NIC_LINK_UP),
        WORD("down", NIC_LINK_DOWN),
        WORDS_END,
};

static const struct attr_word network_mode_words[] = {
        WORD("auto", 0),
        WORD("dummy", 0),
        WORDS_END,
};

static const struct attr_word method_words[] = {
        WORD("static", 0),
        WORD("dhcp", 0),
        WORD("skip", 0),
        WORDS_END,
};
static const struct attr_word ip6_method_words[] = {
        WORD("static", 0), WORD("auto", 0), WORD("dhcp", 0), WORD("disable", 0), WORD("skip", 0), WORDS_END,
};

#define NAME_CHARS    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define ADDRESS_CHARS "0123456789abcdefABCDEF.:"

/* OpenNebula's data of a NIC: for CONTEXT and the filters, and for whoever reads status. */
#define KEPT(key, text)                                                 \
        key, .lookup = LOOKUP_D, .kept = true, .lands = LANDS_METADATA, \
             .doc = text " Kept in live.tmpl and in "                   \
                         "status.",                                     \
             .source = "opennebula-semantics 2.1"
#define KEPT_ADDRESS(key, version, text)                                       \
        {                                                                      \
                KEPT(key, text), .kind = ATTR_ADDRESS, .ip_version = (version) \
        }
#define KEPT_TEXT(key, set, text)                                  \
        {                                                          \
                KEPT(key, text), .kind = ATTR_TEXT, .chars = (set) \
        }
#define KEPT_WORD(key, table, text)                                  \
        {                                                            \
                KEPT(key, text), .kind = ATTR_TEXT, .words = (table) \
        }
#define KEPT_NUMBER(key, most, text)                             \
        {                                                        \
                KEPT(key, text), .kind = ATTR_U32, .max = (most) \
        }
#define KEPT_BOOL(key, text)                       \
        {                                          \
                KEPT(key, text), .kind = ATTR_BOOL \
        }

#define ATTR_OF struct nic_spec
static const struct attr nic_rows[] = {
        { "BRIDGE", IFNAME(bridge), .lookup = LOOKUP_D, .lands = LANDS_NET, .live = true,
          .doc = "Bridge of the host that the tap joins; empty: a tap in no bridge.",
          .source = "opennebula-semantics 3.10" },
        { "BRIDGE_TYPE", ENUM(bridge_type, nic_bridge_type, bridge_type_words), .lookup = LOOKUP_D,
          .dflt = "linux", .lands = LANDS_NET, .live = true,
          .doc = "linux: a tap in BRIDGE; openvswitch: a port of that bridge of Open vSwitch, which has its VLANs; user: "
                 "user-mode networking, without BRIDGE and privileges.",
          .source = "opennebula-semantics 3.10, DESIGN 5.3" },
        { "BACKEND", ENUM(backend, nic_backend, backend_words), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "What BRIDGE_TYPE user is done by: passt, a process beside QEMU that is faster and gives the guest the "
                 "host's own addresses; slirp, which is QEMU's own. Absent: passt where it works, else slirp; slirp for a NIC that is attached to "
                 "a VM that runs.",
          .source = "DESIGN 6, passt(1)" },
        { "MAC", MAC(mac_text), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "MAC address. Absent: 52:54:00 and a hash of UUID and NIC number, the same at every start.",
          .source = "DESIGN 5.4" },
        { "MODEL", TEXT(model), .lookup = LOOKUP_C,
          .chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", .max = 64,
          .dflt = "virtio", .lands = LANDS_ARGV,
          .doc = "virtio (also virtio-transitional, on a conventional PCI bus for guests with drivers of before "
                 "virtio 1.0, and virtio-non-transitional), or an emulated card, which costs the host more: e1000, "
                 "e1000e, rtl8139, ...",
          .source = "opennebula-semantics 3.10" },
        { "TARGET", IFNAME(target), .lookup = LOOKUP_D, .lands = LANDS_NET,
          .doc = "Name of the tap, at most 15 bytes. Absent: NAME-N, or vl-HASH-N when that is too long.",
          .source = "DESIGN 7" },
        { "ADDRESS", TEXT(address), .lookup = LOOKUP_D, .chars = "abcdefghijklmnopqrstuvwxyz0123456789:._-",
          .max = 64, .lands = LANDS_GUEST_ADDRESS,
          .doc = "PCI address of the device as live.tmpl has it, so that it stays the same.",
          .source = "DESIGN 5.5" },
        { "VIRTIO_QUEUES", U32_OR_AUTO(virtio_queues), .lookup = LOOKUP_C, .min = 1, .max = 256,
          .dflt = "auto", .unit = "queues", .lands = LANDS_ARGV,
          .doc = "Queues of a virtio card on a tap, each with its own interrupt and tap fd; auto: one for each VCPU. "
                 "Cards of other models and user-mode networking have one.",
          .source = "opennebula-semantics 3.10" },
        { "ORDER", U32(order), .lookup = LOOKUP_D, .min = 1, .max = 4096, .lands = LANDS_ARGV,
          .doc = "Position among the devices to boot from; OS/BOOT, when given, counts instead.",
          .source = "opennebula-semantics 3.10" },
        { "MTU", U32(mtu), .lookup = LOOKUP_D, .min = 68, .max = 65521, .unit = "bytes", .lands = LANDS_NET,
          .doc = "MTU of the tap, and what a virtio card tells the guest. Absent: the bridge's, and the guest is told "
                 "nothing. A bridge takes the least MTU of its ports.",
          .source = "opennebula-semantics 2.1" },
        { "GUEST_MTU", U32(guest_mtu), .lookup = LOOKUP_D, .min = 68, .max = 65521, .unit = "bytes",
          .lands = LANDS_ARGV, .doc = "MTU that a virtio card tells the guest, when it is not MTU.",
          .source = "opennebula-semantics 2.1" },
        { "LINK", ENUM(link, nic_link, link_words), .lookup = LOOKUP_D, .lands = LANDS_QMP, .live = true,
          .operators = true, .doc = "down: the guest sees a card without its cable. Absent: up.",
          .source = "libvirt-behaviour 7.1" },
        { "NETWORK_MODE", TEXT(network_mode), .lookup = LOOKUP_D, .words = network_mode_words,
          .lands = LANDS_NET, .live = true,
          .doc = "dummy: the tap joins no bridge, whatever BRIDGE says; auto: OpenNebula chooses the network.",
          .source = "opennebula-semantics 3.10" },
        COMING_IN("FILTER", C, "Packet filter by name: clean-traffic and the like."),
        { "SCRIPT", PATH(script), .lookup = LOOKUP_D, .lands = LANDS_NET,
          .doc = "Program of the host, run as root with the tap's name when the tap is there; has to be on host.conf's "
                 "NIC_SCRIPTS list. It has 30 s; when it fails the VM does not start.",
          .source = "opennebula-semantics 3.10, 9.2" },
        COMING("INBOUND_AVG_BW", "Average rate to the guest, kilobytes/s."),
        COMING("INBOUND_PEAK_BW", "Peak rate to the guest, kilobytes/s."),
        COMING("INBOUND_PEAK_KB", "Burst to the guest, kilobytes."),
        COMING("OUTBOUND_AVG_BW", "Average rate from the guest, kilobytes/s."),
        COMING("OUTBOUND_PEAK_BW", "Peak rate from the guest, kilobytes/s."),
        COMING("OUTBOUND_PEAK_KB", "Burst from the guest, kilobytes."),
        MISSPELT("INBOUND_PEAK_KW", "INBOUND_PEAK_KB"),
        MISSPELT("OUTBOUND_PEAK_KW", "OUTBOUND_PEAK_KB"),
        { "VLAN_ID", U32(vlan_id), .lookup = LOOKUP_D, .min = 1, .max = 4094, .lands = LANDS_NET,
          .live = true, .doc = "VLAN of a port of Open vSwitch, which the guest knows nothing of.",
          .source = "opennebula-semantics 3.10" },
        COMING("OUTER_VLAN_ID", "Outer VLAN of the bridge port."),
        { "VLAN_TAGGED_ID", TEXT(vlan_tagged_id), .lookup = LOOKUP_D, .chars = "0123456789,-", .max = 255,
          .lands = LANDS_NET, .live = true,
          .doc = "VLANs that a port of Open vSwitch carries with their tags, 1 to 4094: 100,200-299.",
          .source = "opennebula-semantics 3.10" },
        COMING("PHYDEV", "Host interface that belongs to the bridge."),
        KEPT_ADDRESS("IP", 4, "IPv4 address."),
        KEPT_ADDRESS("IP6", 6, "IPv6 address."),
        KEPT_ADDRESS("IP6_GLOBAL", 6, "IPv6 address with the network's global prefix."),
        KEPT_ADDRESS("IP6_ULA", 6, "IPv6 address with the network's local prefix."),
        KEPT_ADDRESS("IP6_LINK", 6, "IPv6 address of the link."),
        KEPT_WORD("METHOD", method_words, "How the guest gets its IPv4 address."),
        KEPT_WORD("IP6_METHOD", ip6_method_words, "How the guest gets its IPv6 address."),
        KEPT_NUMBER("METRIC", 4294967295, "Metric of the default route."),
        KEPT_NUMBER("IP6_METRIC", 4294967295, "Metric of the IPv6 default route."),
        KEPT_ADDRESS("NETWORK_ADDRESS", 4, "Address of the network."),
        KEPT_ADDRESS("NETWORK_MASK", 4, "Mask of the network."),
        KEPT_NUMBER("PREFIX_LENGTH", 128, "Length of the IPv6 prefix."),
        KEPT_ADDRESS("GATEWAY", 4, "Default route."),
        KEPT_ADDRESS("GATEWAY6", 6, "IPv6 default route."),
        KEPT_TEXT("DNS", ADDRESS_CHARS " ,", "Name servers."),
        KEPT_TEXT("SEARCH_DOMAIN", NAME_CHARS " ", "Domains that names are looked up in."),
        KEPT_TEXT("ROUTES", ADDRESS_CHARS "/viaVIA ,", "Further routes: \"NETWORK via GATEWAY, ...\"."),
        KEPT_ADDRESS("VROUTER_IP", 4, "Address that a virtual router floats."),
        KEPT_ADDRESS("VROUTER_IP6", 6, "IPv6 address that a virtual router floats."),
        KEPT_ADDRESS("VROUTER_IP6_GLOBAL", 6, "IPv6 address that a virtual router floats."),
        KEPT_BOOL("VROUTER_MANAGEMENT", "The NIC that a virtual router is managed through."),
        KEPT_BOOL("EXTERNAL", "The address is put on the host by somebody else."),
        KEPT_TEXT("NAME", NAME_CHARS, "Name of the NIC."),
        { KEPT("NETWORK", "Name of OpenNebula's virtual network; BRIDGE says where the tap goes."),
          .kind = ATTR_TEXT, .max = 128 },
        KEPT_NUMBER("NETWORK_ID", 4294967295, "Number of OpenNebula's virtual network."),
        COMING("SECURITY_GROUPS", "Packet filters of OpenNebula."),
        COMING("FILTER_IP_SPOOFING", "Drop packets with a foreign IP address."),
        COMING("FILTER_MAC_SPOOFING", "Drop packets with a foreign MAC address."),
        LEFT_ALONE("RDP", "for OpenNebula's web interface"),
        LEFT_ALONE("SSH", "for OpenNebula's web interface"),
        { "NIC_ID", U32(id), .lookup = LOOKUP_D, .max = SPEC_MAX_ID, .lands = LANDS_NAME,
          .doc = "Number of the NIC, in the names of its devices and in BOOT; absent: the first one that is free, from 0.",
          .source = "opennebula-semantics 3.10" },
        LEFT_ALONE("NETWORK_UNAME", "OpenNebula's virtual network"),
        LEFT_ALONE("NETWORK_UID", "OpenNebula's virtual network"),
        LEFT_ALONE("VN_MAD", "OpenNebula's network driver"),
        LEFT_ALONE("AR_ID", "OpenNebula's address range"),
        LEFT_ALONE("CLUSTER_ID", "OpenNebula's cluster"),
        LEFT_ALONE("OPENNEBULA_MANAGED", "filled in by OpenNebula"),
        LEFT_ALONE("SCHED_REQUIREMENTS", "for OpenNebula's scheduler"),
        LEFT_ALONE("SCHED_RANK", "for OpenNebula's scheduler"),
};
#undef ATTR_OF

const struct attr_section attr_nic = {
        .name = "NIC",
        .repeats = true,
        .rows = nic_rows,
        .n_rows = ARRAY_SIZE(nic_rows),
        .doc = "A network interface; one vector each, counted from 0.",
        .source = "opennebula-semantics 3.10",
};

const struct attr_section attr_nic_default = {
        .name = "NIC_DEFAULT",
        .keys_of = &attr_nic,
        .doc = "Values for every NIC of the template that lacks them: the keys of NIC.",
        .source = "opennebula-semantics 2.1",
};
