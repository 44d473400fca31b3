/* Name, UUID and kernel of the machine; paths of any section. */
#include <string.h>

#include "base/text.h"
#include "conf/identity.h"
#include "conf/spec_rules.h"

enum { MAX_NAME_BYTES = 128 };

bool spec_name_is_valid(const char *name)
{
        size_t n = strlen(name);

        return n >= 1 && n <= MAX_NAME_BYTES && *name != '.' && *name != '-' &&
               strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

bool spec_name_is_reserved(const char *name)
{
        return strcmp(name, "images") == 0 || strcmp(name, "uids") == 0 || strcmp(name, "ports") == 0;
}

void spec_set_identity(struct spec_builder *builder, const char *default_name)
{
        struct vm_spec *spec = builder->spec;
        struct origin *name = spec_own_origin(&attr_vm, spec, "NAME"),
                      *uuid = spec_own_origin(&attr_vm, spec, "UUID");
        const struct origin *os_uuid = spec_origin(&attr_os, &spec->os, "UUID");
        struct source_pos file = { .file = builder->template->file };
        char text[37];

        if (!spec->name && default_name && *default_name) {
                spec->name = xstrdup(default_name);
                spec_set_origin(spec, name, LAYER_RULE, default_name, NULL);
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
                spec_set_origin(spec, uuid, LAYER_RULE, spec->uuid_text, NULL);
        }
        if (spec->uuid_text) {
                text_parse_uuid(spec->uuid_text, spec->uuid);
        } else if (spec->name) {
                identity_uuid(spec->name, spec->uuid);
                text_from_uuid(spec->uuid, text);
                spec->uuid_text = xstrdup(text);
                spec_set_origin(spec, uuid, LAYER_RULE, text, NULL);
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

char *spec_resolve_path(struct spec_builder *builder, const char *full_name, const struct origin *origin,
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

void spec_set_machine(struct spec_builder *builder, const char *base_dir)
{
        struct vm_spec *spec = builder->spec;
        struct os_spec *os = &spec->os;
        const struct {
                char **path;
                const char *key;
        } paths[] = { { &os->kernel, "KERNEL" }, { &os->initrd, "INITRD" } };

        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
                _cleanup_free_ char *path = TAKE_PTR(*paths[i].path),
                                    *name = xasprintf("OS/%s", paths[i].key);

                if (path && *path)
                        *paths[i].path = spec_resolve_path(
                                builder, name, spec_origin(&attr_os, os, paths[i].key), base_dir, path);
        }
        spec_set_firmware(builder, base_dir);
        spec_set_cpu(builder);
        spec_set_clock(builder);
        spec_set_iommu(builder);
}
