#include "launcher/plan/plan_build.h"

#include <string.h>

#include "base/json_member.h"
#include "conf/spec_build.h"
#include "launcher/plan/affinity.h"
#include "launcher/plan/chardev.h"
#include "launcher/plan/device.h"
#include "launcher/plan/display.h"
#include "launcher/plan/expander.h"
#include "launcher/plan/memory.h"
#include "launcher/plan/nic.h"

#define STDERR_MAX 65536

static void build_done(struct build *build)
{
        for (size_t i = 0; i < build->n_pci_devices; i++)
                free(build->pci_devices[i].address);
        free(build->pci_devices);
        for (size_t i = 0; i < build->n_pci_ids; i++)
                free(build->pci_ids[i]);
        free(build->pci_ids);
        text_done(&build->scratch);
        for (size_t i = 0; i < ARRAY_SIZE(build->reasons); i++)
                text_done(&build->reasons[i]);
        pci_layout_done(&build->pci);
        for (size_t i = 0; build->disks && i < build->spec->n_disks; i++)
                disk_layers_done(&build->disks[i]);
        free(build->disks);
        for (size_t i = 0; build->nics && i < build->spec->n_nics; i++) {
                free(build->nics[i].address);
                free(build->nics[i].fds);
                free(build->nics[i].vhost_fds);
        }
        free(build->nics);
        firmware_done(build);
        device_plan_free(build->devices, build->spec);
        for (size_t i = 0; i < build->n_secrets; i++) {
                free(build->secrets[i].id);
                free(build->secrets[i].reference);
                free(build->secrets[i].path);
        }
        free(build->secrets);
        launch_plan_free(build->plan);
}

void build_place(struct build *build, char *id_consume, const char *wanted, bool is_legacy)
{
        ARRAY_GROW(build->pci_ids, build->n_pci_ids);
        build->pci_ids[build->n_pci_ids++] = id_consume;
        ARRAY_GROW(build->pci_devices, build->n_pci_devices);
        build->pci_devices[build->n_pci_devices++] = (struct pci_device){
                .id = id_consume,
                .wanted = wanted,
                .is_legacy = is_legacy,
        };
}

/* The order decides who gets the first places; it is part of LAYOUT. */
static int place_devices(struct build *build, struct error **err)
{
        const struct vm_spec *spec = build->spec;
        bool needs_bridge = display_needs_bridge(spec) || devices_need_bridge(build);

        for (size_t i = 0; i < spec->n_nics; i++)
                needs_bridge = needs_bridge || nic_is_legacy(&spec->nics[i]);
        if (virtio_serial_is_needed(spec))
                build_place(build, xstrdup("vser0"), NULL, false);
        if (disk_needs_scsi(build))
                build_place(build, xstrdup("scsi0"), NULL, false);
        for (size_t i = 0; i < spec->n_disks; i++)
                if (spec->disks[i].bus == DISK_BUS_VIRTIO)
                        build_place(build, xasprintf("disk%u", spec->disks[i].id), spec->disks[i].address,
                                    false);
        if (needs_bridge && build->kind != MACHINE_PC)
                build_place(build, xstrdup(PCI_BRIDGE), NULL, false);
        for (size_t i = 0; i < spec->n_nics; i++)
                build_place(build, xasprintf("nic%u", spec->nics[i].id), spec->nics[i].address,
                            nic_is_legacy(&spec->nics[i]));
        if (spec->panic.present && spec->panic.model == PANIC_MODEL_PCI)
                build_place(build, xstrdup("panic0"), NULL, false);
        if (memory_has_virtio_mem(spec))
                build_place(build, xstrdup("vmem0"), NULL, false);
        if (spec->balloon.model != BALLOON_MODEL_NONE)
                build_place(build, xstrdup("balloon0"), NULL, false);
        display_place(build);
        devices_place(build);

        if (pci_place(build->kind != MACHINE_PC, build->in->site->q35_root_ports, build->lock,
                      build->pci_devices, build->n_pci_devices, &build->pci, err) < 0)
                return -1;
        if (iommu_check_place(build, err) < 0 || expander_check_place(build, err) < 0)
                return -1;
        for (size_t i = 0; i < spec->n_nics; i++) {
                _cleanup_free_ char *id = xasprintf("nic%u", spec->nics[i].id);

                build->nics[i].address = xstrdup(build_pci_address(build, id));
        }
        return disk_place_all(build, err);
}

