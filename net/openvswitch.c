#include "net/openvswitch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/mem.h"
#include "base/number_list.h"
#include "base/text.h"

/* As long as libvirt waits; the switch may be busy with others' ports. */
#define WAIT_MS 5000
/* The database answers in milliseconds, but to what waits for the switch. */
#define ANSWER_MS 3000
/* Some 100000 ports. */
#define ANSWER_MAX (16u << 20)
#define OURS       "vmlaunch"

struct answer {
        int fd;
        long long deadline;
        size_t left; /* bytes that may still come */
        char bytes[4096];
        size_t at, n;
};

/* One at a time: jansson takes no more than the message, behind which there may be others. */
static size_t read_byte(void *ret, size_t size, void *data)
{
        struct answer *answer = data;
        ssize_t n;

        (void)size;
        if (answer->at == answer->n) {
                if (fd_wait(answer->fd, POLLIN, answer->deadline) <= 0)
                        return (size_t)-1;
                n = recv(answer->fd, answer->bytes, sizeof(answer->bytes), MSG_DONTWAIT);
                if (n <= 0 || (size_t)n > answer->left)
                        return (size_t)-1;
                answer->left -= (size_t)n;
                answer->at = 0;
                answer->n = (size_t)n;
        }
        *(char *)ret = answer->bytes[answer->at++];
        return 1;
}

/* Its answer to the one request; others of its messages are nothing to us. New reference. */
static json_t *read_answer(int fd, int timeout_ms, struct error **err)
{
        struct answer answer = { .fd = fd, .deadline = fd_now_ms() + timeout_ms, .left = ANSWER_MAX };
        json_error_t why;

        for (;;) {
                json_t *message = json_load_callback(read_byte, &answer, JSON_DISABLE_EOF_CHECK, &why);

                if (!message)
                        error_set(err, fd_now_ms() < answer.deadline ? ERROR_FAILED : ERROR_DEADLINE,
                                  "an answer that is none: %s", why.text);
                if (!message || json_member_integer(message, "id") == 1)
                        return message;
                json_decref(message);
        }
}

static int connect_to(const char *path, struct error **err)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
        /* waits: not at all */
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return error_os(err, errno, "connect to Open vSwitch ('%s')", path);
        return TAKE_FD(fd);
}

/* failed: {"error", "details"}, of an operation or of the request as a whole. */
static int operation_failed(const json_t *failed, struct error **err)
{
        const char *name = json_member_string(failed, "error"),
                   *details = json_member_string(failed, "details");
        _cleanup_free_ char *shown = text_printable(details ?: name ?: "no reason is given");

        if (name && strcmp(name, "timed out") == 0)
                return error_set(err, ERROR_DEADLINE, "nothing in %d s: does ovs-vswitchd run?",
                                 WAIT_MS / 1000);
        return error_set(err, ERROR_FAILED, "it says no: %s", shown);
}

/* operations: all or none of them, which may wait wait_ms. Their results, a new reference; NULL: *err. */
static json_t *transact(const char *path, json_t *operations_consume, int wait_ms, struct error **err)
{
        json_auto_t *request =
                json_pack("{s:s, s:o, s:i}", "method", "transact", "params", operations_consume, "id", 1);
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = connect_to(path, err);
        json_auto_t *answer = NULL;
        json_t *results, *one;
        size_t i;

        if (fd < 0)
                return NULL;
        json_array_insert_new(operations_consume, 0, json_string("Open_vSwitch"));
        text = json_dumps(request, JSON_COMPACT);
        /* Less than the socket's buffer. */
        if (send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)strlen(text))
                error_set(err, ERROR_FAILED, "it has hung up");
        else
                answer = read_answer(fd, wait_ms + ANSWER_MS, err);
        results = json_object_get(answer, "result");
        json_array_foreach (results, i, one) {
                if (!*err && json_object_get(one, "error"))
                        operation_failed(one, err);
        }
        if (!*err && json_array_size(results) + 1 != json_array_size(operations_consume))
                operation_failed(json_object_get(answer, "error"), err);
        if (!*err)
                return json_incref(results);
        error_wrap(err, "ask Open vSwitch");
        return NULL;
}

static json_t *name_is(const char *name)
{
        return json_pack("[[s, s, s]]", "name", "==", name);
}

/* New reference. */
static json_t *select_rows(const char *path, const char *table, json_t *where_consume,
                           json_t *columns_consume, struct error **err)
{
        json_auto_t *results = transact(path,
                                        json_pack("[{s:s, s:s, s:o, s:o}]", "op", "select", "table", table,
                                                  "where", where_consume, "columns", columns_consume),
                                        0, err);

        return results ? json_incref(json_object_get(json_array_get(results, 0), "rows")) ?: json_array()
                       : NULL;
}

