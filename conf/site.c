#include "conf/site.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/attr.h"
#include "conf/attr_check.h"
#include "conf/kvmrc.h"

enum { MAX_KVMRC_BYTES = 1 << 20 };

void paths_init(struct paths *paths, const char *root, const struct owner *owner)
{
        size_t n = root ? strlen(root) : 0;

        while (n && root[n - 1] == '/')
                n--;
        if (n && root[0] != '/') {
                _cleanup_free_ char *cwd = getcwd(NULL, 0);

                paths->root = xasprintf("%s/%.*s", cwd && strcmp(cwd, "/") != 0 ? cwd : "", (int)n, root);
        } else {
                paths->root = xstrndup(root ? root : "", n);
        }
        paths->user = owner && owner->user;
        if (paths->user && !*paths->root) {
                paths->etc = xasprintf("%s/vmlaunch", owner->config);
                paths->run = xasprintf("%s/vmlaunch", owner->runtime);
                paths->state = xasprintf("%s/vmlaunch", owner->data);
                paths->log = xasprintf("%s/vmlaunch", owner->state);
                paths->cache = xasprintf("%s/vmlaunch", owner->cache);
                return;
        }
        paths->etc = xasprintf("%s/etc/vmlaunch", paths->root);
        paths->run = xasprintf("%s/run/vmlaunch", paths->root);
        paths->state = xasprintf("%s/var/lib/vmlaunch", paths->root);
        paths->log = xasprintf("%s/var/log/vmlaunch", paths->root);
        paths->cache = xasprintf("%s/var/cache/vmlaunch", paths->root);
}

void paths_done(struct paths *paths)
{
        free(paths->root);
        free(paths->etc);
        free(paths->run);
        free(paths->state);
        free(paths->log);
        free(paths->cache);
        *paths = (struct paths){ 0 };
}

static void free_programs(char **programs)
{
        for (size_t i = 0; programs && programs[i]; i++)
                free(programs[i]);
        free(programs);
}

void site_free(struct site *site)
{
        if (!site)
                return;
        paths_done(&site->paths);
        owner_done(&site->owner);
        template_free(site->driver);
        template_free(site->cluster);
        template_free(site->host);
        free(site->image_dir);
        free(site->datastore_location);
        kvmrc_done(&site->kvmrc);
        free_programs(site->emulators);
        free_programs(site->nic_scripts);
        error_free(site->warnings);
        free(site);
}

static int parse_layer(struct site *site, enum layer layer, const char *name, const char *text, size_t length,
                       struct template **ret, struct error **err)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", site->paths.etc, name);

        if (!text)
                return 0;
        if (template_parse_layer(path, text, length, ret, err) < 0)
                return -1;
        error_append(&site->warnings, TAKE_PTR((*ret)->warnings));
        attr_check_names(*ret, layer, err, &site->warnings);
        return *err ? -1 : 0;
}

/* The strongest layer that says NAME; empty counts as nothing said. */
static const struct template_attribute *find_setting(const struct site *site, const char *name,
                                                     const struct template **ret_layer)
{
        const struct attr *row = attr_find(&attr_vm, name);
        const struct template *const layers[] = { site->host, site->cluster, site->driver };
        size_t n = row->lookup == LOOKUP_HOST ? 1 : ARRAY_SIZE(layers);

        for (size_t i = 0; i < n; i++) {
                size_t start = 0;
                const struct template_attribute *single = template_next(layers[i], name, false, &start);

                if (single && single->value[strspn(single->value, " \t\r\n")]) {
                        *ret_layer = layers[i];
                        return single;
                }
        }
        return NULL;
}

static int setting_error(const struct template *layer, struct error **err)
{
        template_add_excerpt(layer, *err);
        return -1;
}

