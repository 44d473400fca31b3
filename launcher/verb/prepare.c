#include "launcher/verb/prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "conf/spec_build.h"
#include "launcher/host/firmware.h"
#include "launcher/host/qemu_facts.h"
#include "launcher/host/timezone.h"
#include "launcher/plan/plan_build.h"
#include "launcher/run/unit.h"
#include "launcher/state/clock_state.h"
#include "launcher/state/machine_lock.h"
#include "launcher/verb/prepare_parts.h"
#include "launcher/verb/vm_find.h"

void prepared_done(struct prepared *prepared)
{
        launch_plan_free(prepared->plan);
        free(prepared->unit);
        free(prepared->unit_group);
        host_facts_free(prepared->host);
        vm_spec_free(prepared->spec);
        *prepared = (struct prepared){ 0 };
}

/* A VM that was started from a file elsewhere is known, but not by a template of its name. */
static int no_template(const struct verb_context *context, const char *argument, struct error **err)
{
        const struct paths *paths = &context->site->paths;
        _cleanup_error_ struct error *ignored = NULL;
        _cleanup_free_ char *name = NULL, *shown = text_printable(argument);
        json_auto_t *record = NULL;
        const char *template;

        if (vm_find(paths, argument, &name, &ignored) < 0 || vm_record(paths, name, &record, &ignored) < 0) {
                error_set(err, ERROR_NO_SUCH_VM, "no template file '%s' here and no VM '%s' in %s/vms", shown,
                          shown, paths->etc);
                return spec_name_is_valid(argument)
                               ? -1
                               : error_hint(err, "a VM's name has letters, digits, '.', '_' and '-' only");
        }
        template = json_member_string(record, "template");
        error_set(err, ERROR_NO_SUCH_VM, "'%s' has no template in %s/vms: its last start was from %s", name,
                  paths->etc, template ? template : "stdin");
        return template && access(template, F_OK) == 0
                       ? error_hint(err, "vmlaunch %s %s", context->verb->name, template)
                       : -1;
}

/* Where the argument's template is: its path as messages show it. */
static int find_template(const struct verb_context *context, const char *argument, char **ret_path,
                         struct error **err)
{
        const struct paths *paths = &context->site->paths;
        _cleanup_free_ char *one = NULL;
        struct stat st;
        uint64_t id;

        if (strcmp(argument, "-") == 0 || strchr(argument, '/') ||
            (stat(argument, &st) == 0 && S_ISREG(st.st_mode))) {
                *ret_path = xstrdup(argument);
                return 0;
        }
        if (vm_is_defined(paths, argument, ret_path))
                return 0;
        if (text_parse_u64(argument, &id) &&
            vm_is_defined(paths, one = xasprintf("one-%llu", (unsigned long long)id), ret_path))
                return 0;
        if (text_ends_with(argument, ".tmpl"))
                return error_os(err, ENOENT, "open '%s'", argument);
        return no_template(context, argument, err);
}

/* NAME of the template's file without directory and suffix: the VM's name when the template gives none. */
static char *default_name(const char *path)
{
        const char *slash = strrchr(path, '/');
        char *name = xstrdup(slash ? slash + 1 : path);
        char *dot = strrchr(name, '.');

        if (dot && dot != name)
                *dot = '\0';
        return name;
}

/* ret_real: where it really is, NULL for stdin. */
static int read_template(const char *path, struct template **ret, char **ret_real, char **ret_base_dir,
                         struct error **err)
{
        _cleanup_free_ char *text = NULL, *real = NULL;
        bool is_stdin = strcmp(path, "-") == 0;
        size_t length;

