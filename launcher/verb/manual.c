#include "launcher/verb/manual.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "conf/reference.h"
#include "launcher/verb/command_line.h"

static void add_options(struct text *out, const struct verb_option *options, size_t max)
{
        for (size_t i = 0; i < max && options[i].name; i++) {
                text_add(out, ".TP\n.B ");
                if (options[i].letter)
                        text_addf(out, "\\-%c, ", options[i].letter);
                text_add(out, "\\-\\-");
                text_add_roff(out, options[i].name);
                text_addf(out, "%s%s\n", options[i].arg ? "=" : "", options[i].arg ? options[i].arg : "");
                text_add_roff(out, options[i].doc);
                text_add(out, "\n");
        }
}

static void add_verb(struct text *out, const struct verb *verb)
{
        _cleanup_free_ char *bound = command_line_bound(verb);

        text_add(out, ".SS \"");
        for (const char *c = verb->usage; *c; c++)
                text_add(out, *c == '\'' ? "\\(aq" : *c == '-' ? "\\-" : (char[]){ *c, 0 });
        text_add(out, "\"\n");
        text_add_roff(out, verb->summary);
        text_add(out, "\n");
        if (verb->more) {
                text_add(out, ".PP\n.nf\n");
                text_add_roff(out, verb->more);
                text_add(out, "\n.fi\n");
        }
        add_options(out, verb->options, verb->n_options);
        if (verb->timeout) {
                text_add(out, ".TP\n.B \\-\\-timeout=S\n");
                text_add_roff(out, verb->timeout);
                text_add(out, "\n");
        }
        if (bound)
                text_addf(out, ".PP\n%s\n", bound);
}

char *manual_page(void)
{
        struct text out = TEXT_INIT;
        const char *group = "";

        text_add(
                &out,
                ".TH VMLAUNCH 1 \"\" \"vmlaunch " VMLAUNCH_VERSION "\"\n"
                ".SH NAME\nvmlaunch \\- run QEMU virtual machines without libvirtd\n"
                ".SH SYNOPSIS\n.B vmlaunch\n[OPTION...] VERB [VM|TEMPLATE] ...\n"
                ".SH DESCRIPTION\n"
                "vmlaunch runs QEMU virtual machines from templates, each below one small supervisor.\n"
                "VM is a name, a UUID or an OpenNebula id; TEMPLATE is a file, or \\- for stdin; NAME is that of\n"
                "/etc/vmlaunch/vms/NAME.tmpl. What may stand in a template is in\n.BR vmlaunch.template (5).\n"
                ".SH OPTIONS\n");
        add_options(&out, command_line_options(), COMMAND_LINE_MAX_OPTIONS);
        for (const struct verb *verb = verbs; verb->name; verb++) {
                if (!verb->group)
                        continue;
                if (strcmp(group, verb->group) != 0)
                        text_addf(&out, ".SH \"VERBS: %s\"\n", verb->group);
                group = verb->group;
                add_verb(&out, verb);
        }
        text_add(&out, ".SH \"EXIT STATUS\"\n.nf\n");
        text_add_roff(&out, COMMAND_LINE_EXIT_STATUS);
        text_add(&out, ".fi\n.SH \"SEE ALSO\"\n.BR vmlaunch.template (5),\n.BR qemu (1)\n");
        return text_take(&out);
}

/* 'words' as one word of the shell. */
static void add_words(struct text *out, const char *words)
{
        _cleanup_free_ char *quoted = text_shell_quoted(words);

        text_add(out, quoted);
}

/* "--follow --lines= --wire" */
static char *option_words(const struct verb_option *options, size_t max)
{
        struct text out = TEXT_INIT;

        for (size_t i = 0; i < max && options[i].name; i++)
                text_addf(&out, "%s--%s%s", i ? " " : "", options[i].name, options[i].arg ? "=" : "");
        return text_take(&out);
}

/* A case per option of any verb that takes one of a few words: the same name means the same words. */
static void add_option_values(struct text *out)
{
        for (const struct verb *verb = verbs; verb->name; verb++) {
                for (size_t i = 0; i < verb->n_options; i++) {
                        const struct verb_option *option = &verb->options[i];

                        if (!verb->group || !option->words)
                                continue;
                        text_addf(out, "                %s:--%s) words=", verb->name, option->name);
                        add_words(out, option->words);
                        text_add(out, " ;;\n");
                }
        }
}

