/*
 * `vmlaunch __steps`: the moments at which a test can end a process (crash_point.h), "NAME<TAB>what".
 */
#include <stdio.h>

#include "launcher/plan/launch_plan.h"
#include "launcher/state/crash_point.h"
#include "launcher/verb/verbs.h"

int verb_steps(struct verb_context *context, struct error **err)
{
        (void)context;
        (void)err;
        for (enum crash_point point = 0; point < CRASH_POINTS_N; point++)
                printf("%s\t%s\n", crash_point_name(point), crash_point_doc(point));
        for (enum plan_effect effect = 0; effect < PLAN_EFFECTS; effect++)
                for (enum crash_phase phase = 0; phase < CRASH_PHASES; phase++)
                        printf("%s:%s\ta step of a plan\n", plan_effect_name(effect),
                               crash_phase_name(phase));
        return 0;
}
