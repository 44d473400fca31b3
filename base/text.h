/*
 * text - a growing string, and numbers and sizes to and from text.
 *
 * Parsers take the whole string or fail; no locale, no leading blanks, no sign where none is meant.
 * They return false and leave the result alone when the text is not what they read: what is wrong with
 * it is for the caller to say, who knows the attribute.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

struct text {
        char *data; /* NUL-terminated, NULL while empty */
        size_t length, capacity;
};

#define TEXT_INIT ((struct text){ 0 })

void text_done(struct text *text);
#define _cleanup_text_ _cleanup_(text_done)
void text_add(struct text *text, const char *s);
void text_add_bytes(struct text *text, const void *bytes, size_t n);
/* Punctuation, of which JSON is half. */
static inline void text_add_char(struct text *text, char c)
{
        if (text->length + 1 >= text->capacity) {
                text_add_bytes(text, &c, 1);
                return;
        }
        text->data[text->length++] = c;
        text->data[text->length] = '\0';
}
/*
 * As vsnprintf(), for the words and whole numbers that most formats have a tenth of its time. Returns the length of all of
 * it: when that is not below room, what out holds is of no use.
 */
size_t text_vformat(char *out, size_t room, const char *format, va_list ap)
        __attribute__((format(printf, 3, 0)));
/* As text of a manual page: backslashes and hyphens escaped, no line is a request; a leading blank keeps its form. */
void text_add_roff(struct text *text, const char *s);
/* Decimal: what plans have most of, and printf takes ten times as long. */
void text_add_u64(struct text *text, uint64_t number);
void text_addf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_vaddf(struct text *text, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));
/* Back to a length that it had. */
void text_cut(struct text *text, size_t length);
/* The string, owned by the caller; never NULL. Leaves the text empty. */
char *text_take(struct text *text);
/* The string, lent; never NULL. */
const char *text_str(const struct text *text);

/* Decimal, or hexadecimal after 0x. */
bool text_parse_u64(const char *s, uint64_t *ret);
bool text_parse_u32(const char *s, uint32_t *ret);
/* Digits with an optional fraction, no exponent, not negative, finite. */
bool text_parse_decimal(const char *s, double *ret);

enum text_size_result { TEXT_SIZE_OK, TEXT_SIZE_BAD, TEXT_SIZE_HUGE };
/*
 * A size: digits (a fraction where a suffix follows), optionally one of b KB k KiB MB M MiB GB G GiB TB T
 * TiB in any case except that KB, MB, ... are powers of 1000 and k, KiB, M, MiB, ... powers of 1024 (DESIGN
 * section 5.1). A plain number counts in plain_unit bytes. The result is in bytes, a fraction rounded up.
 */
enum text_size_result text_parse_size(const char *s, uint64_t plain_unit, uint64_t *ret_bytes);
/* "8 GiB", "1536 MiB", "100 bytes": the largest binary unit that divides; new string. */
char *text_from_size(uint64_t bytes);

/* yes true on 1, no false off 0 in any case (DESIGN section 5.4). */
bool text_parse_bool(const char *s, bool *ret);

/* xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, any case; ret is 16 bytes. */
bool text_parse_uuid(const char *s, uint8_t ret[16]);
void text_from_uuid(const uint8_t uuid[16], char ret[37]);
/* xx:xx:xx:xx:xx:xx */
bool text_parse_mac(const char *s, uint8_t ret[6]);
void text_from_mac(const uint8_t mac[6], char ret[18]);

/* Bytes as pairs of lower-case hexadecimal digits; new string. */
char *text_to_hex(const void *bytes, size_t n);
/* Back, digits of any case: *ret_bytes is owned by the caller (never NULL). */
bool text_from_hex(const char *hex, char **ret_bytes, size_t *ret_n);

/* User text for messages: control bytes, what is no UTF-8, quotes and backslashes escaped, cut after about 120 bytes with
 * "..."; new string. */
char *text_printable(const char *s);
/* The string as one POSIX shell word; new string. */
char *text_shell_quoted(const char *s);
void text_add_shell_quoted(struct text *text, const char *s);

bool text_starts_with(const char *s, const char *prefix);
bool text_ends_with(const char *s, const char *suffix);
/* The name of the list (NULL-terminated) that s most likely meant, or NULL when none is near. Case is
 * ignored. For "did you mean". */
const char *text_nearest(const char *s, const char *const *names);
/* FNV-1a, 64 bit: for stable numbers derived from names, not for security. */
uint64_t text_hash(const void *bytes, size_t n);
