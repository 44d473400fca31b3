#include "launcher/host/memory_facts.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include "base/fd.h"
#include "base/text.h"

#define HUGEPAGES_DIR "/sys/kernel/mm/hugepages"
#define SEV_NODE      "/dev/sev"
#define NODES_FILE    "/sys/devices/system/node/has_memory"
#define MEMINFO_MAX   65536

static int by_size(const void *a, const void *b)
{
        const uint64_t *x = a, *y = b;

        return *x < *y ? -1 : *x > *y;
}

/* Directories hugepages-2048kB. */
static void read_sizes(struct host_facts *facts)
{
        DIR *dir = opendir(HUGEPAGES_DIR);
        const struct dirent *entry;
        unsigned long long kib;
        int end;

        while (dir && (entry = readdir(dir))) {
                if (sscanf(entry->d_name, "hugepages-%llukB%n", &kib, &end) == 1 && !entry->d_name[end] &&
                    facts->n_hugepage_sizes < HUGEPAGE_SIZES_MAX)
                        facts->hugepage_sizes[facts->n_hugepage_sizes++] = kib * 1024;
        }
        if (dir)
                closedir(dir);
        qsort(facts->hugepage_sizes, facts->n_hugepage_sizes, sizeof(facts->hugepage_sizes[0]), by_size);
}

static int read_default(struct host_facts *facts, struct error **err)
{
        _cleanup_free_ char *text = NULL;
        unsigned long long kib;
        const char *line;

        if (fd_read_file_at(AT_FDCWD, "/proc/meminfo", MEMINFO_MAX, &text, NULL, err) < 0)
                return -1;
        line = strstr(text, "\nHugepagesize:");
        if (line && sscanf(line, "\nHugepagesize: %llu kB", &kib) == 1)
                facts->hugepage_default = kib * 1024;
        return 0;
}

/* A kernel without CONFIG_NUMA has no such file. */
static void read_nodes(struct number_list *ret)
{
        _cleanup_free_ char *list = NULL;
        struct error *ignored = NULL;

        if (fd_read_file_at(AT_FDCWD, NODES_FILE, MEMINFO_MAX, &list, NULL, &ignored) < 0)
                error_free(ignored);
        else
                number_list_parse(list, ret);
}

/* "Y" or "1" in /sys/module/kvm_amd/parameters. */
static bool module_says_yes(const char *parameter)
{
        _cleanup_free_ char *path = xasprintf("/sys/module/kvm_amd/parameters/%s", parameter), *text = NULL;
        struct error *ignored = NULL;

        if (fd_read_file_at(AT_FDCWD, path, 16, &text, NULL, &ignored) < 0) {
                error_free(ignored);
                return false;
        }
        return *text == 'Y' || *text == '1';
}

static int read_sev(struct sev_facts *sev, struct error **err)
{
#if defined(__x86_64__) || defined(__i386__)
        unsigned eax, ebx, ecx, edx;

        /* AMD64 Architecture Programmer's Manual 3, CPUID Fn8000_001F: EAX bit 1 SEV, bit 3 SEV-ES. */
        if (__get_cpuid(0x8000001f, &eax, &ebx, &ecx, &edx) && (eax & 2)) {
                sev->cbitpos = ebx & 0x3f;
                sev->reduced_phys_bits = (ebx >> 6) & 0x3f;
                sev->sev = module_says_yes("sev");
                sev->sev_es = (eax & 8) && module_says_yes("sev_es");
        }
#endif
        return file_facts_read(SEV_NODE, &sev->node, err);
}

int memory_facts_read(struct host_facts *facts, struct error **err)
{
        read_sizes(facts);
        read_nodes(&facts->nodes);
        return read_default(facts, err) < 0 ? -1 : read_sev(&facts->sev, err);
}

void memory_facts_to_json(const struct host_facts *facts, json_t *json)
{
        const struct sev_facts *sev = &facts->sev;
        _cleanup_free_ char *nodes = number_list_text(&facts->nodes);
        json_t *sizes = json_array();

        for (size_t i = 0; i < facts->n_hugepage_sizes; i++)
                json_array_append_new(sizes, json_integer((json_int_t)facts->hugepage_sizes[i]));
        json_object_set_new(
                json, "hugepages",
                json_pack("{s:I, s:o}", "default", (json_int_t)facts->hugepage_default, "sizes", sizes));
        if (strcmp(nodes, "0") != 0)
                json_object_set_new(json, "nodes", json_string(nodes));
        if (sev->sev)
                json_object_set_new(json, "sev",
                                    json_pack("{s:b, s:i, s:i, s:o, s:s?}", "es", sev->sev_es, "cbitpos",
                                              (int)sev->cbitpos, "reduced-phys-bits",
                                              (int)sev->reduced_phys_bits, "node",
                                              file_facts_to_json(&sev->node), "group", facts->sev_group));
}

int memory_facts_from_json(const json_t *json, struct host_facts *facts, struct error **err)
{
        json_t *hugepages = json_object_get(json, "hugepages"), *sev = json_object_get(json, "sev"), *sizes,
               *size;
        const json_t *nodes = json_object_get(json, "nodes");
        json_t *node, *group = NULL;
        json_int_t usual;
        json_error_t why;
        size_t i;
        int es, cbitpos, reduced;

        if (!nodes)
                number_list_add(&facts->nodes, 0);
        else if (!json_is_string(nodes) ||
                 (json_string_length(nodes) && !number_list_parse(json_string_value(nodes), &facts->nodes)))
                return error_set(err, ERROR_FAILED, "host facts: nodes is no list of memory nodes");
        if (hugepages) {
                if (json_unpack_ex(hugepages, &why, 0, "{s:I, s:o}", "default", &usual, "sizes", &sizes) < 0)
                        return error_set(err, ERROR_FAILED, "host facts: hugepages: %s", why.text);
                facts->hugepage_default = (uint64_t)usual;
                json_array_foreach (sizes, i, size)
                        if (json_integer_value(size) > 0 && facts->n_hugepage_sizes < HUGEPAGE_SIZES_MAX)
                                facts->hugepage_sizes[facts->n_hugepage_sizes++] =
                                        (uint64_t)json_integer_value(size);
        }
        if (!sev)
                return 0;
        if (json_unpack_ex(sev, &why, 0, "{s:b, s:i, s:i, s:o, s?o}", "es", &es, "cbitpos", &cbitpos,
                           "reduced-phys-bits", &reduced, "node", &node, "group", &group) < 0)
                return error_set(err, ERROR_FAILED, "host facts: sev: %s", why.text);
        facts->sev.sev = true;
        facts->sev.sev_es = es;
        facts->sev.cbitpos = (unsigned)cbitpos & 0x3f;
        facts->sev.reduced_phys_bits = (unsigned)reduced & 0x3f;
        facts->sev_group = xstrdup_null(json_string_value(group));
        return file_facts_from_json(node, "host facts: sev: node", &facts->sev.node, err);
}
