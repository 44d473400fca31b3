#include "launcher/run/fd_names.h"

#include <string.h>

#include "base/json_member.h"
#include "base/text.h"

/* JSON_FRAME_DEPTH bounds what comes from the wire. */
#define DEPTH_MAX 64

enum place_kind { GIVES, FORGETS, USES, USES_LIST, USES_URI };

static const struct place {
        const char *command, *member;
        enum place_kind kind;
} places[] = {
        { "getfd", "fdname", GIVES },
        { "closefd", "fdname", FORGETS },
        { "add_client", "fdname", USES },
        { "netdev_add", "fd", USES },
        { "netdev_add", "fds", USES_LIST },
        { "netdev_add", "vhostfd", USES },
        { "netdev_add", "vhostfds", USES_LIST },
        { "device_add", "fd", USES },
        { "device_add", "vhostfd", USES },
        { "device_add", "vhostfds", USES_LIST },
        { "migrate", "uri", USES_URI },
        { "migrate-incoming", "uri", USES_URI },
};

void fd_names_init(struct fd_names *names, uint64_t client)
{
        names->prefix = xasprintf("client%llu-", (unsigned long long)client);
        names->held = json_object();
}

void fd_names_done(struct fd_names *names)
{
        free(names->prefix);
        json_decref(names->held);
        *names = (struct fd_names){ 0 };
}

static bool is_number(const char *name)
{
        return *name >= '0' && *name <= '9';
}

/* QEMU forgets a name when it is used, whether or not the command works (monitor_get_fd()). */
static json_t *use(struct fd_names *names, const char *name)
{
        json_t *full;

        if (is_number(name))
                return json_string(name);
        full = json_sprintf("%s%s", names->prefix, name);
        json_object_del(names->held, json_string_value(full));
        return full;
}

static json_t *use_list(struct fd_names *names, const char *list)
{
        struct text all = TEXT_INIT;
        json_t *value;

        for (;;) {
                size_t length = strcspn(list, ":");
                _cleanup_free_ char *one = xstrndup(list, length);
                json_auto_t *full = use(names, one);

                text_add(&all, json_string_value(full));
                list += length;
                if (!*list)
                        break;
                text_add(&all, ":");
                list++;
        }
        value = json_string(text_str(&all));
        text_done(&all);
        return value;
}

static json_t *place_value(struct fd_names *names, enum place_kind kind, const char *name)
{
        switch (kind) {
        case GIVES: {
                json_t *full = json_sprintf("%s%s", names->prefix, name);

                json_object_set_new(names->held, json_string_value(full), json_true());
                return full;
        }
        case FORGETS:
        case USES:
                return use(names, name);
        case USES_LIST:
                return use_list(names, name);
        case USES_URI: {
                json_auto_t *full = NULL;

                if (!text_starts_with(name, "fd:"))
                        return NULL;
                full = use(names, name + 3);
                return json_sprintf("fd:%s", json_string_value(full));
        }
        }
        return NULL;
}

/* Socket addresses (qapi/sockets.json): {"type": "fd", "str": N}, and {"type": "fd", "data": {"str": N}}. */
static bool rewrite_addresses(struct fd_names *names, json_t *value, unsigned depth)
{
        const char *type = json_member_string(value, "type");
        bool done = false;
        const char *key;
        json_t *each;
        size_t i;

        if (depth > DEPTH_MAX)
                return false;
        if (type && strcmp(type, "fd") == 0) {
                json_t *at = json_object_get(value, "str") ? value : json_object_get(value, "data");
                const char *name = json_member_string(at, "str");

                if (name) {
                        json_object_set_new(at, "str", use(names, name));
                        return true;
                }
        }
        json_object_foreach (value, key, each) {
                done = rewrite_addresses(names, each, depth + 1) || done;
        }
        json_array_foreach (value, i, each) {
                done = rewrite_addresses(names, each, depth + 1) || done;
        }
        return done;
}

/* Cheap, for the many commands without: is there an address of type "fd" at all? */
static bool has_address(const json_t *value, unsigned depth)
{
        const char *type = json_member_string(value, "type");
        const char *key;
        json_t *each;
        size_t i;

        if (depth > DEPTH_MAX)
                return false;
        if (type && strcmp(type, "fd") == 0)
                return true;
        json_object_foreach ((json_t *)value, key, each) {
                if (has_address(each, depth + 1))
                        return true;
        }
        json_array_foreach (value, i, each) {
                if (has_address(each, depth + 1))
                        return true;
        }
        return false;
}

int fd_names_rewrite(struct fd_names *names, const char *command, const json_t *arguments,
                     json_t **ret_arguments, struct error **err)
{
        json_auto_t *copy = NULL;

        *ret_arguments = NULL;
        for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
                const struct place *place = &places[i];
                const char *name = json_member_string(arguments, place->member);
                json_t *full;

                if (!name || strcmp(place->command, command) != 0)
                        continue;
                if (place->kind == GIVES && is_number(name))
                        continue; /* QEMU refuses it in its own words */
                if (place->kind == GIVES && json_object_size(names->held) >= FD_NAMES_MAX)
                        return error_set(err, ERROR_FAILED, "this client has named %d fds and not used them",
                                         FD_NAMES_MAX);
                full = place_value(names, place->kind, name);
                if (!full)
                        continue;
                if (!copy)
                        copy = json_deep_copy(arguments);
                json_object_set_new(copy, place->member, full);
        }
        if (has_address(arguments, 0)) {
                if (!copy)
                        copy = json_deep_copy(arguments);
                rewrite_addresses(names, copy, 0);
        }
        *ret_arguments = json_incref(copy);
        return 0;
}
