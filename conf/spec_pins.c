/* CPUs and memory nodes of the host: lists of numbers, and what they are about. Whether the host has them is a plan's affair. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/number_list.h"
#include "base/text.h"
#include "conf/spec_rules.h"

/* Of vCPUs: more than any machine has. */
#define NUMBER_MAX 4095

static const struct source_pos *place(const struct attr_section *section, const void *record, const char *key)
{
        return &spec_origin(section, record, key)->pos;
}

/* The list as the kernel writes it; NULL: it is none, which is said. */
static char *read_list(struct spec_builder *builder, const char *name, const char *text,
                       const struct source_pos *pos)
{
        _cleanup_free_ char *shown = text_printable(text);
        struct number_list list;

        if (number_list_parse(text, &list))
                return number_list_text(&list);
        spec_fail(builder, pos, "%s: '%s' is not a list of numbers (try \"0-3,8\")", name, shown);
        return NULL;
}

static void normalize(struct spec_builder *builder, const struct attr_section *section, const void *record,
                      const char *key, char **value)
{
        _cleanup_free_ char *name = xasprintf("%s/%s", section->name, key), *given = *value;

        *value = given ? read_list(builder, name, given, place(section, record, key)) : NULL;
}

/* Where pins are, and whose. */
struct pinned {
        const char *name; /* "CPUTUNE/VCPUPIN" */
        const struct source_pos *pos;
        struct cpu_pins *pins;
};

static const struct cpu_pin *pin_of(const struct cpu_pins *pins, unsigned n)
{
        for (size_t i = 0; i < pins->n; i++)
                if (n >= pins->items[i].first && n <= pins->items[i].last)
                        return &pins->items[i];
        return NULL;
}

/* "0-1:2,3"; false: it is none. */
static bool add_pin(struct spec_builder *builder, const struct pinned *pinned, const char *word)
{
        _cleanup_free_ char *shown = text_printable(word + strspn(word, " "));
        int used = 0, more = 0;
        struct cpu_pin pin;

        if (!isdigit((unsigned char)*shown) || sscanf(shown, "%5u %n", &pin.first, &used) != 1) {
                spec_fail(builder, pinned->pos, "%s: '%s' is not NUMBER:CPUS (try \"0:2-3; 1:4\")",
                          pinned->name, shown);
                return false;
        }
        pin.last = pin.first;
        if (shown[used] == '-' && sscanf(shown + used, "- %5u %n", &pin.last, &more) == 1)
                used += more;
        if (shown[used] != ':' || pin.last < pin.first || pin.last > NUMBER_MAX) {
                spec_fail(builder, pinned->pos, "%s: '%s' is not NUMBER:CPUS or FIRST-LAST:CPUS",
                          pinned->name, shown);
                return false;
        }
        for (unsigned n = pin.first; n <= pin.last; n++)
                if (pin_of(pinned->pins, n)) {
                        spec_fail(builder, pinned->pos, "%s: '%s': number %u has CPUs already", pinned->name,
                                  shown, n);
                        return false;
                }
        pin.cpus = read_list(builder, pinned->name, shown + used + 1, pinned->pos);
        if (!pin.cpus)
                return false;
        ARRAY_GROW(pinned->pins->items, pinned->pins->n);
        pinned->pins->items[pinned->pins->n++] = pin;
        return true;
}

static void read_pins(struct spec_builder *builder, const struct pinned *pinned, const char *text)
{
        _cleanup_free_ char *copy = xstrdup(text ? text : "");
        char *save = NULL;

        for (char *word = strtok_r(copy, ";", &save); word; word = strtok_r(NULL, ";", &save))
                if (word[strspn(word, " ")] && !add_pin(builder, pinned, word))
                        break;
}

