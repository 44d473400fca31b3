#include "launcher/verb/vm_find.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "conf/spec_build.h"
#include "conf/template.h"
#include "launcher/state/state_dir.h"

int vm_record(const struct paths *paths, const char *name, json_t **ret, struct error **err)
{
        struct vm_dir *dir = NULL;
        int result;

        if (vm_dir_open(paths, name, &dir, err) < 0)
                return -1;
        result = record_read(dir->fd, ret, err);
        vm_dir_release(dir, true);
        /* A start that failed early leaves a directory without one. */
        if (result < 0 && (*err)->code == ERROR_NO_SUCH_VM) {
                error_free(TAKE_PTR(*err));
                return error_set(err, ERROR_NO_SUCH_VM, "VM '%s' has not run", name);
        }
        return result;
}

int vm_live_template(const struct paths *paths, const char *name, char **ret, struct error **err)
{
        struct vm_dir *dir = NULL;
        int result;

        if (vm_dir_open(paths, name, &dir, err) < 0)
                return -1;
        result = fd_read_file_at(dir->fd, "live.tmpl", TEMPLATE_MAX_BYTES, ret, NULL, err);
        vm_dir_release(dir, true);
        /* It goes with the run. */
        if (result < 0 && (*err)->os_errno == ENOENT) {
                error_free(TAKE_PTR(*err));
                return error_set(err, ERROR_NOT_RUNNING, "'%s' is not running", name);
        }
        if (result < 0 && (*err)->os_errno == EACCES) {
                error_free(TAKE_PTR(*err));
                return error_set(err, ERROR_NOT_PERMITTED,
                                 "only root may read the template that '%s' runs with", name);
        }
        return result;
}

static char *find_uuid(const struct paths *paths, char *const *names, const char *uuid)
{
        for (; *names; names++) {
                _cleanup_error_ struct error *ignored = NULL;
                json_auto_t *record = NULL;
                const char *own;

                if (vm_record(paths, *names, &record, &ignored) < 0)
                        continue;
                own = json_member_string(record, "uuid");
                if (own && strcasecmp(own, uuid) == 0)
                        return xstrdup(*names);
        }
        return NULL;
}

static bool contains(char *const *names, const char *name)
{
        for (; *names; names++)
                if (strcmp(*names, name) == 0)
                        return true;
        return false;
}

bool vm_is_defined(const struct paths *paths, const char *name, char **ret_path)
{
        char *path;

        if (!spec_name_is_valid(name))
                return false;
        path = xasprintf("%s/vms/%s.tmpl", paths->etc, name);
        if (access(path, F_OK) == 0) {
                *ret_path = path;
                return true;
        }
        free(path);
        return false;
}

static int not_running(const char *name, struct error **err)
{
        error_set(err, ERROR_NOT_RUNNING, "'%s' is defined but not running", name);
        return error_hint(err, "vmlaunch start %s", name);
}

int vm_find(const struct paths *paths, const char *argument, char **ret_name, struct error **err)
{
        _cleanup_free_ char *one = NULL, *path = NULL;
        uint8_t uuid[16];
        uint64_t id;
        char **names = NULL;

        if (vm_dir_names(paths, &names, err) < 0)
                return -1;
        if (text_parse_u64(argument, &id))
                one = xasprintf("one-%llu", (unsigned long long)id);
        if (contains(names, argument)) {
                *ret_name = xstrdup(argument);
        } else if (text_parse_uuid(argument, uuid) && (*ret_name = find_uuid(paths, names, argument))) {
                ;
        } else if (one && contains(names, one)) {
                *ret_name = TAKE_PTR(one);
        } else if (vm_is_defined(paths, argument, &path)) {
                *ret_name = xstrdup(argument);
                not_running(argument, err);
        } else if (one && vm_is_defined(paths, one, &path)) {
                not_running(one, err);
                *ret_name = TAKE_PTR(one);
        } else {
                _cleanup_free_ char *shown = text_printable(argument);
                const char *near = text_nearest(argument, (const char *const *)names);

                error_set(err, ERROR_NO_SUCH_VM, "no VM '%s'", shown);
                if (near)
                        error_hint(err, "did you mean '%s'?", near);
                else
                        error_hint(err, "vmlaunch list --all shows the VMs of this host");
        }
        names_free(names);
        return *err ? -1 : 0;
}
