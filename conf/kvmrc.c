#include "conf/kvmrc.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { MAX_REPORTS = 20, MAX_SECONDS = 7 * 86400 };

static const char later[] = "not used by this version";
static const char without_libvirt[] = "without meaning here: there is no libvirt";

#define VIRTIOFSD_PATHS "/usr/libexec/virtiofsd /usr/lib/qemu/virtiofsd /usr/lib/virtiofsd/virtiofsd"

/* Not set in the file as shipped. */
#define UNSET(variable, text)                     \
        {                                         \
                .name = (variable), .doc = (text) \
        }

/* Into kvmrc.attach; a key of the vector that 'attach' adds, unless it says otherwise itself. */
#define ATTACH_PREFIX "DEFAULT_ATTACH_"
#define ATTACH(suffix, shipped)                                                                 \
        {                                                                                       \
                .name = ATTACH_PREFIX suffix, .dflt = (shipped), .here = true,                  \
                .doc = "default of this key for a disk or NIC that is attached to a running VM" \
        }

/* opennebula-semantics section 4.2. */
const struct kvmrc_row kvmrc_rows[] = {
        { "SHUTDOWN_TIMEOUT", "180", "seconds a guest gets to shut down", .here = true, .ours = "180" },
        { "FORCE_DESTROY", "yes", "destroy a guest that has not shut down in time; ours is no when unset",
          .here = true, .ours = "no" },
        { "CANCEL_NO_ACPI", NULL, "destroy a guest without ACPI at once", .here = true, .ours = "no" },
        { "LANG", "C", "without meaning here: output is not translated", .plain = "C" },
        { "LIBVIRT_URI", "qemu:///system", without_libvirt, .plain = "qemu:///system" },
        { "LIBVIRT_MD_URI", "http://opennebula.org/xmlns/libvirt/1.0", without_libvirt,
          .plain = "http://opennebula.org/xmlns/libvirt/1.0" },
        { "LIBVIRT_MD_KEY", "one", without_libvirt, .plain = "one" },
        { "QEMU_PROTOCOL", "qemu+ssh", later, .plain = "qemu+ssh" },
        { "SYNC_TIME", "yes", "set the guest's clock by its agent when a paused guest goes on", .here = true,
          .ours = "yes" },
        { "VIRSH_RETRIES", "3", without_libvirt, .plain = "3" },
        { "VIRSH_TIMEOUT", "60", without_libvirt, .plain = "60" },
        UNSET("VIRSH_TRIES", without_libvirt),
        { "CLEANUP_MEMORY_ON_START", NULL,
          "drop the host's caches and compact its memory before a VM starts or grows, at most once a minute; the start waits "
          "for it up to 30 s",
          .here = true, .ours = "no" },
        { "CLEANUP_MEMORY_ON_STOP", "no",
          "the same once a VM has ended or shrunk, in the background; no when unset", .here = true,
          .ours = "no", .shipped = "yes" },
        UNSET("MIGRATE_OPTIONS", later),
        ATTACH("CACHE", "none"),
        ATTACH("DISCARD", "unmap"),
        ATTACH("IO", NULL),
        ATTACH("VIRTIO_BLK_QUEUES", NULL),
        ATTACH("VIRTIO_BLK_IOTHREAD", NULL),
        ATTACH("TOTAL_BYTES_SEC", NULL),
        ATTACH("TOTAL_BYTES_SEC_MAX", NULL),
        ATTACH("TOTAL_BYTES_SEC_MAX_LENGTH", NULL),
        ATTACH("READ_BYTES_SEC", NULL),
        ATTACH("READ_BYTES_SEC_MAX", NULL),
        ATTACH("READ_BYTES_SEC_MAX_LENGTH", NULL),
        ATTACH("WRITE_BYTES_SEC", NULL),
        ATTACH("WRITE_BYTES_SEC_MAX", NULL),
        ATTACH("WRITE_BYTES_SEC_MAX_LENGTH", NULL),
        ATTACH("TOTAL_IOPS_SEC", NULL),
        ATTACH("TOTAL_IOPS_SEC_MAX", NULL),
        ATTACH("TOTAL_IOPS_SEC_MAX_LENGTH", NULL),
        ATTACH("READ_IOPS_SEC", NULL),
        ATTACH("READ_IOPS_SEC_MAX", NULL),
        ATTACH("READ_IOPS_SEC_MAX_LENGTH", NULL),
        ATTACH("WRITE_IOPS_SEC", NULL),
        ATTACH("WRITE_IOPS_SEC_MAX", NULL),
        ATTACH("WRITE_IOPS_SEC_MAX_LENGTH", NULL),
        ATTACH("SIZE_IOPS_SEC", NULL),
        ATTACH("NIC_MODEL", "virtio"),
        ATTACH("NIC_FILTER", NULL),
        { "VIRTIOFSD_BINARY_PATH", VIRTIOFSD_PATHS,
          "where virtiofsd is: the first of these that is a program", .here = true },
        { "OVMF_NVRAM", "/usr/share/OVMF/OVMF_VARS.fd",
          "template of UEFI variables for a FIRMWARE file of which neither a firmware descriptor of QEMU nor its name says "
          "which variables are its own",
          .here = true },
        { .name = NULL },
};

