/* CPUs and memory nodes of the host in <domain>: libvirt-behaviour sections 4 and 11.2. */
#include <string.h>

#include "base/text.h"
#include "conf/snippet_parts.h"

/* "0:2-3; 1:4" of all <vcpupin> or <iothreadpin>. */
static void read_pins(struct snippet_unit *unit, struct xml_element *cputune, const char *name,
                      const char *number, const char *key)
{
        _cleanup_text_ struct text pins = TEXT_INIT;
        const struct source_pos *pos = NULL;
        struct xml_element *pin;

        while ((pin = snippet_child(cputune, name))) {
                const struct xml_attribute *which = snippet_attribute(pin, number),
                                           *cpus = snippet_attribute(pin, "cpuset");

                if (!which || !cpus) {
                        snippet_refuse(unit, &pin->pos, "<cputune>: <%s> has to have %s and cpuset", name,
                                       number);
                        continue;
                }
                text_addf(&pins, "%s%s:%s", pins.length ? "; " : "", which->value, cpus->value);
                pos = pos ? pos : &pin->pos;
        }
        if (pos)
                snippet_set(unit, key, text_str(&pins), pos);
}

void snippet_read_cputune(struct snippet_unit *unit, struct xml_element *cputune)
{
        static const struct snippet_row rows[] = { PART("emulatorpin@cpuset", "EMULATORPIN"), PARTS_END };

        snippet_rows(unit, cputune, rows);
        read_pins(unit, cputune, "vcpupin", "vcpu", "VCPUPIN");
        read_pins(unit, cputune, "iothreadpin", "iothread", "IOTHREADPIN");
}

static void read_policy(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct snippet_row rows[] = { PART("@cellid", "CELLID"), PART("@mode", "MODE"),
                                                   PART("@nodeset", "NODESET"), PARTS_END };

        snippet_begin(unit, "NUMATUNE", &element->pos);
        snippet_rows(unit, element, rows);
}

void snippet_read_numatune(struct snippet_unit *unit, struct xml_element *numatune)
{
        struct xml_element *policy = snippet_child(numatune, "memory");

        if (policy) {
                const struct xml_attribute *placement = snippet_attribute(policy, "placement");

                if (placement && strcmp(placement->value, "static") != 0)
                        snippet_refuse(unit, &placement->value_pos,
                                       "<numatune>: placement other than static, which is numad's, has no "
                                       "counterpart: nodeset says it");
                read_policy(unit, policy);
        }
        while ((policy = snippet_child(numatune, "memnode")))
                read_policy(unit, policy);
}
