/* resize, balloon: vCPUs, memory and CPU weight of a VM. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "conf/template_edit.h"
#include "launcher/run/memory_cleanup.h"
#include "launcher/verb/change.h"
#include "launcher/verb/config_file.h"
#include "launcher/verb/device_kind.h"
#include "launcher/verb/guest_part.h"
#include "launcher/verb/instance.h"
#include "launcher/verb/interrupt.h"
#include "launcher/verb/output.h"
#include "launcher/verb/vm_find.h"

#define UNPLUG_MS 30000
/* For a balloon or a virtio-mem device to get where it was told; how often it is looked at, and what is there. */
#define GUEST_MS         10000
#define LOOK_MS          100
#define CLOSE_ENOUGH     (2ull << 20)
#define DIMM_GRAIN       (128ull << 20)
#define VIRTIO_MEM_BLOCK (2ull << 20)

struct resize {
        struct verb_context *context;
        const char *verb;
        uint32_t vcpu;   /* 0: as it is */
        uint64_t memory; /* bytes; 0: as it is */
        const char *cpu; /* NULL: as it is */
        bool grows, shrinks;
        bool online; /* the agent is asked to do the guest's part */
        struct config_file config;
};

static int read_options(struct verb_context *context, struct resize *ret, struct error **err)
{
        const char *vcpu = verb_value(context, "vcpu"), *memory = verb_value(context, "memory");
        double cpu;

        ret->context = context;
        ret->cpu = verb_value(context, "cpu");
        ret->online = verb_flag(context, "online");
        if (!vcpu && !memory && !ret->cpu)
                return error_set(err, ERROR_USAGE, "resize: --vcpu, --memory or --cpu says to what");
        if (vcpu && (!text_parse_u32(vcpu, &ret->vcpu) || !ret->vcpu))
                return error_set(err, ERROR_USAGE, "--vcpu '%s' is not a number of vCPUs", vcpu);
        if (memory && (text_parse_size(memory, 1 << 20, &ret->memory) != TEXT_SIZE_OK || !ret->memory))
                return error_set(err, ERROR_USAGE,
                                 "--memory '%s' is not a size (try '2 GiB'; a plain number is MiB)", memory);
        if (ret->cpu && (!text_parse_decimal(ret->cpu, &cpu) || cpu <= 0))
                return error_set(err, ERROR_USAGE, "--cpu '%s' is not a number of CPUs", ret->cpu);
        return 0;
}

static void set_size(struct template *template, const char *name, uint64_t bytes)
{
        _cleanup_free_ char *size = bytes ? text_from_size(bytes) : xstrdup("0");

        template_set(template, name, size);
}

static int edit_vcpus(struct change *change, struct resize *resize, struct error **err)
{
        const struct vm_spec *spec = change->before.spec;
        uint32_t now = spec->vcpu + spec->vcpu_plugged;
        _cleanup_free_ char *plugged = NULL;

        if (!resize->vcpu || resize->vcpu == now)
                return 0;
        if (resize->vcpu < spec->vcpu) {
                error_set(err, ERROR_FAILED, "it was started with %u vCPUs, and those stay", spec->vcpu);
                return error_hint(err, "resize --config: fewer from the next start on");
        }
        if (resize->vcpu > vm_spec_vcpu_max(spec)) {
                error_set(err, ERROR_FAILED, "it has places for %u vCPUs", vm_spec_vcpu_max(spec));
                return error_hint(err, "VCPU_MAX gives more, from the next start on");
        }
        resize->grows = resize->grows || resize->vcpu > now;
        resize->shrinks = resize->shrinks || resize->vcpu < now;
        plugged = xasprintf("%u", resize->vcpu - spec->vcpu);
        template_set(change->edit, "VCPU_PLUGGED", plugged);
        return 0;
}

static int no_room(const struct vm_spec *spec, struct error **err)
{
        _cleanup_free_ char *max = text_from_size(spec->memory_max ? spec->memory_max : spec->memory);

        error_set(err, ERROR_FAILED, "it can have at most %s", max);
        return error_hint(err, "MEMORY_MAX gives more, from the next start on");
}

static int below_start(const struct vm_spec *spec, struct error **err)
{
        _cleanup_free_ char *start = text_from_size(vm_spec_ram(spec));

        error_set(err, ERROR_FAILED, "it was started with %s, and those stay", start);
        return error_hint(err, "resize --config: less from the next start on; "
                               "MEMORY_RESIZE_MODE = \"BALLOONING\" goes below while it runs");
}

