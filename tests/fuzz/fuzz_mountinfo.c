/*
 * The texts that say which control groups a host has: mountinfo and, after a line "--", /proc/cgroups, which
 * also stands for cgroup.controllers. A hierarchy that is found has a place and a controller.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cgroups/cgroup_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *text = xstrndup((const char *)data, size);
        char *second = strstr(text, "\n--\n");
        _cleanup_cgroup_host_ struct cgroup_host host = { 0 };

        if (second) {
                second[1] = '\0';
                second += 4;
        }
        cgroup_host_parse(text, second ? second : "", second, &host);
        if ((cgroup_host_version(&host) == 0) != (host.kind == CGROUP_NONE))
                abort();
        for (size_t i = 0; i < host.n_v1; i++)
                if (host.v1[i].mount[0] != '/' || !*host.v1[i].controllers)
                        abort();
        return 0;
}