void kvmrc_init(struct kvmrc *kvmrc)
{
        *kvmrc = (struct kvmrc){ .shutdown_timeout_s = 180,
                                 .sync_time = true,
                                 .virtiofsd = xstrdup(VIRTIOFSD_PATHS) };
}

void kvmrc_done(struct kvmrc *kvmrc)
{
        free(kvmrc->ovmf_nvram);
        free(kvmrc->virtiofsd);
        for (size_t i = 0; i < kvmrc->n_attach; i++) {
                free(kvmrc->attach[i].key);
                free(kvmrc->attach[i].value);
        }
        free(kvmrc->attach);
}

static const struct kvmrc_row *find_row(const char *name)
{
        for (const struct kvmrc_row *row = kvmrc_rows; row->name; row++)
                if (strcmp(row->name, name) == 0)
                        return row;
        return NULL;
}

static const char *nearest_name(const char *name)
{
        const char *names[ARRAY_SIZE(kvmrc_rows)] = { NULL };

        for (size_t i = 0; kvmrc_rows[i].name; i++)
                names[i] = kvmrc_rows[i].name;
        return text_nearest(name, names);
}

/*
 * Splits a line into name and value, both new strings: true when it is an assignment. What a shell would expand is
 * not: nothing is executed here, so it could only be misread.
 */
static bool split(const char *line, char **ret_name, char **ret_value)
{
        const char *name = line, *value;
        char quote = '\0';
        size_t n;

        if (text_starts_with(name, "export") && (name[6] == ' ' || name[6] == '\t'))
                name += 6 + strspn(name + 6, " \t");
        n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
        if (!n || isdigit((unsigned char)*name) || name[n] != '=')
                return false;
        value = name + n + 1;
        if (*value == '"' || *value == '\'')
                quote = *value++;
        size_t length =
                quote ? strcspn(value, quote == '"' ? "\"$`\\" : "'") : strcspn(value, " \t;|&<>()$`\\\"'*?");
        const char *rest = value + length;

        if (quote && *rest++ != quote)
                return false;
        if (*rest && *rest != ' ' && *rest != '\t')
                return false;
        rest += strspn(rest, " \t");
        if (*rest && *rest != '#')
                return false;
        *ret_name = xstrndup(name, n);
        *ret_value = xstrndup(value, length);
        return true;
}

struct reader {
        const char *text;
        size_t length;
        struct error **warnings;
        unsigned n_warnings;
        struct text unused;  /* names of variables that are set and not used by this version */
        struct text libvirt; /* those that say how to reach it */
        struct source_pos unused_pos, libvirt_pos;
};

static void __attribute__((format(printf, 3, 4)))
warn(struct reader *reader, const struct source_pos *pos, const char *format, ...)
{
        _cleanup_text_ struct text message = TEXT_INIT;
        struct error *warning = NULL;
        va_list ap;

        if (++reader->n_warnings > MAX_REPORTS)
                return;
        va_start(ap, format);
        text_vaddf(&message, format, ap);
        va_end(ap);
        error_at(&warning, pos, "%s", text_str(&message));
        warning->excerpt = template_excerpt(reader->text, reader->length, pos);
        error_append(reader->warnings, warning);
}

/* The last one counts, an empty one is none. */
static void set_attach(struct kvmrc *kvmrc, const char *key, const char *value)
{
        for (size_t i = kvmrc->n_attach; i-- > 0;) {
                if (strcmp(kvmrc->attach[i].key, key) != 0)
                        continue;
                free(kvmrc->attach[i].key);
                free(kvmrc->attach[i].value);
                kvmrc->attach[i] = kvmrc->attach[--kvmrc->n_attach];
        }
        if (!*value)
                return;
        ARRAY_GROW(kvmrc->attach, kvmrc->n_attach);
        kvmrc->attach[kvmrc->n_attach++] =
                (struct kvmrc_attach){ .key = xstrdup(key), .value = xstrdup(value) };
}

static void add_name(struct text *names, struct source_pos *first, const char *name,
                     const struct source_pos *pos)
{
        if (!names->length)
                *first = *pos;
        text_addf(names, "%s%s", names->length ? ", " : "", name);
}

