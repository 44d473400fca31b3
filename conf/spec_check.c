/* Rules that span attributes. */
#include <string.h>

#include "base/text.h"
#include "conf/agent_allow.h"
#include "conf/spec_rules.h"

static const struct source_pos *place(const struct attr_section *section, const void *record, const char *key)
{
        return &spec_origin(section, record, key)->pos;
}

static void check_required(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        struct source_pos file = { .file = builder->template->file };

        if (!spec_is_given(&attr_vm, spec, "MEMORY"))
                spec_fail(builder, &file, "MEMORY: has to be given (for example MEMORY = \"2 GiB\")");
}

/* DESIGN section 5.2. What the host's own configuration names is always fine; root without a list is the plan's. */
static void check_emulator(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        const struct site *site = builder->site;
        const struct origin *origin = spec_origin(&attr_vm, spec, "EMULATOR");
        const struct template *const layers[] = { site->host, site->cluster, site->driver };
        _cleanup_free_ char *shown = NULL;

        if (!spec->emulator || !*spec->emulator)
                return;
        shown = text_printable(spec->emulator);
        if (*spec->emulator != '/' && strchr(spec->emulator, '/'))
                spec_fail(builder, &origin->pos,
                          "EMULATOR: '%s' is neither an absolute path nor a plain name", shown);
        if (origin->layer != LAYER_TEMPLATE || !site->emulators)
                return;
        for (size_t i = 0; site->emulators[i]; i++)
                if (strcmp(site->emulators[i], spec->emulator) == 0)
                        return;
        for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
                size_t start = 0;
                const struct template_attribute *single = template_next(layers[i], "EMULATOR", false, &start);

                if (single && strcmp(single->value, spec->emulator) == 0)
                        return;
        }
        spec_fail(builder, &origin->pos, "EMULATOR: '%s' is not on the EMULATORS list of host.conf", shown);
}

/* INITRD, KERNEL_CMD and ROOT mean nothing to firmware. From a layer they are defaults for those VMs that have a
 * kernel. */
static void check_kernel(struct spec_builder *builder)
{
        struct os_spec *os = &builder->spec->os;
        const struct {
                const char *key;
                char **field;
        } followers[] = { { "INITRD", &os->initrd },
                          { "KERNEL_CMD", &os->kernel_cmd },
                          { "ROOT", &os->root } };

        if (os->root && *os->root == '/') {
                const char *device = os->root + strspn(os->root, "/");

                if (text_starts_with(device, "dev/"))
                        device += 4;
                spec_fail(builder, place(&attr_os, os, "ROOT"),
                          "OS/ROOT: is a device's name without /dev/ (try ROOT = \"%s\")", device);
        }
        if (os->kernel && *os->kernel)
                return;
        for (size_t i = 0; i < ARRAY_SIZE(followers); i++) {
                char **field = followers[i].field;

                if (!*field)
                        continue;
                if (spec_origin(&attr_os, os, followers[i].key)->layer == LAYER_TEMPLATE)
                        spec_fail(builder, place(&attr_os, os, followers[i].key),
                                  "OS/%s: goes with KERNEL, which is not given", followers[i].key);
                free(*field);
                *field = NULL;
        }
}

/* From a layer it is a default for those VMs that have the device. */
static void check_on_crash(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        const struct origin *origin = spec_origin(&attr_vm, spec, "ON_CRASH");

        if (spec->on_crash != CRASH_DESTROY && origin->layer == LAYER_TEMPLATE && !spec->panic.present)
                spec_fail(builder, &origin->pos,
                          "ON_CRASH: nothing tells of a panic without PANIC = [ MODEL = \"pci\" ]");
}

static void check_agent_allow(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;
        const struct origin *origin = spec_origin(&attr_vm, spec, "AGENT_ALLOW");
        _cleanup_free_ char *bad = spec->agent_allow ? agent_allow_bad_word(spec->agent_allow) : NULL;

        if (bad) {
                _cleanup_free_ char *shown = text_printable(bad);

                spec_fail(
                        builder, &origin->pos,
                        "AGENT_ALLOW: '%s' is no guest agent command (for example guest-exec or guest-file-*)",
                        shown);
        } else if (spec->agent_allow && origin->layer == LAYER_TEMPLATE && !spec->features.guest_agent) {
                spec_fail(builder, &origin->pos,
                          "AGENT_ALLOW: the VM has no guest agent (FEATURES/GUEST_AGENT)");
        }
}

void spec_check(struct spec_builder *builder)
{
        check_required(builder);
        check_emulator(builder);
        check_agent_allow(builder);
        check_on_crash(builder);
        check_kernel(builder);
        spec_check_firmware(builder);
        spec_check_disks(builder);
        spec_check_nics(builder);
        spec_check_display(builder);
        spec_check_board(builder);
        spec_check_hyperv(builder);
        spec_check_limits(builder);
        spec_check_capacity(builder);
}
