#include "launcher/host/qemu_device.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "launcher/host/qemu_probe.h"
#include "qmp/ops_machine.h"

#define PROPERTIES_MAX 2000
#define TEXT_MAX       512

struct question {
        const char *type;
        json_t *answer; /* NULL: there is no such type */
        struct error *refusal;
};

static int ask(struct qmp_client *client, void *data, struct error **err)
{
        struct question *question = data;

        question->answer = ops_device_list_properties(client, question->type, err);
        if (question->answer)
                return 0;
        /* Its own words; a refusal is no failure of the asking. */
        if ((*err)->code != ERROR_QMP)
                return -1;
        question->refusal = TAKE_PTR(*err);
        return 0;
}

static int by_name(const void *a, const void *b)
{
        return strcmp(json_member_string(*(json_t *const *)a, "name"),
                      json_member_string(*(json_t *const *)b, "name"));
}

/* Text of QEMU's, bounded and fit to print; NULL: none. */
static char *words(const json_t *property, const char *key)
{
        const char *value = json_member_string(property, key);
        _cleanup_free_ char *bounded = value ? xstrndup(value, TEXT_MAX) : NULL;

        return bounded && *bounded ? text_printable(bounded) : NULL;
}

/* One property as we tell it; NULL: it has no name. */
static json_t *told(const json_t *property)
{
        const char *name = json_member_string(property, "name");
        _cleanup_free_ char *type = words(property, "type"), *description = words(property, "description");
        json_t *dflt = json_object_get(property, "default-value"), *entry;

        if (!name || !qemu_is_name(name))
                return NULL;
        entry = json_pack("{s:s, s:s}", "name", name, "type", type ? type : "");
        if (description)
                json_object_set_new(entry, "description", json_string(description));
        if (dflt && !json_is_object(dflt) && !json_is_array(dflt))
                json_object_set(entry, "default", dflt);
        return entry;
}

json_t *qemu_device_properties(const char *path, const char *type, struct error **err)
{
        struct question question = { .type = type };
        json_auto_t *answer = NULL;
        json_t **entries, *properties;
        size_t n = 0;

        if (qemu_ask(path, QEMU_PROBE_DEADLINE_MS, ask, &question, err) < 0) {
                error_free(question.refusal);
                return NULL;
        }
        answer = question.answer;
        if (question.refusal) {
                error_set(err, ERROR_INVALID, "'%s' has no device '%s'", path, type);
                (*err)->cause = question.refusal;
                return NULL;
        }
        entries = xcalloc(json_array_size(answer) + 1, sizeof(json_t *));
        for (size_t i = 0; i < json_array_size(answer) && n < PROPERTIES_MAX; i++) {
                entries[n] = told(json_array_get(answer, i));
                n += entries[n] != NULL;
        }
        qsort(entries, n, sizeof(json_t *), by_name);
        properties = json_array();
        for (size_t i = 0; i < n; i++)
                json_array_append_new(properties, entries[i]);
        free(entries);
        return properties;
}
