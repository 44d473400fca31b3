/* The CPU model and its flags. */
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "conf/spec_rules.h"

#define FLAGS_MAX 256

/* A flag as written between two commas: NAME, +NAME, -NAME, NAME=on or NAME=off. false: none of these. */
static bool read_flag(char *word, struct cpu_flag *ret)
{
        char *equals = strchr(word, '=');
        bool on = *word != '-';

        if (equals && !text_parse_bool(equals + 1, &on))
                return false;
        if (equals)
                *equals = '\0';
        if (*word == '+' || *word == '-') {
                if (equals)
                        return false;
                word++;
        }
        if (!*word || word[strcspn(word, " +=,")] || *word == '-')
                return false;
        *ret = (struct cpu_flag){ .name = xstrdup(word), .on = on };
        return true;
}

static void add_flag(struct spec_builder *builder, const struct source_pos *pos, char *word)
{
        struct cpu_model_spec *cpu = &builder->spec->cpu_model;
        _cleanup_free_ char *shown = text_printable(word);
        struct cpu_flag flag;

        if (!read_flag(word, &flag)) {
                spec_fail(builder, pos,
                          "CPU_MODEL/FEATURES: '%s' is not a CPU flag (NAME to have it, -NAME to be without)",
                          shown);
                return;
        }
        for (size_t i = 0; i < cpu->n_flags; i++)
                if (strcmp(cpu->flags[i].name, flag.name) == 0) {
                        spec_fail(builder, pos, "CPU_MODEL/FEATURES: '%s' is given twice", flag.name);
                        free(flag.name);
                        return;
                }
        ARRAY_GROW(cpu->flags, cpu->n_flags);
        cpu->flags[cpu->n_flags++] = flag;
}

static void set_flags(struct spec_builder *builder)
{
        struct cpu_model_spec *cpu = &builder->spec->cpu_model;
        const struct source_pos *pos = &spec_origin(&attr_cpu_model, cpu, "FEATURES")->pos;

        for (const char *list = cpu->features_text; list && *list && cpu->n_flags < FLAGS_MAX;) {
                size_t n = strcspn(list, ","), end = n, start = strspn(list, " ");
                _cleanup_free_ char *word = NULL;

                while (end > start && list[end - 1] == ' ')
                        end--;
                word = xstrndup(list + start, end - start);
                if (*word)
                        add_flag(builder, pos, word);
                list += n + (list[n] == ',');
        }
}

void spec_set_cpu(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        struct cpu_model_spec *cpu = &spec->cpu_model;
        const struct origin *evc = spec_origin(&attr_vm, spec, "EVC_MODE");
        const char *model;

        if (spec->evc_mode && *spec->evc_mode) {
                free(cpu->model_text);
                cpu->model_text = xstrdup(spec->evc_mode);
                spec_set_origin(spec, spec_own_origin(&attr_cpu_model, cpu, "MODEL"), evc->layer,
                                spec->evc_mode, &evc->pos);
        }
        model = cpu->model_text;
        if (!model || !*model || strcasecmp(model, "none") == 0)
                cpu->mode = CPU_MODE_NONE;
        else if (strcasecmp(model, "host-passthrough") == 0)
                cpu->mode = CPU_MODE_HOST_PASSTHROUGH;
        else if (strcasecmp(model, "host-model") == 0)
                cpu->mode = CPU_MODE_HOST_MODEL;
        else
                cpu->mode = CPU_MODE_NAMED;
        set_flags(builder);
}
