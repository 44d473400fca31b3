#include "base/argv.h"

#include <stdarg.h>

void argv_done(struct argv *argv)
{
        for (size_t i = 0; i < argv->n; i++)
                free(argv->items[i]);
        free(argv->items);
        *argv = ARGV_INIT;
}

void argv_add_take(struct argv *argv, char *s)
{
        /* One more than there are, for the NULL: room is doubled when n + 1 is a power of two. */
        if ((argv->n & (argv->n + 1)) == 0)
                argv->items = xreallocarray(argv->items, (argv->n + 1) * 2, sizeof(char *));
        argv->items[argv->n++] = s;
        argv->items[argv->n] = NULL;
}

void argv_add(struct argv *argv, const char *s)
{
        argv_add_take(argv, xstrdup(s));
}

void argv_addf(struct argv *argv, const char *format, ...)
{
        struct text text = TEXT_INIT;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&text, format, ap);
        va_end(ap);
        argv_add_take(argv, text_take(&text));
}

void argv_print_shell(const struct argv *argv, struct text *out)
{
        for (size_t i = 0; i < argv->n; i++) {
                _cleanup_free_ char *word = text_shell_quoted(argv->items[i]);

                text_addf(out, "%s%s", i ? " " : "", word);
        }
}
