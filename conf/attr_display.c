/* GRAPHICS, VIDEO, INPUT, SOUND, REDIRFILTER: opennebula-semantics section 3.11 and what the guides add. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

static const struct attr_word graphics_words[] = {
        WORD("vnc", GRAPHICS_VNC),
        WORD("spice", GRAPHICS_SPICE),
        WORDS_END,
};

static const struct attr_word listen_words[] = { WORD(GRAPHICS_UNIX, 0), WORDS_END };

#define KEYMAP(name) WORD(name, 0)
/* pc-bios/keymaps of QEMU; the set has not changed for many versions. */
static const struct attr_word keymap_words[] = {
        KEYMAP("ar"),    KEYMAP("bepo"),  KEYMAP("cz"),    KEYMAP("da"),    KEYMAP("de"),    KEYMAP("de-ch"),
        KEYMAP("en-gb"), KEYMAP("en-us"), KEYMAP("es"),    KEYMAP("et"),    KEYMAP("fi"),    KEYMAP("fo"),
        KEYMAP("fr"),    KEYMAP("fr-be"), KEYMAP("fr-ca"), KEYMAP("fr-ch"), KEYMAP("hr"),    KEYMAP("hu"),
        KEYMAP("is"),    KEYMAP("it"),    KEYMAP("ja"),    KEYMAP("lt"),    KEYMAP("lv"),    KEYMAP("mk"),
        KEYMAP("nl"),    KEYMAP("no"),    KEYMAP("pl"),    KEYMAP("pt"),    KEYMAP("pt-br"), KEYMAP("ru"),
        KEYMAP("sl"),    KEYMAP("sv"),    KEYMAP("th"),    KEYMAP("tr"),    WORDS_END,
};

#define ATTR_OF struct graphics_spec
static const struct attr graphics_rows[] = {
        { "TYPE", ENUM(type, graphics_type, graphics_words), .lookup = LOOKUP_A, .lands = LANDS_ARGV,
          .doc = "vnc or spice; has to be given, here or in the configuration.",
          .source = "opennebula-semantics 3.11" },
        { "PORT", U32(port), .lookup = LOOKUP_D, .min = 1, .max = 65535, .lands = LANDS_NET,
          .doc = "TCP port. Absent: 5900 and OpenNebula's number of the VM, or a hash of its UUID when it has none; when "
                 "another VM has that port, the next one that is free.",
          .source = "opennebula-semantics 3.11" },
        { "LISTEN", .kind = ATTR_ADDRESS, ATTR_FIELD(listen, char *), .lookup = LOOKUP_A,
          .words = listen_words, .dflt = "127.0.0.1", .lands = LANDS_NET,
          .doc = "Address of the host to listen at; 0.0.0.0 and :: are all of them. unix: a socket in the VM's "
                 "directory, for the VM's administrators.",
          .source = "opennebula-semantics 3.11, DESIGN 5.5" },
        { "PASSWD", TEXT(passwd), .lookup = LOOKUP_A, .max = 1024, .secret = true, .lands = LANDS_ARGV,
          .doc = "Password; vnc takes its first 8 characters, spice 59. file:/PATH: in that file. Absent or empty: "
                 "whoever reaches the port gets in.",
          .source = "opennebula-semantics 3.11, DESIGN 5.5" },
        { "RANDOM_PASSWD", BOOL(random_passwd), .lookup = LOOKUP_A, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "Make a password at each start when PASSWD says none: in the VM's directory, for its administrators, "
                 "as private/graphics.password.",
          .source = "opennebula-semantics 3.11" },
        { "KEYMAP", TEXT(keymap), .lookup = LOOKUP_A, .words = keymap_words, .lands = LANDS_ARGV,
          .doc = "Keyboard layout of the VNC client, for clients that send characters and not keys. Absent: en-us.",
          .source = "opennebula-semantics 3.11" },
        { "VDAGENT", BOOL(vdagent), .lookup = LOOKUP_A, .dflt = "yes", .lands = LANDS_ARGV,
          .doc = "SPICE: a channel to the agent in the guest, for clipboard, resolution and pointer.",
          .source = "opennebula-semantics 3.11, SPICE_OPTIONS" },
        { "USB_REDIRECTIONS", U32(usb_redirections), .lookup = LOOKUP_A, .max = 8, .dflt = "3",
          .unit = "devices", .lands = LANDS_ARGV,
          .doc = "SPICE: how many of its USB devices a client may give to the guest.",
          .source = "opennebula-semantics 3.11, SPICE_OPTIONS" },
        LEFT_ALONE("COMMAND", "unused for KVM"),
};
#undef ATTR_OF

