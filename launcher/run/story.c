#include "launcher/run/story.h"

#include <stdio.h>

#include "base/text.h"

/* Lent, until it is asked for another second: most of a start's lines are of one. */
static const char *date_of(time_t seconds)
{
        static char date[64];
        static time_t second;
        struct tm tm;

        if (*date && second == seconds)
                return date;
        /* QEMU's events have what QEMU likes. A year that no int holds is nobody's; counted from 1900 it may be one. */
        if (!gmtime_r(&seconds, &tm))
                tm = (struct tm){ .tm_mday = 1 };
        second = seconds;
        snprintf(date, sizeof(date), "%04lld-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900LL, tm.tm_mon + 1,
                 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        return date;
}

char *story_time(time_t seconds, long nanoseconds)
{
        unsigned ms = (unsigned)(nanoseconds / 1000000) % 1000;

        return xasprintf("%s.%u%u%uZ", date_of(seconds), ms / 100, ms / 10 % 10, ms % 10);
}

char *story_now(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return story_time(now.tv_sec, now.tv_nsec);
}

bool story_may_say(struct story_pace *pace, long long now_ms, unsigned *ret_unsaid)
{
        *ret_unsaid = 0;
        if (now_ms - pace->minute_ms >= 60000) {
                *ret_unsaid = pace->unsaid;
                *pace = (struct story_pace){ .minute_ms = now_ms };
        }
        if (pace->said >= STORY_PER_MINUTE) {
                pace->unsaid++;
                return false;
        }
        pace->said++;
        return true;
}

json_t *story_string(const char *s)
{
        struct text escaped = TEXT_INIT;
        json_t *json;

        if (!s)
                return json_null();
        json = json_string(s);
        if (json)
                return json;
        for (; *s; s++) {
                if ((unsigned char)*s < 0x80)
                        text_add_bytes(&escaped, s, 1);
                else
                        text_addf(&escaped, "\\x%02x", (unsigned char)*s);
        }
        json = json_string(text_str(&escaped));
        text_done(&escaped);
        return json;
}

void story_add(json_t *story, const char *time, const char *text)
{
        json_t *entry = json_object();

        json_object_set_new(entry, "time", json_string(time));
        json_object_set_new(entry, "text", story_string(text));
        json_array_append_new(story, entry);
        while (json_array_size(story) > STORY_MAX)
                json_array_remove(story, 0);
}
