/* NUMA nodes of the guest: their distances, and that they add up to the machine. */
#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "conf/spec_rules.h"

/* ACPI's SLIT: 10 is the node itself, 255 out of reach. */
enum { DISTANCE_LOCAL = 10, DISTANCE_MAX = 254 };

static bool read_number(char **text, unsigned *ret)
{
        unsigned long value = 0;
        char *s = *text;

        if (!isdigit((unsigned char)*s))
                return false;
        for (; isdigit((unsigned char)*s); s++) {
                value = value * 10 + (unsigned long)(*s - '0');
                if (value > 100000)
                        return false;
        }
        *ret = (unsigned)value;
        *text = s;
        return true;
}

/* N:D or N-M:D, blanks around it. */
static bool read_distance(char *word, struct numa_distance *ret)
{
        word += strspn(word, " ");
        if (!read_number(&word, &ret->first))
                return false;
        ret->last = ret->first;
        if (*word == '-') {
                word++;
                if (!read_number(&word, &ret->last) || ret->last < ret->first)
                        return false;
        }
        if (*word != ':')
                return false;
        word++;
        return read_number(&word, &ret->value) && !word[strspn(word, " ")];
}

static void add_distance(struct spec_builder *builder, struct numa_node_spec *node, char *word,
                         const struct source_pos *pos)
{
        const struct vm_spec *spec = builder->spec;
        _cleanup_free_ char *shown = text_printable(word);
        struct numa_distance distance;

        if (!read_distance(word, &distance)) {
                spec_fail(builder, pos,
                          "NUMA_NODE/DISTANCE: '%s' is not NODE:DISTANCE or FIRST-LAST:DISTANCE", shown);
                return;
        }
        if (distance.value < DISTANCE_LOCAL || distance.value > DISTANCE_MAX) {
                spec_fail(builder, pos, "NUMA_NODE/DISTANCE: '%s': a distance is %d to %d", shown,
                          DISTANCE_LOCAL, DISTANCE_MAX);
                return;
        }
        if (distance.value == DISTANCE_LOCAL && (distance.first != node->id || distance.last != node->id)) {
                spec_fail(builder, pos, "NUMA_NODE/DISTANCE: '%s': %d is the distance of a node to itself",
                          shown, DISTANCE_LOCAL);
                return;
        }
        /* A range may go over the node itself; it stays at its distance. */
        if (distance.value != DISTANCE_LOCAL && distance.first == node->id && distance.last == node->id) {
                spec_fail(builder, pos, "NUMA_NODE/DISTANCE: '%s': node %u is this one, and at distance %d",
                          shown, node->id, DISTANCE_LOCAL);
                return;
        }
        if (distance.first >= spec->n_numa_nodes) {
                spec_warn(builder, pos, "NUMA_NODE/DISTANCE: '%s' is without effect, the last node is %zu",
                          shown, spec->n_numa_nodes - 1);
                return;
        }
        if (distance.last >= spec->n_numa_nodes)
                distance.last = (unsigned)spec->n_numa_nodes - 1;
        ARRAY_GROW(node->distances, node->n_distances);
        node->distances[node->n_distances++] = distance;
}

static void set_distances(struct spec_builder *builder, struct numa_node_spec *node)
{
        _cleanup_free_ char *copy = xstrdup(node->distance ? node->distance : "");
        const struct source_pos *pos = &spec_origin(&attr_numa_node, node, "DISTANCE")->pos;
        char *save = NULL;

        for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save))
                add_distance(builder, node, word, pos);
}

static void check_sums(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        const struct source_pos *pos = &spec->numa_nodes[0].section.pos;
        uint64_t cpus = 0, memory = 0;

        for (size_t i = 0; i < spec->n_numa_nodes; i++) {
                cpus += spec->numa_nodes[i].total_cpus;
                memory += spec->numa_nodes[i].memory;
        }
        if (spec->vcpu && cpus != vm_spec_vcpu_max(spec))
                spec_fail(builder, pos,
                          "NUMA_NODE/TOTAL_CPUS: the nodes have %llu vCPUs together, and %s is %u",
                          (unsigned long long)cpus, vm_spec_vcpu_max(spec) > spec->vcpu ? "VCPU_MAX" : "VCPU",
                          vm_spec_vcpu_max(spec));
        if (spec->memory && memory != vm_spec_ram(spec)) {
                _cleanup_free_ char *sum = text_from_size(memory), *ram = text_from_size(vm_spec_ram(spec));

                spec_fail(builder, pos, "NUMA_NODE/MEMORY: the nodes have %s together, and %s is %s", sum,
                          vm_spec_ram(spec) > spec->memory ? "MEMORY_MAX, which BALLOONING starts from,"
                                                           : "MEMORY",
                          ram);
        }
}

void spec_set_numa(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        bool readable = spec_is_read(&attr_vm, spec, "MEMORY_MAX");

        for (size_t i = 0; i < spec->n_numa_nodes; i++) {
                struct numa_node_spec *node = &spec->numa_nodes[i];

                node->id = (unsigned)i;
                node->memory = (node->memory + MEMORY_GRAIN - 1) / MEMORY_GRAIN * MEMORY_GRAIN;
                set_distances(builder, node);
                if (!spec_is_read(&attr_numa_node, node, "TOTAL_CPUS") ||
                    !spec_is_read(&attr_numa_node, node, "MEMORY"))
                        readable = false;
                else if (!node->total_cpus != !node->memory)
                        spec_fail(builder, &node->section.pos,
                                  "NUMA_NODE: TOTAL_CPUS and MEMORY go together, both or neither");
        }
        if (spec->n_numa_nodes && readable)
                check_sums(builder);
}
