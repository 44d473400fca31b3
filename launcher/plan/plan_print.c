/* The plan for people and shells: text, one command line, one argument per line. */
#include <inttypes.h>
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "cgroups/cgroup_plan.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/plan_word.h"
#include "net/net_plan.h"

static const char *string_of(const json_t *args, const char *key)
{
        const char *value = json_member_string(args, key);

        return value ? value : "";
}

static long long number_of(const json_t *args, const char *key)
{
        return json_member_integer(args, key);
}

/* Several lines of text, each behind a bar. */
static void add_quoted_lines(struct text *out, const char *text)
{
        while (*text) {
                size_t n = strcspn(text, "\n");

                text_add(out, "          | ");
                plan_add_visible(out, text, n);
                text_add(out, "\n");
                text += n + (text[n] == '\n');
        }
}

static void print_image_create(const json_t *args, const char *path, struct text *out)
{
        const char *raw_backing = string_of(args, "backing"), *fs = string_of(args, "fs");
        _cleanup_free_ char *backing = plan_visible(raw_backing, strlen(raw_backing));
        _cleanup_free_ char *size = text_from_size((uint64_t)number_of(args, "size"));

        text_addf(out, "file    make image    %s %s  %s", string_of(args, "format"), path, size);
        if (*fs)
                text_addf(out, "  mkfs %s", fs);
        if (*backing)
                text_addf(out, "  over %s", backing);
        text_add(out,
                 json_member_is_true(args, "keep") ? "  unless it is there\n" : "  dropped at the end\n");
}

static void print_file_step(const struct plan_step *step, struct text *out)
{
        const json_t *args = step->args;
        const char *raw_path = string_of(args, "path");
        _cleanup_free_ char *path = plan_visible(raw_path, strlen(raw_path));

        switch (step->effect) {
        case EFFECT_UID_CLAIM:
                text_addf(out, "file    claim         uid %lld  %s\n", number_of(args, "uid"), path);
                break;
        case EFFECT_IMAGE_OPEN:
                text_addf(out, "file    image         %s %s  lock %s\n", string_of(args, "access"), path,
                          string_of(args, "lock"));
                break;
        case EFFECT_IMAGE_CREATE:
                print_image_create(args, path, out);
                break;
        case EFFECT_CONNECT:
                text_addf(out, "file    connect       %s\n", path);
                break;
        case EFFECT_FILE_OPEN:
                text_addf(out, "file    %-13s ro %s%s\n", string_of(args, "fd"), path,
                          json_member_is_true(args, "copy") ? "  copied for the VM's user" : "");
                break;
        case EFFECT_SECRET:
                if (json_object_get(args, "random"))
                        text_addf(out, "file    secret        %s  %lld random characters, kept in %s\n",
                                  string_of(args, "fd"), number_of(args, "random"), string_of(args, "keep"));
                else
                        text_addf(out, "file    secret        %s  %s %s\n", string_of(args, "fd"),
                                  *path ? "from" : "of", *path ? path : string_of(args, "from"));
                break;
        case EFFECT_DEVICE_OPEN:
                text_addf(out, "file    device        %s  %s  %zu times\n", path,
                          *string_of(args, "access") ? string_of(args, "access") : "rw",
                          json_array_size(json_object_get(args, "fds")));
                break;
        case EFFECT_DEVICE_GRANT:
                text_addf(out, "file    device        %s  belongs to %lld\n", path, number_of(args, "uid"));
                break;
        case EFFECT_PORT:
                text_addf(out, "file    port          %lld of %s%s\n", number_of(args, "port"),
                          string_of(args, "address"), json_object_get(args, "fd") ? "" : "  bound by QEMU");
                break;
        case EFFECT_DIRECTORY:
                text_addf(out, "file    directory     %s  mode %04llo\n", path, number_of(args, "mode"));
                break;
        case EFFECT_LISTEN:
                text_addf(out, "file    socket        %s  mode %04llo\n", path, number_of(args, "mode"));
                break;
        case EFFECT_LOG_OPEN:
                text_addf(out, "file    log           %s\n", path);
                break;
        case EFFECT_SHARED_MEMORY:
                text_addf(out, "file    memory        %s  %lld bytes\n", path, number_of(args, "size"));
                break;
        case EFFECT_SOCKET_PAIR:
                text_addf(out, "file    socket pair   %s  %s%s\n", string_of(args, "fd"),
                          string_of(args, "peer"),
                          json_member_is_true(args, "listens") ? "  the first one listens" : "");
                break;
        case EFFECT_STATE_DIRECTORY:
                text_addf(out, "file    directory     %s  mode %04llo  kept\n", path,
                          number_of(args, "mode"));
                break;
        case EFFECT_STDERR:
                text_addf(out, "file    %-13s in memory, at most %lld bytes\n", string_of(args, "fd"),
                          number_of(args, "max"));
                break;
        case EFFECT_NVRAM: {
                const char *from = string_of(args, "template");
                _cleanup_free_ char *template = plan_visible(from, strlen(from));

                text_addf(out, "file    nvram         rw %s  %s, at first a copy of %s\n", path,
                          string_of(args, "format"), template);
                break;
        }
        case EFFECT_MACHINE_LOCK:
        case EFFECT_LIVE_TEMPLATE:
                text_addf(out, "file    write         %s\n", path);
                add_quoted_lines(out, string_of(args, "text"));
                break;
        default:
                break;
        }
}

