#include "launcher/host/firmware.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"

#define DESCRIPTOR_MAX  65536u
#define DESCRIPTORS_MAX 256
#define LIST_MAX        64

static void names_done(char **names)
{
        for (size_t i = 0; names && names[i]; i++)
                free(names[i]);
        free(names);
}

static void firmware_done(struct firmware *firmware)
{
        free(firmware->name);
        free(firmware->code);
        free(firmware->vars);
        for (size_t i = 0; i < firmware->n_targets; i++) {
                free(firmware->targets[i].arch);
                names_done(firmware->targets[i].machines);
        }
        free(firmware->targets);
}

void firmware_list_free(struct firmware_list *list)
{
        if (!list)
                return;
        for (size_t i = 0; i < list->n; i++)
                firmware_done(&list->items[i]);
        free(list->items);
        names_done(list->files);
        error_free(list->warnings);
        free(list);
}

/* Files and patterns of a descriptor: in messages, argv and JSON of ours. */
static bool is_plain(const char *s)
{
        for (const unsigned char *c = (const unsigned char *)s; *c; c++)
                if (*c < ' ' || *c == 0x7f)
                        return false;
        return *s;
}

static bool read_format(const char *word, enum disk_format *ret)
{
        *ret = strcmp(word, "qcow2") == 0 ? DISK_FORMAT_QCOW2 : DISK_FORMAT_RAW;
        return *ret == DISK_FORMAT_QCOW2 || strcmp(word, "raw") == 0;
}

static bool has_word(const json_t *array, const char *word)
{
        for (size_t i = 0; i < json_array_size(array); i++) {
                const char *item = json_string_value(json_array_get(array, i));

                if (item && strcmp(item, word) == 0)
                        return true;
        }
        return false;
}

static int not_understood(struct error **err, const char *name, const char *why)
{
        return error_set(err, ERROR_HOST, "firmware descriptor '%s' is not understood: %s", name, why);
}

static int read_targets(const json_t *targets, struct firmware *firmware, struct error **err)
{
        json_t *target, *machine;
        size_t i, j;

        if (json_array_size(targets) > LIST_MAX)
                return not_understood(err, firmware->name, "too many targets");
        firmware->targets = xcalloc(json_array_size(targets) + 1, sizeof(*firmware->targets));
        json_array_foreach (targets, i, target) {
                struct firmware_target *place = &firmware->targets[firmware->n_targets++];
                const json_t *machines = json_object_get(target, "machines");
                const char *arch = json_member_string(target, "architecture");

                if (!arch || !is_plain(arch) || json_array_size(machines) > LIST_MAX)
                        return not_understood(err, firmware->name, "a target without architecture");
                place->arch = xstrdup(arch);
                place->machines = xcalloc(json_array_size(machines) + 1, sizeof(char *));
                json_array_foreach (machines, j, machine) {
                        if (!json_is_string(machine) || !is_plain(json_string_value(machine)))
                                return not_understood(err, firmware->name, "a machine that is no name");
                        place->machines[j] = xstrdup(json_string_value(machine));
                }
        }
        return 0;
}

/* 1: kept; 0: of a kind that is not for us; -1: *err. The form is firmware.json's: ours is the same. */
static int read_firmware(const char *name, const json_t *json, struct firmware *ret, struct error **err)
{
        const char *device, *code, *code_format, *vars, *vars_format, *mode = "split";
        const json_t *interfaces, *features, *targets;
        json_error_t why;

        if (json_unpack_ex((json_t *)json, &why, 0, "{s:o, s:{s:s}, s:o, s:o}", "interface-types",
                           &interfaces, "mapping", "device", &device, "targets", &targets, "features",
                           &features) < 0)
                return not_understood(err, name, why.text);
        if (!has_word(interfaces, "uefi") || strcmp(device, "flash") != 0)
                return 0;
        if (json_unpack_ex((json_t *)json, &why, 0, "{s:{s?s}}", "mapping", "mode", &mode) < 0)
                return not_understood(err, name, why.text);
        if (strcmp(mode, "split") != 0)
                return 0;
        if (json_unpack_ex((json_t *)json, &why, 0, "{s:{s:{s:s, s:s}, s:{s:s, s:s}}}", "mapping",
                           "executable", "filename", &code, "format", &code_format, "nvram-template",
                           "filename", &vars, "format", &vars_format) < 0)
                return not_understood(err, name, why.text);
        if (*code != '/' || *vars != '/' || !is_plain(code) || !is_plain(vars))
                return not_understood(err, name, "a file without absolute path");
        *ret = (struct firmware){
                .name = xstrdup(name),
                .code = xstrdup(code),
                .vars = xstrdup(vars),
                .secure_boot = has_word(features, "secure-boot"),
                .enrolled_keys = has_word(features, "enrolled-keys"),
                .requires_smm = has_word(features, "requires-smm"),
        };
        if (!read_format(code_format, &ret->code_format) || !read_format(vars_format, &ret->vars_format))
                not_understood(err, name, "a format that is neither raw nor qcow2");
        else if (read_targets(targets, ret, err) == 0)
                return 1;
        firmware_done(ret);
        return -1;
}