static bool is_utf8(const char *s)
{
        return !s || json_member_is_utf8(s);
}

int build_check_utf8(const struct build *build, const char *reference, const char *text, struct error **err)
{
        if (is_utf8(text))
                return 0;
        return build_error(build, err, ERROR_INVALID, reference,
                           "it has bytes that are not UTF-8, which a plan cannot hold");
}

/* A plan is JSON: journal, host helper and -blockdev get its strings that way. Names of backing files come from
 * image headers. */
static int check_strings(const struct build *build, struct error **err)
{
        const struct vm_spec *spec = build->spec;
        const struct os_spec *os = &spec->os;

        if (!is_utf8(spec->template_file) || !is_utf8(build->in->qemu->path) ||
            !is_utf8(build->in->site->paths.run) || !is_utf8(build->in->site->paths.state))
                return error_set(
                        err, ERROR_INVALID,
                        "the name of the template, of QEMU or of a directory of vmlaunch is not UTF-8");
        if (build_check_utf8(build, "OS/KERNEL", os->kernel, err) < 0 ||
            build_check_utf8(build, "OS/INITRD", os->initrd, err) < 0 ||
            build_check_utf8(build, "OS/KERNEL_CMD", os->kernel_cmd, err) < 0 ||
            build_check_utf8(build, "OS/ROOT", os->root, err) < 0 ||
            build_check_utf8(build, "OS/FIRMWARE", os->firmware, err) < 0 ||
            build_check_utf8(build, "OS/FIRMWARE", build->in->site->kvmrc.ovmf_nvram, err) < 0)
                return -1;
        for (size_t i = 0; i < spec->n_disks; i++) {
                const struct image_chain *chain = build->in->chains[i];
                _cleanup_free_ char *source = xasprintf("DISK[%zu]/SOURCE", i);

                for (size_t l = 0; chain && l < chain->n_layers; l++)
                        if (build_check_utf8(build, source, chain->layers[l].path, err) < 0)
                                return l ? error_hint(err, "it is the name of a backing file") : -1;
        }
        return 0;
}

static int decide(struct build *build, struct error **err)
{
        if (check_strings(build, err) < 0)
                return -1;
        if (machine_decide(build, err) < 0 || confine_decide_uid(build, err) < 0 ||
            machine_decide_accel(build, err) < 0 || smp_check(build, err) < 0 || cpu_check(build, err) < 0 ||
            memory_check(build, err) < 0 || affinity_check(build, err) < 0 || plugged_check(build, err) < 0 ||
            balloon_check(build, err) < 0 || firmware_decide(build, err) < 0 ||
            clock_decide(build, err) < 0 || iommu_check(build, err) < 0 || board_check(build, err) < 0)
                return -1;
        if (machine_check_files(build, err) < 0 || agent_check(build, err) < 0 ||
            devices_check(build, err) < 0 || disk_check_all(build, err) < 0 ||
            nic_check_all(build, err) < 0 || display_check(build, err) < 0)
                return -1;
        return place_devices(build, err);
}

static int listener_fd(struct build *build, const char *name)
{
        _cleanup_free_ char *source = xasprintf("listen:%s", name);
        _cleanup_free_ char *text = xasprintf("socket %s.sock", name);

        return build_fd(build, source, text);
}

static void add_stderr(struct build *build)
{
        int next = build->next_fd;

        build->next_fd = 2;
        build_fd(build, "stderr", "stderr, kept to its first 64 KiB");
        build->next_fd = next;
}

/* Listeners, kernel, initrd, images, taps. */
static void number_fds(struct build *build)
{
        add_stderr(build);
        build->qmp_fd = listener_fd(build, "qmp");
        if (build->spec->features.guest_agent)
                build->agent_fd = listener_fd(build, "agent");
        serial_number_fds(build);
        if (build->spec->os.kernel) {
                _cleanup_free_ char *text = xasprintf("kernel %s", build->spec->os.kernel);

                build->kernel_fd = build_fd(build, "kernel", text);
        }
        if (build->spec->os.kernel && build->spec->os.initrd) {
                _cleanup_free_ char *text = xasprintf("initrd %s", build->spec->os.initrd);

                build->initrd_fd = build_fd(build, "initrd", text);
        }
        firmware_number_fds(build);
        disk_number_fds(build);
        nic_number_fds(build);
        graphics_number_fds(build);
        devices_number_fds(build);
}

