/* RAW of TYPE qemu: its words. One of TYPE kvm has become attributes (conf/snippet.h), and is none any more. */
#include <string.h>
#include <strings.h>

#include "conf/raw_words.h"
#include "conf/spec_rules.h"
#include "conf/spec_sections.h"

/* Of one word in Linux, MAX_ARG_STRLEN. */
#define WORD_MAX_BYTES (128u << 10)
#define WORDS_MAX      1024

static void check_words(struct spec_builder *builder, const struct raw_spec *raw)
{
        const struct source_pos *pos = &spec_origin(&attr_raw, raw, "DATA")->pos;

        if (raw->n_words > WORDS_MAX) {
                spec_fail(builder, pos, "RAW/DATA: %zu words, at most %d are taken", raw->n_words, WORDS_MAX);
                return;
        }
        for (size_t i = 0; i < raw->n_words; i++)
                if (strlen(raw->words[i]) >= WORD_MAX_BYTES) {
                        spec_fail(builder, pos, "RAW/DATA: word %zu has %zu bytes, Linux takes less than %u",
                                  i + 1, strlen(raw->words[i]), WORD_MAX_BYTES);
                        return;
                }
}

void spec_set_raws(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        size_t n = 0;

        for (size_t i = 0; i < spec->n_raws; i++) {
                struct raw_spec *raw = &spec->raws[i];
                const struct source_pos *pos = &spec_origin(&attr_raw, raw, "DATA")->pos;
                const char *wrong;

                if (!raw->type || strcasecmp(raw->type, "qemu") != 0) {
                        spec_section_done(&attr_raw, raw);
                        continue;
                }
                if (!raw->data)
                        spec_fail(builder, &raw->section.pos,
                                  "RAW/DATA: has to be given (TYPE qemu: arguments of QEMU)");
                else if (raw_words_split(raw->data, &raw->words, &raw->n_words, &wrong) < 0)
                        spec_fail(builder, pos, "RAW/DATA: %s", wrong);
                else
                        check_words(builder, raw);
                spec->raws[n++] = *raw;
        }
        spec->n_raws = n;
}
