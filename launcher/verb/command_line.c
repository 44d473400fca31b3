#include "launcher/verb/command_line.h"

#include <string.h>

#include "base/text.h"

static const struct verb_option global_options[] = {
        { .name = "output", .letter = 'o', .arg = "F", .doc = "table, json or tsv (table)" },
        { .name = "root", .arg = "DIR", .doc = "keep every directory of vmlaunch below DIR (VMLAUNCH_ROOT)" },
        { .name = "timeout", .arg = "S", .doc = "seconds to wait; `vmlaunch help VERB` says for what" },
        { .name = "quiet", .letter = 'q', .doc = "nothing but errors and what was asked for" },
        { .name = "verbose", .letter = 'v', .doc = "more on stderr; twice: all" },
        { .name = "system", .doc = "the system's instance, whoever asks" },
        { .name = "user", .doc = "the caller's own instance, as always but for root" },
        { .name = "help", .letter = 'h', .doc = "help, of the verb when one is given" },
        { .name = "version", .doc = "the version" },
        { 0 },
};

const struct verb_option *command_line_options(void)
{
        return global_options;
}

static const struct verb_option *find_long(const struct verb_option *options, size_t max, const char *name,
                                           size_t length)
{
        for (size_t i = 0; i < max && options[i].name; i++)
                if (strlen(options[i].name) == length && memcmp(options[i].name, name, length) == 0)
                        return &options[i];
        return NULL;
}

static const struct verb_option *find_letter(const struct verb_option *options, size_t max, char letter)
{
        for (size_t i = 0; i < max && options[i].name; i++)
                if (options[i].letter == letter)
                        return &options[i];
        return NULL;
}

/* value: "" for a flag. */
static int set_global(struct verb_context *context, const struct verb_option *option, const char *value,
                      enum command_line_result *result, struct error **err)
{
        if (strcmp(option->name, "output") == 0) {
                if (strcmp(value, "table") == 0)
                        context->output = OUTPUT_TABLE;
                else if (strcmp(value, "json") == 0)
                        context->output = OUTPUT_JSON;
                else if (strcmp(value, "tsv") == 0)
                        context->output = OUTPUT_TSV;
                else
                        return error_set(err, ERROR_USAGE, "--output takes table, json or tsv, not '%s'",
                                         value);
        } else if (strcmp(option->name, "root") == 0) {
                if (value[0] != '/')
                        return error_set(err, ERROR_USAGE, "--root takes an absolute path, not '%s'", value);
                context->root = value;
        } else if (strcmp(option->name, "timeout") == 0) {
                if (!text_parse_decimal(value, &context->timeout_s) || context->timeout_s > 1e7)
                        return error_set(err, ERROR_USAGE, "--timeout takes seconds, 0 to 10000000, not '%s'",
                                         value);
        } else if (strcmp(option->name, "quiet") == 0) {
                context->quiet = true;
        } else if (strcmp(option->name, "verbose") == 0) {
                context->verbose++;
        } else if (strcmp(option->name, "system") == 0) {
                context->system = true;
        } else if (strcmp(option->name, "user") == 0) {
                context->user = true;
        } else if (strcmp(option->name, "help") == 0) {
                *result = COMMAND_LINE_HELP;
        } else if (strcmp(option->name, "version") == 0) {
                *result = COMMAND_LINE_VERSION;
        }
        return 0;
}

/* Where words are read from: an option takes its value from the next one. */
struct words {
        int argc, at;
        char **argv;
};

static int set_option(struct verb_context *context, const struct verb_option *option, const char *value,
                      struct words *words, enum command_line_result *result, struct error **err)
{
        bool global = option >= global_options && option < global_options + ARRAY_SIZE(global_options);

        if (option->arg && !value) {
                if (words->at + 1 >= words->argc)
                        return error_set(err, ERROR_USAGE, "option --%s needs a value (%s)", option->name,
                                         option->arg);
                value = words->argv[++words->at];
        }
        if (!value)
                value = "";
        if (global)
                return set_global(context, option, value, result, err);
        context->values[option - context->verb->options] = value;
        return 0;
}

