/* PASSWD of a running VM and of its template: neither is in live.tmpl, so QEMU's own copy is what is compared with. */
#include "launcher/verb/difference_secret.h"

#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "conf/secret.h"
#include "launcher/plan/display.h"
#include "launcher/verb/vm_find.h"

#define CMDLINE_MAX (4u << 20)
#define SECRET_MAX  65536

/* "/proc/self/fd/17" of the secret object, from QEMU's command line; 17, or -1. */
static int fd_of_object(int pid, const char *id)
{
        _cleanup_free_ char *path = xasprintf("/proc/%d/cmdline", pid), *words = NULL;
        _cleanup_error_ struct error *ignored = NULL;
        size_t n = 0;

        if (fd_read_file_at(AT_FDCWD, path, CMDLINE_MAX, &words, &n, &ignored) < 0)
                return -1;
        for (const char *word = words; word < words + n; word += strlen(word) + 1) {
                static const char start[] = "/proc/self/fd/";
                json_auto_t *object = *word == '{' ? json_loads(word, 0, NULL) : NULL;
                const char *own = json_member_string(object, "id");
                const char *file = json_member_string(object, "file");
                uint32_t fd;

                if (own && file && strcmp(own, id) == 0 && text_starts_with(file, start) &&
                    text_parse_u32(file + sizeof(start) - 1, &fd))
                        return (int)fd;
        }
        return -1;
}

/* The value that the running QEMU was given; NULL: it cannot be read. New string. */
static char *running_value(int pid, const char *id)
{
        int fd = fd_of_object(pid, id);
        _cleanup_free_ char *path = xasprintf("/proc/%d/fd/%d", pid, fd);
        _cleanup_error_ struct error *ignored = NULL;
        char *value = NULL;

        if (fd < 0 || fd_read_file_at(AT_FDCWD, path, SECRET_MAX, &value, NULL, &ignored) < 0)
                return NULL;
        return value;
}

/* What the template gives, read as a start would; NULL: it gives none, or the file cannot be read. New string. */
static char *wanted_value(const char *passwd)
{
        _cleanup_error_ struct error *ignored = NULL;
        const char *path = NULL;
        char *value = NULL;

        switch (secret_kind_of(passwd, &path)) {
        case SECRET_WITHHELD:
                return NULL;
        case SECRET_TEXT:
                return xstrdup(passwd);
        case SECRET_FILE:
                break;
        }
        if (fd_read_file_at(AT_FDCWD, path, SECRET_MAX, &value, NULL, &ignored) < 0)
                return NULL;
        value[strcspn(value, "\r\n")] = '\0';
        return value;
}

static void forget(char *secret)
{
        if (secret)
                explicit_bzero(secret, strlen(secret));
        free(secret);
}

bool difference_of_secret(const struct change *change, const struct vm_spec *wanted, const char **ret_why)
{
        const char *passwd = wanted->graphics.present ? wanted->graphics.passwd : NULL;
        const char *id = graphics_password_object(wanted);
        _cleanup_error_ struct error *ignored = NULL;
        json_auto_t *record = NULL;
        char *running, *given;
        bool differs = false;

        /* That there is one now, or no longer, is seen in the words. */
        if (!passwd || !id || !change->before.spec->graphics.passwd ||
            secret_kind_of(passwd, NULL) == SECRET_WITHHELD ||
            vm_record(&change->context->site->paths, change->name, &record, &ignored) < 0)
                return false;
        running = running_value((int)json_member_integer(record, "pid"), id);
        given = wanted_value(passwd);
        if (!running || !given) {
                differs = true;
                *ret_why = "it cannot be compared with that of the running VM";
        } else if (strcmp(running, given) != 0) {
                differs = true;
                *ret_why = "it is not that of the running VM, whose clients go on with the old one";
        }
        forget(running);
        forget(given);
        return differs;
}
