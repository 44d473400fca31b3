/*
 * The guest agent's side of the channel. The first byte says what is asked: bits 0 to 2 which request, bit 3 a second
 * one behind it, bit 4 a thaw that overtakes them, bit 5 the port closes at the end. Then come pieces with a byte 0x1e
 * between them, each written when the client has said all it wants to say; a byte 0x1f in one becomes the number of the
 * last sync, so that a fuzzer gets past it.
 *
 * Every request ends in exactly one callback.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/text.h"
#include "qmp/qga_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct conversation {
        struct loop *loop;
        struct qga_client *client;
        int peer;
        char number[32];
        unsigned asked, answered;
};

static void on_reply(json_t *reply, const struct error *error, void *data)
{
        struct conversation *c = data;

        if (!reply == !error)
                abort();
        c->answered++;
}

static void ask(struct conversation *c, unsigned what)
{
        c->asked++;
        switch (what) {
        case 0:
                qga_client_ping(c->client, 1000, on_reply, c);
                break;
        case 1:
                qga_client_call(c->client, "guest-info", NULL, 1000, on_reply, c);
                break;
        case 2:
                qga_client_shutdown(c->client, "powerdown", on_reply, c);
                break;
        case 3:
                qga_client_freeze(c->client, 1000, on_reply, c);
                break;
        case 4:
                qga_client_freeze_status(c->client, 1000, on_reply, c);
                break;
        case 5:
                qga_client_sync_time(c->client, 1000, on_reply, c);
                break;
        case 6:
                qga_client_thaw(c->client, 1000, on_reply, c);
                break;
        default:
                qga_client_call(c->client, "guest-exec", json_pack("{s:s}", "path", "true"), 1, on_reply, c);
                break;
        }
}

/* Lets the client speak and keeps the number of its last sync. */
static void hear(struct conversation *c)
{
        char said[4096];
        ssize_t n;

        for (int i = 0; i < 4; i++)
                loop_step(c->loop, 0);
        while ((n = recv(c->peer, said, sizeof(said) - 1, MSG_DONTWAIT)) > 0) {
                said[n] = '\0';
                for (char *at = said; (at = strstr(at, "\"id\":")); at++)
                        snprintf(c->number, sizeof(c->number), "%.*s", (int)strspn(at + 5, " 0123456789"),
                                 at + 5);
        }
}

static void say(struct conversation *c, const uint8_t *piece, size_t n)
{
        _cleanup_text_ struct text text = TEXT_INIT;

        for (size_t i = 0; i < n; i++)
                if (piece[i] == 0x1f)
                        text_add(&text, c->number);
                else
                        text_add_bytes(&text, &piece[i], 1);
        if (text.length && send(c->peer, text.data, text.length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                return;
        hear(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct conversation c = { .loop = loop_new(), .number = "0" };
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                abort();
        c.peer = fds[1];
        c.client = qga_client_new(c.loop, fds[0], NULL, NULL);
        if (size > 0) {
                ask(&c, data[0] & 7);
                if (data[0] & 8)
                        ask(&c, (data[0] & 7) ^ 1);
                hear(&c);
                if (data[0] & 16) {
                        ask(&c, 6);
                        hear(&c);
                }
                for (size_t at = 1; at < size;) {
                        const uint8_t *end = memchr(data + at, 0x1e, size - at);
                        size_t n = end ? (size_t)(end - data) - at : size - at;

                        say(&c, data + at, n);
                        at += n + 1;
                }
                if (data[0] & 32)
                        qga_client_set_open(c.client, false);
                if (data[0] & 64) {
                        shutdown(c.peer, SHUT_RDWR);
                        ask(&c, 0);
                }
                if (data[0] & 128) {
                        for (int i = 0; i < 20; i++)
                                ask(&c, 0);
                        /* The deadline of 1 ms of a guest-exec. */
                        usleep(2000);
                }
                hear(&c);
        }
        qga_client_free(c.client);
        if (c.asked != c.answered)
                abort();
        close(c.peer);
        loop_free(c.loop);
        return 0;
}