static int unknown_option(const struct verb_context *context, const char *what, struct error **err)
{
        _cleanup_free_ char *shown = text_printable(what);

        error_set(err, ERROR_USAGE, "unknown option '%s'%s%s", shown, context->verb ? " for " : "",
                  context->verb ? context->verb->name : "");
        return error_hint(err, "vmlaunch help%s%s lists the options", context->verb ? " " : "",
                          context->verb ? context->verb->name : "");
}

static int take_long(struct verb_context *context, const char *word, struct words *words,
                     enum command_line_result *result, struct error **err)
{
        const char *name = word + 2;
        size_t length = strcspn(name, "=");
        const struct verb_option *option =
                find_long(global_options, ARRAY_SIZE(global_options), name, length);

        if (!option && context->verb)
                option = find_long(context->verb->options, context->verb->n_options, name, length);
        if (!option)
                return unknown_option(context, word, err);
        if (name[length] && !option->arg)
                return error_set(err, ERROR_USAGE, "option --%s takes no value", option->name);
        return set_option(context, option, name[length] ? name + length + 1 : NULL, words, result, err);
}

/* -q, -vv, -ojson, -fn3: letters in one word, up to one that takes the rest of it as its value. */
static int take_letters(struct verb_context *context, const char *word, struct words *words,
                        enum command_line_result *result, struct error **err)
{
        for (const char *letter = word + 1; *letter; letter++) {
                const struct verb_option *option =
                        find_letter(global_options, ARRAY_SIZE(global_options), *letter);

                if (!option && context->verb)
                        option = find_letter(context->verb->options, context->verb->n_options, *letter);
                if (!option && letter == word + 1)
                        return unknown_option(context, word, err);
                if (!option)
                        return error_set(err, ERROR_USAGE, "unknown option '-%c' in '%s'", *letter, word);
                if (option->arg)
                        return set_option(context, option, letter[1] ? letter + 1 : NULL, words, result, err);
                if (set_option(context, option, NULL, words, result, err) < 0)
                        return -1;
        }
        return 0;
}

static int find_verb(struct verb_context *context, const char *word, struct error **err)
{
        context->verb = verb_find(word);
        return context->verb ? 0 : verb_unknown(word, err);
}

/* Errors of the command line come in the format asked for, even when that is said after the wrong word. */
static bool wants_json(char *const *words)
{
        for (; *words && strcmp(*words, "--") != 0; words++)
                if (strcmp(*words, "-ojson") == 0 || strcmp(*words, "--output=json") == 0 ||
                    ((strcmp(*words, "-o") == 0 || strcmp(*words, "--output") == 0) && words[1] &&
                     strcmp(words[1], "json") == 0))
                        return true;
        return false;
}

enum command_line_result command_line_parse(int argc, char **argv, const char *root_env,
                                            struct verb_context *ret, struct error **err)
{
        enum command_line_result result = COMMAND_LINE_RUN;
        struct verb_context context = { .timeout_s = -1 };
        struct words words = { .argc = argc, .at = 1, .argv = argv };
        bool options = true;

        context.args = xcalloc((size_t)argc + 1, sizeof(char *));
        if (root_env && *root_env && set_global(&context, &global_options[1], root_env, &result, err) < 0)
                error_wrap(err, "VMLAUNCH_ROOT");
        for (; words.at < argc && !*err; words.at++) {
                const char *word = argv[words.at];

                if (options && strcmp(word, "--") == 0)
                        options = false;
                else if (options && word[0] == '-' && word[1] == '-')
                        take_long(&context, word, &words, &result, err);
                else if (options && word[0] == '-' && word[1])
                        take_letters(&context, word, &words, &result, err);
                else if (!context.verb)
                        find_verb(&context, word, err);
                else
                        context.args[context.n_args++] = argv[words.at];
        }
        if (!*err && result == COMMAND_LINE_RUN) {
                if (!context.verb) {
                        error_set(err, ERROR_USAGE, "no verb given");
                        error_hint(err, "vmlaunch help lists the verbs");
                } else if (context.n_args < context.verb->min_args ||
                           context.n_args > context.verb->max_args) {
                        error_set(err, ERROR_USAGE, "%s: %s", context.verb->name,
                                  context.n_args < context.verb->min_args ? "an argument is missing"
                                                                          : "too many arguments");
                        error_hint(err, "usage: vmlaunch %s", context.verb->usage);
                } else if (context.timeout_s >= 0 && !context.verb->timeout) {
                        error_set(err, ERROR_USAGE, "%s: --timeout means nothing here", context.verb->name);
                } else if (context.output == OUTPUT_TSV && !context.verb->tsv) {
                        error_set(err, ERROR_USAGE, "%s: there is no tsv form of it", context.verb->name);
                }
        }
        if (*err && argc > 0 && wants_json(argv + 1))
                context.output = OUTPUT_JSON;
        *ret = context;
        return *err ? COMMAND_LINE_ERROR : result;
}

