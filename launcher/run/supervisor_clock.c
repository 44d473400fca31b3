/* CLOCK OFFSET = "variable": what the guest makes of its clock, for its next run. */
#include "launcher/run/supervisor_parts.h"
#include "launcher/state/clock_state.h"

static bool is_sane(json_int_t seconds)
{
        return seconds <= CLOCK_CHANGE_MAX && seconds >= -CLOCK_CHANGE_MAX;
}

void clock_was_set(struct supervisor *s, json_int_t offset)
{
        const struct plan_clock *clock = &s->plan->policy.clock;
        struct clock_state state = { .uuid = s->plan->uuid, .adjustment = clock->adjustment };
        _cleanup_error_ struct error *err = NULL;

        if (!clock->path)
                return;
        /* QEMU counts from where the clock was set to start (qemu_timedate_diff()), not from the last change. */
        if (is_sane(offset))
                state.change = clock->ahead - clock->adjustment + offset;
        if (!is_sane(offset) || !is_sane(state.change)) {
                supervisor_story(s, "the guest has set its clock out of all bounds, which is not kept");
        } else if (clock_state_write(clock->path, &state, &err) < 0) {
                _cleanup_free_ char *text = error_text(err);

                supervisor_story(s, "the guest's clock is not kept: %s", text);
        }
}
