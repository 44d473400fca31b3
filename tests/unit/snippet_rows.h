/*
 * snippet_rows - libvirt XML in a template, and in one line what it becomes: attributes, errors, warnings.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf/snippet.h"

static inline void add_messages(struct text *out, const struct error *list, const char *prefix)
{
        for (; list; list = list->next)
                text_addf(out, "%s%s%u:%u: %s", out->length ? "; " : "", prefix, list->pos.line,
                          list->pos.column, list->message);
}

static inline void add_pair(struct text *out, const char *name, const char *value, int layer)
{
        text_addf(out, "%s=%s%s%s", name, value, layer ? " from " : "",
                  layer ? layer_name((enum layer)layer) : "");
}

/* The attributes behind the first n of the tree, then errors, then warnings. */
static inline char *expanded(const struct template *template, struct site *site)
{
        struct vm_spec *spec = xcalloc(1, sizeof(*spec));
        struct spec_builder builder = { .template = template, .site = site, .spec = spec };
        _cleanup_(template_freep) struct template *tree = snippets_expand(&builder);
        struct text out = TEXT_INIT;

        for (size_t i = 0; tree && i < tree->n_attributes; i++) {
                const struct template_attribute *attribute = &tree->attributes[i];
                size_t had = i < template->n_attributes ? template->attributes[i].n_pairs : 0;

                if (i < template->n_attributes && attribute->n_pairs == had)
                        continue;
                text_add(&out, out.length ? " " : "");
                if (!attribute->is_vector) {
                        add_pair(&out, attribute->name, attribute->value, attribute->layer);
                        continue;
                }
                text_addf(&out, "%s[", attribute->name);
                for (size_t j = had; j < attribute->n_pairs; j++) {
                        text_add(&out, j > had ? " " : "");
                        add_pair(&out, attribute->pairs[j].name, attribute->pairs[j].value,
                                 attribute->pairs[j].layer);
                }
                text_add(&out, "]");
        }
        add_messages(&out, builder.errors, "");
        add_messages(&out, spec->warnings, "warning ");
        error_free(builder.errors);
        vm_spec_free(spec);
        return text_take(&out);
}

static inline char *meaning_of(const char *text, const char *host, const char *driver)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_(site_freep) struct site *site = NULL;
        struct error *err = NULL;

        if (site_from_text(NULL, driver, NULL, host, NULL, &site, &err) < 0 ||
            template_parse("t", text, strlen(text), &template, &err) < 0)
                fail_msg("%s", err->message);
        return expanded(template, site);
}

/* Of a snippet in RAW, which stands behind as many columns as here. */
static inline char *raw_meaning(const char *snippet, const char *validate)
{
        _cleanup_text_ struct text text = TEXT_INIT;

        text_add(&text, "RAW=[TYPE=kvm,");
        if (validate)
                text_addf(&text, "VALIDATE=%s,", validate);
        template_write_value(&text, "\nDATA", snippet);
        text_add(&text, "]\n");
        return meaning_of(text_str(&text), NULL, NULL);
}

struct row {
        const char *snippet, *meaning;
};

static inline void check_rows(const struct row *rows, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *meaning = raw_meaning(rows[i].snippet, NULL);

                if (strcmp(meaning, rows[i].meaning) != 0)
                        print_error("%s\n", rows[i].snippet);
                assert_string_equal(meaning, rows[i].meaning);
        }
}
