/* The elements of <domain> but its devices: libvirt-behaviour sections 3, 4 and 11. */
#include <string.h>

#include "base/text.h"
#include "conf/raw_words.h"
#include "conf/snippet_parts.h"

static const struct snippet_row on_crash_rows[] = {
        PART_WORDS(".", "ON_CRASH", "rename-restart=restart coredump-destroy= coredump-restart="),
        PARTS_END,
};

static const struct snippet_row memtune_rows[] = {
        PART_SIZE("hard_limit", "HARD_LIMIT"),
        PART_SIZE("soft_limit", "SOFT_LIMIT"),
        PART_SIZE("swap_hard_limit", "SWAP_HARD_LIMIT"),
        PARTS_END,
};

static const struct snippet_row blkiotune_rows[] = {
        PART("weight", "WEIGHT"),
        PARTS_END,
};

static const struct snippet_row cputune_rows[] = {
        PART("global_quota", "QUOTA"),
        PART("global_period", "PERIOD"),
        PARTS_END,
};

static const struct snippet_row iothreads_rows[] = {
        PART(".", "IOTHREADS"),
        PARTS_END,
};

static const struct snippet_row on_reboot_rows[] = {
        PART(".", "ON_REBOOT"),
        PARTS_END,
};

/* What ours does anyway is taken, what it cannot do refused. */
static void read_on_poweroff(struct snippet_unit *unit, struct xml_element *element)
{
        _cleanup_free_ char *action = snippet_text(element), *shown = text_printable(action);

        if (strcmp(action, "destroy") != 0)
                snippet_refuse(unit, &element->text_pos,
                               "<on_poweroff>: '%s' has no counterpart, ours is destroy", shown);
}

/* Words and variables as they are, which RAW of TYPE qemu checks. */
static void read_command_line(struct snippet_unit *unit, struct xml_element *element)
{
        _cleanup_text_ struct text data = TEXT_INIT, env = TEXT_INIT;
        struct xml_element *argument;

        while ((argument = snippet_child(element, "qemu:arg"))) {
                const struct xml_attribute *value = snippet_attribute(argument, "value");
                _cleanup_free_ char *word = value ? text_shell_quoted(value->value) : NULL;

                if (value)
                        text_addf(&data, "%s%s", data.length ? " " : "", word);
                else
                        snippet_refuse(unit, &argument->pos, "<%s>: <qemu:arg> has no value", unit->path);
        }
        while ((argument = snippet_child(element, "qemu:env"))) {
                const char *name = snippet_value(argument, "name");
                _cleanup_free_ char *variable = xasprintf("%s=%s", name, snippet_value(argument, "value"));
                _cleanup_free_ char *word = text_shell_quoted(variable), *shown = text_printable(name);

                if (!raw_variable_is_allowed(name))
                        snippet_refuse(unit, &argument->pos, "<%s>: '%s' " RAW_VARIABLE_REFUSED, unit->path,
                                       shown);
                text_addf(&env, "%s%s", env.length ? " " : "", word);
        }
        snippet_begin(unit, "RAW", &element->pos);
        snippet_set(unit, "TYPE", "qemu", &element->pos);
        snippet_set(unit, "DATA", text_str(&data), &element->pos);
        if (env.length)
                snippet_set(unit, "ENV", text_str(&env), &element->pos);
}

const struct snippet_element snippet_domain[] = {
        ELEMENT("on_crash", "", on_crash_rows, NULL),
        ELEMENT("on_poweroff", NULL, NULL, read_on_poweroff),
        ELEMENT("on_reboot", "", on_reboot_rows, NULL),
        ELEMENT("memtune", "MEMTUNE", memtune_rows, NULL),
        ELEMENT("blkiotune", "BLKIOTUNE", blkiotune_rows, NULL),
        ELEMENT("cputune", "CPUTUNE", cputune_rows, snippet_read_cputune),
        ELEMENT("numatune", NULL, NULL, snippet_read_numatune),
        ELEMENT("iothreads", "FEATURES", iothreads_rows, NULL),
        ELEMENT("qemu:commandline", NULL, NULL, read_command_line),
        ELEMENT("title", NULL, NULL, NULL),
        ELEMENT("description", NULL, NULL, NULL),
        ELEMENT("metadata", NULL, NULL, NULL),
        ELEMENTS_END,
};
