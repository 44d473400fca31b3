#include "conf/snippet_parts.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"

/*
 * Elements and attributes of all snippets of a VM: QEMU's longest argument list, twice over. Readers look for an element
 * among its siblings, and add what they find to lists.
 */
enum { MAX_ITEMS = 4096 };

/*
 * The children of <devices>, for a guest with SPICE. Our defaults are what upstream ships in SPICE_OPTIONS: what other
 * ones leave out is not there.
 */
static void read_spice(struct snippet_reader *reader, struct xml_element *root)
{
        struct snippet_unit rest = { .reader = reader, .path = "devices" };

        if (root)
                snippet_read_inside(reader, root, "devices");
        snippet_begin(&rest, "GRAPHICS", &reader->pos);
        snippet_set(&rest, "VDAGENT", "no", &reader->pos);
        snippet_set(&rest, "USB_REDIRECTIONS", "0", &reader->pos);
        snippet_begin(&rest, "SOUND", &reader->pos);
        snippet_set(&rest, "MODEL", "none", &reader->pos);
        snippet_end(&rest);
}

/* Of all layers the first that has a text of this tree, for excerpts and places. */
static const struct template *tree_of(const struct spec_builder *builder, const struct source_pos *pos)
{
        const struct site *site = builder->site;
        const struct template *const all[] = { builder->template, site->host, site->cluster, site->driver };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                if (all[i] && pos->file && strcmp(all[i]->file, pos->file) == 0)
                        return all[i];
        return NULL;
}

/* As deep as XML_MAX_DEPTH. */
static size_t count_items(const struct xml_element *element)
{
        size_t n = 1 + element->n_attributes;

        for (const struct xml_element *child = element->children; child; child = child->next)
                n += count_items(child);
        return n;
}

struct snippet_text {
        const char *name, *value;
        struct source_pos pos; /* of the value; no file: a default of ours */
        enum layer layer;
        bool lax, is_default;
};

static void read_text(struct spec_builder *builder, struct template **tree, const struct snippet_text *text,
                      void (*read)(struct snippet_reader *reader, struct xml_element *root))
{
        struct snippet_reader reader = {
                .builder = builder,
                .name = text->name,
                .pos = text->pos,
                .layer = text->layer,
                .lax = text->lax,
                .is_default = text->is_default,
        };
        _cleanup_(xml_tree_freep) struct xml_element *root = NULL;
        const struct template *from = tree_of(builder, &text->pos);
        _cleanup_free_ char *what = NULL;
        struct error *error = NULL;
        struct locator locator;

        if (!*tree)
                *tree = template_copy(builder->template);
        reader.tree = *tree;
        if (spec_text_is_empty(text->value)) {
                read(&reader, NULL);
                return;
        }
        if (from)
                locator_init_value(&locator, from, &text->pos);
        else
                locator_init(&locator, text->name, text->value, strlen(text->value));
        if (xml_tree_parse(&locator, text->value, strlen(text->value), true, &root, &error) == 0) {
                builder->n_snippet_items += count_items(root);
                if (builder->n_snippet_items > MAX_ITEMS) {
                        spec_fail(builder, &text->pos,
                                  "%s: more than %d elements and attributes in all pieces of libvirt XML",
                                  text->name, MAX_ITEMS);
                        return;
                }
                read(&reader, root);
                free(reader.seen);
                return;
        }
        error_place(error, &text->pos);
        what = error->message;
        error->message = xasprintf("%s: %s", text->name, what);
        spec_report(builder, error);
}

static const struct template_value *find_key(const struct template_attribute *vector, const char *key)
{
        for (size_t i = 0; i < vector->n_pairs; i++)
                if (strcmp(vector->pairs[i].name, key) == 0)
                        return &vector->pairs[i];
        return NULL;
}

/* VALIDATE: no is no, and so is anything else than yes (opennebula-semantics section 3.14). */
static bool is_lax(struct spec_builder *builder, const struct template_attribute *raw)
{
        const struct template_value *validate = find_key(raw, "VALIDATE");
        struct error *error = NULL;
        bool yes = true;

        if (!validate || spec_text_is_empty(validate->value))
                return false;
        if (attr_set(&attr_raw, attr_find(&attr_raw, "VALIDATE"), validate->value, &validate->value_pos, NULL,
                     &error) < 0)
                spec_report(builder, error);
        else
                text_parse_bool(validate->value, &yes);
        return !yes;
}

/* Blanks around a value do not count. */
static bool is_word(const char *value, const char *word)
{
        size_t n = strlen(word);

        value += strspn(value, " \t\r\n");
        return strncasecmp(value, word, n) == 0 && spec_text_is_empty(value + n);
}