/* One more module of just that size. */
static int add_dimm(struct change *change, uint64_t size, struct error **err)
{
        const struct vm_spec *spec = change->before.spec;
        _cleanup_free_ char *shown = text_from_size(size);
        const struct source_pos nowhere = { 0 };
        struct template_attribute dimm = { .name = xstrdup("DIMM"), .is_vector = true };

        if (size % DIMM_GRAIN || spec->n_dimms >= spec->memory_slots) {
                free(dimm.name);
                if (size % DIMM_GRAIN) {
                        error_set(err, ERROR_FAILED, "%s more are no multiple of 128 MiB", shown);
                        return error_hint(
                                err,
                                "guests use no smaller memory modules; resize --config: from the next start on");
                }
                error_set(err, ERROR_FAILED, "all %u slots have a memory module", spec->memory_slots);
                return error_hint(err, "MEMORY_SLOTS gives more, from the next start on");
        }
        template_set_pair(&dimm, "SIZE", shown, &nowhere);
        ARRAY_GROW(change->edit->attributes, change->edit->n_attributes);
        change->edit->attributes[change->edit->n_attributes++] = dimm;
        return 0;
}

/* Whole modules that are together just that: the last ones. */
static int remove_dimms(struct change *change, uint64_t size, struct error **err)
{
        const struct vm_spec *spec = change->before.spec;
        _cleanup_text_ struct text have = TEXT_INIT;
        uint64_t left = size;

        for (size_t i = spec->n_dimms; left && i-- > 0;) {
                long at = template_nth(change->edit, "DIMM", i);

                if (spec->dimms[i].size > left || at < 0)
                        continue;
                left -= spec->dimms[i].size;
                template_remove(change->edit, (size_t)at);
        }
        if (!left)
                return 0;
        for (size_t i = 0; i < spec->n_dimms; i++) {
                _cleanup_free_ char *one = text_from_size(spec->dimms[i].size);

                text_addf(&have, "%s%s", i ? ", " : "", one);
        }
        error_set(err, ERROR_FAILED, "only whole memory modules can be taken out; it has %s",
                  have.length ? text_str(&have) : "none");
        return error_hint(err, "resize --config: from the next start on");
}

static int edit_memory(struct change *change, struct resize *resize, struct error **err)
{
        const struct vm_spec *spec = change->before.spec;
        uint64_t boot = spec->memory, wanted = resize->memory, now;

        if (!wanted)
                return 0;
        if (spec->memory_resize_mode == MEMORY_BALLOONING) {
                if (wanted > (spec->memory_max ? spec->memory_max : spec->memory))
                        return no_room(spec, err);
                if (spec->balloon.model == BALLOON_MODEL_NONE)
                        return error_set(err, ERROR_FAILED, "it has no balloon (BALLOON/MODEL none)");
                set_size(change->edit, "MEMORY", wanted);
                return 0;
        }
        if (wanted > boot + vm_spec_memory_room(spec))
                return no_room(spec, err);
        if (wanted < boot)
                return below_start(spec, err);
        if (spec->memory_resize_mode == MEMORY_VIRTIO_MEM) {
                if ((wanted - boot) % VIRTIO_MEM_BLOCK)
                        return error_set(err, ERROR_FAILED, "virtio-mem gives and takes multiples of 2 MiB");
                set_size(change->edit, "MEMORY_PLUGGED", wanted - boot);
                return 0;
        }
        now = boot + vm_spec_dimms(spec);
        resize->grows = resize->grows || wanted > now;
        resize->shrinks = resize->shrinks || wanted < now;
        return wanted > now   ? add_dimm(change, wanted - now, err)
               : wanted < now ? remove_dimms(change, now - wanted, err)
                              : 0;
}

static int edit(struct change *change, void *data, struct error **err)
{
        struct resize *resize = data;

        resize->grows = resize->shrinks = false;
        if (resize->cpu)
                template_set(change->edit, "CPU", resize->cpu);
        if (edit_vcpus(change, resize, err) < 0 || edit_memory(change, resize, err) < 0)
                return -1;
        if (resize->grows && resize->shrinks)
                return error_set(err, ERROR_USAGE, "more of the one and less of the other are two commands");
        return 0;
}

struct goal {
        const char *command; /* the question, "balloon" or "size" its subject */
        uint64_t bytes;
        unsigned wait_ms;
};

static int read_actual(struct change *change, const struct goal *goal, uint64_t *ret, struct error **err)
{
        bool is_balloon = strcmp(goal->command, "query-balloon") == 0;
        json_auto_t *reply = NULL;

        if (control_client_call(change->control, goal->command,
                                is_balloon ? NULL
                                           : json_pack("{s:s, s:s}", "path", "/machine/peripheral/vmem0",
                                                       "property", "size"),
                                &reply, err) < 0)
                return -1;
        *ret = (uint64_t)json_integer_value(is_balloon ? json_object_get(reply, "actual") : reply);
        return 0;
}

