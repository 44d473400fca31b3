#include "launcher/host/host_facts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/group.h"
#include "base/text.h"
#include "conf/template.h"
#include "launcher/host/memory_facts.h"
#include "launcher/state/machine_lock.h"
#include "launcher/state/state_dir.h"

#define KVM_NODE      "/dev/kvm"
#define VHOST_NODE    "/dev/vhost-net"
#define CPUS_MAX      NUMBER_LIST_END
#define CLAIMED_MAX   65536
#define ADDRESSES_MAX 65536
#define CPU_LIST_MAX  65536

static void file_closep(FILE **file)
{
        if (*file)
                fclose(*file);
}

/* Not sysconf(), which in some versions of glibc counts the caller's affinity mask instead. */
static int read_cpus(struct number_list *ret, struct error **err)
{
        static const char path[] = "/sys/devices/system/cpu/online";
        _cleanup_free_ char *list = NULL;

        if (fd_read_file_at(AT_FDCWD, path, CPU_LIST_MAX, &list, NULL, err) < 0)
                return -1;
        if (!number_list_parse(list, ret))
                return error_set(err, ERROR_HOST, "'%s' is no list of CPUs", path);
        return 0;
}

/* Does the first "flags" line name vmx (Intel) or svm (AMD)? The CPUs of one host agree on that. */
static int read_virt(bool *ret, struct error **err)
{
        _cleanup_(file_closep) FILE *file = fopen("/proc/cpuinfo", "re");
        _cleanup_free_ char *line = NULL;
        size_t size = 0;

        if (!file)
                return error_os(err, errno, "open '/proc/cpuinfo'");
        *ret = false;
        while (getline(&line, &size, file) > 0)
                if (text_starts_with(line, "flags")) {
                        *ret = cgroup_has_word(line, "\t \n", "vmx") || cgroup_has_word(line, "\t \n", "svm");
                        break;
                }
        return 0;
}

static char *group_name(gid_t gid)
{
        _cleanup_free_ char *text = group_file_read();
        char *rest = text;
        const char *name;
        uint32_t each;

        while (group_next(&rest, &name, &each))
                if (each == gid)
                        return xstrdup(name);
        return NULL;
}

/* A lock that cannot be read does not keep other VMs from starting: RUN/uids still keeps two running ones
 * apart. */
int host_claims_read(const struct paths *paths, struct host_facts *facts, struct error **err)
{
        char **names = NULL;

        if (facts->has_claims)
                return 0;
        if (directory_vm_names(paths->state, &names, err) < 0)
                return -1;
        facts->has_claims = true;
        for (size_t i = 0; names[i] && facts->n_claimed_uids < CLAIMED_MAX; i++) {
                struct error *problem = NULL;
                unsigned port;
                uid_t uid;
                int there = machine_lock_read_claims(paths->state, names[i], &uid, &port, &problem);

                if (there < 0) {
                        error_wrap(&problem, "uid of VM '%s' is not known", names[i]);
                        error_append(&facts->warnings, problem);
                } else if (there) {
                        ARRAY_GROW(facts->claimed_uids, facts->n_claimed_uids);
                        facts->claimed_uids[facts->n_claimed_uids++] =
                                (struct claimed_uid){ .uid = uid, .port = port, .vm = xstrdup(names[i]) };
                }
        }
        names_free(names);
        return 0;
}

unsigned host_facts_needed(const struct vm_spec *spec)
{
        return (spec->accel != ACCEL_TCG ? HOST_FACTS_CPU | HOST_FACTS_KVM : 0) |
               (spec->blkiotune.weight || spec->memtune.swap_hard_limit ? HOST_FACTS_CGROUP_FILES : 0) |
               (vm_spec_has_hugepages(spec) || spec->n_numatunes || spec->memory_encryption.type
                        ? HOST_FACTS_MEMORY
                        : 0);
}

