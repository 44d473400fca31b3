#include "base/text.h"

#include <stdio.h>
#include <string.h>

void text_done(struct text *text)
{
        free(text->data);
        *text = TEXT_INIT;
}

/* What is made room for before anybody knows how much it will be. */
#define USUAL_LENGTH 95

static void reserve(struct text *text, size_t more)
{
        size_t need = text->length + more + 1;

        if (need <= text->capacity)
                return;
        text->capacity = need < 64 ? 64 : need * 2;
        text->data = xrealloc(text->data, text->capacity);
}

void text_add_bytes(struct text *text, const void *bytes, size_t n)
{
        reserve(text, n);
        if (n)
                memcpy(text->data + text->length, bytes, n);
        text->length += n;
        text->data[text->length] = '\0';
}

void text_add(struct text *text, const char *s)
{
        text_add_bytes(text, s, strlen(s));
}

#define MAX_DIGITS 20 /* of UINT64_MAX; a number with a sign has fewer */

/* Writes the digits in front of end, returns where they begin. */
static char *decimal(char *end, uint64_t number)
{
        do
                *--end = (char)('0' + number % 10);
        while ((number /= 10));
        return end;
}

static char *hexadecimal(char *end, uint64_t number)
{
        do
                *--end = "0123456789abcdef"[number & 15];
        while ((number >>= 4));
        return end;
}

void text_add_u64(struct text *text, uint64_t number)
{
        char digits[MAX_DIGITS], *end = digits + sizeof(digits), *first = decimal(end, number);

        text_add_bytes(text, first, (size_t)(end - first));
}

/* The number of the directive at *f, which is passed by; false: it is another directive. Its digits end at end. */
static bool take_number(const char **f, va_list *ap, char *end, char **ret_digits)
{
        const char *directive = *f + 1;
        unsigned long long number;
        int with_sign = 0;

        if (*directive == 'd') {
                with_sign = va_arg(*ap, int);
                number = with_sign < 0 ? -(unsigned long long)with_sign : (unsigned long long)with_sign;
        } else if (*directive == 'u' || *directive == 'x') {
                number = va_arg(*ap, unsigned);
        } else if (strncmp(directive, "zu", 2) == 0 || strncmp(directive, "lu", 2) == 0) {
                number = va_arg(*ap, size_t);
                directive++;
        } else if (strncmp(directive, "llu", 3) == 0) {
                number = va_arg(*ap, unsigned long long);
                directive += 2;
        } else {
                return false;
        }
        *ret_digits = *directive == 'x' ? hexadecimal(end, number) : decimal(end, number);
        if (with_sign < 0)
                *--*ret_digits = '-';
        *f = directive + 1;
        return true;
}

size_t text_vformat(char *out, size_t room, const char *format, va_list ap)
{
        va_list rest;
        size_t length = 0, n;
        int all;

        va_copy(rest, ap);
        for (const char *f = format, *piece; *f; length += n) {
                char digits[MAX_DIGITS], *end = digits + sizeof(digits), *first;

                if (*f != '%') {
                        piece = f;
                        f = strchrnul(f, '%');
                        n = (size_t)(f - piece);
                } else if (f[1] == 's' && (piece = va_arg(rest, const char *))) {
                        f += 2;
                        n = strlen(piece);
                } else if (f[1] != 's' && take_number(&f, &rest, end, &first)) {
                        piece = first;
                        n = (size_t)(end - first);
                } else {
                        all = vsnprintf(out, room, format, ap);
                        length = all < 0 ? 0 : (size_t)all;
                        goto done;
                }
                if (length + n < room)
                        memcpy(out + length, piece, n);
        }
        if (length < room)
                out[length] = '\0';
done:
        va_end(rest);
        return length;
}

void text_vaddf(struct text *text, const char *format, va_list ap)
{
        va_list again;
        size_t room, n;

        /* Most fit at once, and formatting is what a plan's time goes into. */
        reserve(text, USUAL_LENGTH);
        room = text->capacity - text->length;
        va_copy(again, ap);
        n = text_vformat(text->data + text->length, room, format, ap);
        if (n >= room) {
                reserve(text, n);
                text_vformat(text->data + text->length, n + 1, format, again);
        }
        va_end(again);
        text->length += n;
        text->data[text->length] = '\0';
}

void text_addf(struct text *text, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        text_vaddf(text, format, ap);
        va_end(ap);
}

void text_cut(struct text *text, size_t length)
{
        if (length >= text->length)
                return;
        text->length = length;
        text->data[length] = '\0';
}

char *text_take(struct text *text)
{
        char *s = text->data ? text->data : xstrdup("");

        *text = TEXT_INIT;
        return s;
}

const char *text_str(const struct text *text)
{
        return text->data ? text->data : "";
}

bool text_starts_with(const char *s, const char *prefix)
{
        return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool text_ends_with(const char *s, const char *suffix)
{
        size_t n = strlen(s), m = strlen(suffix);

        return n >= m && strcmp(s + n - m, suffix) == 0;
}

uint64_t text_hash(const void *bytes, size_t n)
{
        const uint8_t *p = bytes;
        uint64_t hash = 0xcbf29ce484222325ull;

        while (n--)
                hash = (hash ^ *p++) * 0x100000001b3ull;
        return hash;
}
