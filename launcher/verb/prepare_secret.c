/* Files that hold secrets: that they are there is seen before anything starts, and that others cannot read them. */
#include <string.h>

#include "base/text.h"
#include "conf/attr.h"
#include "conf/secret.h"
#include "conf/spec_sections.h"
#include "launcher/storage/image_chain.h"
#include "launcher/verb/prepare_parts.h"

/* A file that an attribute names. */
struct secret_file {
        char *reference; /* "DISK[0]/LUKS_SECRET"; owned */
        const char *path;
        bool is_open; /* no secret itself: who else reads it is nobody's business */
        struct file_facts facts;
};

struct secret_files {
        struct secret_file *items;
        size_t n;
};

static void add(struct secret_files *files, char *reference_consume, const char *path, bool is_open)
{
        ARRAY_GROW(files->items, files->n);
        files->items[files->n++] =
                (struct secret_file){ .reference = reference_consume, .path = path, .is_open = is_open };
}

static void add_disk(struct secret_files *files, const struct disk_spec *disk, size_t i)
{
        const char *auth = disk->store == DISK_STORE_ISCSI             ? "ISCSI_USAGE"
                           : disk->ceph_key && *disk->ceph_key != '\0' ? "CEPH_KEY"
                                                                       : "CEPH_SECRET";

        if (disk->luks_path)
                add(files, xasprintf("DISK[%zu]/LUKS_SECRET", i), disk->luks_path, false);
        if (disk->auth_path)
                add(files, xasprintf("DISK[%zu]/%s", i, auth), disk->auth_path, false);
        if (disk->conf_path)
                add(files, xasprintf("DISK[%zu]/CEPH_CONF", i), disk->conf_path, true);
}

/* PASSWD = "file:/path" and its like. */
static void add_rows(struct secret_files *files, const struct attr_section *section, const void *record,
                     size_t i)
{
        for (size_t k = 0; k < section->n_rows; k++) {
                const struct attr *row = &section->rows[k];
                const char *value = row->secret && row->has_field
                                            ? *(char *const *)((const char *)record + row->offset)
                                            : NULL;
                const char *path = NULL;

                if (value && secret_kind_of(value, &path) == SECRET_FILE)
                        add(files,
                            section->repeats ? xasprintf("%s[%zu]/%s", section->name, i, row->name)
                                             : attr_full_name(section, row),
                            path, false);
        }
}

static int judge(struct vm_spec *spec, const struct secret_file *file, struct error **err)
{
        _cleanup_free_ char *shown = text_printable(file->path);
        const struct origin *origin = vm_spec_origin(spec, file->reference);
        struct error *warning = NULL;

        if (!file->facts.exists) {
                error_set(err, ERROR_INVALID, "%s: there is no file '%s'", file->reference, shown);
                prepare_add_place(spec, file->reference, err);
                return -1;
        }
        if (!file->is_open && (file->facts.mode & S_IROTH)) {
                error_at(&warning, origin ? &origin->pos : NULL, "%s: everybody can read '%s'",
                         file->reference, shown);
                error_append(&spec->warnings, warning);
        }
        return 0;
}

static int look(struct vm_spec *spec, struct secret_files *files, struct error **err)
{
        _cleanup_free_ struct image_request *requests = xcalloc(files->n, sizeof(*requests));
        _cleanup_free_ struct image_chain **none = xcalloc(files->n, sizeof(struct image_chain *));
        const struct image_reading reading = { .requests = requests, .n = files->n };
        size_t failed;

        for (size_t i = 0; i < files->n; i++)
                requests[i] = (struct image_request){ .path = files->items[i].path,
                                                      .ret_facts = &files->items[i].facts };
        if (image_chains_read(&reading, none, &failed, err) < 0) {
                if (failed < files->n)
                        prepare_add_place(spec, files->items[failed].reference, err);
                return -1;
        }
        for (size_t i = 0; i < files->n; i++)
                if (judge(spec, &files->items[i], err) < 0)
                        return -1;
        return 0;
}

int prepare_look_at_secrets(struct vm_spec *spec, struct error **err)
{
        struct secret_files files = { 0 };
        int result = 0;

        for (size_t i = 0; i < spec->n_disks; i++)
                add_disk(&files, &spec->disks[i], i);
        for (const struct spec_section *row = spec_sections; row->section; row++) {
                size_t n = spec_section_present(row, spec) ? spec_section_count(row, spec) : 0;

                for (size_t i = 0; i < n; i++)
                        add_rows(&files, row->section, spec_section_record(row, spec, i), i);
        }
        if (files.n)
                result = look(spec, &files, err);
        for (size_t i = 0; i < files.n; i++)
                free(files.items[i].reference);
        free(files.items);
        return result;
}
