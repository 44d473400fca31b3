/* Disks that are not on this host: RBD, iSCSI, Gluster, NBD (opennebula-semantics section 3.9.1). */
#include <string.h>

#include "launcher/plan/disk_parts.h"

#define RBD_PORT     "6789"
#define ISCSI_PORT   "3260"
#define GLUSTER_PORT "24007"
#define NBD_PORT     "10809"

/* "host", "host:port", "[::1]:port", "::1": the host as QEMU takes it (without brackets) and the port. */
struct server {
        char *host, *port;
};

static void server_done(struct server *server)
{
        free(server->host);
        free(server->port);
}

static struct server parse_server(const char *text, size_t n, const char *default_port)
{
        _cleanup_free_ char *word = xstrndup(text, n);
        char *colon = strrchr(word, ':'), *bracket = strchr(word, ']');
        struct server server = { 0 };

        if (*word == '[' && bracket) {
                server.host = xstrndup(word + 1, (size_t)(bracket - word - 1));
                server.port = xstrdup(bracket[1] == ':' ? bracket + 2 : default_port);
        } else if (colon && strchr(word, ':') == colon) {
                server.host = xstrndup(word, (size_t)(colon - word));
                server.port = xstrdup(colon + 1);
        } else {
                /* More than one colon and no brackets: an IPv6 address. */
                server.host = xstrdup(word);
                server.port = xstrdup(default_port);
        }
        return server;
}

/* The next blank-separated word from *text on; 0: none. */
static size_t next_word(const char **text)
{
        *text += strspn(*text, " \t\r\n");
        return strcspn(*text, " \t\r\n");
}

bool disk_servers_are_valid(const char *list, bool one_only)
{
        unsigned found = 0;
        size_t n;

        for (const char *word = list; (n = next_word(&word)); word += n) {
                struct server server = parse_server(word, n, "1");
                uint32_t port;
                bool good = *server.host && text_parse_u32(server.port, &port) && port > 0 && port < 65536;

                server_done(&server);
                if (!good)
                        return false;
                found++;
        }
        return found == 1 || (found > 1 && !one_only);
}

/* [{"host","port"}], with "type": "inet" where it is given. */
static json_t *server_list(const char *list, const char *default_port, const char *type)
{
        json_t *servers = json_array();
        size_t n;

        for (const char *word = list; (n = next_word(&word)); word += n) {
                struct server server = parse_server(word, n, default_port);

                json_array_append_new(servers, json_pack("{s:s*, s:s, s:s}", "type", type, "host",
                                                         server.host, "port", server.port));
                server_done(&server);
        }
        return servers;
}

/* Copies, and what is made on the cluster, have the numbers of VM and disk in their names. */
char *disk_rbd_name(const struct disk_spec *disk, const char *vm_number)
{
        const char *pool = disk->pool_name && *disk->pool_name ? disk->pool_name : "one";
        const char *source = disk->source && *disk->source ? disk->source : NULL;
        _cleanup_free_ char *name = !source               ? xasprintf("%s/one-sys", pool)
                                    : strchr(source, '/') ? xstrdup(source)
                                                          : xasprintf("%s/%s", pool, source);

        return vm_number && (disk->clone || !source) ? xasprintf("%s-%s-%u", name, vm_number, disk->id)
                                                     : TAKE_PTR(name);
}

static json_t *rbd(const struct disk_spec *disk, const struct disk_network *network)
{
        _cleanup_free_ char *name = disk_rbd_name(disk, network->vm_number);
        _cleanup_free_ char *secret = disk_secret_id(disk, "ceph");
        char *slash = strchr(name, '/');
        json_t *node;

        *slash = '\0';
        node = json_pack("{s:s, s:s, s:s}", "driver", "rbd", "pool", name, "image", slash + 1);
        if (disk->ceph_host && *disk->ceph_host)
                json_object_set_new(node, "server", server_list(disk->ceph_host, RBD_PORT, NULL));
        if (network->conf_fd >= 0)
                json_object_set_new(node, "conf", json_sprintf("/proc/self/fd/%d", network->conf_fd));
        if (disk->ceph_user && *disk->ceph_user)
                json_object_set_new(node, "user", json_string(disk->ceph_user));
        if (disk->auth_path) {
                json_object_set_new(node, "auth-client-required", json_pack("[s, s]", "cephx", "none"));
                json_object_set_new(node, "key-secret", json_string(secret));
        }
        return node;
}

