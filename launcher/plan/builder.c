#include "launcher/plan/builder.h"

#include <string.h>

#include "base/json_text.h"
#include "base/text.h"
#include "conf/spec_blank.h"
#include "conf/spec_sections.h"

static void add_arg(struct build *build, char *because_consume, char *text_consume, bool is_option)
{
        struct launch_plan *plan = build->plan;

        ARRAY_GROW(plan->args, plan->n_args);
        plan->args[plan->n_args++] = (struct plan_arg){
                .text = text_consume,
                .because = because_consume,
                .is_option = is_option,
        };
}

/* For the same reason, which the two share. */
static void add_pair(struct build *build, const char *because, const char *option, char *value_consume)
{
        char *reason = xstrdup(because);

        add_arg(build, reason, xstrdup(option), true);
        add_arg(build, reason, value_consume, false);
}

struct text *build_reason(struct build *build, unsigned which)
{
        text_cut(&build->reasons[which], 0);
        return &build->reasons[which];
}

void build_flag(struct build *build, const char *because, const char *option)
{
        add_arg(build, xstrdup(because), xstrdup(option), true);
}

void build_option(struct build *build, const char *because, const char *option, const char *format, ...)
{
        struct text text = TEXT_INIT;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&text, format, ap);
        va_end(ap);
        add_pair(build, because, option, text_take(&text));
}

void build_word(struct build *build, const char *because, const char *option, const char *value)
{
        add_pair(build, because, option, xstrdup(value));
}

struct text *build_object_begin(struct build *build)
{
        text_cut(&build->scratch, 0);
        json_text_begin(&build->scratch, NULL);
        return &build->scratch;
}

void build_object_end(struct build *build, const char *because, const char *option)
{
        json_text_end(&build->scratch);
        build_word(build, because, option, text_str(&build->scratch));
}

void build_json(struct build *build, const char *because, const char *option, json_t *json)
{
        text_cut(&build->scratch, 0);
        json_text_add(&build->scratch, json);
        build_word(build, because, option, text_str(&build->scratch));
        json_decref(json);
}

void build_step(struct build *build, const char *because, enum plan_effect effect, json_t *args)
{
        struct launch_plan *plan = build->plan;

        ARRAY_GROW(plan->steps, plan->n_steps);
        plan->steps[plan->n_steps++] = (struct plan_step){
                .effect = effect,
                .args = args,
                .because = xstrdup(because),
        };
}

int build_fd_take(struct build *build, char *source_consume, char *text_consume)
{
        struct launch_plan *plan = build->plan;

        ARRAY_GROW(plan->fds, plan->n_fds);
        plan->fds[plan->n_fds++] = (struct plan_fd){
                .child_fd = build->next_fd,
                .source = source_consume,
                .text = text_consume,
        };
        return build->next_fd++;
}

int build_fd(struct build *build, const char *source, const char *text)
{
        return build_fd_take(build, xstrdup(source), xstrdup(text));
}

void build_env(struct build *build, const char *variable)
{
        char ***env = &build->plan->env;
        size_t n = 0;

        while ((*env)[n])
                n++;
        *env = xreallocarray(*env, n + 2, sizeof(char *));
        (*env)[n] = xstrdup(variable);
        (*env)[n + 1] = NULL;
}

void build_device(struct build *build, json_t *device)
{
        json_array_append_new(build->plan->devices, device);
}

int build_error(const struct build *build, struct error **err, enum error_code code, const char *reference,
                const char *format, ...)
{
        const struct origin *origin = vm_spec_origin(build->spec, reference);
        _cleanup_text_ struct text text = TEXT_INIT;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&text, format, ap);
        va_end(ap);
        error_at(err, origin ? &origin->pos : NULL, "%s: %s", reference, text_str(&text));
        (*err)->code = code;
        return -1;
}

int build_need_device(const struct build *build, const char *reference, const char *type, struct error **err)
{
        if (qemu_has_device(build->in->qemu, type))
                return 0;
        return build_error(build, err, ERROR_HOST, reference, "%s has no device '%s'", build->in->qemu->path,
                           type);
}

static void __attribute__((format(printf, 4, 0)))
add_to_list(const struct build *build, struct error **list, const char *reference, const char *format,
            va_list ap)
{
        const struct origin *origin = reference ? vm_spec_origin(build->spec, reference) : NULL;
        _cleanup_text_ struct text text = TEXT_INIT;
        struct error *one = NULL;

        if (reference)
                text_addf(&text, "%s: ", reference);
        text_vaddf(&text, format, ap);
        error_at(&one, origin ? &origin->pos : NULL, "%s", text_str(&text));
        error_append(list, one);
}

void build_warn(struct build *build, const char *reference, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        add_to_list(build, &build->plan->warnings, reference, format, ap);
        va_end(ap);
}

void build_note(struct build *build, const char *reference, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        add_to_list(build, &build->plan->notes, reference, format, ap);
        va_end(ap);
}

void build_refer(const struct build *build, struct text *because, const char *format, ...)
{
        size_t before = because->length, start;
        const struct origin *origin;
        va_list ap;

        if (before)
                text_add(because, " ");
        start = because->length;
        va_start(ap, format);
        text_vaddf(because, format, ap);
        va_end(ap);
        origin = vm_spec_origin(build->spec, because->data + start);
        if (!origin || origin->layer == LAYER_NONE)
                text_cut(because, before);
}

void build_refer_key(const struct build *build, struct text *because, const struct attr_section *section,
                     size_t index, const char *key)
{
        const struct section *record = spec_section_record(spec_section_find(section), build->spec, index);
        const struct attr *row = attr_find(section, key);

        if (!record || !record->blank || !row || spec_row_origin(section, record, row)->layer == LAYER_NONE)
                return;
        if (because->length)
                text_add_char(because, ' ');
        text_add(because, section->name);
        text_add_char(because, '[');
        text_add_u64(because, index);
        text_add_bytes(because, "]/", 2);
        text_add(because, key);
}

const char *build_locked_address(const struct build *build, const char *device)
{
        if (!build->lock)
                return NULL;
        for (size_t i = 0; i < build->lock->n_addresses; i++)
                if (strcmp(build->lock->addresses[i].device, device) == 0)
                        return build->lock->addresses[i].address;
        return NULL;
}

const char *build_pci_address(const struct build *build, const char *device)
{
        for (size_t i = 0; i < build->n_pci_devices; i++)
                if (strcmp(build->pci_devices[i].id, device) == 0)
                        return build->pci_devices[i].address;
        return NULL;
}

void build_set_address(json_t *device, const char *address)
{
        const char *colon = strrchr(address, ':');

        json_object_set_new(device, "bus", json_stringn(address, (size_t)(colon - address)));
        json_object_set_new(device, "addr", json_string(colon + 1));
}

void keyval_add(struct text *out, const char *key, const char *format, ...)
{
        _cleanup_free_ char *value = NULL;
        size_t start;
        va_list ap;

        if (out->length)
                text_add_char(out, ',');
        if (key)
                text_add(out, key);
        if (key)
                text_add_char(out, '=');
        start = out->length;
        va_start(ap, format);
        text_vaddf(out, format, ap);
        va_end(ap);
        /* Few have any. */
        if (!strchr(out->data + start, ','))
                return;
        value = xstrdup(out->data + start);
        text_cut(out, start);
        for (const char *c = value; *c; c++) {
                text_add_char(out, *c);
                if (*c == ',')
                        text_add_char(out, ',');
        }
}
