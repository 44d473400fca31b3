#include "launcher/verb/autostart.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/spec_build.h"
#include "launcher/host/systemd_facts.h"
#include "launcher/state/state_dir.h"

#define SUFFIX ".tmpl"

void autostart_free(struct autostart_vm *vms, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(vms[i].name);
        free(vms);
}

int autostart_check_name(const struct template *template, const char *file_name, struct error **err)
{
        size_t start = 0;
        const struct template_attribute *given = template_next(template, "NAME", false, &start);
        _cleanup_free_ char *shown = NULL;

        if (!given || !*given->value || strcmp(given->value, file_name) == 0)
                return 0;
        shown = text_printable(given->value);
        error_at(err, &given->value_pos,
                 "NAME: '%s' is not the file's name, '%s', by which it is started at boot", shown, file_name);
        template_add_excerpt(template, *err);
        return error_hint(err, "name the file after the VM, or leave NAME out");
}

static int compare(const void *a, const void *b)
{
        const struct autostart_vm *one = a, *other = b;

        if (one->order != other->order)
                return one->order < other->order ? -1 : 1;
        return strcmp(one->name, other->name);
}

/* Adds the VM of the template at path. */
static int add(const struct site *site, const char *path, const char *name, struct autostart_vm **vms,
               size_t *n, struct error **err)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL;
        _cleanup_free_ char *text = NULL;
        size_t length;

        if (fd_read_file_at(AT_FDCWD, path, TEMPLATE_MAX_BYTES, &text, &length, err) < 0 ||
            template_parse(path, text, length, &template, err) < 0 ||
            spec_build(template, site, "/", name, &spec, err) < 0)
                return -1;
        ARRAY_GROW(*vms, *n);
        (*vms)[(*n)++] = (struct autostart_vm){ .name = xstrdup(name),
                                                .order = spec->start_order ? spec->start_order : UINT32_MAX,
                                                .delay = spec->start_delay };
        return 0;
}

int autostart_enabled(const struct site *site, struct autostart_vm **ret, size_t *ret_n, struct error **err)
{
        _cleanup_free_ char *directory = xasprintf("%s/autostart", site->paths.etc);
        DIR *dir = opendir(directory);

        *ret = NULL;
        *ret_n = 0;
        if (!dir)
                return errno == ENOENT ? 0 : error_os(err, errno, "read directory '%s'", directory);
        for (struct dirent *entry; (entry = readdir(dir));) {
                _cleanup_free_ char *name = xstrdup(entry->d_name), *path = NULL;
                struct error *one = NULL;

                if (!text_ends_with(name, SUFFIX))
                        continue;
                name[strlen(name) - strlen(SUFFIX)] = '\0';
                path = xasprintf("%s/vms/%s", site->paths.etc, entry->d_name);
                if (spec_name_is_valid(name) && add(site, path, name, ret, ret_n, &one) < 0)
                        error_append(err, one);
        }
        closedir(dir);
        if (*ret_n)
                qsort(*ret, *ret_n, sizeof(**ret), compare);
        return 0;
}

int autostart_running(const struct site *site, struct autostart_vm **ret, size_t *ret_n, struct error **err)
{
        char **names = NULL;

        *ret = NULL;
        *ret_n = 0;
        if (vm_dir_names(&site->paths, &names, err) < 0)
                return -1;
        for (char **name = names; *name; name++) {
                _cleanup_free_ char *path = xasprintf("%s/%s/live.tmpl", site->paths.run, *name);
                struct vm_dir *vm = NULL;
                struct error *unknown = NULL;
                bool runs =
                        vm_dir_open(&site->paths, *name, &vm, &unknown) == 0 && vm_dir_is_locked(vm, NULL);

                vm_dir_release(vm, true);
                error_free(TAKE_PTR(unknown));
                if (!runs || add(site, path, *name, ret, ret_n, &unknown) == 0)
                        continue;
                /* Without its order it is among those that have none. */
                error_free(unknown);
                ARRAY_GROW(*ret, *ret_n);
                (*ret)[(*ret_n)++] = (struct autostart_vm){ .name = xstrdup(*name), .order = UINT32_MAX };
        }
        names_free(names);
        if (*ret_n)
                qsort(*ret, *ret_n, sizeof(**ret), compare);
        return 0;
}

static bool is_running(const struct site *site, const char *name)
{
        _cleanup_error_ struct error *unknown = NULL;
        struct vm_dir *vm = NULL;
        bool locked = vm_dir_open(&site->paths, name, &vm, &unknown) == 0 && vm_dir_is_locked(vm, NULL);

        vm_dir_release(vm, true);
        return locked;
}

int autostart_all(struct verb_context *context, struct error **err)
{
        struct autostart_vm *vms;
        long long wait_until = 0;
        size_t n;

        if (systemd_has_unit(&context->site->paths)) {
                error_set(err, ERROR_USAGE, "systemd starts what is enabled here");
                return error_hint(err, "systemctl start multi-user.target, or the units by name");
        }
        if (autostart_enabled(context->site, &vms, &n, err) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                struct error *one = NULL;
                long long left = wait_until - fd_now_ms(), after;

                if (i > 0 && vms[i].order != vms[i - 1].order && left > 0)
                        poll(NULL, 0, (int)left);
                if (is_running(context->site, vms[i].name))
                        continue;
                if (start_vm(context, vms[i].name, &one) < 0) {
                        error_append(err, one);
                        continue;
                }
                after = fd_now_ms() + vms[i].delay * 1000ll;
                wait_until = after > wait_until ? after : wait_until;
        }
        autostart_free(vms, n);
        return *err ? -1 : 0;
}