static void print_net_step(const struct plan_step *step, struct text *out)
{
        struct error *err = NULL;
        struct net_op op;

        text_add(out, "net     ");
        if (step->effect == EFFECT_SCRIPT)
                text_addf(out, "script        %s  %s", string_of(step->args, "ifname"),
                          string_of(step->args, "path"));
        else if (net_op_from_json(step->args, &op, &err) == 0)
                net_op_text(&op, out);
        else
                text_add(out, err->message);
        text_add(out, "\n");
        error_free(err);
}

static void print_unit_step(const struct plan_step *step, struct text *out)
{
        const char *unit = string_of(step->args, "unit");
        const json_t *property;
        size_t i;

        if (step->effect == EFFECT_SCOPE)
                text_addf(out, "unit    scope         %s  in %s\n", unit, string_of(step->args, "slice"));
        json_array_foreach (json_object_get(step->args, "properties"), i, property)
                text_addf(out, "unit    set           %s %s = %s\n", unit, string_of(property, "name"),
                          string_of(property, "value"));
}

static void print_cgroup_step(const struct plan_step *step, struct text *out)
{
        struct cgroup_setting setting;
        struct error *err = NULL;
        const char *path;

        if (step->effect == EFFECT_CGROUP_CREATE) {
                const json_t *controller = json_object_get(step->args, "controller");

                text_addf(out, "cgroup  create        %s%s%s\n", string_of(step->args, "path"),
                          controller ? "  in the hierarchy of " : "",
                          controller ? json_string_value(controller) : "");
                return;
        }
        text_add(out, "cgroup  ");
        if (cgroup_setting_from_json(step->args, &path, &setting, &err) == 0)
                cgroup_setting_text(path, &setting, out);
        else
                text_add(out, err->message);
        text_add(out, "\n");
        error_free(err);
}

static void print_qmp_step(const struct plan_step *step, struct text *out)
{
        const json_t *arguments = json_object_get(step->args, "arguments");
        _cleanup_free_ char *text = json_dumps(arguments, JSON_COMPACT);
        const char *fd = string_of(step->args, "fd");

        text_addf(out, "qmp     %s%s%s%s%s\n", string_of(step->args, "execute"),
                  json_object_size(arguments) ? " " : "", json_object_size(arguments) ? text : "",
                  *fd ? "  with fd " : "", fd);
}

static void print_exec(const struct launch_plan *plan, struct text *out)
{
        for (char **variable = plan->env; variable && *variable; variable++)
                text_addf(out, "env     %s\n", *variable);
        for (size_t i = 0; i < plan->n_args; i++) {
                text_add(out, i == 0 ? "exec    " : plan->args[i].is_option ? " \\\n          " : " ");
                plan_add_word(out, plan->args[i].text);
        }
        text_add(out, "\n");
}

static void print_helper(const json_t *args, struct text *out)
{
        const json_t *directory = json_object_get(args, "directory"), *ids = json_object_get(args, "ids");
        const char *separator = "";
        json_t *entry;
        size_t i;

        text_addf(out, "helper  %-13s ", string_of(args, "id"));
        json_array_foreach (json_object_get(args, "argv"), i, entry) {
                _cleanup_free_ char *word = plan_word(json_string_value(entry));

                text_addf(out, "%s%s", separator, word);
                separator = " ";
        }
        json_array_foreach (json_object_get(args, "fds"), i, entry) {
                text_addf(out, "\n          fd %lld %s", number_of(entry, "fd"), string_of(entry, "source"));
        }
        if (directory) {
                const char *path = json_string_value(directory);
                _cleanup_free_ char *visible = plan_visible(path, strlen(path));

                text_addf(out, "\n          fd %lld directory %s%s", number_of(args, "directory_fd"), visible,
                          json_member_is_true(args, "readonly") ? "  read-only" : "");
        }
        text_addf(out, "\n          uid %lld  gid %lld  ", number_of(args, "uid"), number_of(args, "gid"));
        if (ids)
                text_addf(out, "and %lld that follow, in namespaces of its own  no_new_privs\n",
                          json_integer_value(ids) - 1);
        else
                text_add(out, "caps none  no_new_privs\n");
}

