/*
 * Golden plans: each tests/golden/NAME.tmpl is planned for a recorded host and compared with NAME.plan. With
 * BLESS=1 in the environment (`make bless`) NAME.plan is written instead. What comments of the template say:
 *
 *   # TEST: sentence                      the test's name
 *   # HOST: debian12-v1                   tests/golden/hosts/debian12-v1.json: {"host": ..., "qemu": ..., "firmware": ...}
 *   # HOST_FACTS: {"cpus": 2}             members of "host" that are others
 *   # IMAGE: /path format=qcow2 size=N [backing=/other] [block] [encrypted]
 *   # FILE: /path mode=0644 [dir] [uid=N] a kernel, initrd or shared directory that exists, owned by root
 *   # DEVICES: {...}                      nodes, programs and hardware (launcher/host/device_facts.h)
 *   # ZONE: RULE                           the rule of CLOCK/TIMEZONE's zone; without, there is no such zone
 *   # CLOCK: ADJUSTMENT CHANGE             what an earlier run of this VM has made of its clock
 *   # KVMRC: line                          a line of kvmrc
 *   # CLAIMED: UID NAME [PORT]            another VM's machine.lock keeps this uid, and this port
 *   # LOCK: line                          a line of machine.lock
 *   # DRIVER: line, # CLUSTER: line, # HOST_CONF: line   a line of vmm_exec_kvm.conf, cluster.conf, host.conf
 *   # USER: UID [GID...]                 of an ordinary user's instance, with these further groups
 *   # MANAGER: cpu memory                the user has a systemd of its own, which was given these controllers
 *   # UNIT: service                       it is run by its unit; or: scope, started by hand
 *   # EXPECT_ERROR: 6                     planning fails with this exit status; NAME.plan has the message
 *   # NO_XML: control character           why the template has no twin in XML, which is planned as well
 *   # EFFECT: words                       what libvirt makes of a snippet (libvirt-behaviour): they are in the plan
 *   # EXPLAIN                             NAME.plan ends with what explain says
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/spec_build.h"
#include "conf/spec_pending.h"
#include "launcher/plan/expander.h"
#include "launcher/plan/plan_build.h"
#include "launcher/run/state_compare.h"
#include "launcher/run/unit.h"
#include "tests/unit/xml_twin.h"

#define GOLDEN_DIR "tests/golden"
#define FILE_MAX   (1 << 20)

struct golden_case {
        char *name; /* "disk-virtio" */
        char *text;
        struct template *template;
        struct site *site;
        struct vm_spec *spec;
        struct host_facts *host;
        struct qemu_facts *qemu;
        struct machine_lock *lock;
        struct firmware_list *firmware;
        struct clock_state *clock;
        char *zone;
        struct image_chain **chains;
        char *unit;
        struct device_facts *devices;
        struct plan_input input;
};

static char *read_file(const char *path)
{
        struct error *err = NULL;
        char *text = NULL;

        if (fd_read_file_at(AT_FDCWD, path, FILE_MAX, &text, NULL, &err) < 0)
                error_free(err);
        return text;
}

/* The next "# WORD: rest" line from *cursor on; new string, NULL: no more. */
static char *next_line(const char *text, const char *word, size_t *cursor)
{
        _cleanup_free_ char *start = xasprintf("# %s: ", word);

        for (const char *line = text + *cursor; *line;) {
                size_t n = strcspn(line, "\n");
                const char *next = line + n + (line[n] == '\n');

                if (text_starts_with(line, start)) {
                        *cursor = (size_t)(next - text);
                        return xstrndup(line + strlen(start), n - strlen(start));
                }
                line = next;
        }
        return NULL;
}

/* All lines of this word, each ended; NULL: none. */
static char *all_lines(const char *text, const char *word)
{
        struct text out = TEXT_INIT;
        size_t cursor = 0;

        for (;;) {
                _cleanup_free_ char *line = next_line(text, word, &cursor);

                if (!line)
                        return out.length ? text_take(&out) : NULL;
                text_addf(&out, "%s\n", line);
        }
}

/* The value of key=value among the words of the line, "" when there is none; new string. */
static char *word_value(const char *line, const char *key)
{
        _cleanup_free_ char *start = xasprintf(" %s=", key);
        const char *found = strstr(line, start);

        return found ? xstrndup(found + strlen(start), strcspn(found + strlen(start), " ")) : xstrdup("");
}

