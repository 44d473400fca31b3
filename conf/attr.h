/*
 * attr - what a template attribute is: one row per attribute and key, and what works on all of them.
 *
 * A row is the whole truth (STYLE section 8): parser, checks, explain, describe, manual page and completion read
 * it. Rows stand in sections: the top-level attributes (name "") and one section per vector; the attr_*.c
 * files hold them. Pure and constant; nothing here owns memory but what a function says. attr.c finds rows, attr_value.c
 * reads and writes values, attr_shown.c has the words for people.
 *
 * Four kinds of rows: ATTR_HERE (has an effect), ATTR_COMING (known, its part of vmlaunch is not in this version:
 * using it in a template is an error by name), ATTR_LEFT_ALONE (known, and none of our business: named in one
 * warning, with the reason), ATTR_MISSPELT (a published misspelling of another row of its section).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct text;

enum attr_state { ATTR_HERE, ATTR_COMING, ATTR_LEFT_ALONE, ATTR_MISSPELT };

enum attr_kind {
        ATTR_TEXT,    /* char *: any text that a template can hold, within .chars when given */
        ATTR_PATH,    /* char *: a file name, relative ones from the template's directory */
        ATTR_BOOL,    /* bool */
        ATTR_U32,     /* uint32_t, .min to .max */
        ATTR_U64,     /* uint64_t, .min to .max */
        ATTR_SIGNED,  /* int64_t, -.max to .max; .min is not used */
        ATTR_DECIMAL, /* double, above 0 and up to .max */
        ATTR_SIZE,    /* uint64_t bytes, .min to .max; a plain number counts in units of .unit_shift */
        ATTR_ENUM,    /* an enum, one of .words */
        ATTR_MAC,     /* char *: xx:xx:xx:xx:xx:xx, stored in lower case */
        ATTR_UUID,    /* char *: stored in lower case */
        ATTR_IFNAME,  /* char *: name of a network interface, at most 15 bytes */
        ATTR_TARGET,  /* char *: name of a disk, letters only: vda, sdb */
        ATTR_ADDRESS, /* char *: an IP address, of version .ip_version when that is not 0 */
};

/* Where a value may come from: the classes of opennebula-semantics section 3.1, and ours. */
enum attr_lookup {
        LOOKUP_A,    /* VM, host.conf, cluster.conf, vmm_exec_kvm.conf: the first that has it */
        LOOKUP_B,    /* as A without the VM */
        LOOKUP_C,    /* as A, per device: the layers' vector holds the default of every device */
        LOOKUP_D,    /* VM only */
        LOOKUP_E,    /* cluster.conf, vmm_exec_kvm.conf */
        LOOKUP_HOST, /* host.conf only: this program's own settings */
};

/* Where a value has its effect, for describe and explain; the words are attr_lands_name()'s. */
enum attr_lands {
        LANDS_NOWHERE,
        LANDS_ARGV,
        LANDS_CGROUP,
        LANDS_ENVIRONMENT,
        LANDS_GUEST_ADDRESS,
        LANDS_HELPER,
        LANDS_METADATA,
        LANDS_NAME,
        LANDS_NET,
        LANDS_QMP,
        LANDS_RULE, /* decides other values */
        LANDS_UNIT,
};

/* A word of an ATTR_ENUM or a closed ATTR_TEXT; the last one has no text. */
struct attr_word {
        const char *text;
        int value;
        bool coming;      /* known, but its part is not in this version */
        const char *gone; /* known, and why it cannot be used */
};

