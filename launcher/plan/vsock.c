/* A vhost-vsock device on /dev/vhost-vsock, which we open. */
#include "launcher/host/device_facts.h"
#include "launcher/plan/device.h"

#define NODE "/dev/vhost-vsock"

int vsock_check(struct build *build, struct error **err)
{
        struct file_facts node;

        if (!build->spec->vsock.present)
                return 0;
        if (build_need_device(build, "VSOCK/MODEL", "vhost-vsock-pci", err) < 0)
                return -1;
        node = device_facts_file(build->in->devices, NODE);
        if (!node.exists || !S_ISCHR(node.mode)) {
                build_error(build, err, ERROR_HOST, "VSOCK/CID", "there is no " NODE " on this host");
                return error_hint(err, "modprobe vhost_vsock");
        }
        return 0;
}

void vsock_number_fds(struct build *build)
{
        if (build->spec->vsock.present)
                build->devices->vsock_fd = build_fd(build, "vsock0", "device " NODE);
}

json_t *vsock_device(const struct vsock_spec *vsock, const char *vhostfd, const char *address)
{
        json_t *device = json_pack("{s:s, s:s, s:I, s:s}", "driver", "vhost-vsock-pci", "id", "vsock0",
                                   "guest-cid", (json_int_t)vsock->cid, "vhostfd", vhostfd);

        build_set_address(device, address);
        return device;
}

void vsock_args(struct build *build)
{
        const struct vsock_spec *vsock = &build->spec->vsock;
        const char *address = build_pci_address(build, "vsock0");
        _cleanup_text_ struct text because = TEXT_INIT;
        _cleanup_free_ char *fd = NULL;

        if (!vsock->present)
                return;
        fd = xasprintf("%d", build->devices->vsock_fd);
        build_refer(build, &because, "VSOCK/MODEL");
        build_refer(build, &because, "VSOCK/CID");
        build_json(build, text_str(&because), "-device", vsock_device(vsock, fd, address));
        build_device(build, json_pack("{s:s, s:s, s:s, s:I}", "id", "vsock0", "kind", "vsock", "address",
                                      address, "cid", (json_int_t)vsock->cid));
}

void vsock_steps(struct build *build)
{
        if (build->spec->vsock.present)
                build_step(build, "VSOCK/CID", EFFECT_DEVICE_OPEN,
                           json_pack("{s:s, s:[s]}", "path", NODE, "fds", "vsock0"));
}
