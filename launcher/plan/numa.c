/* NUMA nodes of the guest. */
#include <string.h>

#include "launcher/plan/builder.h"

/* ACPI's SLIT. */
enum { DISTANCE_LOCAL = 10, DISTANCE_REMOTE = 20 };

/* What the node itself says of another one; 0: nothing. The last word counts. */
static unsigned said(const struct numa_node_spec *node, size_t other)
{
        for (size_t i = node->n_distances; i-- > 0;)
                if (other >= node->distances[i].first && other <= node->distances[i].last)
                        return node->distances[i].value;
        return 0;
}

static unsigned distance(const struct vm_spec *spec, size_t from, size_t to)
{
        unsigned there = said(&spec->numa_nodes[from], to), back = said(&spec->numa_nodes[to], from);

        if (from == to)
                return DISTANCE_LOCAL;
        return there ? there : back ? back : DISTANCE_REMOTE;
}

/* QEMU takes one half of the table for both, but none that has holes. */
static void add_distances(struct build *build)
{
        const struct vm_spec *spec = build->spec;
        size_t n = spec->n_numa_nodes;
        _cleanup_text_ struct text because = TEXT_INIT;
        bool is_even = true;

        for (size_t i = 0; i < n; i++) {
                if (spec->numa_nodes[i].n_distances)
                        build_refer(build, &because, "NUMA_NODE[%zu]/DISTANCE", i);
                for (size_t j = 0; j < i; j++)
                        is_even = is_even && distance(spec, i, j) == distance(spec, j, i);
        }
        for (size_t i = 0; because.length && i < n; i++)
                for (size_t j = is_even ? i + 1 : 0; j < n; j++)
                        if (i != j)
                                build_option(build, text_str(&because), "-numa",
                                             "dist,src=%zu,dst=%zu,val=%u", i, j, distance(spec, i, j));
}

void numa_args(struct build *build)
{
        const struct vm_spec *spec = build->spec;
        unsigned cpu = 0;

        for (size_t i = 0; i < spec->n_numa_nodes; i++) {
                const struct numa_node_spec *node = &spec->numa_nodes[i];
                _cleanup_text_ struct text value = TEXT_INIT, because = TEXT_INIT;

                keyval_add(&value, NULL, "node");
                keyval_add(&value, "nodeid", "%zu", i);
                if (node->total_cpus > 1)
                        keyval_add(&value, "cpus", "%u-%u", cpu, cpu + node->total_cpus - 1);
                else if (node->total_cpus)
                        keyval_add(&value, "cpus", "%u", cpu);
                if (node->memory)
                        keyval_add(&value, "memdev", "ram%zu", i);
                cpu += node->total_cpus;
                build_refer(build, &because, "NUMA_NODE[%zu]/TOTAL_CPUS", i);
                build_refer(build, &because, "NUMA_NODE[%zu]/MEMORY", i);
                build_option(build, text_str(&because), "-numa", "%s", text_str(&value));
        }
        add_distances(build);
}
