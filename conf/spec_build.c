#include "conf/spec_build.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "conf/attr_check.h"
#include "conf/identity.h"
#include "conf/spec_rules.h"

enum { MAX_REPORTS = 20, MAX_NAME_BYTES = 128, MAX_DISKS = 256, MAX_NICS = 256, IFNAME_BYTES = 15 };

static const char *const old_boot_words[] = { "hd", "fd", "cdrom", "network", NULL };

static const struct template *template_of(const struct spec_builder *builder, const struct source_pos *pos)
{
        const struct template *const all[] = { builder->template, builder->site->driver,
                                               builder->site->cluster, builder->site->host };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                if (all[i] && pos->file && strcmp(all[i]->file, pos->file) == 0)
                        return all[i];
        return NULL;
}

void spec_report(struct spec_builder *builder, struct error *error)
{
        const struct template *template = template_of(builder, &error->pos);

        if (builder->n_errors++ >= MAX_REPORTS) {
                error_free(error);
                return;
        }
        if (template)
                template_add_excerpt(template, error);
        error_append(&builder->errors, error);
}

static struct error *__attribute__((format(printf, 2, 0)))
make(const struct source_pos *pos, const char *format, va_list ap)
{
        _cleanup_text_ struct text message = TEXT_INIT;
        struct error *error = NULL;

        text_vaddf(&message, format, ap);
        error_at(&error, pos, "%s", text_str(&message));
        return error;
}

void spec_fail(struct spec_builder *builder, const struct source_pos *pos, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        spec_report(builder, make(pos, format, ap));
        va_end(ap);
}

void spec_warn(struct spec_builder *builder, const struct source_pos *pos, const char *format, ...)
{
        const struct template *template;
        struct error *warning;
        va_list ap;

        va_start(ap, format);
        warning = make(pos, format, ap);
        va_end(ap);
        template = template_of(builder, &warning->pos);
        if (template)
                template_add_excerpt(template, warning);
        error_append(&builder->spec->warnings, warning);
}

struct origin *spec_origin(const struct attr_section *section, const void *record, const char *key)
{
        const struct section *head = record;

        return &head->origins[attr_find(section, key) - section->rows];
}

bool spec_is_given(const struct attr_section *section, const void *record, const char *key)
{
        const struct origin *origin = spec_origin(section, record, key);

        return origin->layer > LAYER_DEFAULT && origin->text && origin->text[strspn(origin->text, " \t\r\n")];
}

/* A file name that lives as long as the spec. */
static const char *pooled(struct vm_spec *spec, const char *file)
{
        if (!file)
                return NULL;
        for (size_t i = 0; i < spec->n_files; i++)
                if (strcmp(spec->files[i], file) == 0)
                        return spec->files[i];
        ARRAY_GROW(spec->files, spec->n_files);
        return spec->files[spec->n_files++] = xstrdup(file);
}

/* A value of a text, before anything is known of it. */
struct found {
        enum layer layer;
        const char *text;
        struct source_pos pos;
};

static bool is_empty(const char *s)
{
        return !s[strspn(s, " \t\r\n")];
}

/* The key, or one of its published misspellings. */
static bool is_key(const struct attr_section *section, const struct attr *row, const char *name)
{
        const struct attr *other;

        if (strcmp(row->name, name) == 0)
                return true;
        other = attr_find(section, name);
        return other && other->means && strcmp(other->means, row->name) == 0;
}

static bool find_in_vector(const struct attr_section *section, const struct attr *row,
                           const struct template_attribute *vector, struct found *ret)
{
        for (size_t i = 0; vector && i < vector->n_pairs; i++) {
                if (!is_key(section, row, vector->pairs[i].name))
                        continue;
                ret->text = vector->pairs[i].value;
                ret->pos = vector->pairs[i].value_pos;
                return true;
        }
        return false;
}

static bool find_in_tree(const struct attr_section *section, const struct attr *row,
                         const struct template *tree, struct found *ret)
{
        const struct template_attribute *single;
        size_t start = 0;

        if (!tree)
                return false;
        if (*section->name)
                return find_in_vector(section, row, template_next(tree, section->name, true, &start), ret);
        single = template_next(tree, row->name, false, &start);
        if (!single)
                return false;
        ret->text = single->value;
        ret->pos = single->value_pos;
        return true;
}

