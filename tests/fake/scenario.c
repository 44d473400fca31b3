#include <stdio.h>
#include <string.h>

#include "tests/fake/fake.h"

/* A member that nobody reads is a mistake of the scenario's writer. */
static void only(const json_t *object, const char *where, const char *const *keys)
{
        const char *key;
        json_t *value;

        if (!json_is_object(object))
                die("scenario: %s is no object", where);
        json_object_foreach ((json_t *)object, key, value) {
                size_t i = 0;

                while (keys[i] && strcmp(keys[i], key) != 0)
                        i++;
                if (!keys[i])
                        die("scenario: %s has no member '%s'", where, key);
        }
}

static const char *string_of(const json_t *object, const char *where, const char *key)
{
        const json_t *value = json_object_get(object, key);

        if (value && !json_is_string(value))
                die("scenario: %s: '%s' is no string", where, key);
        return json_string_value(value);
}

static unsigned number_of(const json_t *object, const char *where, const char *key, unsigned otherwise)
{
        const json_t *value = json_object_get(object, key);

        if (!value)
                return otherwise;
        if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > 100000000)
                die("scenario: %s: '%s' is no number from 0 to 100000000", where, key);
        return (unsigned)json_integer_value(value);
}

static json_t *array_of(const json_t *root, const char *key)
{
        json_t *value = json_object_get(root, key);

        if (value && !json_is_array(value))
                die("scenario: '%s' is no array", key);
        return value;
}

static void read_fault(struct fault *fault, const json_t *object)
{
        static const char *const keys[] = { "fault", "command", "nth",  "times", "ms",
                                            "count", "status",  "text", NULL };
        const char *name;

        only(object, "a fault", keys);
        name = string_of(object, "a fault", "fault");
        fault->row = name ? fault_row_find(name) : NULL;
        if (!fault->row)
                die("scenario: there is no fault '%s' (--list-faults)", name ? name : "");
        fault->command = string_of(object, name, "command");
        if (!fault->command)
                fault->command = fault->row->command;
        fault->nth = number_of(object, name, "nth", 1);
        fault->times = number_of(object, name, "times", fault->row->times);
        fault->ms = number_of(object, name, "ms", fault->row->ms);
        fault->count = number_of(object, name, "count", fault->row->count);
        fault->status = number_of(object, name, "status", 1);
        fault->text = string_of(object, name, "text");
}

static void check_replies(const json_t *replies)
{
        static const char *const keys[] = { "command", "return", "error", "times", NULL };
        size_t i;
        json_t *each;

        json_array_foreach ((json_t *)replies, i, each) {
                only(each, "a reply", keys);
                if (!string_of(each, "a reply", "command") ||
                    !json_object_get(each, "return") == !json_object_get(each, "error"))
                        die("scenario: a reply has a command and either return or error");
                number_of(each, "a reply", "times", 0);
        }
}

static void check_expect(const json_t *expect)
{
        static const char *const keys[] = { "execute", "arguments", NULL };
        size_t i;
        json_t *each;

        json_array_foreach ((json_t *)expect, i, each) {
                only(each, "an expectation", keys);
                if (!string_of(each, "an expectation", "execute"))
                        die("scenario: an expectation names the command in 'execute'");
        }
}

static void check_events(const json_t *events)
{
        static const char *const keys[] = { "after", "ms", "event", "data", "guest", NULL };
        static const char *const words[] = { "power-off",    "panic",       "reset",
                                             "agent-starts", "agent-stops", NULL };
        size_t i;
        json_t *each;

        json_array_foreach ((json_t *)events, i, each) {
                const char *guest;
                size_t k = 0;

                only(each, "an event", keys);
                guest = string_of(each, "an event", "guest");
                while (guest && words[k] && strcmp(words[k], guest) != 0)
                        k++;
                if (!string_of(each, "an event", "after") || !string_of(each, "an event", "event") == !guest)
                        die("scenario: an event has 'after' and either 'event' or 'guest'");
                if (guest && !words[k])
                        die("scenario: the guest cannot do '%s'", guest);
                number_of(each, "an event", "ms", 0);
        }
}

static void read_root(struct scenario *scenario, json_t *root_consume)
{
        static const char *const keys[] = { "faults", "replies", "expect", "events", "guest", NULL };
        const json_t *faults;
        const char *guest;
        size_t i;
        json_t *each;

        scenario->root = root_consume;
        only(scenario->root, "the scenario", keys);
        faults = array_of(scenario->root, "faults");
        scenario->n_faults = json_array_size(faults);
        scenario->faults = xcalloc(scenario->n_faults + 1, sizeof(*scenario->faults));
        json_array_foreach ((json_t *)faults, i, each) {
                read_fault(&scenario->faults[i], each);
        }
        check_replies(scenario->replies = array_of(scenario->root, "replies"));
        check_expect(scenario->expect = array_of(scenario->root, "expect"));
        check_events(scenario->events = array_of(scenario->root, "events"));
        guest = string_of(scenario->root, "the scenario", "guest");
        if (guest && strcmp(guest, "obeys") != 0 && strcmp(guest, "ignores") != 0)
                die("scenario: 'guest' is 'obeys' or 'ignores'");
        scenario->guest_ignores = guest && *guest == 'i';
}

void scenario_read(struct scenario *scenario, const char *path)
{
        json_error_t why;
        json_t *root = path ? json_load_file(path, JSON_REJECT_DUPLICATES, &why) : json_object();

        if (!root)
                die("%s:%d:%d: %s", path, why.line, why.column, why.text);
        read_root(scenario, root);
}

void scenario_of_fault(struct scenario *scenario, const char *name)
{
        read_root(scenario, json_pack("{s:[{s:s}]}", "faults", "fault", name));
}