struct attr {
        const char *name;
        /* There are seven hundred rows: the small members are side by side, in the size of a pointer. */
        uint16_t offset;    /* of the value in the section's struct, when has_field */
        uint8_t unit_shift; /* ATTR_SIZE: a plain number counts in units of 1 << this bytes */
        enum attr_state state : 8;
        enum attr_kind kind : 8;
        enum attr_lookup lookup : 8;
        enum attr_lands lands : 8;
        uint8_t ip_version : 3; /* ATTR_ADDRESS */
        bool has_field : 1;
        /* No field: what was written is checked and kept with the device, for live.tmpl and status. */
        bool kept : 1;
        bool live : 1;      /* can be changed while the VM runs */
        bool operators : 1; /* and not by an admin alone (operator_change.h) */
        bool secret : 1;    /* shown nowhere (conf/secret.h) */
        union {
                const char *doc;   /* ATTR_HERE, ATTR_COMING: one or more sentences */
                const char *why;   /* ATTR_LEFT_ALONE: the reason */
                const char *right; /* ATTR_MISSPELT: the name of the row meant */
        };
        const char *dflt; /* template text, through the same parser; NULL: none */
        /* ATTR_ENUM; ATTR_TEXT: the closed set of values; ATTR_U32, ATTR_SIZE: words that stand for numbers out
         * of its range */
        const struct attr_word *words;
        union {
                const char *chars; /* ATTR_TEXT: every byte must be one of these; NULL: any */
                const char *unit;  /* other kinds: of a plain number, for people; read it by attr_unit() */
        };
        uint64_t min, max;  /* max 0: none */
        const char *source; /* where the rule comes from */
};

struct attr_section {
        const char *name; /* of the vector; "" for the top-level attributes */
        enum attr_state state;
        const char *why; /* ATTR_LEFT_ALONE */
        bool repeats;    /* may be given several times: DISK, NIC */
        bool any_key;    /* the keys are the user's own: CONTEXT */
        /* The keys are those of this section, for each of whose vectors they are defaults; counts in a VM template. */
        const struct attr_section *keys_of;
        const struct attr *rows;
        size_t n_rows;
        const char *doc;
        const char *source;
};

/* The field's offset, and at compile time that its type is the kind's. ATTR_OF is defined by each table file. */
#define ATTR_FIELD(field, type)                                                                           \
        .has_field = true,                                                                                \
        .offset =                                                                                         \
                offsetof(ATTR_OF, field) +                                                                \
                0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((ATTR_OF *)0)->field), type) ? 1 \
                                                                                                      : -1])
#define TEXT(field)   .kind = ATTR_TEXT, ATTR_FIELD(field, char *)
#define PATH(field)   .kind = ATTR_PATH, ATTR_FIELD(field, char *)
#define BOOL(field)   .kind = ATTR_BOOL, ATTR_FIELD(field, bool)
#define U32(field)    .kind = ATTR_U32, ATTR_FIELD(field, uint32_t)
#define U64(field)    .kind = ATTR_U64, ATTR_FIELD(field, uint64_t)
#define SIGNED(field) .kind = ATTR_SIGNED, ATTR_FIELD(field, int64_t)
/* A number, or "auto" (ATTR_AUTO). */
#define U32_OR_AUTO(field) .kind = ATTR_U32, .words = attr_auto_words, ATTR_FIELD(field, uint32_t)
#define DECIMAL(field)     .kind = ATTR_DECIMAL, ATTR_FIELD(field, double)
#define MAC(field)         .kind = ATTR_MAC, ATTR_FIELD(field, char *)
#define ADDRESS(field)     .kind = ATTR_ADDRESS, ATTR_FIELD(field, char *)
#define UUID(field)        .kind = ATTR_UUID, ATTR_FIELD(field, char *)
#define IFNAME(field)      .kind = ATTR_IFNAME, ATTR_FIELD(field, char *)
#define TARGET(field)      .kind = ATTR_TARGET, ATTR_FIELD(field, char *)
#define SIZE(field, bytes, word) \
        .kind = ATTR_SIZE, .unit_shift = __builtin_ctzll(bytes), .unit = (word), ATTR_FIELD(field, uint64_t)
#define ENUM(field, enum_type, table) .kind = ATTR_ENUM, .words = (table), ATTR_FIELD(field, enum enum_type)
#define COMING(key, text)                                                              \
        {                                                                              \
                .name = (key), .state = ATTR_COMING, .lookup = LOOKUP_D, .doc = (text) \
        }
#define WORD(word, number)                        \
        {                                         \
                .text = (word), .value = (number) \
        }
#define SOON(word)                             \
        {                                      \
                .text = (word), .coming = true \
        }
#define GONE(word, reason)                                       \
        {                                                        \
                .text = (word), .coming = true, .gone = (reason) \
        }
