/*
 * outcome - what the answer to a client's request leaves behind, and what its callback does then.
 */
#pragma once

#include "tests/unit/peer.h"

struct fixture; /* each test's own */

struct outcome {
        struct fixture *fixture;
        unsigned calls;
        bool failed;
        enum error_code code;
        char *text; /* of the error */
        json_t *reply;
        bool free_client, ask_again;
};

static inline void outcome_take(struct outcome *o, json_t *reply, const struct error *error)
{
        assert_true(!reply == !!error);
        o->calls++;
        o->failed = error != NULL;
        if (error) {
                o->code = error->code;
                free(o->text);
                o->text = error_text(error);
        }
        json_decref(o->reply);
        o->reply = json_incref(reply);
}

static inline void outcome_done(struct outcome *o)
{
        json_decref(o->reply);
        free(o->text);
}
#define _cleanup_outcome_ _cleanup_(outcome_done)
