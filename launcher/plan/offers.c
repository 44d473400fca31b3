#include "launcher/plan/offers.h"

#include <string.h>

#include "base/text.h"
#include "conf/attr.h"
#include "launcher/plan/display.h"
#include "launcher/plan/nic.h"

static void offer(json_t *array, const char *name, const char *what)
{
        json_array_append_new(array, json_pack("{s:s, s:s}", "name", name, "what", what));
}

static void offer_nics(const struct qemu_facts *qemu, json_t *array)
{
        const char *name;

        for (size_t i = 0; (name = nic_model_name(i)); i++)
                if (qemu_has_device(qemu, nic_device_type(name)))
                        offer(array, name, nic_device_type(name));
}

/* The words of a row, each with its device type; NULL: it needs none. */
static void offer_words(const struct qemu_facts *qemu, json_t *array, const struct attr_section *section,
                        const char *key, const char *(*device_type)(int value))
{
        for (const struct attr_word *word = attr_find(section, key)->words; word->text; word++) {
                const char *type = device_type(word->value);

                if (!word->coming && (!type || qemu_has_device(qemu, type)))
                        offer(array, word->text, type ? type : "");
        }
}

static void offer_cards(const struct qemu_facts *qemu, json_t *array)
{
        offer_words(qemu, array, &attr_video, "TYPE", video_type_device);
}

static void offer_sound(const struct qemu_facts *qemu, json_t *array)
{
        offer_words(qemu, array, &attr_sound, "MODEL", sound_model_device);
}

static void offer_graphics(const struct qemu_facts *qemu, json_t *array)
{
        if (qemu->has_vnc)
                offer(array, "vnc", "");
        if (qemu->has_spice)
                offer(array, "spice", "");
}

static void offer_cpus(const struct qemu_facts *qemu, json_t *array)
{
        for (size_t i = 0; qemu->cpu_models[i]; i++)
                offer(array, qemu->cpu_models[i], "");
}

static void offer_flags(const struct qemu_facts *qemu, json_t *array)
{
        for (size_t i = 0; qemu->cpu_flags[i]; i++)
                offer(array, qemu->cpu_flags[i],
                      qemu_tcg_has_flag(qemu, qemu->cpu_flags[i]) ? "without KVM too" : "");
}

/* Those that a plan can be made for. */
static bool is_of_ours(const struct qemu_machine *machine)
{
        return text_starts_with(machine->name, "pc-q35-") || text_starts_with(machine->name, "pc-i440fx-") ||
               text_starts_with(machine->name, "virt-");
}

/* Aliases first: they are what templates are written with. */
static void offer_machines(const struct qemu_facts *qemu, json_t *array)
{
        for (int aliases = 1; aliases >= 0; aliases--)
                for (size_t i = 0; i < qemu->n_machines; i++) {
                        const struct qemu_machine *machine = &qemu->machines[i];

                        if (!is_of_ours(machine))
                                continue;
                        if (aliases && machine->alias)
                                offer(array, machine->alias, machine->name);
                        else if (!aliases)
                                offer(array, machine->name, machine->deprecated ? "deprecated" : "");
                }
}

static const struct {
        const char *full_name;
        void (*fn)(const struct qemu_facts *qemu, json_t *array);
} rows[] = {
        { "NIC/MODEL", offer_nics },           { "VIDEO/TYPE", offer_cards },
        { "SOUND/MODEL", offer_sound },        { "GRAPHICS/TYPE", offer_graphics },
        { "CPU_MODEL/MODEL", offer_cpus },     { "OS/MACHINE", offer_machines },
        { "CPU_MODEL/FEATURES", offer_flags },
};

static size_t find_row(const char *full_name)
{
        size_t i = 0;

        while (i < ARRAY_SIZE(rows) && strcmp(rows[i].full_name, full_name) != 0)
                i++;
        return i;
}

bool plan_has_offers(const char *full_name)
{
        return find_row(full_name) < ARRAY_SIZE(rows);
}

json_t *plan_offers(const char *full_name, const struct qemu_facts *qemu)
{
        size_t row = find_row(full_name);
        json_t *array;

        if (row == ARRAY_SIZE(rows))
                return NULL;
        array = json_array();
        rows[row].fn(qemu, array);
        return array;
}
