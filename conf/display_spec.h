/*
 * display_spec - screen, keyboard, pointer and sound of the guest, and who may see them: parts of struct vm_spec.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "conf/origin.h"

enum graphics_type { GRAPHICS_VNC = 1, GRAPHICS_SPICE };
enum video_type { VIDEO_NONE, VIDEO_VGA, VIDEO_CIRRUS, VIDEO_VIRTIO, VIDEO_QXL, VIDEO_BOCHS, VIDEO_VMVGA };
enum input_type { INPUT_TABLET = 1, INPUT_MOUSE, INPUT_KEYBOARD };
enum input_bus { INPUT_USB = 1, INPUT_PS2, INPUT_VIRTIO };
enum sound_model { SOUND_NONE, SOUND_ICH6, SOUND_ICH9, SOUND_AC97, SOUND_ES1370, SOUND_SB16, SOUND_USB };
enum sound_codec { SOUND_DUPLEX, SOUND_MICRO, SOUND_OUTPUT };

/* LISTEN of a Unix socket in the VM's directory. */
#define GRAPHICS_UNIX "unix"
/* OpenNebula's VNC_PORTS: the first one, and the first that is kept for others (opennebula-semantics 3.11). */
#define GRAPHICS_FIRST_PORT 5900
#define GRAPHICS_LAST_PORT  32767
/* Characters of a password that count: RFB's challenge, and what upstream cuts SPICE's to. */
#define GRAPHICS_VNC_PASSWORD   8
#define GRAPHICS_SPICE_PASSWORD 59

struct graphics_spec {
        struct section section;
        bool present;
        enum graphics_type type;
        uint32_t port;             /* as given, 0: by rule */
        char *listen;              /* an address of the host, or GRAPHICS_UNIX */
        char *passwd;              /* secret; NULL: none */
        bool random_passwd;        /* false when there is a passwd */
        char *keymap;              /* NULL: en-us, QEMU's own */
        bool vdagent;              /* SPICE: a channel to the guest's agent */
        uint32_t usb_redirections; /* SPICE */
};

struct video_spec {
        struct section section;
        bool present;           /* given, or by rule with GRAPHICS */
        enum video_type type;   /* NONE when not present */
        uint64_t vram;          /* bytes, 0: QEMU's default */
        char *resolution;       /* as written, "1024x768"; */
        uint32_t width, height; /* 0: none given */
        bool iommu, ats;
};

#define INPUT_LAST_ID 15

struct input_spec {
        struct section section;
        enum input_type type;
        enum input_bus bus; /* by rule when absent: usb for a tablet, else ps2 */
        uint32_t id;
};

struct sound_spec {
        struct section section;
        bool present;           /* given, or by rule with SPICE */
        enum sound_model model; /* NONE when not present */
        enum sound_codec codec;
};

/* A rule for USB devices that a SPICE client offers; the first that fits decides. -1: any. */
struct redirfilter_spec {
        struct section section;
        char *class_text, *vendor_text, *product_text, *version_text; /* as written, NULL: any */
        int usb_class, vendor, product, version;
        bool allow;
};
