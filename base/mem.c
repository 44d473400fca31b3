#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void __attribute__((noreturn)) out_of_memory(void)
{
        static const char words[] = "vmlaunch: out of memory\n";
        ssize_t n = write(STDERR_FILENO, words, sizeof(words) - 1);

        (void)n;
        abort();
}

void *xmalloc(size_t size)
{
        void *p = malloc(size ? size : 1);

        if (!p)
                out_of_memory();
        return p;
}

void *xcalloc(size_t n, size_t size)
{
        void *p = calloc(n ? n : 1, size ? size : 1);

        if (!p)
                out_of_memory();
        return p;
}

void *xrealloc(void *p, size_t size)
{
        void *q = realloc(p, size ? size : 1);

        if (!q)
                out_of_memory();
        return q;
}

void *xreallocarray(void *p, size_t n, size_t size)
{
        size_t bytes;

        if (__builtin_mul_overflow(n, size, &bytes))
                out_of_memory();
        return xrealloc(p, bytes);
}

char *xstrdup(const char *s)
{
        return xstrndup(s, strlen(s));
}

char *xstrdup_null(const char *s)
{
        return s ? xstrdup(s) : NULL;
}

char *xstrndup(const char *s, size_t n)
{
        size_t length = strnlen(s, n);
        char *copy = xmalloc(length + 1);

        memcpy(copy, s, length);
        copy[length] = '\0';
        return copy;
}

char *xasprintf(const char *format, ...)
{
        va_list ap;
        char *s;

        va_start(ap, format);
        if (vasprintf(&s, format, ap) < 0)
                out_of_memory();
        va_end(ap);
        return s;
}
