/*
 * What a client writes to the control socket. The first byte: bit 0 QEMU's connection is up, bit 1 QEMU refuses, bit 2 QEMU
 * answers only what the input says, bit 3 an fd comes first, bit 4 the client is gone before its answers, bit 5 commands
 * of our own are answered later, bit 6 capabilities are negotiated first, bit 7 QEMU answers with a list. After a byte
 * 0x1e QEMU says what follows, up to the next one; a byte 0x1f alone there: it takes too long; 0x1d: clients are held for
 * a moment, as for another program.
 *
 * The client gets JSON lines only, and everything is freed.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "launcher/run/control.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A little more than a query may take. */
#define QUERY_MS 520
#define GREETING \
        "{\"QMP\":{\"version\":{\"qemu\":{\"major\":7,\"minor\":2,\"micro\":0},\"package\":\"\"},\"capabilities\":[]}}\n"

struct scene {
        struct loop *loop;
        struct control *control;
        struct qmp_client *qmp;
        int qemu, client;
        bool refuses, later, mute, lists;
        unsigned answers, cut_off, gone;
        struct control_call *owed;
};

static json_t *on_own(const struct control_command *command, json_t *arguments, int *fds, size_t n_fds,
                      const struct control_peer *peer, void *data, struct error **err)
{
        struct scene *scene = data;

        (void)fds, (void)n_fds, (void)peer;
        if (scene->later && !scene->owed) {
                scene->owed = control_answer_later(scene->control);
                return NULL;
        }
        if (json_object_get(arguments, "fail")) {
                static const enum error_code codes[] = { ERROR_GUEST,    ERROR_NOT_PERMITTED,
                                                         ERROR_DEADLINE, ERROR_FAILED,
                                                         ERROR_BUSY,     ERROR_NOT_RUNNING,
                                                         ERROR_INVALID,  ERROR_HOST };
                json_int_t which = json_integer_value(json_object_get(arguments, "fail"));

                error_set(err, codes[(size_t)which % ARRAY_SIZE(codes)], "it is so");
                return NULL;
        }
        if (json_object_get(arguments, "large")) {
                /* More than a client may have to read. */
                _cleanup_free_ char *text = xcalloc(1, CONTROL_MAX_QUEUE + 1);

                memset(text, 'x', CONTROL_MAX_QUEUE);
                return json_pack("{s:s}", "large", text);
        }
        return json_pack("{s:s}", "command", command->name);
}

static struct qmp_client *on_forward(const struct control_command *command, const struct control_peer *peer,
                                     void *data, struct error **err)
{
        struct scene *scene = data;

        (void)command;
        (void)peer;
        if (!scene->qmp)
                error_set(err, ERROR_BUSY, "QEMU does not answer");
        return scene->qmp;
}

static struct qmp_client *on_clean_up(void *data)
{
        return ((struct scene *)data)->qmp;
}

static void on_answer(bool in_time, void *data)
{
        (void)in_time;
        ((struct scene *)data)->answers++;
}

static void on_cut_off(const struct control_peer *peer, const char *why, void *data)
{
        if (!why || !peer)
                abort();
        ((struct scene *)data)->cut_off++;
}

static void on_gone(const struct control_peer *peer, void *data)
{
        (void)peer;
        ((struct scene *)data)->gone++;
}

static void on_late(const char *command, json_int_t id, json_t *reply, void *data)
{
        control_late(((struct scene *)data)->control, command, id, reply);
}

static void on_ready(json_t *greeting, void *data)
{
        control_set_greeting(((struct scene *)data)->control, greeting);
}

static void on_event(const char *name, json_t *event_data, json_t *event, void *data)
{
        (void)name;
        (void)event_data;
        control_broadcast(((struct scene *)data)->control, event);
}

static void on_wire(const struct control_peer *peer, bool sent, const json_t *message, void *data)
{
        (void)sent;
        (void)data;
        if (!peer || !json_is_object(message))
                abort();
}

static int connect_client(int dir)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/control.sock", dir);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                abort();
        return fd;
}

