/*
 * Golden plans: each tests/golden/NAME.tmpl is planned as its comments say (golden_case.h) and compared with NAME.plan.
 * With BLESS=1 in the environment (`make bless`) NAME.plan is written instead.
 */
#include "tests/unit/golden_case.h"

#include "conf/spec_pending.h"
#include "launcher/plan/expander.h"
#include "launcher/run/state_compare.h"
#include "tests/unit/golden_files.h"
#include "tests/unit/xml_twin.h"

/* A case of the same host and comments, for another template; its plan_done() leaves them alone. */
static struct golden_case on_same_host(const struct golden_case *golden)
{
        return (struct golden_case){
                .name = golden->name,
                .text = golden->text,
                .host = golden->host,
                .qemu = golden->qemu,
                .firmware = golden->firmware,
        };
}

static void add_pending(const char *reference, void *data)
{
        text_addf(data, " %s", reference);
}

/* What was just started has nothing that is still to come. */
static void check_nothing_is_pending(const struct golden_case *golden, const struct golden_case *live)
{
        _cleanup_text_ struct text pending = TEXT_INIT;

        spec_pending(golden->spec, live->spec, add_pending, &pending);
        if (pending.length)
                fail_msg("%s: of its own live.tmpl is pending:%s", golden->name, text_str(&pending));
}

/* "-device" and so on of the plan: each id in expected, with its type if that says one, and nothing else. */
static void check_option(const struct golden_case *golden, const struct launch_plan *plan, const char *option,
                         const char *type_member, json_t *expected)
{
        const char *id_member = strcmp(option, "-blockdev") == 0 ? "node-name" : "id", *id;
        json_t *type;
        void *next;

        for (size_t i = 0; i + 1 < plan->n_args; i++) {
                json_auto_t *json = NULL;

                if (strcmp(plan->args[i].text, option) != 0)
                        continue;
                json = json_loads(plan->args[i + 1].text, 0, NULL);
                id = json_string_value(json_object_get(json, id_member));
                if (!id ||
                    ((text_starts_with(id, "rp") || expander_is_part(id)) &&
                     strcmp(option, "-device") == 0) ||
                    strstr(id, "-base"))
                        continue;
                type = json_object_get(expected, id);
                if (!type || (json_is_string(type) && !json_equal(type, json_object_get(json, type_member))))
                        fail_msg("%s: %s %s is not expected so of a running machine", golden->name, option,
                                 id);
                json_object_del(expected, id);
        }
        json_object_foreach_safe (expected, next, id, type) {
                _cleanup_free_ char *member = xasprintf(",id=%s", id);

                /* Of RAW, as text. */
                for (size_t i = 0; i + 1 < plan->n_args; i++)
                        if (strcmp(plan->args[i].text, option) == 0 && strstr(plan->args[i + 1].text, member))
                                json_object_del(expected, id);
        }
        json_object_foreach (expected, id, type)
                fail_msg("%s: %s %s is expected of a running machine, and not in its plan", golden->name,
                         option, id);
}

/* What a comparison expects of a QEMU that runs with this live.tmpl is what the plan gives it. */
static void check_running(const struct golden_case *golden, const struct golden_case *live,
                          const struct launch_plan *plan)
{
        json_auto_t *expected = state_expected(live->spec);

        check_option(golden, plan, "-device", "driver", json_object_get(expected, "devices"));
        check_option(golden, plan, "-netdev", "type", json_object_get(expected, "netdevs"));
        check_option(golden, plan, "-object", "qom-type", json_object_get(expected, "objects"));
        check_option(golden, plan, "-blockdev", "driver", json_object_get(expected, "nodes"));
}

/* live.tmpl is a template: planned, it gives the same QEMU again. */
static void check_live_template(const struct golden_case *golden, const struct launch_plan *plan)
{
        struct golden_case again = on_same_host(golden);
        _cleanup_free_ char *argv = launch_plan_argv(plan), *argv_again = NULL;
        struct launch_plan *plan_again = NULL;
        const char *live = NULL;
        struct error *err = NULL;

        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_LIVE_TEMPLATE)
                        live = json_string_value(json_object_get(plan->steps[i].args, "text"));
        if (build_plan(&again, live, &plan_again, &err) < 0)
                fail_msg("%s: live.tmpl gives no plan: %s", golden->name, err->message);
        check_nothing_is_pending(golden, &again);
        check_running(golden, &again, plan);
        argv_again = launch_plan_argv(plan_again);
        assert_string_equal(argv, argv_again);
        launch_plan_free(plan_again);
        plan_done(&again);
}

