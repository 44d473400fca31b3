#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

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

void log_set_stderr(int on)
{
        to_stderr = on;
}

/* JOURNAL_STREAM is "device:inode" of the journal's socket; stderr may have been redirected since. */
static bool stderr_is_journal(void)
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
        va_list ap;

        va_start(ap, format);
        text_vaddf(&message, format, ap);
        va_end(ap);
        for (char *c = message.data; c && *c; c++)
                if (*c == '\n' && c[1] == '\0')
                        *c = ' ';

        if (to_stderr && level <= max_level) {
                _cleanup_text_ struct text line = TEXT_INIT;

                if (stderr_is_journal())
                        text_addf(&line, "<%d>%s\n", (int)level, text_str(&message));
                else
                        text_addf(&line, "vmlaunch: %s%s\n", level == LOG_LEVEL_WARNING ? "warning: " : "",
                                  text_str(&message));
                write_line(STDERR_FILENO, &line);
        }
        if (log_file >= 0) {
                _cleanup_text_ struct text line = TEXT_INIT;
                struct timespec now;
                struct tm tm;
                char stamp[32];

                clock_gettime(CLOCK_REALTIME, &now);
                gmtime_r(&now.tv_sec, &tm);
                strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
                text_addf(&line, "%s.%03ldZ %s: %s\n", stamp, now.tv_nsec / 1000000, names[level],
                          text_str(&message));
                write_line(log_file, &line);
        }
}
