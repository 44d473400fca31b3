#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/fake/fake.h"

#define MIB (1024u * 1024)

/* One row is the whole truth: --list-faults, the scenario's reader and docs/fake-qemu.md read it. */
static const struct fault_row rows[] = {
        /* the greeting */
        { GREETING_MISSING, "greeting-missing", PLACE_CONNECT, .times = 1,
          .doc = "connects and never greets" },
        { GREETING_LATE, "greeting-late", PLACE_CONNECT, .times = 1, .ms = 1500, .doc = "greets after ms" },
        { GREETING_GARBAGE, "greeting-garbage", PLACE_CONNECT, .times = 1,
          .doc = "an SSH banner where the greeting should be" },
        { GREETING_TWICE, "greeting-twice", PLACE_CONNECT, .times = 1, .doc = "greets twice" },
        { GREETING_HALF, "greeting-half", PLACE_CONNECT, .times = 1, .doc = "half a greeting, then nothing" },
        { GREETING_OTHER, "greeting-other", PLACE_CONNECT, .times = 1,
          .doc = "an object that is no greeting" },
        { GREETING_HANG_UP, "greeting-hang-up", PLACE_CONNECT, .times = 1,
          .doc = "closes the connection instead of greeting" },

        /* replies */
        { SILENCE, "silence", PLACE_REPLY, .doc = "the command is not carried out and not answered" },
        { NO_REPLY, "no-reply", PLACE_REPLY, .times = 1,
          .doc = "the command is carried out, its reply lost" },
        { HALF_LINE, "half-line", PLACE_REPLY, .times = 1,
          .doc = "half a reply; what follows it goes out behind it" },
        { BYTE_BY_BYTE, "byte-by-byte", PLACE_REPLY, .ms = 1, .doc = "one byte, then ms of rest, and so on" },
        { WRONG_ID, "wrong-id", PLACE_REPLY, .times = 1, .doc = "the reply has the id of no command" },
        { NO_ID, "no-id", PLACE_REPLY, .times = 1, .doc = "the reply has no id" },
        { ID_OTHER_TYPE, "id-other-type", PLACE_REPLY, .times = 1, .doc = "the id comes back as a string" },
        { REPLY_TWICE, "reply-twice", PLACE_REPLY, .doc = "each reply comes twice" },
        { REPLY_LATE, "reply-late", PLACE_REPLY, .times = 1, .ms = 6000, .doc = "the reply comes after ms" },
        { REORDERED, "reordered", PLACE_REPLY, .ms = 300,
          .doc = "the reply comes behind the next command's, at the latest after ms" },
        { STRAY_REPLY, "stray-reply", PLACE_REPLY, .doc = "a reply that nobody asked for comes first" },
        { EVENT_HUGE, "event-huge", PLACE_REPLY, .count = 65536,
          .doc = "an event of count bytes comes first" },
        { EVENT_FLOOD, "event-flood", PLACE_REPLY, .times = 1, .count = 5000,
          .doc = "count events come first" },
        { EVENT_ODD, "event-odd", PLACE_REPLY, .times = 1,
          .doc = "known events with data of the wrong type, or none, come first" },
        { EVENTS_AFTER_REPLY, "events-after-reply", PLACE_REPLY,
          .doc = "the events of a command come after its reply, not before it" },
        { DEEP, "deep", PLACE_REPLY, .times = 1, .count = 10000, .doc = "a reply that nests count deep" },
        { HUGE_REPLY, "huge-reply", PLACE_REPLY, .times = 1, .count = 1024,
          .doc = "a reply of count MiB, made as it is sent" },
        { BLANKS, "blanks", PLACE_REPLY, .times = 1, .count = 64, .doc = "count MiB of blanks come first" },
        { HANG_UP, "hang-up", PLACE_REPLY, .times = 1, .doc = "closes the connection after the reply" },
        { HANG_UP_BEFORE, "hang-up-before", PLACE_REPLY, .times = 1,
          .doc = "closes the connection instead of answering" },
        { CRASH, "crash", PLACE_REPLY, .doc = "SIGSEGV instead of the reply" },
        { EXIT, "exit", PLACE_REPLY, .doc = "says text on stderr and exits with status (1)" },
        { EXIT_CLEAN, "exit-clean", PLACE_REPLY, .doc = "exits with 0 and says nothing" },
        { STOP_SELF, "stop", PLACE_REPLY, .times = 1, .doc = "stops itself (SIGSTOP) before the reply" },
        { ERROR_CLASS, "error-class", PLACE_REPLY, .times = 1, .doc = "an error of an unknown class" },
        { ERROR_ODD, "error-odd", PLACE_REPLY, .times = 1, .doc = "an error that is a number" },
        { REFUSED, "refused", PLACE_REPLY, .times = 1, .doc = "a GenericError with text; not carried out" },
        { NOT_AN_OBJECT, "not-an-object", PLACE_REPLY, .times = 1, .doc = "the reply is an array" },
        { RETURN_ODD, "return-odd", PLACE_REPLY, .times = 1, .doc = "\"return\" is a number" },
        { HUGE_INTEGERS, "huge-integers", PLACE_REPLY,
          .doc = "the reply has integers of 20, 40 and 400 digits" },
        { BAD_UTF8, "bad-utf8", PLACE_REPLY, .times = 1, .doc = "a string that is no UTF-8" },
        { NUL_BYTES, "nul-bytes", PLACE_REPLY, .times = 1, .doc = "NUL bytes inside the reply" },
        { DUPLICATE_KEYS, "duplicate-keys", PLACE_REPLY, .times = 1,
          .doc = "\"return\" and \"id\" come twice" },
        { NO_NEWLINE, "no-newline", PLACE_REPLY, .doc = "no line end after replies" },
        { NEVER_READS, "never-reads", PLACE_READ, .doc = "reads nothing more once the command has come" },
        { SLOW_READER, "slow-reader", PLACE_READ, .ms = 5, .count = 1, .doc = "reads count bytes, rests ms" },

        /* QEMU and the guest */
        { QUIT_IGNORED, "quit-ignored", PLACE_MODEL, "quit", .doc = "answers quit and does not end" },
        { TERM_IGNORED, "term-ignored", PLACE_MODEL, .doc = "ignores SIGTERM" },
        { GUEST_IGNORES, "guest-ignores", PLACE_MODEL, .doc = "the guest hears neither button nor agent" },
        { GUEST_PANICS, "guest-panics", PLACE_MODEL, .doc = "asked to power off, the guest panics" },
        { GUEST_RESETS, "guest-resets", PLACE_MODEL, .times = 1, .count = 3,
          .doc = "asked to power off, the guest resets count times" },
        { GUEST_OFF, "guest-off", PLACE_MODEL, "cont", .ms = 200,
          .doc = "the guest powers off ms after cont" },
        { SHUTDOWN_TWICE, "shutdown-twice", PLACE_MODEL, .doc = "the SHUTDOWN event comes twice" },
        { DELETED_LATE, "device-deleted-late", PLACE_MODEL, "device_del", .ms = 6000,
          .doc = "DEVICE_DELETED comes after ms" },
        { DELETED_NEVER, "device-deleted-never", PLACE_MODEL, "device_del",
          .doc = "DEVICE_DELETED never comes" },
        { DELETED_TWICE, "device-deleted-twice", PLACE_MODEL, "device_del",
          .doc = "DEVICE_DELETED comes twice" },
        { UNPLUG_REFUSED, "unplug-refused", PLACE_MODEL, "device_del",
          .doc = "DEVICE_UNPLUG_GUEST_ERROR in place of DEVICE_DELETED" },

        /* the agent */
        { AGENT_NOT_THERE, "agent-absent", PLACE_MODEL, .doc = "the agent never opens its port" },
        { AGENT_SILENT, "agent-silent", PLACE_AGENT, .doc = "reads requests and never answers" },
        { AGENT_LATE, "agent-late", PLACE_AGENT, .ms = 6000, .doc = "answers after ms" },
        { AGENT_NOISE, "agent-noise", PLACE_AGENT, .count = 4096, .doc = "count bytes of noise come first" },
        { AGENT_OLD_ANSWER, "agent-old-answer", PLACE_AGENT,
          .doc = "the answer to an older request comes first" },
        { AGENT_HALF, "agent-half", PLACE_AGENT, .doc = "half an answer" },
        { AGENT_NO_FF, "agent-no-ff", PLACE_AGENT, .doc = "answers guest-sync-delimited without 0xFF" },
        { AGENT_WRONG_SYNC, "agent-wrong-sync", PLACE_AGENT, .doc = "the number of a sync is another" },
        { AGENT_CLOSES, "agent-closes", PLACE_AGENT, .doc = "closes its port instead of answering" },
        { AGENT_FLAPS, "agent-flaps", PLACE_AGENT, .times = 1, .count = 200,
          .doc = "its port closes and opens count times" },
        { AGENT_HANGS_UP, "agent-hangs-up", PLACE_AGENT, .times = 1,
          .doc = "QEMU closes the agent's socket" },
        { AGENT_HUGE, "agent-huge", PLACE_AGENT, .times = 1, .count = 64, .doc = "an answer of count MiB" },
        { AGENT_DEEP, "agent-deep", PLACE_AGENT, .count = 10000, .doc = "an answer that nests count deep" },
        { AGENT_FLOOD, "agent-flood", PLACE_AGENT, .times = 1, .count = 10000,
          .doc = "count answers come first" },
        { AGENT_BYTE_BY_BYTE, "agent-byte-by-byte", PLACE_AGENT, .ms = 1,
          .doc = "one byte, then ms of rest" },
        { AGENT_ODD, "agent-odd", PLACE_AGENT,
          .doc = "answers that are no objects, or have neither return nor error" },
        { AGENT_ERROR, "agent-error", PLACE_AGENT, .doc = "refuses everything but a sync" },
        { AGENT_NEVER_READS, "agent-never-reads", PLACE_AGENT, .doc = "opens its port and reads nothing" },
        { AGENT_STOPS_QEMU, "agent-stops-qemu", PLACE_AGENT, .times = 1,
          .doc = "QEMU stops itself (SIGSTOP) while the agent is asked" },
        { FREEZE_LATE, "freeze-late", PLACE_AGENT, "guest-fsfreeze-freeze", .ms = 6000,
          .doc = "frozen at once, answered after ms" },
        { FREEZE_FAILS, "freeze-fails", PLACE_AGENT, "guest-fsfreeze-freeze", .doc = "freezing is refused" },
        { THAW_FAILS, "thaw-fails", PLACE_AGENT, "guest-fsfreeze-thaw", .times = 2,
          .doc = "thawing is refused, and the guest stays frozen" },
};

