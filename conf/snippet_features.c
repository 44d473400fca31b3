/* <features>: libvirt-behaviour sections 3.1 and 3.2. */
#include <string.h>

#include "conf/snippet_parts.h"

static const struct {
        const char *name, *key;
} enlightenments[] = {
        { "relaxed", "RELAXED" },
        { "vapic", "VAPIC" },
        { "vpindex", "VPINDEX" },
        { "runtime", "RUNTIME" },
        { "synic", "SYNIC" },
        { "stimer", "STIMER" },
        { "reset", "RESET" },
        { "frequencies", "FREQUENCIES" },
        { "reenlightenment", "REENLIGHTENMENT" },
        { "tlbflush", "TLBFLUSH" },
        { "ipi", "IPI" },
        { "evmcs", "EVMCS" },
        { "avic", "AVIC" },
};

/* on or off; absent is on. */
static bool is_on(struct snippet_unit *unit, struct xml_element *element)
{
        const struct xml_attribute *state = snippet_attribute(element, "state");

        snippet_demand(unit, element, "state", "on off");
        return !state || strcmp(state->value, "on") == 0;
}

/* Ours are on when nothing is said, libvirt's are off. */
static void read_hyperv(struct snippet_unit *unit, struct xml_element *element)
{
        const struct xml_attribute *retries, *mode = snippet_attribute(element, "mode");
        struct xml_element *child;
        bool on;

        snippet_demand(unit, element, "mode", "custom passthrough");
        snippet_begin(unit, "HYPERV", &element->pos);
        for (size_t i = 0; i < ARRAY_SIZE(enlightenments); i++) {
                child = snippet_child(element, enlightenments[i].name);
                on = child && is_on(unit, child);
                snippet_set(unit, enlightenments[i].key, on ? "yes" : "no",
                            child ? &child->pos : &element->pos);
                if (child && strcmp(child->name, "stimer") == 0) {
                        struct xml_element *direct = snippet_child(child, "direct");

                        snippet_set(unit, "STIMER_DIRECT", direct && is_on(unit, direct) ? "yes" : "no",
                                    direct ? &direct->pos : &child->pos);
                }
        }
        child = snippet_child(element, "spinlocks");
        retries = child ? snippet_attribute(child, "retries") : NULL;
        if (child && is_on(unit, child))
                snippet_set(unit, "SPINLOCKS", retries ? retries->value : "4095",
                            retries ? &retries->value_pos : &child->pos);
        else
                snippet_set(unit, "SPINLOCKS", "0", child ? &child->pos : &element->pos);
        child = snippet_child(element, "vendor_id");
        if (child && is_on(unit, child)) {
                const struct xml_attribute *value = snippet_attribute(child, "value");

                snippet_set(unit, "VENDOR_ID", value ? value->value : "",
                            value ? &value->value_pos : &child->pos);
        }
        if (mode && strcmp(mode->value, "passthrough") == 0)
                snippet_set(unit, "PASSTHROUGH", "yes", &mode->value_pos);
        /* The text of HYPERV_OPTIONS is for VMs that have asked for it already. */
        if (unit->reader->is_default)
                return;
        snippet_begin(unit, "FEATURES", &element->pos);
        snippet_set(unit, "HYPERV", "yes", &element->pos);
}

static void read_acpi(struct snippet_unit *unit, struct xml_element *element)
{
        snippet_set(unit, "ACPI", "yes", &element->pos);
}

static void read_pmu(struct snippet_unit *unit, struct xml_element *element)
{
        snippet_set(unit, "PMU", is_on(unit, element) ? "yes" : "no", &element->pos);
}

/* Flags of the CPU in QEMU, so they join those of <cpu>. */
static void read_kvm(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct {
                const char *name, *on, *off;
        } flags[] = {
                { "hidden", "-kvm", "kvm" },
                { "hint-dedicated", "kvm-hint-dedicated", "-kvm-hint-dedicated" },
                { "poll-control", "kvm-poll-control", "-kvm-poll-control" },
                { "pv-ipi", "kvm-pv-ipi", "-kvm-pv-ipi" },
        };
        struct xml_element *child;

        for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
                if ((child = snippet_child(element, flags[i].name)))
                        snippet_add_flag(unit, is_on(unit, child) ? flags[i].on : flags[i].off, &child->pos);
}

static void read_pvspinlock(struct snippet_unit *unit, struct xml_element *element)
{
        snippet_add_flag(unit, is_on(unit, element) ? "kvm-pv-unhalt" : "-kvm-pv-unhalt", &element->pos);
}

/* In QEMU there is no PC without one; its end of interrupt is a flag of the CPU. */
static void read_apic(struct snippet_unit *unit, struct xml_element *element)
{
        const struct xml_attribute *eoi = snippet_attribute(element, "eoi");

        snippet_demand(unit, element, "eoi", "on off");
        if (eoi)
                snippet_add_flag(unit, strcmp(eoi->value, "on") == 0 ? "kvm-pv-eoi" : "-kvm-pv-eoi",
                                 &eoi->value_pos);
        else
                snippet_note(unit, &element->pos, "<features/apic>");
}

static void read_smm(struct snippet_unit *unit, struct xml_element *element)
{
        snippet_set(unit, "SMM", is_on(unit, element) ? "yes" : "no", &element->pos);
}

static const struct snippet_row vmport_rows[] = { PART("@state", "VMPORT"), PARTS_END };
static const struct snippet_row ioapic_rows[] = { PART("@driver", "IOAPIC"), PARTS_END };
static const struct snippet_row gic_rows[] = { PART("@version", "GIC"), PARTS_END };
static const struct snippet_row ras_rows[] = { PART("@state", "RAS"), PARTS_END };

const struct snippet_element snippet_features[] = {
        ELEMENT("features/acpi", "FEATURES", NULL, read_acpi),
        ELEMENT("features/pae", NULL, NULL, NULL),
        ELEMENT("features/apic", NULL, NULL, read_apic),
        ELEMENT("features/hyperv", NULL, NULL, read_hyperv),
        ELEMENT("features/kvm", NULL, NULL, read_kvm),
        ELEMENT("features/pvspinlock", NULL, NULL, read_pvspinlock),
        ELEMENT("features/pmu", "", NULL, read_pmu),
        ELEMENT("features/smm", "FEATURES", NULL, read_smm),
        ELEMENT("features/vmport", "FEATURES", vmport_rows, NULL),
        ELEMENT("features/ioapic", "FEATURES", ioapic_rows, NULL),
        ELEMENT("features/gic", "FEATURES", gic_rows, NULL),
        ELEMENT("features/ras", "FEATURES", ras_rows, NULL),
        ELEMENTS_END,
};
