#include "launcher/plan/nic.h"

#include <string.h>

#include "conf/attr.h"
#include "launcher/host/device_facts.h"
#include "launcher/plan/builder.h"
#include "launcher/plan/device.h"
#include "net/net_plan.h"

#define VHOST_NODE    "/dev/vhost-net"
#define ETHERNET_MTU  1500
#define PASST_MTU_MAX 65520 /* passt(1) */

static const struct nic_model {
        const char *name, *device;
        bool is_legacy; /* conventional PCI */
        bool vnet_hdr;  /* offloads the guest's headers to the tap; others would drop them */
        bool is_virtio; /* several queues, vhost, and it tells the guest an MTU */
} models[] = {
        { "virtio", "virtio-net-pci", false, true, true },
        /* Behind a root port a card has no I/O ports, and the virtio of before 1.0 needs them. */
        { "virtio-transitional", "virtio-net-pci-transitional", true, true, true },
        { "virtio-non-transitional", "virtio-net-pci-non-transitional", false, true, true },
        { "e1000", "e1000", true, false, false },
        { "e1000-82544gc", "e1000-82544gc", true, false, false },
        { "e1000-82545em", "e1000-82545em", true, false, false },
        { "e1000e", "e1000e", false, true, false },
        { "igb", "igb", false, true, false },
        { "rtl8139", "rtl8139", true, false, false },
        { "vmxnet3", "vmxnet3", false, true, false },
        { "pcnet", "pcnet", true, false, false },
        { "ne2k_pci", "ne2k_pci", true, false, false },
        { "tulip", "tulip", true, false, false },
        { "i82551", "i82551", true, false, false },
        { "i82557b", "i82557b", true, false, false },
        { "i82559er", "i82559er", true, false, false },
};

static const struct nic_model *find_model(const char *name)
{
        for (size_t i = 0; i < ARRAY_SIZE(models); i++)
                if (strcmp(models[i].name, name) == 0)
                        return &models[i];
        return NULL;
}

const char *nic_device_type(const char *model)
{
        const struct nic_model *found = find_model(model);

        return found ? found->device : NULL;
}

const char *nic_model_name(size_t i)
{
        return i < ARRAY_SIZE(models) ? models[i].name : NULL;
}

bool nic_is_legacy(const struct nic_spec *nic)
{
        const struct nic_model *model = find_model(nic->model);

        return model && model->is_legacy;
}

bool nic_is_virtio(const struct nic_spec *nic)
{
        const struct nic_model *model = find_model(nic->model);

        return model && model->is_virtio;
}

json_t *nic_netdev(const struct nic_spec *nic, const char *fds, const char *vhost_fds)
{
        json_t *netdev;
        bool many = fds && strchr(fds, ':');

        if (!fds)
                return json_pack("{s:s, s:o}", "type", "user", "id", json_sprintf("net%u", nic->id));
        if (nic->bridge_type == NIC_BRIDGE_USER)
                return json_pack("{s:s, s:o, s:b, s:{s:s, s:s}}", "type", "stream", "id",
                                 json_sprintf("net%u", nic->id), "server", 0, "addr", "type", "fd", "str",
                                 fds);
        netdev = json_pack("{s:s, s:o, s:s}", "type", "tap", "id", json_sprintf("net%u", nic->id),
                           many ? "fds" : "fd", fds);
        /* QEMU 7.2 aborts on vhost=on without /dev/vhost-net, so it is never left to a default. */
        json_object_set_new(netdev, "vhost", json_boolean(vhost_fds));
        if (vhost_fds)
                json_object_set_new(netdev, many ? "vhostfds" : "vhostfd", json_string(vhost_fds));
        return netdev;
}

json_t *nic_device(const struct nic_spec *nic, const char *address, unsigned bootindex)
{
        unsigned mtu = nic->guest_mtu ? nic->guest_mtu : nic->mtu;
        json_t *device =
                json_pack("{s:s, s:o, s:o, s:o}", "driver", nic_device_type(nic->model), "id",
                          json_sprintf("nic%u", nic->id), "netdev", json_sprintf("net%u", nic->id), "mac",
                          json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1], nic->mac[2],
                                       nic->mac[3], nic->mac[4], nic->mac[5]));

        build_set_address(device, address);
        if (nic->queues > 1) {
                json_object_set_new(device, "mq", json_true());
                /* One for each direction of each queue, one for changes and one for the control queue. */
                json_object_set_new(device, "vectors", json_integer(2 * (json_int_t)nic->queues + 2));
        }
        if (mtu && nic_is_virtio(nic))
                json_object_set_new(device, "host_mtu", json_integer(mtu));
        /* Without a boot rom there is no file to find later, when QEMU is confined. */
        if (bootindex)
                json_object_set_new(device, "bootindex", json_integer(bootindex));
        else
                json_object_set_new(device, "romfile", json_string(""));
        return device;
}