static int read_uid_range(struct site *site, struct error **err)
{
        const struct template *layer = NULL;
        const struct template_attribute *single = find_setting(site, "UID_RANGE", &layer);
        const char *value = single ? single->value : attr_find(&attr_vm, "UID_RANGE")->dflt;
        _cleanup_free_ char *first = xstrdup(value), *shown = NULL;
        char *dash = strchr(first, '-');
        uint32_t from, to;

        if (site->owner.user) {
                site->uid_first = site->uid_last = site->owner.uid;
                return 0;
        }
        if (dash)
                *dash = '\0';
        /* The last two ids mean "nobody" and "no change" to the kernel. */
        if (!dash || !text_parse_u32(first, &from) || !text_parse_u32(dash + 1, &to) || from == 0 ||
            from > to || to >= UINT32_MAX - 1) {
                shown = text_printable(value);
                error_at(err, &single->value_pos,
                         "UID_RANGE: '%s' is not a range of user ids (try UID_RANGE = \"%s\")", shown,
                         attr_find(&attr_vm, "UID_RANGE")->dflt);
                return setting_error(layer, err);
        }
        site->uid_first = from;
        site->uid_last = to;
        return 0;
}

/* A list of programs: absolute paths or, with plain_names, names that are looked up. */
static int read_programs(const struct site *site, const char *name, bool plain_names, char ***ret,
                         struct error **err)
{
        const struct template *layer;
        const struct template_attribute *single = find_setting(site, name, &layer);
        _cleanup_free_ char *words = NULL;
        size_t n = 0;

        if (!single)
                return 0;
        words = xstrdup(single->value);
        /* Given and empty: a list of none. */
        *ret = xcalloc(1, sizeof(**ret));
        for (char *save = NULL, *word = strtok_r(words, " \t\r\n", &save); word;
             word = strtok_r(NULL, " \t\r\n", &save)) {
                if (*word != '/' && (!plain_names || strchr(word, '/'))) {
                        _cleanup_free_ char *shown = text_printable(word);

                        error_at(err, &single->value_pos, "%s: '%s' is %s", name, shown,
                                 plain_names ? "neither an absolute path nor a plain name"
                                             : "not an absolute path");
                        return setting_error(layer, err);
                }
                *ret = xreallocarray(*ret, n + 2, sizeof(**ret));
                (*ret)[n++] = xstrdup(word);
                (*ret)[n] = NULL;
        }
        return 0;
}

/* The directory of a setting, or ours (NULL: the row's default). */
static int read_directory(const struct site *site, const char *name, const char *ours, char **ret,
                          struct error **err)
{
        const struct template *layer;
        const struct template_attribute *single = find_setting(site, name, &layer);
        _cleanup_free_ char *shown = NULL;

        if (!single) {
                *ret = xstrdup(ours ? ours : attr_find(&attr_vm, name)->dflt);
                return 0;
        }
        if (single->value[0] == '/' && !strchr(single->value, '\n') &&
            template_value_is_writable(single->value)) {
                *ret = xstrdup(single->value);
                return 0;
        }
        shown = text_printable(single->value);
        error_at(err, &single->value_pos, "%s: '%s' is not an absolute path", name, shown);
        return setting_error(layer, err);
}

static int read_settings(struct site *site, struct error **err)
{
        const struct template *layer;
        const struct template_attribute *single;
        const struct attr *row = attr_find(&attr_vm, "Q35_ROOT_PORTS");
        uint64_t ports = 0;

        _cleanup_free_ char *images = NULL;

        /* "images" can be no VM's name (spec_name_is_reserved()). */
        if (site->paths.user && !*site->paths.root)
                images = xasprintf("%s/images", site->paths.state);
        else
                images = xasprintf("%s%s", site->paths.root, attr_find(&attr_vm, "IMAGE_DIR")->dflt);
        if (read_directory(site, "IMAGE_DIR", images, &site->image_dir, err) < 0 ||
            read_directory(site, "DATASTORE_LOCATION", NULL, &site->datastore_location, err) < 0)
                return -1;

        single = find_setting(site, row->name, &layer);
        if (single && attr_set(&attr_vm, row, single->value, &single->value_pos, NULL, err) < 0)
                return setting_error(layer, err);
        if (single)
                text_parse_u64(single->value, &ports);
        if (!ports)
                text_parse_u64(row->dflt, &ports);
        site->q35_root_ports = (unsigned)ports;

        row = attr_find(&attr_vm, "Q35_NUMA_PCIE");
        single = find_setting(site, row->name, &layer);
        if (single && attr_set(&attr_vm, row, single->value, &single->value_pos, NULL, err) < 0)
                return setting_error(layer, err);
        text_parse_bool(single ? single->value : row->dflt, &site->q35_numa_pcie);

        if (read_uid_range(site, err) < 0)
                return -1;
        return read_programs(site, "EMULATORS", true, &site->emulators, err) < 0
                       ? -1
                       : read_programs(site, "NIC_SCRIPTS", false, &site->nic_scripts, err);
}

