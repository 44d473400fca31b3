#include "launcher/plan/display.h"

#include <string.h>

#include "launcher/plan/builder.h"
#include "launcher/plan/device.h"

#define USB_PORTS       15 /* of qemu-xhci: as many as it can have */
#define UHCI_PORTS      2
#define UHCI_ADDRESS    "pci.0:0x1.0x2" /* the third function of the PIIX3, as on the board */
#define CODEC_ID        "sound0-codec0"
#define AUDIO_ID        "audio0"
#define VIDEO_REFERENCE "VIDEO/TYPE"

static bool is_spice(const struct vm_spec *spec)
{
        return spec->graphics.present && spec->graphics.type == GRAPHICS_SPICE;
}

static unsigned redirections(const struct vm_spec *spec)
{
        return is_spice(spec) ? spec->graphics.usb_redirections : 0;
}

/* The card. */

static const char *video_address(const struct build *build)
{
        if (build->kind != MACHINE_Q35)
                return "pci.0:0x2";
        /* What an amd-iommu has on the bus takes the first slot. */
        return build->spec->iommu.model == IOMMU_AMD ? "pcie.0:0x1e" : "pcie.0:0x1";
}

const char *video_type_device(int type)
{
        static const char *const names[] = {
                [VIDEO_NONE] = NULL,           [VIDEO_VGA] = "VGA",     [VIDEO_CIRRUS] = "cirrus-vga",
                [VIDEO_VIRTIO] = "virtio-vga", [VIDEO_QXL] = "qxl-vga", [VIDEO_BOCHS] = "bochs-display",
                [VIDEO_VMVGA] = "vmware-svga",
        };

        return names[type];
}

const char *video_device_type(const struct vm_spec *spec)
{
        return video_type_device((int)spec->video.type);
}

json_t *video_device(const struct video_spec *video, const char *address)
{
        bool has_vgamem = video->type == VIDEO_VGA || video->type == VIDEO_QXL || video->type == VIDEO_VMVGA;
        bool has_mode = video->type != VIDEO_CIRRUS && video->type != VIDEO_VMVGA;
        json_t *device =
                json_pack("{s:s, s:s}", "driver", video_type_device((int)video->type), "id", "video0");
        json_int_t mib = (json_int_t)((video->vram + (1 << 20) - 1) >> 20);

        build_set_address(device, address);
        if (video->vram && has_vgamem)
                json_object_set_new(device, "vgamem_mb", json_integer(mib));
        if (video->vram && video->type == VIDEO_BOCHS)
                json_object_set_new(device, "vgamem", json_integer(mib << 20));
        if (video->width && has_mode) {
                json_object_set_new(device, "xres", json_integer(video->width));
                json_object_set_new(device, "yres", json_integer(video->height));
        }
        if (video->type == VIDEO_VIRTIO && video->iommu)
                json_object_set_new(device, "iommu_platform", json_true());
        if (video->type == VIDEO_VIRTIO && video->ats)
                json_object_set_new(device, "ats", json_true());
        return device;
}

/* Pointers and keyboards. */

const char *input_device_type(const struct input_spec *input)
{
        static const char *const names[][3] = {
                [INPUT_USB] = { "usb-tablet", "usb-mouse", "usb-kbd" },
                [INPUT_PS2] = { NULL },
                [INPUT_VIRTIO] = { "virtio-tablet-pci", "virtio-mouse-pci", "virtio-keyboard-pci" },
        };

        return names[input->bus][input->type - INPUT_TABLET];
}

json_t *input_device(const struct input_spec *input, const char *id, const char *address, unsigned port)
{
        json_t *device = json_pack("{s:s, s:s}", "driver", input_device_type(input), "id", id);

        if (!port) {
                build_set_address(device, address);
                return device;
        }
        json_object_set_new(device, "bus", json_string("usb0.0"));
        json_object_set_new(device, "port", json_sprintf("%u", port));
        return device;
}

static char *input_id(const struct input_spec *input)
{
        return xasprintf("input%u", input->id);
}

static char *redirection_id(unsigned i)
{
        return xasprintf("redir%u", i);
}

/* Sound. */

const char *sound_model_device(int model)
{
        static const char *const names[] = {
                [SOUND_NONE] = NULL,       [SOUND_ICH6] = "intel-hda", [SOUND_ICH9] = "ich9-intel-hda",
                [SOUND_AC97] = "AC97",     [SOUND_ES1370] = "ES1370",  [SOUND_SB16] = "sb16",
                [SOUND_USB] = "usb-audio",
        };

        return names[model];
}

static bool sound_is_hda(const struct sound_spec *sound)
{
        return sound->model == SOUND_ICH6 || sound->model == SOUND_ICH9;
}

