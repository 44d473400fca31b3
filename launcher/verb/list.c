/* list: from the records alone, so that no VM, however stuck, makes it wait. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "conf/spec_build.h"
#include "launcher/state/state_dir.h"
#include "launcher/verb/output.h"
#include "launcher/verb/verbs.h"

static bool is_stopped(const json_t *record)
{
        const char *state = json_member_string(record, "state");

        return state && strcmp(state, "stopped") == 0;
}

/* The record, and whether a supervisor has the VM: its lock says that, a pid may be another's by now. */
static int read_vm(const struct paths *paths, const char *name, json_t **ret_record, bool *ret_supervised,
                   struct error **err)
{
        struct vm_dir *dir = NULL;
        int result;

        if (vm_dir_open(paths, name, &dir, err) < 0)
                return -1;
        result = record_read(dir->fd, ret_record, err);
        *ret_supervised = result == 0 && vm_dir_is_locked(dir, NULL);
        /* It may have ended between the two looks. */
        if (result == 0 && !*ret_supervised && !is_stopped(*ret_record)) {
                json_decref(TAKE_PTR(*ret_record));
                result = record_read(dir->fd, ret_record, err);
        }
        vm_dir_release(dir, true);
        return result;
}

/* Adds {"name","state","pid","template","uuid","verdict"} of one VM; what is stopped only when all. */
static void add_vm(const struct paths *paths, const char *name, bool all, json_t *array)
{
        _cleanup_error_ struct error *error = NULL;
        json_auto_t *record = NULL;
        const char *state;
        bool supervised = false;
        json_int_t pid;

        /* A directory without a record is a start or an end in progress: nothing to show yet. */
        if (read_vm(paths, name, &record, &supervised, &error) < 0)
                return;
        state = json_member_string(record, "state");
        pid = json_member_integer(record, "pid");
        if (!state)
                state = "unknown";
        if (is_stopped(record)) {
                if (!all)
                        return;
                pid = 0;
        } else if (!supervised) {
                state = "unsupervised";
                /* systemd, for one, has ended all of a scope. */
                if (!record_says_qemu_lives(record))
                        pid = 0;
        }
        json_array_append_new(array, json_pack("{s:s, s:s, s:o, s:O?, s:O?, s:O?}", "name", name, "state",
                                               state, "pid", pid ? json_integer(pid) : json_null(),
                                               "template", json_object_get(record, "template"), "uuid",
                                               json_object_get(record, "uuid"), "verdict",
                                               json_object_get(record, "verdict")));
}

static bool listed(const json_t *array, const char *name)
{
        size_t i;
        json_t *vm;

        json_array_foreach (array, i, vm)
                if (strcmp(json_member_string(vm, "name"), name) == 0)
                        return true;
        return false;
}

/* VMs of ETC/vms that have no directory in RUN. */
static void add_defined(const struct paths *paths, json_t *array)
{
        _cleanup_free_ char *path = xasprintf("%s/vms", paths->etc);
        DIR *dir = opendir(path);

        if (!dir)
                return;
        for (struct dirent *entry; (entry = readdir(dir));) {
                _cleanup_free_ char *name = xstrdup(entry->d_name), *file = NULL;

                if (!text_ends_with(name, ".tmpl"))
                        continue;
                name[strlen(name) - strlen(".tmpl")] = '\0';
                if (!spec_name_is_valid(name) || listed(array, name))
                        continue;
                file = xasprintf("%s/%s", path, entry->d_name);
                json_array_append_new(array,
                                      json_pack("{s:s, s:s, s:n, s:s, s:n, s:n}", "name", name, "state",
                                                "defined", "pid", "template", file, "uuid", "verdict"));
        }
        closedir(dir);
}

int verb_list(struct verb_context *context, struct error **err)
{
        static const char *const headers[] = { "NAME", "STATE", "PID", "TEMPLATE" };
        const struct paths *paths = &context->site->paths;
        _cleanup_(table_freep) struct table *table = NULL;
        json_auto_t *array = json_array();
        bool all = verb_flag(context, "all");
        char **names = NULL;
        size_t i;
        json_t *vm;

        if (vm_dir_names(paths, &names, err) < 0)
                return -1;
        for (char **name = names; *name; name++)
                add_vm(paths, *name, all, array);
        names_free(names);
        if (all)
                add_defined(paths, array);
        if (context->output == OUTPUT_JSON) {
                output_json(json_incref(array));
                return 0;
        }
        table = table_new(headers, ARRAY_SIZE(headers));
        json_array_foreach (array, i, vm) {
                json_int_t pid = json_member_integer(vm, "pid");
                const char *verdict = json_member_string(vm, "verdict");
                const char *state = json_member_string(vm, "state");
                _cleanup_free_ char *pid_text = pid ? xasprintf("%lld", (long long)pid) : NULL;
                _cleanup_free_ char *state_text = verdict && strcmp(state, "stopped") == 0
                                                          ? xasprintf("%s (%s)", state, verdict)
                                                          : xstrdup(state);

                table_row(table, (const char *[]){ json_member_string(vm, "name"), state_text, pid_text,
                                                   json_member_string(vm, "template") });
        }
        table_print(table, context->output);
        return 0;
}
