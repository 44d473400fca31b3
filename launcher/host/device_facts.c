#include "launcher/host/device_facts.h"

#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/process.h"
#include "base/text.h"
#include "launcher/host/program.h"

#define PASST_DEADLINE_MS 2000

#define VSOCK_NODE "/dev/vhost-vsock"
#define VFIO_NODE  "/dev/vfio/vfio"
#define IOMMU_NODE "/dev/iommu"

static int look_at(struct device_facts *facts, const char *path, struct error **err)
{
        struct file_facts file;

        if (device_facts_file(facts, path).exists)
                return 0;
        if (file_facts_read(path, &file, err) < 0)
                return -1;
        ARRAY_GROW(facts->files, facts->n_files);
        facts->files[facts->n_files++] = (struct device_file){ .path = xstrdup(path), .facts = file };
        return 0;
}

static bool has_virtiofs(const struct vm_spec *spec)
{
        for (size_t i = 0; i < spec->n_filesystems; i++)
                if (spec->filesystems[i].driver == FILESYSTEM_VIRTIOFS)
                        return true;
        return false;
}

/*
 * It wants a route out, user namespaces and more, and says so by its end: at once, as its guest is gone already.
 */
static char *passt_try(const char *program)
{
        _cleanup_error_ struct error *why = NULL;
        struct process_result result = { 0 };
        _cleanup_close_ int ours = -1;
        const char *argv[] = { program, "--foreground", "--quiet", "--stderr", "--fd", NULL, NULL };
        _cleanup_free_ char *number = NULL;
        char *fault = NULL;
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return NULL;
        close(fds[1]);
        ours = fds[0];
        argv[5] = number = xasprintf("%d", ours);
        if (process_run(
                    &(struct process_options){
                            .argv = argv, .deadline_ms = PASST_DEADLINE_MS, .fds = &ours, .n_fds = 1 },
                    &result, &why) < 0)
                return error_text(why);
        if (result.status) {
                char *rest = result.stderr_text;

                /* Its last word; what it tells of a host without syslog is none. */
                for (char *line; (line = strsep(&rest, "\n"));)
                        if (*line && !text_starts_with(line, "Failed to send ")) {
                                free(fault);
                                fault = text_printable(line);
                        }
                if (!fault)
                        fault = xstrdup("it fails");
        }
        process_result_done(&result);
        return fault;
}

static void find_passt(const struct vm_spec *spec, struct device_facts *facts)
{
        for (size_t i = 0; i < spec->n_nics && !facts->passt; i++)
                if (spec->nics[i].bridge_type == NIC_BRIDGE_USER &&
                    spec->nics[i].backend != NIC_BACKEND_SLIRP)
                        facts->passt = program_find("passt");
        if (facts->passt)
                facts->passt_fault = passt_try(facts->passt);
}

/* The nodes of what the host has: which of them the plan wants is its own to decide. */
static int look_at_hostdevs(const struct vm_spec *spec, struct device_facts *facts, struct error **err)
{
        const struct hostdev_facts *hostdevs = &facts->hostdevs;

        if (!spec->n_pcis && !spec->n_usbs)
                return 0;
        if (hostdev_facts_read("/sys", spec, &facts->hostdevs, err) < 0 ||
            (spec->n_pcis && (look_at(facts, VFIO_NODE, err) < 0 || look_at(facts, IOMMU_NODE, err) < 0)))
                return -1;
        for (size_t i = 0; i < hostdevs->n_pcis + hostdevs->n_mdevs; i++) {
                const char *group = i < hostdevs->n_pcis ? hostdevs->pcis[i].group
                                                         : hostdevs->mdevs[i - hostdevs->n_pcis].group;
                _cleanup_free_ char *node = group ? vfio_group_node(group) : NULL;

                if (node && look_at(facts, node, err) < 0)
                        return -1;
                if (i < hostdevs->n_pcis && hostdevs->pcis[i].cdev) {
                        _cleanup_free_ char *own = vfio_device_node(hostdevs->pcis[i].cdev);

                        if (look_at(facts, own, err) < 0)
                                return -1;
                }
        }
        for (size_t i = 0; i < hostdevs->n_usbs; i++) {
                _cleanup_free_ char *node = usb_node(&hostdevs->usbs[i]);

                if (look_at(facts, node, err) < 0)
                        return -1;
        }
        return 0;
}

int device_facts_read(const struct vm_spec *spec, const struct site *site, struct device_facts **ret,
                      struct error **err)
{
        _cleanup_(device_facts_freep) struct device_facts *facts = xcalloc(1, sizeof(*facts));

        if (spec->tpm.present)
                facts->swtpm = program_find("swtpm");
        find_passt(spec, facts);
        if (has_virtiofs(spec))
                facts->virtiofsd = program_find_first(site->kvmrc.virtiofsd);
        if (spec->rng.present && *spec->rng.source == '/' && look_at(facts, spec->rng.source, err) < 0)
                return -1;
        if (spec->vsock.present && look_at(facts, VSOCK_NODE, err) < 0)
                return -1;
        if (look_at_hostdevs(spec, facts, err) < 0)
                return -1;
        facts->directories = xcalloc(spec->n_filesystems + 1, sizeof(*facts->directories));
        facts->n_directories = spec->n_filesystems;
        *ret = TAKE_PTR(facts);
        return 0;
}

struct file_facts device_facts_file(const struct device_facts *facts, const char *path)
{
        for (size_t i = 0; i < facts->n_files; i++)
                if (strcmp(facts->files[i].path, path) == 0)
                        return facts->files[i].facts;
        return (struct file_facts){ 0 };
}

static int files_from_json(const json_t *json, struct device_facts *facts, struct error **err)
{
        json_t *entry;
        size_t i;

        json_array_foreach (json, i, entry) {
                const char *path = json_member_string(entry, "path");
                struct file_facts file;

                if (!path)
                        return error_set(err, ERROR_FAILED, "device facts: a file without path");
                if (file_facts_from_json(entry, "device facts: a file", &file, err) < 0)
                        return -1;
                ARRAY_GROW(facts->files, facts->n_files);
                facts->files[facts->n_files++] = (struct device_file){ .path = xstrdup(path), .facts = file };
        }
        return 0;
}

int device_facts_from_json(const json_t *json, struct device_facts **ret, struct error **err)
{
        _cleanup_(device_facts_freep) struct device_facts *facts = xcalloc(1, sizeof(*facts));
        const json_t *files = json_object_get(json, "files");

        if (!json_is_object(json) || (files && !json_is_array(files)))
                return error_set(err, ERROR_FAILED, "device facts: not an object with an array of files");
        facts->swtpm = xstrdup_null(json_member_string(json, "swtpm"));
        facts->virtiofsd = xstrdup_null(json_member_string(json, "virtiofsd"));
        facts->passt = xstrdup_null(json_member_string(json, "passt"));
        facts->passt_fault = xstrdup_null(json_member_string(json, "passt-fault"));
        if (files_from_json(files, facts, err) < 0 ||
            hostdev_facts_from_json(json, &facts->hostdevs, err) < 0)
                return -1;
        *ret = TAKE_PTR(facts);
        return 0;
}

void device_facts_free(struct device_facts *facts)
{
        if (!facts)
                return;
        free(facts->swtpm);
        free(facts->virtiofsd);
        free(facts->passt);
        free(facts->passt_fault);
        for (size_t i = 0; i < facts->n_files; i++)
                free(facts->files[i].path);
        free(facts->files);
        free(facts->directories);
        hostdev_facts_done(&facts->hostdevs);
        free(facts);
}