static const char *codec_device_type(enum sound_codec codec)
{
        static const char *const names[] = {
                [SOUND_DUPLEX] = "hda-duplex",
                [SOUND_MICRO] = "hda-micro",
                [SOUND_OUTPUT] = "hda-output",
        };

        return names[codec];
}

/* All of them are conventional cards. */
static bool sound_is_pci(const struct sound_spec *sound)
{
        return sound->model != SOUND_NONE && sound->model != SOUND_SB16 && sound->model != SOUND_USB;
}

/* USB. */

static unsigned usb_of_the_start(const struct vm_spec *spec)
{
        return redirections(spec) + (spec->sound.model == SOUND_USB) + spec->smartcard.present;
}

static unsigned usb_devices(const struct vm_spec *spec)
{
        unsigned n = usb_of_the_start(spec) + (unsigned)spec->n_usbs;

        for (size_t i = 0; i < spec->n_inputs; i++)
                n += spec->inputs[i].bus == INPUT_USB;
        return n;
}

const char *usb_controller_type(const struct vm_spec *spec)
{
        unsigned n = usb_devices(spec);

        if (!n)
                return NULL;
        /* What guests of that machine have drivers for; a client's and the host's devices want to be faster than 12
         * Mbit/s. */
        if (!vm_spec_is_q35(spec) && n <= UHCI_PORTS && !redirections(spec) && !spec->n_usbs)
                return "piix3-usb-uhci";
        return "qemu-xhci";
}

static unsigned usb_controller_ports(const struct vm_spec *spec)
{
        const char *type = usb_controller_type(spec);

        return type && strcmp(type, "qemu-xhci") == 0 ? USB_PORTS : UHCI_PORTS;
}

/*
 * The port of each of INPUT, 0: none. What stays while the VM runs comes first; a pointer's port is of its number, so it
 * stays when another one goes, or the first that is free.
 */
static void usb_input_ports(const struct vm_spec *spec, unsigned *ports)
{
        unsigned before = usb_of_the_start(spec), free_one = before + 1;
        unsigned last = usb_controller_ports(spec);
        bool taken[USB_PORTS + 1] = { false };

        /* Devices of the host count from the last one (usb_host.c). */
        for (size_t i = 0; i < spec->n_usbs; i++)
                taken[USB_PORTS - spec->usbs[i].id] = true;
        for (size_t i = 0; i < spec->n_inputs; i++) {
                unsigned port = before + 1 + spec->inputs[i].id;

                ports[i] = spec->inputs[i].bus == INPUT_USB && port <= last && !taken[port] ? port : 0;
                taken[ports[i]] = true;
        }
        for (size_t i = 0; i < spec->n_inputs; i++) {
                if (spec->inputs[i].bus != INPUT_USB || ports[i])
                        continue;
                while (taken[free_one])
                        free_one++;
                ports[i] = free_one++;
        }
}

static bool usb_is_placed(const struct vm_spec *spec)
{
        return usb_controller_type(spec) && usb_controller_ports(spec) == USB_PORTS;
}

/* What plan and comparison have in common. */

bool display_needs_virtio_serial(const struct vm_spec *spec)
{
        return is_spice(spec) && spec->graphics.vdagent;
}

void display_each_device(const struct vm_spec *spec, display_device_fn *fn, void *data)
{
        const char *usb = usb_controller_type(spec), *card = video_device_type(spec);

        if (card)
                fn("video0", card, data);
        if (usb)
                fn("usb0", usb, data);
        for (size_t i = 0; i < spec->n_inputs; i++) {
                _cleanup_free_ char *id = input_id(&spec->inputs[i]);
                const char *type = input_device_type(&spec->inputs[i]);

                if (type)
                        fn(id, type, data);
        }
        if (spec->sound.model != SOUND_NONE)
                fn("sound0", sound_model_device((int)spec->sound.model), data);
        if (sound_is_hda(&spec->sound))
                fn(CODEC_ID, codec_device_type(spec->sound.codec), data);
        if (display_needs_virtio_serial(spec)) {
                fn("vdagent0", "virtserialport", data);
                fn("vdagent0", NULL, data);
        }
        for (unsigned i = 0; i < redirections(spec); i++) {
                _cleanup_free_ char *id = redirection_id(i);

                fn(id, "usb-redir", data);
                fn(id, NULL, data);
        }
}

struct check {
        struct build *build;
        struct error **err;
};

