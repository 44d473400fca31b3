/* SERIAL and CONSOLE: where the guest's kernel writes and somebody reads. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

static const struct attr_word type_words[] = {
        WORD("socket", SERIAL_SOCKET), WORD("pty", SERIAL_PTY),   WORD("file", SERIAL_FILE),
        WORD("log", SERIAL_LOG),       WORD("null", SERIAL_NULL), WORDS_END,
};

#define TYPE_DOC                                                                                          \
        "socket: read and written by vmlaunch console; pty: a pseudo terminal of the host, which status " \
        "names; file: what the guest writes goes to PATH; log: to NAME-ID.log beside the VM's log; null: nowhere."
#define PATH_DOC                                                                                                          \
        "File of TYPE file; it is added to, and kept like a log: at 2 MiB it becomes PATH.1, that one PATH.2, and so on " \
        "up to three."
#define LOG_DOC "TYPE socket or pty: what the guest writes goes to the log of TYPE log too. Absent: no."

#define ATTR_OF struct serial_spec
static const struct attr serial_rows[] = {
        { "TYPE", ENUM(type, serial_type, type_words), .lookup = LOOKUP_D, .dflt = "socket", .lands = "argv",
          .doc = TYPE_DOC, .source = "DESIGN 5.3; libvirt-behaviour 10" },
        { "PATH", PATH(path), .lookup = LOOKUP_D, .lands = "argv", .doc = PATH_DOC,
          .source = "DESIGN 5.3; libvirt-behaviour 10" },
        { "PORT", U32(port), .lookup = LOOKUP_D, .max = 3, .lands = "argv",
          .doc = "Number of the port in the guest: 0 is COM1 or ttyS0. Absent: the first that is free.",
          .source = "libvirt-behaviour 10" },
        { "LOG", BOOL(log), .lookup = LOOKUP_D, .lands = "argv", .doc = LOG_DOC,
          .source = "libvirt-behaviour 10" },
};
#undef ATTR_OF

const struct attr_section attr_serial = {
        .name = "SERIAL",
        .repeats = true,
        .rows = serial_rows,
        .n_rows = ARRAY_SIZE(serial_rows),
        .doc = "Serial port of the guest. With no CONSOLE either: one of type socket.",
        .source = "DESIGN 5.3",
};

static const struct attr_word target_words[] = {
        WORD("virtio", CONSOLE_VIRTIO),
        WORD("serial", CONSOLE_SERIAL),
        WORDS_END,
};

#define ATTR_OF struct console_spec
static const struct attr console_rows[] = {
        { "TYPE", ENUM(type, serial_type, type_words), .lookup = LOOKUP_D, .dflt = "socket", .lands = "argv",
          .doc = TYPE_DOC, .source = "DESIGN 5.3; libvirt-behaviour 10" },
        { "TARGET", ENUM(target, console_target, target_words), .lookup = LOOKUP_D, .dflt = "serial",
          .lands = "argv",
          .doc = "serial: the first serial port, which this vector describes when there is no SERIAL; virtio: hvc0, hvc1, "
                 "... of the guest.",
          .source = "libvirt-behaviour 10" },
        { "PATH", PATH(path), .lookup = LOOKUP_D, .lands = "argv", .doc = PATH_DOC,
          .source = "DESIGN 5.3; libvirt-behaviour 10" },
        { "LOG", BOOL(log), .lookup = LOOKUP_D, .lands = "argv", .doc = LOG_DOC,
          .source = "libvirt-behaviour 10" },
};
#undef ATTR_OF

const struct attr_section attr_console = {
        .name = "CONSOLE",
        .repeats = true,
        .rows = console_rows,
        .n_rows = ARRAY_SIZE(console_rows),
        .doc = "A console of the guest.",
        .source = "DESIGN 5.3",
};
