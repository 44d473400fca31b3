/* Guest memory: its objects, the NUMA nodes they belong to, and what the host does with their pages. */
#include "launcher/plan/memory.h"

#include <inttypes.h>
#include <string.h>

#include "launcher/plan/affinity.h"

#define VIRTIO_MEM_BLOCK  (2ull << 20)
#define VIRTIO_MEM_OBJECT "ram-vmem0"
/* AMD's SEV API, policy: no debugging (1), no sharing of the key (2); ES: encrypted registers (4). */
#define SEV_POLICY    3
#define SEV_ES_POLICY 7

const char *memory_backend_type(const struct vm_spec *spec)
{
        bool is_file = spec->memory_shared || vm_spec_has_hugepages(spec);

        return is_file ? "memory-backend-memfd" : "memory-backend-ram";
}

bool memory_has_virtio_mem(const struct vm_spec *spec)
{
        return spec->memory_resize_mode == MEMORY_VIRTIO_MEM && vm_spec_memory_room(spec);
}

void memory_objects(const struct vm_spec *spec, memory_object_fn *fn, void *data)
{
        if (!spec->n_numa_nodes)
                fn("ram0", NULL, vm_spec_ram(spec), data);
        for (size_t i = 0; i < spec->n_numa_nodes; i++) {
                _cleanup_free_ char *id = xasprintf("ram%zu", i);

                if (spec->numa_nodes[i].memory)
                        fn(id, &spec->numa_nodes[i], spec->numa_nodes[i].memory, data);
        }
        if (memory_has_virtio_mem(spec))
                fn(VIRTIO_MEM_OBJECT, NULL, vm_spec_memory_room(spec), data);
}

/* 0: ordinary pages. */
static uint64_t hugepage_size(const struct build *build)
{
        const struct vm_spec *spec = build->spec;

        if (!vm_spec_has_hugepages(spec))
                return 0;
        return spec->topology.hugepage_size ? spec->topology.hugepage_size
                                            : build->in->host->hugepage_default;
}

static uint64_t virtio_mem_block(const struct build *build)
{
        uint64_t page = hugepage_size(build);

        return page > VIRTIO_MEM_BLOCK ? page : VIRTIO_MEM_BLOCK;
}

static const char *hugepage_reference(const struct build *build)
{
        return build->spec->topology.hugepage_size ? "TOPOLOGY/HUGEPAGE_SIZE" : "MEMORY_BACKING/HUGEPAGES";
}

struct page_check {
        const struct build *build;
        struct error **err;
        uint64_t page;
        int result;
};

static int not_whole(const struct page_check *check, const char *reference, const char *size)
{
        _cleanup_free_ char *page = text_from_size(check->page);

        return build_error(check->build, check->err, ERROR_INVALID, reference,
                           "%s is no whole number of huge pages of %s", size, page);
}

static void check_whole_pages(const char *id, const struct numa_node_spec *node, uint64_t size, void *data)
{
        struct page_check *check = data;
        _cleanup_free_ char *reference = node ? xasprintf("NUMA_NODE[%u]/MEMORY", node->id) : NULL;
        _cleanup_free_ char *shown = text_from_size(size);
        const char *name = reference                            ? reference
                           : strcmp(id, VIRTIO_MEM_OBJECT) == 0 ? "MEMORY_MAX"
                                                                : "MEMORY";

        if (check->result == 0 && size % check->page)
                check->result = not_whole(check, name, shown);
}

static int check_hugepages(const struct build *build, struct error **err)
{
        const struct host_facts *host = build->in->host;
        struct page_check check = { .build = build, .err = err, .page = hugepage_size(build) };
        _cleanup_text_ struct text sizes = TEXT_INIT;
        _cleanup_free_ char *wanted = text_from_size(check.page);
        bool found = false;

        if (!vm_spec_has_hugepages(build->spec))
                return 0;
        for (size_t i = 0; i < host->n_hugepage_sizes; i++) {
                _cleanup_free_ char *size = text_from_size(host->hugepage_sizes[i]);

                found = found || host->hugepage_sizes[i] == check.page;
                text_addf(&sizes, "%s%s", i ? ", " : "", size);
        }
        if (!host->n_hugepage_sizes)
                return build_error(build, err, ERROR_HOST, hugepage_reference(build),
                                   "this host has no huge pages");
        if (!found)
                return build_error(build, err, ERROR_HOST, hugepage_reference(build),
                                   "this host has no huge pages of %s, but of %s", wanted, text_str(&sizes));
        memory_objects(build->spec, check_whole_pages, &check);
        for (size_t i = 0; i < build->spec->n_dimms && check.result == 0; i++) {
                _cleanup_free_ char *reference = xasprintf("DIMM[%zu]/SIZE", i),
                                    *size = text_from_size(build->spec->dimms[i].size);

                if (build->spec->dimms[i].size % check.page)
                        check.result = not_whole(&check, reference, size);
        }
        return check.result;
}

