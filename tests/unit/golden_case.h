/*
 * golden_case - a golden's template, and what its comments say of host, files and layers; planned.
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
#pragma once

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
#include "launcher/plan/plan_build.h"
#include "launcher/run/unit.h"
#include "tests/unit/golden_files.h"

#define FILE_MAX (1 << 20)

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

static inline char *read_file(const char *path)
{
        struct error *err = NULL;
        char *text = NULL;

        if (fd_read_file_at(AT_FDCWD, path, FILE_MAX, &text, NULL, &err) < 0)
                error_free(err);
        return text;
}

/* The next "# WORD: rest" line from *cursor on; new string, NULL: no more. */
static inline char *next_line(const char *text, const char *word, size_t *cursor)
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
static inline char *all_lines(const char *text, const char *word)
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
static inline char *word_value(const char *line, const char *key)
{
        _cleanup_free_ char *start = xasprintf(" %s=", key);
        const char *found = strstr(line, start);

        return found ? xstrndup(found + strlen(start), strcspn(found + strlen(start), " ")) : xstrdup("");
}

static inline char *image_line(const char *text, const char *path)
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

static inline int read_chain(const struct golden_case *golden, const struct disk_spec *disk,
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

static inline void read_file_facts(const struct golden_case *golden, const char *path, struct file_facts *ret)
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

static inline void read_host(struct golden_case *golden)
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

static inline void read_clock(struct golden_case *golden)
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

static inline int read_site(struct golden_case *golden, const char *driver, const char *cluster,
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

static inline void choose_group(struct golden_case *golden)
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

static inline int read_devices(struct golden_case *golden, struct error **err)
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

/* What a start does not read for such a plan: it has to be the same without. */
static inline void forget_facts(struct host_facts *host, const struct plan_input *input)
{
        unsigned needed = host_facts_needed(input->spec);

        if (!(needed & HOST_FACTS_CPU))
                host->cpu_has_virt = true;
        if (!(needed & HOST_FACTS_KVM)) {
                host->kvm_node = host->vhost_net = (struct file_facts){ 0 };
                free(TAKE_PTR(host->kvm_group));
        }
        if (!(needed & HOST_FACTS_CGROUP_FILES))
                free(TAKE_PTR(host->cgroup.files));
        if (input->group != PLAN_GROUP_SCOPE || input->unit_group)
                host->systemd.has_bus = host->systemd.has_client = false;
        if (needed & HOST_FACTS_MEMORY)
                return;
        host->n_hugepage_sizes = 0;
        host->hugepage_default = 0;
        host->nodes = (struct number_list){ 0 };
        free(host->sev_group);
        host->sev_group = NULL;
        host->sev = (struct sev_facts){ 0 };
}

/* Everything after the host; text is the template's. */
static inline int build_plan(struct golden_case *golden, const char *template_text, struct launch_plan **ret,
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
        forget_facts(golden->host, &golden->input);
        read_file_facts(golden, golden->spec->os.kernel, &golden->input.kernel);
        read_file_facts(golden, golden->spec->os.initrd, &golden->input.initrd);
        return read_devices(golden, err) < 0 ? -1 : plan_build(&golden->input, ret, err);
}

/* All but name, text and host. */
static inline void plan_done(struct golden_case *golden)
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

static inline void golden_done(struct golden_case *golden)
{
        plan_done(golden);
        host_facts_free(golden->host);
        qemu_facts_free(golden->qemu);
        firmware_list_free(golden->firmware);
        free(golden->text);
}
