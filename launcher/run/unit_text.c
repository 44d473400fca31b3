#include "launcher/run/unit_text.h"

#include <string.h>

#include "base/text.h"
#include "cgroups/cgroup_unit.h"
#include "launcher/plan/limits.h"

/* TimeoutStopSec beyond the guest's own deadline: QEMU's end and the undo. */
#define STOP_GRACE_S 30
/* For a guest that takes its time to start its agent; the supervisor stops waiting before that. */
#define AGENT_START_S 420

bool unit_is_after(const struct unit_place *one, const struct unit_place *other)
{
        return other->order && (!one->order || one->order > other->order);
}

char *unit_order(const struct unit_place *own, const struct unit_place *places, size_t n)
{
        struct text out = TEXT_INIT;
        bool any = false;

        for (size_t i = 0; i < n; i++) {
                if (!unit_is_after(own, &places[i]))
                        continue;
                text_addf(&out, "%s vmlaunch@%s.service", any ? "" : "\n[Unit]\nAfter=", places[i].vm);
                if (places[i].delay)
                        text_addf(&out, " vmlaunch-delay@%s.service", places[i].vm);
                any = true;
        }
        if (any)
                text_add(&out, "\n");
        if (own->delay)
                text_addf(&out, "%sWants=vmlaunch-delay@%s.service\n", any ? "" : "\n[Unit]\n", own->vm);
        return text_take(&out);
}

char *unit_dropin(const struct vm_spec *spec, const struct site *site)
{
        const struct cgroup_limits limits = limits_of(spec);
        unsigned stop_s = spec->shutdown_timeout ? spec->shutdown_timeout : site->kvmrc.shutdown_timeout_s;
        struct text out = TEXT_INIT;

        text_addf(&out, "# Made of the template of '%s' by vmlaunch-generator.\n", spec->name);
        /* As often as a guest that panics: three times in ten minutes. */
        if (spec->on_crash == CRASH_RESTART)
                text_add(&out, "[Unit]\nStartLimitIntervalSec=600\nStartLimitBurst=4\n\n");
        text_addf(&out, "[Service]\nTimeoutStopSec=%u\n", stop_s + STOP_GRACE_S);
        if (spec->notify_ready && strcmp(spec->notify_ready, "agent") == 0)
                text_addf(&out, "TimeoutStartSec=%d\n", AGENT_START_S);
        if (spec->on_crash == CRASH_RESTART)
                text_add(&out, "RestartPreventExitStatus=\n"
                               "RestartPreventExitStatus=1 2 3 4 5 6 7 8 9 10 11 13 14 15\n");
        if (spec->slice)
                text_addf(&out, "Slice=%s\n", spec->slice);
        cgroup_unit_text(&limits, &out);
        return text_take(&out);
}

char *unit_delay_dropin(const struct vm_spec *spec)
{
        return xasprintf("[Service]\nEnvironment=DELAY=%u\n", spec->start_delay);
}