static char *image_line(const char *text, const char *path)
{
        size_t cursor = 0;

        for (;;) {
                _cleanup_free_ char *line = next_line(text, "IMAGE", &cursor);

                if (!line)
                        return NULL;
                if (strcspn(line, " ") == strlen(path) && text_starts_with(line, path))
                        return TAKE_PTR(line);
        }
}

static int read_chain(const struct golden_case *golden, const struct disk_spec *disk,
                      struct image_chain **ret, struct error **err)
{
        struct image_chain *chain = xcalloc(1, sizeof(*chain));
        char *path = xstrdup(disk->path);

        while (*path) {
                _cleanup_free_ char *line = image_line(golden->text, path);
                _cleanup_free_ char *format = line ? word_value(line, "format") : NULL;
                _cleanup_free_ char *size = line ? word_value(line, "size") : NULL;
                struct image_layer layer = { .path = path };

                if (!line) {
                        error_set(err, ERROR_INVALID, "there is no image '%s'", path);
                        free(path);
                        image_chain_free(chain);
                        return -1;
                }
                layer.format = chain->n_layers == 0 ? disk->format : disk_format_by_name(format);
                layer.encrypted = strstr(line, " encrypted") != NULL;
                text_parse_u64(size, &layer.virtual_size);
                layer.file = (struct file_facts){
                        .exists = true,
                        .mode = (strstr(line, " block") ? S_IFBLK : S_IFREG) | 0644,
                        .size = layer.virtual_size,
                };
                ARRAY_GROW(chain->layers, chain->n_layers);
                chain->layers[chain->n_layers++] = layer;
                path = word_value(line, "backing");
        }
        free(path);
        *ret = chain;
        return 0;
}

static void read_file_facts(const struct golden_case *golden, const char *path, struct file_facts *ret)
{
        size_t cursor = 0;

        for (;;) {
                _cleanup_free_ char *line = next_line(golden->text, "FILE", &cursor), *mode = NULL,
                                    *uid = NULL;

                if (!line)
                        return;
                if (!path || strcspn(line, " ") != strlen(path) || !text_starts_with(line, path))
                        continue;
                mode = word_value(line, "mode");
                uid = word_value(line, "uid");
                *ret = (struct file_facts){
                        .exists = true,
                        .mode = (strstr(line, " dir") ? S_IFDIR : S_IFREG) | (mode_t)strtoul(mode, NULL, 8),
                        .uid = (uid_t)strtoul(uid, NULL, 10),
                        .gid = (gid_t)strtoul(uid, NULL, 10),
                        .size = 4096,
                };
        }
}

static void read_host(struct golden_case *golden)
{
        size_t cursor = 0;
        _cleanup_free_ char *name = next_line(golden->text, "HOST", &cursor);
        _cleanup_free_ char *path = name ? xasprintf("%s/hosts/%s.json", GOLDEN_DIR, name) : NULL;
        json_auto_t *json = path ? json_load_file(path, 0, NULL) : NULL;
        struct error *err = NULL;

        if (!json)
                fail_msg("%s: no recorded host '%s'", golden->name, name ? name : "");
        for (cursor = 0;;) {
                _cleanup_free_ char *line = next_line(golden->text, "HOST_FACTS", &cursor);
                json_auto_t *facts = line ? json_loads(line, 0, NULL) : NULL;

                if (!line)
                        break;
                if (json_object_update(json_object_get(json, "host"), facts) < 0)
                        fail_msg("%s: HOST_FACTS are no object", golden->name);
        }
        if (host_facts_from_json(json_object_get(json, "host"), &golden->host, &err) < 0 ||
            qemu_facts_from_json(json_object_get(json, "qemu"), &golden->qemu, &err) < 0)
                fail_msg("%s: %s", path, err->message);
        if (firmware_list_from_json(json_object_get(json, "firmware"), &golden->firmware, &err) < 0)
                fail_msg("%s: %s", path, err->message);
        for (cursor = 0;;) {
                _cleanup_free_ char *line = next_line(golden->text, "CLAIMED", &cursor);
                struct host_facts *host = golden->host;

                if (!line)
                        return;
                host->claimed_uids = xreallocarray(host->claimed_uids, host->n_claimed_uids + 1,
                                                   sizeof(host->claimed_uids[0]));
                host->claimed_uids[host->n_claimed_uids++] = (struct claimed_uid){
                        .uid = (uid_t)strtoul(line, NULL, 10),
                        .port = strrchr(line, ' ') > strchr(line, ' ') ? (unsigned)atoi(strrchr(line, ' '))
                                                                       : 0,
                        .vm = xstrndup(strchr(line, ' ') + 1, strcspn(strchr(line, ' ') + 1, " ")),
                };
        }
}

