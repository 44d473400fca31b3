/*
 * What OpenNebula makes of a template, and what it makes here: each tests/golden/real-*.tmpl is worked on as the core works
 * on it (opennebula-semantics section 2.1) and written as the VM XML that a driver gets, and that means the same as the
 * template in text with what the core means in its place: the VM is one-ID, its disks are in its directory, what the core's
 * drivers have done is left out, and so is what reaches USER_TEMPLATE only. The same attributes in XML that nobody has
 * worked on mean the same as the text: test_golden shows it.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/attr.h"
#include "conf/spec_build.h"
#include "tests/unit/golden_files.h"

#define ID     "7"
#define VM_DIR "/var/lib/one/datastores/100/" ID

enum { FILE_MAX = 1 << 20 };

/* Both as attributes of their own: name, or vector and key. */
struct two {
        struct text xml, text;
        unsigned n_disks, n_nics;
};

static bool is_in(const char *word, const char *list)
{
        size_t n = strlen(word);

        for (const char *found = list; (found = strstr(found, word)); found += n)
                if ((found == list || found[-1] == ' ') && (!found[n] || found[n] == ' '))
                        return true;
        return false;
}

/* What moves to TEMPLATE when a template is instantiated. */
static bool reaches_template(const char *name)
{
        return is_in(name,
                     "MEMORY MEMORY_RESIZE_MODE MEMORY_MAX MEMORY_SLOTS CPU VCPU VCPU_MAX EMULATOR OS FEATURES IOMMU "
                     "TPM MEMORY_ENCRYPTION CPU_MODEL NIC_DEFAULT DISK NIC GRAPHICS VIDEO INPUT RAW TOPOLOGY "
                     "NUMA_NODE HYPERV_OPTIONS SPICE_OPTIONS TEMPLATE_ID") ||
               text_ends_with(name, "_COST") || text_starts_with(name, "AUTOMATIC_");
}

static void add_xml(struct text *out, const char *name, const char *value)
{
        text_addf(out, "<%s>", name);
        if (!*value)
                text_add(out, "<![CDATA[]]>");
        for (; *value; value++)
                text_addf(out, strchr("<&>\r", *value) ? "&#%d;" : "%c", *value);
        text_addf(out, "</%s>", name);
}

/* Into both, or into one of them. */
static void add_pair(struct two *two, const char *name, const char *xml, const char *text)
{
        if (xml)
                add_xml(&two->xml, name, xml);
        if (text) {
                text_add(&two->text, two->text.data[two->text.length - 1] == '[' ? "\n" : ",\n");
                template_write_value(&two->text, name, text);
        }
}

static const char *value_of(const struct template_attribute *vector, const char *key)
{
        for (size_t i = 0; vector && i < vector->n_pairs; i++)
                if (strcmp(vector->pairs[i].name, key) == 0)
                        return vector->pairs[i].value;
        return NULL;
}

/* Of a key given twice the first one; those in except are written by who asks. */
static void add_pairs(struct two *two, const struct template_attribute *vector, const char *except)
{
        for (size_t i = 0; i < vector->n_pairs; i++) {
                const struct template_value *pair = &vector->pairs[i];

                if (value_of(vector, pair->name) == pair->value && !is_in(pair->name, except))
                        add_pair(two, pair->name, pair->value, pair->value);
        }
}

static void add_disk(struct two *two, const struct template_attribute *disk)
{
        _cleanup_free_ char *counted = xasprintf("%u", two->n_disks);
        const char *given = value_of(disk, "DISK_ID"), *id = given ? given : counted;
        const char *source = value_of(disk, "SOURCE"), *type = value_of(disk, "TYPE");
        const char *format = value_of(disk, "FORMAT") ? value_of(disk, "FORMAT") : value_of(disk, "DRIVER");
        _cleanup_free_ char *path = xasprintf(VM_DIR "/disk.%s", id);
        bool is_cd = type && strcasecmp(type, "cdrom") == 0;

        two->n_disks++;
        if (!format)
                format = text_ends_with(source, ".qcow2") || text_ends_with(source, ".QCOW2") ? "qcow2"
                                                                                              : "raw";
        add_pairs(
                two, disk,
                "SOURCE DISK_ID TYPE FORMAT DRIVER CLONE SAVE PERSISTENT PERSISTENT_TYPE SIZE FS ORDER IMAGE "
                "DISK_TYPE");
        add_pair(two, "DISK_ID", id, id);
        if (type && is_in(type, "RBD ISCSI GLUSTER")) {
                add_pair(two, "TYPE", type, type);
                add_pair(two, "SOURCE", source, source);
                return;
        }
        add_pair(two, "SOURCE", source, path);
        add_pair(two, "TYPE", is_cd ? "CDROM" : "FILE", is_cd ? "CDROM" : "FILE");
        add_pair(two, "FORMAT", format, is_cd ? NULL : format);
        add_pair(two, "DRIVER", format, is_cd ? NULL : format);
        /* Of the core and the transfer driver. */
        add_pair(two, "CLONE", "YES", NULL);
        add_pair(two, "SAVE", "NO", NULL);
        add_pair(two, "SIZE", "1024", NULL);
        add_pair(two, "TM_MAD", "qcow2", NULL);
}