const char *disk_iscsi_name(const struct disk_spec *disk)
{
        return disk->iscsi_iqn && *disk->iscsi_iqn ? disk->iscsi_iqn : disk->source;
}

static json_t *iscsi(const struct disk_spec *disk)
{
        const char *whole = disk_iscsi_name(disk), *slash = strrchr(whole, '/');
        struct server server = parse_server(disk->iscsi_host, strlen(disk->iscsi_host), ISCSI_PORT);
        bool is_ipv6 = strchr(server.host, ':') != NULL;
        _cleanup_free_ char *secret = disk_secret_id(disk, "chap");
        uint32_t lun = 0;
        json_t *node;

        if (slash)
                text_parse_u32(slash + 1, &lun);
        node = json_pack("{s:s, s:s, s:o, s:o, s:i}", "driver", "iscsi", "transport", "tcp", "portal",
                         json_sprintf(is_ipv6 ? "[%s]:%s" : "%s:%s", server.host, server.port), "target",
                         json_stringn(whole, slash ? (size_t)(slash - whole) : strlen(whole)), "lun",
                         (int)lun);
        if (disk->auth_path) {
                json_object_set_new(node, "user", json_string(disk->iscsi_user));
                json_object_set_new(node, "password-secret", json_string(secret));
        }
        server_done(&server);
        return node;
}

/* A path of the host's is that of OpenNebula's datastore: its last part is the name in the volume. */
char *disk_gluster_name(const struct disk_spec *disk, const char *vm_number)
{
        const char *slash = disk->source ? strrchr(disk->source, '/') : NULL;

        if (disk->clone && vm_number)
                return xasprintf("%s/disk.%u", vm_number, disk->id);
        if (disk->source && *disk->source == '/')
                return xstrdup(slash + 1);
        return xstrdup(disk->source ? disk->source : "");
}

static json_t *gluster(const struct disk_spec *disk, const struct disk_network *network)
{
        _cleanup_free_ char *name = disk_gluster_name(disk, network->vm_number);

        return json_pack("{s:s, s:s, s:s, s:o}", "driver", "gluster", "volume", disk->gluster_volume, "path",
                         name, "server", server_list(disk->gluster_host, GLUSTER_PORT, "inet"));
}

static json_t *nbd(const struct disk_spec *disk, const struct disk_network *network)
{
        json_t *node, *server;

        if (network->socket_fd >= 0) {
                server = json_pack("{s:s, s:o}", "type", "fd", "str", json_sprintf("%d", network->socket_fd));
        } else {
                struct server parsed = parse_server(disk->nbd_host, strlen(disk->nbd_host), NBD_PORT);

                server = json_pack("{s:s, s:s, s:s}", "type", "inet", "host", parsed.host, "port",
                                   parsed.port);
                server_done(&parsed);
        }
        node = json_pack("{s:s, s:o}", "driver", "nbd", "server", server);
        if (disk->source && *disk->source)
                json_object_set_new(node, "export", json_string(disk->source));
        return node;
}

json_t *disk_network_blockdev(const struct disk_spec *disk, const struct disk_network *network)
{
        _cleanup_free_ char *name = disk_node_name(disk, 0, "file");
        json_t *node = disk->store == DISK_STORE_RBD       ? rbd(disk, network)
                       : disk->store == DISK_STORE_ISCSI   ? iscsi(disk)
                       : disk->store == DISK_STORE_GLUSTER ? gluster(disk, network)
                                                           : nbd(disk, network);

        json_object_set_new(node, "node-name", json_string(name));
        json_object_set_new(node, "read-only", json_boolean(disk_is_readonly(disk)));
        disk_set_cache(node, disk);
        json_object_set_new(node, "discard", json_string("unmap"));
        return node;
}