const struct attr_section attr_graphics = {
        .name = "GRAPHICS",
        .rows = graphics_rows,
        .n_rows = ARRAY_SIZE(graphics_rows),
        .doc = "A VNC or SPICE server. With it comes a graphics card, and with SPICE sound, unless VIDEO and SOUND say "
               "otherwise. The configuration's values are for the VMs that have this vector, if only GRAPHICS = [].",
        .source = "opennebula-semantics 3.11",
};

static const struct attr_word video_words[] = {
        WORD("none", VIDEO_NONE),     WORD("vga", VIDEO_VGA),
        WORD("cirrus", VIDEO_CIRRUS), WORD("virtio", VIDEO_VIRTIO),
        WORD("qxl", VIDEO_QXL),       WORD("bochs", VIDEO_BOCHS),
        WORD("vmvga", VIDEO_VMVGA),   WORDS_END,
};

#define ATTR_OF struct video_spec
static const struct attr video_rows[] = {
        { "TYPE", ENUM(type, video_type, video_words), .lookup = LOOKUP_A, .dflt = "vga", .lands = LANDS_ARGV,
          .doc = "vga, cirrus (for guests of 1998), virtio, qxl (for SPICE), bochs (without VGA: no firmware text "
                 "before UEFI), vmvga (VMware's), or none.",
          .source = "opennebula-semantics 3.11" },
        { "VRAM", SIZE(vram, 1024, "KiB"), .lookup = LOOKUP_A, .min = 1 << 20, .max = 512ull << 20,
          .lands = LANDS_ARGV,
          .doc = "Video memory, in whole MiB; QEMU takes the next power of two. Cirrus and virtio have none to set.",
          .source = "opennebula-semantics 3.2, 3.11" },
        { "RESOLUTION", TEXT(resolution), .lookup = LOOKUP_A, .chars = "0123456789xX", .max = 11,
          .lands = LANDS_ARGV,
          .doc = "What the monitor prefers, WIDTHxHEIGHT; vga, virtio, qxl and bochs tell the guest.",
          .source = "opennebula-semantics 3.11" },
        { "IOMMU", BOOL(iommu), .lookup = LOOKUP_A, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "The card reaches memory through the virtual IOMMU; virtio only.",
          .source = "opennebula-semantics 3.11" },
        { "ATS", BOOL(ats), .lookup = LOOKUP_A, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "Address translation services of the card; virtio only.",
          .source = "opennebula-semantics 3.11" },
};
#undef ATTR_OF

const struct attr_section attr_video = {
        .name = "VIDEO",
        .rows = video_rows,
        .n_rows = ARRAY_SIZE(video_rows),
        .doc = "The graphics card. Absent: vga when there is GRAPHICS, else none.",
        .source = "opennebula-semantics 3.11",
};

static const struct attr_word input_type_words[] = {
        WORD("tablet", INPUT_TABLET),
        WORD("mouse", INPUT_MOUSE),
        WORD("keyboard", INPUT_KEYBOARD),
        WORDS_END,
};
static const struct attr_word input_bus_words[] = {
        WORD("usb", INPUT_USB),
        WORD("ps2", INPUT_PS2),
        WORD("virtio", INPUT_VIRTIO),
        WORDS_END,
};

#define ATTR_OF struct input_spec
static const struct attr input_rows[] = {
        { "TYPE", ENUM(type, input_type, input_type_words), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "tablet, mouse or keyboard; has to be given.", .source = "opennebula-semantics 3.11" },
        { "BUS", ENUM(bus, input_bus, input_bus_words), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "usb, ps2 (mouse and keyboard, which every PC has) or virtio. Absent: usb for a tablet, ps2 for the "
                 "others.",
          .source = "opennebula-semantics 3.11" },
        { "INPUT_ID", U32(id), .lookup = LOOKUP_D, .max = INPUT_LAST_ID, .lands = LANDS_NAME,
          .doc = "Number of the device, in the names it has in QEMU; absent: the first one that is free, from 0.",
          .source = "DESIGN 1, idea 3" },
};
#undef ATTR_OF

