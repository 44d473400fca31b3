#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "base/utc.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

static enum log_level max_level = LOG_LEVEL_NOTICE;
static int log_file = -1;
static bool to_stderr = true;

void log_set_level(enum log_level level)
{
        max_level = level;
}

enum log_level log_get_level(void)
{
        return max_level;
}

void log_set_file(int fd)
{
        log_file = fd;
}

int log_get_file(void)
{
        return log_file;
}

void log_set_stderr(int on)
{
        to_stderr = on;
}

/* JOURNAL_STREAM is "device:inode" of the journal's socket; stderr may have been redirected since. */
bool log_stderr_is_journal(void)
{
        static int known = -1;

        if (known < 0) {
                const char *stream = getenv("JOURNAL_STREAM");
                unsigned long long dev, ino;
                struct stat st;

                known = stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
                        fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
        }
        return known;
}

/* The fields that go with every line; NULL: the journal is not written to. */
static char *journal_fields;
static int journal_fd = -1;

void log_set_journal(const char *vm, const char *generation)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };

        if (journal_fd < 0)
                journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        /* A datagram socket: this waits for nobody. */
        /* waits: for nothing, a name is looked up */
        if (journal_fd < 0 || connect(journal_fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return;
        free(journal_fields);
        journal_fields = xasprintf("SYSLOG_IDENTIFIER=vmlaunch\nVMLAUNCH_VM=%s\nVMLAUNCH_GENERATION=%s\n", vm,
                                   generation);
}

/* "FIELD=value" lines (systemd.io/JOURNAL_NATIVE_PROTOCOL); false: it could not be sent. */
static bool write_journal(enum log_level level, const char *message)
{
        _cleanup_text_ struct text entry = TEXT_INIT;

        text_addf(&entry, "%sPRIORITY=%d\nMESSAGE=", journal_fields, (int)level);
        for (; *message; message++)
                text_add_bytes(&entry, *message == '\n' ? " " : message, 1);
        text_add(&entry, "\n");
        return send(journal_fd, entry.data, entry.length, MSG_NOSIGNAL | MSG_DONTWAIT) ==
               (ssize_t)entry.length;
}

static void write_line(int fd, const struct text *line)
{
        /* One write per line, so that lines of several processes do not mix. A full disk or a closed
         * stderr is no reason to stop a VM. */
        ssize_t n = write(fd, line->data, line->length);

        (void)n;
}

void log_line(enum log_level level, const char *format, ...)
{
        static const char *const names[] = { [LOG_LEVEL_ERROR] = "error",
                                             [LOG_LEVEL_WARNING] = "warning",
                                             [LOG_LEVEL_NOTICE] = "notice",
                                             [LOG_LEVEL_INFO] = "info",
                                             [LOG_LEVEL_DEBUG] = "debug" };
        _cleanup_text_ struct text message = TEXT_INIT;
        bool in_journal = false;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&message, format, ap);
        va_end(ap);
        for (char *c = message.data; c && *c; c++)
                if (*c == '\n' && c[1] == '\0')
                        *c = ' ';

        if (journal_fields && level <= LOG_LEVEL_INFO)
                in_journal = write_journal(level, text_str(&message));
        if (to_stderr && level <= max_level && !(in_journal && log_stderr_is_journal())) {
                _cleanup_text_ struct text line = TEXT_INIT;

                if (log_stderr_is_journal())
                        text_addf(&line, "<%d>%s\n", (int)level, text_str(&message));
                else
                        text_addf(&line, "vmlaunch: %s%s\n", level == LOG_LEVEL_WARNING ? "warning: " : "",
                                  text_str(&message));
                write_line(STDERR_FILENO, &line);
        }
        if (log_file >= 0) {
                _cleanup_text_ struct text line = TEXT_INIT;
                char stamp[UTC_STAMP_SIZE];

                utc_stamp_now(stamp);
                text_addf(&line, "%s %s: %s\n", stamp, names[level], text_str(&message));
                write_line(log_file, &line);
        }
}
