/*
 * A fragment from a client: taken only when each step of it is of the tables and of the role, and then all of it is
 * there; its changes of live.tmpl give a template or an error.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/site.h"
#include "launcher/run/fragment.h"
#include "launcher/run/live_template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIVE \
        "NAME = \"web\"\nCPU = \"1\"\nMEMORY = \"256 MiB\"\nNIC = [\n  BRIDGE = \"br0\",\n  TARGET = \"t0\"\n]\n"

static void check_steps(const struct fragment *fragment, enum control_role role)
{
        for (size_t i = 0; i < fragment->n_steps; i++) {
                const struct fragment_step *step = &fragment->steps[i];
                _cleanup_free_ char *text = fragment_step_text(fragment, i);

                if (!text || !json_is_object(step->args) ||
                    (step->effect == EFFECT_QMP) != (step->command != NULL))
                        abort();
                if (step->command ? step->command->role > role : role < ROLE_ADMIN)
                        abort();
                if (step->command &&
                    (!json_is_array(step->undo) || step->command->takes_fd != (step->fd != NULL)))
                        abort();
        }
}

static void check_live(const struct fragment *fragment)
{
        static struct site *site;
        _cleanup_error_ struct error *err = NULL;
        _cleanup_free_ char *text = NULL;

        if (!fragment->live)
                return;
        if (!site && site_from_text(NULL, NULL, NULL, NULL, NULL, &site, &err) < 0)
                abort();
        text = live_template_change(LIVE, fragment->live, site, "web", &err);
        if (!text == !err)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct fragment_vm vm = { .name = "web",
                                               .generation = "0123456789abcdef",
                                               .link_group = 17,
                                               .cgroup = "machine.slice/vmlaunch-web",
                                               .unit = "vmlaunch@web.service" };
        json_auto_t *json = json_loadb((const char *)data, size, 0, NULL);
        json_auto_t *devices = json_pack("[{s:s, s:s}]", "id", "nic0", "kind", "nic");

        for (int role = ROLE_OPERATOR; json && role <= ROLE_ADMIN; role++) {
                _cleanup_(fragment_freep) struct fragment *fragment = NULL;
                _cleanup_error_ struct error *err = NULL;
                size_t n_fds = json_array_size(json_object_get(json, "fds"));
                int result = fragment_read(json, &vm, (enum control_role)role, n_fds > 16 ? 16 : n_fds,
                                           &fragment, &err);
                json_auto_t *after = NULL;

                if ((result == 0) != (fragment != NULL) || (result == 0) != (err == NULL))
                        abort();
                if (!fragment)
                        continue;
                check_steps(fragment, (enum control_role)role);
                check_live(fragment);
                after = fragment_devices(devices, fragment->devices);
                if (!json_is_array(after))
                        abort();
        }
        return 0;
}
