#include "launcher/host/qemu_cache.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* What it means, or how we work it out, has changed when this changes. */
#define HEADER "vmlaunch-qemu-facts 3"
#define NONE   "-"

static void add_names(struct text *out, const char *key, char *const *names)
{
        text_add(out, key);
        for (size_t i = 0; names[i]; i++) {
                text_add(out, i ? " " : "");
                text_add(out, names[i]);
        }
        text_add(out, "\n");
}

char *qemu_cache_text(const struct qemu_facts *facts)
{
        struct text out = TEXT_INIT;

        text_addf(&out, HEADER "\nidentity %s\npackage %s\ntarget %s\nversion %u %u %u %d %d %d %d %d %d\n",
                  facts->identity, facts->package, facts->target, facts->major, facts->minor, facts->micro,
                  facts->has_action, facts->has_kvm, facts->has_tcg, facts->json_device, facts->has_vnc,
                  facts->has_spice);
        for (size_t i = 0; i < facts->n_machines; i++) {
                const struct qemu_machine *m = &facts->machines[i];

                text_addf(&out, "machine %s %s %s %u %d %d\n", m->name, m->alias ?: NONE,
                          m->default_cpu ?: NONE, m->cpu_max, m->is_default, m->deprecated);
        }
        add_names(&out, "models ", facts->cpu_models);
        add_names(&out, "flags ", facts->cpu_flags);
        add_names(&out, "tcg ", facts->tcg_flags);
        add_names(&out, "devices ", facts->devices);
        return text_take(&out);
}

/* What follows key on the next line, if that begins with it; else NULL. */
static char *next(char **at, const char *key)
{
        char *line = *at, *end = strchr(line, '\n');
        size_t n = strlen(key);

        if (!end || strncmp(line, key, n) != 0)
                return NULL;
        *end = '\0';
        *at = end + 1;
        return line + n;
}

static char **read_names(char **at, const char *key)
{
        char *word = next(at, key), **names = NULL;
        size_t n = 0;

        if (!word)
                return NULL;
        while (word && *word) {
                ARRAY_GROW(names, n);
                names[n++] = word;
                word = strchr(word, ' ');
                if (word)
                        *word++ = '\0';
        }
        ARRAY_GROW(names, n);
        names[n] = NULL;
        return names;
}

static bool read_machine(char *line, struct qemu_facts *facts)
{
        char *words[6];
        uint32_t cpu_max;

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                words[i] = strsep(&line, " ");
        if (!words[5] || line || !text_parse_u32(words[3], &cpu_max))
                return false;
        ARRAY_GROW(facts->machines, facts->n_machines);
        facts->machines[facts->n_machines++] = (struct qemu_machine){
                .name = words[0],
                .alias = strcmp(words[1], NONE) == 0 ? NULL : words[1],
                .default_cpu = strcmp(words[2], NONE) == 0 ? NULL : words[2],
                .cpu_max = cpu_max,
                .is_default = *words[4] == '1',
                .deprecated = *words[5] == '1',
        };
        return cpu_max > 0;
}

struct qemu_facts *qemu_cache_read(char *text)
{
        _cleanup_(qemu_facts_freep) struct qemu_facts *facts = xcalloc(1, sizeof(*facts));
        char *at = text, *line = next(&at, HEADER);
        int has[6], end = 0;

        facts->text = text;
        if (!line || *line || !(facts->identity = next(&at, "identity ")) ||
            !(facts->package = next(&at, "package ")) || !(facts->target = next(&at, "target ")))
                return NULL;
        line = next(&at, "version ");
        if (!line ||
            sscanf(line, "%u %u %u %d %d %d %d %d %d%n", &facts->major, &facts->minor, &facts->micro, &has[0],
                   &has[1], &has[2], &has[3], &has[4], &has[5], &end) != 9 ||
            line[end])
                return NULL;
        facts->has_action = has[0];
        facts->has_kvm = has[1];
        facts->has_tcg = has[2];
        facts->json_device = has[3];
        facts->has_vnc = has[4];
        facts->has_spice = has[5];
        while ((line = next(&at, "machine ")))
                if (!read_machine(line, facts))
                        return NULL;
        facts->cpu_models = read_names(&at, "models ");
        facts->cpu_flags = read_names(&at, "flags ");
        facts->tcg_flags = read_names(&at, "tcg ");
        facts->devices = read_names(&at, "devices ");
        return facts->cpu_models && facts->cpu_flags && facts->tcg_flags && facts->devices && !*at
                       ? TAKE_PTR(facts)
                       : NULL;
}