static int unknown_model(struct build *build, const char *reference, const char *wanted, enum error_code code,
                         struct error **err)
{
        _cleanup_text_ struct text known = TEXT_INIT;

        for (size_t i = 0; i < ARRAY_SIZE(models); i++)
                if (qemu_has_device(build->in->qemu, models[i].device))
                        text_addf(&known, "%s%s", known.length ? ", " : "", models[i].name);
        if (code == ERROR_HOST)
                build_error(build, err, code, reference, "%s has no card for model '%s'",
                            build->in->qemu->path, wanted);
        else
                build_error(build, err, code, reference, "there is no model '%s'", wanted);
        return error_hint(err, "it can be %s", text_str(&known));
}

/* Taps, bridges and scripts are root's. */
static int check_owner(struct build *build, size_t i, struct error **err)
{
        const struct nic_spec *nic = &build->spec->nics[i];
        _cleanup_free_ char *reference = xasprintf("NIC[%zu]/%s", i, nic->script ? "SCRIPT" : "BRIDGE");

        if (!build->in->site->owner.user || (nic->bridge_type == NIC_BRIDGE_USER && !nic->script))
                return 0;
        if (nic->script)
                return build_error(build, err, ERROR_NOT_PERMITTED, reference,
                                   "a script is run by root, and this VM is an ordinary user's");
        build_error(build, err, ERROR_NOT_PERMITTED, reference,
                    "a tap needs root, and this VM is an ordinary user's");
        return error_hint(err, "BRIDGE_TYPE = \"user\" is user-mode networking, or run it as root");
}

/* -netdev stream came with QEMU 7.2. */
static bool has_stream(const struct build *build)
{
        const struct qemu_facts *qemu = build->in->qemu;

        return qemu->major * 100 + qemu->minor >= 702;
}

bool nic_wants_passt(const struct build *build, const struct nic_spec *nic)
{
        const struct device_facts *facts = build->in->devices;

        return nic->bridge_type == NIC_BRIDGE_USER &&
               (nic->backend == NIC_BACKEND_PASST ||
                (nic->backend == NIC_BACKEND_NONE && facts->passt && !facts->passt_fault &&
                 has_stream(build) && !build->in->running));
}

static int check_passt(struct build *build, size_t i, struct error **err)
{
        _cleanup_free_ char *reference = xasprintf("NIC[%zu]/BACKEND", i);

        if (!nic_wants_passt(build, &build->spec->nics[i]))
                return 0;
        if (!build->in->devices->passt) {
                build_error(build, err, ERROR_HOST, reference, "there is no passt on this host");
                return error_hint(err, "apt-get install passt; without BACKEND it is QEMU's own slirp");
        }
        /* What runs already may go on without what it needs for another start. */
        if (build->in->devices->passt_fault && !build->in->running) {
                build_error(build, err, ERROR_HOST, reference, "passt does not work here: %s",
                            build->in->devices->passt_fault);
                return error_hint(err, "%s", "without BACKEND it is QEMU's own slirp then");
        }
        if (!has_stream(build))
                return build_error(build, err, ERROR_HOST, reference,
                                   "%s cannot have it: QEMU 7.2 is the first that can",
                                   build->in->qemu->path);
        return 0;
}

int nic_check_all(struct build *build, struct error **err)
{
        for (size_t i = 0; i < build->spec->n_nics; i++) {
                const struct nic_spec *nic = &build->spec->nics[i];
                _cleanup_free_ char *reference = xasprintf("NIC[%zu]/MODEL", i);
                const struct nic_model *model = find_model(nic->model);

                if (check_owner(build, i, err) < 0 || check_passt(build, i, err) < 0)
                        return -1;
                if (!model || !qemu_has_device(build->in->qemu, model->device))
                        return unknown_model(build, reference, nic->model, model ? ERROR_HOST : ERROR_INVALID,
                                             err);
                if (model->is_legacy && build->kind != MACHINE_PC &&
                    build_need_device(build, reference, "pcie-pci-bridge", err) < 0)
                        return -1;
        }
        return 0;
}

/* vhost moves the packets in the kernel. It needs KVM's interrupts to be worth anything: libvirt does the same. */
static bool has_vhost(const struct build *build, const struct nic_spec *nic)
{
        return build->accel == ACCEL_KVM && nic->bridge_type != NIC_BRIDGE_USER && nic_is_virtio(nic) &&
               build->in->host->vhost_net.exists && S_ISCHR(build->in->host->vhost_net.mode);
}

