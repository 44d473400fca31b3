/*
 * OpenNebula's VM XML (opennebula-semantics sections 2 and 3): what its core and drivers have filled in or done is
 * read as they mean it, so that everything behind the tree knows one meaning. A <VM> without an ID was written by
 * somebody else, and its TEMPLATE means what the text form means.
 */
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "conf/attr.h"
#include "conf/template_parts.h"
#include "conf/xml_tree.h"

enum { MAX_ID = 999999999, MAX_NAMED = 60 };

/* Names for one warning. */
struct named {
        struct text names;
        struct source_pos pos;
        unsigned n;
};

struct vm_reader {
        struct template *template;
        const struct xml_element *vm;
        struct error **errors;
        uint32_t id;
        struct named done, owners; /* OpenNebula's work; in USER_TEMPLATE only */
};

static void add_named(struct named *named, const char *name, const struct source_pos *pos)
{
        const char *found = text_str(&named->names);
        size_t n = strlen(name);

        for (; (found = strstr(found, name)); found += n)
                if ((found == text_str(&named->names) || found[-1] == ' ') && (!found[n] || found[n] == ','))
                        return;
        if (!named->n)
                named->pos = *pos;
        if (++named->n > MAX_NAMED)
                return;
        text_addf(&named->names, "%s%s", named->n > 1 ? ", " : "", name);
}

static void warn_named(struct vm_reader *r, struct named *named, const char *reason)
{
        struct error *warning = NULL;

        if (named->n) {
                error_at(&warning, &named->pos, "%s: %s%s", reason, text_str(&named->names),
                         named->n > MAX_NAMED ? ", ..." : "");
                template_add_excerpt(r->template, warning);
                error_append(&r->template->warnings, warning);
        }
        text_done(&named->names);
}

/* In the XML form the last one of a key given twice counts. */
static struct template_value *find_key(const struct template_attribute *vector, const char *key)
{
        for (size_t i = vector->n_pairs; i > 0; i--)
                if (strcmp(vector->pairs[i - 1].name, key) == 0)
                        return &vector->pairs[i - 1];
        return NULL;
}

static const char *key_text(const struct template_attribute *vector, const char *key)
{
        const struct template_value *pair = find_key(vector, key);

        return pair ? pair->value : "";
}

static void set_key(struct template_attribute *vector, const char *key, char *value_consume)
{
        struct template_value *pair = find_key(vector, key);

        if (pair) {
                free(pair->value);
        } else {
                ARRAY_GROW(vector->pairs, vector->n_pairs);
                pair = &vector->pairs[vector->n_pairs++];
                *pair = (struct template_value){ .name = xstrdup(key),
                                                 .name_pos = vector->name_pos,
                                                 .value_pos = vector->name_pos };
        }
        pair->value = value_consume;
}

static void add_attribute(struct template *template, struct template_attribute *attribute)
{
        ARRAY_GROW(template->attributes, template->n_attributes);
        template->attributes[template->n_attributes++] = *attribute;
}

/* named: said in the warning; what was replaced by something of the same meaning is not. */
static void drop_keys(struct vm_reader *r, struct template_attribute *vector, const char *const *keys,
                      bool named)
{
        size_t kept = 0;

        for (size_t i = 0; i < vector->n_pairs; i++) {
                struct template_value *pair = &vector->pairs[i];
                bool drop = false;

                for (size_t j = 0; keys[j] && !drop; j++)
                        drop = strcmp(pair->name, keys[j]) == 0;
                if (!drop) {
                        vector->pairs[kept++] = *pair;
                        continue;
                }
                if (named) {
                        _cleanup_free_ char *full = xasprintf("%s/%s", vector->name, pair->name);

                        add_named(&r->done, full, &pair->name_pos);
                }
                free(pair->name);
                free(pair->value);
        }
        vector->n_pairs = kept;
}

static bool is_word(const char *s, const char *const *words)
{
        for (; *words; words++)
                if (strcasecmp(s, *words) == 0)
                        return true;
        return false;
}