/*
 * The first layer that has a value (opennebula-semantics section 3.1). A text that is present and empty ends the
 * search; an empty switch or number is passed over.
 */
static bool look_up(const struct spec_builder *builder, const struct attr_section *section,
                    const struct attr_section *layer_section, const struct template_attribute *vector,
                    const struct attr *row, struct found *ret)
{
        const struct site *site = builder->site;
        const struct {
                enum layer layer;
                const struct template *tree;
                bool counts;
        } layers[] = {
                { LAYER_TEMPLATE, builder->template,
                  row->lookup == LOOKUP_A || row->lookup == LOOKUP_C || row->lookup == LOOKUP_D },
                { LAYER_HOST, site->host,
                  row->lookup == LOOKUP_A || row->lookup == LOOKUP_B || row->lookup == LOOKUP_C },
                { LAYER_CLUSTER, site->cluster, row->lookup != LOOKUP_D && row->lookup != LOOKUP_HOST },
                { LAYER_DRIVER, site->driver, row->lookup != LOOKUP_D && row->lookup != LOOKUP_HOST },
        };
        bool empty_ends = attr_is_text(row) || row->kind == ATTR_ENUM;

        for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
                bool found;

                if (!layers[i].counts)
                        continue;
                if (layers[i].layer == LAYER_TEMPLATE && *section->name)
                        found = find_in_vector(section, row, vector, ret);
                else
                        found = find_in_tree(layer_section, row, layers[i].tree, ret);
                if (!found || (is_empty(ret->text) && !empty_ends))
                        continue;
                ret->layer = layers[i].layer;
                return true;
        }
        return false;
}

static void set_origin(struct vm_spec *spec, struct origin *origin, enum layer layer, const char *text,
                       const struct source_pos *pos)
{
        char *copy = xstrdup_null(text);

        free(origin->text);
        origin->layer = layer;
        origin->text = copy;
        origin->pos = pos ? *pos : (struct source_pos){ 0 };
        origin->pos.file = pos ? pooled(spec, pos->file) : NULL;
}

/* Fills a section from the vector (NULL: none was given, or top-level), the layers and the rows' defaults. */
static void fill(struct spec_builder *builder, const struct attr_section *section,
                 const struct template_attribute *vector, void *record)
{
        struct vm_spec *spec = builder->spec;
        struct section *head = record;

        head->origins = xcalloc(section->n_rows, sizeof(*head->origins));
        if (vector) {
                head->pos = vector->name_pos;
                head->pos.file = pooled(spec, vector->name_pos.file);
        }
        for (size_t i = 0; i < section->n_rows; i++) {
                const struct attr *row = &section->rows[i];
                struct found found = { 0 };
                struct error *error = NULL;

                if (row->state != ATTR_HERE || !row->has_field)
                        continue;
                if (look_up(builder, section, section, vector, row, &found))
                        set_origin(spec, &head->origins[i], found.layer, found.text, &found.pos);
                if (found.text && !is_empty(found.text)) {
                        if (attr_set(section, row, found.text, &found.pos, record, &error) < 0)
                                spec_report(builder, error);
                        continue;
                }
                if (!row->dflt)
                        continue;
                if (!found.text)
                        set_origin(spec, &head->origins[i], LAYER_DEFAULT, row->dflt, NULL);
                if (attr_set(section, row, row->dflt, NULL, record, &error) < 0)
                        spec_report(builder, error);
        }
}

/* Fills the only section of its kind; says so when there are more. */
static const struct template_attribute *fill_single(struct spec_builder *builder,
                                                    const struct attr_section *section, void *record)
{
        size_t start = 0;
        const struct template_attribute *vector =
                template_next(builder->template, section->name, true, &start);
        const struct template_attribute *more;

        fill(builder, section, vector, record);
        while (vector && (more = template_next(builder->template, section->name, true, &start)))
                spec_warn(builder, &more->name_pos, "%s: given twice, the first one counts (line %u)",
                          section->name, vector->name_pos.line);
        return vector;
}

static size_t count_vectors(const struct template *template, const char *name)
{
        size_t n = 0, start = 0;

        while (template_next(template, name, true, &start))
                n++;
        return n;
}