/* "10:11:12": the numbers that the next n fds get. */
static char *number_queues(struct build *build, const struct nic_spec *nic, const char *what,
                           const char *words)
{
        _cleanup_text_ struct text source = TEXT_INIT, text = TEXT_INIT;
        struct text numbers = TEXT_INIT;
        size_t source_start, text_start;

        text_addf(&source, "%s:%s:", what, nic->target);
        text_addf(&text, "%s %s queue ", words, nic->target);
        source_start = source.length;
        text_start = text.length;
        for (unsigned queue = 0; queue < nic->queues; queue++) {
                text_cut(&source, source_start);
                text_add_u64(&source, queue);
                text_cut(&text, text_start);
                text_add_u64(&text, queue);
                if (queue)
                        text_add_char(&numbers, ':');
                text_add_u64(&numbers, (uint64_t)build_fd(build, text_str(&source), text_str(&text)));
        }
        return text_take(&numbers);
}

void nic_number_fds(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_nics; i++) {
                const struct nic_spec *nic = &build->spec->nics[i];
                struct plan_nic *plan = &build->nics[i];

                if (nic_wants_passt(build, nic)) {
                        _cleanup_free_ char *id = xasprintf("nic%u", nic->id),
                                            *text = xasprintf("socket to the passt of %s", id);

                        plan->fds = xasprintf("%d", helper_number_fd(build, id, text));
                }
                if (nic->bridge_type == NIC_BRIDGE_USER)
                        continue;
                plan->fds = number_queues(build, nic, "tap", "tap");
                if (has_vhost(build, nic))
                        plan->vhost_fds = number_queues(build, nic, "vhost", "vhost-net of");
        }
}

/* What of OpenNebula is kept with the NIC; NULL: nothing. */
static json_t *kept(const struct nic_spec *nic)
{
        json_t *object = NULL;

        for (size_t i = 0; i < attr_nic.n_rows; i++) {
                const char *text = nic->section.origins[i].text;

                if (!attr_nic.rows[i].kept || !text)
                        continue;
                if (!object)
                        object = json_object();
                json_object_set_new(object, attr_nic.rows[i].name, json_string(text));
        }
        return object;
}

void nic_args(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_nics; i++) {
                const struct nic_spec *nic = &build->spec->nics[i];
                const struct plan_nic *plan = &build->nics[i];
                bool is_user = nic->bridge_type == NIC_BRIDGE_USER;
                _cleanup_text_ struct text netdev = TEXT_INIT, device = TEXT_INIT;

                build_refer_key(build, &netdev, &attr_nic, i, "BRIDGE_TYPE");
                if (is_user)
                        build_refer_key(build, &netdev, &attr_nic, i, "BACKEND");
                else
                        build_refer_key(build, &netdev, &attr_nic, i, "TARGET");
                if (nic->queues > 1)
                        build_refer_key(build, &netdev, &attr_nic, i, "VIRTIO_QUEUES");
                build_json(build, text_str(&netdev), "-netdev", nic_netdev(nic, plan->fds, plan->vhost_fds));

                build_refer_key(build, &device, &attr_nic, i, "MODEL");
                build_refer_key(build, &device, &attr_nic, i, "MAC");
                build_refer_key(build, &device, &attr_nic, i, "ADDRESS");
                if (nic->queues > 1)
                        build_refer_key(build, &device, &attr_nic, i, "VIRTIO_QUEUES");
                if (nic_is_virtio(nic)) {
                        build_refer_key(build, &device, &attr_nic, i, "GUEST_MTU");
                        if (!nic->guest_mtu)
                                build_refer_key(build, &device, &attr_nic, i, "MTU");
                }
                if (plan->bootindex) {
                        build_refer(build, &device, "OS/BOOT");
                        build_refer_key(build, &device, &attr_nic, i, "ORDER");
                }
                build_json(build, text_str(&device), "-device",
                           nic_device(nic, plan->address, plan->bootindex));

                build_device(build,
                             json_pack("{s:o, s:s, s:s*, s:s, s:s, s:s*, s:s*, s:i, s:s, s:o*}", "id",
                                       json_sprintf("nic%u", nic->id), "kind", "nic", "target",
                                       is_user ? NULL : nic->target, "model", nic->model, "mac",
                                       nic->mac_text, "bridge", nic->bridge, "link",
                                       nic->link == NIC_LINK_DOWN ? "down" : NULL, "queues", (int)nic->queues,
                                       "address", plan->address, "metadata", kept(nic)));
        }
}

/* Before the guest runs; QEMU's options have no word for it. */
void nic_qmp_steps(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_nics; i++) {
                const struct nic_spec *nic = &build->spec->nics[i];
                _cleanup_text_ struct text because = TEXT_INIT;

                if (nic->link != NIC_LINK_DOWN)
                        continue;
                build_refer_key(build, &because, &attr_nic, i, "LINK");
                build_step(build, text_str(&because), EFFECT_QMP,
                           json_pack("{s:s, s:{s:o, s:b}}", "execute", "set_link", "arguments", "name",
                                     json_sprintf("nic%u", nic->id), "up", 0));
        }
}