static int assign(struct reader *reader, const char *name, const char *value, const struct source_pos *pos,
                  struct kvmrc *kvmrc, struct error **err)
{
        const struct kvmrc_row *row = find_row(name);
        _cleanup_free_ char *shown = text_printable(value);

        if (!row) {
                const char *nearest = nearest_name(name);

                if (nearest)
                        warn(reader, pos, "%s: no such variable, no effect; did you mean '%s'?", name,
                             nearest);
                else
                        warn(reader, pos, "%s: no such variable, no effect", name);
                return 0;
        }
        if (strcmp(name, "SHUTDOWN_TIMEOUT") == 0) {
                uint32_t seconds;

                /* Upstream falls back to 120 when it is empty; one default is enough. */
                if (!*value)
                        return 0;
                if (!text_parse_u32(value, &seconds) || seconds < 1 || seconds > MAX_SECONDS)
                        return error_at(err, pos,
                                        "SHUTDOWN_TIMEOUT: '%s' is not a number of seconds (1 to %d)", shown,
                                        MAX_SECONDS);
                kvmrc->shutdown_timeout_s = seconds;
                return 0;
        }
        if (strcmp(name, "VIRTIOFSD_BINARY_PATH") == 0) {
                free(kvmrc->virtiofsd);
                kvmrc->virtiofsd = xstrdup(value[strspn(value, " \t")] ? value : VIRTIOFSD_PATHS);
                return 0;
        }
        if (text_starts_with(name, ATTACH_PREFIX)) {
                set_attach(kvmrc, name + strlen(ATTACH_PREFIX), value);
                return 0;
        }
        if (strcmp(name, "OVMF_NVRAM") == 0) {
                free(kvmrc->ovmf_nvram);
                kvmrc->ovmf_nvram = *value ? xstrdup(value) : NULL;
                return 0;
        }
        if (row->here) {
                bool *field = strcmp(name, "FORCE_DESTROY") == 0             ? &kvmrc->force_destroy
                              : strcmp(name, "SYNC_TIME") == 0               ? &kvmrc->sync_time
                              : strcmp(name, "CLEANUP_MEMORY_ON_START") == 0 ? &kvmrc->cleanup_on_start
                              : strcmp(name, "CLEANUP_MEMORY_ON_STOP") == 0  ? &kvmrc->cleanup_on_stop
                                                                             : &kvmrc->cancel_no_acpi;

                if (!*value)
                        return *field = false, 0;
                if (!text_parse_bool(value, field))
                        return error_at(err, pos, "%s: '%s' is neither yes nor no", name, shown);
                return 0;
        }
        if (!*value || (row->plain && strcmp(row->plain, value) == 0))
                return 0;
        add_name(row->doc == without_libvirt ? &reader->libvirt : &reader->unused,
                 row->doc == without_libvirt ? &reader->libvirt_pos : &reader->unused_pos, name, pos);
        return 0;
}

int kvmrc_parse(const char *file, const char *text, size_t length, struct kvmrc *kvmrc,
                struct error **warnings, struct error **err)
{
        struct reader reader = { .text = text, .length = length, .warnings = warnings };
        const char *end = text + length;
        int result = 0;

        for (unsigned number = 1; text < end && result == 0; number++) {
                const char *newline = memchr(text, '\n', (size_t)(end - text));
                const char *next = newline ? newline + 1 : end;
                _cleanup_free_ char *line = xstrndup(text, (size_t)((newline ? newline : end) - text));
                _cleanup_free_ char *name = NULL, *value = NULL;
                size_t n = strlen(line), indent = strspn(line, " \t");
                struct source_pos pos = { file, number, (unsigned)indent + 1 };

                text = next;
                while (n > indent && strchr(" \t\r", line[n - 1]))
                        line[--n] = '\0';
                if (!line[indent] || line[indent] == '#')
                        continue;
                if (split(line + indent, &name, &value))
                        result = assign(&reader, name, value, &pos, kvmrc, err);
                else
                        warn(&reader, &pos, "not an assignment of a plain value, no effect");
        }
        if (result < 0)
                (*err)->excerpt = template_excerpt(reader.text, reader.length, &(*err)->pos);
        if (result == 0 && reader.unused.length)
                warn(&reader, &reader.unused_pos,
                     "not supported by this version of vmlaunch, going on without: %s",
                     text_str(&reader.unused));
        if (result == 0 && reader.libvirt.length)
                warn(&reader, &reader.libvirt_pos, "%s: %s", without_libvirt, text_str(&reader.libvirt));
        text_done(&reader.unused);
        text_done(&reader.libvirt);
        return result;
}
