#include "qmp/ops_object.h"

#include <string.h>

#include "base/text.h"

void ops_query_objects(struct qmp_client *client, enum qemu_objects kind, qmp_reply_fn *fn, void *data)
{
        switch (kind) {
        case QEMU_DEVICES:
                qmp_client_call(client, "qom-list", json_pack("{s:s}", "path", "/machine/peripheral"),
                                QMP_QUERY, NULL, 0, fn, data);
                return;
        case QEMU_QOM_OBJECTS:
                qmp_client_call(client, "qom-list", json_pack("{s:s}", "path", "/objects"), QMP_QUERY, NULL,
                                0, fn, data);
                return;
        case QEMU_NODES:
                qmp_client_call(client, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), QMP_QUERY,
                                NULL, 0, fn, data);
                return;
        case QEMU_CHARDEVS:
                qmp_client_call(client, "query-chardev", NULL, QMP_QUERY, NULL, 0, fn, data);
                return;
        case QEMU_FDSETS:
                qmp_client_call(client, "query-fdsets", NULL, QMP_QUERY, NULL, 0, fn, data);
                return;
        }
}

bool ops_objects_have(enum qemu_objects kind, const json_t *reply, const char *id)
{
        static const char *const members[] = {
                [QEMU_DEVICES] = "name",   [QEMU_QOM_OBJECTS] = "name", [QEMU_NODES] = "node-name",
                [QEMU_CHARDEVS] = "label", [QEMU_FDSETS] = "fdset-id",
        };
        const json_t *each;
        size_t i;

        json_array_foreach ((json_t *)reply, i, each) {
                const json_t *value = json_object_get(each, members[kind]);
                uint64_t number;

                if (json_is_string(value) ? strcmp(json_string_value(value), id) == 0
                                          : json_is_integer(value) && text_parse_u64(id, &number) &&
                                                    (uint64_t)json_integer_value(value) == number)
                        return true;
        }
        return false;
}