        if ((is_stdin ? fd_read_all(STDIN_FILENO, "stdin", TEMPLATE_MAX_BYTES, &text, &length, err)
                      : fd_read_file_at(AT_FDCWD, path, TEMPLATE_MAX_BYTES, &text, &length, err)) < 0)
                return -1;
        if (template_parse(path, text, length, ret, err) < 0)
                return -1;
        real = realpath(is_stdin ? "." : path, NULL);
        if (!real) {
                template_free(*ret);
                *ret = NULL;
                return error_os(err, errno, "find the directory of '%s'", path);
        }
        if (is_stdin)
                *ret_base_dir = TAKE_PTR(real);
        else {
                /* Of "/web.tmpl" it is "/". */
                size_t n = (size_t)(strrchr(real, '/') - real);

                *ret_base_dir = xstrndup(real, n ? n : 1);
                *ret_real = TAKE_PTR(real);
        }
        return 0;
}

/* What becomes of a device of a template with many of them, which is when it takes time: measured. Not at once, as
 * the fork between the two makes every page a shared one that has to be faulted in again. */
#define SPEC_PER_VECTOR 3500
#define PLAN_PER_VECTOR 6400
#define MANY_VECTORS    32
#define EXPECTED_MAX    (8u << 20)
/* And of any template, facts included. */
#define PLAN_LEAST (96u << 10)

static void expect_memory(const struct template *template, size_t per_vector)
{
        size_t n = 0;

        for (size_t i = 0; i < template->n_attributes; i++)
                n += template->attributes[i].is_vector;
        if (n >= MANY_VECTORS && n * per_vector <= EXPECTED_MAX)
                mem_expect(n * per_vector);
}

void prepare_add_place(const struct vm_spec *spec, const char *reference, struct error **err)
{
        const struct origin *origin = vm_spec_origin(spec, reference);

        if (origin)
                error_place(*err, &origin->pos);
}

/* What CLOCK needs to know. */
static int read_clock(const struct vm_spec *spec, const struct paths *paths, char **ret_rule,
                      struct clock_state **ret_kept, struct error **err)
{
        if (spec->clock.offset == CLOCK_TIMEZONE)
                return timezone_rule_read(TIMEZONE_DIR, spec->clock.timezone, ret_rule, err);
        if (spec->clock.offset == CLOCK_VARIABLE)
                return clock_state_read(paths->state, spec->name, ret_kept, err);
        return 0;
}

void prepare_facts_done(struct prepare_facts *facts)
{
        host_facts_free(facts->host);
        qemu_facts_free(facts->qemu);
        machine_lock_free(facts->lock);
        looks_free(facts->looks);
        *facts = (struct prepare_facts){ 0 };
}

static int read_facts(const struct verb_context *context, const struct vm_spec *spec, bool write_cache,
                      struct prepare_facts *facts, struct error **err)
{
        const struct paths *paths = &context->site->paths;
        _cleanup_free_ char *emulator = NULL;

        if (facts->host)
                return 0;
        /* One that runs has its accelerator. What its template may become is not known yet. */
        if (host_facts_read(facts->is_running ? HOST_FACTS_ALL & ~HOST_FACTS_CPU : host_facts_needed(spec),
                            &facts->host, err) < 0 ||
            machine_lock_read(paths->state, spec->name, &facts->lock, err) < 0)
                return -1;
        if (qemu_find(spec, &emulator, err) < 0 ||
            qemu_facts_get(emulator, paths, write_cache, &facts->qemu, err) < 0) {
                prepare_add_place(spec, "EMULATOR", err);
                return -1;
        }
        return 0;
}

/* Must it be known what other VMs' machine.lock keep? Not by a VM that starts again with what it had: a host may have
 * thousands, which at its boot all start. */
static bool needs_claims(const struct site *site, const struct vm_spec *spec,
                         const struct prepare_facts *facts)
{
        const struct machine_lock *lock = facts->lock;
        const struct graphics_spec *graphics = &spec->graphics;

        /* Whose devices are in use. */
        if (spec->n_pcis)
                return true;
        if (facts->is_running)
                return false;
        /* Another machine's is not in force. */
        if (!lock || strcmp(lock->uuid, spec->uuid_text) != 0 || strcmp(lock->family, spec->os.machine) != 0)
                return true;
        if (!site->owner.user && (lock->uid < site->uid_first || lock->uid > site->uid_last ||
                                  !machine_lock_holds(&site->paths, spec->name, "uids", lock->uid)))
                return true;
        return graphics->present && !graphics->port && strcmp(graphics->listen, GRAPHICS_UNIX) != 0 &&
               !machine_lock_holds(&site->paths, spec->name, "ports", lock->port);
}

