/*
 * difference - what another template says of a running VM that live.tmpl does not, one by one, and whether it can be so now.
 *
 * For `update VM --file` and `dump --diff`. Repeated vectors are matched by what people know them by (device_kind.h), not by
 * their number or place.
 */
#pragma once

#include "launcher/verb/change.h"

enum difference_effect {
        DIFFERENCE_NONE,       /* in the words only */
        DIFFERENCE_NOW,        /* can be done while it runs */
        DIFFERENCE_NEXT_START, /* comes with the next start */
        DIFFERENCE_IMPOSSIBLE, /* why says so */
};

enum difference_kind { DIFFERENCE_VALUE, DIFFERENCE_ADDED, DIFFERENCE_REMOVED };

struct difference {
        enum difference_kind kind;
        enum difference_effect effect;
        bool takes_away;    /* now: the guest gives something back, which is a change of its own */
        char *vector;       /* NULL: a single attribute */
        size_t at;          /* DIFFERENCE_VALUE, _REMOVED of a vector: which attribute of live.tmpl */
        size_t wanted_at;   /* DIFFERENCE_ADDED: which one of the other template */
        char *key;          /* of a value; NULL: the whole vector */
        char *name;         /* "DISK vdb CACHE", for people */
        char *was, *wanted; /* NULL: nothing */
        char *why;
};

struct differences {
        struct difference *items;
        size_t n;
        struct template *wanted; /* the other template as its spec has it */
        char *wanted_text;
        struct error *warnings; /* of the other template; a list, owned */
};

/* base_dir: of the template's relative paths. What has no effect is left out. */
int differences_find(struct change *change, const struct template *template, const char *base_dir,
                     struct differences *ret, struct error **err);
void differences_done(struct differences *differences);
#define _cleanup_differences_ _cleanup_(differences_done)

/* Makes the difference in change->edit. Removals shift what is behind them: last first. */
void difference_apply(struct change *change, const struct differences *differences,
                      const struct difference *difference);
const char *difference_effect_name(enum difference_effect effect);