/* Whose a port is; NULL: nobody's of us. Lent. */
static const char *owner_of(const json_t *port)
{
        const json_t *pair, *pairs = json_array_get(json_object_get(port, "external_ids"), 1);
        size_t i;

        json_array_foreach ((json_t *)pairs, i, pair) {
                const char *key = json_string_value(json_array_get(pair, 0));

                if (key && strcmp(key, OURS) == 0)
                        return json_string_value(json_array_get(pair, 1));
        }
        return NULL;
}

/* ifname NULL: all. A switch that does not run has none: what its database keeps is found when it runs again. An ordinary
 * user has none, either. */
static json_t *find_ports(const char *path, const char *ifname, struct error **err)
{
        json_t *rows = select_rows(path, "Port", ifname ? name_is(ifname) : json_array(),
                                   json_pack("[s, s, s]", "_uuid", "name", "external_ids"), err);

        if (rows || !*err || (*err)->code != ERROR_OS ||
            ((*err)->os_errno != ENOENT && (*err)->os_errno != ECONNREFUSED && (*err)->os_errno != EACCES))
                return rows;
        error_free(TAKE_PTR(*err));
        return json_array();
}

/* Takes it out of its bridge, whichever that is; a port of no bridge is none (RFC 7047, 4.1.2). */
static json_t *drop_port(const json_t *port)
{
        return json_pack("{s:s, s:s, s:[], s:[[s, s, O]]}", "op", "mutate", "table", "Bridge", "where",
                         "mutations", "ports", "delete", json_object_get(port, "_uuid"));
}

/* A port of that name with that owner; NULL: there is none, or *err. New reference. */
static json_t *find_port(const char *path, const char *ifname, const char *owner, struct error **err)
{
        json_auto_t *ports = find_ports(path, ifname, err);
        json_t *port = json_array_get(ports, 0);
        const char *has = owner_of(port);

        return has && strcmp(has, owner) == 0 && json_object_get(port, "_uuid") ? json_incref(port) : NULL;
}

int ovs_port_remove(const char *path, const char *ifname, const char *owner, struct error **err)
{
        json_auto_t *port = find_port(path, ifname, owner, err), *results = NULL;

        if (port)
                results = transact(path, json_pack("[o]", drop_port(port)), 0, err);
        return *err ? error_wrap(err, "remove port '%s'", ifname) : 0;
}

int ovs_bridge_of(const char *path, const char *ifname, const char *owner, char ret[IFNAMSIZ],
                  struct error **err)
{
        json_auto_t *port = find_port(path, ifname, owner, err), *bridges = NULL;
        const char *name = "";

        if (port)
                bridges = select_rows(
                        path, "Bridge",
                        json_pack("[[s, s, O]]", "ports", "includes", json_object_get(port, "_uuid")),
                        json_pack("[s]", "name"), err);
        if (*err)
                return -1;
        if (port)
                name = json_member_string(json_array_get(bridges, 0), "name") ?: "";
        snprintf(ret, IFNAMSIZ, "%s", name);
        return 0;
}

json_t *ovs_find(const char *path, const char *prefix, struct error **err)
{
        json_auto_t *ports = find_ports(path, NULL, err);
        json_t *found = ports ? json_object() : NULL, *port;
        size_t i;

        json_array_foreach (ports, i, port) {
                const char *name = json_member_string(port, "name"), *owner = owner_of(port);

                if (name && owner && text_starts_with(owner, prefix))
                        json_object_set_new(found, name, json_string(owner));
        }
        return found;
}

static int no_such_bridge(const char *path, const char *bridge, struct error **err)
{
        json_auto_t *rows = select_rows(path, "Bridge", json_array(), json_pack("[s]", "name"), err);
        _cleanup_text_ struct text names = TEXT_INIT;
        _cleanup_free_ char *shown = NULL;
        json_t *row;
        size_t i;

        if (!rows)
                return -1;
        json_array_foreach (rows, i, row)
                text_addf(&names, "%s%s", i ? ", " : "", json_member_string(row, "name") ?: "?");
        shown = text_printable(text_str(&names));
        return error_set(err, ERROR_HOST, "Open vSwitch has no bridge '%s' (bridges: %s)", bridge,
                         i ? shown : "none");
}

