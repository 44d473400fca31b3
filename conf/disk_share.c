#include "conf/disk_share.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "conf/template_parts.h"

static bool is_vector(const struct template_attribute *attribute, const char *name)
{
        return attribute->is_vector && strcmp(attribute->name, name) == 0;
}

static struct template_value *find_key(const struct template_attribute *vector, const char *key)
{
        for (size_t i = 0; i < vector->n_pairs; i++)
                if (strcmp(vector->pairs[i].name, key) == 0)
                        return &vector->pairs[i];
        return NULL;
}

static bool is_share(const struct template_attribute *disk)
{
        static const char word[] = "filesystem";
        const struct template_value *type = is_vector(disk, "DISK") ? find_key(disk, "TYPE") : NULL;
        const char *value = type ? type->value + strspn(type->value, " \t\r\n") : "";

        return strncasecmp(value, word, strlen(word)) == 0 && spec_text_is_empty(value + strlen(word));
}

static void add_pair(struct template_attribute *vector, const char *name, char *value_consume,
                     const struct source_pos *pos)
{
        ARRAY_GROW(vector->pairs, vector->n_pairs);
        vector->pairs[vector->n_pairs++] = (struct template_value){
                .name = xstrdup(name), .value = value_consume, .name_pos = *pos, .value_pos = *pos
        };
}

/* NULL: the key has no meaning for a shared directory. */
static const char *meaning(const char *key)
{
        static const char *const keys[][2] = { { "SOURCE", "SOURCE" },
                                               { "IMAGE", "SOURCE" },
                                               { "MOUNT_TAG", "TARGET" },
                                               { "READONLY", "READONLY" } };

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (strcmp(keys[i][0], key) == 0)
                        return keys[i][1];
        return NULL;
}

/* The pair as one of FILESYSTEM's, whose value its row of DISK has checked. */
static void convert_pair(struct spec_builder *builder, struct template_attribute *made,
                         const struct template_value *pair, struct text *without)
{
        const struct attr *row = attr_find(&attr_disk, pair->name);
        const char *key = meaning(pair->name);
        struct error *error = NULL;

        /* What is not there, or none of our business, has been said. */
        if (!row || row->state != ATTR_HERE || strcmp(pair->name, "TYPE") == 0 ||
            strcmp(pair->name, "DISK_ID") == 0)
                return;
        if (!key) {
                if (builder->template->is_vm)
                        text_addf(without, "%sDISK/%s", without->length ? ", " : "", pair->name);
                else
                        spec_fail(
                                builder, &pair->name_pos,
                                "DISK/%s: is of disks, and this one is a shared directory (TYPE filesystem)",
                                pair->name);
                return;
        }
        if (spec_text_is_empty(pair->value))
                return;
        if (attr_set(&attr_disk, row, pair->value, &pair->value_pos, NULL, &error) < 0) {
                spec_report(builder, error);
                return;
        }
        add_pair(made, key,
                 strcmp(pair->name, "IMAGE") == 0 ? xasprintf("%s/%s", builder->site->image_dir, pair->value)
                                                  : xstrdup(pair->value),
                 &pair->value_pos);
}

static bool has(const struct template_attribute *disk, const char *key)
{
        const struct template_value *pair = find_key(disk, key);

        return pair && !spec_text_is_empty(pair->value);
}

/* Caching for ever is upstream's choice. False: it cannot be one, which has been said. */
static bool convert(struct spec_builder *builder, const struct template_attribute *disk,
                    struct template_attribute *ret)
{
        const struct source_pos *type = &find_key(disk, "TYPE")->value_pos;
        unsigned errors = builder->n_errors;
        _cleanup_text_ struct text without = TEXT_INIT;

        *ret = (struct template_attribute){ .name = xstrdup("FILESYSTEM"),
                                            .is_vector = true,
                                            .attaches = disk->attaches,
                                            .name_pos = disk->name_pos,
                                            .value_pos = disk->value_pos };
        for (size_t i = 0; i < disk->n_pairs; i++)
                convert_pair(builder, ret, &disk->pairs[i], &without);
        if (has(disk, "SOURCE") && has(disk, "IMAGE"))
                spec_fail(builder, &find_key(disk, "IMAGE")->name_pos,
                          "DISK/IMAGE: SOURCE says already where it is");
        else if (!has(disk, "SOURCE") && !has(disk, "IMAGE"))
                spec_fail(builder, &disk->name_pos, "DISK/SOURCE: has to be given, a directory of the host");
        if (!has(disk, "MOUNT_TAG"))
                spec_fail(builder, &disk->name_pos,
                          "DISK/MOUNT_TAG: has to be given, the name that the guest mounts");
        add_pair(ret, "DRIVER", xstrdup("virtiofs"), type);
        add_pair(ret, "CACHE", xstrdup("always"), type);
        if (without.length)
                spec_warn(builder, &disk->name_pos, "of disks, without effect on a shared directory: %s",
                          text_str(&without));
        return builder->n_errors == errors;
}

/* DISK_ID of the disks that have none, as if the shared directories were disks still. */
static void number_disks(struct template *tree)
{
        size_t n = tree->n_attributes, next = 0;
        _cleanup_free_ bool *taken = xcalloc(n + 1, sizeof(bool));

        for (size_t i = 0; i < n; i++) {
                const struct template_value *id = is_vector(&tree->attributes[i], "DISK")
                                                          ? find_key(&tree->attributes[i], "DISK_ID")
                                                          : NULL;
                uint32_t number;

                if (id && text_parse_u32(id->value, &number) && number < n)
                        taken[number] = true;
        }
        for (size_t i = 0; i < n; i++) {
                struct template_attribute *disk = &tree->attributes[i];

                if (!is_vector(disk, "DISK") || find_key(disk, "DISK_ID"))
                        continue;
                while (taken[next])
                        next++;
                taken[next] = true;
                add_pair(disk, "DISK_ID", xasprintf("%zu", next), &disk->name_pos);
        }
}

void disk_shares_expand(struct spec_builder *builder, struct template **tree)
{
        size_t n = builder->template->n_attributes, kept = 0;
        bool any = false;

        for (size_t i = 0; i < n; i++) {
                const struct template_attribute *disk = &builder->template->attributes[i];
                const struct template_value *tag =
                        is_vector(disk, "DISK") ? find_key(disk, "MOUNT_TAG") : NULL;

                if (is_share(disk))
                        any = true;
                else if (tag && !spec_text_is_empty(tag->value))
                        spec_fail(builder, &tag->name_pos,
                                  "DISK/MOUNT_TAG: is of shared directories (try TYPE = \"filesystem\")");
        }
        if (!any)
                return;
        if (!*tree)
                builder->template = *tree = template_copy(builder->template);
        number_disks(*tree);
        for (size_t i = 0; i < n; i++) {
                struct template_attribute *disk = &(*tree)->attributes[i], made = *disk;

                if (is_share(disk)) {
                        bool is_one = convert(builder, disk, &made);

                        template_attribute_done(disk);
                        if (!is_one) {
                                template_attribute_done(&made);
                                continue;
                        }
                }
                (*tree)->attributes[kept++] = made;
        }
        (*tree)->n_attributes = kept;
}