static void set_rbd_source(struct vm_reader *r, struct template_attribute *disk)
{
        const char *source = key_text(disk, "SOURCE"), *pool = key_text(disk, "POOL_NAME");
        bool own = !*source || strcasecmp(key_text(disk, "CLONE"), "YES") == 0;
        struct text name = TEXT_INIT;

        if (*source)
                text_add(&name, source);
        else
                text_addf(&name, "%s/one-sys", *pool ? pool : "one");
        if (own)
                text_addf(&name, "-%u-%s", r->id, key_text(disk, "DISK_ID"));
        set_key(disk, "SOURCE", text_take(&name));
}

/* opennebula-semantics section 3.9.1: the image lies in the VM's directory, whatever it was made from. */
static void read_disk(struct vm_reader *r, struct template_attribute *disk)
{
        static const char *const volatile_types[] = { "FS", "SWAP", NULL };
        static const char *const rbd_types[] = { "RBD", "RBD_CDROM", NULL };
        static const char *const block_types[] = { "BLOCK", "BLOCK_CDROM", NULL };
        static const char *const elsewhere[] = { "ISCSI",    "GLUSTER",        "GLUSTER_CDROM",
                                                 "SHEEPDOG", "SHEEPDOG_CDROM", "FILESYSTEM",
                                                 NULL };
        static const char *const done[] = { "CLONE",  "SAVE",  "PERSISTENT", "PERSISTENT_TYPE",
                                            "SIZE",   "FS",    "FILESYSTEM", "DISK_TYPE",
                                            "ATTACH", "ORDER", "IMAGE",      NULL };
        static const char *const formats[] = { "FORMAT", "DRIVER", NULL };
        _cleanup_free_ char *type = xstrdup(key_text(disk, "TYPE"));
        const char *storage = key_text(disk, "DISK_TYPE"), *id = key_text(disk, "DISK_ID");
        uint32_t number;

        disk->attaches = strcasecmp(key_text(disk, "ATTACH"), "YES") == 0;
        if (!text_parse_u32(id, &number) || number > MAX_ID) {
                template_fail(r->template, r->errors, &disk->name_pos,
                              "DISK/DISK_ID: OpenNebula's number of the disk is missing");
                return;
        }
        if (is_word(type, volatile_types)) {
                free(type);
                type = xstrdup(storage);
        }
        if (is_word(type, rbd_types) || strcasecmp(storage, "RBD") == 0) {
                set_rbd_source(r, disk);
                set_key(disk, "TYPE", xstrdup(strcasecmp(type, "RBD_CDROM") == 0 ? "RBD_CDROM" : "RBD"));
        } else if (!is_word(type, elsewhere)) {
                bool is_block = strcasecmp(storage, "BLOCK") == 0;

                if (!r->template->vm_directory) {
                        template_fail(
                                r->template, r->errors, &disk->name_pos,
                                "DISK: where the VM's directory is is not said: HISTORY_RECORDS/HISTORY/DS_ID");
                        return;
                }
                set_key(disk, "SOURCE", xasprintf("disk.%u", number));
                if (strcasecmp(type, "CDROM") == 0) {
                        set_key(disk, "TYPE", xstrdup(is_block ? "BLOCK_CDROM" : "CDROM"));
                        drop_keys(r, disk, formats, false);
                } else {
                        set_key(disk, "TYPE", xstrdup(is_word(type, block_types) ? type : "FILE"));
                }
        }
        drop_keys(r, disk, done, true);
}

/* The CD that the transfer driver has made is a disk like any other; without a target upstream goes on without. */
static void read_context(struct vm_reader *r, const struct template_attribute *context)
{
        struct template_attribute disk = { .is_vector = true,
                                           .name_pos = context->name_pos,
                                           .value_pos = context->value_pos };

        if (!*key_text(context, "TARGET")) {
                struct error *warning = NULL;

                error_at(&warning, &context->name_pos, "CONTEXT: has no TARGET, going on without its CD");
                template_add_excerpt(r->template, warning);
                error_append(&r->template->warnings, warning);
                return;
        }
        disk.name = xstrdup("DISK");
        set_key(&disk, "TYPE", xstrdup("CDROM"));
        set_key(&disk, "TARGET", xstrdup(key_text(context, "TARGET")));
        set_key(&disk, "DISK_ID", xstrdup(key_text(context, "DISK_ID")));
        read_disk(r, &disk);
        add_attribute(r->template, &disk);
}