static void fill_devices(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        const struct template *template = builder->template;
        size_t disks = count_vectors(template, "DISK"), nics = count_vectors(template, "NIC");
        size_t serials = count_vectors(template, "SERIAL");
        const struct template_attribute *vector;
        size_t start = 0;

        spec->disks = xcalloc(disks, sizeof(*spec->disks));
        while (spec->n_disks < MAX_DISKS && (vector = template_next(template, "DISK", true, &start))) {
                spec->disks[spec->n_disks].id = (unsigned)spec->n_disks;
                fill(builder, &attr_disk, vector, &spec->disks[spec->n_disks++]);
        }
        if (disks > MAX_DISKS)
                spec_fail(builder, &template_next(template, "DISK", true, &start)->name_pos,
                          "DISK: more than %d disks", MAX_DISKS);

        start = 0;
        spec->nics = xcalloc(nics, sizeof(*spec->nics));
        while (spec->n_nics < MAX_NICS && (vector = template_next(template, "NIC", true, &start))) {
                spec->nics[spec->n_nics].id = (unsigned)spec->n_nics;
                fill(builder, &attr_nic, vector, &spec->nics[spec->n_nics++]);
        }
        if (nics > MAX_NICS)
                spec_fail(builder, &template_next(template, "NIC", true, &start)->name_pos,
                          "NIC: more than %d NICs", MAX_NICS);

        start = 0;
        spec->serials = xcalloc(1, sizeof(*spec->serials));
        spec->n_serials = 1;
        fill(builder, &attr_serial, template_next(template, "SERIAL", true, &start), &spec->serials[0]);
        if (!serials)
                set_origin(spec, spec_origin(&attr_serial, &spec->serials[0], "TYPE"), LAYER_RULE, "socket",
                           NULL);
        if (serials > 1)
                spec_fail(builder, &template_next(template, "SERIAL", true, &start)->name_pos,
                          "SERIAL: more than one is not supported by this version of vmlaunch");
}

