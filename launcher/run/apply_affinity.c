/* An affinity step of a fragment: its threads are asked for, then it is the host helper's as others are. */
#include "launcher/run/affinity.h"
#include "launcher/run/apply_parts.h"

static void on_threads(json_t *args, const struct error *error, void *data)
{
        struct apply *apply = data;

        apply->asked--;
        if (apply_is_over(apply))
                return;
        if (error) {
                apply_step_failed(apply, error);
                return;
        }
        json_object_set(apply->fragment->steps[apply->at].args, "threads", json_object_get(args, "threads"));
        apply_next_step(apply);
}

void apply_ask_threads(struct apply *apply)
{
        const struct applies *applies = apply->applies;
        struct qmp_client *qmp = applies->host.qemu(applies->data);
        _cleanup_error_ struct error *error = NULL;

        if (!qmp) {
                error_set(&error, ERROR_BUSY, "QEMU does not answer");
                apply_step_failed(apply, error);
                return;
        }
        apply->state = APPLY_QMP;
        apply->asked++;
        affinity_ask(qmp, apply->fragment->steps[apply->at].args, on_threads, apply);
}
