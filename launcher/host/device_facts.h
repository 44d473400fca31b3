/*
 * device_facts - what the plan has to know of devices, directories and programs that a template's devices need; read as
 * far as the template names them.
 *
 * To and from JSON, so that a test can be a host with other hardware:
 *   {"swtpm": "/usr/bin/swtpm", "virtiofsd": null, "files": [{"path": "/dev/hwrng", "exists": true, "mode": 8576, ...}]}
 */
#pragma once

#include <jansson.h>

#include "conf/site.h"
#include "conf/vm_spec.h"
#include "launcher/host/host_facts.h"
#include "launcher/host/hostdev_facts.h"

struct device_file {
        char *path;
        struct file_facts facts;
};

struct device_facts {
        char *swtpm, *virtiofsd; /* absolute paths; NULL: not on this host, or not needed */
        char *passt;             /* the same */
        char *passt_fault;       /* why it does not work here; NULL: it does, or is not needed */
        struct device_file *files;
        size_t n_files;
        /* Those of spec->filesystems: their storage may not answer, so the caller reads them. */
        struct file_facts *directories;
        size_t n_directories;
        struct hostdev_facts hostdevs; /* as far as the spec asks for any; the nodes are among files */
};

int device_facts_read(const struct vm_spec *spec, const struct site *site, struct device_facts **ret,
                      struct error **err);
/* directories are not part of it. */
int device_facts_from_json(const json_t *json, struct device_facts **ret, struct error **err);
void device_facts_free(struct device_facts *facts);
DEFINE_FREEP(struct device_facts, device_facts_free)

/* What is known of a path; one that nobody looked at does not exist. */
struct file_facts device_facts_file(const struct device_facts *facts, const char *path);