static const char *reference_of(const struct vm_spec *spec, const char *id, char **ret_made)
{
        if (strcmp(id, "video0") == 0)
                return VIDEO_REFERENCE;
        for (size_t i = 0; i < spec->n_inputs; i++) {
                _cleanup_free_ char *input = input_id(&spec->inputs[i]);

                if (strcmp(id, input) == 0)
                        return *ret_made = xasprintf("INPUT[%zu]/TYPE", i);
        }
        if (text_starts_with(id, "sound"))
                return "SOUND/MODEL";
        if (text_starts_with(id, "redir"))
                return "GRAPHICS/USB_REDIRECTIONS";
        return strcmp(id, "vdagent0") == 0 ? "GRAPHICS/VDAGENT" : "INPUT[0]/BUS";
}

static void check_device(const char *id, const char *type, void *data)
{
        struct check *check = data;
        _cleanup_free_ char *made = NULL;

        if (type && !*check->err)
                build_need_device(check->build, reference_of(check->build->spec, id, &made), type,
                                  check->err);
}

int display_check(struct build *build, struct error **err)
{
        const struct vm_spec *spec = build->spec;
        struct check check = { build, err };

        if (graphics_check(build, err) < 0)
                return -1;
        display_each_device(spec, check_device, &check);
        if (*err)
                return -1;
        if (usb_devices(spec) > USB_PORTS)
                return build_error(build, err, ERROR_INVALID, "INPUT[0]/TYPE",
                                   "%u USB devices, and the controller has %d ports", usb_devices(spec),
                                   USB_PORTS);
        if (display_needs_bridge(spec) && build->kind == MACHINE_Q35 &&
            build_need_device(build, "SOUND/MODEL", "pcie-pci-bridge", err) < 0)
                return -1;
        return display_needs_virtio_serial(spec)
                       ? build_need_device(build, "GRAPHICS/VDAGENT", "virtio-serial-pci", err)
                       : 0;
}

bool display_needs_bridge(const struct vm_spec *spec)
{
        return sound_is_pci(&spec->sound);
}

void display_place(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        if (usb_is_placed(spec))
                build_place(build, xstrdup("usb0"), NULL, false);
        for (size_t i = 0; i < spec->n_inputs; i++)
                if (spec->inputs[i].bus == INPUT_VIRTIO)
                        build_place(build, input_id(&spec->inputs[i]), NULL, false);
        if (sound_is_pci(&spec->sound))
                build_place(build, xstrdup("sound0"), NULL, true);
}

static void video_args(struct build *build)
{
        const struct vm_spec *spec = build->spec;
        const char *address = video_address(build);
        _cleanup_text_ struct text because = TEXT_INIT;

        if (spec->video.type == VIDEO_NONE)
                return;
        build_refer(build, &because, VIDEO_REFERENCE);
        build_refer(build, &because, "VIDEO/VRAM");
        build_refer(build, &because, "VIDEO/RESOLUTION");
        if (spec->video.type == VIDEO_VIRTIO) {
                build_refer(build, &because, "VIDEO/IOMMU");
                build_refer(build, &because, "VIDEO/ATS");
        }
        build_json(build, text_str(&because), "-device", video_device(&spec->video, address));
        build_device(build, json_pack("{s:s, s:s, s:s, s:s}", "id", "video0", "kind", "video", "model",
                                      video_device_type(spec), "address", address));
}

static void usb_args(struct build *build)
{
        const char *type = usb_controller_type(build->spec);
        const char *because = "rule: a controller for the USB devices";
        json_t *controller;

        if (!type)
                return;
        controller = json_pack("{s:s, s:s}", "driver", type, "id", "usb0");
        if (usb_is_placed(build->spec)) {
                build_set_address(controller, build_pci_address(build, "usb0"));
                json_object_set_new(controller, "p2", json_integer(USB_PORTS));
                json_object_set_new(controller, "p3", json_integer(USB_PORTS));
        } else {
                build_set_address(controller, UHCI_ADDRESS);
        }
        build_json(build, because, "-device", controller);
}

static void input_args(struct build *build)
{
        const struct vm_spec *spec = build->spec;
        unsigned ports[INPUT_LAST_ID + 1] = { 0 };

        usb_input_ports(spec, ports);
        for (size_t i = 0; i < spec->n_inputs; i++) {
                const struct input_spec *input = &spec->inputs[i];
                _cleanup_free_ char *id = input_id(input);
                _cleanup_text_ struct text because = TEXT_INIT;

                if (!input_device_type(input))
                        continue;
                build_refer(build, &because, "INPUT[%zu]/TYPE", i);
                build_refer(build, &because, "INPUT[%zu]/BUS", i);
                build_json(build, text_str(&because), "-device",
                           input_device(input, id, build_pci_address(build, id), ports[i]));
                build_device(build, json_pack("{s:s, s:s, s:s}", "id", id, "kind", "input", "model",
                                              input_device_type(input)));
        }
}

