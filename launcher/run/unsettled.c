#include "launcher/run/unsettled.h"

#include <string.h>

#include "base/json_member.h"
#include "base/text.h"

void unsettled_init(struct unsettled *unsettled)
{
        unsettled->entries = json_array();
        unsettled->last = 0;
}

void unsettled_done(struct unsettled *unsettled)
{
        json_decref(unsettled->entries);
        unsettled->entries = NULL;
}

static json_int_t number(const json_t *entry, const char *member)
{
        return json_member_integer(entry, member);
}

void unsettled_add(struct unsettled *unsettled, json_int_t id, const struct control_command *command,
                   json_t *keys)
{
        _cleanup_free_ char *shown = text_printable(command->name);

        json_array_append_new(unsettled->entries,
                              json_pack("{s:I, s:I, s:s, s:O, s:b}", "seq", ++unsettled->last, "id", id,
                                        "command", shown, "keys", keys, "run", command->run_state));
        if (json_array_size(unsettled->entries) > UNSETTLED_MAX)
                json_array_remove(unsettled->entries, 0);
}

const char *unsettled_blocks(const struct unsettled *unsettled, const json_t *keys)
{
        json_t *entry;
        size_t i;

        json_array_foreach (unsettled->entries, i, entry) {
                if (control_keys_meet(json_object_get(entry, "keys"), keys))
                        return json_member_string(entry, "command");
        }
        return NULL;
}

json_int_t unsettled_mark(const struct unsettled *unsettled)
{
        return unsettled->last;
}

void unsettled_shown(struct unsettled *unsettled, enum command_shows shows, json_int_t mark)
{
        for (size_t i = json_array_size(unsettled->entries); i > 0; i--) {
                const json_t *entry = json_array_get(unsettled->entries, i - 1);
                bool run = json_member_is_true(entry, "run");

                if (shows == (run ? SHOWS_RUN_STATE : SHOWS_DEVICES) && number(entry, "seq") <= mark)
                        json_array_remove(unsettled->entries, i - 1);
        }
}

json_t *unsettled_late(struct unsettled *unsettled, json_int_t id)
{
        json_t *entry;
        size_t i;

        json_array_foreach (unsettled->entries, i, entry) {
                json_t *keys;

                if (number(entry, "id") != id)
                        continue;
                keys = json_incref(json_object_get(entry, "keys"));
                json_array_remove(unsettled->entries, i);
                return keys;
        }
        return NULL;
}

void unsettled_disconnected(struct unsettled *unsettled)
{
        json_t *entry;
        size_t i;

        json_array_foreach (unsettled->entries, i, entry) {
                json_object_set_new(entry, "id", json_integer(0));
        }
}