static void read_raw(struct spec_builder *builder, const struct template_attribute *raw,
                     struct template **tree)
{
        const struct template_value *type = find_key(raw, "TYPE"), *data = find_key(raw, "DATA");

        if (!type || spec_text_is_empty(type->value)) {
                spec_fail(builder, &raw->name_pos,
                          "RAW/TYPE: has to be given (kvm: DATA is libvirt XML; qemu: arguments of QEMU)");
                return;
        }
        if (is_word(type->value, "qemu")) {
                if (is_lax(builder, raw))
                        spec_fail(builder, &find_key(raw, "VALIDATE")->value_pos,
                                  "RAW/VALIDATE: is of TYPE kvm; what TYPE qemu may not say stays an error");
                return;
        }
        if (!is_word(type->value, "kvm")) {
                _cleanup_free_ char *shown = text_printable(type->value);

                spec_warn(builder, &type->value_pos, "RAW: is for hypervisor '%s', without effect here",
                          shown);
                return;
        }
        if (data && !spec_text_is_empty(data->value))
                read_text(builder, tree,
                          &(struct snippet_text){ "RAW/DATA", data->value, data->value_pos, LAYER_TEMPLATE,
                                                  is_lax(builder, raw), false },
                          snippet_read_domain);
}

/* A single attribute that holds a snippet, of the strongest layer that has it; an empty one is none. */
static void read_single(struct spec_builder *builder, const char *name, bool is_default,
                        struct template **tree,
                        void (*read)(struct snippet_reader *reader, struct xml_element *root))
{
        struct spec_value found;

        if (spec_look_up(builder, &attr_vm, name, &found) && (is_default || !spec_text_is_empty(found.text)))
                read_text(
                        builder, tree,
                        &(struct snippet_text){ name, found.text, found.pos, found.layer, false, is_default },
                        read);
}

static bool has_spice(const struct spec_builder *builder)
{
        struct spec_value found;
        size_t start = 0;

        return template_next(builder->template, "GRAPHICS", true, &start) &&
               spec_look_up(builder, &attr_graphics, "TYPE", &found) && strcasecmp(found.text, "spice") == 0;
}

static bool is_yes(const struct spec_builder *builder, const char *key)
{
        struct spec_value found;
        bool yes = false;

        return spec_look_up(builder, &attr_features, key, &found) && text_parse_bool(found.text, &yes) && yes;
}

/* FEATURES/HYPERV is for PCs. */
static bool has_hyperv(const struct spec_builder *builder)
{
        struct spec_value arch;

        return is_yes(builder, "HYPERV") &&
               !(spec_look_up(builder, &attr_os, "ARCH", &arch) && strcasecmp(arch.text, "aarch64") == 0);
}

/* The children of <hyperv> in <features>. */
static void read_hyperv(struct snippet_reader *reader, struct xml_element *root)
{
        struct xml_element none = { .name = (char *)"", .text = (char *)"" };

        snippet_read_element(reader, root ? root : &none, "features/hyperv");
}

/* The children of <clock>. */
static void read_timers(struct snippet_reader *reader, struct xml_element *root)
{
        if (root)
                snippet_read_element(reader, root, "clock");
}

/* Upstream's defaults for Windows guests; with local time only what somebody has asked for. */
static void read_hyperv_settings(struct spec_builder *builder, struct template **tree)
{
        bool has = has_hyperv(builder);
        struct spec_value found;

        if (has)
                read_single(builder, "HYPERV_OPTIONS", true, tree, read_hyperv);
        if (!has && !is_yes(builder, "LOCALTIME"))
                return;
        if (spec_look_up(builder, &attr_vm, "HYPERV_TIMERS", &found))
                read_single(builder, "HYPERV_TIMERS", true, tree, read_timers);
        else if (has)
                read_text(builder, tree,
                          &(struct snippet_text){ .name = "HYPERV_TIMERS",
                                                  .value = attr_find(&attr_vm, "HYPERV_TIMERS")->dflt,
                                                  .layer = LAYER_DEFAULT,
                                                  .is_default = true },
                          read_timers);
}

struct template *snippets_expand(struct spec_builder *builder)
{
        const struct template *template = builder->template;
        const struct template_attribute *raw;
        struct template *tree = NULL;
        struct spec_value found;
        size_t start = 0;

        /* live.tmpl has their meaning already. */
        if (spec_look_up(builder, &attr_vm, "SNIPPETS", &found) && strcasecmp(found.text, "done") == 0)
                return NULL;
        while ((raw = template_next(template, "RAW", true, &start)))
                read_raw(builder, raw, &tree);
        read_single(builder, "RAW", false, &tree, snippet_read_domain);
        read_hyperv_settings(builder, &tree);
        if (has_spice(builder))
                read_single(builder, "SPICE_OPTIONS", true, &tree, read_spice);
        return tree;
}