/* Is it the template of the VM that a unit of this name runs? */
static bool is_of_unit(const struct verb_context *context, const struct template *template,
                       const struct vm_spec *spec)
{
        const struct paths *paths = &context->site->paths;
        _cleanup_free_ char *path = xasprintf("%s/vms/%s.tmpl", paths->etc, spec->name);

        return strcmp(template->file, path) == 0 && systemd_has_unit(paths);
}

/* A unit is stopped by its own name: what it does not know would go on. */
static int check_unit(const struct prepared *prepared, struct error **err)
{
        const char *name = prepared->spec->name;
        _cleanup_free_ char *own = unit_service_name(name);

        if (prepared->group != PLAN_GROUP_SERVICE || !text_starts_with(prepared->unit, "vmlaunch@") ||
            strcmp(prepared->unit, own) == 0)
                return 0;
        error_set(err, ERROR_INVALID, "NAME: '%s' has the unit %s, and this one is %s", name, own,
                  prepared->unit);
        prepare_add_place(prepared->spec, "NAME", err);
        return error_hint(err, "name the template's file after the VM, %s.tmpl", name);
}

/* Who makes the VM's group: systemd where it runs. What is only printed is what `start` would do. */
static void choose_group(const struct verb_context *context, const struct template *template,
                         struct prepared *prepared, const struct prepare_facts *facts,
                         struct plan_input *input)
{
        const char *name = prepared->spec->name;
        const struct host_facts *host = facts->host;

        input->group = PLAN_GROUP_OWN;
        if (context->site->owner.user) {
                prepared->group = input->group =
                        context->site->owner.manager_group ? PLAN_GROUP_SCOPE : PLAN_GROUP_NONE;
                input->unit = prepared->unit = unit_scope_name(&context->site->paths, name);
                return;
        }
        if (facts->is_running ? !facts->unit : !host->systemd.runs)
                return;
        if (facts->is_running) {
                bool is_scope = text_ends_with(facts->unit, ".scope");

                prepared->group = input->group = is_scope ? PLAN_GROUP_SCOPE : PLAN_GROUP_SERVICE;
                input->unit = prepared->unit = xstrdup(facts->unit);
                input->unit_group = prepared->unit_group = xstrdup_null(facts->group);
                return;
        }
        if (context->verb->run == verb_run && unit_is_own(&prepared->unit, &prepared->unit_group)) {
                input->group = PLAN_GROUP_SERVICE;
        } else if (context->verb->run != verb_run && is_of_unit(context, template, prepared->spec)) {
                input->group = PLAN_GROUP_SERVICE;
                prepared->unit = unit_service_name(name);
        } else {
                input->group = PLAN_GROUP_SCOPE;
                prepared->unit = unit_scope_name(&context->site->paths, name);
        }
        prepared->group = input->group;
        input->unit = prepared->unit;
        input->unit_group = prepared->unit_group;
        input->slice_is_new = prepared->spec->slice && !slice_is_known(prepared->spec->slice);
}

int prepare_plan(const struct verb_context *context, const struct template *template,
                 const struct vm_spec *also, bool write_cache, struct prepare_facts *facts,
                 struct prepared *prepared, struct error **err)
{
        struct vm_spec *spec = prepared->spec;
        _cleanup_(device_facts_freep) struct device_facts *devices = NULL;
        struct plan_input input = { .site = context->site };
        _cleanup_(firmware_list_freep) struct firmware_list *firmware = NULL;
        _cleanup_(clock_state_freep) struct clock_state *clock = NULL;
        _cleanup_free_ struct image_chain **chains = NULL;
        _cleanup_free_ char *timezone_rule = NULL;

