/* Prints the facts of this machine and its QEMU as JSON: input of the golden plans (tests/golden/hosts/). */
#include <stdio.h>

#include "base/error.h"
#include "launcher/host/firmware.h"
#include "launcher/host/host_facts.h"
#include "launcher/host/qemu_facts.h"

static int fail(const struct error *err)
{
        _cleanup_free_ char *text = error_text(err);

        fprintf(stderr, "record_facts: %s\n", text);
        return 1;
}

int main(int argc, char **argv)
{
        const char *path = argc > 1 ? argv[1] : "/usr/bin/qemu-system-x86_64";
        /* A directory that is not there: no cache is read or written, and no VM has a uid. */
        char nowhere[] = "/nonexistent";
        const struct paths paths = { .root = nowhere,
                                     .etc = nowhere,
                                     .run = nowhere,
                                     .state = nowhere,
                                     .log = nowhere,
                                     .cache = nowhere };
        _cleanup_(host_facts_freep) struct host_facts *host = NULL;
        _cleanup_(qemu_facts_freep) struct qemu_facts *qemu = NULL;
        _cleanup_(firmware_list_freep) struct firmware_list *firmware = NULL;
        const char *const firmware_dirs[] = { "/usr/share/qemu/firmware", NULL };
        /* Of those that OVMF_UEFIS names the ones without a descriptor. */
        const char *const firmware_files[] = { "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd",
                                               NULL };
        _cleanup_error_ struct error *err = NULL;
        json_auto_t *json = NULL;

        if (host_facts_read(HOST_FACTS_ALL, &host, &err) < 0 ||
            qemu_facts_get(path, &paths, false, &qemu, &err) < 0)
                return fail(err);
        systemd_bus_read(&host->systemd);
        if (firmware_list_read(firmware_dirs, firmware_files, &firmware, &err) < 0)
                return fail(err);
        json = json_pack("{s:o, s:o, s:o}", "host", host_facts_to_json(host), "qemu",
                         qemu_facts_to_json(qemu), "firmware", firmware_list_to_json(firmware));
        json_dumpf(json, stdout, JSON_INDENT(1));
        putchar('\n');
        return 0;
}