static void add_nic(struct two *two, const struct template_attribute *nic,
                    const struct template_attribute *defaults)
{
        _cleanup_free_ char *counted = xasprintf("%u", two->n_nics), *target = NULL;
        const char *id = value_of(nic, "NIC_ID") ? value_of(nic, "NIC_ID") : counted;

        two->n_nics++;
        target = value_of(nic, "TARGET") ? xstrdup(value_of(nic, "TARGET")) : xasprintf("one-" ID "-%s", id);
        add_pairs(two, nic, "NIC_ID TARGET MTU GUEST_MTU ORDER");
        for (size_t i = 0; defaults && i < defaults->n_pairs; i++)
                if (!value_of(nic, defaults->pairs[i].name))
                        add_pair(two, defaults->pairs[i].name, defaults->pairs[i].value,
                                 defaults->pairs[i].value);
        add_pair(two, "NIC_ID", id, id);
        /* Without a network there is nothing more. */
        if (value_of(nic, "BRIDGE_TYPE") && strcmp(value_of(nic, "BRIDGE_TYPE"), "user") == 0)
                return;
        add_pair(two, "TARGET", target, target);
        /* Of the network, for its driver. */
        add_pair(two, "VLAN_ID", "5", NULL);
        add_pair(two, "SECURITY_GROUPS", "0", NULL);
        add_pair(two, "MTU", value_of(nic, "MTU") ? value_of(nic, "MTU") : "1400", NULL);
        add_pair(two, "VN_MAD", "802.1Q", NULL);
}

static void add_numa_node(struct two *two, const struct template_attribute *node)
{
        const char *memory = value_of(node, "MEMORY");
        uint64_t bytes = 0;

        assert_int_equal(text_parse_size(memory, 1 << 20, &bytes), TEXT_SIZE_OK);
        _cleanup_free_ char *kib = xasprintf("%llu", (unsigned long long)bytes / 1024);

        add_pairs(two, node, "MEMORY");
        add_pair(two, "MEMORY", kib, NULL);

        _cleanup_free_ char *with_unit = xasprintf("%s KiB", kib);

        add_pair(two, "MEMORY", NULL, with_unit);
}

static void add_vector(struct two *two, const struct template *template,
                       const struct template_attribute *vector)
{
        size_t start = 0;

        text_addf(&two->xml, "<%s>", vector->name);
        text_addf(&two->text, "%s = [", vector->name);
        if (strcmp(vector->name, "DISK") == 0) {
                add_disk(two, vector);
        } else if (strcmp(vector->name, "NIC") == 0) {
                add_nic(two, vector, template_next(template, "NIC_DEFAULT", true, &start));
        } else if (strcmp(vector->name, "NUMA_NODE") == 0) {
                add_numa_node(two, vector);
        } else {
                add_pairs(two, vector, "");
                if (strcmp(vector->name, "OS") == 0 && !value_of(vector, "UUID"))
                        add_pair(two, "UUID", "6b1c5a2e-04a1-4a0c-9f39-0a2f6c7d8e90",
                                 "6b1c5a2e-04a1-4a0c-9f39-0a2f6c7d8e90");
        }
        text_addf(&two->xml, "</%s>", vector->name);
        text_add(&two->text, "]\n");
}

/* Of a single given twice, and of a vector that there is one of, the first. */
static bool is_first(const struct template *template, const struct template_attribute *attribute)
{
        const struct attr_section *section = attr_section_find(attribute->name);
        size_t start = 0;

        return (attribute->is_vector && section && section->repeats) ||
               template_next(template, attribute->name, attribute->is_vector, &start) == attribute;
}