/* What stands at the argument's place in the usage: VM, TEMPLATE|NAME, [ATTRIBUTE|SECTION], disk|nic, ... */
static void add_arguments(struct text *out, const struct verb *verb)
{
        _cleanup_free_ char *usage = xstrdup(verb->usage);
        char *save = NULL, *word = strtok_r(usage, " ", &save);
        unsigned n = 0;

        while ((word = strtok_r(NULL, " ", &save))) {
                char *start = word + strspn(word, "["), *end;

                if (*start == '-')
                        continue;
                end = start + strcspn(start, "]");
                *end = '\0';
                n++;
                if (strcmp(start, "VM") == 0 || strcmp(start, "VM|--all") == 0)
                        text_addf(out, "        %s:%u) _vmlaunch_vms ;;\n", verb->name, n);
                else if (strcmp(start, "TEMPLATE|NAME") == 0)
                        text_addf(out, "        %s:%u) _vmlaunch_vms; files=1 ;;\n", verb->name, n);
                else if (strncmp(start, "ATTRIBUTE", 9) == 0)
                        text_addf(out, "        %s:%u) words=$_vmlaunch_attributes ;;\n", verb->name, n);
                else if (strcmp(start, "VERB") == 0)
                        text_addf(out, "        %s:%u) words=$_vmlaunch_verbs ;;\n", verb->name, n);
                else if (strchr(start, '|') && islower((unsigned char)*start)) {
                        for (char *c = start; *c; c++)
                                if (*c == '|')
                                        *c = ' ';
                        text_addf(out, "        %s:%u) words=", verb->name, n);
                        add_words(out, start);
                        text_add(out, " ;;\n");
                }
        }
}

static void add_lists(struct text *out)
{
        _cleanup_free_ char *global = option_words(command_line_options(), COMMAND_LINE_MAX_OPTIONS),
                            *attributes = reference_names();

        text_add(out, "_vmlaunch_verbs='");
        for (const struct verb *verb = verbs; verb->name; verb++)
                if (verb->group)
                        text_addf(out, "%s%s", verb == verbs ? "" : " ", verb->name);
        text_addf(out, "'\n_vmlaunch_global='%s'\n_vmlaunch_attributes='%s'\n", global, attributes);
}

char *manual_completion(void)
{
        struct text out = TEXT_INIT;

        text_add(&out, "# bash completion of vmlaunch, made by `make docs`.\n");
        add_lists(&out);
        text_add(
                &out,
                "\n"
                "# Names of VMs, as the instance that the line means has them.\n"
                "_vmlaunch_vms() {\n"
                "    words=$(\"${COMP_WORDS[0]}\" ${root:+--root \"$root\"} $instance -q -o tsv list --all 2>/dev/null | sed 1d | cut -f 1)\n"
                "}\n"
                "\n"
                "_vmlaunch() {\n"
                "    local cur=${COMP_WORDS[COMP_CWORD]} verb='' option='' words='' files='' root='' instance='' argument=0 i word\n"
                "    COMPREPLY=()\n"
                "    # bash splits at '='.\n"
                "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                "        word=${COMP_WORDS[i]}\n"
                "        case $word in\n"
                "        =) ;;\n"
                "        --root) root=${COMP_WORDS[i + 1]}; [[ $root != = ]] || root=${COMP_WORDS[i + 2]} ;;\n"
                "        --system | --user) instance=$word ;;\n"
                "        -*) ;;\n"
                "        *)\n"
                "            # The value of an option is no argument.\n"
                "            option=${COMP_WORDS[i - 1]}\n"
                "            [[ $option != = ]] || option=${COMP_WORDS[i - 2]}\n"
                "            case \" $_vmlaunch_global $(_vmlaunch_options \"$verb\") \" in\n"
                "            *\" $option= \"*) ;;\n"
                "            *) if [[ -z $verb ]]; then verb=$word; else argument=$((argument + 1)); fi ;;\n"
                "            esac\n"
                "            ;;\n"
                "        esac\n"
                "    done\n"
                "    option=${COMP_WORDS[COMP_CWORD - 1]}\n"
                "    [[ $cur != = ]] || { option='=' cur=''; }\n"
                "    [[ $option != = ]] || option=${COMP_WORDS[COMP_CWORD - 2]}\n"
                "    case $option in --output | -o) words='table json tsv' ;; --root) files=1 ;; --*)\n"
                "        case $verb:$option in\n");
        add_option_values(&out);
        text_add(&out, "        esac\n"
                       "        ;;\n"
                       "    esac\n"
                       "    if [[ -z $words$files ]]; then\n"
                       "        if [[ $cur == -* ]]; then\n"
                       "            words=\"$_vmlaunch_global $(_vmlaunch_options \"$verb\")\"\n"
                       "        elif [[ -z $verb ]]; then\n"
                       "            words=$_vmlaunch_verbs\n"
                       "        else\n"
                       "            case $verb:$((argument + 1)) in\n");
        for (const struct verb *verb = verbs; verb->name; verb++)
                if (verb->group)
                        add_arguments(&out, verb);
        text_add(
                &out,
                "            esac\n"
                "        fi\n"
                "    fi\n"
                "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\"; [[ -z $files ]] || compgen -f -- \"$cur\")\n"
                "    [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null\n"
                "    [[ -z $files ]] || compopt -o filenames 2>/dev/null\n"
                "    return 0\n"
                "}\n"
                "\n"
                "_vmlaunch_options() {\n"
                "    case $1 in\n");
        for (const struct verb *verb = verbs; verb->name; verb++) {
                _cleanup_free_ char *words = option_words(verb->options, verb->n_options);

                if (verb->group && *words)
                        text_addf(&out, "    %s) echo '%s' ;;\n", verb->name, words);
        }
        text_add(&out, "    esac\n"
                       "}\n"
                       "complete -F _vmlaunch vmlaunch\n");
        return text_take(&out);
}
