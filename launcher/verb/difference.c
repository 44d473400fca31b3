#include "launcher/verb/difference.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_member.h"
#include "conf/attr.h"
#include "conf/secret.h"
#include "conf/spec_build.h"
#include "launcher/verb/device_kind.h"
#include "launcher/verb/difference_secret.h"
#include "launcher/verb/difference_size.h"

void differences_done(struct differences *differences)
{
        for (size_t i = 0; i < differences->n; i++) {
                struct difference *each = &differences->items[i];

                free(each->vector);
                free(each->key);
                free(each->name);
                free(each->was);
                free(each->wanted);
                free(each->why);
        }
        free(differences->items);
        template_free(differences->wanted);
        free(differences->wanted_text);
        error_free(differences->warnings);
        *differences = (struct differences){ 0 };
}

const char *difference_effect_name(enum difference_effect effect)
{
        static const char *const names[] = { "none", "now", "next start", "impossible" };

        return names[effect];
}

/* What people know a vector of a repeated kind by; lent. */
static const char *name_of(const struct template_attribute *vector)
{
        static const char *const keys[] = { "TARGET", "MAC", "SOURCE", "ADDRESS", "UUID", "TYPE" };

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                const char *value = template_pair(vector, keys[i]);

                if (value && *value)
                        return value;
        }
        return "";
}

static bool repeats(const struct template_attribute *attribute)
{
        const struct attr_section *section = attribute->is_vector ? attr_section_find(attribute->name) : NULL;

        return section && section->repeats;
}

static bool is_same(const struct template_attribute *a, const struct template_attribute *b)
{
        return a->is_vector == b->is_vector && strcmp(a->name, b->name) == 0 &&
               (!repeats(a) || strcmp(name_of(a), name_of(b)) == 0);
}

/* Where the guest has it; of PCI that is VM_ADDRESS, and ADDRESS the host's device. */
static bool is_place(const char *vector, const char *key)
{
        return strcmp(key, "ADDRESS") == 0 && strcmp(vector, attr_pci.name) != 0;
}

/* The places and numbers of this run are its own, and so is who it is. */
static bool is_own(const char *vector, const char *key)
{
        static const char *const attributes[] = { "NAME", "UUID" };
        size_t n = strlen(key);

        if (vector)
                return is_place(vector, key) || (n > 3 && strcmp(key + n - 3, "_ID") == 0);
        for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
                if (strcmp(attributes[i], key) == 0)
                        return true;
        return false;
}

/* Everything that wanted says is what was says. */
static bool has_all_of(const struct template_attribute *was, const struct template_attribute *wanted)
{
        for (size_t i = 0; i < wanted->n_pairs; i++) {
                const char *old = template_pair(was, wanted->pairs[i].name);

                if (!is_own(was->name, wanted->pairs[i].name) &&
                    (!old || strcmp(old, wanted->pairs[i].value) != 0))
                        return false;
        }
        return true;
}

/*
 * Which one of live each attribute of wanted is, -1: none, and whose each of live is. Of several with one name those
 * that are alike in all belong together, then the first with the first.
 */
struct pairing {
        long *of_wanted;
        bool *is_known;
};

static void pair_up(const struct template *live, const struct template *wanted, bool alike,
                    struct pairing *pairing)
{
        for (size_t i = 0; i < wanted->n_attributes; i++)
                for (size_t k = 0; k < live->n_attributes && pairing->of_wanted[i] < 0; k++) {
                        const struct template_attribute *one = &wanted->attributes[i],
                                                        *was = &live->attributes[k];

                        if (pairing->is_known[k] || !is_same(was, one) ||
                            (alike && !(has_all_of(was, one) && has_all_of(one, was))))
                                continue;
                        pairing->of_wanted[i] = (long)k;
                        pairing->is_known[k] = true;
                }
}

