/*
 * vmlaunch-generator: drop-ins for the units of all VMs that have a template (systemd.generator(7)). Runs at boot before
 * anything else does, and at each daemon-reload: only configuration is read, and what is running keeps what it runs with,
 * which live.tmpl says.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/spec_build.h"
#include "launcher/run/unit_text.h"
#include "launcher/verb/autostart.h"
#include "launcher/verb/verbs.h"

#define SUFFIX ".tmpl"

/* What is written for each; specs are gone by then, memory that is used again costs no page faults. */
struct unit {
        char *name, *dropin, *delay; /* delay: NULL where there is none */
};

struct vms {
        struct unit *units;
        struct unit_place *places;
        size_t n;
        bool any_run; /* RUN has directories, so a VM may run */
};

static void vms_done(struct vms *vms)
{
        for (size_t i = 0; i < vms->n; i++) {
                free(vms->units[i].name);
                free(vms->units[i].dropin);
                free(vms->units[i].delay);
        }
        free(vms->units);
        free(vms->places);
}

/* file: the same as path, from dirfd. */
static int read_spec(const struct site *site, int dirfd, const char *file, const char *path,
                     const char *base_dir, const char *name, struct vm_spec **ret, struct error **err)
{
        _cleanup_close_ int fd = openat(dirfd, file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_free_ char *text = NULL;
        size_t length;

        if (fd < 0)
                return error_os(err, errno, "open '%s'", path);
        if (fd_read_all(fd, path, TEMPLATE_MAX_BYTES, &text, &length, err) < 0 ||
            template_parse(path, text, length, &template, err) < 0 ||
            autostart_check_name(template, name, err) < 0)
                return -1;
        return spec_build(template, site, base_dir, name, ret, err);
}

/* One line: systemd gives its generators nobody to talk to, so they talk to the kernel's log, which the journal reads. One
 * write is one line there. */
static void complain(const char *text)
{
        _cleanup_close_ int kmsg =
                getenv("SYSTEMD_SCOPE") ? open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY) : -1;
        _cleanup_free_ char *line = xasprintf("<4>vmlaunch-generator: %s\n", text);

        (void)!write(kmsg >= 0 ? kmsg : STDERR_FILENO, line, strlen(line));
}

static void keep(struct vms *vms, const struct site *site, const struct vm_spec *spec)
{
        size_t n = vms->n;

        ARRAY_GROW(vms->units, n);
        ARRAY_GROW(vms->places, n);
        vms->units[n] = (struct unit){ .name = xstrdup(spec->name),
                                       .dropin = unit_dropin(spec, site),
                                       .delay = spec->start_delay ? unit_delay_dropin(spec) : NULL };
        vms->places[n] = (struct unit_place){ .vm = vms->units[n].name,
                                              .order = spec->start_order,
                                              .delay = spec->start_delay };
        vms->n++;
}

/* What it runs with, or what it would be started with. One line about a template that is none. */
static void add_vm(const struct site *site, int dirfd, const char *directory, const char *name,
                   struct vms *vms)
{
        _cleanup_free_ char *path = xasprintf("%s/%s%s", directory, name, SUFFIX);
        _cleanup_free_ char *live = vms->any_run ? xasprintf("%s/%s/live.tmpl", site->paths.run, name) : NULL;
        _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL;
        _cleanup_error_ struct error *error = NULL;
        bool runs = vms->any_run;

        if (runs && read_spec(site, AT_FDCWD, live, live, "/", name, &spec, &error) < 0 &&
            error->code == ERROR_OS && error->os_errno == ENOENT) {
                error_free(TAKE_PTR(error));
                runs = false;
        }
        if (!runs)
                read_spec(site, dirfd, path + strlen(directory) + 1, path, directory, name, &spec, &error);
        if (error || !spec) {
                /* The first of a list. */
                _cleanup_free_ char *text = error ? error_text(error) : xstrdup(path),
                                    *line = xasprintf("%s; the unit of '%s' has its defaults", text, name);

                complain(line);
                return;
        }
        keep(vms, site, spec);
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, so that the same templates give the same units. */
static int read_all(const struct site *site, struct vms *vms, struct error **err)
{
        _cleanup_free_ char *directory = xasprintf("%s/vms", site->paths.etc);
        DIR *dir = opendir(directory);
        char **names = NULL;
        size_t n = 0;

        if (!dir)
                return errno == ENOENT ? 0 : error_os(err, errno, "read directory '%s'", directory);
        for (struct dirent *entry; (entry = readdir(dir));) {
                size_t length = strlen(entry->d_name);
                char *name;

                if (!text_ends_with(entry->d_name, SUFFIX))
                        continue;
                name = xstrndup(entry->d_name, length - strlen(SUFFIX));
                if (!spec_name_is_valid(name)) {
                        _cleanup_free_ char *shown = text_printable(entry->d_name),
                                            *line = xasprintf(
                                                    "%s/%s: has no unit, as VMs are named with letters, "
                                                    "digits, '.', '_' and '-' only",
                                                    directory, shown);

                        /* Editors hide what they have open. */
                        if (*name != '.')
                                complain(line);
                        free(name);
                        continue;
                }
                ARRAY_GROW(names, n);
                names[n++] = name;
        }
        if (n)
                qsort(names, n, sizeof(*names), compare_names);
        for (size_t i = 0; i < n; i++) {
                add_vm(site, dirfd(dir), directory, names[i], vms);
                free(names[i]);
        }
        free(names);
        closedir(dir);
        return 0;
}

static int write_dropin(int dirfd, const char *unit, const char *text, struct error **err)
{
        _cleanup_free_ char *directory = xasprintf("%s.d", unit);
        _cleanup_free_ char *path = xasprintf("%s/10-vmlaunch.conf", directory);
        _cleanup_close_ int fd = -1;

        if (mkdirat(dirfd, directory, 0755) < 0 && errno != EEXIST)
                return error_os(err, errno, "create '%s'", directory);
        fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return error_os(err, errno, "create '%s'", path);
        return fd_write_all(fd, path, text, strlen(text), err);
}

static int write_vm(const struct vms *vms, size_t i, int dirfd, struct error **err)
{
        const char *name = vms->units[i].name;
        _cleanup_free_ char *order = unit_order(&vms->places[i], vms->places, vms->n);
        _cleanup_free_ char *text = xasprintf("%s%s", vms->units[i].dropin, order);
        _cleanup_free_ char *unit = xasprintf("vmlaunch@%s.service", name);
        _cleanup_free_ char *delay = xasprintf("vmlaunch-delay@%s.service", name);

        if (write_dropin(dirfd, unit, text, err) < 0)
                return -1;
        return vms->units[i].delay ? write_dropin(dirfd, delay, vms->units[i].delay, err) : 0;
}

int verb_generator(struct verb_context *context, struct error **err)
{
        const char *directory = context->args[0];
        _cleanup_(vms_done) struct vms vms = { 0 };
        _cleanup_close_ int dirfd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (dirfd < 0)
                return error_os(err, errno, "open '%s'", directory);
        vms.any_run = access(context->site->paths.run, F_OK) == 0;
        if (read_all(context->site, &vms, err) < 0)
                return -1;
        for (size_t i = 0; i < vms.n; i++)
                if (write_vm(&vms, i, dirfd, err) < 0)
                        return -1;
        return 0;
}