static void root_port_args(struct build *build)
{
        for (unsigned i = 1; i <= build->pci.n_ports; i++) {
                unsigned slot, function;
                json_t *port;

                pci_root_port_place(i, &slot, &function);
                port = json_pack("{s:s, s:o, s:s, s:o, s:i, s:i}", "driver", "pcie-root-port", "id",
                                 json_sprintf("rp%u", i), "bus", "pcie.0", "addr",
                                 function ? json_sprintf("0x%x.0x%x", slot, function)
                                          : json_sprintf("0x%x", slot),
                                 "port", (int)(slot * 8 + function), "chassis", (int)i);
                if (function == 0)
                        json_object_set_new(port, "multifunction", json_true());
                build_json(build, "rule: root ports for the devices and for hotplug (Q35_ROOT_PORTS)",
                           "-device", port);
        }
        if (build_pci_address(build, PCI_BRIDGE)) {
                json_t *bridge = json_pack("{s:s, s:s}", "driver", "pcie-pci-bridge", "id", PCI_BRIDGE);

                build_set_address(bridge, build_pci_address(build, PCI_BRIDGE));
                build_json(build, "rule: conventional PCI cards sit on a conventional bus", "-device",
                           bridge);
        }
        expander_args(build);
}

static void write_argv(struct build *build)
{
        _cleanup_free_ char *monitor = chardev_option("mon0", build->qmp_fd);
        _cleanup_text_ struct text emulator = TEXT_INIT;

        build_refer(build, &emulator, "EMULATOR");
        if (!emulator.length) {
                build_refer(build, &emulator, "OS/ARCH");
                text_add(&emulator, " rule: the first emulator found on this host");
        }
        build_flag(build, text_str(&emulator), build->in->qemu->path);
        machine_args_identity(build);
        firmware_args(build);
        machine_args(build);
        cpu_args(build);
        smp_args(build);
        memory_args(build);
        secret_args(build);
        build_option(build, "rule: the supervisor's control channel", "-chardev", "%s", monitor);
        build_option(build, "rule: the supervisor's control channel", "-mon", "chardev=mon0,mode=control");
        clock_args(build);
        sleep_args(build);
        machine_args_boot(build);
        iommu_args(build);
        root_port_args(build);
        disk_controller_args(build);
        serial_args(build);
        agent_args(build);
        console_args(build);
        disk_args(build);
        nic_args(build);
        devices_args(build);
        memory_device_args(build);
        plugged_args(build);
        balloon_args(build);
        display_args(build);
        usb_host_args(build);
        raw_args(build);
}

/* Of what only the supervisor reaches. */
static json_int_t owner_uid(const struct build *build)
{
        return build->in->site->owner.uid;
}

static json_int_t owner_gid(const struct build *build)
{
        return build->in->site->owner.gid;
}

void build_listen_step(struct build *build, const char *because, const char *name)
{
        build_step(build, because, EFFECT_LISTEN,
                   json_pack("{s:o, s:i, s:I, s:I, s:o}", "path",
                             json_sprintf("%s/private/%s.sock", build->plan->run_dir, name), "mode", 0600,
                             "uid", owner_uid(build), "gid", owner_gid(build), "fd",
                             json_sprintf("listen:%s", name)));
}

static void lock_step(struct build *build)
{
        _cleanup_(machine_lock_freep) struct machine_lock *lock = machine_new_lock(build);
        _cleanup_free_ char *text = machine_lock_text(lock);

        build_step(
                build, "rule: what the guest has seen once it sees again", EFFECT_MACHINE_LOCK,
                json_pack("{s:o, s:s}", "path",
                          json_sprintf("%s/%s/machine.lock", build->in->site->paths.state, build->spec->name),
                          "text", text));
}

