#include "launcher/run/story.h"

#include "base/text.h"
#include "base/utc.h"

char *story_now(void)
{
        char now[UTC_STAMP_SIZE];

        utc_stamp_now(now);
        return xstrdup(now);
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
