/* RAW: what the template language has no word for (conf/snippet.h reads it). */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

#define ATTR_OF struct raw_spec

static const struct attr raw_rows[] = {
        { "TYPE", TEXT(type), .lookup = LOOKUP_D, .max = 64, .lands = LANDS_RULE,
          .doc = "kvm: DATA is libvirt XML. qemu: DATA are arguments of QEMU. Another word is for another hypervisor, and "
                 "without effect here.",
          .source = "opennebula-semantics 3.14; DESIGN 5.3" },
        { "DATA", TEXT(data), .lookup = LOOKUP_D, .lands = LANDS_RULE,
          .doc = "kvm: elements as they stand in libvirt's <domain>. Each means what the attributes mean that can say it; "
                 "one that none can say is an error. What the template itself says is stronger. qemu: words that follow "
                 "all other arguments, with a shell's quotes and backslashes but no variables; options that an attribute "
                 "stands for or that vmlaunch relies on are errors.",
          .source = "opennebula-semantics 3.14; libvirt-behaviour; DESIGN 5.3" },
        { "ENV", TEXT(env), .lookup = LOOKUP_D, .lands = LANDS_ENVIRONMENT,
          .doc = "Of TYPE qemu: variables of QEMU's environment, which has no others, as words NAME=VALUE with a shell's "
                 "quotes: those of sound servers, of debugging output and of malloc. One that could have QEMU load a "
                 "program, or read what is not in the plan, is an error.",
          .source = "libvirt-behaviour 1; DESIGN 7" },
        { "VALIDATE", .kind = ATTR_BOOL, .lookup = LOOKUP_D, .dflt = "yes", .lands = LANDS_RULE,
          .doc = "no: an element that no attribute can say is left out with a warning. Of TYPE kvm.",
          .source = "opennebula-semantics 3.14; DESIGN 5.3" },
        LEFT_ALONE("DATA_VMX", "for another hypervisor"),
};

const struct attr_section attr_raw = {
        .name = "RAW",
        .repeats = true,
        .rows = raw_rows,
        .n_rows = ARRAY_SIZE(raw_rows),
        .doc = "libvirt XML, translated, or further arguments of QEMU. A configuration file may have RAW as a plain attribute, for every VM.",
        .source = "opennebula-semantics 3.14",
};