/* The template as the guest sees it: the same spec with machine and addresses as decided here. */
static int live_template_step(struct build *build, struct error **err)
{
        struct vm_spec live = *build->spec;
        _cleanup_free_ char *text = NULL;
        json_t *json;

        live.os.machine = build->machine->name;
        live.disks = xcalloc(live.n_disks + 1, sizeof(*live.disks));
        live.nics = xcalloc(live.n_nics + 1, sizeof(*live.nics));
        live.filesystems = xcalloc(live.n_filesystems + 1, sizeof(*live.filesystems));
        live.pcis = xcalloc(live.n_pcis + 1, sizeof(*live.pcis));
        live.usbs = xcalloc(live.n_usbs + 1, sizeof(*live.usbs));
        for (size_t i = 0; i < live.n_disks; i++) {
                live.disks[i] = build->spec->disks[i];
                live.disks[i].address = build->disks[i].address;
        }
        for (size_t i = 0; i < live.n_nics; i++) {
                live.nics[i] = build->spec->nics[i];
                live.nics[i].address = build->nics[i].address;
                if (live.nics[i].bridge_type == NIC_BRIDGE_USER)
                        live.nics[i].backend = build->nics[i].fds ? NIC_BACKEND_PASST : NIC_BACKEND_SLIRP;
                /* However many vCPUs there will be. */
                if (nic_is_virtio(&live.nics[i]) && live.nics[i].bridge_type != NIC_BRIDGE_USER)
                        live.nics[i].virtio_queues = live.nics[i].queues;
        }
        for (size_t i = 0; i < live.n_filesystems; i++) {
                _cleanup_free_ char *id = filesystem_id(&build->spec->filesystems[i]);

                live.filesystems[i] = build->spec->filesystems[i];
                live.filesystems[i].address = (char *)build_pci_address(build, id);
        }
        for (size_t i = 0; i < live.n_pcis; i++) {
                live.pcis[i] = build->spec->pcis[i];
                hostdev_live(build, i, &live.pcis[i]);
        }
        for (size_t i = 0; i < live.n_usbs; i++) {
                live.usbs[i] = build->spec->usbs[i];
                usb_host_live(build, i, &live.usbs[i]);
        }
        text = spec_to_template(&live);
        free(live.disks);
        free(live.nics);
        free(live.filesystems);
        free(live.pcis);
        free(live.usbs);
        json = json_member_text(text);
        if (!json)
                return error_set(
                        err, ERROR_INVALID,
                        "a value of the template has bytes that are not UTF-8, which a plan cannot hold");
        build_step(build, "rule: the template is the state", EFFECT_LIVE_TEMPLATE,
                   json_pack("{s:o, s:o}", "path", json_sprintf("%s/live.tmpl", build->plan->run_dir), "text",
                             json));
        return 0;
}

/* opennebula-semantics 4.2; root's, as /proc/sys is. */
static void memory_cleanup_step(struct build *build)
{
        const struct kvmrc *kvmrc = &build->in->site->kvmrc;

        if (build->in->site->owner.user) {
                if (kvmrc->cleanup_on_start || kvmrc->cleanup_on_stop)
                        build_warn(
                                build, NULL,
                                "CLEANUP_MEMORY_ON_START and CLEANUP_MEMORY_ON_STOP of kvmrc have no effect: "
                                "they need root");
                return;
        }
        if (kvmrc->cleanup_on_start)
                build_step(build, "rule: CLEANUP_MEMORY_ON_START of kvmrc", EFFECT_MEMORY_CLEANUP,
                           json_pack("{s:i, s:i}", "interval_s", PLAN_CLEANUP_INTERVAL_S, "wait_ms",
                                     PLAN_CLEANUP_WAIT_MS));
}

static int write_steps(struct build *build, struct error **err)
{
        memory_cleanup_step(build);
        if (!build->in->site->owner.user)
                build_step(build, "rule: a uid for each VM", EFFECT_UID_CLAIM,
                           json_pack("{s:I, s:o}", "uid", (json_int_t)build->uid, "path",
                                     json_sprintf("%s/uids/%u", build->in->site->paths.run, build->uid)));
        disk_steps(build);
        machine_file_steps(build);
        firmware_steps(build);
        build_step(build, "rule: nobody but the supervisor reaches QEMU", EFFECT_DIRECTORY,
                   json_pack("{s:o, s:i, s:I, s:I}", "path", json_sprintf("%s/private", build->plan->run_dir),
                             "mode", 0700, "uid", owner_uid(build), "gid", owner_gid(build)));
        secret_steps(build);
        graphics_file_steps(build);
        build_listen_step(build, "rule: the supervisor's control channel", "qmp");
        if (build->spec->features.guest_agent)
                build_listen_step(build, "FEATURES/GUEST_AGENT", "agent");
        devices_file_steps(build);
        build_step(build, "rule: QEMU's messages are kept, within bounds", EFFECT_STDERR,
                   json_pack("{s:s, s:i}", "fd", "stderr", "max", STDERR_MAX));
        lock_step(build);
        if (live_template_step(build, err) < 0 || nic_steps(build, err) < 0 || limits_steps(build, err) < 0)
                return -1;
        devices_helper_steps(build);
        affinity_spawn_step(build);
        affinity_steps(build);
        unit_late_steps(build);
        balloon_steps(build);
        nic_qmp_steps(build);
        graphics_qmp_steps(build);
        machine_migration_steps(build);
        build_step(build, "rule: everything is in place", EFFECT_QMP,
                   json_pack("{s:s, s:{}}", "execute", "cont", "arguments"));
        return 0;
}