static void print_confine(const struct launch_plan *plan, struct text *out)
{
        const struct plan_confinement *confine = &plan->confine;

        text_addf(out, "confine uid %u  gid %u  groups ", confine->uid, confine->gid);
        for (size_t i = 0; i < confine->n_groups; i++)
                text_addf(out, "%s%s", i ? "," : "", confine->group_names[i]);
        if (!confine->n_groups)
                text_add(out, "none");
        text_add(out, "  caps none  no_new_privs  seccomp qemu");
        if (confine->memlock == UINT64_MAX)
                text_add(out, "  memlock unlimited");
        else if (confine->memlock)
                text_addf(out, "  memlock %" PRIu64, confine->memlock);
        text_addf(out, "%s", confine->no_thp ? "  no thp" : "");
        if (confine->cpus)
                text_addf(out, "  cpus %s", confine->cpus);
        if (confine->memory_nodes)
                text_addf(out, "  memory nodes %s", confine->memory_nodes);
        text_add(out, "\n");
}

static void print_affinity(const json_t *args, struct text *out)
{
        static const char *const kinds[][2] = { { "vcpus", "vcpu" }, { "iothreads", "iothread" } };

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                const char *number;
                json_t *cpus;

                json_object_foreach (json_object_get(args, kinds[i][0]), number, cpus)
                        text_addf(out, "thread  %-8s %-5s on cpus %s\n", kinds[i][1], number,
                                  json_string_value(cpus));
        }
}

static void print_list(const char *word, const struct error *warning, struct text *out)
{
        for (; warning; warning = warning->next) {
                _cleanup_free_ char *text = error_text(warning);
                _cleanup_free_ char *visible = plan_visible(text, strlen(text));

                text_addf(out, "%-7s %s\n", word, visible);
                if (warning->hint)
                        text_addf(out, "          %s\n", warning->hint);
        }
}

char *launch_plan_text(const struct launch_plan *plan)
{
        struct text out = TEXT_INIT;

        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_NET || plan->steps[i].effect == EFFECT_SCRIPT)
                        print_net_step(&plan->steps[i], &out);
        for (size_t i = 0; i < plan->n_steps; i++) {
                enum plan_effect effect = plan->steps[i].effect;

                if (effect == EFFECT_CGROUP_CREATE || effect == EFFECT_CGROUP_WRITE)
                        print_cgroup_step(&plan->steps[i], &out);
                else if (effect == EFFECT_MACHINED)
                        text_addf(&out, "unit    register      %s with systemd-machined\n",
                                  string_of(plan->steps[i].args, "name"));
                else if (effect == EFFECT_MEMORY_CLEANUP)
                        text_addf(&out,
                                  "host    drop caches   and compact memory, unless in the last %lld s\n",
                                  number_of(plan->steps[i].args, "interval_s"));
                else if (effect == EFFECT_SCOPE || effect == EFFECT_UNIT_SET)
                        print_unit_step(&plan->steps[i], &out);
        }
        for (size_t i = 0; i < plan->n_steps; i++)
                print_file_step(&plan->steps[i], &out);
        for (size_t i = 0; i < plan->n_fds; i++) {
                size_t start;

                text_add(&out, "fd      ");
                start = out.length;
                text_add_u64(&out, (uint64_t)plan->fds[i].child_fd);
                text_add_bytes(&out, "              ", 14 - (out.length - start));
                plan_add_visible(&out, plan->fds[i].text, strlen(plan->fds[i].text));
                text_add(&out, "\n");
        }
        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_HELPER)
                        print_helper(plan->steps[i].args, &out);
        print_exec(plan, &out);
        print_confine(plan, &out);
        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_AFFINITY)
                        print_affinity(plan->steps[i].args, &out);
        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_QMP)
                        print_qmp_step(&plan->steps[i], &out);
        print_list("warning", plan->warnings, &out);
        print_list("note", plan->notes, &out);
        return text_take(&out);
}

char *launch_plan_shell(const struct launch_plan *plan)
{
        _cleanup_argv_ struct argv argv = ARGV_INIT;
        struct text out = TEXT_INIT;

        for (size_t i = 0; i < plan->n_args; i++)
                argv_add(&argv, plan->args[i].text);
        argv_print_shell(&argv, &out);
        text_add(&out, "\n");
        return text_take(&out);
}

char *launch_plan_argv(const struct launch_plan *plan)
{
        struct text out = TEXT_INIT;

        for (size_t i = 0; i < plan->n_args; i++)
                text_addf(&out, "%s\n", plan->args[i].text);
        return text_take(&out);
}