static struct pairing pairing_of(const struct template *live, const struct template *wanted)
{
        struct pairing pairing = { .of_wanted = xcalloc(wanted->n_attributes + 1, sizeof(long)),
                                   .is_known = xcalloc(live->n_attributes + 1, sizeof(bool)) };

        for (size_t i = 0; i < wanted->n_attributes; i++)
                pairing.of_wanted[i] = -1;
        pair_up(live, wanted, true, &pairing);
        pair_up(live, wanted, false, &pairing);
        return pairing;
}

static void add(struct differences *list, struct difference difference)
{
        ARRAY_GROW(list->items, list->n);
        list->items[list->n++] = difference;
}

static char *title(const struct template_attribute *attribute, const char *key)
{
        const char *name = repeats(attribute) ? name_of(attribute) : "";

        return xasprintf("%s%s%s%s%s", attribute->name, *name ? " " : "", name, key ? " " : "",
                         key ? key : "");
}

static void compare_pairs(struct differences *list, size_t at, const struct template_attribute *was,
                          const struct template_attribute *wanted)
{
        for (size_t i = 0; i < wanted->n_pairs; i++) {
                const char *key = wanted->pairs[i].name, *old = template_pair(was, key);

                if (!is_own(was->name, key) && (!old || strcmp(old, wanted->pairs[i].value) != 0))
                        add(list, (struct difference){ .vector = xstrdup(was->name),
                                                       .at = at,
                                                       .key = xstrdup(key),
                                                       .name = title(was, key),
                                                       .was = xstrdup_null(old),
                                                       .wanted = xstrdup(wanted->pairs[i].value) });
        }
        for (size_t i = 0; i < was->n_pairs; i++) {
                const char *key = was->pairs[i].name;

                if (!is_own(was->name, key) && !template_pair(wanted, key))
                        add(list, (struct difference){ .vector = xstrdup(was->name),
                                                       .at = at,
                                                       .key = xstrdup(key),
                                                       .name = title(was, key),
                                                       .was = xstrdup(was->pairs[i].value) });
        }
}

static void compare(struct differences *list, const struct template *live)
{
        const struct template *wanted = list->wanted;
        struct pairing pairing = pairing_of(live, wanted);

        for (size_t i = 0; i < wanted->n_attributes; i++) {
                const struct template_attribute *one = &wanted->attributes[i];
                long at = pairing.of_wanted[i];
                const struct template_attribute *was = at < 0 ? NULL : &live->attributes[at];

                if (one->is_vector && was)
                        compare_pairs(list, (size_t)at, was, one);
                else if (one->is_vector)
                        add(list, (struct difference){ .kind = DIFFERENCE_ADDED,
                                                       .vector = xstrdup(one->name),
                                                       .wanted_at = i,
                                                       .name = title(one, NULL) });
                else if (!is_own(NULL, one->name) && (!was || strcmp(was->value, one->value) != 0))
                        add(list, (struct difference){ .at = at < 0 ? 0 : (size_t)at,
                                                       .key = xstrdup(one->name),
                                                       .name = xstrdup(one->name),
                                                       .was = was ? xstrdup(was->value) : NULL,
                                                       .wanted = xstrdup(one->value) });
        }
        for (size_t i = 0; i < live->n_attributes; i++) {
                const struct template_attribute *was = &live->attributes[i];

                if (!pairing.is_known[i])
                        add(list, (struct difference){ .kind = DIFFERENCE_REMOVED,
                                                       .vector = was->is_vector ? xstrdup(was->name) : NULL,
                                                       .at = i,
                                                       .name = title(was, NULL),
                                                       .was = was->is_vector ? NULL : xstrdup(was->value) });
        }
        free(pairing.of_wanted);
        free(pairing.is_known);
}

