#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/fake/fake.h"

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
                wire_send_text(wire, greeting);
                break;
        case GREETING_GARBAGE:
                wire_send_text(wire, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
                break;
        case GREETING_TWICE:
                wire_send_text(wire, greeting);
                wire_send_text(wire, greeting);
                break;
        case GREETING_HALF:
                wire_send(wire, greeting, strlen(greeting) / 2, 1);
                break;
        case GREETING_OTHER:
                wire_send_text(wire, "{\"return\": {}}\r\n");
                break;
        case GREETING_HANG_UP:
                wire_then(wire, hang_up_qmp, fake);
                break;
        default:
                wire_send_text(wire, greeting);
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

/* {"id":7,"return":TEXT} */
static char *with_return(const json_t *reply, const char *text)
{
        _cleanup_free_ char *id =
                json_object_get(reply, "id") ? fault_dump(json_object_get(reply, "id")) : NULL;

        return id ? xasprintf("{\"return\":%s,\"id\":%s}\r\n", text, id)
                  : xasprintf("{\"return\":%s}\r\n", text);
}

static void send_return(struct wire *wire, const json_t *reply, const char *text)
{
        _cleanup_free_ char *whole = with_return(reply, text);

        wire_send_text(wire, whole);
}

static void send_error(struct wire *wire, const json_t *reply, const char *class, const char *desc)
{
        json_auto_t *refusal = json_pack("{s:{s:s, s:s}}", "error", "class", class, "desc", desc);
        _cleanup_free_ char *text = NULL;

        if (json_object_get(reply, "id"))
                json_object_set(refusal, "id", json_object_get(reply, "id"));
        text = fault_line(refusal, "\r\n");
        wire_send_text(wire, text);
}

static void send_deep(struct wire *wire, const json_t *reply, unsigned depth)
{
        _cleanup_free_ char *id =
                json_object_get(reply, "id") ? fault_dump(json_object_get(reply, "id")) : xstrdup("0");
        _cleanup_free_ char *end = xasprintf(",\"id\":%s}\r\n", id);

        wire_send_text(wire, "{\"return\":");
        wire_send(wire, "[", 1, depth);
        wire_send(wire, "]", 1, depth);
        wire_send_text(wire, end);
}

static void send_huge(struct wire *wire, const json_t *reply, unsigned mib)
{
        _cleanup_free_ char *id =
                json_object_get(reply, "id") ? fault_dump(json_object_get(reply, "id")) : xstrdup("0");
        _cleanup_free_ char *after = xasprintf("\",\"id\":%s}\r\n", id);

        fault_send_long(wire, "{\"return\":\"", mib, 'a', after);
}

static void send_event_of(struct wire *wire, size_t bytes)
{
        _cleanup_free_ char *filler = xmalloc(bytes + 1), *text = NULL;

        memset(filler, 'x', bytes);
        filler[bytes] = '\0';
        text = xasprintf("{\"timestamp\":{\"seconds\":1,\"microseconds\":2},\"event\":\"FAKE_HUGE\",\"data\":"
                         "{\"filler\":\"%s\"}}\r\n",
                         filler);
        wire_send_text(wire, text);
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

                        wire_send_text(wire, text);
                }
        wire_send_text(wire,
                       "{\"event\":7}\r\n{\"event\":null,\"timestamp\":[]}\r\n{\"event\":{}}\r\n{}\r\n");
}

static void say_and_exit(const struct fault *fault)
{
        fprintf(stderr, "qemu-system-x86_64: %s\n",
                fault->text ? fault->text : "the disk of cards is missing");
        _exit((int)fault->status);
}

static void let_go(void *data)
{
        struct fake *fake = data;

        if (fake->held)
                wire_send_text(fake->qmp.wire, fake->held);
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
                _cleanup_free_ char *text = fault_line(event, "\r\n");

                wire_send_text(wire, text);
        }
}

void fault_reply(struct fake *fake, const struct fault *fault, const json_t *events, json_t *reply)
{
        struct wire *wire = fake->qmp.wire;
        enum fault_kind kind = fault ? fault->row->kind : 0;
        _cleanup_free_ char *text = fault_line(reply, kind == NO_NEWLINE ? "" : "\r\n");
        bool was_held = fake->held != NULL;

        if (kind == SILENCE)
                return;
        if (kind == STOP_SELF)
                wire_then(wire, fault_stop_self, NULL);
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
                text = fault_line(reply, "\r\n");
                wire_send_text(wire, text);
                break;
        case NO_ID:
                json_object_del(reply, "id");
                free(text);
                text = fault_line(reply, "\r\n");
                wire_send_text(wire, text);
                break;
        case ID_OTHER_TYPE: {
                _cleanup_free_ char *id = json_object_get(reply, "id")
                                                  ? fault_dump(json_object_get(reply, "id"))
                                                  : xstrdup("none");

                json_object_set_new(reply, "id", json_string(id));
                free(text);
                text = fault_line(reply, "\r\n");
                wire_send_text(wire, text);
                break;
        }
        case REPLY_TWICE:
                wire_send_text(wire, text);
                wire_send_text(wire, text);
                break;
        case REPLY_LATE:
                wire_pause(wire, fault->ms);
                wire_send_text(wire, text);
                break;
        case REORDERED:
                if (was_held) {
                        wire_send_text(wire, text);
                } else {
                        fake->held = TAKE_PTR(text);
                        later(fake, fault->ms, let_go_later, NULL);
                }
                break;
        case STRAY_REPLY:
                wire_send_text(wire,
                               "{\"return\":{},\"id\":987654321}\r\n{\"return\":{}}\r\n{\"error\":{\"class\":"
                               "\"GenericError\",\"desc\":\"stray\"}}\r\n");
                wire_send_text(wire, text);
                break;
        case EVENT_HUGE:
                send_event_of(wire, fault->count);
                wire_send_text(wire, text);
                break;
        case EVENT_FLOOD: {
                static const char event[] = "{\"timestamp\":{\"seconds\":1,\"microseconds\":2},\"event\":"
                                            "\"RTC_CHANGE\",\"data\":{\"offset\":1}}\r\n";

                wire_send(wire, event, sizeof(event) - 1, fault->count);
                wire_send_text(wire, text);
                break;
        }
        case EVENT_ODD:
                send_odd_events(wire);
                wire_send_text(wire, text);
                break;
        case EVENTS_AFTER_REPLY:
                wire_send_text(wire, text);
                send_events(wire, events);
                break;
        case DEEP:
                send_deep(wire, reply, fault->count);
                break;
        case HUGE_REPLY:
                send_huge(wire, reply, fault->count);
                break;
        case BLANKS:
                fault_send_long(wire, " ", fault->count, '\n', " ");
                wire_send_text(wire, text);
                break;
        case HANG_UP:
                wire_send_text(wire, text);
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
                text = fault_line(odd, "\r\n");
                wire_send_text(wire, text);
                break;
        }
        case NOT_AN_OBJECT:
                wire_send_text(wire, "[");
                wire_send(wire, text, strlen(text) - 2, 1);
                wire_send_text(wire, "]\r\n");
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
                _cleanup_free_ char *id = json_object_get(reply, "id")
                                                  ? fault_dump(json_object_get(reply, "id"))
                                                  : xstrdup("0");
                _cleanup_free_ char *twice =
                        xasprintf("{\"return\":{},\"return\":{\"a\":1,\"a\":2},\"id\":%s,\"id\":99}\r\n", id);

                wire_send_text(wire, twice);
                break;
        }
        default:
                wire_send_text(wire, text);
                break;
        }
        if (was_held)
                let_go(fake);
}