static void copy_warnings(struct build *build, const struct error *warning)
{
        for (; warning; warning = warning->next) {
                struct error *copy = NULL;

                error_at(&copy, &warning->pos, "%s", warning->message);
                copy->code = warning->code;
                copy->hint = xstrdup_null(warning->hint);
                copy->excerpt = xstrdup_null(warning->excerpt);
                error_append(&build->plan->warnings, copy);
        }
}

static void write_policy(struct build *build)
{
        const struct vm_spec *spec = build->spec;
        const struct kvmrc *kvmrc = &build->in->site->kvmrc;

        build->plan->policy = (struct plan_policy){
                .has_agent = spec->features.guest_agent,
                .has_acpi = spec->features.acpi,
                .has_panic = spec->panic.present,
                .shutdown_timeout_s =
                        spec->shutdown_timeout ? spec->shutdown_timeout : kvmrc->shutdown_timeout_s,
                .force_destroy = kvmrc->force_destroy,
                .cancel_no_acpi = kvmrc->cancel_no_acpi,
                .restart_on_panic = spec->on_crash == CRASH_RESTART,
                .keep_on_panic = spec->on_crash == CRASH_PRESERVE,
                .ready_on_agent = spec->notify_ready && strcmp(spec->notify_ready, "agent") == 0,
                .poweroff_on_watchdog = spec->watchdog.present && spec->watchdog.action == WATCHDOG_POWEROFF,
                .sync_time = kvmrc->sync_time && spec->features.guest_agent,
                .agent_allow = xstrdup_null(spec->agent_allow),
                .balloon_floor = spec->balloon.model == BALLOON_MODEL_NONE ? 0 : spec->balloon.pressure_floor,
        };
        if (spec->clock.offset == CLOCK_VARIABLE)
                build->plan->policy.clock = (struct plan_clock){
                        .path = clock_state_path(build->in->site->paths.state, spec->name),
                        .adjustment = spec->clock.adjustment,
                        .ahead = build->clock_ahead,
                };
}

int plan_build(const struct plan_input *input, struct launch_plan **ret, struct error **err)
{
        const struct vm_spec *spec = input->spec;
        struct build build = {
                .in = input,
                .spec = spec,
                .plan = xcalloc(1, sizeof(struct launch_plan)),
                .next_fd = PLAN_FIRST_FD,
                .next_set = 1,
                .disks = xcalloc(spec->n_disks + 1, sizeof(struct plan_disk)),
                .nics = xcalloc(spec->n_nics + 1, sizeof(struct plan_nic)),
                .devices = device_plan_new(spec),
        };
        int result = -1;

        build.plan->name = xstrdup(spec->name);
        build.plan->uuid = xstrdup(spec->uuid_text);
        build.plan->template_file = spec->template_file && strcmp(spec->template_file, "-") != 0
                                            ? xstrdup(spec->template_file)
                                            : NULL;
        build.plan->emulator = xstrdup(input->qemu->path);
        build.plan->run_dir = xasprintf("%s/%s", input->site->paths.run, spec->name);
        build.plan->log_path = xasprintf("%s/%s.log", input->site->paths.log, spec->name);
        build.plan->env = xcalloc(1, sizeof(char *));
        build.plan->devices = json_array();

        copy_warnings(&build, spec->warnings);
        copy_warnings(&build, input->host->warnings);
        copy_warnings(&build, input->firmware ? input->firmware->warnings : NULL);
        if (decide(&build, err) < 0)
                goto out;
        number_fds(&build);
        write_policy(&build);
        write_argv(&build);
        if (write_steps(&build, err) < 0)
                goto out;
        confine_plan(&build);
        affinity_confine(&build);
        notes_add(&build);
        *ret = TAKE_PTR(build.plan);
        result = 0;
out:
        build_done(&build);
        return result;
}