#define WORDS_END            \
        {                    \
                .text = NULL \
        }
/* Coming, and allowed in the configuration files. */
#define COMING_IN(key, class, text)                                                          \
        {                                                                                    \
                .name = (key), .state = ATTR_COMING, .lookup = LOOKUP_##class, .doc = (text) \
        }
#define LEFT_ALONE(key, reason)                                                              \
        {                                                                                    \
                .name = (key), .state = ATTR_LEFT_ALONE, .lookup = LOOKUP_D, .why = (reason) \
        }
#define MISSPELT(key, meant)                                            \
        {                                                               \
                .name = (key), .state = ATTR_MISSPELT, .right = (meant) \
        }

#define ATTR_AUTO 0
extern const struct attr_word attr_auto_words[];

/* All sections, the top-level one first; the list ends with NULL. */
extern const struct attr_section *const attr_sections[];
extern const struct attr_section attr_vm, attr_os, attr_features, attr_cpu_model, attr_panic, attr_disk,
        attr_nic, attr_nic_default, attr_serial, attr_cputune, attr_memtune, attr_blkiotune;
extern const struct attr_section attr_topology, attr_numa_node, attr_memory_backing, attr_memory_encryption,
        attr_dimm, attr_balloon, attr_numatune;
extern const struct attr_section attr_raw, attr_hyperv, attr_smbios;
extern const struct attr_section attr_graphics, attr_video, attr_input, attr_sound, attr_redirfilter;
extern const struct attr_section attr_clock, attr_timer, attr_pm, attr_iommu;
extern const struct attr_section attr_rng, attr_watchdog, attr_tpm, attr_vsock, attr_filesystem, attr_console;
extern const struct attr_section attr_pci, attr_usb, attr_parallel, attr_channel, attr_smartcard, attr_shmem;
/* The vectors that are known only by name and keys; ends with NULL. */
extern const struct attr_section *const attr_coming_sections[];

/* NULL when there is none. */
const struct attr_section *attr_section_find(const char *name);
const struct attr *attr_find(const struct attr_section *section, const char *name);
/* The name of a row or section that was most likely meant, or NULL; misspellings are never proposed. */
const char *attr_nearest(const struct attr_section *section, const char *name);

/* ATTR_SIZE: the bytes that a plain number counts in. */
uint64_t attr_plain_unit(const struct attr *row);
/* The field of the row in record, and the text fields among the kinds. */
void *attr_field(const struct attr *row, void *record);
static inline bool attr_is_text(const struct attr *row)
{
        const unsigned texts = 1u << ATTR_TEXT | 1u << ATTR_PATH | 1u << ATTR_MAC | 1u << ATTR_UUID |
                               1u << ATTR_IFNAME | 1u << ATTR_TARGET | 1u << ATTR_ADDRESS;

        return texts >> row->kind & 1;
}
/* "DISK/CACHE", "MEMORY"; new string. */
char *attr_full_name(const struct attr_section *section, const struct attr *row);
/* "one of a, b, c", "1 MiB to 16 TiB", "yes or no", ...: what values there are; new string. */
char *attr_values(const struct attr *row);
/* "a, b, c": those that this version takes. */
void attr_add_words(struct text *out, const struct attr_word *words);
const char *attr_kind_name(enum attr_kind kind);
/* "seconds", or NULL. */
const char *attr_unit(const struct attr *row);
/* "argv", "guest address", or NULL for a row that says nothing about it. */
const char *attr_lands_name(enum attr_lands lands);
const char *attr_state_name(enum attr_state state);
/* "VM > host > cluster > driver": the layers that may give it, strongest first. */
const char *attr_lookup_name(enum attr_lookup lookup);

/*
 * Reads the text as the row says and stores it in record, which may be NULL to check only. Blanks around the value
 * do not count. Errors are ERROR_INVALID at pos and begin with the full name.
 */
int attr_set(const struct attr_section *section, const struct attr *row, const char *text,
             const struct source_pos *pos, void *record, struct error **err);
/* The field as template text that attr_set() reads again; NULL for a text that is NULL. New string. */
char *attr_get(const struct attr *row, const void *record);
