#include "launcher/verb/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "conf/spec_build.h"
#include "launcher/verb/device_kind.h"
#include "launcher/verb/vm_find.h"

void config_file_done(struct config_file *file)
{
        template_free(file->template);
        template_free(file->resolved);
        free(file->resolved_text);
        free(file->name);
        free(file->path);
        free(file->base_dir);
        free(file->edited);
        *file = (struct config_file){ 0 };
}

/* ETC/vms/NAME.tmpl; of a VM that runs the file it was started from. */
static int find(const struct verb_context *context, const char *argument, struct config_file *file,
                struct error **err)
{
        const struct paths *paths = &context->site->paths;
        _cleanup_error_ struct error *ignored = NULL;
        json_auto_t *record = NULL;
        const char *template;

        if (vm_find(paths, argument, &file->name, err) < 0) {
                if ((*err)->code != ERROR_NOT_RUNNING || !file->name)
                        return -1;
                error_free(TAKE_PTR(*err));
        }
        if (vm_is_defined(paths, file->name, &file->path)) {
                /* A link stays one: what it means is written. */
                char *real = realpath(file->path, NULL);

                if (real) {
                        free(file->path);
                        file->path = real;
                }
                return 0;
        }
        if (vm_record(paths, file->name, &record, &ignored) == 0) {
                template = json_member_string(record, "template");
                if (template && *template == '/') {
                        file->path = xstrdup(template);
                        return 0;
                }
        }
        error_set(err, ERROR_FAILED, "'%s' has no template file: it was started from stdin", file->name);
        return error_hint(err, "its template as it runs is %s/%s/live.tmpl", paths->run, file->name);
}

int config_file_open(struct verb_context *context, const char *argument, struct config_file *ret,
                     struct error **err)
{
        _cleanup_config_file_ struct config_file file = { 0 };
        _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL;
        _cleanup_free_ char *text = NULL;
        size_t length;

        if (find(context, argument, &file, err) < 0 ||
            fd_read_file_at(AT_FDCWD, file.path, TEMPLATE_MAX_BYTES, &text, &length, err) < 0)
                return -1;
        file.base_dir = xstrndup(file.path, (size_t)(strrchr(file.path, '/') - file.path) ?: 1);
        if (template_parse(file.path, text, length, &file.template, err) < 0 ||
            spec_build(file.template, context->site, file.base_dir, file.name, &spec, err) < 0)
                return error_wrap(err, "the template of '%s'", file.name);
        file.resolved_text = spec_to_template(spec);
        if (template_parse(file.path, file.resolved_text, strlen(file.resolved_text), &file.resolved, err) <
            0)
                return -1;
        *ret = file;
        file = (struct config_file){ 0 };
        return 0;
}

int config_file_edit(struct verb_context *context, struct config_file *file, char *text_consume,
                     struct error **err)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_prepare_facts_ struct prepare_facts facts = { 0 };
        _cleanup_prepared_ struct prepared prepared = { 0 };

        free(file->edited);
        file->edited = text_consume;
        if (template_parse(file->path, file->edited, strlen(file->edited), &template, err) < 0 ||
            prepare_template(context, template, file->base_dir, file->name, false, &facts, &prepared, err) <
                    0)
                return error_wrap(err, "%s with this change", file->path);
        return 0;
}

int config_file_write(const struct config_file *file, struct error **err)
{
        _cleanup_close_ int dir = open(file->base_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const char *name = strrchr(file->path, '/') + 1;
        struct stat st;

        if (dir < 0)
                return error_os(err, errno, "open '%s'", file->base_dir);
        if (fstatat(dir, name, &st, 0) < 0)
                return error_os(err, errno, "stat '%s'", file->path);
        if (fd_write_file_at(dir, name, file->edited, strlen(file->edited), st.st_mode & 07777, FD_WRITE_SYNC,
                             err) < 0)
                return -1;
        if (fchownat(dir, name, st.st_uid, st.st_gid, 0) < 0)
                return error_os(err, errno, "give '%s' back its owner", file->path);
        return 0;
}

int config_file_find(const struct config_file *file, const struct device_kind *kind, const char *which,
                     size_t *ret, struct error **err)
{
        size_t at = 0;
        long nth;

        if (device_find(file->resolved, kind, which, &at, err) < 0)
                return error_wrap(err, "%s", file->path);
        nth = template_nth(file->template, kind->vector, template_ordinal(file->resolved, at));
        if (nth < 0)
                return error_set(err, ERROR_FAILED, "%s: %s '%s' is not in the file", file->path, kind->word,
                                 which);
        *ret = (size_t)nth;
        return 0;
}