int host_facts_read(unsigned needed, struct host_facts **ret, struct error **err)
{
        _cleanup_(host_facts_freep) struct host_facts *facts = xcalloc(1, sizeof(*facts));
        struct utsname uts;

        if (uname(&uts) < 0)
                return error_os(err, errno, "uname");
        facts->arch = xstrdup(uts.machine);
        facts->kernel = xstrdup(uts.release);
        if (read_cpus(&facts->online, err) < 0)
                return -1;
        facts->cpus = number_list_count(&facts->online);
        facts->cpu_has_virt = true;
        if ((needed & HOST_FACTS_KVM) && (file_facts_read(KVM_NODE, &facts->kvm_node, err) < 0 ||
                                          file_facts_read(VHOST_NODE, &facts->vhost_net, err) < 0))
                return -1;
        if ((needed & HOST_FACTS_CPU) && facts->kvm_node.exists &&
            (strcmp(facts->arch, "x86_64") == 0 || strcmp(facts->arch, "i686") == 0) &&
            read_virt(&facts->cpu_has_virt, err) < 0)
                return -1;
        if (facts->kvm_node.exists)
                facts->kvm_group = group_name(facts->kvm_node.gid);
        systemd_facts_read(&facts->systemd);
        if ((needed & HOST_FACTS_MEMORY) && memory_facts_read(facts, err) < 0)
                return -1;
        if (facts->sev.node.exists)
                facts->sev_group = group_name(facts->sev.node.gid);
        if (cgroup_host_read("", &facts->cgroup, err) < 0)
                return -1;
        if (needed & HOST_FACTS_CGROUP_FILES)
                cgroup_host_find_files("", &facts->cgroup);
        *ret = TAKE_PTR(facts);
        return 0;
}

void host_facts_free(struct host_facts *facts)
{
        if (!facts)
                return;
        free(facts->arch);
        free(facts->kernel);
        free(facts->kvm_group);
        free(facts->sev_group);
        cgroup_host_done(&facts->cgroup);
        for (size_t i = 0; i < facts->n_claimed_uids; i++)
                free(facts->claimed_uids[i].vm);
        free(facts->claimed_uids);
        for (size_t i = 0; i < facts->n_addresses; i++)
                free(facts->addresses[i]);
        free(facts->addresses);
        error_free(facts->warnings);
        free(facts);
}

json_t *host_facts_to_json(const struct host_facts *facts)
{
        json_t *claimed = json_array(), *addresses = facts->n_addresses ? json_array() : NULL, *json;
        _cleanup_free_ char *online = number_list_text(&facts->online);
        bool has_gaps = number_list_has(&facts->online, facts->cpus - 1) == false;

        for (size_t i = 0; i < facts->n_claimed_uids; i++)
                json_array_append_new(
                        claimed, json_pack("{s:I, s:s, s:o*}", "uid", (json_int_t)facts->claimed_uids[i].uid,
                                           "vm", facts->claimed_uids[i].vm, "port",
                                           facts->claimed_uids[i].port
                                                   ? json_integer((json_int_t)facts->claimed_uids[i].port)
                                                   : NULL));
        for (size_t i = 0; i < facts->n_addresses; i++)
                json_array_append_new(addresses, json_string(facts->addresses[i]));
        json = json_pack("{s:s, s:s, s:I, s:s*, s:b, s:o, s:s?, s:o*, s:o, s:o, s:o*}", "arch", facts->arch,
                         "kernel", facts->kernel, "cpus", (json_int_t)facts->cpus, "online",
                         has_gaps ? online : NULL, "cpu-has-virt", (int)facts->cpu_has_virt, "kvm-node",
                         file_facts_to_json(&facts->kvm_node), "kvm-group", facts->kvm_group, "vhost-net",
                         facts->vhost_net.exists ? file_facts_to_json(&facts->vhost_net) : NULL, "cgroup",
                         cgroup_host_to_json(&facts->cgroup), "claimed-uids", claimed, "addresses",
                         addresses);
        memory_facts_to_json(facts, json);
        systemd_facts_to_json(&facts->systemd, json);
        return json;
}

static int claimed_from_json(const json_t *json, struct host_facts *facts, struct error **err)
{
        json_t *entry;
        size_t i;

        json_array_foreach (json, i, entry) {
                const char *vm;
                json_int_t uid, port = 0;
                json_error_t why;

                if (json_unpack_ex(entry, &why, 0, "{s:I, s:s, s?I}", "uid", &uid, "vm", &vm, "port", &port) <
                    0)
                        return error_set(err, ERROR_FAILED, "host facts: claimed-uids: %s", why.text);
                if (uid < 0 || uid > UINT32_MAX || port < 0 || port > UINT16_MAX || i >= CLAIMED_MAX)
                        return error_set(err, ERROR_FAILED, "host facts: claimed-uids: out of range");
                ARRAY_GROW(facts->claimed_uids, facts->n_claimed_uids);
                facts->claimed_uids[facts->n_claimed_uids++] =
                        (struct claimed_uid){ .uid = (uid_t)uid, .port = (unsigned)port, .vm = xstrdup(vm) };
        }
        return 0;
}

static void add_address(struct host_facts *facts, const char *address)
{
        for (size_t i = 0; i < facts->n_addresses; i++)
                if (strcmp(facts->addresses[i], address) == 0)
                        return;
        ARRAY_GROW(facts->addresses, facts->n_addresses);
        facts->addresses[facts->n_addresses++] = xstrdup(address);
}

