/* Prints this host's facts and those of the QEMU given, as tests/golden/hosts/ keeps them. */
#include <stdio.h>

#include "conf/site.h"
#include "launcher/host/host_facts.h"
#include "launcher/host/qemu_facts.h"

static int complain(struct error *err)
{
        _cleanup_free_ char *text = error_text(err);

        fprintf(stderr, "record_host: %s\n", text);
        error_free(err);
        return 1;
}

int main(int argc, char **argv)
{
        struct paths paths;
        struct host_facts *host = NULL;
        struct qemu_facts *qemu = NULL;
        struct error *err = NULL;
        json_t *json;

        if (argc != 2) {
                fprintf(stderr, "usage: record_host /usr/bin/qemu-system-x86_64\n");
                return 2;
        }
        paths_init(&paths, NULL, NULL);
        if (host_facts_read(HOST_FACTS_ALL, &host, &err) < 0 ||
            qemu_facts_get(argv[1], &paths, false, &qemu, &err) < 0)
                return complain(err);
        systemd_bus_read(&host->systemd);
        json = json_pack("{s:o, s:o}", "host", host_facts_to_json(host), "qemu", qemu_facts_to_json(qemu));
        json_dumpf(json, stdout, JSON_INDENT(1));
        putchar('\n');
        json_decref(json);
        host_facts_free(host);
        qemu_facts_free(qemu);
        paths_done(&paths);
        return 0;
}
