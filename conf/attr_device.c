/* Small devices of the guest: RNG, WATCHDOG, TPM, VSOCK, FILESYSTEM. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

/* A QEMU that is asked for a rate counts it in 64 bits, per period in milliseconds of 32. */
#define RATE_MAX (1ull << 40)

static const struct attr_word virtio_words[] = {
        WORD("virtio", 0),
        WORDS_END,
};

#define ATTR_OF struct rng_spec
static const struct attr rng_rows[] = {
        { "MODEL", TEXT(model), .lookup = LOOKUP_D, .words = virtio_words, .dflt = "virtio",
          .lands = LANDS_ARGV, .doc = "virtio: a virtio-rng device.", .source = "DESIGN 5.3" },
        { "SOURCE", TEXT(source), .lookup = LOOKUP_D, .dflt = "/dev/urandom", .max = 255, .lands = LANDS_ARGV,
          .doc = "Where the random bytes come from: a character device of the host such as /dev/urandom, /dev/random or "
                 "/dev/hwrng, or builtin: QEMU's own generator.",
          .source = "DESIGN 5.3; SUSE guide 6.3" },
        { "RATE_BYTES", U64(rate_bytes), .lookup = LOOKUP_D, .min = 1, .max = RATE_MAX, .unit = "bytes",
          .lands = LANDS_ARGV, .doc = "Bytes that the guest may take in each RATE_PERIOD. Absent: no limit.",
          .source = "libvirt-behaviour 10" },
        { "RATE_PERIOD", U32(rate_period_ms), .lookup = LOOKUP_D, .min = 1, .max = 3600000,
          .unit = "milliseconds", .lands = LANDS_ARGV, .doc = "The period of RATE_BYTES. Absent: 1000.",
          .source = "libvirt-behaviour 10" },
};
#undef ATTR_OF

const struct attr_section attr_rng = {
        .name = "RNG",
        .rows = rng_rows,
        .n_rows = ARRAY_SIZE(rng_rows),
        .doc = "A device that gives the guest random numbers.",
        .source = "DESIGN 5.3",
};

static const struct attr_word watchdog_words[] = {
        WORD("i6300esb", WATCHDOG_I6300ESB),
        WORD("ib700", WATCHDOG_IB700),
        WORD("itco", WATCHDOG_ITCO),
        WORDS_END,
};
static const struct attr_word watchdog_action_words[] = {
        WORD("reset", WATCHDOG_RESET),           WORD("shutdown", WATCHDOG_SHUTDOWN),
        WORD("poweroff", WATCHDOG_POWEROFF),     WORD("pause", WATCHDOG_PAUSE),
        WORD("debug", WATCHDOG_DEBUG),           WORD("none", WATCHDOG_NONE),
        WORD("inject-nmi", WATCHDOG_INJECT_NMI), WORDS_END,
};

#define ATTR_OF struct watchdog_spec
static const struct attr watchdog_rows[] = {
        { "MODEL", ENUM(model, watchdog_model, watchdog_words), .lookup = LOOKUP_D, .dflt = "i6300esb",
          .lands = LANDS_ARGV,
          .doc = "i6300esb: a PCI card; ib700: an ISA card; itco: the one that every q35 machine has in its chip set.",
          .source = "DESIGN 5.3; libvirt-behaviour 10" },
        { "ACTION", ENUM(action, watchdog_action, watchdog_action_words), .lookup = LOOKUP_D, .dflt = "reset",
          .lands = LANDS_ARGV,
          .doc = "When the guest has not fed it in time: reset restarts the guest; shutdown presses its power button; "
                 "poweroff ends the VM; pause leaves it paused to be looked at; inject-nmi interrupts its kernel; debug "
                 "and none go on, debug with a line in the VM's log.",
          .source = "DESIGN 5.3; libvirt-behaviour 10" },
};
#undef ATTR_OF

const struct attr_section attr_watchdog = {
        .name = "WATCHDOG",
        .rows = watchdog_rows,
        .n_rows = ARRAY_SIZE(watchdog_rows),
        .doc = "A timer that acts when the guest hangs.",
        .source = "DESIGN 5.3",
};

static const struct attr_word tpm_words[] = {
        WORD("tpm-crb", TPM_CRB),
        WORD("tpm-tis", TPM_TIS),
        WORDS_END,
};

#define ATTR_OF struct tpm_spec
static const struct attr tpm_rows[] = {
        { "MODEL", ENUM(model, tpm_model, tpm_words), .lookup = LOOKUP_A, .lands = LANDS_ARGV,
          .doc = "How the guest reaches it: tpm-crb (TPM 2.0's own way) or tpm-tis (older, known to every guest). Given "
                 "in a configuration file, every VM has a TPM.",
          .source = "opennebula-semantics 3.13" },
};
#undef ATTR_OF

const struct attr_section attr_tpm = {
        .name = "TPM",
        .rows = tpm_rows,
        .n_rows = ARRAY_SIZE(tpm_rows),
        .doc = "A TPM 2.0, emulated by swtpm. What it keeps is in the VM's state directory and outlives its runs.",
        .source = "opennebula-semantics 3.13",
};