/* The guest does it in its own time, or not at all: its word is not waited for without end. */
static int await_goal(struct change *change, const struct goal *goal, struct error **err)
{
        long long deadline = fd_now_ms() + goal->wait_ms;
        _cleanup_free_ char *wanted = text_from_size(goal->bytes), *has = NULL;
        uint64_t actual = 0;

        interrupt_arm(change->context, "it goes on trying", "not waiting for the guest, which was told %s",
                      wanted);
        change_tell_paused(change, "it takes or gives memory");
        if (!change_waits_for_guest(change))
                deadline = 0;
        for (;;) {
                uint64_t off;

                if (read_actual(change, goal, &actual, err) < 0)
                        return -1;
                off = actual > goal->bytes ? actual - goal->bytes : goal->bytes - actual;
                if (off < CLOSE_ENOUGH)
                        return 0;
                if (fd_now_ms() >= deadline)
                        break;
                poll(NULL, 0, LOOK_MS);
        }
        has = text_from_size(actual & ~(uint64_t)0xfffff);
        if (!deadline)
                return error_set(err, ERROR_GUEST, "the guest was told %s, and is at %s", wanted, has);
        error_set(err, ERROR_GUEST, "the guest was told %s, and is at %s after %u s", wanted, has,
                  goal->wait_ms / 1000);
        return error_hint(err,
                          "it goes on trying; without a driver for it, or with memory in use, it does not");
}

static int verify(struct change *change, const struct prepared *after, const struct resize *resize,
                  struct error **err)
{
        const struct vm_spec *spec = after->spec;
        struct goal goal = { .command = "query-balloon",
                             .bytes = spec->memory,
                             .wait_ms = (unsigned)verb_timeout_ms(resize->context, GUEST_MS) };

        /* Also when it was told before: what it has is what counts. */
        if (!resize->memory || spec->memory_resize_mode == MEMORY_HOTPLUG)
                return 0;
        if (spec->memory_resize_mode == MEMORY_VIRTIO_MEM) {
                goal.command = "qom-get";
                goal.bytes = spec->memory_plugged;
        }
        if (await_goal(change, &goal, err) == 0)
                return 0;
        if ((*err)->code == ERROR_GUEST && spec->balloon.pressure_floor)
                error_hint(err, "BALLOON/PRESSURE_FLOOR has it give memory while the host is short of it");
        return error_wrap(err, "%s of '%s'", resize->verb, spec->name);
}

/* What came that the guest has something to do for. */
static struct guest_part guest_part(const struct change *change, const struct vm_spec *spec)
{
        const struct vm_spec *before = change->before.spec;
        struct guest_part part = { 0 };

        if (spec->vcpu_plugged > before->vcpu_plugged)
                part.vcpus = spec->vcpu + spec->vcpu_plugged;
        if (spec->n_dimms > before->n_dimms)
                part.memory = spec->memory + vm_spec_dimms(spec);
        return part;
}

static bool is_emulated(const struct launch_plan *plan)
{
        for (size_t i = 1; i < plan->n_args; i++)
                if (strcmp(plan->args[i - 1].text, "-machine") == 0 &&
                    strstr(plan->args[i].text, "accel=tcg"))
                        return true;
        return false;
}

/* qemu-lab 5: without KVM the next device_add of a vCPU is a segmentation fault. */
void resize_warn_of_emulation(struct change *change, const struct vm_spec *spec)
{
        struct error *warning = NULL;

        if (spec->vcpu_plugged >= change->before.spec->vcpu_plugged || !is_emulated(change->before.plan))
                return;
        error_set(
                &warning, ERROR_FAILED,
                "QEMU 7.2 without KVM crashes when vCPUs or memory change after a vCPU has gone: leave both until the next start");
        output_warnings(warning, change->context);
        error_free(warning);
}

