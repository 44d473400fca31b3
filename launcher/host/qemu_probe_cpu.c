/* Which switches -cpu takes, and which of them TCG can have on. */
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "launcher/host/qemu_probe.h"
#include "qmp/ops_machine.h"

#define FLAGS_MAX 5000
/* The model that has all a QEMU knows, of every target that has models at all. */
#define FULLEST "max"

static int compare_strings(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static void keep(char ***names, size_t *n, const char *name)
{
        ARRAY_GROW(*names, *n);
        (*names)[(*n)++] = xstrdup(name);
}

static void end_list(char ***names, size_t n)
{
        ARRAY_GROW(*names, n);
        (*names)[n] = NULL;
        if (n)
                qsort(*names, n, sizeof(**names), compare_strings);
}

/* Of any device, or an experiment that changes with QEMU's version. */
static bool is_no_flag(const char *name)
{
        static const char *const others[] = { "realized", "hotplugged", "hotpluggable", "start-powered-off" };

        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                if (strcmp(others[i], name) == 0)
                        return true;
        return text_starts_with(name, "x-");
}

/* The type of the fullest model, lent; NULL: there is none. */
static const char *fullest_type(const json_t *models)
{
        for (size_t i = 0; i < json_array_size(models); i++) {
                const json_t *model = json_array_get(models, i);
                const char *name = json_member_string(model, "name");
                const char *type = json_member_string(model, "typename");

                if (name && type && strcmp(name, FULLEST) == 0)
                        return type;
        }
        return NULL;
}

/* A QEMU that does not know the question leaves the list empty: nothing is checked then. */
static int answered(const json_t *reply, struct error **err)
{
        if (reply)
                return 1;
        if ((*err)->code != ERROR_QMP)
                return -1;
        error_free(TAKE_PTR(*err));
        return 0;
}

static int read_flags(struct qmp_client *client, const char *type, struct qemu_facts *facts,
                      struct error **err)
{
        json_auto_t *reply = ops_qom_list_properties(client, type, err);
        int known = answered(reply, err);
        size_t n = 0;

        if (known < 0)
                return -1;
        for (size_t i = 0; i < json_array_size(reply) && n < FLAGS_MAX; i++) {
                const json_t *property = json_array_get(reply, i);
                const char *name = json_member_string(property, "name");
                const char *kind = json_member_string(property, "type");

                if (name && kind && strcmp(kind, "bool") == 0 && qemu_is_name(name) && !is_no_flag(name))
                        keep(&facts->cpu_flags, &n, name);
        }
        end_list(&facts->cpu_flags, n);
        return 0;
}

/* The probe runs with TCG: what its fullest model has on is what TCG can do. */
static int read_tcg_flags(struct qmp_client *client, struct qemu_facts *facts, struct error **err)
{
        json_auto_t *reply = ops_query_cpu_model_expansion(client, "full", FULLEST, err);
        int known = answered(reply, err);
        const char *name;
        json_t *value;
        size_t n = 0;

        if (known < 0)
                return -1;
        json_object_foreach (json_object_get(json_object_get(reply, "model"), "props"), name, value) {
                if (json_is_true(value) && n < FLAGS_MAX && qemu_is_name(name) && !is_no_flag(name))
                        keep(&facts->tcg_flags, &n, name);
        }
        end_list(&facts->tcg_flags, n);
        return 0;
}

int qemu_probe_cpu(struct qmp_client *client, const json_t *models, struct qemu_facts *facts,
                   struct error **err)
{
        const char *type = fullest_type(models);

        facts->cpu_flags = xcalloc(1, sizeof(char *));
        facts->tcg_flags = xcalloc(1, sizeof(char *));
        if (!type)
                return 0;
        return read_flags(client, type, facts, err) < 0 || read_tcg_flags(client, facts, err) < 0 ? -1 : 0;
}
