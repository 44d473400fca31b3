#include "launcher/storage/apart.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/process.h"
#include "base/text.h"

#define ANSWER_MAX (16u << 20)
/* The child has said all by then and only ends. */
#define REAP_MS 200
/* In the child, behind stdin, stdout and stderr. */
#define FIRST_KEPT 3

struct apart {
        char *at;         /* shared with the child: PATH_MAX bytes */
        int answer;       /* a memory file, for the child's answer */
        int hand[2];      /* what is handed over goes into [1] and waits in [0] */
        int done[2];      /* the child says a byte when it has answered */
        struct text said; /* in the child: goes behind the answer and a NUL */
        pid_t pid;
};

json_t *apart_error_to_json(const struct error *error)
{
        json_t *chain = json_array();
        const struct error *e = error;

        do {
                json_array_append_new(chain, json_string(e->message) ?: json_string("?"));
                e = e->cause;
        } while (e);
        return json_pack("{s:i, s:i, s:o*, s:o}", "code", (int)error->code, "errno", error->os_errno, "hint",
                         error->hint ? json_string(error->hint) : NULL, "chain", chain);
}

void apart_error_from_json(const json_t *json, struct error **err)
{
        const json_t *chain = json_object_get(json, "chain");
        const char *hint = json_member_string(json, "hint");
        enum error_code code = (enum error_code)json_member_integer(json, "code");
        int os_errno = (int)json_member_integer(json, "errno");

        for (size_t i = json_array_size(chain); i-- > 0;) {
                const char *message = json_string_value(json_array_get(chain, i));

                if (*err)
                        error_wrap(err, "%s", message);
                else if (code == ERROR_OS)
                        error_os(err, os_errno, "%s", message);
                else
                        error_set(err, code, "%s", message);
        }
        if (!*err)
                error_set(err, ERROR_FAILED, "an error without words");
        if (hint)
                error_hint(err, "%s", hint);
}

static void apart_done(struct apart *apart)
{
        if (apart->at)
                munmap(apart->at, PATH_MAX);
        fd_close(&apart->answer);
        for (int i = 0; i < 2; i++) {
                fd_close(&apart->hand[i]);
                fd_close(&apart->done[i]);
        }
        text_done(&apart->said);
        free(apart);
}

static int apart_init(struct apart *apart, struct error **err)
{
        *apart = (struct apart){ .answer = -1, .hand = { -1, -1 }, .done = { -1, -1 } };
        apart->at = mmap(NULL, PATH_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (apart->at == MAP_FAILED)
                apart->at = NULL;
        apart->answer = memfd_create("vmlaunch-apart", MFD_CLOEXEC);
        if (!apart->at || apart->answer < 0 ||
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, apart->hand) < 0 ||
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, apart->done) < 0)
                return error_os(err, errno, "prepare to look at files");
        return 0;
}

void apart_at(struct apart *apart, const char *path)
{
        size_t n = strnlen(path, PATH_MAX - 1);

        memcpy(apart->at, path, n);
        apart->at[n] = '\0';
}

int apart_hand_over(struct apart *apart, int fd, struct error **err)
{
        return fd_send(apart->hand[1], "f", 1, &fd, 1, err);
}

void apart_say(struct apart *apart, const char *bytes, size_t n)
{
        text_add_bytes(&apart->said, bytes, n);
}

/* Nobody who waits for the end of a pipe, and no lock, is to depend on a process that may not end. */
static int drop_fds(struct apart *apart)
{
        int *keep[] = { &apart->answer, &apart->hand[1], &apart->done[1] };
        int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

        for (size_t i = 0; i < ARRAY_SIZE(keep); i++) {
                *keep[i] = fcntl(*keep[i], F_DUPFD_CLOEXEC, FIRST_KEPT + (int)ARRAY_SIZE(keep));
                if (*keep[i] < 0)
                        return -1;
        }
        for (int fd = 0; fd < FIRST_KEPT; fd++)
                if (null_fd < 0 || dup2(null_fd, fd) < 0)
                        return -1;
        for (size_t i = 0; i < ARRAY_SIZE(keep); i++) {
                *keep[i] = dup2(*keep[i], FIRST_KEPT + (int)i);
                if (*keep[i] < 0)
                        return -1;
        }
        fd_close_from(FIRST_KEPT + (int)ARRAY_SIZE(keep));
        return 0;
}

static int write_answer(const struct apart *apart, const char *json, struct error **err)
{
        if (fd_write_all(apart->answer, "the answer", json, strlen(json) + 1, err) < 0)
                return -1;
        return fd_write_all(apart->answer, "the answer", text_str(&apart->said), apart->said.length, err);
}