static void add_plan(const struct golden_case *golden, const struct launch_plan *plan, struct text *out)
{
        _cleanup_free_ char *text = launch_plan_text(plan);
        json_auto_t *json = launch_plan_json(plan);
        json_t *word;
        size_t i;

        for (const struct error *warning = golden->site->warnings; warning; warning = warning->next) {
                _cleanup_free_ char *said = error_text(warning);

                text_addf(out, "layers  warning %s\n", said);
        }
        text_addf(out, "%s\nargv\n", text);
        json_array_foreach (json_object_get(json, "argv"), i, word) {
                _cleanup_free_ char *encoded = json_dumps(word, JSON_ENCODE_ANY);

                text_addf(out, "%s\n", encoded);
        }
        if (strstr(golden->text, "# EXPLAIN\n")) {
                _cleanup_free_ char *explained = plan_explain_text(plan, golden->spec);

                text_addf(out, "\nexplain\n%s", explained);
        }
}

static void add_errors(const struct error *err, struct text *out)
{
        for (; err; err = err->next) {
                _cleanup_free_ char *text = error_text(err);

                text_addf(out, "error   %s\n", text);
                if (err->excerpt)
                        text_addf(out, "%s\n", err->excerpt);
                if (err->hint)
                        text_addf(out, "          %s\n", err->hint);
        }
}

/* Says where two texts part. */
static void compare(const char *name, const char *expected, const char *got)
{
        unsigned line = 1;

        while (*expected && *got) {
                size_t n = strcspn(expected, "\n"), m = strcspn(got, "\n");

                if (n != m || strncmp(expected, got, n) != 0)
                        break;
                expected += n + (expected[n] == '\n');
                got += m + (got[m] == '\n');
                line++;
        }
        if (*expected || *got)
                fail_msg("%s.plan:%u\n  expected: %.*s\n  got:      %.*s\n(`make bless` if that is right)",
                         name, line, (int)strcspn(expected, "\n"), expected, (int)strcspn(got, "\n"), got);
}

/* Without what differs between a text and its twin: columns, excerpts, keys given twice. */
static char *comparable(const char *text, const char *file)
{
        _cleanup_free_ char *place = xasprintf("%s.tmpl:", file);
        struct text out = TEXT_INIT;

        while (*text) {
                size_t n = strcspn(text, "\n");
                _cleanup_free_ char *line = xstrndup(text, n);
                char *rest = line, *found = strstr(line, place);

                text += n + (text[n] == '\n');
                if (strstr(line, ": given twice") && strchr(line, '/'))
                        continue;
                for (; found; found = strstr(rest, place)) {
                        char *column = found + strlen(place) + strspn(found + strlen(place), "0123456789");

                        text_add_bytes(&out, rest, (size_t)(column - rest));
                        rest = *column == ':' ? column + 1 + strspn(column + 1, "0123456789") : column;
                }
                text_addf(&out, "%s\n", rest);
        }
        return text_take(&out);
}

static void add_messages(const struct error *err, struct text *out)
{
        for (; err; err = err->next) {
                _cleanup_free_ char *text = error_text(err);

                text_addf(out, "%s\n", text);
        }
}

/* The same attributes as VM XML give the same plan, and the same errors in the same lines. */
static void check_xml_twin(struct golden_case *golden, const struct launch_plan *plan,
                           const struct error *err)
{
        struct golden_case again = on_same_host(golden);
        _cleanup_text_ struct text expected = TEXT_INIT, got = TEXT_INIT;
        _cleanup_free_ char *twin = NULL, *wanted = NULL, *found = NULL;
        struct launch_plan *plan_again = NULL;
        const char *why_none = NULL;
        struct error *err_again = NULL;

        /* A text that is none has no twin, and XML is its own. */
        if (!golden->template || golden->template->is_xml)
                return;
        twin = xml_twin(golden->template, &why_none);
        if (!twin) {
                if (!strstr(golden->text, "# NO_XML: ") || !strstr(golden->text, why_none))
                        fail_msg("%s: there is no XML of it (%s), and # NO_XML: does not say so",
                                 golden->name, why_none);
                return;
        }
        if (plan)
                add_plan(golden, plan, &expected);
        else
                add_messages(err, &expected);
        if (build_plan(&again, twin, &plan_again, &err_again) == 0)
                add_plan(&again, plan_again, &got);
        else
                add_messages(err_again, &got);
        wanted = comparable(text_str(&expected), golden->name);
        found = comparable(text_str(&got), golden->name);
        error_free(err_again);
        launch_plan_free(plan_again);
        plan_done(&again);
        compare("XML twin of the text, and ", wanted, found);
}

