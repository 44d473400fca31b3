#include "launcher/plan/plan_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"

#define FDSET_PATH "/dev/fdset/"
#define FD_PATH    "/proc/self/fd/"

/* What the numbers of one command line mean. */
struct numbers {
        const struct launch_plan *plan;
        json_t *sets; /* {"3": "disk1-file"} */
        const struct plan_parts *like;
        size_t next; /* of like: behind the last that was the same */
};

void plan_parts_done(struct plan_parts *parts)
{
        for (size_t i = 0; i < parts->n; i++) {
                free(parts->items[i].id);
                free(parts->items[i].because);
                json_decref(parts->items[i].json);
        }
        free(parts->items);
        *parts = (struct plan_parts){ 0 };
}

const struct plan_part *plan_parts_find(const struct plan_parts *parts, enum plan_part_kind kind,
                                        const char *id)
{
        for (size_t i = 0; i < parts->n; i++)
                if (parts->items[i].kind == kind && strcmp(parts->items[i].id, id) == 0)
                        return &parts->items[i];
        return NULL;
}

/* The value of KEY in option text whose values have no comma; new string or NULL. */
static char *option_value(const char *text, const char *key)
{
        size_t n = strlen(key);

        for (const char *p = text; p; p = strchr(p, ',')) {
                p += *p == ',';
                if (strncmp(p, key, n) == 0 && p[n] == '=')
                        return xstrndup(p + n + 1, strcspn(p + n + 1, ","));
        }
        return NULL;
}

static const char *source_of(const struct launch_plan *plan, const char *number)
{
        uint64_t fd;

        if (!text_parse_u64(number, &fd))
                return NULL;
        for (size_t i = 0; i < plan->n_fds; i++)
                if ((uint64_t)plan->fds[i].child_fd == fd)
                        return plan->fds[i].source;
        return NULL;
}

/* "10:11" as "@fd:tap:web-0:0" and so on, an array where there are several; NULL: no inherited fds. */
static json_t *name_fds(const struct launch_plan *plan, const char *text)
{
        json_t *names = json_array();

        while (*text) {
                size_t n = strcspn(text, ":");
                _cleanup_free_ char *number = xstrndup(text, n);
                const char *source = source_of(plan, number);

                if (!source) {
                        json_decref(names);
                        return NULL;
                }
                json_array_append_new(names, json_sprintf(PLAN_PART_FD "%s", source));
                text += n + (text[n] == ':');
        }
        if (json_array_size(names) == 1) {
                json_t *one = json_incref(json_array_get(names, 0));

                json_decref(names);
                return one;
        }
        return names;
}

static bool is_fd_member(const char *key)
{
        static const char *const keys[] = { "fd", "fds", "vhostfd", "vhostfds" };

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (strcmp(keys[i], key) == 0)
                        return true;
        return false;
}

static void name_numbers(const struct numbers *numbers, json_t *object)
{
        const char *key;
        void *next;
        json_t *value;

        json_object_foreach_safe (object, next, key, value) {
                const char *text = json_string_value(value);
                json_t *named = NULL;

                if (json_is_object(value))
                        name_numbers(numbers, value);
                if (!text)
                        continue;
                /* SocketAddress: {"type":"fd","str":"10"} */
                if (is_fd_member(key) || (strcmp(key, "str") == 0 && json_object_get(object, "type") &&
                                          strcmp(json_member_string(object, "type"), "fd") == 0))
                        named = name_fds(numbers->plan, text);
                else if (text_starts_with(text, FDSET_PATH)) {
                        const char *opaque = json_member_string(numbers->sets, text + strlen(FDSET_PATH));

                        named = opaque ? json_sprintf(PLAN_PART_FDSET "%s", opaque) : NULL;
                } else if (text_starts_with(text, FD_PATH)) {
                        const char *source = source_of(numbers->plan, text + strlen(FD_PATH));

                        named = source ? json_sprintf(FD_PATH "@%s", source) : NULL;
                }
                if (named)
                        json_object_set_new(object, key, named);
        }
}

static void add(struct plan_parts *parts, enum plan_part_kind kind, const char *id, json_t *json_consume,
                const char *because)
{
        ARRAY_GROW(parts->items, parts->n);
        parts->items[parts->n++] = (struct plan_part){
                .kind = kind, .id = xstrdup(id), .json = json_consume, .because = xstrdup(because)
        };
}

static const struct {
        const char *option, *id;
        enum plan_part_kind kind;
} json_options[] = {
        { "-object", "id", PART_OBJECT },
        { "-blockdev", "node-name", PART_NODE },
        { "-netdev", "id", PART_NETDEV },
        { "-device", "id", PART_DEVICE },
};

