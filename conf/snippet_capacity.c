/* Processors and memory in <domain>: libvirt-behaviour sections 3.2 and 4. */
#include <string.h>

#include "base/text.h"
#include "conf/snippet_parts.h"

/* Bytes of an element's number, KiB without a unit; false: it is no size, which its row says better. */
static bool bytes_of(struct xml_element *element, uint64_t *ret)
{
        _cleanup_free_ char *number = snippet_text(element), *size = snippet_size(element, "unit", number);

        return text_parse_size(size, 1024, ret) == TEXT_SIZE_OK;
}

/* <currentMemory> less than <memory> is a balloon that is filled at the start. */
static void read_memory(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct snippet_row core[] = { PART("@dumpCore", "DUMP_CORE"), PARTS_END };
        struct xml_element *current = NULL;
        _cleanup_free_ char *number = snippet_text(element), *size = snippet_size(element, "unit", number);
        _cleanup_free_ char *less = NULL;
        uint64_t whole, now;

        for (struct xml_element *other = element->parent->children; other; other = other->next)
                if (strcmp(other->name, "currentMemory") == 0)
                        current = other;
        if (!current || !bytes_of(element, &whole) || !bytes_of(current, &now) || now >= whole) {
                snippet_set(unit, "MEMORY", size, &element->text_pos);
        } else {
                free(number);
                number = snippet_text(current);
                less = snippet_size(current, "unit", number);
                snippet_set(unit, "MEMORY", less, &current->text_pos);
                snippet_set(unit, "MEMORY_MAX", size, &element->text_pos);
                snippet_set(unit, "MEMORY_RESIZE_MODE", "BALLOONING", &current->pos);
        }
        snippet_begin(unit, "MEMORY_BACKING", &element->pos);
        snippet_rows(unit, element, core);
}

static void read_current_memory(struct snippet_unit *unit, struct xml_element *element)
{
        snippet_attribute(element, "unit");
        element->text_taken = true;
        for (struct xml_element *other = element->parent->children; other; other = other->next)
                if (strcmp(other->name, "memory") == 0)
                        return;
        snippet_refuse(unit, &element->pos, "<currentMemory>: goes with <memory>");
}

static void read_max_memory(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct snippet_row rows[] = { PART_SIZE(".", "MEMORY_MAX"),
                                                   PART("@slots", "MEMORY_SLOTS"), PARTS_END };

        snippet_rows(unit, element, rows);
        snippet_set(unit, "MEMORY_RESIZE_MODE", "HOTPLUG", &element->pos);
}

static void read_vcpu(struct snippet_unit *unit, struct xml_element *element)
{
        _cleanup_free_ char *number = snippet_text(element);
        const struct xml_attribute *current = snippet_attribute(element, "current");
        const struct xml_attribute *placement = snippet_attribute(element, "placement");
        static const struct snippet_row places[] = { PART("@cpuset", "CPUSET"), PARTS_END };

        if (placement && strcmp(placement->value, "static") != 0)
                snippet_refuse(unit, &placement->value_pos,
                               "<vcpu>: placement other than static has no counterpart");
        snippet_set(unit, "VCPU", current ? current->value : number,
                    current ? &current->value_pos : &element->text_pos);
        if (current)
                snippet_set(unit, "VCPU_MAX", number, &element->text_pos);
        snippet_begin(unit, "CPUTUNE", &element->pos);
        snippet_rows(unit, element, places);
}

static void read_memory_backing(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct {
                const char *name, *key;
        } switches[] = { { "nosharepages", "NOSHAREPAGES" }, { "locked", "LOCKED" } };
        static const struct snippet_row access[] = { PART("access@mode", "MEMORY_ACCESS"), PARTS_END };
        struct xml_element *pages = snippet_child(element, "hugepages"), *page, *child;

        snippet_begin(unit, "MEMORY_BACKING", &element->pos);
        if (pages)
                snippet_set(unit, "HUGEPAGES", "yes", &pages->pos);
        for (size_t i = 0; i < ARRAY_SIZE(switches); i++) {
                child = snippet_child(element, switches[i].name);
                if (child)
                        snippet_set(unit, switches[i].key, "yes", &child->pos);
        }
        /* Where the memory comes from follows from what needs it; none of it is seen by the guest. */
        child = snippet_child(element, "source");
        if (child && snippet_is(snippet_value(child, "type"), "memfd anonymous"))
                snippet_note(unit, &child->pos, "<memoryBacking>/source@type");
        else if (child)
                snippet_refuse(unit, &child->pos,
                               "<memoryBacking>: <source> other than memfd and anonymous has no "
                               "counterpart");
        child = snippet_child(element, "allocation");
        if (child && strcmp(snippet_value(child, "mode"), "ondemand") != 0)
                snippet_refuse(unit, &child->pos,
                               "<memoryBacking>: <allocation> other than ondemand has no counterpart");

        snippet_begin(unit, "TOPOLOGY", &element->pos);
        snippet_rows(unit, element, access);
        page = pages ? snippet_child(pages, "page") : NULL;
        if (page) {
                const struct xml_attribute *size = snippet_attribute(page, "size");
                _cleanup_free_ char *text = snippet_size(page, "unit", size ? size->value : "");

                snippet_set(unit, "HUGEPAGE_SIZE", text, size ? &size->value_pos : &page->pos);
        }
}

