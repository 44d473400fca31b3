#include "base/number_list.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"

static bool read_number(const char **text, unsigned *ret)
{
        const char *s = *text + strspn(*text, " ");
        unsigned value = 0;

        if (!isdigit((unsigned char)*s))
                return false;
        for (; isdigit((unsigned char)*s); s++) {
                value = value * 10 + (unsigned)(*s - '0');
                if (value >= NUMBER_LIST_END)
                        return false;
        }
        *text = s + strspn(s, " \n");
        *ret = value;
        return true;
}

bool number_list_parse(const char *text, struct number_list *ret)
{
        struct number_list list = { 0 };

        for (;;) {
                unsigned first, last;
                bool is_out;

                text += strspn(text, " ");
                is_out = *text == '^';
                text += is_out;
                if (!read_number(&text, &first))
                        return false;
                last = first;
                if (*text == '-') {
                        text++;
                        if (!read_number(&text, &last) || last < first)
                                return false;
                }
                for (unsigned n = first; n <= last; n++) {
                        if (is_out)
                                list.bits[n / NUMBER_LIST_WORD] &= ~(1ul << n % NUMBER_LIST_WORD);
                        else
                                number_list_add(&list, n);
                }
                if (!*text)
                        break;
                if (*text++ != ',')
                        return false;
        }
        if (!number_list_count(&list))
                return false;
        *ret = list;
        return true;
}

bool number_list_parse_within(const char *text, unsigned first, unsigned last, struct number_list *ret)
{
        struct number_list all = { 0 };

        for (unsigned n = first; n <= last; n++)
                number_list_add(&all, n);
        return number_list_parse(text, ret) && number_list_is_within(ret, &all);
}

void number_list_add(struct number_list *list, unsigned number)
{
        if (number < NUMBER_LIST_END)
                list->bits[number / NUMBER_LIST_WORD] |= 1ul << number % NUMBER_LIST_WORD;
}

bool number_list_has(const struct number_list *list, unsigned number)
{
        return number < NUMBER_LIST_END &&
               (list->bits[number / NUMBER_LIST_WORD] >> number % NUMBER_LIST_WORD & 1);
}

bool number_list_is_within(const struct number_list *list, const struct number_list *other)
{
        for (unsigned i = 0; i < NUMBER_LIST_END / NUMBER_LIST_WORD; i++)
                if (list->bits[i] & ~other->bits[i])
                        return false;
        return true;
}

unsigned number_list_count(const struct number_list *list)
{
        unsigned n = 0;

        /* Nearly all words are empty, and without popcnt counting is slow. */
        for (unsigned i = 0; i < NUMBER_LIST_END / NUMBER_LIST_WORD; i++)
                if (list->bits[i])
                        n += (unsigned)__builtin_popcountl(list->bits[i]);
        return n;
}

char *number_list_text(const struct number_list *list)
{
        struct text out = TEXT_INIT;

        for (unsigned n = 0; n < NUMBER_LIST_END; n++) {
                unsigned first = n;

                if (!number_list_has(list, n))
                        continue;
                while (number_list_has(list, n + 1))
                        n++;
                text_addf(&out, "%s%u", out.length ? "," : "", first);
                if (n > first)
                        text_addf(&out, "-%u", n);
        }
        return text_take(&out);
}