#define ATTR_OF struct vsock_spec
static const struct attr vsock_rows[] = {
        { "MODEL", TEXT(model), .lookup = LOOKUP_D, .words = virtio_words, .dflt = "virtio",
          .lands = LANDS_ARGV, .doc = "virtio: a vhost-vsock device.", .source = "DESIGN 5.3" },
        { "CID", TEXT(cid_text), .lookup = LOOKUP_D, .dflt = "auto", .max = 16, .lands = LANDS_ARGV,
          .doc = "The guest's address, 3 to 4294967294, one for each VM of a host; auto: made from the UUID, so the same "
                 "in every run.",
          .source = "DESIGN 5.3; vsock(7)" },
};
#undef ATTR_OF

const struct attr_section attr_vsock = {
        .name = "VSOCK",
        .rows = vsock_rows,
        .n_rows = ARRAY_SIZE(vsock_rows),
        .doc = "Sockets between guest and host without a network.",
        .source = "DESIGN 5.3",
};

static const struct attr_word filesystem_words[] = {
        WORD("9p", FILESYSTEM_9P),
        WORD("virtiofs", FILESYSTEM_VIRTIOFS),
        WORDS_END,
};
static const struct attr_word access_words[] = {
        WORD("mapped", FILESYSTEM_MAPPED),
        WORD("passthrough", FILESYSTEM_PASSTHROUGH),
        WORD("squash", FILESYSTEM_SQUASH),
        WORDS_END,
};
static const struct attr_word cache_words[] = {
        WORD("none", FILESYSTEM_CACHE_NONE),
        WORD("auto", FILESYSTEM_CACHE_AUTO),
        WORD("always", FILESYSTEM_CACHE_ALWAYS),
        WORDS_END,
};

#define ATTR_OF struct filesystem_spec
static const struct attr filesystem_rows[] = {
        { "FS_ID", U32(id), .lookup = LOOKUP_D, .max = SPEC_MAX_ID, .lands = LANDS_NAME,
          .doc = "Number of the shared directory, in the names of its devices; absent: the first one that is free, from 0.",
          .source = "DESIGN 5.5" },
        { "SOURCE", PATH(source), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "Directory of the host; relative paths start from the template's directory.",
          .source = "DESIGN 5.3; SUSE guide 5.4" },
        { "TARGET", TEXT(target), .lookup = LOOKUP_D, .max = FILESYSTEM_TAG_MAX, .lands = LANDS_ARGV,
          .doc = "The name by which the guest mounts it: mount -t 9p -o trans=virtio TARGET /mnt, or mount -t virtiofs "
                 "TARGET /mnt.",
          .source = "DESIGN 5.3; SUSE guide 5.4" },
        { "DRIVER", ENUM(driver, filesystem_driver, filesystem_words), .lookup = LOOKUP_D, .dflt = "9p",
          .lands = LANDS_ARGV,
          .doc = "9p: QEMU serves it; virtiofs: virtiofsd does, which is faster and needs shared guest memory. Absent: "
                 "9p, or virtiofs where ACCESSMODE is passthrough.",
          .source = "DESIGN 5.3" },
        { "ACCESSMODE", ENUM(access, filesystem_access, access_words), .lookup = LOOKUP_D, .dflt = "mapped",
          .lands = LANDS_ARGV,
          .doc = "Whose rights count. mapped: 9p accesses the host's files as the VM's user and keeps the guest's owners "
                 "and modes in extended attributes, virtiofs shifts the guest's ids by UID_MAP and GID_MAP; passthrough "
                 "(virtiofs): the guest's ids are the host's, its root writes as root; squash (9p): as the VM's user, the "
                 "guest's owners are not kept.",
          .source = "DESIGN 5.3; libvirt-behaviour 10" },
        { "READONLY", BOOL(readonly), .lookup = LOOKUP_D, .dflt = "no", .lands = LANDS_ARGV,
          .doc = "The guest may only read.", .source = "DESIGN 5.3" },
        { "CACHE", ENUM(cache, filesystem_cache, cache_words), .lookup = LOOKUP_D, .dflt = "auto",
          .lands = LANDS_HELPER,
          .doc = "virtiofs: how long the guest may go by what it has seen. auto: a second; always: for ever, for "
                 "directories that only this guest changes; none: not at all.",
          .source = "virtiofsd(1)" },
        { "UID_MAP", U32(uid_map), .lookup = LOOKUP_B, .dflt = "100000", .max = FILESYSTEM_MAP_MAX,
          .lands = LANDS_HELPER,
          .doc = "virtiofs, mapped: the host's user id of the guest's 0; 65536 ids follow each other.",
          .source = "opennebula-semantics 3.9.6" },
        { "GID_MAP", U32(gid_map), .lookup = LOOKUP_B, .dflt = "100000", .max = FILESYSTEM_MAP_MAX,
          .lands = LANDS_HELPER, .doc = "The same for group ids.", .source = "opennebula-semantics 3.9.6" },
        { "ADDRESS", TEXT(address), .lookup = LOOKUP_D, .chars = "abcdefghijklmnopqrstuvwxyz0123456789:._-",
          .max = 64, .lands = LANDS_GUEST_ADDRESS,
          .doc = "PCI address of the device as live.tmpl has it, so that it stays the same.",
          .source = "DESIGN 5.5" },
};
#undef ATTR_OF

const struct attr_section attr_filesystem = {
        .name = "FILESYSTEM",
        .repeats = true,
        .rows = filesystem_rows,
        .n_rows = ARRAY_SIZE(filesystem_rows),
        .doc = "A directory of the host that the guest can mount.",
        .source = "DESIGN 5.3",
};