/*
 * The network drivers have made bridges, VLANs and filters (VN_MAD), and CONTEXT tells the guest its addresses, which are
 * kept for status.
 */
static void read_nic(struct vm_reader *r, struct template_attribute *nic)
{
        static const char *const done[] = { "VLAN_ID",
                                            "OUTER_VLAN_ID",
                                            "VLAN_TAGGED_ID",
                                            "PHYDEV",
                                            "MTU",
                                            "GUEST_MTU",
                                            "SECURITY_GROUPS",
                                            "NETWORK_MODE",
                                            "ORDER",
                                            "FILTER_IP_SPOOFING",
                                            "FILTER_MAC_SPOOFING",
                                            "ATTACH",
                                            "RDP",
                                            "SSH",
                                            NULL };

        nic->attaches = strcasecmp(key_text(nic, "ATTACH"), "YES") == 0;
        if (strcasecmp(key_text(nic, "NETWORK_MODE"), "DUMMY") == 0 ||
            (!find_key(nic, "BRIDGE") && strcasecmp(key_text(nic, "BRIDGE_TYPE"), "user") != 0))
                set_key(nic, "BRIDGE", xstrdup(""));
        drop_keys(r, nic, done, true);
}

/* Of a virtual function of a network card (TYPE NIC): the network drivers have set it up. */
static void read_pci(struct vm_reader *r, struct template_attribute *pci)
{
        static const char *const done[] = { "MAC", "VLAN_ID", "NETWORK", "ATTACH", NULL };

        pci->attaches = strcasecmp(key_text(pci, "ATTACH"), "YES") == 0;
        drop_keys(r, pci, done, true);
}

/* Its numbers are MiB in a template that a user writes, KiB from the core. */
static void read_numa_node(struct template_attribute *node)
{
        struct template_value *memory = find_key(node, "MEMORY");
        uint64_t number;

        if (memory && text_parse_u64(memory->value, &number)) {
                free(memory->value);
                memory->value = xasprintf("%llu KiB", (unsigned long long)number);
        }
}

static void read_os(struct vm_reader *r, struct template_attribute *os)
{
        static const struct {
                const char *key, *source, *file;
        } files[] = { { "KERNEL", "KERNEL_DS", "kernel" }, { "INITRD", "INITRD_DS", "initrd" } };

        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                const char *const done[] = { files[i].source, NULL };

                if (!*key_text(os, files[i].source))
                        continue;
                if (!*key_text(os, files[i].key))
                        set_key(os, files[i].key, xstrdup(files[i].file));
                drop_keys(r, os, done, false);
        }
}

/* What OpenNebula's core has merged or keeps for itself. */
static void read_vectors(struct vm_reader *r)
{
        static const char *const done[] = { "NIC_ALIAS", "NIC_DEFAULT", "SNAPSHOT", "CONTEXT", NULL };
        struct template *template = r->template;
        size_t n = template->n_attributes, kept = 0;

        for (size_t i = 0; i < n; i++) {
                struct template_attribute *vector = &template->attributes[i];

                if (!vector->is_vector)
                        continue;
                if (strcmp(vector->name, "DISK") == 0)
                        read_disk(r, vector);
                else if (strcmp(vector->name, "NIC") == 0)
                        read_nic(r, vector);
                else if (strcmp(vector->name, "PCI") == 0)
                        read_pci(r, vector);
                else if (strcmp(vector->name, "NUMA_NODE") == 0)
                        read_numa_node(vector);
                else if (strcmp(vector->name, "OS") == 0)
                        read_os(r, vector);
        }
        for (size_t i = 0; i < n; i++) {
                const struct template_attribute context = template->attributes[i];

                /* Copied, because the array may move. */
                if (context.is_vector && strcmp(context.name, "CONTEXT") == 0)
                        read_context(r, &context);
        }
        for (size_t i = 0; i < template->n_attributes; i++) {
                struct template_attribute *attribute = &template->attributes[i];

                if (!attribute->is_vector || !is_word(attribute->name, done)) {
                        template->attributes[kept++] = *attribute;
                        continue;
                }
                if (strcmp(attribute->name, "CONTEXT") != 0)
                        add_named(&r->done, attribute->name, &attribute->name_pos);
                template_attribute_done(attribute);
        }
        template->n_attributes = kept;
}

