/* RAW: what the template language has no word for (conf/snippet.h reads it). */
#include <stddef.h>

#include "conf/attr.h"

static const struct attr raw_rows[] = {
        { "TYPE", .kind = ATTR_TEXT, .lookup = LOOKUP_D, .max = 64, .lands = "rule",
          .doc = "kvm: DATA is libvirt XML. Another word is for another hypervisor, and without effect here.",
          .source = "opennebula-semantics 3.14" },
        { "DATA", .kind = ATTR_TEXT, .lookup = LOOKUP_D, .lands = "rule",
          .doc = "Elements as they stand in libvirt's <domain>. Each means what the attributes mean that can say it; one "
                 "that none can say is an error. What the template itself says is stronger.",
          .source = "opennebula-semantics 3.14; libvirt-behaviour" },
        { "VALIDATE", .kind = ATTR_BOOL, .lookup = LOOKUP_D, .dflt = "yes", .lands = "rule",
          .doc = "no: an element that no attribute can say is left out with a warning.",
          .source = "opennebula-semantics 3.14; DESIGN 5.3" },
        LEFT_ALONE("DATA_VMX", "for another hypervisor"),
};

const struct attr_section attr_raw = {
        .name = "RAW",
        .repeats = true,
        .rows = raw_rows,
        .n_rows = ARRAY_SIZE(raw_rows),
        .doc = "libvirt XML, translated. A configuration file may have RAW as a plain attribute, for every VM.",
        .source = "opennebula-semantics 3.14",
};