/* "0-3" or "0": how many, when they go on from first; 0: they do not. */
static unsigned vcpus_from(const char *range, unsigned first)
{
        _cleanup_free_ char *from = xstrdup(range);
        char *dash = strchr(from, '-');
        uint32_t low, high;

        if (dash)
                *dash = '\0';
        if (!text_parse_u32(from, &low) || !text_parse_u32(dash ? dash + 1 : from, &high) || low != first ||
            high < low || high - low > 65535)
                return 0;
        return high - low + 1;
}

static void read_distances(struct snippet_unit *unit, struct xml_element *cell, const char *id)
{
        struct xml_element *distances = snippet_child(cell, "distances"), *sibling;
        _cleanup_text_ struct text list = TEXT_INIT;

        while (distances && (sibling = snippet_child(distances, "sibling"))) {
                const char *to = snippet_value(sibling, "id"), *value = snippet_value(sibling, "value");

                /* To itself it is always 10. */
                if (strcmp(to, id) != 0 || strcmp(value, "10") != 0)
                        text_addf(&list, "%s%s:%s", list.length ? "," : "", to, value);
        }
        if (list.length)
                snippet_set(unit, "DISTANCE", text_str(&list), &distances->pos);
}

/* Ours are counted on from 0, and their vCPUs too. */
static void read_numa(struct snippet_unit *unit, struct xml_element *numa)
{
        unsigned first = 0, n = 0;

        for (struct xml_element *cell; (cell = snippet_child(numa, "cell")); n++) {
                const struct xml_attribute *id = snippet_attribute(cell, "id"),
                                           *cpus = snippet_attribute(cell, "cpus"),
                                           *memory = snippet_attribute(cell, "memory"),
                                           *access = snippet_attribute(cell, "memAccess");
                _cleanup_free_ char *number = xasprintf("%u", n);
                _cleanup_free_ char *size = snippet_size(cell, "unit", memory ? memory->value : "0");
                unsigned vcpus = cpus ? vcpus_from(cpus->value, first) : 0;

                if (id && strcmp(id->value, number) != 0)
                        snippet_refuse(unit, &id->value_pos,
                                       "<cpu>: cells that are not numbered from 0 have no counterpart");
                if (cpus && !vcpus)
                        snippet_refuse(
                                unit, &cpus->value_pos,
                                "<cpu>: cells whose vCPUs do not go on from the cell before have no counterpart");
                snippet_begin(unit, "NUMA_NODE", &cell->pos);
                snippet_setf(unit, "TOTAL_CPUS", cpus ? &cpus->value_pos : &cell->pos, "%u", vcpus);
                snippet_set(unit, "MEMORY", size, memory ? &memory->value_pos : &cell->pos);
                read_distances(unit, cell, number);
                if (access && n == 0) {
                        snippet_begin(unit, "TOPOLOGY", &cell->pos);
                        snippet_set(unit, "MEMORY_ACCESS", access->value, &access->value_pos);
                } else if (access) {
                        snippet_note(unit, &access->name_pos, "<cpu>/numa/cell@memAccess of a further cell");
                }
                first += vcpus;
        }
}

/* Where libvirt's name of a flag is not QEMU's (libvirt-behaviour 3.2). */
static const char *qemu_flag(const char *name)
{
        static const char *const names[][2] = { { "pclmuldq", "pclmulqdq" },
                                                { "tsc_adjust", "tsc-adjust" },
                                                { "cmp_legacy", "cmp-legacy" } };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (strcmp(names[i][0], name) == 0)
                        return names[i][1];
        return name;
}

static void read_flags(struct snippet_unit *unit, struct xml_element *cpu)
{
        struct xml_element *child;

        while ((child = snippet_child(cpu, "feature"))) {
                const struct xml_attribute *name = snippet_attribute(child, "name"),
                                           *policy = snippet_attribute(child, "policy");
                const char *word = policy ? policy->value : "require";
                _cleanup_free_ char *flag = NULL;

                if (!name) {
                        snippet_refuse(unit, &child->pos, "<cpu>: a <feature> has to have a name");
                        continue;
                }
                if (!snippet_is(word, "force require disable forbid")) {
                        snippet_demand(unit, child, "policy", "force require disable forbid");
                        continue;
                }
                flag = xasprintf("%s%s", snippet_is(word, "force require") ? "" : "-",
                                 qemu_flag(name->value));
                snippet_add_flag(unit, flag, &name->value_pos);
        }
        child = snippet_child(cpu, "cache");
        if (child) {
                const char *mode = snippet_value(child, "mode");

                snippet_demand(unit, child, "mode", "emulate passthrough disable");
                snippet_demand(unit, child, "level", "3");
                snippet_add_flag(unit, strcmp(mode, "emulate") == 0 ? "l3-cache" : "-l3-cache", &child->pos);
                snippet_add_flag(unit,
                                 strcmp(mode, "passthrough") == 0 ? "host-cache-info" : "-host-cache-info",
                                 &child->pos);
        }
        child = snippet_child(cpu, "maxphysaddr");
        if (child) {
                snippet_demand(unit, child, "mode", "passthrough");
                snippet_add_flag(unit, "host-phys-bits", &child->pos);
        }
}

