/* Where QEMU's threads run, before the guest does: this process has every right until then. */
#include "launcher/run/affinity.h"
#include "launcher/run/supervisor_parts.h"

static size_t find_step(const struct launch_plan *plan)
{
        size_t n = 0;

        while (n < plan->n_steps && plan->steps[n].effect != EFFECT_AFFINITY)
                n++;
        return n;
}

static void on_threads(json_t *args, const struct error *error, void *data)
{
        struct supervisor *s = data;
        _cleanup_error_ struct error *failed = NULL;

        if (s->state != VM_STARTING)
                return;
        if (!error && execution_do_late(s->execution, find_step(s->plan), args, &failed) < 0)
                error = failed;
        if (error)
                wire_step_failed(s, error, NULL);
        else
                wire_step_done(s);
}

void affinity_begin(struct supervisor *s)
{
        size_t n = find_step(s->plan);

        if (n == s->plan->n_steps)
                return;
        s->steps_waiting++;
        affinity_ask(s->qmp, s->plan->steps[n].args, on_threads, s);
}