static int check_encryption(struct build *build, struct error **err)
{
        const struct host_facts *host = build->in->host;
        const struct file_facts *node = &host->sev.node;
        enum memory_encryption type = build->spec->memory_encryption.type;
        /* Never in group 0, as with /dev/kvm. */
        gid_t group = node->gid ? node->gid : (gid_t)-1;
        static const char reference[] = "MEMORY_ENCRYPTION/TYPE";

        if (type == MEMORY_ENCRYPTION_NONE)
                return 0;
        if (build->accel != ACCEL_KVM)
                return build_error(build, err, ERROR_HOST, reference, "needs KVM");
        if (!host->sev.sev || (type == MEMORY_ENCRYPTION_SEV_ES && !host->sev.sev_es))
                return build_error(build, err, ERROR_HOST, reference, "this host has no %s",
                                   type == MEMORY_ENCRYPTION_SEV ? "SEV" : "SEV-ES");
        if (!node->exists || !S_ISCHR(node->mode))
                return build_error(build, err, ERROR_HOST, reference, "there is no /dev/sev");
        if (!confine_allows(build, node, group, true, true)) {
                build_error(build, err, ERROR_HOST, reference,
                            "the VM's user may not open /dev/sev, even in the node's group");
                return error_hint(
                        err,
                        "a udev rule can give it a group: KERNEL==\"sev\", GROUP=\"kvm\", MODE=\"0660\"");
        }
        build->sev_group = node->gid != 0 && !build->in->site->owner.user;
        return 0;
}

int memory_check(struct build *build, struct error **err)
{
        const struct vm_spec *spec = build->spec;

        if (check_hugepages(build, err) < 0 || check_encryption(build, err) < 0)
                return -1;
        if (memory_has_virtio_mem(spec))
                return build_need_device(build, "MEMORY_RESIZE_MODE", "virtio-mem-pci", err);
        return 0;
}

void memory_machine_args(const struct build *build, struct text *value, struct text *because)
{
        const struct vm_spec *spec = build->spec;
        const struct memory_backing_spec *backing = &spec->memory_backing;

        if (!spec->n_numa_nodes)
                keyval_add(value, "memory-backend", "ram0");
        if (!backing->dump_core)
                keyval_add(value, "dump-guest-core", "off");
        build_refer(build, because, "MEMORY_BACKING/DUMP_CORE");
        if (backing->nosharepages) {
                keyval_add(value, "mem-merge", "off");
                build_refer(build, because, "MEMORY_BACKING/NOSHAREPAGES");
        }
        if (spec->memory_encryption.type != MEMORY_ENCRYPTION_NONE) {
                keyval_add(value, "confidential-guest-support", "sev0");
                build_refer(build, because, "MEMORY_ENCRYPTION/TYPE");
        }
}

void memory_add_backing(const struct build *build, json_t *object, bool is_spare, struct text *because)
{
        const struct vm_spec *spec = build->spec;
        uint64_t page = hugepage_size(build);

        if (strcmp(memory_backend_type(spec), "memory-backend-memfd") == 0) {
                /* Its default is shared, unlike that of the others. */
                json_object_set_new(object, "share", json_boolean(spec->memory_shared));
                if (spec->memory_shared)
                        build_refer(build, because, "%s", spec->memory_shared_by);
        }
        if (!page)
                return;
        json_object_set_new(object, "hugetlb", json_true());
        json_object_set_new(object, "hugetlbsize", json_integer((json_int_t)page));
        /* Later a page that is not there is SIGBUS. */
        if (!is_spare)
                json_object_set_new(object, "prealloc", json_true());
        build_refer(build, because, "%s", hugepage_reference(build));
}

