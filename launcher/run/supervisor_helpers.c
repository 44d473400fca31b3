/*
 * Helper processes of the VM (swtpm, virtiofsd, passt): their end is seen and told. They end with QEMU, by the socket between
 * them, and what is left is ended by the undo; one that ends before leaves the guest with a device that does not answer.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "launcher/run/adopt_process.h"
#include "launcher/run/effects.h"
#include "launcher/run/machined.h"
#include "launcher/run/supervisor_parts.h"

/* QEMU's end and a helper's come in any order; for so long it may be QEMU's that was first. */
#define TELL_AFTER_MS 1000
#define SAID_MAX      16384

struct helper_watch {
        struct supervisor *s;
        char *id, *program; /* "tpm0", "swtpm" */
        pid_t pid;
        int pidfd, stderr_fd; /* -1: none */
        struct loop_source *child, *timer;
        char *how; /* it has ended; NULL: it has not */
        bool told;
        struct helper_watch *next;
};

static char *how_it_ended(pid_t pid)
{
        int status;
        pid_t reaped;

        do
                reaped = waitpid(pid, &status, WNOHANG);
        while (reaped < 0 && errno == EINTR);
        /* Not our child: its starter's, which is gone. */
        if (reaped != pid)
                return xstrdup("");
        if (WIFSIGNALED(status))
                return xasprintf(" by SIG%s", sigabbrev_np(WTERMSIG(status)) ?: "?");
        return xasprintf(" with status %d", WEXITSTATUS(status));
}

/* The last line that it wrote, in printable form; NULL: nothing. */
static char *last_words(const struct helper_watch *watch)
{
        _cleanup_free_ char *said = xcalloc(1, SAID_MAX + 1);
        ssize_t n = watch->stderr_fd < 0 ? 0 : pread(watch->stderr_fd, said, SAID_MAX, 0);
        char *line;

        if (n <= 0 || !*said)
                return NULL;
        for (size_t end = strlen(said); end > 0 && strchr("\r\n", said[end - 1]);)
                said[--end] = '\0';
        line = strrchr(said, '\n');
        return text_printable(line ? line + 1 : said);
}

/* Its device was taken away, so it is no step of the run any more. */
static bool is_taken_back(const struct helper_watch *watch)
{
        _cleanup_error_ struct error *unreadable = NULL;
        json_auto_t *steps = NULL;
        json_t *step;
        size_t i;

        if (journal_steps_read(watch->s->vm->fd, &steps, &unreadable) < 0)
                return false;
        json_array_foreach (steps, i, step) {
                const json_t *learned = json_object_get(step, "learned");

                if (strcmp(json_member_string(step, "effect"), plan_effect_name(EFFECT_HELPER)) == 0 &&
                    json_member_integer(learned, "pid") == watch->pid)
                        return false;
        }
        return true;
}

static void free_watch(struct helper_watch *gone)
{
        loop_remove(gone->s->loop, gone->child);
        loop_remove(gone->s->loop, gone->timer);
        fd_close(&gone->pidfd);
        fd_close(&gone->stderr_fd);
        free(gone->id);
        free(gone->program);
        free(gone->how);
        free(gone);
}

static void forget(struct helper_watch *gone)
{
        struct helper_watch **at = &gone->s->helpers;

        while (*at != gone)
                at = &(*at)->next;
        *at = gone->next;
        free_watch(gone);
}

static void on_told(void *data)
{
        struct helper_watch *watch = data;
        struct supervisor *s = watch->s;
        _cleanup_free_ char *said = NULL;

        watch->timer = NULL;
        if (s->exited || s->state >= VM_QUITTING)
                return;
        /* A change may be about to take it back. */
        if (!applies_are_idle(s->applies)) {
                watch->timer = loop_add_deadline(s->loop, TELL_AFTER_MS, on_told, watch);
                return;
        }
        if (is_taken_back(watch)) {
                forget(watch);
                supervisor_changed(s);
                return;
        }
        said = last_words(watch);
        watch->told = true;
        supervisor_story(s,
                         "%s of %s (pid %d) has ended%s%s%s%s: the device does not answer the guest any more",
                         watch->program, watch->id, (int)watch->pid, watch->how, said ? ", it said '" : "",
                         said ? said : "", said ? "'" : "");
        supervisor_changed(s);
}

static void on_end(int pidfd, void *data)
{
        struct helper_watch *watch = data;

        (void)pidfd;
        watch->child = NULL;
        watch->how = how_it_ended(watch->pid);
        watch->timer = loop_add_deadline(watch->s->loop, TELL_AFTER_MS, on_told, watch);
}

static void watch(struct supervisor *s, const json_t *args, const json_t *learned)
{
        const char *id = json_member_string(args, "id");
        const char *program = json_string_value(json_array_get(json_object_get(args, "argv"), 0));
        _cleanup_error_ struct error *unproven = NULL;
        pid_t pid = (pid_t)json_member_integer(learned, "pid");
        struct helper_watch *new;
        const char *slash;
        int pidfd = -1;

        if (!id || !program)
                return;
        for (const struct helper_watch *known = s->helpers; known; known = known->next)
                if (known->pid == pid)
                        return;
        slash = strrchr(program, '/');
        new = xcalloc(1, sizeof(*new));
        *new = (struct helper_watch){ .s = s,
                                      .id = xstrdup(id),
                                      .program = xstrdup(slash ? slash + 1 : program),
                                      .pid = pid,
                                      .pidfd = -1,
                                      .stderr_fd = -1,
                                      .next = s->helpers };
        s->helpers = new;
        if (helper_prove(args, learned, &pidfd, &unproven) > 0) {
                new->pidfd = pidfd;
                new->stderr_fd = process_open_stderr(new->pid);
                new->child = loop_add_child(s->loop, new->pidfd, on_end, new);
        } else {
                new->how = xstrdup("");
                new->timer = loop_add_deadline(s->loop, TELL_AFTER_MS, on_told, new);
        }
}

void steps_attend(struct supervisor *s, bool logs)
{
        _cleanup_error_ struct error *unreadable = NULL;
        json_auto_t *steps = NULL;
        json_t *step;
        size_t i;

        if (journal_steps_read(s->vm->fd, &steps, &unreadable) < 0)
                return;
        json_array_foreach (steps, i, step) {
                const char *effect = json_member_string(step, "effect");
                const json_t *args = json_object_get(step, "args");

                if (strcmp(effect, plan_effect_name(EFFECT_HELPER)) == 0)
                        watch(s, args, json_object_get(step, "learned"));
                else if (logs && strcmp(effect, plan_effect_name(EFFECT_LOG_OPEN)) == 0)
                        log_attend(s, args);
                else if (!s->machined && strcmp(effect, plan_effect_name(EFFECT_MACHINED)) == 0)
                        s->machined = machined_resume(s->loop, args);
        }
}

json_t *helpers_json(const struct supervisor *s)
{
        json_t *array = json_array();

        for (const struct helper_watch *each = s->helpers; each && !s->exited; each = each->next)
                json_array_insert_new(array, 0,
                                      json_pack("{s:s, s:s, s:i, s:s}", "id", each->id, "program",
                                                each->program, "pid", (int)each->pid, "state",
                                                each->told ? "ended" : "running"));
        return array;
}

void helpers_forget(struct supervisor *s)
{
        while (s->helpers) {
                struct helper_watch *gone = s->helpers;

                s->helpers = gone->next;
                free_watch(gone);
        }
}