        if (looks_begin(&facts->looks, spec, also, err) < 0)
                return -1;
        if (!facts->host)
                mem_expect(PLAN_LEAST);
        if (read_facts(context, spec, write_cache, facts, err) < 0)
                return -1;
        if (needs_claims(context->site, spec, facts) &&
            host_claims_read(&context->site->paths, facts->host, err) < 0)
                return -1;
        if (spec->graphics.present && !facts->host->n_addresses && host_addresses_read(facts->host, err) < 0)
                return -1;
        if (firmware_list_for(spec, context->site->paths.etc, context->site->kvmrc.ovmf_nvram, &firmware,
                              err) < 0 ||
            read_clock(spec, &context->site->paths, &timezone_rule, &clock, err) < 0 ||
            device_facts_read(spec, context->site, &devices, err) < 0 ||
            prepare_look_at_secrets(spec, err) < 0)
                return -1;
        /* The child still looks at the images. */
        expect_memory(template, PLAN_PER_VECTOR);
        if (looks_end(facts->looks, spec, also, err) < 0)
                return -1;
        chains = xcalloc(spec->n_disks + 1, sizeof(struct image_chain *));
        looks_take(facts->looks, spec, chains, &input.kernel, &input.initrd, devices->directories);
        input.firmware = firmware;
        input.timezone_rule = timezone_rule;
        input.clock = clock;
        input.devices = devices;
        input.spec = spec;
        input.host = facts->host;
        input.qemu = facts->qemu;
        input.chains = chains;
        input.lock = facts->lock;
        input.running = facts->is_running;
        choose_group(context, template, prepared, facts, &input);
        if (input.group == PLAN_GROUP_SCOPE && !input.unit_group)
                systemd_bus_read(&facts->host->systemd);
        if (!facts->is_running && check_unit(prepared, err) < 0)
                return -1;
        return plan_build(&input, &prepared->plan, err);
}

int prepare_template(const struct verb_context *context, const struct template *template,
                     const char *base_dir, const char *name, bool write_cache, struct prepare_facts *facts,
                     struct prepared *ret, struct error **err)
{
        _cleanup_prepared_ struct prepared prepared = { 0 };

        if (spec_build(template, context->site, base_dir, name, &prepared.spec, err) < 0 ||
            prepare_plan(context, template, NULL, write_cache, facts, &prepared, err) < 0)
                return -1;
        *ret = prepared;
        prepared = (struct prepared){ 0 };
        return 0;
}

static int gather(const struct verb_context *context, const char *argument, bool write_cache,
                  struct template **ret_template, struct prepared *ret, struct error **err)
{
        _cleanup_free_ char *path = NULL, *real = NULL, *base_dir = NULL, *name = NULL;
        _cleanup_prepare_facts_ struct prepare_facts facts = { 0 };

        if (find_template(context, argument, &path, err) < 0 ||
            read_template(path, ret_template, &real, &base_dir, err) < 0)
                return -1;
        expect_memory(*ret_template, SPEC_PER_VECTOR);
        /* What comes from stdin has no file to be named after. */
        name = strcmp(path, "-") == 0 ? NULL : default_name(path);
        if (prepare_template(context, *ret_template, base_dir, name, write_cache, &facts, ret, err) < 0)
                return -1;
        ret->host = TAKE_PTR(facts.host);
        /* list and status show it long after the caller's directory is forgotten. */
        if (real) {
                free(ret->plan->template_file);
                ret->plan->template_file = TAKE_PTR(real);
        }
        return 0;
}

int prepare(const struct verb_context *context, const char *argument, bool write_cache, struct prepared *ret,
            struct error **err)
{
        _cleanup_(template_freep) struct template *template = NULL;
        int result = gather(context, argument, write_cache, &template, ret, err);

        /* Only the parser has had the text at hand. */
        for (struct error *error = *err; error && template; error = error->next)
                if (error->pos.file && strcmp(error->pos.file, template->file) == 0)
                        template_add_excerpt(template, error);
        return result;
}
