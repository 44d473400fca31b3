#include "qmp/ops_facts.h"

/* Asked in bunches, each waits for those before it, on a machine whose CPUs may be emulated: what a query alone is given
 * would not do. */
#define FACT_CLASS QMP_MUTATE

static const struct question {
        const char *name, *command;
        const char *path, *property; /* of qom-list and qom-get */
        const char *line;            /* of human-monitor-command */
} questions[] = {
        [FACT_STATUS] = { "status", "query-status", NULL, NULL, NULL },
        [FACT_NAME] = { "name", "query-name", NULL, NULL, NULL },
        [FACT_UUID] = { "uuid", "query-uuid", NULL, NULL, NULL },
        [FACT_TYPE] = { "type", "qom-get", "/machine", "type", NULL },
        [FACT_MEMORY] = { "memory", "query-memory-size-summary", NULL, NULL, NULL },
        [FACT_BALLOON] = { "balloon", "query-balloon", NULL, NULL, NULL },
        [FACT_CPUS] = { "cpus", "query-cpus-fast", NULL, NULL, NULL },
        [FACT_DEVICES] = { "devices", "qom-list", "/machine/peripheral", NULL, NULL },
        [FACT_ANONYMOUS] = { "anonymous", "qom-list", "/machine/peripheral-anon", NULL, NULL },
        [FACT_OBJECTS] = { "objects", "qom-list", "/objects", NULL, NULL },
        [FACT_BLOCK] = { "block", "query-block", NULL, NULL, NULL },
        [FACT_NODES] = { "nodes", "query-named-block-nodes", NULL, NULL, NULL },
        [FACT_CHARDEVS] = { "chardevs", "query-chardev", NULL, NULL, NULL },
        [FACT_NETWORK] = { "network", "human-monitor-command", NULL, NULL, "info network" },
        [FACT_JOBS] = { "jobs", "query-jobs", NULL, NULL, NULL },
        [FACT_EXPORTS] = { "exports", "query-block-exports", NULL, NULL, NULL },
        [FACT_MIGRATION] = { "migration", "query-migrate", NULL, NULL, NULL },
};

const char *machine_fact_name(enum machine_fact fact)
{
        return questions[fact].name;
}

void ops_machine_fact(struct qmp_client *client, enum machine_fact fact, qmp_reply_fn *fn, void *data)
{
        const struct question *question = &questions[fact];
        json_t *arguments = NULL;

        if (question->path)
                arguments = json_pack("{s:s, s:s*}", "path", question->path, "property", question->property);
        else if (question->line)
                arguments = json_pack("{s:s}", "command-line", question->line);
        else if (fact == FACT_NODES)
                /* Without the description of each image, over and over for each layer. */
                arguments = json_pack("{s:b}", "flat", 1);
        qmp_client_call(client, question->command, arguments, FACT_CLASS, NULL, 0, fn, data);
}

void ops_device_property(struct qmp_client *client, const char *id, const char *property, qmp_reply_fn *fn,
                         void *data)
{
        json_t *arguments =
                json_pack("{s:s+, s:s}", "path", "/machine/peripheral/", id, "property", property);

        qmp_client_call(client, "qom-get", arguments, FACT_CLASS, NULL, 0, fn, data);
}
