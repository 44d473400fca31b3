#include "launcher/plan/nic.h"

#include <string.h>

#include "launcher/plan/builder.h"
#include "net/net_plan.h"

static const struct nic_model {
        const char *name, *device;
        bool is_legacy; /* conventional PCI */
        bool vnet_hdr;  /* offloads the guest's headers to the tap; others would drop them */
} models[] = {
        { "virtio", "virtio-net-pci", false, true }, { "e1000", "e1000", true, false },
        { "e1000e", "e1000e", false, true },         { "rtl8139", "rtl8139", true, false },
        { "vmxnet3", "vmxnet3", false, true },       { "pcnet", "pcnet", true, false },
        { "ne2k_pci", "ne2k_pci", true, false },
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

bool nic_is_legacy(const struct nic_spec *nic)
{
        const struct nic_model *model = find_model(nic->model);

        return model && model->is_legacy;
}

json_t *nic_netdev(const struct nic_spec *nic, const int *fds, size_t n_fds)
{
        _cleanup_text_ struct text list = TEXT_INIT;
        json_t *netdev;

        if (n_fds == 0)
                return json_pack("{s:s, s:o}", "type", "user", "id", json_sprintf("net%u", nic->id));
        for (size_t i = 0; i < n_fds; i++)
                text_addf(&list, "%s%d", i ? ":" : "", fds[i]);
        netdev = json_pack("{s:s, s:o, s:s}", "type", "tap", "id", json_sprintf("net%u", nic->id),
                           n_fds == 1 ? "fd" : "fds", text_str(&list));
        /* QEMU 7.2 aborts on vhost=on without /dev/vhost-net, so it is never left to a default. */
        json_object_set_new(netdev, "vhost", json_false());
        return netdev;
}

json_t *nic_device(const struct nic_spec *nic, const char *address, unsigned bootindex)
{
        json_t *device =
                json_pack("{s:s, s:o, s:o, s:o}", "driver", nic_device_type(nic->model), "id",
                          json_sprintf("nic%u", nic->id), "netdev", json_sprintf("net%u", nic->id), "mac",
                          json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1], nic->mac[2],
                                       nic->mac[3], nic->mac[4], nic->mac[5]));

        build_set_address(device, address);
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

int nic_check_all(struct build *build, struct error **err)
{
        for (size_t i = 0; i < build->spec->n_nics; i++) {
                const struct nic_spec *nic = &build->spec->nics[i];
                _cleanup_free_ char *reference = xasprintf("NIC[%zu]/MODEL", i);
                const struct nic_model *model = find_model(nic->model);

                if (!model || !qemu_has_device(build->in->qemu, model->device))
                        return unknown_model(build, reference, nic->model, model ? ERROR_HOST : ERROR_INVALID,
                                             err);
                if (model->is_legacy && build->kind == MACHINE_Q35 &&
                    build_need_device(build, reference, "pcie-pci-bridge", err) < 0)
                        return -1;
        }
        return 0;
}

void nic_number_fds(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_nics; i++) {
                const struct nic_spec *nic = &build->spec->nics[i];
                _cleanup_free_ char *source = NULL, *text = NULL;

                build->nics[i].fd = -1;
                if (nic->bridge_type == NIC_BRIDGE_USER)
                        continue;
                source = xasprintf("tap:%s:0", nic->target);
                text = xasprintf("tap %s queue 0", nic->target);
                build->nics[i].fd = build_fd(build, source, text);
        }
}

void nic_args(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_nics; i++) {
                const struct nic_spec *nic = &build->spec->nics[i];
                const struct plan_nic *plan = &build->nics[i];
                bool is_user = nic->bridge_type == NIC_BRIDGE_USER;
                _cleanup_text_ struct text netdev = TEXT_INIT, device = TEXT_INIT;

                build_refer(build, &netdev, "NIC[%zu]/BRIDGE_TYPE", i);
                if (!is_user)
                        build_refer(build, &netdev, "NIC[%zu]/TARGET", i);
                build_json(build, text_str(&netdev), "-netdev", nic_netdev(nic, &plan->fd, is_user ? 0 : 1));

                build_refer(build, &device, "NIC[%zu]/MODEL", i);
                build_refer(build, &device, "NIC[%zu]/MAC", i);
                build_refer(build, &device, "NIC[%zu]/ADDRESS", i);
                if (plan->bootindex)
                        build_refer(build, &device, "OS/BOOT");
                build_json(build, text_str(&device), "-device",
                           nic_device(nic, plan->address, plan->bootindex));

                build_device(build,
                             json_pack("{s:o, s:s, s:s*, s:s, s:s, s:s*, s:s}", "id",
                                       json_sprintf("nic%u", nic->id), "kind", "nic", "target",
                                       is_user ? NULL : nic->target, "model", nic->model, "mac",
                                       nic->mac_text, "bridge", nic->bridge, "address", plan->address));
        }
}

int nic_steps(struct build *build, struct error **err)
{
        _cleanup_free_ char *alias = xasprintf("vmlaunch:%s:@GENERATION@", build->spec->name);

        for (size_t i = 0; i < build->spec->n_nics; i++) {
                const struct nic_spec *nic = &build->spec->nics[i];
                _cleanup_text_ struct text because = TEXT_INIT;
                struct net_op ops[NET_OPS_PER_NIC];
                struct net_nic tap = {
                        .ifname = nic->target,
                        .bridge = nic->bridge,
                        .queues = 1,
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
                build_refer(build, &because, "NIC[%zu]/TARGET", i);
                build_refer(build, &because, "NIC[%zu]/BRIDGE", i);
                for (size_t k = 0; k < n; k++)
                        build_step(build, text_str(&because), EFFECT_NET, net_op_to_json(&ops[k]));
        }
        return 0;
}