static void sound_args(struct build *build, unsigned *port)
{
        const struct sound_spec *sound = &build->spec->sound;
        json_t *card =
                json_pack("{s:s*, s:s}", "driver", sound_model_device((int)sound->model), "id", "sound0");
        _cleanup_text_ struct text because = TEXT_INIT;

        if (sound->model == SOUND_NONE) {
                json_decref(card);
                return;
        }
        build_refer(build, &because, "SOUND/MODEL");
        /* The host's own sound devices are none of a VM's business. */
        build_json(
                build, text_str(&because), "-audiodev",
                json_pack("{s:s, s:s}", "driver", is_spice(build->spec) ? "spice" : "none", "id", AUDIO_ID));
        if (sound_is_pci(sound))
                build_set_address(card, build_pci_address(build, "sound0"));
        if (sound->model == SOUND_USB) {
                json_object_set_new(card, "bus", json_string("usb0.0"));
                json_object_set_new(card, "port", json_sprintf("%u", (*port)++));
        }
        if (!sound_is_hda(sound))
                json_object_set_new(card, "audiodev", json_string(AUDIO_ID));
        build_json(build, text_str(&because), "-device", card);
        build_device(build, json_pack("{s:s, s:s, s:s}", "id", "sound0", "kind", "sound", "model",
                                      sound_model_device((int)sound->model)));
        if (!sound_is_hda(sound))
                return;
        build_refer(build, &because, "SOUND/CODEC");
        build_json(build, text_str(&because), "-device",
                   json_pack("{s:s, s:s, s:s, s:i, s:s}", "driver", codec_device_type(sound->codec), "id",
                             CODEC_ID, "bus", "sound0.0", "cad", 0, "audiodev", AUDIO_ID));
}

static void agent_channel_args(struct build *build)
{
        if (!display_needs_virtio_serial(build->spec))
                return;
        build_option(build, "GRAPHICS/VDAGENT", "-chardev", "spicevmc,id=vdagent0,name=vdagent");
        build_json(build, "GRAPHICS/VDAGENT", "-device",
                   json_pack("{s:s, s:s, s:s, s:s, s:s}", "driver", "virtserialport", "id", "vdagent0", "bus",
                             "vser0.0", "chardev", "vdagent0", "name", "com.redhat.spice.0"));
}

static void add_filter_number(struct text *out, int number, int digits)
{
        if (number < 0)
                text_add(out, "-1:");
        else
                text_addf(out, "0x%0*x:", digits, (unsigned)number);
}

/* usbredirparser's rules; the last one is the guides': what none fits is refused. NULL: no rules. */
static char *redirection_filter(struct build *build, struct text *because)
{
        struct text out = TEXT_INIT;

        for (size_t i = 0; i < build->spec->n_redirfilters; i++) {
                const struct redirfilter_spec *filter = &build->spec->redirfilters[i];
                static const char *const keys[] = { "CLASS", "VENDOR", "PRODUCT", "VERSION", "ALLOW" };

                for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
                        build_refer(build, because, "REDIRFILTER[%zu]/%s", i, keys[k]);
                text_add(&out, i ? "|" : "");
                add_filter_number(&out, filter->usb_class, 2);
                add_filter_number(&out, filter->vendor, 4);
                add_filter_number(&out, filter->product, 4);
                add_filter_number(&out, filter->version, 4);
                text_add(&out, filter->allow ? "1" : "0");
        }
        return out.length ? text_take(&out) : NULL;
}

static void redirection_args(struct build *build, unsigned *port)
{
        _cleanup_text_ struct text because = TEXT_INIT;
        _cleanup_free_ char *filter = NULL;

        build_refer(build, &because, "GRAPHICS/USB_REDIRECTIONS");
        filter = redirection_filter(build, &because);
        for (unsigned i = 0; i < redirections(build->spec); i++) {
                _cleanup_free_ char *id = redirection_id(i);

                build_option(build, text_str(&because), "-chardev", "spicevmc,id=%s,name=usbredir", id);
                build_json(build, text_str(&because), "-device",
                           json_pack("{s:s, s:s, s:s, s:s, s:o, s:s*}", "driver", "usb-redir", "id", id,
                                     "chardev", id, "bus", "usb0.0", "port", json_sprintf("%u", (*port)++),
                                     "filter", filter));
        }
}

void display_args(struct build *build)
{
        unsigned port = 1;

        graphics_args(build);
        video_args(build);
        usb_args(build);
        input_args(build);
        sound_args(build, &port);
        agent_channel_args(build);
        redirection_args(build, &port);
        smartcard_args(build, port);
}
