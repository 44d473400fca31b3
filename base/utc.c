#include "base/utc.h"

#include <stdio.h>
#include <string.h>

static void write_date(char *out, const struct tm *tm)
{
        snprintf(out, UTC_DATE_SIZE, "%04lld-%02d-%02dT%02d:%02d:%02d", tm->tm_year + 1900LL, tm->tm_mon + 1,
                 tm->tm_mday, tm->tm_hour, tm->tm_min, tm->tm_sec);
}

bool utc_date(char out[static UTC_DATE_SIZE], time_t seconds)
{
        struct tm tm;

        if (!gmtime_r(&seconds, &tm))
                return false;
        write_date(out, &tm);
        return true;
}

void utc_stamp(char out[static UTC_STAMP_SIZE], time_t seconds, long nanoseconds)
{
        /* Most of a start's lines are of one second. */
        static char date[UTC_DATE_SIZE];
        static time_t second;
        unsigned ms = (unsigned)(nanoseconds / 1000000) % 1000;

        if (!*date || second != seconds) {
                if (!utc_date(date, seconds))
                        write_date(date, &(struct tm){ .tm_mday = 1 });
                second = seconds;
        }
        out = stpcpy(out, date);
        *out++ = '.';
        *out++ = (char)('0' + ms / 100);
        *out++ = (char)('0' + ms / 10 % 10);
        *out++ = (char)('0' + ms % 10);
        *out++ = 'Z';
        *out = '\0';
}

void utc_stamp_now(char out[static UTC_STAMP_SIZE])
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        utc_stamp(out, now.tv_sec, now.tv_nsec);
}
