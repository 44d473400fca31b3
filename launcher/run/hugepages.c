#include "launcher/run/hugepages.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/number_list.h"
#include "base/text.h"

/* Documentation/admin-guide/mm/hugetlbpage.rst: of the whole host in the first, of each node in the second. */
#define HOST_POOL "%s/kernel/mm/hugepages/hugepages-%" PRIu64 "kB"
#define NODE_POOL "%s/devices/system/node/node%u/hugepages/hugepages-%" PRIu64 "kB"
#define NODES     "%s/devices/system/node/has_memory"

/* Members "page", "bytes", and "nodes" where it must come from those. */
static void need(json_t *needs, const json_t *object, json_int_t bytes)
{
        const char *policy = json_member_string(object, "policy");
        bool is_bound = policy && strcmp(policy, "bind") == 0;

        if (json_member_is_true(object, "hugetlb") && bytes > 0)
                json_array_append_new(
                        needs, json_pack("{s:O*, s:I, s:O*}", "page", json_object_get(object, "hugetlbsize"),
                                         "bytes", bytes, "nodes",
                                         is_bound ? json_object_get(object, "host-nodes") : NULL));
}

static void need_object(json_t *needs, const json_t *object)
{
        /* That of virtio-mem is filled bit by bit. */
        if (json_member_is_true(object, "prealloc"))
                need(needs, object, json_member_integer(object, "size"));
}

/* -1: not told. */
static long long read_count(const char *pool, const char *what)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", pool, what), *text = NULL;
        _cleanup_error_ struct error *ignored = NULL;
        uint64_t count;

        if (fd_read_file_at(AT_FDCWD, path, 64, &text, NULL, &ignored) < 0)
                return -1;
        text[strcspn(text, "\n")] = '\0';
        return text_parse_u64(text, &count) && count < INT64_MAX ? (long long)count : -1;
}

/* Those that come when asked for, beyond the pool, on whichever node has memory. */
static long long beyond_pool(const char *pool)
{
        long long may_be = read_count(pool, "nr_overcommit_hugepages"),
                  are = read_count(pool, "surplus_hugepages");

        return may_be > are && are >= 0 ? may_be - are : 0;
}

/* Those of others that are promised, not taken yet, are free in the file. */
static long long left_on_host(const char *pool)
{
        long long free_pages = read_count(pool, "free_hugepages"),
                  promised = read_count(pool, "resv_hugepages");

        return free_pages < 0 ? -1 : free_pages - (promised > 0 ? promised : 0) + beyond_pool(pool);
}

static bool has_node(const json_t *nodes, unsigned node)
{
        const json_t *each;
        size_t i;

        json_array_foreach ((json_t *)nodes, i, each) {
                if (json_integer_value(each) == (json_int_t)node)
                        return true;
        }
        return !nodes;
}

/* Which nodes have how many: "node 0: 12, node 1: 0". *ret_left: those of the nodes together. */
static char *count_nodes(const char *sys, uint64_t page, const json_t *nodes, long long *ret_left,
                         unsigned *ret_first)
{
        _cleanup_free_ char *path = xasprintf(NODES, sys), *list = NULL;
        _cleanup_error_ struct error *ignored = NULL;
        struct number_list known = { 0 };
        struct text text = TEXT_INIT;
        bool is_first = true;

        *ret_left = 0;
        *ret_first = 0;
        /* A kernel without CONFIG_NUMA has no such file. */
        if (fd_read_file_at(AT_FDCWD, path, 4096, &list, NULL, &ignored) == 0)
                number_list_parse(list, &known);
        for (unsigned node = 0; node < NUMBER_LIST_END; node++) {
                _cleanup_free_ char *pool = NULL;
                long long count;

                if (!number_list_has(&known, node) || !has_node(nodes, node))
                        continue;
                pool = xasprintf(NODE_POOL, sys, node, page / 1024);
                count = read_count(pool, "free_hugepages");
                if (count < 0)
                        continue;
                *ret_first = is_first ? node : *ret_first;
                *ret_left += count;
                text_addf(&text, "%snode %u: %lld", is_first ? "" : ", ", node, count);
                is_first = false;
        }
        return text_take(&text);
}

