#include "conf/reference.h"

#include <string.h>

#include "base/text.h"
#include "conf/attr.h"

/* What a reader has to know before the tables. */
static const struct paragraph {
        bool is_example;
        const char *text;
} language[] = {
        { false,
          "A template is text: NAME = \"value\" for an attribute, NAME = [ KEY = \"value\", KEY = \"value\" ] for a "
          "vector. Names are in upper or lower case. # starts a comment. A value without quotes ends at a blank, comma "
          "or bracket. Of an attribute given twice the first one counts, with a warning; vectors such as DISK and NIC "
          "may be repeated." },
        { true, "NAME   = \"web\"\n"
                "CPU    = \"2\"\n"
                "MEMORY = \"2 GiB\"\n"
                "DISK   = [ SOURCE = \"web.qcow2\", TARGET = \"vda\" ]\n"
                "NIC    = [ BRIDGE = \"br0\", MODEL = \"virtio\" ]" },
        { false,
          "Sizes are a plain number in the unit that is given below, or a number with b, KB, k, KiB, MB, M, MiB, "
          "GB, G, GiB, TB, T or TiB: KB, MB, GB and TB are powers of 1000, the others of 1024. Switches are yes, "
          "true, on, 1 or no, false, off, 0. Words are taken in any case." },
        { false,
          "The configuration files vmm_exec_kvm.conf, cluster.conf and host.conf in /etc/vmlaunch hold defaults in "
          "the same language; of those that have a value the last one counts, and the VM's template before them "
          "all. \"From\" says where an attribute is read." },
        { false, "What is wrong is an error with its line and column. Nothing is silently ignored." },
};

/* Sections in the order of the document: the implemented ones, then the others. */
static const struct attr_section *section_at(size_t i)
{
        size_t n = 0;

        while (attr_sections[n])
                n++;
        return i < n ? attr_sections[i] : attr_coming_sections[i - n];
}

static const char *title(const struct attr_section *section)
{
        return *section->name ? section->name : "The VM";
}

static bool has_rows(const struct attr_section *section, enum attr_state state)
{
        for (size_t i = 0; i < section->n_rows; i++)
                if (section->rows[i].state == state)
                        return true;
        return false;
}

/* "size in MiB, 1 MiB to 256 TiB; default 16" */
static char *kind(const struct attr *row)
{
        _cleanup_free_ char *values = attr_values(row);
        struct text out = TEXT_INIT;

        if (row->words)
                text_addf(&out, "%s", values);
        else if (attr_unit(row))
                text_addf(&out, "%s in %s, %s", attr_kind_name(row->kind), attr_unit(row), values);
        else if (row->kind == ATTR_BOOL || row->kind == ATTR_PATH || row->kind == ATTR_TEXT)
                text_add(&out, attr_kind_name(row->kind));
        else
                text_addf(&out, "%s, %s", attr_kind_name(row->kind), values);
        if (row->dflt)
                text_addf(&out, "; default %s", row->dflt);
        return text_take(&out);
}

/* "PAE, APIC: why" grouped by reason is for describe; here the names will do. */
static void add_names(struct text *out, const struct attr_section *section, enum attr_state state)
{
        bool first = true;

        for (size_t i = 0; i < section->n_rows; i++) {
                if (section->rows[i].state != state)
                        continue;
                text_addf(out, "%s%s", first ? "" : ", ", section->rows[i].name);
                first = false;
        }
        text_add(out, ".");
}

static void add_section_names(struct text *out, enum attr_state state)
{
        bool first = true;

        for (size_t i = 0; attr_coming_sections[i]; i++) {
                if (attr_coming_sections[i]->state != state)
                        continue;
                text_addf(out, "%s%s", first ? "" : ", ", attr_coming_sections[i]->name);
                first = false;
        }
        text_add(out, ".");
}

static bool has_sections(enum attr_state state)
{
        for (size_t i = 0; attr_coming_sections[i]; i++)
                if (attr_coming_sections[i]->state == state)
                        return true;
        return false;
}

/* Markdown. */

/* A cell of a table. */
static void add_cell(struct text *out, const char *s)
{
        text_add(out, "| ");
        for (; *s; s++) {
                if (*s == '|' || *s == '<' || *s == '*')
                        text_add(out, "\\");
                text_add_bytes(out, s, 1);
        }
        text_add(out, " ");
}

static void markdown_section(struct text *out, const struct attr_section *section)
{
        text_addf(out, "## %s\n\n%s", title(section), section->doc ? section->doc : "");
        text_addf(out, "%s\n\n", section->repeats ? " May be repeated." : "");
        text_add(out, "| | value | meaning | from |\n|---|---|---|---|\n");
        for (size_t i = 0; i < section->n_rows; i++) {
                const struct attr *row = &section->rows[i];
                _cleanup_free_ char *value = kind(row);

                if (row->state != ATTR_HERE)
                        continue;
                add_cell(out, row->name);
                add_cell(out, value);
                add_cell(out, row->doc);
                add_cell(out, attr_lookup_name(row->lookup));
                text_add(out, "|\n");
        }
        text_add(out, "\n");
        if (has_rows(section, ATTR_COMING)) {
                text_add(out, "Not supported by this version: ");
                add_names(out, section, ATTR_COMING);
                text_add(out, "\n\n");
        }
        if (has_rows(section, ATTR_LEFT_ALONE)) {
                text_add(out, "Known and without effect: ");
                add_names(out, section, ATTR_LEFT_ALONE);
                text_add(out, "\n\n");
        }
}

