#include "launcher/verb/guest_part.h"

#include <poll.h>
#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"

#define LOOK_MS 100
/* For one request: the conversation is queued behind others and begins with a sync. */
#define ASK_MS       3000
#define ASK_GRACE_MS 15000

json_t *guest_part_hints(const struct guest_part *part)
{
        json_t *hints = json_array();

        if (part->vcpus)
                json_array_append_new(
                        hints, json_string("vCPUs that it does not bring online itself (Linux without udev): "
                                           "echo 1 >/sys/devices/system/cpu/cpuN/online"));
        if (part->memory)
                json_array_append_new(
                        hints, json_string("memory that it does not bring online itself (Linux): "
                                           "echo online_movable >/sys/devices/system/memory/memoryN/state"));
        if (part->pci)
                json_array_append_new(
                        hints,
                        json_string("a device that it does not find itself: echo 1 >/sys/bus/pci/rescan"));
        return hints;
}

static int ask(struct control_client *control, const char *command, json_t *arguments_consume,
               json_t **ret_reply, struct error **err)
{
        return control_client_call_within(control, "vmlaunch-agent",
                                          json_pack("{s:s, s:f, s:o*}", "command", command, "timeout",
                                                    ASK_MS / 1000.0, "arguments", arguments_consume),
                                          ASK_MS + ASK_GRACE_MS, ret_reply, err);
}

/*
 * What the setter is to be told of a list for so many to be online: the first ones that are not come, or the last ones that
 * can go do; new array.
 */
static json_t *changes(const json_t *list, const char *id, size_t wanted, size_t *ret_online)
{
        size_t n = json_array_size(list), online = 0;
        json_t *changes = json_array();

        for (size_t i = 0; i < n; i++)
                online += json_member_is_true(json_array_get(list, i), "online");
        *ret_online = online;
        for (size_t i = 0; i < n && online < wanted; i++) {
                const json_t *each = json_array_get(list, i);

                if (json_member_is_true(each, "online"))
                        continue;
                json_array_append_new(
                        changes, json_pack("{s:O*, s:b}", id, json_object_get(each, id), "online", true));
                online++;
        }
        for (size_t i = n; i-- > 0 && online > wanted;) {
                const json_t *each = json_array_get(list, i);

                if (!json_member_is_true(each, "online") || !json_member_is_true(each, "can-offline"))
                        continue;
                json_array_append_new(
                        changes, json_pack("{s:O*, s:b}", id, json_object_get(each, id), "online", false));
                online--;
        }
        return changes;
}

struct online {
        const char *what, *get, *set, *argument, *id;
        size_t count; /* of its units */
};

/* The guest learns of what came in its own time, so it is asked again. */
static int bring(struct control_client *control, const struct online *online, unsigned wait_ms,
                 struct error **err)
{
        long long deadline = fd_now_ms() + wait_ms;
        size_t is = 0;

        for (;;) {
                json_auto_t *list = NULL, *wanted = NULL;

                if (ask(control, online->get, NULL, &list, err) < 0)
                        return -1;
                wanted = changes(list, online->id, online->count, &is);
                if (is == online->count)
                        return 0;
                if (json_array_size(wanted) &&
                    ask(control, online->set, json_pack("{s:O}", online->argument, wanted), NULL, err) < 0)
                        return -1;
                if (fd_now_ms() >= deadline)
                        break;
                if (!json_array_size(wanted))
                        poll(NULL, 0, LOOK_MS);
        }
        return error_set(err, ERROR_GUEST, "the guest has %zu %s online after %u s, not %zu", is,
                         online->what, wait_ms / 1000, online->count);
}

int guest_set_vcpus(struct control_client *control, uint32_t count, unsigned wait_ms, struct error **err)
{
        const struct online online = {
                .what = "vCPUs",
                .get = "guest-get-vcpus",
                .set = "guest-set-vcpus",
                .argument = "vcpus",
                .id = "logical-id",
                .count = count,
        };

        return bring(control, &online, wait_ms, err);
}

static int bring_memory(struct control_client *control, uint64_t bytes, unsigned wait_ms, struct error **err)
{
        struct online online = {
                .what = "pieces of memory",
                .get = "guest-get-memory-blocks",
                .set = "guest-set-memory-blocks",
                .argument = "mem-blks",
                .id = "phys-index",
        };
        json_auto_t *info = NULL;
        json_int_t size;

        if (ask(control, "guest-get-memory-block-info", NULL, &info, err) < 0)
                return -1;
        size = json_member_integer(info, "size");
        if (size <= 0)
                return error_set(err, ERROR_GUEST, "the guest agent tells no size of its memory blocks");
        online.count = (size_t)((bytes + (uint64_t)size - 1) / (uint64_t)size);
        return bring(control, &online, wait_ms, err);
}

static int rescan(struct control_client *control, unsigned wait_ms, struct error **err)
{
        long long deadline = fd_now_ms() + wait_ms;
        json_auto_t *started = NULL;

        if (ask(control, "guest-exec",
                json_pack("{s:s, s:[s, s]}", "path", "/bin/sh", "arg", "-c", "echo 1 >/sys/bus/pci/rescan"),
                &started, err) < 0)
                return -1;
        for (;;) {
                json_auto_t *status = NULL;

                if (ask(control, "guest-exec-status",
                        json_pack("{s:O*}", "pid", json_object_get(started, "pid")), &status, err) < 0)
                        return -1;
                if (json_member_is_true(status, "exited")) {
                        json_int_t code = json_member_integer(status, "exitcode");

                        return code == 0 ? 0
                                         : error_set(err, ERROR_GUEST,
                                                     "the guest's rescan of PCI ended with %lld",
                                                     (long long)code);
                }
                if (fd_now_ms() >= deadline)
                        return error_set(err, ERROR_GUEST, "the guest's rescan of PCI has not ended in %u s",
                                         wait_ms / 1000);
                poll(NULL, 0, LOOK_MS);
        }
}

int guest_part_do(struct control_client *control, const struct guest_part *part, unsigned wait_ms,
                  struct error **err)
{
        if ((part->pci && rescan(control, wait_ms, err) < 0) ||
            (part->vcpus && guest_set_vcpus(control, part->vcpus, wait_ms, err) < 0) ||
            (part->memory && bring_memory(control, part->memory, wait_ms, err) < 0))
                return error_wrap(err, "it is done, but for the guest's part");
        return 0;
}