static void add_descriptor(struct firmware_list *list, const char *name, const json_t *json)
{
        struct error *problem = NULL;
        struct firmware firmware;

        if (read_firmware(name, json, &firmware, &problem) > 0) {
                ARRAY_GROW(list->items, list->n);
                list->items[list->n++] = firmware;
        } else if (problem) {
                error_append(&list->warnings, problem);
        }
}

static int is_descriptor(const struct dirent *entry)
{
        return entry->d_name[0] != '.' && text_ends_with(entry->d_name, ".json");
}

/* {"60-edk2.json": "/usr/share/qemu/firmware"}: the directory that counts for each name. */
static int find_descriptors(const char *const *directories, json_t *found, struct error **err)
{
        for (size_t i = 0; directories[i]; i++) {
                struct dirent **entries;
                int n = scandir(directories[i], &entries, is_descriptor, NULL);

                if (n < 0 && (errno == ENOENT || errno == ENOTDIR))
                        continue;
                if (n < 0)
                        return error_os(err, errno, "read directory '%s'", directories[i]);
                for (int j = 0; j < n; j++) {
                        if (json_object_size(found) < DESCRIPTORS_MAX ||
                            json_object_get(found, entries[j]->d_name))
                                json_object_set_new(found, entries[j]->d_name, json_string(directories[i]));
                        free(entries[j]);
                }
                free(entries);
        }
        return 0;
}

static int by_name(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void read_descriptor(struct firmware_list *list, const char *directory, const char *name)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", directory, name), *text = NULL;
        json_auto_t *json = NULL;
        struct error *problem = NULL;
        json_error_t why;
        size_t length;

        if (fd_read_file_at(AT_FDCWD, path, DESCRIPTOR_MAX, &text, &length, &problem) < 0) {
                error_append(&list->warnings, problem);
                return;
        }
        /* So a descriptor is hidden (firmware.json, "Precedence"). */
        if (length == 0)
                return;
        json = json_loadb(text, length, 0, &why);
        if (json) {
                add_descriptor(list, name, json);
        } else {
                not_understood(&problem, name, why.text);
                error_append(&list->warnings, problem);
        }
}

static void add_file(struct firmware_list *list, size_t *n, const char *path)
{
        for (size_t i = 0; i < *n; i++)
                if (strcmp(list->files[i], path) == 0)
                        return;
        if (access(path, F_OK) < 0)
                return;
        list->files = xreallocarray(list->files, *n + 2, sizeof(char *));
        list->files[(*n)++] = xstrdup(path);
        list->files[*n] = NULL;
}

int firmware_list_read(const char *const *directories, const char *const *files, struct firmware_list **ret,
                       struct error **err)
{
        _cleanup_(firmware_list_freep) struct firmware_list *list = xcalloc(1, sizeof(*list));
        _cleanup_free_ const char **names = NULL;
        json_auto_t *found = json_object();
        size_t n = 0, n_files = 0;
        const char *name;
        json_t *directory;

        list->files = xcalloc(1, sizeof(char *));
        if (find_descriptors(directories, found, err) < 0)
                return -1;
        names = xcalloc(json_object_size(found) + 1, sizeof(*names));
        json_object_foreach (found, name, directory)
                names[n++] = name;
        qsort(names, n, sizeof(*names), by_name);
        for (size_t i = 0; i < n; i++)
                read_descriptor(list, json_member_string(found, names[i]), names[i]);
        for (size_t i = 0; i < list->n; i++) {
                add_file(list, &n_files, list->items[i].code);
                add_file(list, &n_files, list->items[i].vars);
        }
        for (size_t i = 0; files && files[i]; i++)
                add_file(list, &n_files, files[i]);
        qsort(list->files, n_files, sizeof(char *), by_name);
        *ret = TAKE_PTR(list);
        return 0;
}

int firmware_list_for(const struct vm_spec *spec, const char *etc, const char *ovmf_nvram,
                      struct firmware_list **ret, struct error **err)
{
        const struct os_spec *os = &spec->os;
        _cleanup_free_ char *own = xasprintf("%s/firmware", etc), *beside = NULL, *beside_keys = NULL;
        const char *const directories[] = { "/usr/share/qemu/firmware", "/etc/qemu/firmware", own, NULL };
        const char *files[5] = { NULL };
        size_t n = 0;

        *ret = NULL;
        if (os->firmware_kind == FIRMWARE_BIOS)
                return 0;
        if (ovmf_nvram)
                files[n++] = ovmf_nvram;
        /* A file that is not on the list will be refused: it is not looked at either. */
        if (os->firmware_kind == FIRMWARE_FILE && firmware_is_listed(spec->ovmf_uefis, os->firmware)) {
                beside = firmware_vars_beside(os->firmware, false);
                beside_keys = firmware_vars_beside(os->firmware, true);
                files[n++] = os->firmware;
                if (beside)
                        files[n++] = beside;
                if (beside_keys)
                        files[n++] = beside_keys;
        }
        return firmware_list_read(directories, files, ret, err);
}

