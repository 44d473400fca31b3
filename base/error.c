#define ERROR_IMPLEMENTATION
#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const struct {
        const char *name;
        int exit_status;
} codes[] = {
        [ERROR_FAILED] = { "failed", 1 },
        [ERROR_OS] = { "os", 1 },
        [ERROR_USAGE] = { "usage", 2 },
        [ERROR_NOT_RUNNING] = { "not-running", 3 },
        [ERROR_NO_SUCH_VM] = { "no-such-vm", 4 },
        [ERROR_NOT_PERMITTED] = { "not-permitted", 5 },
        [ERROR_INVALID] = { "template-invalid", 6 },
        [ERROR_DEADLINE] = { "deadline", 7 },
        [ERROR_GUEST] = { "guest-refused", 8 },
        [ERROR_BUSY] = { "busy", 9 },
        [ERROR_HOST] = { "host-cannot", 10 },
        [ERROR_QMP] = { "qmp", 1 },
        [ERROR_DISCONNECTED] = { "disconnected", 1 },
        [ERROR_CANCELLED] = { "cancelled", 1 },
};

void error_free(struct error *error)
{
        while (error) {
                struct error *next = error->next;

                error_free(error->cause);
                free(error->qmp_class);
                free((char *)error->pos.file);
                free(error->message);
                free(error->hint);
                free(error->excerpt);
                free(error);
                error = next;
        }
}

static int __attribute__((format(printf, 4, 0)))
set(struct error **err, enum error_code code, int os_errno, const char *format, va_list ap)
{
        struct error *error = xcalloc(1, sizeof(*error));
        struct text text = TEXT_INIT;

        assert(err && !*err);
        text_vaddf(&text, format, ap);
        error->code = code;
        error->os_errno = os_errno;
        error->message = text_take(&text);
        *err = error;
        return -1;
}

char *source_pos_name(const struct source_pos *pos, const struct source_pos *from)
{
        bool is_same = !pos->file || (from->file && strcmp(pos->file, from->file) == 0);

        return is_same ? xasprintf("line %u", pos->line) : xasprintf("line %u of %s", pos->line, pos->file);
}

int error_set(struct error **err, enum error_code code, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        set(err, code, 0, format, ap);
        va_end(ap);
        return -1;
}

int error_os(struct error **err, int os_errno, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        set(err, ERROR_OS, os_errno, format, ap);
        va_end(ap);
        return -1;
}

int error_qmp(struct error **err, const char *qmp_class, const char *desc)
{
        error_set(err, ERROR_QMP, "%s: %s", qmp_class, desc);
        (*err)->qmp_class = xstrdup(qmp_class);
        return -1;
}

void error_place(struct error *error, const struct source_pos *pos)
{
        if (error->pos.file || !pos->file)
                return;
        error->pos = *pos;
        error->pos.file = xstrdup(pos->file);
}

int error_at(struct error **err, const struct source_pos *pos, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        set(err, ERROR_INVALID, 0, format, ap);
        va_end(ap);
        if (pos)
                error_place(*err, pos);
        return -1;
}

int error_wrap(struct error **err, const char *format, ...)
{
        struct error *outer = xcalloc(1, sizeof(*outer)), *inner = *err;
        struct text text = TEXT_INIT;
        va_list ap;

        assert(inner);
        va_start(ap, format);
        text_vaddf(&text, format, ap);
        va_end(ap);
        outer->message = text_take(&text);
        outer->code = inner->code;
        outer->os_errno = inner->os_errno;
        outer->qmp_class = xstrdup_null(inner->qmp_class);
        outer->pos = inner->pos;
        outer->pos.file = xstrdup_null(inner->pos.file);
        outer->hint = xstrdup_null(inner->hint);
        outer->excerpt = xstrdup_null(inner->excerpt);
        outer->next = TAKE_PTR(inner->next);
        outer->cause = inner;
        *err = outer;
        return -1;
}

int error_hint(struct error **err, const char *format, ...)
{
        struct text text = TEXT_INIT;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&text, format, ap);
        va_end(ap);
        free((*err)->hint);
        (*err)->hint = text_take(&text);
        return -1;
}

char *error_text(const struct error *error)
{
        struct text text = TEXT_INIT;

        if (error->pos.file) {
                text_addf(&text, "%s:", error->pos.file);
                if (error->pos.line)
                        text_addf(&text, "%u:%u:", error->pos.line, error->pos.column);
                text_add(&text, " ");
        }
        for (const struct error *e = error; e; e = e->cause) {
                text_addf(&text, "%s%s", e == error ? "" : ": ", e->message);
                if (!e->cause && e->code == ERROR_OS)
                        text_addf(&text, ": %s", strerror(e->os_errno));
        }
        return text_take(&text);
}

int error_exit_status(const struct error *error)
{
        if (error->code == ERROR_OS && (error->os_errno == EPERM || error->os_errno == EACCES))
                return codes[ERROR_NOT_PERMITTED].exit_status;
        return codes[error->code].exit_status;
}

enum error_code error_code_of_exit(int exit_status)
{
        for (enum error_code code = ERROR_FAILED; code <= ERROR_CANCELLED; code++)
                if (codes[code].exit_status == exit_status)
                        return code;
        return ERROR_FAILED;
}

const char *error_code_name(enum error_code code)
{
        return codes[code].name;
}

void error_append(struct error **err, struct error *more)
{
        while (*err)
                err = &(*err)->next;
        *err = more;
}

unsigned error_count(const struct error *error)
{
        unsigned n = 0;

        for (; error; error = error->next)
                n++;
        return n;
}

struct error *error_copy(const struct error *error)
{
        struct error *copy;

        if (!error)
                return NULL;
        copy = xcalloc(1, sizeof(*copy));
        *copy = *error;
        copy->qmp_class = xstrdup_null(error->qmp_class);
        copy->pos.file = xstrdup_null(error->pos.file);
        copy->message = xstrdup(error->message);
        copy->hint = xstrdup_null(error->hint);
        copy->excerpt = xstrdup_null(error->excerpt);
        copy->cause = error_copy(error->cause);
        copy->next = error_copy(error->next);
        return copy;
}