bool spec_name_is_valid(const char *name)
{
        size_t n = strlen(name);

        return n >= 1 && n <= MAX_NAME_BYTES && *name != '.' && *name != '-' &&
               strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

bool spec_name_is_reserved(const char *name)
{
        return strcmp(name, "images") == 0 || strcmp(name, "uids") == 0;
}

static void set_identity(struct spec_builder *builder, const char *default_name)
{
        struct vm_spec *spec = builder->spec;
        struct origin *name = spec_origin(&attr_vm, spec, "NAME"),
                      *uuid = spec_origin(&attr_vm, spec, "UUID");
        struct origin *os_uuid = spec_origin(&attr_os, &spec->os, "UUID");
        struct source_pos file = { .file = builder->template->file };
        char text[37];

        if (!spec->name && default_name && *default_name) {
                spec->name = xstrdup(default_name);
                set_origin(spec, name, LAYER_RULE, default_name, NULL);
        }
        if (!spec->name) {
                spec_fail(builder, &file, "NAME: has to be given, there is no file name to take it from");
        } else if (!spec_name_is_valid(spec->name)) {
                _cleanup_free_ char *shown = text_printable(spec->name);

                spec_fail(
                        builder, name->pos.file ? &name->pos : &file,
                        "NAME: '%s'%s is not a name for a VM: letters, digits, '.', '_' and '-' only, not starting "
                        "with '.' or '-', at most %d bytes",
                        shown, name->layer == LAYER_RULE ? ", the file's name," : "", MAX_NAME_BYTES);
        } else if (spec_name_is_reserved(spec->name)) {
                spec_fail(builder, name->pos.file ? &name->pos : &file,
                          "NAME: '%s' is a directory of vmlaunch's own, not a VM name", spec->name);
        }

        if (spec->uuid_text && spec->os.uuid && strcmp(spec->uuid_text, spec->os.uuid) != 0)
                spec_fail(builder, &os_uuid->pos, "OS/UUID: is not the UUID of line %u", uuid->pos.line);
        if (!spec->uuid_text && spec->os.uuid) {
                spec->uuid_text = xstrdup(spec->os.uuid);
                set_origin(spec, uuid, LAYER_RULE, spec->uuid_text, NULL);
        }
        if (spec->uuid_text) {
                text_parse_uuid(spec->uuid_text, spec->uuid);
        } else if (spec->name) {
                identity_uuid(spec->name, spec->uuid);
                text_from_uuid(spec->uuid, text);
                spec->uuid_text = xstrdup(text);
                set_origin(spec, uuid, LAYER_RULE, text, NULL);
        }
}

static char *absolute(const char *base_dir, const char *path)
{
        if (*path == '/')
                return xstrdup(path);
        while (text_starts_with(path, "./"))
                path += 2;
        return xasprintf("%s%s%s", base_dir, text_ends_with(base_dir, "/") ? "" : "/", path);
}

/* Makes a path of any layer absolute; only a VM template has a directory that it can start from. */
static char *resolve(struct spec_builder *builder, const char *full_name, const struct origin *origin,
                     const char *base_dir, const char *path)
{
        _cleanup_free_ char *resolved = absolute(base_dir, path);

        if (origin->layer < LAYER_TEMPLATE && *path != '/')
                spec_fail(builder, &origin->pos, "%s: has to be an absolute path here", full_name);
        else if (!template_value_is_writable(resolved) || strchr(resolved, '\n'))
                spec_fail(
                        builder, &origin->pos,
                        "%s: the directory's name holds a newline, or backslashes before a quote or at its end",
                        full_name);
        return TAKE_PTR(resolved);
}

static char *take_word(const char **list)
{
        const char *s = *list, *end = s + strcspn(s, ",");
        const char *next = *end ? end + 1 : end;

        while (s < end && isspace((unsigned char)*s))
                s++;
        while (end > s && isspace((unsigned char)end[-1]))
                end--;
        *list = next;
        return xstrndup(s, (size_t)(end - s));
}

/* What the old word would be called today: hd is the first disk, cdrom the first CD. */
static char *new_boot_word(const struct vm_spec *spec, const char *word)
{
        if (strcasecmp(word, "network") == 0)
                return xstrdup("nic0");
        for (size_t i = 0; i < spec->n_disks; i++) {
                bool is_cd = spec->disks[i].type == DISK_TYPE_CDROM;

                if (is_cd == (strcasecmp(word, "cdrom") == 0))
                        return xasprintf("disk%zu", i);
        }
        return xstrdup("disk0");
}

static bool is_old_boot_word(const char *word)
{
        for (size_t i = 0; old_boot_words[i]; i++)
                if (strcasecmp(old_boot_words[i], word) == 0)
                        return true;
        return false;
}

static void reject_old_boot(struct spec_builder *builder, const struct source_pos *pos)
{
        const char *list = builder->spec->os.boot;
        _cleanup_free_ char *shown = text_printable(list);
        _cleanup_text_ struct text better = TEXT_INIT;

        while (*list) {
                _cleanup_free_ char *word = take_word(&list);
                _cleanup_free_ char *new_word =
                        is_old_boot_word(word) ? new_boot_word(builder->spec, word) : text_printable(word);

                if (*new_word)
                        text_addf(&better, "%s%s", better.length ? "," : "", new_word);
        }
        spec_fail(builder, pos, "OS/BOOT: '%s' is the old form; write BOOT = \"%s\"", shown,
                  text_str(&better));
}

static void set_boot_order(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        const struct origin *origin = spec_origin(&attr_os, &spec->os, "BOOT");
        const char *list = spec->os.boot;

        while (list && *list) {
                _cleanup_free_ char *word = take_word(&list), *shown = text_printable(word);
                struct boot_device device = { .kind = BOOT_DISK };
                const char *number = word + 4;
                uint32_t index;

                if (!*word)
                        continue;
                if (is_old_boot_word(word)) {
                        reject_old_boot(builder, &origin->pos);
                        return;
                }
                if (strncasecmp(word, "nic", 3) == 0) {
                        device.kind = BOOT_NIC;
                        number = word + 3;
                } else if (strncasecmp(word, "disk", 4) != 0) {
                        number = "";
                }
                if (!isdigit((unsigned char)*number) || !text_parse_u32(number, &index)) {
                        spec_fail(builder, &origin->pos, "OS/BOOT: '%s' is neither diskN nor nicN", shown);
                        return;
                }
                device.index = index;
                if (index >= (device.kind == BOOT_DISK ? spec->n_disks : spec->n_nics)) {
                        spec_fail(builder, &origin->pos, "OS/BOOT: there is no %s, they are counted from 0",
                                  shown);
                        return;
                }
                for (size_t i = 0; i < spec->os.n_boot_order; i++) {
                        if (spec->os.boot_order[i].kind == device.kind &&
                            spec->os.boot_order[i].index == index) {
                                spec_fail(builder, &origin->pos, "OS/BOOT: %s is given twice", shown);
                                return;
                        }
                }
                ARRAY_GROW(spec->os.boot_order, spec->os.n_boot_order);
                spec->os.boot_order[spec->os.n_boot_order++] = device;
        }
}

static void set_machine(struct spec_builder *builder, const char *base_dir)
{
        struct vm_spec *spec = builder->spec;
        struct os_spec *os = &spec->os;
        const char *model = spec->cpu_model.model_text;
        const struct {
                char **path;
                const char *key;
        } paths[] = { { &os->kernel, "KERNEL" }, { &os->initrd, "INITRD" } };

        /* The kernel counts memory in KiB. */
        spec->memory = (spec->memory + 1023) / 1024 * 1024;
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
                _cleanup_free_ char *path = TAKE_PTR(*paths[i].path),
                                    *name = xasprintf("OS/%s", paths[i].key);

                if (path && *path)
                        *paths[i].path = resolve(builder, name, spec_origin(&attr_os, os, paths[i].key),
                                                 base_dir, path);
        }
        if (!model || strcasecmp(model, "none") == 0)
                spec->cpu_model.mode = CPU_MODE_NONE;
        else if (strcasecmp(model, "host-passthrough") == 0)
                spec->cpu_model.mode = CPU_MODE_HOST_PASSTHROUGH;
        else if (strcasecmp(model, "host-model") == 0)
                spec->cpu_model.mode = CPU_MODE_HOST_MODEL;
        else
                spec->cpu_model.mode = CPU_MODE_NAMED;
}

