/* Jobs: each works for a moment and concludes. */
#include <stdio.h>
#include <string.h>

#include "tests/fake/command.h"
#include "tests/fake/fake.h"

#define JOB_MS 50

static void job_status(struct fake *fake, const char *id, const char *status)
{
        json_t *job = json_object_get(fake->jobs, id);

        json_object_set_new(job, "status", json_string(status));
        emit(fake, "JOB_STATUS_CHANGE", json_pack("{s:s, s:s}", "id", id, "status", status));
}

static void job_ends(struct fake *fake, void *data)
{
        _cleanup_free_ char *id = data;
        const json_t *job = json_object_get(fake->jobs, id);

        if (!job || strcmp(arg(job, "status"), "running") != 0)
                return;
        job_status(fake, id, "waiting");
        job_status(fake, id, "pending");
        emit(fake, "BLOCK_JOB_COMPLETED",
             json_pack("{s:s, s:s, s:i, s:i, s:i}", "type", arg(job, "type"), "device", id, "len", 1,
                       "offset", 1, "speed", 0));
        job_status(fake, id, "concluded");
        job_status(fake, id, "null");
        json_object_del(fake->jobs, id);
}

static json_t *begin_job(struct fake *fake, const json_t *args, const char *type, struct refusal *refusal)
{
        const char *id = arg(args, "job-id") ?: arg(args, "device");

        if (!id)
                return refuse(refusal, "GenericError", xstrdup("An explicit job ID is required"));
        if (json_object_get(fake->jobs, id))
                return refuse(refusal, "GenericError", xasprintf("Job ID '%s' already in use", id));
        json_object_set_new(fake->jobs, id,
                            json_pack("{s:s, s:s, s:s}", "id", id, "type", type, "status", "created"));
        job_status(fake, id, "created");
        job_status(fake, id, "running");
        later(fake, JOB_MS, job_ends, xstrdup(id));
        return json_object();
}

json_t *cmd_backup(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return begin_job(fake, args, "backup", refusal);
}

json_t *cmd_mirror(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return begin_job(fake, args, "mirror", refusal);
}

json_t *cmd_commit(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return begin_job(fake, args, "commit", refusal);
}

json_t *cmd_stream(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        return begin_job(fake, args, "stream", refusal);
}

json_t *cmd_query_jobs(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        json_t *list = json_array(), *job;
        const char *id;

        (void)args;
        (void)refusal;
        json_object_foreach (fake->jobs, id, job) {
                json_array_append_new(list, json_pack("{s:s, s:O, s:O, s:i, s:i}", "id", id, "type",
                                                      json_object_get(job, "type"), "status",
                                                      json_object_get(job, "status"), "current-progress", 0,
                                                      "total-progress", 1));
        }
        return list;
}

json_t *cmd_job_cancel(struct fake *fake, const json_t *args, struct refusal *refusal)
{
        const char *id = arg(args, "id") ?: arg(args, "device");

        if (!id || !json_object_get(fake->jobs, id))
                return refuse(refusal, "GenericError", xasprintf("Job '%s' not found", id ? id : ""));
        job_status(fake, id, "aborting");
        job_status(fake, id, "concluded");
        job_status(fake, id, "null");
        json_object_del(fake->jobs, id);
        return json_object();
}
