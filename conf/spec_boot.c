/* OS/BOOT: diskN and nicN in order; the old words are refused with what they would be called today. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "conf/spec_rules.h"

static const char *const old_boot_words[] = { "hd", "fd", "cdrom", "network", NULL };

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
                bool is_cd = spec->disks[i].medium == DISK_MEDIUM_CDROM;

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

/* The position of the one with this DISK_ID or NIC_ID. */
static bool find_device(const struct vm_spec *spec, enum boot_kind kind, uint32_t number, unsigned *ret)
{
        size_t n = kind == BOOT_DISK ? spec->n_disks : spec->n_nics;

        for (size_t i = 0; i < n; i++)
                if ((kind == BOOT_DISK ? spec->disks[i].id : spec->nics[i].id) == number) {
                        *ret = (unsigned)i;
                        return true;
                }
        return false;
}

struct ordered {
        struct boot_device device;
        uint32_t order;
        const struct source_pos *pos;
};

static const char *kind_name(const struct ordered *ordered)
{
        return ordered->device.kind == BOOT_NIC ? "NIC" : "DISK";
}

static int by_order(const void *a, const void *b)
{
        const struct ordered *x = a, *y = b;

        return x->order < y->order ? -1 : x->order > y->order;
}

static void compare_with_boot(struct spec_builder *builder, const struct ordered *all, size_t n)
{
        const struct os_spec *os = &builder->spec->os;

        for (size_t i = 0; i < n; i++) {
                const struct boot_device *there =
                        all[i].order <= os->n_boot_order ? &os->boot_order[all[i].order - 1] : NULL;

                if (!there || there->kind != all[i].device.kind || there->index != all[i].device.index)
                        spec_warn(builder, all[i].pos, "%s/ORDER: OS/BOOT says otherwise, and counts",
                                  kind_name(&all[i]));
        }
}

/* The devices' own ORDER: OpenNebula's core writes it, from BOOT. */
static void take_orders(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        _cleanup_free_ struct ordered *all = xcalloc(spec->n_disks + spec->n_nics + 1, sizeof(*all));
        size_t n = 0;

        for (size_t i = 0; i < spec->n_nics; i++)
                if (spec->nics[i].order)
                        all[n++] = (struct ordered){ { BOOT_NIC, (unsigned)i },
                                                     spec->nics[i].order,
                                                     &spec_origin(&attr_nic, &spec->nics[i], "ORDER")->pos };
        if (spec->os.n_boot_order) {
                compare_with_boot(builder, all, n);
                return;
        }
        qsort(all, n, sizeof(*all), by_order);
        for (size_t i = 0; i < n; i++) {
                if (i && all[i].order == all[i - 1].order)
                        spec_fail_twice(builder, all[i].pos, all[i - 1].pos,
                                        "%s/ORDER: %u is also the place of the device of", kind_name(&all[i]),
                                        all[i].order);
                ARRAY_GROW(spec->os.boot_order, spec->os.n_boot_order);
                spec->os.boot_order[spec->os.n_boot_order++] = all[i].device;
        }
}

static void read_boot(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        const struct origin *origin = spec_origin(&attr_os, &spec->os, "BOOT");
        const char *list = spec->os.boot;

        while (list && *list) {
                _cleanup_free_ char *word = take_word(&list), *shown = text_printable(word);
                struct boot_device device = { .kind = BOOT_DISK };
                const char *number = word + 4;
                uint32_t number_given;

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
                if (!isdigit((unsigned char)*number) || !text_parse_u32(number, &number_given)) {
                        spec_fail(builder, &origin->pos, "OS/BOOT: '%s' is neither diskN nor nicN", shown);
                        return;
                }
                if (!find_device(spec, device.kind, number_given, &device.index)) {
                        spec_fail(builder, &origin->pos, "OS/BOOT: there is no %s, they are counted from 0",
                                  shown);
                        return;
                }
                for (size_t i = 0; i < spec->os.n_boot_order; i++) {
                        if (spec->os.boot_order[i].kind == device.kind &&
                            spec->os.boot_order[i].index == device.index) {
                                spec_fail(builder, &origin->pos, "OS/BOOT: %s is given twice", shown);
                                return;
                        }
                }
                ARRAY_GROW(spec->os.boot_order, spec->os.n_boot_order);
                spec->os.boot_order[spec->os.n_boot_order++] = device;
        }
}

void spec_set_boot_order(struct spec_builder *builder)
{
        read_boot(builder);
        take_orders(builder);
}
