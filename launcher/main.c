/*
 * vmlaunch - global options, verb lookup, exit status.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "launcher/verb/command_line.h"
#include "launcher/verb/instance.h"
#include "launcher/verb/output.h"

/* Whoever started us without stdin, stdout or stderr: a socket of ours would become 1, and be written to. */
static void fill_standard_fds(void)
{
        int fd;

        do
                fd = open("/dev/null", O_RDWR);
        while (fd >= 0 && fd <= STDERR_FILENO);
        if (fd >= 0)
                close(fd);
}

static void prepare_json(void)
{
        size_t seed;

        json_set_alloc_funcs(xmalloc, free);
        /* Jansson opens /dev/urandom for it, and takes half of it from there. */
        if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed))
                json_object_seed(seed);
}

static void show_help(const struct verb_context *context)
{
        _cleanup_free_ char *help =
                context->verb ? command_line_verb_help(context->verb) : command_line_help();

        output_text(help);
}

static enum log_level level_of(const struct verb_context *context)
{
        if (context->quiet)
                return LOG_LEVEL_ERROR;
        return context->verbose > 1 ? LOG_LEVEL_DEBUG : context->verbose ? LOG_LEVEL_INFO : LOG_LEVEL_NOTICE;
}

static int run_verb(struct verb_context *context, struct error **err)
{
        if (context->verb->needs_site) {
                if (instance_load(context, &context->site, err) < 0)
                        return -1;
                output_warnings(context->site->warnings, context);
        }
        return context->verb->run(context, err);
}

/* systemd starts it by that name, with three directories. */
static char **generator_argv(int *argc, char **argv)
{
        char **words = xcalloc((size_t)*argc + 2, sizeof(*words));

        words[0] = (char *)"vmlaunch";
        words[1] = (char *)"__generator";
        for (int i = 1; i < *argc; i++)
                words[i + 1] = argv[i];
        (*argc)++;
        return words;
}

int main(int argc, char **argv)
{
        struct verb_context context = { 0 };
        _cleanup_error_ struct error *err = NULL;
        int status = 0;

        /* First of all: its memory stays what it is now. */
        if (argc > 2 && strcmp(argv[1], "__keeper") == 0)
                return verb_keeper(argv + 2);
        if (argc > 1 && text_ends_with(argv[0], "vmlaunch-generator"))
                argv = generator_argv(&argc, argv);
        fill_standard_fds();
        prepare_json();
        /* A client that goes away is an error of its own write(), not a signal. */
        signal(SIGPIPE, SIG_IGN);
        switch (command_line_parse(argc, argv, getenv("VMLAUNCH_ROOT"), &context, &err)) {
        case COMMAND_LINE_HELP:
                show_help(&context);
                break;
        case COMMAND_LINE_VERSION:
                output_text("vmlaunch " VMLAUNCH_VERSION "\n");
                break;
        case COMMAND_LINE_RUN:
                log_set_level(level_of(&context));
                status = run_verb(&context, &err);
                break;
        case COMMAND_LINE_ERROR:
                break;
        }
        if (err) {
                output_errors(err, &context);
                status = error_exit_status(err);
        } else {
                output_finish(&context);
        }
        if ((fflush(stdout) != 0 || ferror(stdout)) && status == 0) {
                /* Whoever read us has gone and has had what it wanted: `vmlaunch status web | head -1`. */
                if (errno != EPIPE)
                        log_error("cannot write the result to stdout: %s", strerror(errno));
                status = 1;
        }
        command_line_done(&context);
        return status;
}
