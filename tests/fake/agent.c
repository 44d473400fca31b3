#include <string.h>
#include <time.h>

#include "tests/fake/fake.h"

static json_t *refusal(const char *class, const char *desc)
{
        return json_pack("{s:{s:s, s:s}}", "error", "class", class, "desc", desc);
}

static json_t *freeze(struct fake *fake)
{
        fake->guest_frozen = true;
        return json_integer(1);
}

static json_t *thaw(struct fake *fake)
{
        bool was = fake->guest_frozen;

        fake->guest_frozen = false;
        return json_integer(was);
}

static json_t *frozen_word(struct fake *fake)
{
        return json_string(fake->guest_frozen ? "frozen" : "thawed");
}

static json_t *info(struct fake *fake);

static json_t *nothing(struct fake *fake)
{
        (void)fake;
        return json_object();
}

static json_t *fstrim(struct fake *fake)
{
        (void)fake;
        return json_pack("{s:[{s:s, s:i, s:i}]}", "paths", "path", "/", "trimmed", 4096, "minimum", 0);
}

static json_t *the_time(struct fake *fake)
{
        struct timespec now;

        (void)fake;
        clock_gettime(CLOCK_REALTIME, &now);
        return json_integer((json_int_t)now.tv_sec * 1000000000 + now.tv_nsec);
}

static json_t *host_name(struct fake *fake)
{
        return json_pack("{s:s}", "host-name", fake->name);
}

static json_t *os(struct fake *fake)
{
        (void)fake;
        return json_pack("{s:s, s:s, s:s}", "id", "fake", "name", "Fake Linux", "kernel-release", "6.1.0");
}

static json_t *interfaces(struct fake *fake)
{
        (void)fake;
        return json_pack("[{s:s, s:s, s:[{s:s, s:s, s:i}]}]", "name", "eth0", "hardware-address",
                         "52:54:00:00:00:01", "ip-addresses", "ip-address", "192.0.2.10", "ip-address-type",
                         "ipv4", "prefix", 24);
}

static json_t *power_off(struct fake *fake)
{
        guest_asked(fake, false);
        return NULL;
}

static json_t *run(struct fake *fake)
{
        (void)fake;
        return json_pack("{s:i}", "pid", 4711);
}

static json_t *ran(struct fake *fake)
{
        (void)fake;
        return json_pack("{s:b, s:i, s:s}", "exited", true, "exitcode", 0, "out-data", "ZmFrZQo=");
}

/* while_frozen: the agent's own list of what it does then (qga/commands-posix.c). */
static const struct {
        const char *name;
        bool while_frozen;
        json_t *(*fn)(struct fake *fake);
} commands[] = {
        { "guest-ping", true, nothing },
        { "guest-info", true, info },
        { "guest-fsfreeze-status", true, frozen_word },
        { "guest-fsfreeze-freeze", true, freeze },
        { "guest-fsfreeze-freeze-list", true, freeze },
        { "guest-fsfreeze-thaw", true, thaw },
        { "guest-fstrim", false, fstrim },
        { "guest-set-time", false, nothing },
        { "guest-get-time", false, the_time },
        { "guest-get-host-name", false, host_name },
        { "guest-get-osinfo", false, os },
        { "guest-network-get-interfaces", false, interfaces },
        { "guest-shutdown", false, power_off },
        { "guest-exec", false, run },
        { "guest-exec-status", false, ran },
};

static json_t *info(struct fake *fake)
{
        json_t *list = json_array();

        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                json_array_append_new(list, json_pack("{s:s, s:b, s:b}", "name", commands[i].name, "enabled",
                                                      !fake->guest_frozen || commands[i].while_frozen,
                                                      "success-response", commands[i].fn != power_off));
        return json_pack("{s:s, s:o}", "version", "7.2.0-fake", "supported_commands", list);
}

/* The reply, NULL: this command has none. */
static json_t *obey(struct fake *fake, const char *name, const json_t *arguments)
{
        if (strcmp(name, "guest-sync") == 0 || strcmp(name, "guest-sync-delimited") == 0) {
                const json_t *id = json_object_get(arguments, "id");

                return json_is_integer(id) ? json_pack("{s:O}", "return", id)
                                           : refusal("GenericError", "Parameter 'id' is missing");
        }
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
                json_t *value;

                if (strcmp(commands[i].name, name) != 0)
                        continue;
                if (fake->guest_frozen && !commands[i].while_frozen)
                        return refusal("CommandNotFound",
                                       "the command is disabled while the file systems are frozen");
                if (commands[i].fn == power_off &&
                    strcmp(json_string_value(json_object_get(arguments, "mode")) ?: "powerdown", "reboot") ==
                            0) {
                        guest_asked(fake, true);
                        return NULL;
                }
                value = commands[i].fn(fake);
                return value ? json_pack("{s:o}", "return", value) : NULL;
        }
        return refusal("CommandNotFound", "The command has not been found");
}

void agent_message(json_t *message, void *data)
{
        struct fake *fake = data;
        const char *name = json_string_value(json_object_get(message, "execute"));
        const struct fault *fault = name ? fault_hit(fake, PLACE_AGENT, name) : NULL;
        bool delimited = name && strcmp(name, "guest-sync-delimited") == 0;
        bool refused = fault && (fault->row->kind == FREEZE_FAILS || fault->row->kind == THAW_FAILS);
        json_auto_t *reply = NULL;

        if (!name)
                reply = refusal("GenericError", "QMP input lacks member 'execute'");
        else if (refused)
                reply = json_object();
        else
                reply = obey(fake, name, json_object_get(message, "arguments"));
        if (reply)
                fault_agent_reply(fake, fault, reply, delimited);
}

void agent_connected(struct fake *fake)
{
        /* Bytes wait in the port until the agent opens it. */
        if (!fake->agent_open)
                wire_read_slowly(fake->agent.wire, 0, 0);
}

void agent_open(struct fake *fake, bool open)
{
        if (open && fault_hit_kind(fake, AGENT_NOT_THERE, NULL))
                return;
        if (fake->agent_open == open)
                return;
        fake->agent_open = open;
        if (fake->agent.wire) {
                if (open && !fault_hit_kind(fake, AGENT_NEVER_READS, NULL))
                        wire_read_at_once(fake->agent.wire);
                else
                        wire_read_slowly(fake->agent.wire, 0, 0);
        }
        emit(fake, "VSERPORT_CHANGE", json_pack("{s:s, s:b}", "id", "agent0", "open", open));
}
