/*
 * xml_tree - XML text as a tree of elements, each with its place; for VM XML and for libvirt snippets.
 *
 * Pure. A tree owns everything below it; free with xml_tree_free(), which accepts NULL. The text is hostile: it is
 * UTF-8 without a document type, so there are no entities but the five of XML and no external ones; depth, elements,
 * attributes and bytes are bounded. Names are as written, with their prefix. Character data has CR LF as one newline.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "conf/locator.h"

enum { XML_MAX_DEPTH = 64 };
/* Elements and attributes together. */
#define XML_MAX_ITEMS TEMPLATE_MAX_ATTRIBUTES

struct xml_attribute {
        char *name, *value;
        struct source_pos name_pos; /* file borrowed from the locator */
        struct source_pos value_pos;
        bool taken; /* for the reader of the tree: this has been understood */
};

struct xml_element {
        char *name;
        struct source_pos pos; /* of its '<' */
        struct xml_attribute *attributes;
        size_t n_attributes;
        char *text;    /* its own character data, without that of its children; never NULL */
        bool has_text; /* any character data or CDATA section, were it empty */
        struct source_pos text_pos;
        bool taken, text_taken;
        struct xml_element *parent, *children, *last_child, *next;
};

/*
 * locator: where the text stands. wrap: the text is the inside of an element, any number of elements and character
 * data, as RAW/DATA is; the root returned has the name "" then. At the first error it stops. ERROR_HOST, without a place:
 * this host has no expat.
 */
int xml_tree_parse(struct locator *locator, const char *text, size_t length, bool wrap,
                   struct xml_element **ret_root, struct error **err);
void xml_tree_free(struct xml_element *root);
DEFINE_FREEP(struct xml_element, xml_tree_free)

/* The first child of this name behind after (NULL: from the start), or NULL. */
const struct xml_element *xml_child(const struct xml_element *element, const char *name,
                                    const struct xml_element *after);
