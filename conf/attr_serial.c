/* SERIAL, PARALLEL, CONSOLE, CHANNEL and SMARTCARD: bytes of the guest, and who reads and writes them. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

#define FROM "DESIGN 5.3; libvirt-behaviour 10"

static const struct attr_word type_words[] = {
        WORD("socket", LINE_SOCKET), WORD("connect", LINE_CONNECT),
        WORD("pty", LINE_PTY),       WORD("file", LINE_FILE),
        WORD("log", LINE_LOG),       WORD("spice", LINE_SPICE),
        WORD("null", LINE_NULL),     WORDS_END,
};

#define ATTR_OF struct line_spec
#define TYPE_ROW                                                                                                                 \
        {                                                                                                                        \
                "TYPE", ENUM(type, line_type, type_words),                                                                       \
                        .lookup = LOOKUP_D, .dflt = "socket", .lands = LANDS_ARGV,                                               \
                        .doc = "socket: a socket of the VM, which status names; the first one of SERIAL and CONSOLE is that of " \
                               "vmlaunch console. connect: the server that listens at PATH. pty: a pseudo terminal of the "      \
                               "host, which status names; file: what the guest writes goes to PATH; log: to NAME-ID.log beside " \
                               "the VM's log; spice: a port of the SPICE server; null: nowhere.",                                \
                        .source = FROM                                                                                           \
        }
#define PATH_ROW                                                                                                                 \
        {                                                                                                                        \
                "PATH", PATH(path),                                                                                              \
                        .lookup = LOOKUP_D, .lands = LANDS_ARGV,                                                                 \
                        .doc = "Socket of TYPE connect; file of TYPE file, which is added to, and kept like a log: at 2 MiB it " \
                               "becomes PATH.1, that one PATH.2, and so on up to three.",                                        \
                        .source = FROM                                                                                           \
        }
#define LOG_ROW                                                                                                              \
        {                                                                                                                    \
                "LOG", BOOL(log),                                                                                            \
                        .lookup = LOOKUP_D, .lands = LANDS_ARGV,                                                             \
                        .doc = "TYPE socket, connect, pty or spice: what the guest writes goes to the log of TYPE log too. " \
                               "Absent: no.",                                                                                \
                        .source = FROM                                                                                       \
        }

/* clang-format off */
static const struct attr port_rows[] = {
        TYPE_ROW,
        PATH_ROW,
        { "PORT", U32(port), .lookup = LOOKUP_D, .max = 3, .lands = LANDS_ARGV,
          .doc = "Number of the port in the guest: 0 is COM1 or ttyS0, LPT1 or parport0. Absent: the first that is free.",
          .source = "libvirt-behaviour 10" },
        LOG_ROW,
};
/* clang-format on */

const struct attr_section attr_serial = {
        .name = "SERIAL",
        .repeats = true,
        .rows = port_rows,
        .n_rows = ARRAY_SIZE(port_rows),
        .doc = "Serial port of the guest. With no CONSOLE either: one of type socket.",
        .source = "DESIGN 5.3",
};

const struct attr_section attr_parallel = {
        .name = "PARALLEL",
        .repeats = true,
        .rows = port_rows,
        .n_rows = ARRAY_SIZE(port_rows),
        .doc = "Parallel port of a PC, three at most.",
        .source = "libvirt-behaviour 2",
};

static const struct attr_word target_words[] = {
        WORD("virtio", CONSOLE_VIRTIO),
        WORD("serial", CONSOLE_SERIAL),
        WORDS_END,
};

/* clang-format off */
static const struct attr console_rows[] = {
        TYPE_ROW,
        { "TARGET", ENUM(target, console_target, target_words), .lookup = LOOKUP_D, .dflt = "serial",
          .lands = LANDS_ARGV,
          .doc = "serial: the first serial port, which this vector describes when there is no SERIAL; virtio: hvc0, hvc1, "
                 "... of the guest.",
          .source = "libvirt-behaviour 10" },
        PATH_ROW,
        LOG_ROW,
};
/* clang-format on */

const struct attr_section attr_console = {
        .name = "CONSOLE",
        .repeats = true,
        .rows = console_rows,
        .n_rows = ARRAY_SIZE(console_rows),
        .doc = "A console of the guest.",
        .source = "DESIGN 5.3",
};

/* clang-format off */
static const struct attr channel_rows[] = {
        { "NAME", TEXT(name), .lookup = LOOKUP_D, .max = 127, .lands = LANDS_ARGV,
          .chars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:+-",
          .doc = "What the guest finds it by, /dev/virtio-ports/NAME; has to be given.", .source = FROM },
        TYPE_ROW,
        PATH_ROW,
        LOG_ROW,
};
/* clang-format on */

const struct attr_section attr_channel = {
        .name = "CHANNEL",
        .repeats = true,
        .rows = channel_rows,
        .n_rows = ARRAY_SIZE(channel_rows),
        .doc = "A virtio port through which a program of the guest and one of the host speak. FEATURES/GUEST_AGENT and "
               "GRAPHICS/VDAGENT have theirs already.",
        .source = "libvirt-behaviour 10",
};

static const struct attr_word card_words[] = {
        WORD("spice", LINE_SPICE),     WORD("socket", LINE_SOCKET),
        WORD("connect", LINE_CONNECT), WORD("certificates", LINE_CERTIFICATES),
        WORD("host", LINE_HOST),       WORDS_END,
};

static const struct attr card_rows[] = {
        { "TYPE", ENUM(type, line_type, card_words), .lookup = LOOKUP_D, .dflt = "spice", .lands = LANDS_ARGV,
          .doc = "Whose card it is. spice: the SPICE client's; socket: of a program that connects to smartcard0.sock of the "
                 "VM (vscclient); connect: of the server at PATH; certificates: one that QEMU makes of CERTIFICATES; host: "
                 "that in this host's reader, by the NSS database /etc/pki/nssdb and pcscd.",
          .source = "libvirt-behaviour 2; libcacard" },
        { "PATH", PATH(path), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "Socket of TYPE connect; NSS database of TYPE certificates, which the VM's user has to be able to read: "
                 "/etc/pki/nssdb when absent.",
          .source = "libvirt-behaviour 2; libcacard" },
        { "CERTIFICATES", TEXT(name), .lookup = LOOKUP_D, .max = 1023, .lands = LANDS_ARGV,
          .doc = "Names of three certificates in that database, separated by commas: TYPE certificates.",
          .source = "libvirt-behaviour 2; libcacard" },
};
#undef ATTR_OF

const struct attr_section attr_smartcard = {
        .name = "SMARTCARD",
        .rows = card_rows,
        .n_rows = ARRAY_SIZE(card_rows),
        .doc = "A reader of smart cards on USB, with a card in it.",
        .source = "libvirt-behaviour 2",
};