/* libvirt's and OpenNebula's external_ids and VLANs (libvirt-behaviour 7.1; opennebula-semantics 3.10). */
static json_t *add_rows(const struct net_op *op, const char *owner)
{
        const struct net_ovs *ovs = &op->join.ovs;
        _cleanup_free_ char *port_id = NULL;
        uint8_t mac[NET_MAC_SIZE] = { 0 };
        struct number_list list;
        json_t *port = json_pack("{s:s, s:[s, s], s:[s, [[s, s]]], s:[s, [[s, s]]]}", "name", op->ifname,
                                 "interfaces", "named-uuid", "i", "external_ids", "map", OURS, owner,
                                 /* It goes when the host starts again. */
                                 "other_config", "map", "transient", "true");

        text_parse_mac(ovs->mac, mac);
        /* libvirt's is a UUID, too; this one is the same at each start. */
        port_id = xasprintf("%.24s%02x%02x%02x%02x%02x%02x", ovs->vm_id, mac[0], mac[1], mac[2], mac[3],
                            mac[4], mac[5]);
        if (ovs->tag)
                json_object_set_new(port, "tag", json_integer(ovs->tag));
        if (ovs->trunks && number_list_parse_within(ovs->trunks, 1, NET_VLAN_MAX, &list)) {
                json_t *trunks = json_array();

                for (unsigned i = 1; i <= NET_VLAN_MAX; i++)
                        if (number_list_has(&list, i))
                                json_array_append_new(trunks, json_integer(i));
                json_object_set_new(port, "trunks", json_pack("[s, o]", "set", trunks));
                if (ovs->tag)
                        json_object_set_new(port, "vlan_mode", json_string("native-untagged"));
        }
        return json_pack(
                "[{s:s, s:s, s:s, s:{s:s, s:[s, [[s, s], [s, s], [s, s], [s, s]]]}}, {s:s, s:s, s:s, s:o},"
                "{s:s, s:s, s:o, s:[[s, s, [s, s]]]}]",
                "op", "insert", "table", "Interface", "uuid-name", "i", "row", "name", op->ifname,
                "external_ids", "map", "attached-mac", ovs->mac, "iface-id", port_id, "iface-status",
                "active", "vm-id", ovs->vm_id, "op", "insert", "table", "Port", "uuid-name", "p", "row", port,
                "op", "mutate", "table", "Bridge", "where", name_is(op->join.bridge), "mutations", "ports",
                "insert", "named-uuid", "p");
}

/* ovs-vswitchd has opened the tap, or says why it cannot. */
static int wait_for_switch(const char *path, const struct net_op *op, struct error **err)
{
        json_auto_t *results = transact(
                path,
                json_pack("[{s:s, s:s, s:i, s:o, s:[s], s:s, s:[{s:[s, []]}]}, {s:s, s:s, s:o, s:[s, s]}]",
                          "op", "wait", "table", "Interface", "timeout", WAIT_MS, "where",
                          name_is(op->ifname), "columns", "ofport", "until", "!=", "rows", "ofport", "set",
                          "op", "select", "table", "Interface", "where", name_is(op->ifname), "columns",
                          "ofport", "error"),
                WAIT_MS, err);
        _cleanup_free_ char *why = NULL;
        const json_t *row;

        if (!results)
                return -1;
        row = json_array_get(json_object_get(json_array_get(results, 1), "rows"), 0);
        if (json_member_integer(row, "ofport") > 0)
                return 0;
        why = text_printable(json_member_string(row, "error") ?: "it does not say why");
        return error_set(err, ERROR_HOST, "Open vSwitch does not take it: %s", why);
}

int ovs_port_add(const char *path, const struct net_op *op, const char *owner, struct error **err)
{
        json_auto_t *ports = find_ports(path, op->ifname, err), *results = NULL;
        const json_t *old = json_array_get(ports, 0);
        const char *has = owner_of(old);
        struct error *left = NULL;
        json_t *ask;

        if (!ports)
                return -1;
        if (old && (!has || !text_starts_with(has, OURS ":")))
                return error_set(err, ERROR_BUSY,
                                 "'%s' is a port of Open vSwitch already, and none of vmlaunch's",
                                 op->ifname);
        ask = add_rows(op, owner);
        if (old)
                json_array_append_new(ask, drop_port(old));
        results = transact(path, ask, 0, err);
        if (!results)
                return -1;
        if (!json_member_integer(json_array_get(results, 2), "count"))
                return no_such_bridge(path, op->join.bridge, err);
        if (wait_for_switch(path, op, err) == 0)
                return 0;
        if (ovs_port_remove(path, op->ifname, owner, &left) < 0)
                error_append(err, left);
        return -1;
}