static void read_clock(struct golden_case *golden)
{
        size_t cursor = 0;
        _cleanup_free_ char *line = next_line(golden->text, "CLOCK", &cursor);
        long long adjustment, change;

        cursor = 0;
        golden->zone = next_line(golden->text, "ZONE", &cursor);
        if (!line)
                return;
        assert_int_equal(sscanf(line, "%lld %lld", &adjustment, &change), 2);
        golden->clock = xcalloc(1, sizeof(*golden->clock));
        golden->clock->uuid = xstrdup(golden->spec->uuid_text);
        golden->clock->adjustment = adjustment;
        golden->clock->change = change;
}

static int read_site(struct golden_case *golden, const char *driver, const char *cluster,
                     const char *host_conf, const char *kvmrc, struct error **err)
{
        size_t cursor = 0;
        _cleanup_free_ char *line = next_line(golden->text, "USER", &cursor), *manager = NULL;
        gid_t groups[8];
        struct owner owner = { .user = true,
                               .groups = groups,
                               .config = (char *)"/home/u/.config",
                               .data = (char *)"/home/u/.local/share",
                               .state = (char *)"/home/u/.local/state",
                               .cache = (char *)"/home/u/.cache",
                               .runtime = (char *)"/run/user/1000" };

        if (!line)
                return site_from_text(NULL, driver, cluster, host_conf, kvmrc, &golden->site, err);
        for (char *save = NULL, *word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
                if (!owner.uid)
                        owner.uid = owner.gid = (uid_t)atoi(word);
                else if (owner.n_groups < ARRAY_SIZE(groups))
                        groups[owner.n_groups++] = (gid_t)atoi(word);
        }
        cursor = 0;
        manager = next_line(golden->text, "MANAGER", &cursor);
        if (manager) {
                owner.manager_group = (char *)"user.slice/user-1000.slice/user@1000.service";
                owner.manager_controllers = manager;
        }
        return site_of_user(NULL, &owner, host_conf, &golden->site, err);
}

static void choose_group(struct golden_case *golden)
{
        size_t cursor = 0;
        _cleanup_free_ char *kind = next_line(golden->text, "UNIT", &cursor);

        if (golden->site->owner.user) {
                golden->input.group = golden->site->owner.manager_group ? PLAN_GROUP_SCOPE : PLAN_GROUP_NONE;
                golden->unit = unit_scope_name(&golden->site->paths, golden->spec->name);
                golden->input.unit = golden->unit;
                return;
        }
        if (!kind)
                return;
        if (strcmp(kind, "service") == 0) {
                golden->input.group = PLAN_GROUP_SERVICE;
                golden->unit = unit_service_name(golden->spec->name);
        } else {
                golden->input.group = PLAN_GROUP_SCOPE;
                golden->unit = unit_scope_name(&golden->site->paths, golden->spec->name);
        }
        golden->input.unit = golden->unit;
}

static int read_devices(struct golden_case *golden, struct error **err)
{
        size_t cursor = 0, n = golden->spec->n_filesystems;
        _cleanup_free_ char *line = next_line(golden->text, "DEVICES", &cursor);
        json_error_t why = { 0 };
        json_auto_t *json = json_loads(line ? line : "{}", 0, &why);

        if (!json)
                fail_msg("%s: DEVICES: %s", golden->name, why.text);
        if (device_facts_from_json(json, &golden->devices, err) < 0)
                return -1;
        golden->devices->directories = xcalloc(n + 1, sizeof(struct file_facts));
        golden->devices->n_directories = n;
        for (size_t i = 0; i < n; i++)
                read_file_facts(golden, golden->spec->filesystems[i].source,
                                &golden->devices->directories[i]);
        golden->input.devices = golden->devices;
        return 0;
}