static int done(struct change *change, const struct prepared *after, void *data, struct error **err)
{
        const struct vm_spec *spec = after->spec;
        struct resize *resize = data;
        struct verb_context *context = resize->context;
        const struct guest_part part = guest_part(change, spec);
        json_auto_t *hints = guest_part_hints(&part);
        json_t *hint;
        size_t i;
        _cleanup_free_ char *memory =
                text_from_size(spec->memory + spec->memory_plugged + vm_spec_dimms(spec));

        if (verify(change, after, resize, err) < 0)
                return -1;
        resize_warn_of_emulation(change, spec);
        if (resize->online) {
                json_array_clear(hints);
                if (guest_part_do(change->control, &part, (unsigned)verb_timeout_ms(context, GUEST_MS), err) <
                    0)
                        return -1;
        }
        if (context->output == OUTPUT_JSON) {
                output_json(json_pack("{s:i, s:s, s:i, s:I, s:f, s:O}", "schema", 1, "name", spec->name,
                                      "vcpu", (int)(spec->vcpu + spec->vcpu_plugged), "memory",
                                      (json_int_t)(spec->memory + spec->memory_plugged + vm_spec_dimms(spec)),
                                      "cpu", spec->cpu, "hints", hints));
        } else if (!context->quiet) {
                printf("'%s' has %u vCPU%s, %s, CPU %g\n", spec->name, spec->vcpu + spec->vcpu_plugged,
                       spec->vcpu + spec->vcpu_plugged == 1 ? "" : "s", memory, spec->cpu);
                json_array_foreach (hints, i, hint)
                        printf("in the guest, %s\n", json_string_value(hint));
        }
        return 0;
}

static int write_config(void *data, struct error **err)
{
        struct resize *resize = data;

        return config_file_write(&resize->config, err);
}

/* The next start has all of it from the beginning. */
static int edit_config(struct resize *resize, struct error **err)
{
        struct config_file *file = &resize->config;
        _cleanup_free_ char *vcpu = resize->vcpu ? xasprintf("%u", resize->vcpu) : NULL,
                            *memory = resize->memory ? text_from_size(resize->memory) : NULL;
        const struct {
                const char *name, *value;
        } values[] = { { "VCPU", vcpu }, { "MEMORY", memory }, { "CPU", resize->cpu } };
        _cleanup_free_ char *text = xstrdup(file->template->text);

        for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
                _cleanup_(template_freep) struct template *now = NULL;
                char *next;

                if (!values[i].value)
                        continue;
                if (template_parse(file->path, text, strlen(text), &now, err) < 0)
                        return -1;
                next = template_edit_set(now, values[i].name, values[i].value);
                free(text);
                text = next;
        }
        return config_file_edit(resize->context, file, TAKE_PTR(text), err);
}

/* More memory finds its pages together; what less has given back is. */
static int change_live(struct resize *resize, const struct change_request *request, struct error **err)
{
        const struct site *site = resize->context->site;
        bool cleans = resize->memory && !request->only_plan && instance_is_own(site);
        _cleanup_error_ struct error *unknown = NULL;
        _cleanup_free_ char *name = NULL;
        int result;

        cleans = cleans && vm_find(&site->paths, request->vm, &name, &unknown) == 0;
        if (cleans && site->kvmrc.cleanup_on_start)
                memory_cleanup_of(site, name, PLAN_CLEANUP_WAIT_MS);
        result = change_do(resize->context, request, err);
        if (cleans && result == 0 && site->kvmrc.cleanup_on_stop)
                memory_cleanup_of(site, name, 0);
        return result;
}

static int carry_out(struct resize *resize,
                     int (*edit_live)(struct change *change, void *data, struct error **err),
                     struct error **err)
{
        struct verb_context *context = resize->context;
        bool has_config = verb_flag(context, "config"), only_plan = verb_flag(context, "plan");
        bool live = verb_flag(context, "live") || !has_config || only_plan;
        long long unplug_ms = verb_timeout_ms(context, UNPLUG_MS);
        struct change_request request = { .verb = resize->verb,
                                          .vm = context->args[0],
                                          .base_dir = "/",
                                          .unplug_s = (unsigned)((unplug_ms + 999) / 1000),
                                          .only_plan = only_plan,
                                          .refuse_next_start = true,
                                          .edit = edit_live,
                                          .done = done,
                                          .data = resize };

        if (has_config && (config_file_open(context, context->args[0], &resize->config, err) < 0 ||
                           edit_config(resize, err) < 0))
                return -1;
        if (has_config && !only_plan)
                request.before_commit = write_config;
        if (live)
                return change_live(resize, &request, err);
        if (config_file_write(&resize->config, err) < 0)
                return -1;
        if (!context->quiet && context->output == OUTPUT_TABLE)
                printf("'%s' has it from the next start on\n", resize->config.name);
        return 0;
}