void command_line_done(struct verb_context *context)
{
        free(context->args);
        site_free(context->site);
        *context = (struct verb_context){ 0 };
}

static void add_options(struct text *text, const struct verb_option *options, size_t max)
{
        for (size_t i = 0; i < max && options[i].name; i++) {
                _cleanup_text_ struct text left = TEXT_INIT;

                if (options[i].letter)
                        text_addf(&left, "-%c, ", options[i].letter);
                text_addf(&left, "--%s%s%s", options[i].name, options[i].arg ? "=" : "",
                          options[i].arg ? options[i].arg : "");
                text_addf(text, "  %-20s %s\n", text_str(&left), options[i].doc);
        }
}

#define HELP_USAGE_WIDTH 27

char *command_line_help(void)
{
        struct text text = TEXT_INIT;
        const char *group = "";

        text_add(&text, "vmlaunch [OPTION...] VERB [VM|TEMPLATE] ...\n"
                        "Runs QEMU virtual machines on hosts without libvirtd.\n");
        for (const struct verb *verb = verbs; verb->name; verb++) {
                if (!verb->group)
                        continue;
                if (strcmp(group, verb->group) != 0)
                        text_addf(&text, "\n%s:\n", verb->group);
                group = verb->group;
                if (strlen(verb->usage) <= HELP_USAGE_WIDTH)
                        text_addf(&text, "  %-*s %s\n", HELP_USAGE_WIDTH, verb->usage, verb->summary);
                else
                        text_addf(&text, "  %s\n  %-*s %s\n", verb->usage, HELP_USAGE_WIDTH, "",
                                  verb->summary);
        }
        text_add(&text, "\noptions:\n");
        add_options(&text, global_options, ARRAY_SIZE(global_options));
        text_add(
                &text,
                "\nVM is a name, a UUID or an OpenNebula id; TEMPLATE is a file, or - for stdin; NAME is that of\n"
                "/etc/vmlaunch/vms/NAME.tmpl. `vmlaunch describe` says what may stand in a template.\n" COMMAND_LINE_EXIT_STATUS);
        return text_take(&text);
}

char *command_line_bound(const struct verb *verb)
{
        if (!verb->ends_within_s)
                return NULL;
        return xasprintf("Ends within %s%u s, whoever does not answer.",
                         verb->timeout ? "its timeout and " : "", verb->ends_within_s);
}

char *command_line_verb_help(const struct verb *verb)
{
        _cleanup_free_ char *bound = command_line_bound(verb);
        struct text text = TEXT_INIT;

        text_addf(&text, "vmlaunch %s\n  %s\n", verb->usage, verb->summary);
        if (verb->n_options || verb->timeout)
                text_add(&text, "\noptions:\n");
        add_options(&text, verb->options, verb->n_options);
        if (verb->timeout)
                text_addf(&text, "  %-20s %s\n", "--timeout=S", verb->timeout);
        if (verb->more)
                text_addf(&text, "\n%s\n", verb->more);
        if (bound)
                text_addf(&text, "\n%s\n", bound);
        text_add(&text, "\nvmlaunch help lists the options that every verb takes.\n");
        return text_take(&text);
}