struct site_texts {
        char *driver, *cluster, *host, *kvmrc; /* NULL: no such file */
        size_t driver_length, cluster_length, host_length, kvmrc_length;
};

static struct site *site_new(const char *root, const struct owner *owner)
{
        struct site *site = xcalloc(1, sizeof(*site));

        paths_init(&site->paths, root, owner);
        if (owner)
                owner_copy(owner, &site->owner);
        kvmrc_init(&site->kvmrc);
        return site;
}

static int site_build(struct site *site_consume, const struct site_texts *texts, struct site **ret,
                      struct error **err)
{
        _cleanup_(site_freep) struct site *site = site_consume;
        _cleanup_free_ char *kvmrc = NULL;

        if (parse_layer(site, LAYER_DRIVER, "vmm_exec_kvm.conf", texts->driver, texts->driver_length,
                        &site->driver, err) < 0 ||
            parse_layer(site, LAYER_CLUSTER, "cluster.conf", texts->cluster, texts->cluster_length,
                        &site->cluster, err) < 0 ||
            parse_layer(site, LAYER_HOST, "host.conf", texts->host, texts->host_length, &site->host, err) <
                    0 ||
            read_settings(site, err) < 0)
                return -1;
        kvmrc = xasprintf("%s/kvmrc", site->paths.etc);
        if (texts->kvmrc &&
            kvmrc_parse(kvmrc, texts->kvmrc, texts->kvmrc_length, &site->kvmrc, &site->warnings, err) < 0)
                return -1;
        *ret = TAKE_PTR(site);
        return 0;
}

static int read_optional(const char *directory, const char *name, size_t max, char **ret, size_t *ret_length,
                         struct error **err)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", directory, name);

        if (fd_read_file_at(AT_FDCWD, path, max, ret, ret_length, err) == 0)
                return 0;
        if ((*err)->code != ERROR_OS || ((*err)->os_errno != ENOENT && (*err)->os_errno != ENOTDIR))
                return -1;
        error_free(*err);
        *err = NULL;
        return 0;
}

int site_load(const char *root, const struct owner *owner, struct site **ret, struct error **err)
{
        _cleanup_(site_freep) struct site *site = site_new(root, owner);
        const char *etc = site->paths.etc;
        struct site_texts texts = { 0 };
        int result = -1;

        if (read_optional(etc, "vmm_exec_kvm.conf", TEMPLATE_MAX_BYTES, &texts.driver, &texts.driver_length,
                          err) == 0 &&
            read_optional(etc, "cluster.conf", TEMPLATE_MAX_BYTES, &texts.cluster, &texts.cluster_length,
                          err) == 0 &&
            read_optional(etc, "host.conf", TEMPLATE_MAX_BYTES, &texts.host, &texts.host_length, err) == 0 &&
            read_optional(etc, "kvmrc", MAX_KVMRC_BYTES, &texts.kvmrc, &texts.kvmrc_length, err) == 0)
                result = site_build(TAKE_PTR(site), &texts, ret, err);
        free(texts.driver);
        free(texts.cluster);
        free(texts.host);
        free(texts.kvmrc);
        return result;
}

int site_from_text(const char *root, const char *driver, const char *cluster, const char *host,
                   const char *kvmrc, struct site **ret, struct error **err)
{
        const struct site_texts texts = {
                .driver = (char *)driver,
                .cluster = (char *)cluster,
                .host = (char *)host,
                .kvmrc = (char *)kvmrc,
                .driver_length = driver ? strlen(driver) : 0,
                .cluster_length = cluster ? strlen(cluster) : 0,
                .host_length = host ? strlen(host) : 0,
                .kvmrc_length = kvmrc ? strlen(kvmrc) : 0,
        };

        return site_build(site_new(root, NULL), &texts, ret, err);
}

int site_of_user(const char *root, const struct owner *owner, const char *host, struct site **ret,
                 struct error **err)
{
        const struct site_texts texts = { .host = (char *)host, .host_length = host ? strlen(host) : 0 };

        return site_build(site_new(root, owner), &texts, ret, err);
}