/* Everything after the host; text is the template's. */
static int build_plan(struct golden_case *golden, const char *template_text, struct launch_plan **ret,
                      struct error **err)
{
        _cleanup_free_ char *driver = all_lines(golden->text, "DRIVER"), *file = NULL;
        _cleanup_free_ char *cluster = all_lines(golden->text, "CLUSTER");
        _cleanup_free_ char *host_conf = all_lines(golden->text, "HOST_CONF");
        _cleanup_free_ char *lock = all_lines(golden->text, "LOCK"),
                            *kvmrc = all_lines(golden->text, "KVMRC");

        file = xasprintf("%s.tmpl", golden->name);
        if (template_parse(file, template_text, strlen(template_text), &golden->template, err) < 0 ||
            read_site(golden, driver, cluster, host_conf, kvmrc, err) < 0 ||
            spec_build(golden->template, golden->site, "/vm", golden->name, &golden->spec, err) < 0)
                return -1;
        read_clock(golden);
        if (lock && machine_lock_parse("machine.lock", lock, &golden->lock, err) < 0)
                return -1;
        golden->chains = xcalloc(golden->spec->n_disks + 1, sizeof(*golden->chains));
        for (size_t i = 0; i < golden->spec->n_disks; i++)
                if (golden->spec->disks[i].path && *golden->spec->disks[i].path &&
                    read_chain(golden, &golden->spec->disks[i], &golden->chains[i], err) < 0)
                        return -1;
        golden->input = (struct plan_input){
                .spec = golden->spec,
                .site = golden->site,
                .host = golden->host,
                .qemu = golden->qemu,
                .firmware = golden->firmware,
                .chains = golden->chains,
                .lock = golden->lock,
                .timezone_rule = golden->zone,
                .clock = golden->clock,
        };
        choose_group(golden);
        read_file_facts(golden, golden->spec->os.kernel, &golden->input.kernel);
        read_file_facts(golden, golden->spec->os.initrd, &golden->input.initrd);
        return read_devices(golden, err) < 0 ? -1 : plan_build(&golden->input, ret, err);
}

/* All but name, text and host. */
static void plan_done(struct golden_case *golden)
{
        for (size_t i = 0; golden->chains && i < golden->spec->n_disks; i++)
                image_chain_free(golden->chains[i]);
        free(golden->chains);
        device_facts_free(golden->devices);
        machine_lock_free(golden->lock);
        clock_state_free(golden->clock);
        free(golden->zone);
        vm_spec_free(golden->spec);
        site_free(golden->site);
        template_free(golden->template);
        free(golden->unit);
}

static void golden_done(struct golden_case *golden)
{
        plan_done(golden);
        host_facts_free(golden->host);
        qemu_facts_free(golden->qemu);
        firmware_list_free(golden->firmware);
        free(golden->text);
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

/* live.tmpl is a template: planned, it gives the same QEMU again. */
static void check_live_template(const struct golden_case *golden, const struct launch_plan *plan)
{
        struct golden_case again = {
                .name = golden->name,
                .text = golden->text,
                .host = golden->host,
                .qemu = golden->qemu,
                .firmware = golden->firmware,
        };
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
        argv_again = launch_plan_argv(plan_again);
        assert_string_equal(argv, argv_again);
        launch_plan_free(plan_again);
        plan_done(&again);
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

/* What a comparison expects of a QEMU that runs is what the plan gives it. */
static void check_running(const struct golden_case *golden, const struct launch_plan *plan)
{
        json_auto_t *expected = state_expected(golden->spec);

        check_option(golden, plan, "-device", "driver", json_object_get(expected, "devices"));
        check_option(golden, plan, "-netdev", "type", json_object_get(expected, "netdevs"));
        check_option(golden, plan, "-object", "qom-type", json_object_get(expected, "objects"));
        check_option(golden, plan, "-blockdev", "driver", json_object_get(expected, "nodes"));
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
        struct golden_case again = {
                .name = golden->name,
                .text = golden->text,
                .host = golden->host,
                .qemu = golden->qemu,
                .firmware = golden->firmware,
        };
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
                check_running(&golden, plan);
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

static int is_template(const struct dirent *entry)
{
        return text_ends_with(entry->d_name, ".tmpl");
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
