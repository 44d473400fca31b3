#include "base/mem.h"

#include <link.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/text.h"

/* Of which the C library keeps some at hand. */
#define SMALL_BYTES 1024
/* Most strings that are made are names and paths. */
#define USUAL_STRING 256

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
        size_t bytes;
        void *p;

        /* glibc's calloc() passes by the pieces that were freed last, which its malloc() takes (before 2.41). */
        if (!__builtin_mul_overflow(n, size, &bytes) && bytes <= SMALL_BYTES)
                return memset(xmalloc(bytes), 0, bytes ? bytes : 1);
        p = calloc(n, size);
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
        size_t size = strlen(s) + 1;

        return memcpy(xmalloc(size), s, size);
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
        char usual[USUAL_STRING], *s;
        va_list ap;
        size_t n;

        va_start(ap, format);
        n = text_vformat(usual, sizeof(usual), format, ap);
        va_end(ap);
        s = xmalloc(n + 1);
        if (n < sizeof(usual))
                return memcpy(s, usual, n + 1);
        va_start(ap, format);
        text_vformat(s, n + 1, format, ap);
        va_end(ap);
        return s;
}

/* Segments that nothing is ever written to, relocations neither, are the file's: a page that is wanted again comes from
 * the page cache. */
static int drop_segments(struct dl_phdr_info *info, size_t size, void *data)
{
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

        (void)size;
        (void)data;
        for (unsigned i = 0; i < info->dlpi_phnum; i++) {
                const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
                uintptr_t begin = (info->dlpi_addr + segment->p_vaddr) & ~(page - 1);
                uintptr_t end =
                        (info->dlpi_addr + segment->p_vaddr + segment->p_memsz + page - 1) & ~(page - 1);

                if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W))
                        madvise((void *)begin, end - begin,
                                MADV_DONTNEED); /* NOLINT(performance-no-int-to-ptr) */
        }
        return 0;
}

void mem_give_back(void)
{
#ifdef __GLIBC__
        malloc_trim(0);
#endif
        dl_iterate_phdr(drop_segments, NULL);
}

void mem_expect(size_t bytes)
{
#if defined(__GLIBC__) && defined(MADV_POPULATE_WRITE)
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin, end;
        void *p;

        /* From the heap, and what is freed stays at its end. */
        mallopt(M_MMAP_THRESHOLD, (int)(2 * bytes));
        mallopt(M_TRIM_THRESHOLD, (int)(2 * bytes));
        p = malloc(bytes);
        if (!p)
                return;
        begin = ((uintptr_t)p + page - 1) & ~(page - 1);
        end = ((uintptr_t)p + bytes) & ~(page - 1);
        /* Where the kernel (before 5.14) does not know it, faults do it. */
        if (end > begin)
                madvise((void *)begin, end - begin,
                        MADV_POPULATE_WRITE); /* NOLINT(performance-no-int-to-ptr) */
        free(p);
#else
        (void)bytes;
#endif
}
