/*
 * plan_change_fixture - plans made by hand, and the steps that lead from one to the other.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "launcher/plan/plan_change.h"

#define LIVE_ONE "NAME = \"web\"\nDISK = [\n  TARGET = \"vda\",\n  DISK_ID = \"0\"\n]\n"
#define LIVE_TWO LIVE_ONE "DISK = [\n  TARGET = \"vdb\",\n  DISK_ID = \"1\"\n]\n"

#define NODE(n, set) \
        "{\"driver\":\"file\",\"node-name\":\"disk" #n "-file\",\"filename\":\"/dev/fdset/" #set "\"}"
#define DEVICE(n, more) \
        "{\"driver\":\"virtio-blk-pci\",\"id\":\"disk" #n "\",\"drive\":\"disk" #n "-file\"" more "}"

/* A plan made by hand: option and value in turn. */
static inline struct launch_plan *plan_of(const char *const *words, const char *live)
{
        struct launch_plan *plan = xcalloc(1, sizeof(*plan));

        plan->name = xstrdup("web");
        plan->uuid = xstrdup("u");
        plan->devices = json_array();
        for (size_t i = 0; words[i]; i++) {
                ARRAY_GROW(plan->args, plan->n_args);
                plan->args[plan->n_args++] = (struct plan_arg){ .text = xstrdup(words[i]),
                                                                .because = xstrdup("DISK[1]/SOURCE"),
                                                                .is_option = i % 2 == 0 };
        }
        ARRAY_GROW(plan->steps, plan->n_steps);
        plan->steps[plan->n_steps++] = (struct plan_step){ .effect = EFFECT_LIVE_TEMPLATE,
                                                           .args = json_pack("{s:s}", "text", live),
                                                           .because = xstrdup("rule") };
        return plan;
}

static inline const json_t *step(const struct plan_change *change, size_t i)
{
        return json_array_get(json_object_get(change->fragment, "steps"), i);
}

static inline void step_is(const struct plan_change *change, size_t i, const char *execute,
                           const char *arguments)
{
        const json_t *args = json_object_get(step(change, i), "args");
        _cleanup_free_ char *text =
                json_dumps(json_object_get(args, "arguments"), JSON_COMPACT | JSON_SORT_KEYS);

        assert_string_equal(json_string_value(json_object_get(args, "execute")), execute);
        assert_string_equal(text, arguments);
}