static void add_vector(struct template *to, const struct template_attribute *vector)
{
        struct template_attribute copy = { .name = xstrdup(vector->name), .is_vector = true };

        for (size_t i = 0; i < vector->n_pairs; i++)
                if (!is_own(vector->name, vector->pairs[i].name))
                        template_set_pair(&copy, vector->pairs[i].name, vector->pairs[i].value,
                                          &vector->name_pos);
        ARRAY_GROW(to->attributes, to->n_attributes);
        to->attributes[to->n_attributes++] = copy;
}

void difference_apply(struct change *change, const struct differences *differences,
                      const struct difference *difference)
{
        struct template *edit = change->edit;
        const struct source_pos nowhere = { 0 };

        /* As attach.c has it. */
        if (difference->kind == DIFFERENCE_VALUE && difference->vector &&
            is_place(difference->vector, "ADDRESS"))
                template_remove_pair(&edit->attributes[difference->at], "ADDRESS");

        if (difference->kind == DIFFERENCE_ADDED)
                add_vector(edit, &differences->wanted->attributes[difference->wanted_at]);
        else if (difference->kind == DIFFERENCE_REMOVED)
                template_remove(edit, difference->at);
        else if (!difference->vector)
                template_set(edit, difference->key, difference->wanted);
        else if (difference->wanted)
                template_set_pair(&edit->attributes[difference->at], difference->key, difference->wanted,
                                  &nowhere);
        else
                template_remove_pair(&edit->attributes[difference->at], difference->key);
}

/* What the edited template would be done by. */
static enum difference_effect effect_of(struct change *change, char **ret_why, bool *ret_takes_away)
{
        _cleanup_plan_change_ struct plan_change plan = { 0 };
        _cleanup_prepared_ struct prepared after = { 0 };
        _cleanup_error_ struct error *why = NULL;

        *ret_why = NULL;
        *ret_takes_away = false;
        if (change_plan(change, "update", "/", NULL, 0, false, &after, &plan, &why) < 0) {
                *ret_why = error_text(why);
                return DIFFERENCE_IMPOSSIBLE;
        }
        if (plan.next_start) {
                *ret_why = error_text(plan.next_start);
                return DIFFERENCE_NEXT_START;
        }
        *ret_takes_away = json_member_is_true(plan.fragment, "forward");
        return plan_change_is_empty(&plan) ? DIFFERENCE_NONE : DIFFERENCE_NOW;
}

static void set_effect(struct difference *difference, enum difference_effect effect, const char *why)
{
        free(difference->why);
        difference->effect = effect;
        difference->why = xstrdup_null(why);
}

/* Memory that no modules make comes with the next start, which needs none. What the change's template was edited to is
 * edited on. */
static void judge_without_modules(struct change *change, struct difference *difference)
{
        _cleanup_free_ char *why = NULL;
        bool takes_away;

        for (long at; (at = template_nth(change->edit, attr_dimm.name, 0)) >= 0;)
                template_remove(change->edit, (size_t)at);
        if (effect_of(change, &why, &takes_away) != DIFFERENCE_IMPOSSIBLE)
                set_effect(difference, DIFFERENCE_NEXT_START,
                           "no memory modules make that much while it runs: it comes with the next start");
}

static bool is_memory(const struct difference *difference)
{
        return difference->kind == DIFFERENCE_VALUE && !difference->vector &&
               strcmp(difference->key, "MEMORY") == 0;
}

/* Each is tried alone. */
static int judge(struct change *change, const struct differences *list, struct difference *difference,
                 struct error **err)
{
        if (change_edit_again(change, err) < 0)
                return -1;
        difference_apply(change, list, difference);
        difference->effect = effect_of(change, &difference->why, &difference->takes_away);
        if (difference->effect == DIFFERENCE_IMPOSSIBLE && is_memory(difference))
                judge_without_modules(change, difference);
        return 0;
}

/* Of one vector, or (vector NULL) all: what changes and comes; what goes has a fragment of its own, later. */
static bool belongs(const struct difference *one, const struct difference *to)
{
        return !one->takes_away && one->kind != DIFFERENCE_REMOVED &&
               (!to || one == to ||
                (one->kind == DIFFERENCE_VALUE && one->vector && to->vector && one->at == to->at));
}