static int addresses_from_json(const json_t *json, struct host_facts *facts, struct error **err)
{
        json_t *entry;
        size_t i;

        json_array_foreach (json, i, entry) {
                if (!json_is_string(entry) || i >= ADDRESSES_MAX)
                        return error_set(err, ERROR_FAILED,
                                         "host facts: addresses: not a string, or too many");
                add_address(facts, json_string_value(entry));
        }
        return 0;
}

int host_facts_from_json(const json_t *json, struct host_facts **ret, struct error **err)
{
        _cleanup_(host_facts_freep) struct host_facts *facts = xcalloc(1, sizeof(*facts));
        const char *arch, *kernel, *kvm_group = NULL, *online = NULL;
        json_t *kvm_node, *vhost_net = NULL, *cgroup, *claimed, *group = NULL, *addresses = NULL;
        json_error_t why;
        json_int_t cpus;
        int has_virt;

        if (json_unpack_ex((json_t *)json, &why, 0, "{s:s, s:s, s:I, s?s, s:b, s:o, s?o, s?o, s:o, s:o, s?o}",
                           "arch", &arch, "kernel", &kernel, "cpus", &cpus, "online", &online, "cpu-has-virt",
                           &has_virt, "kvm-node", &kvm_node, "kvm-group", &group, "vhost-net", &vhost_net,
                           "cgroup", &cgroup, "claimed-uids", &claimed, "addresses", &addresses) < 0)
                return error_set(err, ERROR_FAILED, "host facts: %s", why.text);
        if (cpus < 1 || cpus > CPUS_MAX)
                return error_set(err, ERROR_FAILED, "host facts: cpus is out of range");
        if (group && !json_is_null(group)) {
                kvm_group = json_string_value(group);
                if (!kvm_group)
                        return error_set(err, ERROR_FAILED, "host facts: kvm-group is no string");
        }
        systemd_facts_from_json(json_object_get(json, "systemd"), &facts->systemd);
        if (!json_is_array(claimed))
                return error_set(err, ERROR_FAILED, "host facts: claimed-uids is no array");
        facts->arch = xstrdup(arch);
        facts->kernel = xstrdup(kernel);
        facts->kvm_group = xstrdup_null(kvm_group);
        facts->cpus = (unsigned)cpus;
        if (online && !number_list_parse(online, &facts->online))
                return error_set(err, ERROR_FAILED, "host facts: online is no list of CPUs");
        for (unsigned n = 0; !online && n < facts->cpus; n++)
                number_list_add(&facts->online, n);
        facts->cpu_has_virt = has_virt;
        if (file_facts_from_json(kvm_node, "host facts: kvm-node", &facts->kvm_node, err) < 0 ||
            (vhost_net &&
             file_facts_from_json(vhost_net, "host facts: vhost-net", &facts->vhost_net, err) < 0) ||
            memory_facts_from_json(json, facts, err) < 0 ||
            cgroup_host_from_json(cgroup, &facts->cgroup, err) < 0 ||
            claimed_from_json(claimed, facts, err) < 0 || addresses_from_json(addresses, facts, err) < 0)
                return -1;
        *ret = TAKE_PTR(facts);
        return 0;
}

bool address_equal(const char *a, const char *b)
{
        uint8_t x[16], y[16];

        if (inet_pton(AF_INET, a, x) == 1 && inet_pton(AF_INET, b, y) == 1)
                return memcmp(x, y, 4) == 0;
        return inet_pton(AF_INET6, a, x) == 1 && inet_pton(AF_INET6, b, y) == 1 && memcmp(x, y, 16) == 0;
}

int host_addresses_read(struct host_facts *facts, struct error **err)
{
        struct ifaddrs *all;

        if (getifaddrs(&all) < 0)
                return error_os(err, errno, "list the host's addresses");
        for (const struct ifaddrs *one = all; one && facts->n_addresses < ADDRESSES_MAX;
             one = one->ifa_next) {
                char text[INET6_ADDRSTRLEN];
                const void *bytes = NULL;
                int family = one->ifa_addr ? one->ifa_addr->sa_family : AF_UNSPEC;

                if (family == AF_INET)
                        bytes = &((const struct sockaddr_in *)(const void *)one->ifa_addr)->sin_addr;
                else if (family == AF_INET6)
                        bytes = &((const struct sockaddr_in6 *)(const void *)one->ifa_addr)->sin6_addr;
                if (bytes && inet_ntop(family, bytes, text, sizeof(text)))
                        add_address(facts, text);
        }
        freeifaddrs(all);
        return 0;
}