static int too_few(const char *sys, uint64_t page, const json_t *nodes, long long wanted, long long left,
                   const char *where, unsigned node, struct error **err)
{
        _cleanup_free_ char *size = text_from_size(page),
                            *pool = nodes ? xasprintf(NODE_POOL, sys, node, page / 1024)
                                          : xasprintf(HOST_POOL, sys, page / 1024);
        long long has = read_count(pool, "nr_hugepages");

        error_set(err, ERROR_HOST, "its memory takes %lld huge pages of %s, and %lld are free%s%s%s%s",
                  wanted, size, left, nodes ? " where it is to be" : "", *where ? " (" : "", where,
                  *where ? ")" : "");
        return error_hint(err, "the host makes more of them by: echo %lld >%s/nr_hugepages",
                          (has > 0 ? has : 0) + wanted - left, pool);
}

/* Of one pool: what has to come from the same nodes, or, nodes NULL, all of the host's. */
static int check_pool(const json_t *needs, uint64_t page, const json_t *nodes, const char *sys,
                      struct error **err)
{
        _cleanup_free_ char *pool = xasprintf(HOST_POOL, sys, page / 1024), *where = NULL;
        long long wanted = 0, left, on_nodes;
        unsigned node;
        const json_t *each;
        size_t i;

        json_array_foreach ((json_t *)needs, i, each) {
                if (json_member_integer(each, "page") == (json_int_t)page &&
                    (!nodes || json_equal(json_object_get(each, "nodes"), nodes)))
                        wanted += json_member_integer(each, "bytes") / (json_int_t)page;
        }
        where = count_nodes(sys, page, nodes, &on_nodes, &node);
        left = nodes ? *where ? on_nodes + beyond_pool(pool) : -1 : left_on_host(pool);
        return left < 0 || left >= wanted ? 0 : too_few(sys, page, nodes, wanted, left, where, node, err);
}

static int check(const json_t *needs, const char *sys, struct error **err)
{
        const json_t *each;
        size_t i;

        json_array_foreach ((json_t *)needs, i, each) {
                const json_t *nodes = json_object_get(each, "nodes");
                uint64_t page = (uint64_t)json_member_integer(each, "page");

                if (page < 1024)
                        continue;
                if ((nodes && check_pool(needs, page, nodes, sys, err) < 0) ||
                    check_pool(needs, page, NULL, sys, err) < 0)
                        return -1;
        }
        return 0;
}

/* An object of the plan's argv; NULL: it is something else. New reference. */
static json_t *object_at(const struct launch_plan *plan, size_t i)
{
        if (strcmp(plan->args[i - 1].text, "-object") != 0)
                return NULL;
        return json_loads(plan->args[i].text, 0, NULL);
}

int hugepages_check_start(const struct launch_plan *plan, const char *sys, struct error **err)
{
        json_auto_t *needs = json_array();

        for (size_t i = 1; i < plan->n_args; i++) {
                json_auto_t *object = object_at(plan, i);

                need_object(needs, object);
        }
        return check(needs, sys, err);
}

/* virtio-mem is to have more of its object. */
static void need_more(json_t *needs, const struct launch_plan *plan, const json_t *step)
{
        const json_t *was = json_object_get(
                json_object_get(json_array_get(json_object_get(step, "undo"), 0), "arguments"), "value");
        const json_t *arguments = json_object_get(json_object_get(step, "args"), "arguments");
        const char *property = json_member_string(arguments, "property");

        if (!property || strcmp(property, "requested-size") != 0)
                return;
        for (size_t i = 1; i < plan->n_args; i++) {
                json_auto_t *object = object_at(plan, i);
                const char *id = json_member_string(object, "id");

                if (id && strcmp(id, "ram-vmem0") == 0)
                        need(needs, object,
                             json_member_integer(arguments, "value") - json_integer_value(was));
        }
}

int hugepages_check_change(const struct launch_plan *plan, const json_t *fragment, const char *sys,
                           struct error **err)
{
        json_auto_t *needs = json_array();
        const json_t *step;
        size_t i;

        json_array_foreach (json_object_get(fragment, "steps"), i, step) {
                need_object(needs, json_object_get(json_object_get(step, "args"), "arguments"));
                need_more(needs, plan, step);
        }
        return check(needs, sys, err);
}