const struct fault_row *fault_row_find(const char *name)
{
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (strcmp(rows[i].name, name) == 0)
                        return &rows[i];
        return NULL;
}

void fault_list(void)
{
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                printf("%s\t%s\n", rows[i].name, rows[i].doc);
}

static bool strikes(struct fault *fault, const char *command)
{
        if (fault->command && (!command || strcmp(fault->command, command) != 0))
                return false;
        fault->seen++;
        return fault->seen >= fault->nth && (!fault->times || fault->seen < fault->nth + fault->times);
}

struct fault *fault_hit(struct fake *fake, enum place place, const char *command)
{
        for (size_t i = 0; i < fake->scenario.n_faults; i++) {
                struct fault *fault = &fake->scenario.faults[i];

                if (fault->row->place == place && strikes(fault, command))
                        return fault;
        }
        return NULL;
}

struct fault *fault_hit_kind(struct fake *fake, enum fault_kind kind, const char *command)
{
        for (size_t i = 0; i < fake->scenario.n_faults; i++) {
                struct fault *fault = &fake->scenario.faults[i];

                if (fault->row->kind == kind && strikes(fault, command))
                        return fault;
        }
        return NULL;
}

char *fault_dump(const json_t *value)
{
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

        if (!text)
                die("a reply is no JSON");
        return text;
}

char *fault_line(const json_t *value, const char *end)
{
        _cleanup_free_ char *text = fault_dump(value);

        return xasprintf("%s%s", text, end);
}

/* Never held in memory as a whole. */
void fault_send_long(struct wire *wire, const char *before, unsigned mib, char filler, const char *after)
{
        _cleanup_free_ char *block = xmalloc(65536);

        memset(block, filler, 65536);
        wire_send_text(wire, before);
        wire_send(wire, block, 65536, (uint64_t)mib * (MIB / 65536));
        wire_send_text(wire, after);
}

void fault_stop_self(void *data)
{
        (void)data;
        raise(SIGSTOP);
}