static void set_directory(struct vm_reader *r, const struct xml_element *deployment_file)
{
        const struct xml_element *records = xml_child(r->vm, "HISTORY_RECORDS", NULL), *history = NULL,
                                 *ds_id;
        uint32_t id;

        if (deployment_file && *deployment_file->text == '/') {
                const char *path = deployment_file->text;

                r->template->vm_directory = xstrndup(path, (size_t)(strrchr(path, '/') - path));
                return;
        }
        for (const struct xml_element *child = records ? records->children : NULL; child; child = child->next)
                if (strcmp(child->name, "HISTORY") == 0)
                        history = child;
        ds_id = history ? xml_child(history, "DS_ID", NULL) : NULL;
        if (!ds_id)
                return;
        if (!text_parse_u32(ds_id->text, &id) || id > MAX_ID)
                template_fail(r->template, r->errors, &ds_id->pos, "DS_ID: is no number of a datastore");
        else
                r->template->vm_directory = xasprintf("%u/%u", id, r->id);
}

static void drop_name(struct template *template)
{
        size_t kept = 0;

        for (size_t i = 0; i < template->n_attributes; i++) {
                struct template_attribute *attribute = &template->attributes[i];

                if (!attribute->is_vector && strcmp(attribute->name, "NAME") == 0)
                        template_attribute_done(attribute);
                else
                        template->attributes[kept++] = *attribute;
        }
        template->n_attributes = kept;
}

static void set_name(struct vm_reader *r)
{
        const struct xml_element *id = xml_child(r->vm, "ID", NULL), *name = xml_child(r->vm, "NAME", NULL);
        const struct xml_element *from = id ? id : name;
        struct template_attribute attribute = { 0 };

        if (id && (!text_parse_u32(id->text, &r->id) || r->id > MAX_ID)) {
                template_fail(r->template, r->errors, &id->pos, "ID: is no number of a VM");
                return;
        }
        r->template->is_vm = id != NULL;
        if (!from || !from->has_text)
                return;
        attribute.name = xstrdup("NAME");
        attribute.name_pos = from->pos;
        attribute.value_pos = from->text_pos;
        attribute.value = id ? xasprintf("one-%u", r->id) : xstrdup(name->text);
        add_attribute(r->template, &attribute);
}

/* OpenNebula's drivers read TEMPLATE only: USER_TEMPLATE is its owner's to edit while the VM runs. */
static void look_at_user_template(struct vm_reader *r)
{
        const struct xml_element *user = xml_child(r->vm, "USER_TEMPLATE", NULL);

        for (const struct xml_element *child = user ? user->children : NULL; child; child = child->next) {
                const struct attr_section *section = attr_section_find(child->name);
                const struct attr *row = attr_find(&attr_vm, child->name);

                if (child->children ? section && *section->name && section->state != ATTR_LEFT_ALONE
                                    : row && row->state != ATTR_LEFT_ALONE)
                        add_named(&r->owners, child->name, &child->pos);
        }
}

int template_from_vm(struct template *template, const struct xml_element *vm,
                     const struct xml_element *deployment_file, struct error **err)
{
        struct vm_reader r = { .template = template, .vm = vm, .errors = err };
        const struct xml_element *inner = xml_child(vm, "TEMPLATE", NULL);

        if (!inner) {
                template_fail(r.template, r.errors, &vm->pos, "<VM>: has no <TEMPLATE>");
                return -1;
        }
        if (xml_child(vm, "TEMPLATE", inner)) {
                template_fail(r.template, r.errors, &xml_child(vm, "TEMPLATE", inner)->pos,
                              "<TEMPLATE>: given twice");
                return -1;
        }
        template_add_children(template, inner, err);
        if (xml_child(vm, "ID", NULL))
                drop_name(template);
        set_name(&r);
        if (template->is_vm && !*err) {
                set_directory(&r, deployment_file);
                read_vectors(&r);
                look_at_user_template(&r);
        }
        warn_named(&r, &r.done, "OpenNebula has seen to these, without effect here");
        warn_named(&r, &r.owners,
                   "without effect in USER_TEMPLATE, which OpenNebula lets the owner edit while the VM runs");
        return *err ? -1 : 0;
}
