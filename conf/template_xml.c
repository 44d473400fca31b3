/* The XML form into the same tree as the text: opennebula-semantics sections 1.1 and 2. */
#include <string.h>

#include "base/text.h"
#include "conf/template_parts.h"
#include "conf/xml_tree.h"

int template_fail(struct template *template, struct error **errors, const struct source_pos *pos,
                  const char *format, ...)
{
        _cleanup_text_ struct text message = TEXT_INIT;
        struct error *error = NULL;
        va_list ap;

        if (error_count(*errors) >= TEMPLATE_MAX_REPORTS)
                return -1;
        va_start(ap, format);
        text_vaddf(&message, format, ap);
        va_end(ap);
        error_at(&error, pos, "%s", text_str(&message));
        template_add_excerpt(template, error);
        error_append(errors, error);
        return -1;
}

/* An element's name as that of an attribute or key: what the text form could not say is refused. */
static int read_name(struct template *template, const struct xml_element *element, char **ret,
                     struct error **errors)
{
        const char *name = element->name;
        _cleanup_free_ char *shown = NULL;

        if (name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] == '\0') {
                *ret = template_upper(name, strlen(name));
                return 0;
        }
        shown = text_printable(name);
        return template_fail(template, errors, &element->pos,
                             "<%s>: is no name of an attribute: letters, digits and '_' only", shown);
}

/* Blanks and line ends between the elements are layout. */
static int check_layout(struct template *template, const struct xml_element *element, struct error **errors)
{
        _cleanup_free_ char *shown = NULL;

        if (!element->text[strspn(element->text, " \t\r\n")])
                return 0;
        shown = text_printable(element->text + strspn(element->text, " \t\r\n"));
        return template_fail(template, errors, &element->text_pos, "<%s>: holds text '%s' beside elements",
                             element->name, shown);
}

static void read_pairs(struct template *template, const struct xml_element *element,
                       struct template_attribute *vector, struct error **errors)
{
        for (const struct xml_element *child = element->children; child; child = child->next) {
                struct template_value pair = { .name_pos = child->pos, .value_pos = child->text_pos };

                if (child->children) {
                        template_fail(template, errors, &child->children->pos,
                                      "%s/%s: a vector cannot hold a vector", vector->name, child->name);
                        continue;
                }
                /* An element without anything is as good as none, a CDATA section without anything is empty. */
                if (!child->has_text || read_name(template, child, &pair.name, errors) < 0)
                        continue;
                pair.value = xstrdup(child->text);
                ARRAY_GROW(vector->pairs, vector->n_pairs);
                vector->pairs[vector->n_pairs++] = pair;
        }
}

void template_add_children(struct template *template, const struct xml_element *element,
                           struct error **errors)
{
        check_layout(template, element, errors);
        for (const struct xml_element *child = element->children; child; child = child->next) {
                struct template_attribute attribute = { .name_pos = child->pos,
                                                        .value_pos = child->text_pos,
                                                        .is_vector = child->children != NULL };

                if ((!child->children && !child->has_text) ||
                    read_name(template, child, &attribute.name, errors) < 0)
                        continue;
                if (child->n_attributes)
                        template_fail(template, errors, &child->attributes[0].name_pos,
                                      "%s: XML attributes mean nothing here, values stand in elements",
                                      attribute.name);
                if (child->children) {
                        check_layout(template, child, errors);
                        attribute.value_pos = child->children->pos;
                        read_pairs(template, child, &attribute, errors);
                } else {
                        attribute.value = xstrdup(child->text);
                }
                ARRAY_GROW(template->attributes, template->n_attributes);
                template->attributes[template->n_attributes++] = attribute;
        }
}

static int read_root(struct template *template, const struct xml_element *root, struct error **errors)
{
        const struct xml_element *inner = NULL;

        if (strcmp(root->name, "VM") == 0)
                return template_from_vm(template, root, NULL, errors);
        if (strcmp(root->name, "VMM_DRIVER_ACTION_DATA") == 0) {
                inner = xml_child(root, "VM", NULL);
                if (!inner)
                        return template_fail(template, errors, &root->pos, "<%s>: has no <VM>", root->name);
                if (xml_child(root, "VM", inner))
                        return template_fail(template, errors, &xml_child(root, "VM", inner)->pos,
                                             "<VM>: given twice");
                return template_from_vm(template, inner, xml_child(root, "REMOTE_DEPLOYMENT_FILE", NULL),
                                        errors);
        }
        if (strcmp(root->name, "domain") == 0)
                return template_fail(template, errors, &root->pos,
                                     "<domain>: is libvirt's description of a VM, not a template");
        /* What `onetemplate show -x` prints: the attributes are a level deeper. */
        if (strcmp(root->name, "VMTEMPLATE") == 0)
                inner = xml_child(root, "TEMPLATE", NULL);
        template_add_children(template, inner ? inner : root, errors);
        return *errors ? -1 : 0;
}

int template_parse_xml(const char *file, const char *text, size_t length, struct template **ret,
                       struct error **err)
{
        _cleanup_(template_freep) struct template *template = xcalloc(1, sizeof(*template));
        _cleanup_(xml_tree_freep) struct xml_element *root = NULL;
        struct locator locator;

        template->file = xstrdup(strcmp(file, "-") == 0 ? "stdin" : file);
        template->is_xml = true;
        /* The parser refuses a NUL, so the copy is the whole text. */
        template->text = xstrndup(length ? text : "", length > TEMPLATE_MAX_BYTES ? 0 : length);
        locator_init(&locator, template->file, text, length);
        if (xml_tree_parse(&locator, text, length, false, &root, err) < 0) {
                error_place(*err, &(struct source_pos){ .file = template->file });
                return -1;
        }
        if (read_root(template, root, err) < 0)
                return -1;
        template_drop_repetition(template, REPEATED_ALL, REPEATED_LAST);
        *ret = TAKE_PTR(template);
        return 0;
}