/* Written by hand, and not by `make bless`. */
static void check_effects(const struct golden_case *golden, const struct launch_plan *plan)
{
        _cleanup_free_ char *text = launch_plan_text(plan);
        size_t cursor = 0;

        for (;;) {
                _cleanup_free_ char *effect = next_line(golden->text, "EFFECT", &cursor);

                if (!effect)
                        return;
                if (!strstr(text, effect))
                        fail_msg("%s: '%s' is not in the plan", golden->name, effect);
        }
}

/* explain names it, and the error of a step that fails. */
static void check_reasons(const struct launch_plan *plan)
{
        for (size_t i = 0; i < plan->n_args; i++)
                if (!*plan->args[i].because)
                        fail_msg("'%s' has no reason", plan->args[i].text);
        for (size_t i = 0; i < plan->n_steps; i++)
                if (!*plan->steps[i].because)
                        fail_msg("step %zu (%s) has no reason", i, plan_effect_name(plan->steps[i].effect));
}

static void gives_its_plan(void **state)
{
        struct golden_case golden = { .name = *state };
        _cleanup_free_ char *template_path = xasprintf("%s/%s.tmpl", GOLDEN_DIR, golden.name);
        _cleanup_free_ char *plan_path = xasprintf("%s/%s.plan", GOLDEN_DIR, golden.name), *expected = NULL;
        _cleanup_text_ struct text out = TEXT_INIT;
        struct launch_plan *plan = NULL;
        struct error *err = NULL;
        size_t cursor = 0;
        _cleanup_free_ char *expect_error = NULL;

        golden.text = read_file(template_path);
        assert_non_null(golden.text);
        expect_error = next_line(golden.text, "EXPECT_ERROR", &cursor);
        read_host(&golden);
        if (build_plan(&golden, golden.text, &plan, &err) == 0) {
                add_plan(&golden, plan, &out);
                check_xml_twin(&golden, plan, NULL);
                check_live_template(&golden, plan);
                check_reasons(plan);
                check_effects(&golden, plan);
                if (expect_error)
                        fail_msg("%s: planned, though an error is expected", golden.name);
        } else {
                add_errors(err, &out);
                check_xml_twin(&golden, NULL, err);
                if (!expect_error || error_exit_status(err) != atoi(expect_error))
                        fail_msg("%s: exit status %d\n%s", golden.name, error_exit_status(err),
                                 text_str(&out));
        }
        if (getenv("BLESS")) {
                struct error *write_error = NULL;

                if (fd_write_file_at(AT_FDCWD, plan_path, text_str(&out), out.length, 0644, 0, &write_error) <
                    0)
                        fail_msg("%s", write_error->message);
        } else {
                expected = read_file(plan_path);
                if (!expected)
                        fail_msg("%s: there is no %s (`make bless`)", golden.name, plan_path);
                compare(golden.name, expected, text_str(&out));
        }
        error_free(err);
        launch_plan_free(plan);
        golden_done(&golden);
}

/* The sentence of # TEST:, in the words of a test name. */
static char *test_name(const char *name)
{
        _cleanup_free_ char *path = xasprintf("%s/%s.tmpl", GOLDEN_DIR, name), *text = read_file(path);
        size_t cursor = 0;
        char *sentence = text ? next_line(text, "TEST", &cursor) : NULL;

        return sentence ? sentence : xstrdup(name);
}

int main(void)
{
        struct dirent **entries;
        int n = scandir(GOLDEN_DIR, &entries, is_template, alphasort), failed;
        struct CMUnitTest *tests;

        if (n <= 0) {
                fprintf(stderr, "no templates in %s: run from the top of the source\n", GOLDEN_DIR);
                return 1;
        }
        tests = xcalloc((size_t)n, sizeof(*tests));
        for (int i = 0; i < n; i++) {
                char *name = xstrndup(entries[i]->d_name, strlen(entries[i]->d_name) - strlen(".tmpl"));

                tests[i] = (struct CMUnitTest){
                        .name = test_name(name),
                        .test_func = gives_its_plan,
                        .initial_state = name,
                };
                free(entries[i]);
        }
        free(entries);
        failed = _cmocka_run_group_tests("golden", tests, (size_t)n, NULL, NULL);
        for (int i = 0; i < n; i++) {
                free((char *)tests[i].name);
                free(tests[i].initial_state);
        }
        free(tests);
        return failed;
}