/*
 * What is impossible alone may need another change of its vector (PASSWD goes and LISTEN is no longer for everybody), or of
 * another one (a disk's IOTHREAD and how many there are). Done together they have one effect.
 */
static int judge_together(struct change *change, const struct differences *list, const struct difference *of,
                          struct error **err)
{
        _cleanup_free_ char *why = NULL;
        enum difference_effect effect;
        bool takes_away;

        if (change_edit_again(change, err) < 0)
                return -1;
        for (size_t i = 0; i < list->n; i++)
                if (belongs(&list->items[i], of))
                        difference_apply(change, list, &list->items[i]);
        effect = effect_of(change, &why, &takes_away);
        if (effect == DIFFERENCE_IMPOSSIBLE)
                return 0;
        for (size_t i = 0; i < list->n; i++) {
                struct difference *one = &list->items[i];

                if (belongs(one, of) && (one->effect == DIFFERENCE_IMPOSSIBLE || effect == DIFFERENCE_NOW))
                        set_effect(one, effect, why);
        }
        return 0;
}

static int judge_all(struct change *change, struct differences *list, struct error **err)
{
        for (size_t i = 0; i < list->n; i++)
                if (judge(change, list, &list->items[i], err) < 0)
                        return -1;
        for (size_t i = 0; i < list->n; i++)
                if (list->items[i].effect == DIFFERENCE_IMPOSSIBLE &&
                    list->items[i].kind == DIFFERENCE_VALUE && list->items[i].vector &&
                    judge_together(change, list, &list->items[i], err) < 0)
                        return -1;
        for (size_t i = 0; i < list->n; i++)
                if (list->items[i].effect == DIFFERENCE_IMPOSSIBLE &&
                    list->items[i].kind != DIFFERENCE_REMOVED)
                        return judge_together(change, list, NULL, err);
        return 0;
}

static void forget(struct differences *list, size_t i)
{
        struct differences one = { .items = xcalloc(1, sizeof(*one.items)), .n = 1 };

        one.items[0] = list->items[i];
        memmove(&list->items[i], &list->items[i + 1], (--list->n - i) * sizeof(*list->items));
        differences_done(&one);
}

int differences_find(struct change *change, const struct template *template, const char *base_dir,
                     struct differences *ret, struct error **err)
{
        _cleanup_differences_ struct differences list = { 0 };
        _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL;
        const char *why = NULL;

        if (spec_build(template, change->context->site, base_dir, change->name, &spec, err) < 0)
                return -1;
        if (strcmp(spec->name, change->name) != 0)
                return error_set(err, ERROR_INVALID, "%s: NAME: it is the template of '%s', not of '%s'",
                                 template->file, spec->name, change->name);
        list.warnings = TAKE_PTR(spec->warnings);
        list.wanted_text = spec_to_template(spec);
        if (template_parse(template->file, list.wanted_text, strlen(list.wanted_text), &list.wanted, err) < 0)
                return -1;
        difference_of_size(change, spec, list.wanted);
        compare(&list, change->was);
        if (judge_all(change, &list, err) < 0)
                return -1;
        for (size_t i = list.n; i-- > 0;)
                if (list.items[i].effect == DIFFERENCE_NONE)
                        forget(&list, i);
        if (difference_of_secret(change, spec, &why))
                add(&list, (struct difference){ .effect = DIFFERENCE_NEXT_START,
                                                .vector = xstrdup(attr_graphics.name),
                                                .key = xstrdup("PASSWD"),
                                                .name = xstrdup("GRAPHICS PASSWD"),
                                                .was = xstrdup(SECRET_SHOWN),
                                                .wanted = xstrdup(SECRET_SHOWN),
                                                .why = xstrdup(why) });
        *ret = list;
        list = (struct differences){ 0 };
        return 0;
}