/* --guest: the machine keeps its vCPUs, the guest uses so many of them. */
static int set_guest_vcpus(struct resize *resize, struct error **err)
{
        struct verb_context *context = resize->context;
        _cleanup_change_ struct change change = { 0 };
        const struct vm_spec *spec;

        if (!resize->vcpu || resize->memory || resize->cpu || verb_flag(context, "config") ||
            verb_flag(context, "plan"))
                return error_set(err, ERROR_USAGE, "resize: --guest goes with --vcpu alone");
        if (change_open(context, context->args[0], &change, err) < 0)
                return -1;
        spec = change.before.spec;
        if (resize->vcpu > spec->vcpu + spec->vcpu_plugged) {
                error_set(err, ERROR_FAILED, "it has %u vCPUs", spec->vcpu + spec->vcpu_plugged);
                return error_hint(err, "vmlaunch resize %s --vcpu %u gives it more", spec->name,
                                  resize->vcpu);
        }
        if (guest_set_vcpus(change.control, resize->vcpu, (unsigned)verb_timeout_ms(context, GUEST_MS), err) <
            0)
                return -1;
        if (context->output == OUTPUT_JSON)
                output_json(json_pack("{s:i, s:s, s:i}", "schema", 1, "name", spec->name, "online",
                                      (int)resize->vcpu));
        else if (!context->quiet)
                printf("the guest of '%s' uses %u of %u vCPUs\n", spec->name, resize->vcpu,
                       spec->vcpu + spec->vcpu_plugged);
        return 0;
}

int verb_resize(struct verb_context *context, struct error **err)
{
        struct resize resize = { .verb = "resize" };
        int result = read_options(context, &resize, err) < 0 ? -1
                     : verb_flag(context, "guest")           ? set_guest_vcpus(&resize, err)
                                                             : carry_out(&resize, edit, err);

        if (result < 0 && verb_flag(context, "guest"))
                error_wrap(err, "resize of '%s'", context->args[0]);

        config_file_done(&resize.config);
        return result;
}

/* balloon */

static int edit_balloon(struct change *change, void *data, struct error **err)
{
        const struct vm_spec *spec = change->before.spec;
        const struct resize *resize = data;

        if (spec->memory_resize_mode != MEMORY_BALLOONING) {
                error_set(err, ERROR_FAILED, "MEMORY_RESIZE_MODE is not BALLOONING");
                return error_hint(err, "vmlaunch resize %s --memory changes its memory", spec->name);
        }
        if (resize->memory > vm_spec_ram(spec))
                return no_room(spec, err);
        /* The machine keeps what it has. */
        if (!spec->memory_max)
                set_size(change->edit, "MEMORY_MAX", spec->memory);
        return edit_memory(change, data, err);
}

static int show_balloon(struct verb_context *context, struct error **err)
{
        _cleanup_(control_client_freep) struct control_client *client = NULL;
        _cleanup_free_ char *name = NULL;
        json_auto_t *reply = NULL, *stats = NULL;
        _cleanup_error_ struct error *ignored = NULL;
        json_t *json;

        if (vm_find(&context->site->paths, context->args[0], &name, err) < 0 ||
            control_client_open(&context->site->paths, name, &client, err) < 0 ||
            control_client_call(client, "query-balloon", NULL, &reply, err) < 0)
                return *err ? error_wrap(err, "balloon of '%s'", context->args[0]) : -1;
        json = json_pack("{s:i, s:s, s:O}", "schema", 1, "name", name, "actual",
                         json_object_get(reply, "actual"));
        if (control_client_call(client, "qom-get",
                                json_pack("{s:s, s:s}", "path", "/machine/peripheral/balloon0", "property",
                                          "guest-stats"),
                                &stats, &ignored) == 0 &&
            json_member_integer(stats, "last-update") > 0)
                json_object_set(json, "stats", json_object_get(stats, "stats"));
        if (context->output == OUTPUT_JSON) {
                output_json(json);
        } else {
                _cleanup_free_ char *actual = text_from_size((uint64_t)json_member_integer(reply, "actual"));
                const char *key;
                json_t *value;

                printf("%s\n", actual);
                json_object_foreach (json_object_get(json, "stats"), key, value) {
                        if (json_integer_value(value) >= 0)
                                printf("  %-28s %lld\n", key, (long long)json_integer_value(value));
                }
                json_decref(json);
        }
        return 0;
}

int verb_balloon(struct verb_context *context, struct error **err)
{
        struct resize resize = { .context = context, .verb = "balloon" };
        int result;

        if (context->n_args == 1)
                return show_balloon(context, err);
        if (text_parse_size(context->args[1], 1 << 20, &resize.memory) != TEXT_SIZE_OK || !resize.memory)
                return error_set(err, ERROR_USAGE,
                                 "'%s' is not a size (try '512 MiB'; a plain number is MiB)",
                                 context->args[1]);
        result = carry_out(&resize, edit_balloon, err);
        config_file_done(&resize.config);
        return result;
}
