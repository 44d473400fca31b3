#include "conf/shipped.h"

#include <string.h>

#include "base/text.h"
#include "conf/attr.h"
#include "conf/kvmrc.h"
#include "conf/template.h"

enum { COMMENT_WIDTH = 100 };

/* Words of text, broken into comment lines behind an indent. */
static void add_comment(struct text *out, const char *indent, const char *s)
{
        size_t column = 0;

        while (*s) {
                size_t n = strcspn(s, " ");

                if (column && column + n + 1 > COMMENT_WIDTH) {
                        text_add(out, "\n");
                        column = 0;
                }
                if (column == 0) {
                        text_addf(out, "# %s", indent);
                        column = strlen(indent) + 2;
                } else {
                        text_add(out, " ");
                        column++;
                }
                text_add_bytes(out, s, n);
                column += n;
                s += n + (s[n] == ' ');
        }
        text_add(out, "\n");
}

/* Is this file the one to look for it in? What all three may say stands in the driver's. */
static bool belongs(const struct attr *row, enum layer layer)
{
        switch (row->lookup) {
        case LOOKUP_A:
        case LOOKUP_B:
        case LOOKUP_C:
                return layer == LAYER_DRIVER;
        case LOOKUP_E:
                return layer == LAYER_CLUSTER;
        case LOOKUP_HOST:
                return layer == LAYER_HOST;
        case LOOKUP_D:
                break;
        }
        return false;
}

static bool is_shown(const struct attr *row, enum layer layer)
{
        return row->state == ATTR_HERE && belongs(row, layer);
}

static void add_doc(struct text *out, const char *indent, const char *name, const struct attr *row)
{
        _cleanup_free_ char *values = attr_values(row), *doc = NULL;

        doc = strcmp(values, "any text") == 0 || strcmp(values, "a file name") == 0
                      ? xasprintf("%s%s%s", name, *name ? ": " : "", row->doc)
                      : xasprintf("%s%s%s (%s)", name, *name ? ": " : "", row->doc, values);
        add_comment(out, indent, doc);
}

static void add_single(struct text *out, const struct attr *row)
{
        add_doc(out, "", "", row);
        text_add(out, "#");
        template_write_value(out, row->name, row->dflt ? row->dflt : "");
        text_add(out, "\n\n");
}

static void add_vector(struct text *out, const struct attr_section *section, enum layer layer)
{
        bool first = true;

        for (size_t i = 0; i < section->n_rows; i++)
                first = first && !is_shown(&section->rows[i], layer);
        if (first)
                return;
        text_addf(out, "# %s: %s\n", section->name, section->doc);
        for (size_t i = 0; i < section->n_rows; i++)
                if (is_shown(&section->rows[i], layer))
                        add_doc(out, "  ", section->rows[i].name, &section->rows[i]);
        text_addf(out, "#%s = [", section->name);
        first = true;
        for (size_t i = 0; i < section->n_rows; i++) {
                const struct attr *row = &section->rows[i];

                if (!is_shown(row, layer) || !row->dflt)
                        continue;
                text_add(out, first ? "\n#  " : ",\n#  ");
                template_write_value(out, row->name, row->dflt);
                first = false;
        }
        text_add(out, first ? " ]\n\n" : "\n#]\n\n");
}

char *shipped_conf(enum layer layer)
{
        struct text out = TEXT_INIT;

        switch (layer) {
        case LAYER_CLUSTER:
                add_comment(&out, "",
                            "cluster.conf: settings that all hosts of a cluster share. It may say all that "
                            "vmm_exec_kvm.conf may, and is stronger; host.conf and VM templates are stronger "
                            "still.");
                break;
        case LAYER_HOST:
                add_comment(
                        &out, "",
                        "host.conf: settings of this host. It may say all that vmm_exec_kvm.conf may, and is "
                        "stronger than that and cluster.conf; VM templates are stronger still.");
                break;
        default:
                add_comment(
                        &out, "",
                        "vmm_exec_kvm.conf: what counts for every VM whose template does not say it. "
                        "cluster.conf and host.conf are stronger. The language is that of VM templates; of a "
                        "name given twice the last one counts.");
        }
        add_comment(
                &out, "",
                "The lines that begin with '#' and a name show what counts without them; a name with \"\" has no "
                "default. `vmlaunch explain TEMPLATE` says where each value came from.");
        text_add(&out, "\n");
        for (size_t i = 0; i < attr_vm.n_rows; i++)
                if (is_shown(&attr_vm.rows[i], layer))
                        add_single(&out, &attr_vm.rows[i]);
        for (size_t i = 1; attr_sections[i]; i++)
                add_vector(&out, attr_sections[i], layer);
        /* One line end at the end is enough. */
        out.data[--out.length] = '\0';
        return text_take(&out);
}

char *shipped_kvmrc(void)
{
        struct text out = TEXT_INIT;
        bool any = false;

        add_comment(
                &out, "",
                "kvmrc: variables of OpenNebula's KVM driver. It is read line by line, [export] NAME=value, and "
                "never executed. The lines that begin with '#' and a name show what counts without them.");
        text_add(&out, "\n");
        for (const struct kvmrc_row *row = kvmrc_rows; row->name; row++) {
                if (!row->here)
                        continue;
                add_comment(&out, "", row->doc);
                text_addf(&out, "%s%s=%s\n\n", row->shipped ? "" : "#", row->name,
                          row->shipped ? row->shipped
                          : row->ours  ? row->ours
                                       : "");
        }
        add_comment(&out, "", "Known, and without effect here:");
        for (const struct kvmrc_row *row = kvmrc_rows; row->name; row++) {
                _cleanup_free_ char *line = xasprintf("%s: %s", row->name, row->doc);

                if (row->here)
                        continue;
                add_comment(&out, "  ", line);
                any = true;
        }
        if (!any)
                add_comment(&out, "  ", "none");
        return text_take(&out);
}