char *reference_markdown(void)
{
        struct text out = TEXT_INIT;

        text_add(
                &out,
                "# Template reference\n\n"
                "Generated from the attribute tables by `make docs`; `vmlaunch describe` prints the same.\n\n");
        for (size_t i = 0; i < ARRAY_SIZE(language); i++)
                text_addf(&out, language[i].is_example ? "```\n%s\n```\n\n" : "%s\n\n", language[i].text);
        for (size_t i = 0; attr_sections[i]; i++)
                markdown_section(&out, attr_sections[i]);
        text_add(&out, "## Other vectors\n\n");
        if (has_sections(ATTR_COMING)) {
                text_add(&out, "Not supported by this version: ");
                add_section_names(&out, ATTR_COMING);
                text_add(&out, "\n\n");
        }
        text_add(&out, "Known and without effect: ");
        add_section_names(&out, ATTR_LEFT_ALONE);
        text_add(&out, "\n");
        return text_take(&out);
}

/* roff. */

static void roff_line(struct text *out, const char *s)
{
        text_add_roff(out, s);
        text_add(out, "\n");
}

static void man_section(struct text *out, const struct attr_section *section)
{
        text_addf(out, ".SH \"%s\"\n", title(section));
        roff_line(out, section->doc ? section->doc : "");
        if (section->repeats)
                roff_line(out, "May be repeated.");
        for (size_t i = 0; i < section->n_rows; i++) {
                const struct attr *row = &section->rows[i];
                _cleanup_free_ char *value = kind(row);

                if (row->state != ATTR_HERE)
                        continue;
                text_addf(out, ".TP\n.BR %s \" (", row->name);
                for (const char *c = value; *c; c++)
                        text_add(out, *c == '"'    ? "\\(dq"
                                      : *c == '\\' ? "\\e"
                                      : *c == '-'  ? "\\-"
                                                   : (char[]){ *c, 0 });
                text_add(out, ")\"\n");
                roff_line(out, row->doc);
                text_add(out, "From: ");
                roff_line(out, attr_lookup_name(row->lookup));
        }
        for (enum attr_state state = ATTR_COMING; state <= ATTR_LEFT_ALONE; state++) {
                if (!has_rows(section, state))
                        continue;
                text_add(out, ".PP\n");
                text_add(out, state == ATTR_COMING ? "Not supported by this version: "
                                                   : "Known and without effect: ");
                add_names(out, section, state);
                text_add(out, "\n");
        }
}

char *reference_man(const char *version)
{
        struct text out = TEXT_INIT;

        text_addf(&out,
                  ".TH VMLAUNCH.TEMPLATE 5 \"\" \"vmlaunch %s\"\n"
                  ".SH NAME\nvmlaunch.template \\- what a VM template may say\n.SH DESCRIPTION\n",
                  version);
        for (size_t i = 0; i < ARRAY_SIZE(language); i++) {
                text_add(&out, i == 0 ? "" : language[i].is_example ? ".PP\n.EX\n" : ".PP\n");
                roff_line(&out, language[i].text);
                text_add(&out, language[i].is_example ? ".EE\n" : "");
        }
        for (size_t i = 0; attr_sections[i]; i++)
                man_section(&out, attr_sections[i]);
        text_add(&out, ".SH \"OTHER VECTORS\"\n");
        if (has_sections(ATTR_COMING)) {
                text_add(&out, "Not supported by this version: ");
                add_section_names(&out, ATTR_COMING);
                text_add(&out, "\n.PP\n");
        }
        text_add(&out, "Known and without effect: ");
        add_section_names(&out, ATTR_LEFT_ALONE);
        text_add(
                &out,
                "\n.SH FILES\n"
                ".TP\n/etc/vmlaunch/vms/NAME.tmpl\nVMs that can be started by name.\n"
                ".TP\n/etc/vmlaunch/host.conf, cluster.conf, vmm_exec_kvm.conf\nDefaults, the first of them the "
                "strongest.\n"
                ".SH \"SEE ALSO\"\n.BR vmlaunch (1),\n.BR qemu (1)\n");
        return text_take(&out);
}

char *reference_names(void)
{
        struct text out = TEXT_INIT;

        for (size_t i = 0; section_at(i); i++) {
                const struct attr_section *section = section_at(i);

                if (*section->name)
                        text_addf(&out, "%s\n", section->name);
                for (size_t j = 0; j < section->n_rows; j++) {
                        _cleanup_free_ char *name = attr_full_name(section, &section->rows[j]);

                        if (section->rows[j].state != ATTR_MISSPELT)
                                text_addf(&out, "%s\n", name);
                }
        }
        return text_take(&out);
}