static void set_disk_path(struct spec_builder *builder, struct disk_spec *disk, const char *base_dir)
{
        if (disk->source)
                disk->path = resolve(builder, "DISK/SOURCE", spec_origin(&attr_disk, disk, "SOURCE"),
                                     base_dir, disk->source);
        else if (disk->image)
                disk->path = xasprintf("%s/%s", builder->site->image_dir, disk->image);
}

/*
 * FORMAT, else DRIVER, else the suffix .qcow2, else the layers' DRIVER, else raw. The suffix is stronger than a
 * layer's default: upstream's shipped configuration says raw, and a qcow2 file written to as raw is lost.
 */
static void set_disk_format(struct spec_builder *builder, struct disk_spec *disk)
{
        const struct origin *driver = spec_origin(&attr_disk, disk, "DRIVER");
        const struct origin *format = spec_origin(&attr_disk, disk, "FORMAT");
        bool driver_is_own = driver->layer == LAYER_TEMPLATE && driver->text && !is_empty(driver->text);
        enum disk_format from_layers = driver_is_own ? DISK_FORMAT_NONE : disk->format;
        struct error *error = NULL;

        if (disk->type == DISK_TYPE_CDROM) {
                disk->format = DISK_FORMAT_RAW;
                return;
        }
        if (format->text && !is_empty(format->text)) {
                if (attr_set(&attr_disk, attr_find(&attr_disk, "FORMAT"), format->text, &format->pos, disk,
                             &error) < 0)
                        error_free(error); /* said already */
                return;
        }
        if (driver_is_own)
                return;
        if (disk->path && text_ends_with(disk->path, ".qcow2")) {
                disk->format = DISK_FORMAT_QCOW2;
                disk->format_is_guess = true;
                if (from_layers == DISK_FORMAT_RAW)
                        spec_warn(
                                builder, &disk->section.pos,
                                "DISK: taken as qcow2 by its name's suffix, against DRIVER raw of %s; give FORMAT",
                                layer_name(driver->layer));
        } else if (disk->format == DISK_FORMAT_NONE) {
                disk->format = DISK_FORMAT_RAW;
                disk->format_is_guess = true;
        }
}

