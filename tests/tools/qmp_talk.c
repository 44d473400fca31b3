/*
 * qmp_talk - clients that talk all the time: every id has to come back exactly once, and in order per connection.
 *
 * qmp_talk SOCKET CONNECTIONS: each connection keeps some numbered query-status on their way, every line written in two
 * pieces, so that most of the time half a command is underway. One more connection asks for a lot (vmlaunch-status) and
 * reads nothing before the end. At SIGTERM each asks once more, so that it has read all that came before that answer, and
 * what was asked has to be answered within 10 s.
 * Prints "talking" when each has been answered once, and at the end "REPLIES EVENTS": of all connections, and the events
 * named VMLAUNCH_STORY among what they read.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECTIONS_MAX 32
#define WINDOW          4
#define LAZY_WINDOW     120
#define LINE_MAX_BYTES  (1u << 20)
#define END_MS          10000
#define LIFE_S          300

struct talk {
        int fd;
        bool lazy;     /* reads at the end */
        bool has_last; /* has begun its last question */
        unsigned asked, answered;
        char line[128]; /* being written */
        size_t length, written, cut;
        char *input;
        size_t n_input;
};

static unsigned replies, stories, seed = 1;
static volatile sig_atomic_t asked_to_end;

static void on_term(int sig)
{
        (void)sig;
        asked_to_end = 1;
}

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
        va_list ap;

        fputs("qmp_talk: ", stderr);
        va_start(ap, format);
        vfprintf(stderr, format, ap);
        va_end(ap);
        fputc('\n', stderr);
        exit(1);
}

static int connect_to(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (strlen(path) >= sizeof(address.sun_path))
                die("'%s' is too long for a socket", path);
        strcpy(address.sun_path, path);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                die("%s: %s", path, strerror(errno));
        fcntl(fd, F_SETFL, O_NONBLOCK);
        return fd;
}

static void next_line(struct talk *talk)
{
        unsigned number = talk->asked++;

        if (number == 0)
                talk->length = (size_t)snprintf(talk->line, sizeof(talk->line),
                                                "{\"execute\":\"qmp_capabilities\",\"id\":0}\n");
        else
                talk->length =
                        (size_t)snprintf(talk->line, sizeof(talk->line), "{\"execute\":\"%s\",\"id\":%u}\n",
                                         talk->lazy ? "vmlaunch-status" : "query-status", number);
        talk->written = 0;
        talk->cut = 1 + (size_t)rand_r(&seed) % (talk->length - 1);
}

/* One piece of a line at most. */
static void say(struct talk *talk, bool more)
{
        unsigned window = talk->lazy ? LAZY_WINDOW : WINDOW;
        size_t until;
        ssize_t n;

        if (talk->written == talk->length) {
                if (more ? talk->asked - talk->answered >= window : talk->has_last)
                        return;
                talk->has_last = !more;
                next_line(talk);
        }
        until = talk->written < talk->cut ? talk->cut : talk->length;
        n = send(talk->fd, talk->line + talk->written, until - talk->written, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
                die("send: %s", strerror(errno));
        if (n > 0)
                talk->written += (size_t)n;
}

static void take(struct talk *talk, const char *line, size_t length)
{
        json_t *message = json_loadb(line, length, 0, NULL);
        const char *event = json_string_value(json_object_get(message, "event"));
        const json_t *id = json_object_get(message, "id");

        if (!message)
                die("no JSON: %.*s", (int)length, line);
        if (event) {
                stories += strcmp(event, "VMLAUNCH_STORY") == 0;
        } else if (!json_object_get(message, "QMP")) {
                if (!json_object_get(message, "return"))
                        die("refused: %.*s", (int)length, line);
                if (!json_is_integer(id) || json_integer_value(id) != talk->answered)
                        die("expected the answer %u: %.*s", talk->answered, (int)length, line);
                talk->answered++;
                replies++;
        }
        json_decref(message);
}

static void hear(struct talk *talk)
{
        ssize_t n = recv(talk->fd, talk->input + talk->n_input, LINE_MAX_BYTES - talk->n_input, 0);
        char *line = talk->input, *end;

        if (n == 0)
                die("the connection was closed with %u answers owed", talk->asked - talk->answered);
        if (n < 0 && errno != EAGAIN)
                die("receive: %s", strerror(errno));
        if (n < 0)
                return;
        talk->n_input += (size_t)n;
        while ((end = memchr(line, '\n', talk->n_input - (size_t)(line - talk->input)))) {
                take(talk, line, (size_t)(end - line));
                line = end + 1;
        }
        talk->n_input -= (size_t)(line - talk->input);
        memmove(talk->input, line, talk->n_input);
        if (talk->n_input == LINE_MAX_BYTES)
                die("a line is longer than %u bytes", LINE_MAX_BYTES);
}

static bool is_owed(const struct talk *talks, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (!talks[i].has_last || talks[i].asked > talks[i].answered ||
                    talks[i].written < talks[i].length)
                        return true;
        return false;
}

static bool have_all_been_answered(const struct talk *talks, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (!talks[i].answered)
                        return false;
        return true;
}

int main(int argc, char **argv)
{
        static struct talk talks[CONNECTIONS_MAX + 1];
        struct pollfd polled[CONNECTIONS_MAX + 1];
        size_t n = argc == 3 ? (size_t)atoi(argv[2]) : 0;
        bool more = true, is_told = false, silent = false;
        int ready;

        if (n < 1 || n > CONNECTIONS_MAX) {
                fprintf(stderr, "usage: qmp_talk SOCKET CONNECTIONS (1 to %d)\n", CONNECTIONS_MAX);
                return 2;
        }
        n++;
        signal(SIGTERM, on_term);
        /* Whoever forgets it is not kept busy. */
        alarm(LIFE_S);
        for (size_t i = 0; i < n; i++) {
                talks[i] = (struct talk){ .fd = connect_to(argv[1]), .lazy = i == n - 1 };
                talks[i].input = malloc(LINE_MAX_BYTES);
                if (!talks[i].input)
                        die("no memory");
        }
        while (more || (is_owed(talks, n) && !silent)) {
                for (size_t i = 0; i < n; i++) {
                        struct talk *talk = &talks[i];
                        bool reads = !talk->lazy || !more || talk->answered == 0;

                        say(talk, more);
                        polled[i] = (struct pollfd){ .fd = talk->fd, .events = (short)(reads ? POLLIN : 0) };
                        if (talk->written < talk->length)
                                polled[i].events |= POLLOUT;
                }
                /* Asked again at once: the point is a server that is never idle. */
                ready = poll(polled, n, more ? 10 : END_MS);
                for (size_t i = 0; i < n && ready > 0; i++)
                        if (polled[i].revents & (POLLIN | POLLHUP | POLLERR))
                                hear(&talks[i]);
                silent = !more && ready == 0;
                more = !asked_to_end;
                if (!is_told && have_all_been_answered(talks, n)) {
                        is_told = true;
                        puts("talking");
                        fflush(stdout);
                }
        }
        for (size_t i = 0; i < n; i++)
                if (talks[i].asked > talks[i].answered)
                        die("%u of %u answers have not come", talks[i].asked - talks[i].answered,
                            talks[i].asked);
        printf("%u %u\n", replies, stories);
        return 0;
}