static void __attribute__((noreturn)) child(struct apart *apart, apart_fn *fn, void *data)
{
        struct error *error = NULL;
        json_t *value, *answer;
        char *text;

        /* It has nothing to undo, and whoever wanted its answer may go. */
        for (int sig = 1; sig < NSIG; sig++)
                signal(sig, SIG_DFL);
        prctl(PR_SET_NAME, "vmlaunch-files");
        if (drop_fds(apart) < 0)
                _exit(1);
        value = fn(apart, data, &error);
        answer = value ? json_pack("{s:o}", "value", value)
                       : json_pack("{s:o}", "error", apart_error_to_json(error));
        text = json_dumps(answer, JSON_COMPACT);
        error_free(error);
        error = NULL;
        if (text && write_answer(apart, text, &error) == 0)
                (void)!send(apart->done[1], "d", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        _exit(0);
}

static int take_answer(struct apart *apart, json_t **ret, struct text *ret_said, struct error **err)
{
        _cleanup_free_ char *text = NULL;
        json_auto_t *answer = NULL;
        size_t length, json_length;
        json_t *value;

        if (lseek(apart->answer, 0, SEEK_SET) < 0)
                return error_os(err, errno, "rewind an answer");
        if (fd_read_all(apart->answer, "an answer about files", ANSWER_MAX, &text, &length, err) < 0)
                return -1;
        json_length = strlen(text);
        answer = json_loads(text, 0, NULL);
        value = json_object_get(answer, "value");
        if (value) {
                *ret = json_incref(value);
                if (ret_said && json_length < length)
                        text_add_bytes(ret_said, text + json_length + 1, length - json_length - 1);
                return 0;
        }
        apart_error_from_json(json_object_get(answer, "error"), err);
        return -1;
}

static int hear(struct apart *apart, unsigned deadline_ms, json_t **ret, struct text *ret_said,
                struct error **err)
{
        int ready = fd_wait(apart->done[0], POLLIN, fd_now_ms() + deadline_ms);
        char byte;

        if (ready == 0) {
                _cleanup_free_ char *shown = NULL;

                apart->at[PATH_MAX - 1] = '\0';
                shown = text_printable(apart->at);
                error_set(err, ERROR_DEADLINE, "'%s': its storage has not answered within %u ms", shown,
                          deadline_ms);
                return error_hint(err, "is it on a network or FUSE file system whose server is gone?");
        }
        if (ready < 0 || recv(apart->done[0], &byte, 1, MSG_DONTWAIT) != 1)
                return error_set(err, ERROR_FAILED, "the process that looked at '%s' was killed", apart->at);
        return take_answer(apart, ret, ret_said, err);
}

struct apart *apart_begin(apart_fn *fn, void *data, struct error **err)
{
        struct apart *apart = xcalloc(1, sizeof(*apart));
        sigset_t all, before;

        if (apart_init(apart, err) < 0) {
                apart_done(apart);
                return NULL;
        }
        /* No handler of ours may run in the child. */
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &before);
        apart->pid = fork();
        if (apart->pid == 0)
                child(apart, fn, data);
        sigprocmask(SIG_SETMASK, &before, NULL);
        if (apart->pid < 0) {
                error_os(err, errno, "fork to look at files");
                apart_done(apart);
                return NULL;
        }
        fd_close(&apart->done[1]);
        fd_close(&apart->hand[1]);
        return apart;
}

int apart_end(struct apart *apart_consume, unsigned deadline_ms, json_t **ret, struct text *ret_said,
              int *ret_sock, struct error **err)
{
        struct apart *apart = apart_consume;
        int result = hear(apart, deadline_ms, ret, ret_said, err);

        if (result < 0)
                kill(apart->pid, SIGKILL);
        process_reap(apart->pid, result < 0 ? 0 : REAP_MS, NULL);
        if (result == 0 && ret_sock)
                *ret_sock = TAKE_FD(apart->hand[0]);
        apart_done(apart);
        return result;
}

void apart_drop(struct apart *apart_consume)
{
        if (!apart_consume)
                return;
        kill(apart_consume->pid, SIGKILL);
        process_reap(apart_consume->pid, REAP_MS, NULL);
        apart_done(apart_consume);
}

int apart_run(apart_fn *fn, void *data, unsigned deadline_ms, json_t **ret, int *ret_sock, struct error **err)
{
        struct apart *apart = apart_begin(fn, data, err);

        return apart ? apart_end(apart, deadline_ms, ret, NULL, ret_sock, err) : -1;
}
