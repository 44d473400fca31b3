/* unit-stopped, enable, disable: a VM and the init system that starts it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/log.h"
#include "base/process.h"
#include "base/text.h"
#include "conf/spec_build.h"
#include "launcher/host/host_facts.h"
#include "launcher/run/reconcile.h"
#include "launcher/run/unit.h"
#include "launcher/state/state_dir.h"
#include "launcher/verb/autostart.h"
#include "launcher/verb/instance.h"
#include "launcher/verb/output.h"
#include "launcher/verb/prepare.h"
#include "launcher/verb/verbs.h"
#include "launcher/verb/vm_find.h"

/* systemctl waits for a reload of all units. */
#define SYSTEMCTL_MS 30000
/* What systemctl needs for telling systemd what to start. */
#define ASK_MS 2000
/* Of a log what a start can have written. */
#define LOG_MAX (1u << 20)

static void say_line(const char *line, void *data)
{
        (void)data;
        log_notice("%s", line);
}

/*
 * After the unit's main process has ended, however it did. systemd says how in SERVICE_RESULT (systemd.exec(5)): as it was
 * told to, or because the time to stop or start had passed, and then nothing of the VM may stay; or otherwise, and then it
 * starts the unit again, which adopts a QEMU that lives.
 */
int verb_unit_stopped(struct verb_context *context, struct error **err)
{
        const char *name = context->args[0], *result = getenv("SERVICE_RESULT");
        bool for_good = !result || strcmp(result, "success") == 0 || strcmp(result, "timeout") == 0;
        struct cgroup_host cgroup = { 0 };
        int status = 0;

        if (!spec_name_is_valid(name))
                return error_set(err, ERROR_USAGE, "'%s' cannot be a VM's name", name);
        if (cgroup_host_read("", &cgroup, err) < 0)
                return -1;
        if (orphan_exists(context->site, name)) {
                if (for_good)
                        status = orphan_destroy(context->site, &cgroup, name, say_line, NULL, err);
                else
                        status = adopt_for_leases(context, name, err);
        } else {
                const struct reconcile_request request = {
                        .site = context->site, .cgroup = &cgroup, .name = name, .line = say_line
                };

                status = reconcile(&request, err);
                /* It has ended in order and left nothing to look at. */
                if (status < 0 && (*err)->code == ERROR_NO_SUCH_VM) {
                        error_free(TAKE_PTR(*err));
                        status = 0;
                }
        }
        cgroup_host_done(&cgroup);
        return status;
}

static int systemctl(const char *verb, const char *unit, struct error **err)
{
        const char *const argv[] = { "systemctl", "--quiet", "--no-ask-password", verb, unit, NULL };
        const struct process_options options = { .argv = argv, .deadline_ms = SYSTEMCTL_MS };

        return process_check(&options, NULL, err);
}

/* How a start that systemd calls failed did fail: the exit status as an error's code, and the last error in the log, or what
 * systemctl has said. *ret_limited: it was not tried, as there were too many of them. */
static int start_failed(const struct launch_plan *plan, const char *unit, off_t log_end, const char *said,
                        bool *ret_limited, struct error **err)
{
        static const char exit_status[] = "ExecMainStatus=";
        const char *const argv[] = { "systemctl", "show", "--property=Result,ExecMainStatus", unit, NULL };
        const struct process_options options = { .argv = argv,
                                                 .deadline_ms = SYSTEMCTL_MS,
                                                 .output_max = 256 };
        const char *why = *said ? said : "systemd could not start its unit", *found = NULL;
        struct process_result result = { 0 };
        _cleanup_close_ int fd = open(plan->log_path, O_RDONLY | O_CLOEXEC);
        _cleanup_free_ char *text = NULL;
        struct error *ignored = NULL;

        if (process_check(&options, &result, &ignored) < 0)
                error_free(TAKE_PTR(ignored));
        if (result.output) {
                found = strstr(result.output, exit_status);
                *ret_limited = strstr(result.output, "Result=start-limit-hit");
        }
        if (fd >= 0 && lseek(fd, log_end, SEEK_SET) == log_end &&
            fd_read_all(fd, "the log", LOG_MAX, &text, NULL, &ignored) == 0)
                for (char *at = text; (at = strstr(at, " error: "));)
                        why = at += strlen(" error: ");
        error_free(ignored);
        error_set(err, error_code_of_exit(found ? atoi(found + strlen(exit_status)) : 1), "%.*s",
                  (int)strcspn(why, "\n"), why);
        process_result_done(&result);
        return error_hint(err, "journalctl -u %s", unit);
}

static int start_once(const struct launch_plan *plan, const char *unit, int timeout_ms, bool *ret_limited,
                      struct error **err)
{
        const char *const argv[] = { "systemctl", "--quiet", "--no-ask-password", "start", unit, NULL };
        const struct process_options options = { .argv = argv, .deadline_ms = timeout_ms };
        struct process_result result = { 0 };
        struct stat st = { 0 };
        int status;

        (void)!stat(plan->log_path, &st);
        status = process_run(&options, &result, err);
        if (status == 0 && result.status != 0)
                status = start_failed(plan, unit, st.st_size, result.stderr_text, ret_limited, err);
        process_result_done(&result);
        if (status == 0 || (*err)->code != ERROR_DEADLINE || (*err)->hint)
                return status;
        error_free(TAKE_PTR(*err));
        error_set(err, ERROR_DEADLINE, "start '%s': it is not ready after %d s", plan->name,
                  timeout_ms / 1000);
        return error_hint(err, "systemd goes on with it: 'vmlaunch status %s' shows what becomes of it",
                          plan->name);
}