/* a to z, aa, ab, ... */
static char *letters(const char *prefix, unsigned index)
{
        char suffix[8], *s = suffix + sizeof(suffix) - 1;

        *s = '\0';
        for (index++; index; index /= 26) {
                index--;
                *--s = (char)('a' + index % 26);
        }
        return xasprintf("%s%s", prefix, s);
}

static bool target_is_taken(const struct vm_spec *spec, const char *target)
{
        for (size_t i = 0; i < spec->n_disks; i++)
                if (spec->disks[i].target && strcmp(spec->disks[i].target, target) == 0)
                        return true;
        return false;
}

static void give_target(struct vm_spec *spec, struct disk_spec *disk)
{
        const char *prefix = disk->dev_prefix;

        if (disk->target)
                return;
        /* A CD takes its own default whatever the configuration says of disks. */
        if (disk->type == DISK_TYPE_CDROM &&
            spec_origin(&attr_disk, disk, "DEV_PREFIX")->layer != LAYER_TEMPLATE)
                prefix = vm_spec_is_q35(spec) ? "sd" : "hd";
        for (unsigned i = 0; !disk->target; i++) {
                _cleanup_free_ char *target = letters(prefix, i);

                if (!target_is_taken(spec, target))
                        disk->target = TAKE_PTR(target);
        }
        set_origin(spec, spec_origin(&attr_disk, disk, "TARGET"), LAYER_RULE, disk->target, NULL);
}

/* opennebula-semantics section 3.9.2: the first disk, then the CDs, then the others; given ones are kept free. */
static void set_targets(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;

        for (size_t i = 0; i < spec->n_disks; i++)
                for (size_t j = 0; j < i; j++)
                        if (spec->disks[i].target && spec->disks[j].target &&
                            strcmp(spec->disks[i].target, spec->disks[j].target) == 0) {
                                spec_fail(builder, &spec_origin(&attr_disk, &spec->disks[i], "TARGET")->pos,
                                          "DISK/TARGET: '%s' is also the disk of line %u",
                                          spec->disks[i].target,
                                          spec_origin(&attr_disk, &spec->disks[j], "TARGET")->pos.line);
                                break;
                        }
        for (size_t i = 0; i < spec->n_disks; i++)
                if (spec->disks[i].type != DISK_TYPE_CDROM) {
                        give_target(spec, &spec->disks[i]);
                        break;
                }
        for (size_t i = 0; i < spec->n_disks; i++)
                if (spec->disks[i].type == DISK_TYPE_CDROM)
                        give_target(spec, &spec->disks[i]);
        for (size_t i = 0; i < spec->n_disks; i++)
                give_target(spec, &spec->disks[i]);
}

static enum disk_bus choose_bus(const struct vm_spec *spec, const struct disk_spec *disk)
{
        enum disk_bus other = vm_spec_is_q35(spec) ? DISK_BUS_SATA : DISK_BUS_IDE;

        if (disk->type == DISK_TYPE_CDROM)
                return other;
        return *disk->target == 'v' ? DISK_BUS_VIRTIO : *disk->target == 's' ? DISK_BUS_SCSI : other;
}

static void set_disks(struct spec_builder *builder, const char *base_dir)
{
        struct vm_spec *spec = builder->spec;

        set_targets(builder);
        for (size_t i = 0; i < spec->n_disks; i++) {
                struct disk_spec *disk = &spec->disks[i];

                set_disk_path(builder, disk, base_dir);
                set_disk_format(builder, disk);
                disk->bus = choose_bus(spec, disk);
                if (disk->type != DISK_TYPE_CDROM)
                        continue;
                if (spec_is_given(&attr_disk, disk, "READONLY") && !disk->readonly)
                        spec_warn(builder, &spec_origin(&attr_disk, disk, "READONLY")->pos,
                                  "DISK/READONLY: a CD is read-only all the same");
                disk->readonly = true;
        }
}

/* By a NIC that has its address already: those before this one, and those that were given one. */
static bool mac_is_taken(const struct vm_spec *spec, const uint8_t mac[6], size_t index)
{
        for (size_t i = 0; i < spec->n_nics; i++)
                if (i != index && spec->nics[i].mac_text && memcmp(spec->nics[i].mac, mac, 6) == 0)
                        return true;
        return false;
}