static void add_object(const char *id, const struct numa_node_spec *node, uint64_t size, void *data)
{
        struct build *build = data;
        const struct vm_spec *spec = build->spec;
        bool is_spare = strcmp(id, VIRTIO_MEM_OBJECT) == 0;
        _cleanup_text_ struct text because = TEXT_INIT;
        json_t *object = json_pack("{s:s, s:s, s:I}", "qom-type", memory_backend_type(spec), "id", id, "size",
                                   (json_int_t)size);

        if (node)
                build_refer(build, &because, "NUMA_NODE[%u]/MEMORY", node->id);
        else if (!is_spare && vm_spec_ram(spec) == spec->memory)
                build_refer(build, &because, "MEMORY");
        else
                build_refer(build, &because, "MEMORY_MAX");
        if (is_spare)
                build_refer(build, &because, "MEMORY_RESIZE_MODE");
        memory_add_backing(build, object, is_spare, &because);
        if (is_spare)
                json_object_set_new(object, "reserve", json_false());
        affinity_add_policy(build, node ? node->id : 0, object, &because);
        build_json(build, text_str(&because), "-object", object);
}

static void add_size(struct build *build)
{
        const struct vm_spec *spec = build->spec;
        uint64_t ram = vm_spec_ram(spec), room = vm_spec_memory_room(spec);
        _cleanup_text_ struct text value = TEXT_INIT, because = TEXT_INIT;

        keyval_add(&value, "size", "%" PRIu64 "K", ram / 1024);
        build_refer(build, &because, "MEMORY");
        if (ram > spec->memory || room) {
                build_refer(build, &because, "MEMORY_MAX");
                build_refer(build, &because, "MEMORY_RESIZE_MODE");
        }
        if (room && spec->memory_resize_mode == MEMORY_HOTPLUG) {
                keyval_add(&value, "slots", "%u", spec->memory_slots);
                build_refer(build, &because, "MEMORY_SLOTS");
        }
        if (room)
                keyval_add(&value, "maxmem", "%" PRIu64 "K", (ram + room) / 1024);
        build_option(build, text_str(&because), "-m", "%s", text_str(&value));
}

static void add_encryption(struct build *build)
{
        const struct sev_facts *sev = &build->in->host->sev;
        enum memory_encryption type = build->spec->memory_encryption.type;

        if (type == MEMORY_ENCRYPTION_NONE)
                return;
        build_json(build, "MEMORY_ENCRYPTION/TYPE", "-object",
                   json_pack("{s:s, s:s, s:i, s:i, s:i}", "qom-type", "sev-guest", "id", "sev0", "policy",
                             type == MEMORY_ENCRYPTION_SEV ? SEV_POLICY : SEV_ES_POLICY, "cbitpos",
                             (int)sev->cbitpos, "reduced-phys-bits", (int)sev->reduced_phys_bits));
}

void memory_args(struct build *build)
{
        const struct vm_spec *spec = build->spec;

        add_size(build);
        if (spec->memory_backing.locked)
                build_option(build, "MEMORY_BACKING/LOCKED", "-overcommit", "mem-lock=on");
        memory_objects(spec, add_object, build);
        add_encryption(build);
        numa_args(build);
}

void memory_device_args(struct build *build)
{
        uint64_t block = virtio_mem_block(build);
        json_t *device;

        if (!memory_has_virtio_mem(build->spec))
                return;
        device = json_pack("{s:s, s:s, s:s, s:I, s:I}", "driver", "virtio-mem-pci", "id", "vmem0", "memdev",
                           VIRTIO_MEM_OBJECT, "block-size", (json_int_t)block, "requested-size",
                           (json_int_t)build->spec->memory_plugged);
        /* A block of huge pages that cannot be had is then refused, instead of SIGBUS later. */
        if (hugepage_size(build))
                json_object_set_new(device, "prealloc", json_true());
        build_set_address(device, build_pci_address(build, "vmem0"));
        build_json(build, "MEMORY_MAX MEMORY_RESIZE_MODE", "-device", device);
        build_device(build, json_pack("{s:s, s:s, s:I, s:I}", "id", "vmem0", "kind", "memory", "size",
                                      (json_int_t)build->spec->memory_plugged, "max",
                                      (json_int_t)vm_spec_memory_room(build->spec)));
}

void memory_confine(struct build *build)
{
        const struct vm_spec *spec = build->spec;
        struct plan_confinement *confine = &build->plan->confine;

        confine->no_thp = !spec->memory_backing.thp;
        if (spec->memory_backing.locked || spec->memory_encryption.type != MEMORY_ENCRYPTION_NONE)
                confine->memlock = spec->memtune.hard_limit ? spec->memtune.hard_limit : UINT64_MAX;
}