static void read_cpu(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct snippet_row topology[] = {
                PART("topology@sockets", "SOCKETS"),
                PART("topology@cores", "CORES"),
                PART("topology@threads", "THREADS"),
                PARTS_END,
        };
        /* How exactly libvirt compares with the host: QEMU itself says what it cannot give. */
        static const struct snippet_row idle[] = { PART_IDLE("@match"), PART_IDLE("@check"), PARTS_END };
        const struct xml_attribute *mode = snippet_attribute(element, "mode");
        struct xml_element *model = snippet_child(element, "model"), *numa, *shape;

        snippet_rows(unit, element, idle);
        if (model) {
                _cleanup_free_ char *name = snippet_text(model);

                if (snippet_attribute(model, "fallback"))
                        snippet_note(unit, &model->pos, "<cpu>/model@fallback");
                if (mode && strcmp(mode->value, "custom") != 0) {
                        if (*name)
                                snippet_refuse(unit, &model->pos, "<cpu>: <model> goes with mode custom");
                } else {
                        snippet_begin(unit, "CPU_MODEL", &element->pos);
                        snippet_set(unit, "MODEL", name, &model->text_pos);
                }
        }
        if (mode && strcmp(mode->value, "custom") != 0) {
                snippet_begin(unit, "CPU_MODEL", &element->pos);
                if (snippet_is(mode->value, "host-passthrough host-model"))
                        snippet_set(unit, "MODEL", mode->value, &mode->value_pos);
                else if (strcmp(mode->value, "maximum") == 0)
                        snippet_set(unit, "MODEL", "max", &mode->value_pos);
                else
                        snippet_refuse(unit, &mode->value_pos, "<cpu>: this mode has no counterpart");
        }
        read_flags(unit, element);
        shape = snippet_find(element, "topology");
        if (shape) {
                const struct xml_attribute *dies = snippet_attribute(shape, "dies");

                if (dies && strcmp(dies->value, "1") != 0)
                        snippet_refuse(unit, &dies->value_pos, "<cpu>: more than one die has no counterpart");
                snippet_begin(unit, "TOPOLOGY", &shape->pos);
                snippet_rows(unit, element, topology);
        }
        numa = snippet_child(element, "numa");
        if (numa)
                read_numa(unit, numa);
}

/* AMD's policy: no debugging and no sharing of keys, 4 the registers too. */
static void read_launch_security(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct snippet_row idle[] = { PART_IDLE("cbitpos"), PART_IDLE("reducedPhysBits"),
                                                   PARTS_END };
        const struct xml_attribute *type = snippet_attribute(element, "type");
        struct xml_element *policy = snippet_child(element, "policy");
        _cleanup_free_ char *number = policy ? snippet_text(policy) : xstrdup("0x0003");
        uint64_t bits;

        /* Both are the host's. */
        snippet_rows(unit, element, idle);
        if (!type || strcmp(type->value, "sev") != 0)
                snippet_refuse(unit, &element->pos,
                               "<launchSecurity>: of a type other than sev has no counterpart");
        else if (!text_parse_u64(number, &bits) || (bits != 3 && bits != 7))
                snippet_refuse(unit, &policy->text_pos,
                               "<launchSecurity>: a <policy> other than 0x0003 and 0x0007 has no "
                               "counterpart");
        else
                snippet_set(unit, "TYPE", bits == 7 ? "SEV-ES" : "SEV",
                            policy ? &policy->text_pos : &element->pos);
}

/* A memory device; which node it is in is the first one's affair. */
static void read_dimm(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct snippet_row rows[] = { PART_SIZE("target/size", "SIZE"), PARTS_END };
        struct xml_element *target = snippet_find(element, "target"), *node;

        snippet_demand(unit, element, "model", "dimm");
        snippet_rows(unit, element, rows);
        node = target ? snippet_child(target, "node") : NULL;
        if (node) {
                _cleanup_free_ char *number = snippet_text(node);

                if (strcmp(number, "0") != 0)
                        snippet_refuse(unit, &node->text_pos,
                                       "<devices/memory>: a <node> other than 0 has no counterpart");
        }
}

const struct snippet_element snippet_capacity[] = {
        ELEMENT("devices/memory", "DIMM", NULL, read_dimm),
        ELEMENT("memory", "", NULL, read_memory),
        ELEMENT("currentMemory", NULL, NULL, read_current_memory),
        ELEMENT("maxMemory", "", NULL, read_max_memory),
        ELEMENT("vcpu", "", NULL, read_vcpu),
        ELEMENT("memoryBacking", NULL, NULL, read_memory_backing),
        ELEMENT("cpu", NULL, NULL, read_cpu),
        ELEMENT("launchSecurity", "MEMORY_ENCRYPTION", NULL, read_launch_security),
        ELEMENTS_END,
};