int unit_start(const struct verb_context *context, const struct prepared *prepared, long long timeout_ms,
               json_t **ret_record, struct error **err)
{
        const struct launch_plan *plan = prepared->plan;
        int wait_ms = timeout_ms > INT_MAX ? INT_MAX : timeout_ms > ASK_MS ? (int)timeout_ms : ASK_MS, status;
        struct vm_dir *vm = NULL;
        bool limited = false;

        /* Whoever runs it, unit or not, is told so: systemd would say that all is well. */
        if (vm_dir_open(&context->site->paths, plan->name, &vm, err) < 0)
                error_free(TAKE_PTR(*err));
        else if (vm_dir_is_locked(vm, NULL)) {
                vm_dir_release(vm, true);
                /* A reconcile will let go in a moment. */
                if (vm_dir_lock(&context->site->paths, plan->name, &vm, err) < 0)
                        return -1;
        }
        vm_dir_release(vm, true);
        vm = NULL;
        status = start_once(plan, prepared->unit, wait_ms, &limited, err);
        /* The limit is for what starts again and again by itself: this one somebody asks for. */
        if (status < 0 && limited) {
                error_free(TAKE_PTR(*err));
                status = systemctl("reset-failed", prepared->unit, err);
                if (status == 0)
                        status = start_once(plan, prepared->unit, wait_ms, &limited, err);
        }
        if (status == 0)
                status = vm_dir_open(&context->site->paths, plan->name, &vm, err);
        if (status == 0)
                status = record_read(vm->fd, ret_record, err);
        vm_dir_release(vm, true);
        return status;
}

/* A supervisor of ours would be in the caller's session, and go with it. */
bool unit_adopt(const struct verb_context *context, const char *name, char **ret_line)
{
        _cleanup_error_ struct error *err = NULL, *never_failed = NULL;
        json_auto_t *record = NULL;
        const char *unit = NULL;

        if (vm_record(&context->site->paths, name, &record, &err) == 0)
                unit = json_member_string(record, "unit");
        if (!unit || !text_ends_with(unit, ".service"))
                return false;
        systemctl("reset-failed", unit, &never_failed);
        if (systemctl("start", unit, &err) < 0)
                return false;
        *ret_line = xasprintf("adopted: its unit, %s, looks after QEMU again", unit);
        return true;
}

/* when: by systemd "at boot", else by whom its start is left to, of root an init script. */
static int report(const struct verb_context *context, const char *name, bool enabled, const char *when)
{
        if (context->output != OUTPUT_TABLE)
                output_object(json_pack("{s:i, s:s, s:b}", "schema", 1, "name", name, "autostart", enabled),
                              context->output);
        else if (!context->quiet)
                printf("%s is %s %s\n", name, enabled ? "started" : "not started", when);
        return 0;
}

/* Where no systemd is: links in ETC/autostart, which `start --autostart` reads. */
static int set_link(const struct paths *paths, const char *name, bool enable, struct error **err)
{
        _cleanup_free_ char *directory = xasprintf("%s/autostart", paths->etc);
        _cleanup_free_ char *path = xasprintf("%s/%s.tmpl", directory, name);
        _cleanup_free_ char *target = xasprintf("../vms/%s.tmpl", name);

        if (!enable)
                return unlink(path) == 0 || errno == ENOENT ? 0 : error_os(err, errno, "remove '%s'", path);
        if (mkdir(directory, 0755) < 0 && errno != EEXIST)
                return error_os(err, errno, "create '%s'", directory);
        return symlink(target, path) == 0 || errno == EEXIST ? 0 : error_os(err, errno, "create '%s'", path);
}

/* What else is wrong with its template is the start's to say, as it may be put right until then. */
static int check_name(const char *path, const char *name, struct error **err)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_error_ struct error *ignored = NULL;
        _cleanup_free_ char *text = NULL;
        size_t length;

        if (fd_read_file_at(AT_FDCWD, path, TEMPLATE_MAX_BYTES, &text, &length, &ignored) < 0 ||
            template_parse(path, text, length, &template, &ignored) < 0)
                return 0;
        return autostart_check_name(template, name, err);
}

static int set_autostart(struct verb_context *context, bool enable, struct error **err)
{
        const struct paths *paths = &context->site->paths;
        _cleanup_free_ char *path = NULL, *unit = NULL;
        const char *name = context->args[0];

        if (instance_need_owner(context, "choosing what is started at boot", err) < 0)
                return -1;
        if (!vm_is_defined(paths, name, &path) && (enable || !spec_name_is_valid(name))) {
                _cleanup_free_ char *shown = text_printable(name);

                error_set(err, ERROR_NO_SUCH_VM, "'%s' has no template in %s/vms", shown, paths->etc);
                return error_hint(err, "a VM that is started at boot is found by its name there");
        }
        if (enable && check_name(path, name, err) < 0)
                return -1;
        if (!systemd_has_unit(paths)) {
                if (set_link(paths, name, enable, err) < 0)
                        return -1;
                return report(context, name, enable, "by 'vmlaunch start --autostart'");
        }
        unit = unit_service_name(name);
        if (systemctl(enable ? "enable" : "disable", unit, err) < 0)
                return error_wrap(err, "%s '%s'", context->verb->name, name);
        return report(context, name, enable, "at boot");
}

int verb_enable(struct verb_context *context, struct error **err)
{
        return set_autostart(context, true, err);
}

int verb_disable(struct verb_context *context, struct error **err)
{
        return set_autostart(context, false, err);
}