static void turn(struct scene *scene)
{
        char said[65536];
        ssize_t n;

        for (int i = 0; i < 4; i++)
                loop_step(scene->loop, 0);
        /* QEMU answers each command that has come; ids are qmp_client's, in this order. */
        n = scene->qemu < 0 ? 0 : recv(scene->qemu, said, sizeof(said) - 1, MSG_DONTWAIT);
        said[n > 0 ? n : 0] = '\0';
        for (char *at = scene->mute ? NULL : said; at && (at = strstr(at, "\"id\":")); at++) {
                const char *value = scene->lists ? "[{\"name\":\"stop\"},{\"name\":\"no-such\"},7]" : "{}";
                long id = strtol(at + 5, NULL, 10);
                _cleanup_free_ char *reply =
                        scene->refuses
                                ? xasprintf(
                                          "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"},\"id\":%ld}\n",
                                          id)
                                : xasprintf("{\"return\":%s,\"id\":%ld}\n", value, id);

                (void)!send(scene->qemu, reply, strlen(reply), MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        for (int i = 0; i < 4; i++)
                loop_step(scene->loop, 0);
}

static void send_to(int fd, const void *bytes, size_t n)
{
        if (fd >= 0 && n)
                (void)!send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* What the client was told is lines of JSON objects. */
static void check_answers(int fd)
{
        _cleanup_text_ struct text said = TEXT_INIT;
        char piece[65536];
        ssize_t n;

        while ((n = recv(fd, piece, sizeof(piece), MSG_DONTWAIT)) > 0)
                text_add_bytes(&said, piece, (size_t)n);
        for (const char *line = said.data, *end; line && (end = strchr(line, '\n')); line = end + 1) {
                json_t *message = json_loadb(line, (size_t)(end - line), JSON_ALLOW_NUL, NULL);

                if (!json_is_object(message))
                        abort();
                json_decref(message);
        }
}

static void begin(struct scene *scene, unsigned how, const struct control_roles *roles)
{
        static const struct control_handlers handlers = { .on_own = on_own,
                                                          .on_forward = on_forward,
                                                          .on_clean_up = on_clean_up,
                                                          .on_answer = on_answer,
                                                          .on_cut_off = on_cut_off,
                                                          .on_gone = on_gone,
                                                          .on_wire = on_wire };
        static const struct qmp_client_handlers wire = { .on_ready = on_ready,
                                                         .on_event = on_event,
                                                         .on_late = on_late };
        struct error *err = NULL;
        int listener = -1, pair[2];

        scene->loop = loop_new();
        scene->qemu = -1;
        scene->refuses = how & 2;
        scene->later = how & 32;
        scene->lists = how & 128;
        if (control_listen(scratch_directory(), "control.sock", &listener, &err) < 0)
                abort();
        scene->control = control_new(scene->loop, listener, "fuzz", "0123", roles, &handlers, scene);
        if (how & 1) {
                if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                        abort();
                scene->qemu = pair[1];
                scene->qmp = qmp_client_new(scene->loop, pair[0], 1000, &wire, scene);
                send_to(scene->qemu, GREETING, strlen(GREETING));
                turn(scene);
        }
        scene->mute = how & 4;
        scene->client = connect_client(scratch_directory());
        turn(scene);
}

/* More clients than are taken, and places where nothing can listen. */
static void check_places(struct scene *scene)
{
        static const char *const long_name =
                "a-name-that-is-longer-than-the-place-that-a-socket-address-has-for-"
                "it-which-is-one-hundred-and-eight-bytes";
        _cleanup_error_ struct error *err = NULL;
        int clients[CONTROL_CLIENTS + 2], fd = -1;

        for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
                clients[i] = connect_client(scratch_directory());
                turn(scene);
        }
        if (scene->control && control_is_flushed(scene->control))
                check_answers(clients[CONTROL_CLIENTS + 1]);
        for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
                close(clients[i]);
        for (size_t i = 0; i < CONTROL_CLIENTS; i++)
                turn(scene);
        if (control_listen(scratch_directory(), long_name, &fd, &err) == 0)
                abort();
        error_free(TAKE_PTR(err));
        if (control_listen(-1, "control.sock", &fd, &err) == 0)
                abort();
        error_free(TAKE_PTR(err));
        if (mkdirat(scratch_directory(), "place", 0700) < 0 ||
            control_listen(scratch_directory(), "place", &fd, &err) == 0 ||
            unlinkat(scratch_directory(), "place", AT_REMOVEDIR) < 0)
                abort();
        control_free(NULL);
}

/* What they say meanwhile is read afterwards. */
static void hold(struct scene *scene)
{
        static const char query[] = "{\"execute\":\"query-status\",\"id\":\"held\"}\n";

        control_hold(scene->control, true);
        send_to(scene->client, query, strlen(query));
        turn(scene);
        control_hold(scene->control, false);
        turn(scene);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct control_roles roles = { .own_uid = geteuid(),
                                             .vm_uid = 1900000017,
                                             .operator_gid = GROUP_ABSENT,
                                             .monitor_gid = GROUP_ABSENT };
        struct scene scene = { 0 };
        unsigned how = size ? data[0] : 0;
        bool to_qemu = false;

        begin(&scene, how, &roles);
        if (size == 0)
                check_places(&scene);
        if (how & 8) {
                struct error *err = NULL;
                int null_fd = 0;

                if (fd_send(scene.client, "\n", 1, &null_fd, 1, &err) < 0)
                        abort();
        }
        if (how & 64)
                send_to(scene.client, "{\"execute\":\"qmp_capabilities\"}\n", 31);
        for (size_t at = 1; at < size;) {
                const uint8_t *end = memchr(data + at, 0x1e, size - at);
                size_t n = end ? (size_t)(end - data) - at : size - at;

                if (to_qemu && n == 1 && data[at] == 0x1f)
                        usleep(QUERY_MS * 1000);
                else if (to_qemu && n == 1 && data[at] == 0x1d)
                        hold(&scene);
                else
                        send_to(to_qemu ? scene.qemu : scene.client, data + at, n);
                turn(&scene);
                to_qemu = !to_qemu;
                at += n + 1;
        }
        if (how & 16) {
                close(scene.client);
                scene.client = -1;
                turn(&scene);
        }
        if (scene.owed)
                control_answer(scene.owed, json_string("later"), NULL);
        control_event(scene.control, "VMLAUNCH_STORY", json_object());
        control_shown(scene.control, SHOWS_DEVICES);
        control_unsettled(scene.control, NULL);
        control_disconnected(scene.control);
        control_finish(scene.control);
        turn(&scene);
        control_is_flushed(scene.control);
        if (scene.client >= 0)
                check_answers(scene.client);
        control_free(scene.control);
        if (size > 0 && scene.gone > 1)
                abort();
        qmp_client_free(scene.qmp);
        loop_free(scene.loop);
        if (scene.client >= 0)
                close(scene.client);
        if (scene.qemu >= 0)
                close(scene.qemu);
        return 0;
}