const struct attr_section attr_input = {
        .name = "INPUT",
        .repeats = true,
        .rows = input_rows,
        .n_rows = ARRAY_SIZE(input_rows),
        .doc = "A pointer or keyboard. A tablet is where the client's pointer is; a mouse moves from where it was.",
        .source = "opennebula-semantics 3.11",
};

static const struct attr_word sound_words[] = {
        WORD("none", SOUND_NONE),     WORD("ich6", SOUND_ICH6),
        WORD("ich9", SOUND_ICH9),     WORD("ac97", SOUND_AC97),
        WORD("es1370", SOUND_ES1370), WORD("sb16", SOUND_SB16),
        WORD("usb", SOUND_USB),       WORDS_END,
};
static const struct attr_word codec_words[] = {
        WORD("duplex", SOUND_DUPLEX),
        WORD("micro", SOUND_MICRO),
        WORD("output", SOUND_OUTPUT),
        WORDS_END,
};

#define ATTR_OF struct sound_spec
static const struct attr sound_rows[] = {
        { "MODEL", ENUM(model, sound_model, sound_words), .lookup = LOOKUP_D, .dflt = "ich6",
          .lands = LANDS_ARGV, .doc = "ich6 or ich9 (Intel HD audio), ac97, es1370, sb16, usb, or none.",
          .source = "libvirt-behaviour 9, SPICE_OPTIONS" },
        { "CODEC", ENUM(codec, sound_codec, codec_words), .lookup = LOOKUP_D, .dflt = "duplex",
          .lands = LANDS_ARGV,
          .doc = "Of ich6 and ich9: duplex, micro (for guests that expect a microphone) or output.",
          .source = "libvirt-behaviour 9" },
};
#undef ATTR_OF

const struct attr_section attr_sound = {
        .name = "SOUND",
        .rows = sound_rows,
        .n_rows = ARRAY_SIZE(sound_rows),
        .doc = "A sound card; only a SPICE client hears it. Absent: ich6 with SPICE, else none.",
        .source = "libvirt-behaviour 9",
};

#define HEX     "0123456789abcdefABCDEFxX-"
#define ATTR_OF struct redirfilter_spec
static const struct attr redirfilter_rows[] = {
        { "CLASS", TEXT(class_text), .lookup = LOOKUP_D, .chars = HEX, .max = 4, .lands = LANDS_ARGV,
          .doc = "USB class, two hexadecimal digits: 0x08 for disks. Absent: any.", .source = "DESIGN 5.3" },
        { "VENDOR", TEXT(vendor_text), .lookup = LOOKUP_D, .chars = HEX, .max = 6, .lands = LANDS_ARGV,
          .doc = "USB vendor, four hexadecimal digits. Absent: any.", .source = "DESIGN 5.3" },
        { "PRODUCT", TEXT(product_text), .lookup = LOOKUP_D, .chars = HEX, .max = 6, .lands = LANDS_ARGV,
          .doc = "USB product, four hexadecimal digits. Absent: any.", .source = "DESIGN 5.3" },
        { "VERSION", TEXT(version_text), .lookup = LOOKUP_D, .chars = "0123456789.-", .max = 5,
          .lands = LANDS_ARGV, .doc = "Version of the device, as 1.10 or 2.0. Absent: any.",
          .source = "DESIGN 5.3" },
        { "ALLOW", BOOL(allow), .lookup = LOOKUP_D, .dflt = "yes", .lands = LANDS_ARGV,
          .doc = "May a client give such a device to the guest?", .source = "DESIGN 5.3" },
};
#undef ATTR_OF

const struct attr_section attr_redirfilter = {
        .name = "REDIRFILTER",
        .repeats = true,
        .rows = redirfilter_rows,
        .n_rows = ARRAY_SIZE(redirfilter_rows),
        .doc = "Which USB devices a SPICE client may give to the guest: the first rule that fits a device decides, and "
               "one that none fits is refused. Absent: all.",
        .source = "DESIGN 5.3",
};
