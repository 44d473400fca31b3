/*
 * origin - where each value of a spec came from.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Which text a value came from, weakest first (DESIGN section 5.2). */
enum layer {
        LAYER_NONE,     /* no value */
        LAYER_DEFAULT,  /* the row's default */
        LAYER_DRIVER,   /* vmm_exec_kvm.conf */
        LAYER_CLUSTER,  /* cluster.conf */
        LAYER_HOST,     /* host.conf */
        LAYER_TEMPLATE, /* the VM template */
        LAYER_RULE,     /* worked out from other values: UUID from NAME, MAC from UUID, TARGET from order */
};

struct origin {
        enum layer layer;
        bool is_wrong;         /* it could not be read, which has been said */
        bool text_is_rows;     /* .text is the row's own, of a default */
        struct source_pos pos; /* file owned by the spec's string pool; none for DEFAULT and RULE */
        const char *text;      /* the value as written, or the default's text; owned unless it is the row's */
};

/* Of a value that is the row's default. */
struct origin origin_of_default(const char *dflt);
/* As if nobody had given the value. */
void origin_done(struct origin *origin);

/* First member of every section struct. */
struct section {
        struct source_pos pos;  /* of the vector, or none */
        struct origin *origins; /* [attr_section.n_rows]; owned; NULL: they are those of blank */
        const struct spec_blank
                *blank; /* what it is when nobody gives anything (spec_blank.h); NULL: it was not filled */
};

/* What the word auto stores in a number where 0 already means something: a word's value of -1. */
#define SPEC_AUTO_U32 UINT32_MAX
#define SPEC_AUTO_U64 UINT64_MAX