static void set_cputune(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        struct cputune_spec *cputune = &spec->cputune;
        const struct pinned vcpus = { "CPUTUNE/VCPUPIN", place(&attr_cputune, cputune, "VCPUPIN"),
                                      &cputune->vcpus },
                            iothreads = { "CPUTUNE/IOTHREADPIN", place(&attr_cputune, cputune, "IOTHREADPIN"),
                                          &cputune->iothreads };

        normalize(builder, &attr_cputune, cputune, "CPUSET", &cputune->cpuset);
        normalize(builder, &attr_cputune, cputune, "EMULATORPIN", &cputune->emulatorpin);
        read_pins(builder, &vcpus, cputune->vcpupin);
        read_pins(builder, &iothreads, cputune->iothreadpin);
        /* As libvirt: it may be a template for machines of several sizes. */
        for (size_t i = 0; i < cputune->vcpus.n && spec->vcpu; i++)
                if (cputune->vcpus.items[i].last >= vm_spec_vcpu_max(spec)) {
                        spec_warn(builder, vcpus.pos, "%s: without effect for vCPU %u, the last one is %u",
                                  vcpus.name, cputune->vcpus.items[i].last, vm_spec_vcpu_max(spec) - 1);
                        break;
                }
        for (size_t i = 0; i < cputune->iothreads.n; i++) {
                const struct cpu_pin *pin = &cputune->iothreads.items[i];

                if (!pin->first || pin->last > spec->features.iothreads)
                        spec_fail(builder, iothreads.pos,
                                  "%s: there is no I/O thread %u: they are counted from 1, and "
                                  "FEATURES/IOTHREADS is %u",
                                  iothreads.name, pin->first ? pin->last : 0, spec->features.iothreads);
        }
}

static void check_numatune(struct spec_builder *builder, const struct numatune_spec *numatune)
{
        const struct vm_spec *spec = builder->spec;
        const struct source_pos *pos = &numatune->section.pos;
        struct number_list nodes;

        if (!spec_is_given(&attr_numatune, numatune, "NODESET"))
                spec_fail(builder, pos,
                          "NUMATUNE/NODESET: has to be given: memory nodes of the host, \"0-1\"");
        else if (numatune->nodeset && numatune->mode == NUMA_MODE_PREFERRED &&
                 number_list_parse(numatune->nodeset, &nodes) && number_list_count(&nodes) > 1)
                spec_fail(builder, place(&attr_numatune, numatune, "NODESET"),
                          "NUMATUNE/NODESET: '%s' are several nodes, and MODE preferred is of one",
                          numatune->nodeset);
        if (!spec_is_read(&attr_numatune, numatune, "CELLID"))
                return;
        if (numatune->has_cell && numatune->mode == NUMA_MODE_RESTRICTIVE)
                spec_fail(builder, place(&attr_numatune, numatune, "MODE"),
                          "NUMATUNE/MODE: restrictive is of QEMU as a whole, and goes without CELLID");
        if (numatune->has_cell && numatune->cell >= spec->n_numa_nodes)
                spec_fail(builder, place(&attr_numatune, numatune, "CELLID"),
                          "NUMATUNE/CELLID: the guest has no node %u: it has %zu (NUMA_NODE)", numatune->cell,
                          spec->n_numa_nodes);
        for (const struct numatune_spec *other = spec->numatunes; other < numatune; other++)
                if (other->has_cell == numatune->has_cell && other->cell == numatune->cell)
                        spec_fail(builder, pos, "NUMATUNE/CELLID: two vectors are about %s",
                                  numatune->has_cell ? "this node" : "all memory, which have none");
}

void spec_set_pins(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;

        set_cputune(builder);
        for (size_t i = 0; i < spec->n_numatunes; i++) {
                struct numatune_spec *numatune = &spec->numatunes[i];

                numatune->has_cell = spec_is_given(&attr_numatune, numatune, "CELLID");
                normalize(builder, &attr_numatune, numatune, "NODESET", &numatune->nodeset);
                check_numatune(builder, numatune);
        }
}

const struct numatune_spec *vm_spec_numatune(const struct vm_spec *spec, unsigned node)
{
        const struct numatune_spec *all = NULL;

        for (size_t i = 0; i < spec->n_numatunes; i++) {
                const struct numatune_spec *numatune = &spec->numatunes[i];

                if (numatune->has_cell && numatune->cell == node)
                        return numatune;
                if (!numatune->has_cell)
                        all = numatune;
        }
        return all;
}

const char *vm_spec_pin(const struct vm_spec *spec, const struct cpu_pins *pins, unsigned n)
{
        const struct cpu_pin *pin = pin_of(pins, n);

        return pin ? pin->cpus : spec->cputune.cpuset;
}