static void set_macs(struct vm_spec *spec)
{
        for (size_t i = 0; i < spec->n_nics; i++)
                if (spec->nics[i].mac_text)
                        text_parse_mac(spec->nics[i].mac_text, spec->nics[i].mac);
        for (size_t i = 0; i < spec->n_nics; i++) {
                struct nic_spec *nic = &spec->nics[i];
                uint32_t number = (uint32_t)i;

                if (nic->mac_text)
                        continue;
                /* 24 bits of a hash can meet: then the number is counted on where no NIC is. */
                do {
                        identity_mac(spec->uuid, number, nic->mac);
                        number += MAX_NICS;
                } while (mac_is_taken(spec, nic->mac, i));
                nic->mac_text = xasprintf("%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1],
                                          nic->mac[2], nic->mac[3], nic->mac[4], nic->mac[5]);
                set_origin(spec, spec_origin(&attr_nic, nic, "MAC"), LAYER_RULE, nic->mac_text, NULL);
        }
}

static void set_taps(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;

        for (size_t i = 0; i < spec->n_nics; i++) {
                struct nic_spec *nic = &spec->nics[i];

                if (nic->target || nic->bridge_type == NIC_BRIDGE_USER || !spec->name)
                        continue;
                nic->target = xasprintf("%s-%zu", spec->name, i);
                if (strlen(nic->target) > IFNAME_BYTES) {
                        free(nic->target);
                        nic->target =
                                xasprintf("vl-%08x-%zu",
                                          (unsigned)(text_hash(spec->name, strlen(spec->name)) >> 32), i);
                }
                set_origin(spec, spec_origin(&attr_nic, nic, "TARGET"), LAYER_RULE, nic->target, NULL);
        }
}

static struct error *copy_errors(const struct error *error)
{
        struct error *first = NULL, **next = &first;

        for (; error; error = error->next) {
                struct error *copy = xcalloc(1, sizeof(*copy));

                copy->code = error->code;
                copy->pos = error->pos;
                copy->pos.file = xstrdup_null(error->pos.file);
                copy->message = xstrdup(error->message);
                copy->hint = xstrdup_null(error->hint);
                copy->excerpt = xstrdup_null(error->excerpt);
                *next = copy;
                next = &copy->next;
        }
        return first;
}

/* The template's errors in the order of its lines, then what belongs to no line or to another file. */
static void sort_errors(struct error **list, const char *file)
{
        struct error *sorted = NULL, *error;

        while ((error = *list)) {
                struct error **at = &sorted;
                bool has_place = error->pos.line && strcmp(error->pos.file, file) == 0;

                *list = error->next;
                while (*at) {
                        const struct source_pos *pos = &(*at)->pos;

                        if (has_place &&
                            (!pos->line || strcmp(pos->file, file) != 0 || pos->line > error->pos.line ||
                             (pos->line == error->pos.line && pos->column > error->pos.column)))
                                break;
                        at = &(*at)->next;
                }
                error->next = *at;
                *at = error;
        }
        *list = sorted;
}

int spec_build(const struct template *template, const struct site *site, const char *base_dir,
               const char *default_name, struct vm_spec **ret, struct error **err)
{
        _cleanup_(vm_spec_freep) struct vm_spec *spec = xcalloc(1, sizeof(*spec));
        struct spec_builder builder = { .template = template, .site = site, .spec = spec };

        spec->template_file = xstrdup(template->file);
        spec->warnings = copy_errors(template->warnings);
        attr_check_names(template, LAYER_TEMPLATE, &builder.errors, &spec->warnings);
        builder.n_errors = error_count(builder.errors);

        fill(&builder, &attr_vm, NULL, spec);
        fill_single(&builder, &attr_os, &spec->os);
        fill_single(&builder, &attr_features, &spec->features);
        fill_single(&builder, &attr_cpu_model, &spec->cpu_model);
        spec->panic.present = fill_single(&builder, &attr_panic, &spec->panic) != NULL;
        fill_devices(&builder);

        set_identity(&builder, default_name);
        set_machine(&builder, base_dir);
        set_disks(&builder, base_dir);
        set_macs(spec);
        set_taps(&builder);
        set_boot_order(&builder);
        spec_check(&builder);

        if (builder.errors) {
                sort_errors(&builder.errors, template->file);
                *err = builder.errors;
                return -1;
        }
        *ret = TAKE_PTR(spec);
        return 0;
}
