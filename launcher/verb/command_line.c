#include "launcher/verb/command_line.h"

#include <string.h>

#include "base/text.h"

static const struct verb_option global_options[] = {
        { "output", 'o', "F", "table, json or tsv (table)" },
        { "root", '\0', "DIR", "keep every directory of vmlaunch below DIR (VMLAUNCH_ROOT)" },
        { "timeout", '\0', "S", "give up waiting after S seconds" },
        { "quiet", 'q', NULL, "only errors on stderr" },
        { "verbose", 'v', NULL, "more on stderr; twice: all" },
        { "system", '\0', NULL, "the system's instance, whoever asks" },
        { "help", 'h', NULL, "help, of the verb when one is given" },
        { "version", '\0', NULL, "the version" },
        { 0 },
};

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
                        return error_set(err, ERROR_USAGE, "--timeout takes seconds, not '%s'", value);
        } else if (strcmp(option->name, "quiet") == 0) {
                context->quiet = true;
        } else if (strcmp(option->name, "verbose") == 0) {
                context->verbose++;
        } else if (strcmp(option->name, "system") == 0) {
                context->system = true;
        } else if (strcmp(option->name, "help") == 0) {
                *result = COMMAND_LINE_HELP;
        } else if (strcmp(option->name, "version") == 0) {
                *result = COMMAND_LINE_VERSION;
        }
        return 0;
}

/* One option word; *i is moved on when it takes its value from the next word. */
static int take_option(struct verb_context *context, int argc, char **argv, int *i,
                       enum command_line_result *result, struct error **err)
{
        const char *word = argv[*i], *value = NULL;
        bool is_long = word[1] == '-';
        const char *name = word + 1 + is_long;
        size_t length = is_long ? strcspn(name, "=") : 1;
        const struct verb_option *option =
                is_long ? find_long(global_options, ARRAY_SIZE(global_options), name, length)
                        : find_letter(global_options, ARRAY_SIZE(global_options), *name);
        bool global = option != NULL;

        if (!option && context->verb)
                option = is_long ? find_long(context->verb->options, VERB_MAX_OPTIONS, name, length)
                                 : find_letter(context->verb->options, VERB_MAX_OPTIONS, *name);
        if (!option) {
                _cleanup_free_ char *shown = text_printable(word);

                error_set(err, ERROR_USAGE, "unknown option '%s'%s%s", shown, context->verb ? " for " : "",
                          context->verb ? context->verb->name : "");
                return error_hint(err, "vmlaunch help%s%s lists the options", context->verb ? " " : "",
                                  context->verb ? context->verb->name : "");
        }
        if (name[length])
                value = name + length + is_long;
        if (value && !option->arg) {
                if (is_long)
                        return error_set(err, ERROR_USAGE, "option --%s takes no value", option->name);
                /* -vv, -qf: more letters in one word */
                for (const char *letter = name; *letter; letter++) {
                        const struct verb_option *each =
                                find_letter(global_options, ARRAY_SIZE(global_options), *letter);

                        if (!each || each->arg)
                                return error_set(err, ERROR_USAGE, "unknown option '-%c' in '%s'", *letter,
                                                 word);
                        set_global(context, each, "", result, err);
                }
                return 0;
        }
        if (option->arg && !value) {
                if (*i + 1 >= argc)
                        return error_set(err, ERROR_USAGE, "option --%s needs a value (%s)", option->name,
                                         option->arg);
                value = argv[++*i];
        }
        if (!value)
                value = "";
        if (global)
                return set_global(context, option, value, result, err);
        context->values[option - context->verb->options] = value;
        return 0;
}

static int find_verb(struct verb_context *context, const char *word, struct error **err)
{
        const char *names[64];
        size_t n = 0;
        _cleanup_free_ char *shown = text_printable(word);
        const char *near;

        context->verb = verb_find(word);
        if (context->verb)
                return 0;
        for (const struct verb *verb = verbs; verb->name && n + 1 < ARRAY_SIZE(names); verb++)
                if (verb->group)
                        names[n++] = verb->name;
        names[n] = NULL;
        near = text_nearest(word, names);
        error_set(err, ERROR_USAGE, "unknown verb '%s'", shown);
        if (near)
                error_hint(err, "did you mean '%s'?", near);
        else
                error_hint(err, "vmlaunch help lists the verbs");
        return -1;
}

enum command_line_result command_line_parse(int argc, char **argv, const char *root_env,
                                            struct verb_context *ret, struct error **err)
{
        enum command_line_result result = COMMAND_LINE_RUN;
        struct verb_context context = { .timeout_s = -1 };
        bool options = true;

        context.args = xcalloc((size_t)argc + 1, sizeof(char *));
        if (root_env && *root_env && set_global(&context, &global_options[1], root_env, &result, err) < 0)
                error_wrap(err, "VMLAUNCH_ROOT");
        for (int i = 1; i < argc && !*err; i++) {
                if (options && strcmp(argv[i], "--") == 0)
                        options = false;
                else if (options && argv[i][0] == '-' && argv[i][1])
                        take_option(&context, argc, argv, &i, &result, err);
                else if (!context.verb)
                        find_verb(&context, argv[i], err);
                else
                        context.args[context.n_args++] = argv[i];
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
                }
        }
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
                text_addf(&text, "  %-26s %s\n", verb->usage, verb->summary);
        }
        text_add(&text, "\noptions:\n");
        add_options(&text, global_options, ARRAY_SIZE(global_options));
        text_add(
                &text,
                "\nVM is a name, a UUID or an OpenNebula id; TEMPLATE is a file, or - for stdin.\n"
                "Exit status: 0 done, 1 failed, 2 usage, 3 not running, 4 no such VM, 5 not permitted,\n"
                "6 template invalid, 7 deadline passed, 8 guest refused or agent absent, 9 busy, 10 host cannot.\n"
                "run: 0 guest-off or asked, 1 never started, 11 killed, 12 crashed, 14 panicked, 15 lost.\n");
        return text_take(&text);
}

char *command_line_verb_help(const struct verb *verb)
{
        struct text text = TEXT_INIT;

        text_addf(&text, "vmlaunch %s\n  %s\n", verb->usage, verb->summary);
        if (verb->options[0].name) {
                text_add(&text, "\noptions:\n");
                add_options(&text, verb->options, VERB_MAX_OPTIONS);
        }
        return text_take(&text);
}
