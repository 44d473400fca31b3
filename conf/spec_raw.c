/* RAW of TYPE qemu: its words. One of TYPE kvm has become attributes (conf/snippet.h), and is none any more. */
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "conf/raw_words.h"
#include "conf/spec_rules.h"
#include "conf/spec_sections.h"

/* Of one word in Linux, MAX_ARG_STRLEN. */
#define WORD_MAX_BYTES (128u << 10)
#define WORDS_MAX      1024

static void check_words(struct spec_builder *builder, const char *key, const struct source_pos *pos,
                        char *const *words, size_t n)
{
        if (n > WORDS_MAX) {
                spec_fail(builder, pos, "RAW/%s: %zu words, at most %d are taken", key, n, WORDS_MAX);
                return;
        }
        for (size_t i = 0; i < n; i++)
                if (strlen(words[i]) >= WORD_MAX_BYTES) {
                        spec_fail(builder, pos, "RAW/%s: word %zu has %zu bytes, Linux takes less than %u",
                                  key, i + 1, strlen(words[i]), WORD_MAX_BYTES);
                        return;
                }
}

static void check_variables(struct spec_builder *builder, const struct source_pos *pos,
                            const struct raw_spec *raw)
{
        for (size_t i = 0; i < raw->n_variables; i++) {
                const char *variable = raw->variables[i];
                size_t n = strcspn(variable, "=");
                _cleanup_free_ char *name = xstrndup(variable, n), *shown = text_printable(name);

                if (!variable[n] || !n)
                        spec_fail(builder, pos, "RAW/ENV: '%s' is not NAME=VALUE", shown);
                else if (!raw_variable_is_allowed(name))
                        spec_fail(builder, pos, "RAW/ENV: '%s' " RAW_VARIABLE_REFUSED, shown);
        }
}

/* A key's text as words. */
static void split(struct spec_builder *builder, const struct raw_spec *raw, const char *key, const char *text,
                  char ***words, size_t *n)
{
        const struct source_pos *pos = &spec_origin(&attr_raw, raw, key)->pos;
        const char *wrong;

        if (!text)
                return;
        if (raw_words_split(text, words, n, &wrong) < 0)
                spec_fail(builder, pos, "RAW/%s: %s", key, wrong);
        else
                check_words(builder, key, pos, *words, *n);
}

void spec_set_raws(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        size_t n = 0;

        for (size_t i = 0; i < spec->n_raws; i++) {
                struct raw_spec *raw = &spec->raws[i];

                if (!raw->type || strcasecmp(raw->type, "qemu") != 0) {
                        spec_section_done(&attr_raw, raw);
                        continue;
                }
                if (!raw->data && !raw->env)
                        spec_fail(builder, &raw->section.pos,
                                  "RAW/DATA: has to be given (TYPE qemu: arguments of QEMU)");
                split(builder, raw, "DATA", raw->data, &raw->words, &raw->n_words);
                split(builder, raw, "ENV", raw->env, &raw->variables, &raw->n_variables);
                check_variables(builder, &spec_origin(&attr_raw, raw, "ENV")->pos, raw);
                spec->raws[n++] = *raw;
        }
        spec->n_raws = n;
}
