#include "conf/locator.h"

#include <string.h>

static const char cdata_start[] = "<![CDATA[", cdata_end[] = "]]>", comment_start[] = "<!--",
                  comment_end[] = "-->";

static bool raw_has(const struct locator *locator, size_t at, const char *word)
{
        size_t n = strlen(word);

        return locator->raw_length - at >= n && memcmp(locator->raw + at, word, n) == 0;
}

static void rewind_to_start(struct locator *locator)
{
        locator->at = 0;
        locator->raw_at = locator->raw_start;
        locator->line = locator->start_line;
        locator->column = locator->start_column;
        locator->in_cdata = locator->starts_in_cdata;
}

void locator_init(struct locator *locator, const char *file, const char *raw, size_t raw_length)
{
        *locator = (struct locator){
                .file = file, .raw = raw, .raw_length = raw_length, .start_line = 1, .start_column = 1
        };
        rewind_to_start(locator);
}

void locator_init_value(struct locator *locator, const struct template *template,
                        const struct source_pos *pos)
{
        const char *raw = template->text, *line = raw, *newline;
        size_t start;

        locator_init(locator, template->file, raw, strlen(raw));
        for (unsigned i = 1; i < pos->line && (newline = strchr(line, '\n')); i++)
                line = newline + 1;
        start = (size_t)(line - raw) + (pos->column ? pos->column - 1 : 0);
        if (start > locator->raw_length)
                start = locator->raw_length;
        locator->start_line = pos->line;
        locator->start_column = pos->column;
        if (template->is_xml) {
                locator->writing = LOCATOR_XML;
                locator->starts_in_cdata = start >= strlen(cdata_start) &&
                                           raw_has(locator, start - strlen(cdata_start), cdata_start);
        } else if (raw_has(locator, start, "\"")) {
                locator->writing = LOCATOR_QUOTED;
                locator->start_column++;
                start++;
        }
        locator->raw_start = start;
        rewind_to_start(locator);
}

/* Over n bytes of the raw text. */
static void step(struct locator *locator, size_t n)
{
        for (; n; n--, locator->raw_at++) {
                if (locator->raw[locator->raw_at] == '\n') {
                        locator->line++;
                        locator->column = 1;
                } else {
                        locator->column++;
                }
        }
}

/* Over markup that is no character of the value: true when there was some. */
static bool step_over_markup(struct locator *locator)
{
        size_t at = locator->raw_at;

        if (locator->in_cdata && raw_has(locator, at, cdata_end)) {
                locator->in_cdata = false;
                step(locator, strlen(cdata_end));
                return true;
        }
        if (!locator->in_cdata && raw_has(locator, at, cdata_start)) {
                locator->in_cdata = true;
                step(locator, strlen(cdata_start));
                return true;
        }
        if (!locator->in_cdata && raw_has(locator, at, comment_start)) {
                const char *from = locator->raw + at + strlen(comment_start);
                const char *end = memmem(from, locator->raw_length - at - strlen(comment_start), comment_end,
                                         strlen(comment_end));

                step(locator, end ? (size_t)(end - locator->raw) - at + strlen(comment_end)
                                  : locator->raw_length - at);
                return true;
        }
        return false;
}

/* Bytes that the code point has in UTF-8. */
static size_t utf8_length(unsigned long code)
{
        return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

/* One character of the value: how many bytes of value and of raw text it is. */
static void measure(const struct locator *locator, size_t *ret_value, size_t *ret_raw)
{
        const char *raw = locator->raw + locator->raw_at;
        size_t left = locator->raw_length - locator->raw_at;

        *ret_value = *ret_raw = 1;
        if (locator->writing == LOCATOR_PLAIN)
                return;
        if (left > 1 && raw[0] == '\r' && raw[1] == '\n') {
                *ret_raw = 2;
        } else if (locator->writing == LOCATOR_QUOTED) {
                if (left > 1 && raw[0] == '\\' && raw[1] == '"')
                        *ret_raw = 2;
        } else if (!locator->in_cdata && raw[0] == '&') {
                const char *end = memchr(raw, ';', left);
                char digits[12] = "";

                if (!end)
                        return;
                *ret_raw = (size_t)(end - raw) + 1;
                if (raw[1] != '#' || *ret_raw > sizeof(digits))
                        return;
                memcpy(digits, raw + 2, *ret_raw - 3);
                *ret_value = utf8_length(digits[0] == 'x' ? strtoul(digits + 1, NULL, 16)
                                                          : strtoul(digits, NULL, 10));
        }
}

struct source_pos locator_place(struct locator *locator, size_t offset)
{
        if (offset < locator->at)
                rewind_to_start(locator);
        for (;;) {
                size_t value, raw;

                if (locator->writing == LOCATOR_XML && locator->raw_at < locator->raw_length &&
                    step_over_markup(locator))
                        continue;
                if (locator->at >= offset || locator->raw_at >= locator->raw_length)
                        break;
                measure(locator, &value, &raw);
                if (locator->at + value > offset)
                        break;
                locator->at += value;
                step(locator, raw);
        }
        return (struct source_pos){ .file = locator->file, .line = locator->line, .column = locator->column };
}