static void write_two(struct two *two, const struct template *template)
{
        struct text owners = TEXT_INIT;
        size_t start = 0;

        text_add(&two->xml,
                 "<VM><ID>" ID "</ID><UID>0</UID><NAME>a title</NAME><TEMPLATE><VMID>" ID "</VMID>");
        text_add(&two->text, "NAME = \"one-" ID "\"\nVMID = \"" ID "\"\n");
        if (!template_next(template, "OS", true, &start)) {
                struct template_attribute os = { .name = (char *)"OS", .is_vector = true };

                add_vector(two, template, &os);
        }
        for (size_t i = 0; i < template->n_attributes; i++) {
                const struct template_attribute *attribute = &template->attributes[i];

                const char *type = attribute->is_vector ? value_of(attribute, "TYPE") : NULL;

                /* OpenNebula has no disks of that type. */
                if (!is_first(template, attribute) || (type && strcmp(type, "NBD") == 0))
                        continue;
                if (!reaches_template(attribute->name)) {
                        if (!attribute->is_vector && !is_in(attribute->name, "NAME VMID"))
                                add_xml(&owners, attribute->name, attribute->value);
                } else if (!attribute->is_vector) {
                        add_xml(&two->xml, attribute->name, attribute->value);
                        template_write_value(&two->text, attribute->name, attribute->value);
                        text_add(&two->text, "\n");
                } else if (strcmp(attribute->name, "NIC_DEFAULT") != 0) {
                        add_vector(two, template, attribute);
                }
        }
        text_addf(&two->xml,
                  "</TEMPLATE><USER_TEMPLATE>%s</USER_TEMPLATE><HISTORY_RECORDS><HISTORY><DS_ID>100</DS_ID>"
                  "</HISTORY></HISTORY_RECORDS></VM>",
                  text_str(&owners));
        text_done(&owners);
}

/* The lines of configuration files in the golden. */
static char *lines_of(const char *text, const char *word)
{
        _cleanup_free_ char *start = xasprintf("# %s: ", word);
        struct text out = TEXT_INIT;

        for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
                if (text_starts_with(line, start))
                        text_addf(&out, "%.*s\n", (int)strcspn(line + strlen(start), "\n"),
                                  line + strlen(start));
        return text_take(&out);
}

/* As live.tmpl, or the first error without its place. */
static char *meaning(const char *text, const struct site *site)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL;
        struct error *err = NULL;
        char *result;

        if (template_parse("t", text, strlen(text), &template, &err) == 0 &&
            spec_build(template, site, "/vm", "t", &spec, &err) == 0)
                return spec_to_template(spec);
        result = xasprintf("error: %s", err->message);
        error_free(err);
        return result;
}

/* Where they part. */
static void fail_with_lines(const char *path, const char *wanted, const char *got)
{
        while (*wanted && strcspn(wanted, "\n") == strcspn(got, "\n") &&
               strncmp(wanted, got, strcspn(wanted, "\n")) == 0 && wanted[strcspn(wanted, "\n")]) {
                wanted += strcspn(wanted, "\n") + 1;
                got += strcspn(got, "\n") + 1;
        }
        fail_msg("%s\n  text with what the core means: %.*s\n  the VM's XML: %.*s", path,
                 (int)strcspn(wanted, "\n"), wanted, (int)strcspn(got, "\n"), got);
}

static void a_vm_of_opennebula_means_what_its_core_has_made_of_the_template(void **state)
{
        struct dirent **entries;
        int n = scandir(GOLDEN_DIR, &entries, is_real_template, alphasort), n_errors = 0;

        (void)state;
        assert_true(n >= 60);
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *path = xasprintf("%s/%s", GOLDEN_DIR, entries[i]->d_name), *text = NULL;
                _cleanup_(template_freep) struct template *template = NULL;
                _cleanup_(site_freep) struct site *site = NULL;
                struct two two = { .xml = TEXT_INIT, .text = TEXT_INIT };
                struct error *err = NULL;

                assert_int_equal(fd_read_file_at(AT_FDCWD, path, FILE_MAX, &text, NULL, &err), 0);
                _cleanup_free_ char *driver = lines_of(text, "DRIVER"), *cluster = lines_of(text, "CLUSTER"),
                                    *host = lines_of(text, "HOST_CONF"), *wanted = NULL, *got = NULL;

                assert_int_equal(site_from_text(NULL, driver, cluster, host, NULL, &site, &err), 0);
                assert_int_equal(template_parse(path, text, strlen(text), &template, &err), 0);
                write_two(&two, template);
                wanted = meaning(text_str(&two.text), site);
                got = meaning(text_str(&two.xml), site);
                if (strcmp(wanted, got) != 0)
                        fail_with_lines(path, wanted, got);
                n_errors += text_starts_with(got, "error");
                text_done(&two.xml);
                text_done(&two.text);
                free(entries[i]);
        }
        free(entries);
        /* ON_CRASH by libvirt's XML, and PANIC, which OpenNebula does not take along. */
        assert_int_equal(n_errors, 1);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_vm_of_opennebula_means_what_its_core_has_made_of_the_template),
        };

        return cmocka_run_group_tests_name("vm_twin", tests, NULL, NULL);
}
