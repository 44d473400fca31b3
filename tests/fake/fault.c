#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

static void send_text(struct wire *wire, const char *text)
{
        wire_send(wire, text, strlen(text), 1);
}

static void hang_up_qmp(void *data)
{
        struct fake *fake = data;

        hang_up(&fake->qmp);
}

void fault_greet(struct fake *fake, const char *greeting)
{
        const struct fault *fault = fault_hit(fake, PLACE_CONNECT, NULL);
        struct wire *wire = fake->qmp.wire;

        switch (fault ? fault->row->kind : 0) {
        case GREETING_MISSING:
                break;
        case GREETING_LATE:
                wire_pause(wire, fault->ms);
                send_text(wire, greeting);
                break;
        case GREETING_GARBAGE:
                send_text(wire, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
                break;
        case GREETING_TWICE:
                send_text(wire, greeting);
                send_text(wire, greeting);
                break;
        case GREETING_HALF:
                wire_send(wire, greeting, strlen(greeting) / 2, 1);
                break;
        case GREETING_OTHER:
                send_text(wire, "{\"return\": {}}\r\n");
                break;
        case GREETING_HANG_UP:
                wire_then(wire, hang_up_qmp, fake);
                break;
        default:
                send_text(wire, greeting);
                break;
        }
}

bool fault_lets_run(const struct fault *fault)
{
        switch (fault ? fault->row->kind : 0) {
        case SILENCE:
        case REFUSED:
        case HANG_UP_BEFORE:
        case CRASH:
        case EXIT:
        case EXIT_CLEAN:
                return false;
        default:
                return true;
        }
}

static char *dump(const json_t *value)
{
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

        if (!text)
                die("a reply is no JSON");
        return text;
}

static char *line(const json_t *value, const char *end)
{
        _cleanup_free_ char *text = dump(value);

        return xasprintf("%s%s", text, end);
}

/* {"id":7,"return":TEXT} */
static char *with_return(const json_t *reply, const char *text)
{
        _cleanup_free_ char *id = json_object_get(reply, "id") ? dump(json_object_get(reply, "id")) : NULL;

        return id ? xasprintf("{\"return\":%s,\"id\":%s}\r\n", text, id)
                  : xasprintf("{\"return\":%s}\r\n", text);
}

static void send_return(struct wire *wire, const json_t *reply, const char *text)
{
        _cleanup_free_ char *whole = with_return(reply, text);

        send_text(wire, whole);
}

static void send_error(struct wire *wire, const json_t *reply, const char *class, const char *desc)
{
        json_auto_t *refusal = json_pack("{s:{s:s, s:s}}", "error", "class", class, "desc", desc);
        _cleanup_free_ char *text = NULL;

        if (json_object_get(reply, "id"))
                json_object_set(refusal, "id", json_object_get(reply, "id"));
        text = line(refusal, "\r\n");
        send_text(wire, text);
}

static void send_deep(struct wire *wire, const json_t *reply, unsigned depth)
{
        _cleanup_free_ char *id =
                json_object_get(reply, "id") ? dump(json_object_get(reply, "id")) : xstrdup("0");
        _cleanup_free_ char *end = xasprintf(",\"id\":%s}\r\n", id);

        send_text(wire, "{\"return\":");
        wire_send(wire, "[", 1, depth);
        wire_send(wire, "]", 1, depth);
        send_text(wire, end);
}

/* Never held in memory as a whole. */
static void send_long(struct wire *wire, const char *before, unsigned mib, char filler, const char *after)
{
        _cleanup_free_ char *block = xmalloc(65536);

        memset(block, filler, 65536);
        send_text(wire, before);
        wire_send(wire, block, 65536, (uint64_t)mib * (MIB / 65536));
        send_text(wire, after);
}

static void send_huge(struct wire *wire, const json_t *reply, unsigned mib)
{
        _cleanup_free_ char *id =
                json_object_get(reply, "id") ? dump(json_object_get(reply, "id")) : xstrdup("0");
        _cleanup_free_ char *after = xasprintf("\",\"id\":%s}\r\n", id);

        send_long(wire, "{\"return\":\"", mib, 'a', after);
}

static void send_event_of(struct wire *wire, size_t bytes)
{
        _cleanup_free_ char *filler = xmalloc(bytes + 1), *text = NULL;

        memset(filler, 'x', bytes);
        filler[bytes] = '\0';
        text = xasprintf("{\"timestamp\":{\"seconds\":1,\"microseconds\":2},\"event\":\"FAKE_HUGE\",\"data\":"
                         "{\"filler\":\"%s\"}}\r\n",
                         filler);
        send_text(wire, text);
}

static void send_odd_events(struct wire *wire)
{
        static const char *const names[] = { "SHUTDOWN",       "RESET",  "STOP", "VSERPORT_CHANGE",
                                             "DEVICE_DELETED", "RESUME", "",     "\\u0007" };
        static const char *const contents[] = {
                "", ",\"data\":null", ",\"data\":7", ",\"data\":[]",
                ",\"data\":{\"id\":7,\"open\":\"yes\",\"guest\":1,\"reason\":[]}"
        };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                for (size_t k = 0; k < ARRAY_SIZE(contents); k++) {
                        /* A STOP stays one whatever its data: a RESUME behind it. */
                        _cleanup_free_ char *text =
                                xasprintf("{\"event\":\"%s\"%s}\r\n", names[i], contents[k]);

                        send_text(wire, text);
                }
        send_text(wire, "{\"event\":7}\r\n{\"event\":null,\"timestamp\":[]}\r\n{\"event\":{}}\r\n{}\r\n");
}

static void say_and_exit(const struct fault *fault)
{
        fprintf(stderr, "qemu-system-x86_64: %s\n",
                fault->text ? fault->text : "the disk of cards is missing");
        _exit((int)fault->status);
}

static void stop_self(void *data)
{
        (void)data;
        raise(SIGSTOP);
}

static void let_go(void *data)
{
        struct fake *fake = data;

        if (fake->held)
                send_text(fake->qmp.wire, fake->held);
        free(TAKE_PTR(fake->held));
}

static void let_go_later(struct fake *fake, void *data)
{
        (void)data;
        let_go(fake);
}

static void send_events(struct wire *wire, const json_t *events)
{
        size_t i;
        json_t *event;

        json_array_foreach ((json_t *)events, i, event) {
                _cleanup_free_ char *text = line(event, "\r\n");

                send_text(wire, text);
        }
}

void fault_reply(struct fake *fake, const struct fault *fault, const json_t *events, json_t *reply)
{
        struct wire *wire = fake->qmp.wire;
        enum fault_kind kind = fault ? fault->row->kind : 0;
        _cleanup_free_ char *text = line(reply, kind == NO_NEWLINE ? "" : "\r\n");
        bool was_held = fake->held != NULL;

        if (kind == SILENCE)
                return;
        if (kind == STOP_SELF)
                wire_then(wire, stop_self, NULL);
        if (kind != EVENTS_AFTER_REPLY)
                send_events(wire, events);
        switch (kind) {
        case NO_REPLY:
                break;
        case HALF_LINE:
                wire_send(wire, text, strlen(text) / 2, 1);
                break;
        case BYTE_BY_BYTE:
                wire_send_pieces(wire, text, strlen(text), 1, fault->ms);
                break;
        case WRONG_ID:
                json_object_set_new(reply, "id", json_integer(987654321));
                free(text);
                text = line(reply, "\r\n");
                send_text(wire, text);
                break;
        case NO_ID:
                json_object_del(reply, "id");
                free(text);
                text = line(reply, "\r\n");
                send_text(wire, text);
                break;
        case ID_OTHER_TYPE: {
                _cleanup_free_ char *id =
                        json_object_get(reply, "id") ? dump(json_object_get(reply, "id")) : xstrdup("none");

                json_object_set_new(reply, "id", json_string(id));
                free(text);
                text = line(reply, "\r\n");
                send_text(wire, text);
                break;
        }
        case REPLY_TWICE:
                send_text(wire, text);
                send_text(wire, text);
                break;
        case REPLY_LATE:
                wire_pause(wire, fault->ms);
                send_text(wire, text);
                break;
        case REORDERED:
                if (was_held) {
                        send_text(wire, text);
                } else {
                        fake->held = TAKE_PTR(text);
                        later(fake, fault->ms, let_go_later, NULL);
                }
                break;
        case STRAY_REPLY:
                send_text(wire,
                          "{\"return\":{},\"id\":987654321}\r\n{\"return\":{}}\r\n{\"error\":{\"class\":"
                          "\"GenericError\",\"desc\":\"stray\"}}\r\n");
                send_text(wire, text);
                break;
        case EVENT_HUGE:
                send_event_of(wire, fault->count);
                send_text(wire, text);
                break;
        case EVENT_FLOOD: {
                static const char event[] = "{\"timestamp\":{\"seconds\":1,\"microseconds\":2},\"event\":"
                                            "\"RTC_CHANGE\",\"data\":{\"offset\":1}}\r\n";

                wire_send(wire, event, sizeof(event) - 1, fault->count);
                send_text(wire, text);
                break;
        }
        case EVENT_ODD:
                send_odd_events(wire);
                send_text(wire, text);
                break;
        case EVENTS_AFTER_REPLY:
                send_text(wire, text);
                send_events(wire, events);
                break;
        case DEEP:
                send_deep(wire, reply, fault->count);
                break;
        case HUGE_REPLY:
                send_huge(wire, reply, fault->count);
                break;
        case BLANKS:
                send_long(wire, " ", fault->count, '\n', " ");
                send_text(wire, text);
                break;
        case HANG_UP:
                send_text(wire, text);
                wire_then(wire, hang_up_qmp, fake);
                break;
        case HANG_UP_BEFORE:
                wire_then(wire, hang_up_qmp, fake);
                break;
        case CRASH:
                signal(SIGSEGV, SIG_DFL);
                raise(SIGSEGV);
                break;
        case EXIT:
                say_and_exit(fault);
                break;
        case EXIT_CLEAN:
                _exit(0);
        case ERROR_CLASS:
                send_error(wire, reply, "ClassOfTomorrow", "an error of a class that QEMU 7.2 has not");
                break;
        case REFUSED:
                send_error(wire, reply, "GenericError",
                           fault->text ? fault->text : "refused by the scenario");
                break;
        case ERROR_ODD: {
                json_auto_t *odd = json_pack("{s:i}", "error", 7);

                json_object_set(odd, "id", json_object_get(reply, "id"));
                free(text);
                text = line(odd, "\r\n");
                send_text(wire, text);
                break;
        }
        case NOT_AN_OBJECT:
                send_text(wire, "[");
                wire_send(wire, text, strlen(text) - 2, 1);
                send_text(wire, "]\r\n");
                break;
        case RETURN_ODD:
                send_return(wire, reply, "7");
                break;
        case HUGE_INTEGERS: {
                char digits[401];
                _cleanup_free_ char *value = NULL;

                memset(digits, '9', 400);
                digits[400] = '\0';
                value = xasprintf(
                        "{\"a\":%.20s,\"b\":-%.40s,\"c\":%.300s,\"running\":true,\"status\":\"running\"}",
                        digits, digits, digits);
                send_return(wire, reply, value);
                break;
        }
        case BAD_UTF8:
                send_return(wire, reply, "{\"text\":\"\xc3\x28 \xff\xfe \xed\xa0\x80\"}");
                break;
        case NUL_BYTES:
                wire_send(wire, "{\"return\":{\"a\":\"\0\0\"}}\0\0\r\n", 25, 1);
                break;
        case DUPLICATE_KEYS: {
                _cleanup_free_ char *id =
                        json_object_get(reply, "id") ? dump(json_object_get(reply, "id")) : xstrdup("0");
                _cleanup_free_ char *twice =
                        xasprintf("{\"return\":{},\"return\":{\"a\":1,\"a\":2},\"id\":%s,\"id\":99}\r\n", id);

                send_text(wire, twice);
                break;
        }
        default:
                send_text(wire, text);
                break;
        }
        if (was_held)
                let_go(fake);
}

/* --- the agent --- */

static void close_port(void *data)
{
        agent_open(data, false);
}

static void hang_up_agent(void *data)
{
        struct fake *fake = data;

        hang_up(&fake->agent);
}

static void send_noise(struct wire *wire, unsigned n)
{
        _cleanup_free_ unsigned char *noise = xmalloc(n + 1);
        uint32_t x = 2463534242u;

        for (unsigned i = 0; i < n; i++) {
                /* xorshift32: the same noise each time */
                x ^= x << 13;
                x ^= x >> 17;
                x ^= x << 5;
                noise[i] = (unsigned char)x;
        }
        wire_send(wire, noise, n, 1);
}

void fault_agent_reply(struct fake *fake, const struct fault *fault, json_t *reply, bool delimited)
{
        struct wire *wire = fake->agent.wire;
        enum fault_kind kind = fault ? fault->row->kind : 0;
        const char *start = delimited && kind != AGENT_NO_FF ? "\xff" : "";
        bool sync = json_is_integer(json_object_get(reply, "return"));
        _cleanup_free_ char *body = NULL, *text = NULL;

        if (kind == AGENT_WRONG_SYNC && sync)
                json_object_set_new(reply, "return",
                                    json_integer(json_integer_value(json_object_get(reply, "return")) + 1));
        if ((kind == AGENT_ERROR || kind == FREEZE_FAILS || kind == THAW_FAILS) && !sync) {
                json_object_clear(reply);
                json_object_set_new(
                        reply, "error",
                        json_pack("{s:s, s:s}", "class", "GenericError", "desc", "refused by the scenario"));
        }
        body = line(reply, "\n");
        text = xasprintf("%s%s", start, body);
        switch (kind) {
        case AGENT_SILENT:
        case AGENT_NEVER_READS:
                return;
        case AGENT_LATE:
        case FREEZE_LATE:
                wire_pause(wire, fault->ms);
                break;
        case AGENT_NOISE:
                send_noise(wire, fault->count);
                break;
        case AGENT_OLD_ANSWER:
                send_text(wire, fake->old_answer ? fake->old_answer : "\xff{\"return\":12345}\n");
                break;
        case AGENT_HALF:
                wire_send(wire, text, strlen(text) / 2, 1);
                return;
        case AGENT_CLOSES:
                wire_then(wire, close_port, fake);
                return;
        case AGENT_FLAPS:
                for (unsigned i = 0; i < fault->count; i++) {
                        agent_open(fake, false);
                        agent_open(fake, true);
                }
                break;
        case AGENT_HANGS_UP:
                wire_then(wire, hang_up_agent, fake);
                return;
        case AGENT_HUGE:
                send_text(wire, start);
                send_long(wire, "{\"return\":\"", fault->count, 'a', "\"}\n");
                return;
        case AGENT_DEEP:
                send_text(wire, start);
                wire_send(wire, "{\"return\":", 10, fault->count);
                wire_send(wire, "}", 1, fault->count);
                return;
        case AGENT_FLOOD:
                wire_send(wire, "{\"return\":{}}\n", 14, fault->count);
                break;
        case AGENT_BYTE_BY_BYTE:
                wire_send_pieces(wire, text, strlen(text), 1, fault->ms);
                return;
        case AGENT_ODD:
                if (!sync) {
                        send_text(wire, "7 \"x\" [] null {\"returns\":{}}\n{\"error\":7}\n");
                        return;
                }
                break;
        case AGENT_STOPS_QEMU:
                wire_then(wire, stop_self, NULL);
                break;
        default:
                break;
        }
        send_text(wire, text);
        free(fake->old_answer);
        fake->old_answer = TAKE_PTR(text);
}
