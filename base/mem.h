/*
 * mem - allocation that aborts when memory is gone, and cleanup attributes.
 *
 * A supervisor that dies is restarted by its keeper and finds its VM again, so out of memory is not an
 * error anybody handles: it ends the process.
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
void *xreallocarray(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
/* NULL gives NULL. */
char *xstrdup_null(const char *s);
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2), malloc, returns_nonnull));

/* What was freed, and what is only read from the program's files, back to the kernel: for a process that now waits for
 * days. libc only. */
void mem_give_back(void);

/* So much will be allocated soon: its pages are asked for at once, which takes a fifth of the time that faults do. */
void mem_expect(size_t bytes);

/* Inlined even where the code is small: a variable whose address goes nowhere needs no place on the stack. */
#define CLEANUP_FUNCTION static inline __attribute__((always_inline))

CLEANUP_FUNCTION void mem_freep(void *p)
{
        free(*(void **)p);
}

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _cleanup_free_ _cleanup_(mem_freep)

/* Gives the value away and leaves NULL behind. */
#define TAKE_PTR(p)                        \
        ({                                 \
                __typeof__(p) take_ = (p); \
                (p) = NULL;                \
                take_;                     \
        })

/* Declares static inline void TYPE_freep(TYPE **) for _cleanup_. */
#define DEFINE_FREEP(type, func)                \
        CLEANUP_FUNCTION void func##p(type **p) \
        {                                       \
                func(*p);                       \
        }

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Makes room for one more element in a growing array; n counts the elements in use. */
#define ARRAY_GROW(array, n)                                                                   \
        do {                                                                                   \
                if (((n) & ((n)-1)) == 0)                                                      \
                        (array) = xreallocarray((array), (n) ? (n)*2 : 1, sizeof((array)[0])); \
        } while (0)