/* Where no word is about fds there are no numbers. */
static json_t *read_before(struct numbers *numbers, const char *text)
{
        const struct plan_parts *like = numbers->like;

        for (size_t k = 0; like && k < like->n && !strstr(text, "fd"); k++) {
                const struct plan_part *part = &like->items[(numbers->next + k) % like->n];

                if (!part->text || strcmp(part->text, text) != 0)
                        continue;
                numbers->next = (size_t)(part - like->items) + 1;
                return json_incref(part->json);
        }
        return NULL;
}

static bool take_json(struct numbers *numbers, const char *option, const char *text, const char *because,
                      struct plan_parts *parts)
{
        for (size_t i = 0; i < ARRAY_SIZE(json_options); i++) {
                json_t *json;
                const char *id;

                if (strcmp(json_options[i].option, option) != 0 || *text != '{')
                        continue;
                json = read_before(numbers, text);
                if (!json) {
                        json = json_loads(text, 0, NULL);
                        name_numbers(numbers, json);
                }
                id = json_member_string(json, json_options[i].id);
                if (!id) {
                        json_decref(json);
                        return false;
                }
                add(parts, json_options[i].kind, id, json, because);
                parts->items[parts->n - 1].text = text;
                return true;
        }
        return false;
}

/* "socket,id=char0,fd=10,server=on,wait=off", as ChardevBackend of QAPI; other kinds are options to us. */
static json_t *chardev_json(const struct launch_plan *plan, const char *id, const char *text)
{
        _cleanup_free_ char *fd = option_value(text, "fd"), *path = option_value(text, "path"),
                            *server = option_value(text, "server");
        json_t *address, *named = NULL;

        if (!text_starts_with(text, "socket,") || (!fd && !path))
                return NULL;
        if (fd) {
                named = name_fds(plan, fd);
                if (!named)
                        return NULL;
                address = json_pack("{s:s, s:{s:o}}", "type", "fd", "data", "str", named);
        } else {
                address = json_pack("{s:s, s:{s:s}}", "type", "unix", "data", "path", path);
        }
        return json_pack("{s:s, s:{s:s, s:{s:o, s:b}}}", "id", id, "backend", "type", "socket", "data",
                         "addr", address, "server", server && strcmp(server, "on") == 0);
}

static void take(struct numbers *numbers, const char *option, const char *value, const char *because,
                 struct plan_parts *parts)
{
        _cleanup_free_ char *id = NULL;
        json_t *json;

        if (take_json(numbers, option, value, because, parts))
                return;
        if (strcmp(option, "-add-fd") == 0) {
                _cleanup_free_ char *fd = option_value(value, "fd"), *set = option_value(value, "set");
                const char *source = fd ? source_of(numbers->plan, fd) : NULL;

                id = option_value(value, "opaque");
                if (id && set && source) {
                        json_object_set_new(numbers->sets, set, json_string(id));
                        add(parts, PART_FDSET, id,
                            json_pack("{s:o, s:s}", "fd", json_sprintf(PLAN_PART_FD "%s", source), "opaque",
                                      id),
                            because);
                        return;
                }
        } else if (strcmp(option, "-chardev") == 0) {
                id = option_value(value, "id");
                json = id ? chardev_json(numbers->plan, id, value) : NULL;
                if (json) {
                        add(parts, PART_CHARDEV, id, json, because);
                        return;
                }
        }
        add(parts, PART_OPTION, option, json_string(value), because);
}

void plan_parts_read(const struct launch_plan *plan, const struct plan_parts *like, struct plan_parts *ret)
{
        json_auto_t *sets = json_object();
        struct numbers numbers = { .plan = plan, .sets = sets, .like = like };

        *ret = (struct plan_parts){ 0 };
        for (size_t i = 0; i < plan->n_args; i++) {
                bool has_value = i + 1 < plan->n_args && !plan->args[i + 1].is_option;

                if (!plan->args[i].is_option)
                        continue;
                take(&numbers, plan->args[i].text, has_value ? plan->args[i + 1].text : "",
                     plan->args[i].because, ret);
        }
}

static json_t *replaced(json_t *value, const char *prefix, char *(*fn)(const char *name, void *data),
                        void *data)
{
        const char *text = json_string_value(value);
        _cleanup_free_ char *new = NULL;

        if (!text || !text_starts_with(text, prefix)) {
                plan_part_replace(value, prefix, fn, data);
                return NULL;
        }
        new = fn(text + strlen(prefix), data);
        return json_string(new);
}

void plan_part_replace(json_t *value, const char *prefix, char *(*fn)(const char *name, void *data),
                       void *data)
{
        const char *key;
        json_t *each, *new;
        void *next;
        size_t i;

        if (json_is_array(value)) {
                json_array_foreach (value, i, each) {
                        new = replaced(each, prefix, fn, data);
                        if (new)
                                json_array_set_new(value, i, new);
                }
                return;
        }
        json_object_foreach_safe (value, next, key, each) {
                new = replaced(each, prefix, fn, data);
                if (new)
                        json_object_set_new(value, key, new);
        }
}