static void vhost_step(struct build *build, size_t i)
{
        const struct nic_spec *nic = &build->spec->nics[i];
        _cleanup_free_ char *because = xasprintf("NIC[%zu]/MODEL rule: the kernel moves the packets", i);
        json_t *fds = json_array();

        for (unsigned queue = 0; queue < nic->queues; queue++)
                json_array_append_new(fds, json_sprintf("vhost:%s:%u", nic->target, queue));
        build_step(build, because, EFFECT_DEVICE_OPEN,
                   json_pack("{s:s, s:o}", "path", VHOST_NODE, "fds", fds));
}

int nic_steps(struct build *build, struct error **err)
{
        _cleanup_free_ char *alias = xasprintf("vmlaunch:%s:@GENERATION@", build->spec->name);

        for (size_t i = 0; i < build->spec->n_nics; i++) {
                const struct nic_spec *nic = &build->spec->nics[i];
                _cleanup_text_ struct text because = TEXT_INIT;
                struct net_op ops[NET_OPS_PER_NIC];
                const struct net_ovs ovs = { .tag = nic->vlan_id,
                                             .trunks = nic->vlan_tagged_id,
                                             .mac = nic->mac_text,
                                             .vm_id = build->spec->uuid_text };
                bool is_ovs = nic->bridge_type == NIC_BRIDGE_OVS;
                struct net_nic tap = {
                        .ifname = nic->target,
                        .bridge = nic->bridge,
                        .ovs = is_ovs ? &ovs : NULL,
                        .queues = nic->queues,
                        .mtu = nic->mtu,
                        .vnet_hdr = find_model(nic->model)->vnet_hdr,
                        .group = (uint32_t)build->uid,
                        .alias = alias,
                };
                size_t n = 0;

                if (nic->bridge_type == NIC_BRIDGE_USER)
                        continue;
                memcpy(tap.mac, nic->mac, sizeof(tap.mac));
                if (net_plan_nic(&tap, ops, &n, err) < 0)
                        return error_wrap(err, "NIC[%zu]", i);
                build_refer_key(build, &because, &attr_nic, i, "TARGET");
                build_refer(build, &because, nic->bridge ? "NIC[%zu]/BRIDGE" : "NIC[%zu]/NETWORK_MODE", i);
                if (is_ovs) {
                        build_refer_key(build, &because, &attr_nic, i, "BRIDGE_TYPE");
                        build_refer_key(build, &because, &attr_nic, i, "VLAN_ID");
                        build_refer_key(build, &because, &attr_nic, i, "VLAN_TAGGED_ID");
                }
                build_refer_key(build, &because, &attr_nic, i, "MTU");
                for (size_t k = 0; k < n; k++)
                        build_step(build, text_str(&because), EFFECT_NET, net_op_to_json(&ops[k]));
                if (nic->script) {
                        _cleanup_free_ char *reference = xasprintf("NIC[%zu]/SCRIPT", i);

                        build_step(build, reference, EFFECT_SCRIPT,
                                   json_pack("{s:s, s:s, s:s}", "op", "script", "ifname", nic->target, "path",
                                             nic->script));
                }
                if (build->nics[i].vhost_fds)
                        vhost_step(build, i);
        }
        return 0;
}

/*
 * It takes no privileges with it, unshares all namespaces but the network's and filters its own system calls; it ends with
 * the socket, whose client is its only one.
 */
void nic_helper_steps(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_nics; i++) {
                const struct nic_spec *nic = &build->spec->nics[i];
                _cleanup_free_ char *id = xasprintf("nic%u", nic->id);
                _cleanup_text_ struct text because = TEXT_INIT;
                struct helper helper = { .id = id, .uid = build->uid, .gid = build->gid };
                unsigned mtu = nic->guest_mtu ? nic->guest_mtu : nic->mtu;

                if (!nic_wants_passt(build, nic))
                        continue;
                build_refer_key(build, &because, &attr_nic, i, "BRIDGE_TYPE");
                build_refer_key(build, &because, &attr_nic, i, "BACKEND");
                helper.because = text_str(&because);
                helper.argv = json_pack("[s, s, s, s, s, s]", build->in->devices->passt, "--foreground",
                                        "--quiet", "--stderr", "--fd", "3");
                /* It would tell the guest PASST_MTU_MAX, which emulated cards do not have. */
                if (!mtu && !nic_is_virtio(nic))
                        mtu = ETHERNET_MTU;
                if (mtu) {
                        json_array_append_new(helper.argv, json_string("--mtu"));
                        json_array_append_new(helper.argv,
                                              json_sprintf("%u", mtu < PASST_MTU_MAX ? mtu : PASST_MTU_MAX));
                }
                helper_steps(build, &helper);
        }
}
