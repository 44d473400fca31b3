#include <string.h>

#include "tests/fake/fake.h"

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
        body = fault_line(reply, "\n");
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
                wire_send_text(wire, fake->old_answer ? fake->old_answer : "\xff{\"return\":12345}\n");
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
                wire_send_text(wire, start);
                fault_send_long(wire, "{\"return\":\"", fault->count, 'a', "\"}\n");
                return;
        case AGENT_DEEP:
                wire_send_text(wire, start);
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
                        wire_send_text(wire, "7 \"x\" [] null {\"returns\":{}}\n{\"error\":7}\n");
                        return;
                }
                break;
        case AGENT_STOPS_QEMU:
                wire_then(wire, fault_stop_self, NULL);
                break;
        default:
                break;
        }
        wire_send_text(wire, text);
        free(fake->old_answer);
        fake->old_answer = TAKE_PTR(text);
}
