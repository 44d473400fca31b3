/*
 * snippet_parts - what the reader of snippets is made of, and its tables (snippet*.c); private to them.
 *
 * An element is a unit: it becomes attributes as a whole, or is reported and left out as a whole. Whatever of it no row
 * and no reader has taken is reported at the end, so that nothing is passed over.
 */
#pragma once

#include "conf/snippet.h"
#include "conf/xml_tree.h"

struct snippet_unit;

/* A part of an element: an attribute or the text of it or of an element in it. */
struct snippet_row {
        const char *path; /* "@model", "rate@bytes", "." its own text, "a/b" the text of an element in it */
        const char *key;  /* of the vector; NULL: it has no effect in QEMU, and is named in a warning */
        /* "bytes=b loud=": other words than libvirt's, an empty one for what cannot be carried; NULL: as it is. */
        const char *words;
        bool is_size; /* with a unit attribute beside it, KiB when there is none */
};

struct snippet_element {
        const char *path;               /* below the domain: "devices/rng", "on_crash" */
        const char *vector;             /* "RNG"; "" for top-level attributes; NULL: has no effect in QEMU */
        const struct snippet_row *rows; /* ends with a path of NULL; NULL: none */
        /* What rows cannot say; runs after them. */
        void (*read)(struct snippet_unit *unit, struct xml_element *element);
};

/* A part as it is; with other words; with a unit; that has no effect in QEMU. */
#define PART(where, to)                      \
        {                                    \
                .path = (where), .key = (to) \
        }
#define PART_WORDS(where, to, list)                           \
        {                                                     \
                .path = (where), .key = (to), .words = (list) \
        }
#define PART_SIZE(where, to)                                  \
        {                                                     \
                .path = (where), .key = (to), .is_size = true \
        }
#define PART_IDLE(where)        \
        {                       \
                .path = (where) \
        }
#define ELEMENT(where, into, list, reader)                                          \
        {                                                                           \
                .path = (where), .vector = (into), .rows = (list), .read = (reader) \
        }
#define ELEMENTS_END         \
        {                    \
                .path = NULL \
        }
#define PARTS_END            \
        {                    \
                .path = NULL \
        }

/* Of devices, and of the rest of a domain; each ends with a path of NULL. */
extern const struct snippet_element snippet_devices[], snippet_display[], snippet_nic[], snippet_disk[],
        snippet_serial[], snippet_hostdev[];
extern const struct snippet_element snippet_domain[], snippet_capacity[], snippet_clock[], snippet_features[],
        snippet_os[];

/* A vector in the making. */
struct snippet_vector {
        const char *name; /* borrowed */
        bool always;      /* also when it has no pair */
        struct source_pos pos;
        struct template_value *pairs;
        size_t n_pairs;
};

/* One text of XML and where it stands. */
struct snippet_reader {
        struct spec_builder *builder;
        struct template *tree; /* that grows */
        const char *name;      /* "RAW/DATA", for messages */
        struct source_pos pos; /* of the text */
        enum layer layer;      /* LAYER_TEMPLATE: the tree's own */
        bool lax;              /* VALIDATE="no" */
        bool is_default;   /* a setting of OpenNebula's: what the template says itself is simply stronger */
        const char **seen; /* paths of devices there can be one of, and has been */
        size_t n_seen;
};

struct snippet_unit {
        struct snippet_reader *reader;
        const char *path; /* of the element: "devices/rng" */
        struct snippet_vector *vectors;
        size_t n_vectors;
        struct error *errors; /* why it cannot be carried */
        struct error *notes;  /* what of it has no effect */
};

/* Begins another vector; later calls of snippet_set() go there. One that stays empty is none. */
void snippet_begin(struct snippet_unit *unit, const char *vector, const struct source_pos *pos);
/* value is copied. The key must be a row of the vector. */
void snippet_set(struct snippet_unit *unit, const char *key, const char *value, const struct source_pos *pos);
void snippet_setf(struct snippet_unit *unit, const char *key, const struct source_pos *pos,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The unit cannot be carried. */
void snippet_refuse(struct snippet_unit *unit, const struct source_pos *pos, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* What is given has no effect in QEMU. */
void snippet_note(struct snippet_unit *unit, const struct source_pos *pos, const char *what);

/* A flag of the CPU: "vmx", "-vmx"; it joins those that CPU_MODEL/FEATURES has. */
void snippet_add_flag(struct snippet_unit *unit, const char *flag, const struct source_pos *pos);
/* The attribute, which counts as read then; NULL: there is none. */
struct xml_attribute *snippet_attribute(struct xml_element *element, const char *name);
/* Its value, "" when there is none. */
const char *snippet_value(struct xml_element *element, const char *name);
/* The first child of this name that has not been read; its attributes and children have still to be. */
struct xml_element *snippet_child(struct xml_element *element, const char *name);
/* Its text without blanks around it, counted as read; new string. */
char *snippet_text(struct xml_element *element);
/* The same, or NULL, without its being read thereby. */
struct xml_element *snippet_find(struct xml_element *element, const char *name);
/* number with the unit that the element's attribute says, KiB when there is none; new string. */
char *snippet_size(struct xml_element *element, const char *unit_attribute, const char *number);
/* Everything of it counts as read. */
void snippet_ignore(struct xml_element *element);
/* The attribute, if it is there, is one of the words, separated by blanks. */
void snippet_demand(struct snippet_unit *unit, struct xml_element *element, const char *name,
                    const char *words);
/* Reads what the rows say of the element into the unit's last vector. */
void snippet_rows(struct snippet_unit *unit, struct xml_element *element, const struct snippet_row *rows);
/* Is the word in the list, separated by blanks? */
bool snippet_is(const char *word, const char *list);

/* snippet_tune.c: readers of elements. */
void snippet_read_cputune(struct snippet_unit *unit, struct xml_element *cputune);
void snippet_read_numatune(struct snippet_unit *unit, struct xml_element *numatune);

/* snippet_unit.c: reports what nobody has read and cannot be carried, or adds the unit's vectors to the tree. */
void snippet_end(struct snippet_unit *unit);
/* One element; path: its row's. */
void snippet_read_element(struct snippet_reader *reader, struct xml_element *element, const char *path);
/* The children of devices or features, or what stands in for them: "devices". */
void snippet_read_inside(struct snippet_reader *reader, struct xml_element *container, const char *name);
/* What RAW holds: children of <domain>. */
void snippet_read_domain(struct snippet_reader *reader, struct xml_element *root);