static json_t *names_to_json(char *const *names)
{
        json_t *array = json_array();

        for (size_t i = 0; names && names[i]; i++)
                json_array_append_new(array, json_string(names[i]));
        return array;
}

static json_t *firmware_to_json(const struct firmware *firmware)
{
        json_t *targets = json_array(), *features = json_array();
        const struct {
                bool has;
                const char *word;
        } words[] = { { firmware->secure_boot, "secure-boot" },
                      { firmware->enrolled_keys, "enrolled-keys" },
                      { firmware->requires_smm, "requires-smm" } };

        for (size_t i = 0; i < firmware->n_targets; i++)
                json_array_append_new(targets,
                                      json_pack("{s:s, s:o}", "architecture", firmware->targets[i].arch,
                                                "machines", names_to_json(firmware->targets[i].machines)));
        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (words[i].has)
                        json_array_append_new(features, json_string(words[i].word));
        return json_pack("{s:[s], s:{s:s, s:{s:s, s:s}, s:{s:s, s:s}}, s:o, s:o}", "interface-types", "uefi",
                         "mapping", "device", "flash", "executable", "filename", firmware->code, "format",
                         disk_format_name(firmware->code_format), "nvram-template", "filename",
                         firmware->vars, "format", disk_format_name(firmware->vars_format), "targets",
                         targets, "features", features);
}

json_t *firmware_list_to_json(const struct firmware_list *list)
{
        json_t *descriptors = json_object();

        for (size_t i = 0; i < list->n; i++)
                json_object_set_new(descriptors, list->items[i].name, firmware_to_json(&list->items[i]));
        return json_pack("{s:o, s:o}", "descriptors", descriptors, "files", names_to_json(list->files));
}

int firmware_list_from_json(const json_t *json, struct firmware_list **ret, struct error **err)
{
        _cleanup_(firmware_list_freep) struct firmware_list *list = xcalloc(1, sizeof(*list));
        const json_t *files = json_object_get(json, "files");
        const char *name;
        json_t *descriptor;

        list->files = xcalloc(json_array_size(files) + 1, sizeof(char *));
        for (size_t i = 0; i < json_array_size(files); i++) {
                const char *file = json_string_value(json_array_get(files, i));

                if (!file)
                        return error_set(err, ERROR_FAILED, "firmware facts: a file that is no name");
                list->files[i] = xstrdup(file);
        }
        qsort(list->files, json_array_size(files), sizeof(char *), by_name);
        json_object_foreach (json_object_get(json, "descriptors"), name, descriptor)
                add_descriptor(list, name, descriptor);
        if (list->warnings) {
                *err = TAKE_PTR(list->warnings);
                return -1;
        }
        *ret = TAKE_PTR(list);
        return 0;
}

bool firmware_file_exists(const struct firmware_list *list, const char *path)
{
        for (size_t i = 0; list->files[i]; i++)
                if (strcmp(list->files[i], path) == 0)
                        return true;
        return false;
}

bool firmware_fits(const struct firmware *firmware, const char *arch, const char *machine)
{
        for (size_t i = 0; i < firmware->n_targets; i++) {
                const struct firmware_target *target = &firmware->targets[i];

                for (size_t j = 0; strcmp(target->arch, arch) == 0 && target->machines[j]; j++)
                        if (fnmatch(target->machines[j], machine, 0) == 0)
                                return true;
        }
        return false;
}

char *firmware_vars_beside(const char *code, bool with_keys)
{
        const char *slash = strrchr(code, '/'), *word = strstr(slash ? slash : code, "CODE");
        _cleanup_free_ char *start = NULL, *middle = NULL;
        const char *rest, *suffix;

        if (!word)
                return NULL;
        rest = word + strlen("CODE");
        suffix = strrchr(rest, '.');
        start = xstrndup(code, (size_t)(word - code));
        /* What is between: "_4M.secboot" of OVMF_CODE_4M.secboot.fd. */
        middle = xstrndup(rest, suffix ? (size_t)(suffix - rest) : strlen(rest));
        middle[strcspn(middle, ".")] = '\0';
        return xasprintf("%sVARS%s%s%s", start, middle, with_keys ? ".ms" : "", suffix ? suffix : "");
}

bool firmware_is_listed(const char *list, const char *path)
{
        size_t n = strlen(path);

        for (const char *word = list ? list : ""; *word;) {
                size_t length = strcspn(word, " \t\n");

                if (length == n && strncmp(word, path, n) == 0)
                        return true;
                word += length;
                word += strspn(word, " \t\n");
        }
        return false;
}
