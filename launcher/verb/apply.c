/* __apply: a fragment from a file. The verbs that change a VM build theirs themselves. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "launcher/live/apply_client.h"
#include "launcher/verb/output.h"
#include "launcher/verb/verbs.h"
#include "launcher/verb/vm_find.h"

#define FRAGMENT_MAX (1u << 20)
#define COMMIT_MS    30000

static int add_file(struct apply_client *client, const char *argument, struct error **err)
{
        const char *equals = strchr(argument, '=');
        _cleanup_free_ char *name = NULL;
        bool reads;
        int fd;

        if (!equals)
                return error_set(err, ERROR_USAGE, "'%s' is not NAME=PATH", argument);
        name = xstrndup(argument, (size_t)(equals - argument));
        reads = text_starts_with(equals + 1, "ro:");
        fd = open(equals + 1 + (reads ? 3 : 0),
                  (reads ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return error_os(err, errno, "open '%s'", equals + 1);
        apply_client_add_fd(client, name, fd);
        return 0;
}

/* The answer of whoever looks at what was done. */
static int ask(struct apply_client *client, struct error **err)
{
        char word[32];

        printf("done\n");
        fflush(stdout);
        if (!fgets(word, sizeof(word), stdin))
                return error_set(err, ERROR_CANCELLED, "no 'commit' came: it is undone");
        word[strcspn(word, "\n")] = '\0';
        if (strcmp(word, "commit") == 0)
                return apply_client_commit(client, err);
        if (strcmp(word, "abort") == 0)
                return apply_client_abort(client, err);
        return error_set(err, ERROR_USAGE, "neither 'commit' nor 'abort': it is undone");
}

int verb_apply(struct verb_context *context, struct error **err)
{
        _cleanup_(control_client_freep) struct control_client *control = NULL;
        _cleanup_(apply_client_freep) struct apply_client *client = NULL;
        _cleanup_free_ char *text = NULL, *name = NULL;
        long long commit_ms = verb_timeout_ms(context, COMMIT_MS);
        json_error_t why;
        json_t *fragment;

        if (fd_read_file_at(AT_FDCWD, context->args[1], FRAGMENT_MAX, &text, NULL, err) < 0)
                return -1;
        fragment = json_loads(text, JSON_REJECT_DUPLICATES, &why);
        if (!json_is_object(fragment)) {
                json_decref(fragment);
                return error_set(err, ERROR_USAGE, "'%s' is no JSON object: %s", context->args[1], why.text);
        }
        if (vm_find(&context->site->paths, context->args[0], &name, err) < 0 ||
            control_client_open(&context->site->paths, name, &control, err) < 0) {
                json_decref(fragment);
                return -1;
        }
        client = apply_client_new(control, fragment);
        for (size_t i = 2; i < context->n_args; i++)
                if (add_file(client, context->args[i], err) < 0)
                        return -1;
        if (!verb_flag(context, "ask"))
                return apply_client_send(client, err);
        if (apply_client_begin(client, (unsigned)((commit_ms + 999) / 1000), err) < 0)
                return -1;
        return ask(client, err);
}
