#include "launcher/verb/pending.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "conf/spec_build.h"
#include "conf/spec_pending.h"

static struct vm_spec *read_spec(const struct site *site, const char *path, const char *name,
                                 struct error **err)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_free_ char *text = NULL, *directory = xstrdup(path);
        struct vm_spec *spec = NULL;
        size_t length;

        *strrchr(directory, '/') = '\0';
        if (fd_read_file_at(AT_FDCWD, path, TEMPLATE_MAX_BYTES, &text, &length, err) < 0 ||
            template_parse(path, text, length, &template, err) < 0 ||
            spec_build(template, site, *directory ? directory : "/", name, &spec, err) < 0)
                return NULL;
        return spec;
}

static void add(const char *reference, void *data)
{
        json_array_append_new(data, json_string(reference));
}

json_t *pending_changes(const struct site *site, const json_t *record, char **ret_fault)
{
        _cleanup_error_ struct error *unreadable = NULL;
        const char *name = json_member_string(record, "name");
        const char *template = json_member_string(record, "template");
        const char *state = json_member_string(record, "state");
        _cleanup_(vm_spec_freep) struct vm_spec *wanted = NULL, *live = NULL;
        _cleanup_free_ char *path = NULL;
        json_t *pending;

        if (!name || !template || *template != '/' || !state || strcmp(state, "stopped") == 0)
                return json_null();
        path = xasprintf("%s/%s/live.tmpl", site->paths.run, name);
        live = read_spec(site, path, name, &unreadable);
        wanted = live ? read_spec(site, template, name, &unreadable) : NULL;
        if (!wanted) {
                /* One that is gone is no fault: what it was started from may have been for that only. */
                if (live && unreadable->os_errno != ENOENT)
                        *ret_fault = error_text(unreadable);
                return json_null();
        }
        pending = json_array();
        spec_pending(wanted, live, add, pending);
        return pending;
}

bool is_autostarted(const struct paths *paths, const char *name)
{
        _cleanup_free_ char *link = xasprintf("%s/autostart/%s.tmpl", paths->etc, name);
        _cleanup_free_ char *unit =
                xasprintf("/etc/systemd/system/multi-user.target.wants/vmlaunch@%s.service", name);

        /* A link whose template is gone starts nothing. */
        return access(link, F_OK) == 0 ||
               (!*paths->root && faccessat(AT_FDCWD, unit, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
}
