/* <disk> and <controller>: libvirt-behaviour sections 5.3 and 6. */
#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "conf/snippet_parts.h"

static const struct snippet_row disk_rows[] = {
        PART("driver@type", "FORMAT"),
        PART("driver@cache", "CACHE"),
        PART("driver@io", "IO"),
        PART("driver@discard", "DISCARD"),
        PART("driver@detect_zeroes", "DETECT_ZEROES"),
        PART("driver@iothread", "IOTHREAD"),
        PART("driver@queues", "VIRTIO_BLK_QUEUES"),
        PART("driver@copy_on_read", "COPY_ON_READ"),
        PART("driver@error_policy", "ERROR_POLICY"),
        PART("driver@rerror_policy", "RERROR_POLICY"),
        PART("target@rotation_rate", "ROTATION_RATE"),
        PART("blockio@logical_block_size", "LOGICAL_BLOCK_SIZE"),
        PART("blockio@physical_block_size", "PHYSICAL_BLOCK_SIZE"),
        PART("serial", "SERIAL"),
        PART("wwn", "WWN"),
        PART("vendor", "VENDOR"),
        PART("product", "PRODUCT"),
        PART("boot@order", "ORDER"),
        PARTS_END,
};

/* A disk's name decides its bus here, and libvirt's name is only a hint: the letters in front are those of the bus. */
static void read_target(struct snippet_unit *unit, struct xml_element *element, const char *device)
{
        struct xml_element *target = snippet_child(element, "target");
        const struct xml_attribute *dev = target ? snippet_attribute(target, "dev") : NULL,
                                   *bus = target ? snippet_attribute(target, "bus") : NULL;
        const char *prefix;

        if (!dev) {
                snippet_refuse(unit, &element->pos, "<devices/disk>: <target dev='...'/> has to be given");
                return;
        }
        if (!bus || snippet_is(device, "cdrom floppy")) {
                snippet_demand(unit, target, "bus",
                               strcmp(device, "floppy") == 0  ? "fdc"
                               : strcmp(device, "cdrom") == 0 ? "ide sata"
                                                              : "virtio scsi ide sata");
                snippet_set(unit, "TARGET", dev->value, &dev->value_pos);
                return;
        }
        prefix = strcmp(bus->value, "virtio") == 0    ? "vd"
                 : strcmp(bus->value, "scsi") == 0    ? "sd"
                 : snippet_is(bus->value, "ide sata") ? "hd"
                                                      : NULL;
        if (!prefix)
                snippet_demand(unit, target, "bus", "virtio scsi ide sata");
        else if (strlen(dev->value) > 2)
                snippet_setf(unit, "TARGET", &dev->value_pos, "%s%s", prefix, dev->value + 2);
        else
                snippet_set(unit, "TARGET", dev->value, &dev->value_pos);
}

static void read_local_source(struct snippet_unit *unit, struct xml_element *element, const char *type,
                              const char *device)
{
        struct xml_element *source = snippet_child(element, "source");
        bool is_block = strcmp(type, "block") == 0, is_cd = strcmp(device, "cdrom") == 0;
        const struct xml_attribute *place =
                source ? snippet_attribute(source, is_block ? "dev" : "file") : NULL;

        if (snippet_is(device, "lun floppy"))
                snippet_set(unit, "TYPE", device, &element->pos);
        else
                snippet_set(unit, "TYPE", is_cd ? (is_block ? "block_cdrom" : "cdrom") : type, &element->pos);
        if (place)
                snippet_set(unit, "SOURCE", place->value, &place->value_pos);
        else if (!is_cd)
                snippet_refuse(unit, &element->pos, "<devices/disk>: <source %s='...'/> has to be given",
                               is_block ? "dev" : "file");
}

/* "a:1 b:2": the hosts of a network source; a socket of this host goes to *ret_socket, "" without. New strings. */
static char *hosts_of(struct snippet_unit *unit, struct xml_element *source, char **ret_socket)
{
        struct text list = TEXT_INIT;

        *ret_socket = xstrdup("");
        for (struct xml_element *host; (host = snippet_child(source, "host"));) {
                const char *name = snippet_value(host, "name"), *port = snippet_value(host, "port");

                snippet_demand(unit, host, "transport", "tcp unix");
                if (strcmp(snippet_value(host, "transport"), "unix") == 0) {
                        free(*ret_socket);
                        *ret_socket = xstrdup(snippet_value(host, "socket"));
                } else {
                        text_addf(&list, "%s%s%s%s", list.length ? " " : "", name, *port ? ":" : "", port);
                }
        }
        return text_take(&list);
}

static const struct protocol {
        const char *name, *cd, *host, *user, *secret, *kind;
} protocols[] = {
        { "rbd", "rbd_cdrom", "CEPH_HOST", "CEPH_USER", "CEPH_SECRET", "ceph" },
        { "iscsi", NULL, "ISCSI_HOST", "ISCSI_USER", "ISCSI_USAGE", "iscsi" },
        { "gluster", "gluster_cdrom", "GLUSTER_HOST", NULL, NULL, NULL },
        { "nbd", NULL, "NBD_HOST", NULL, NULL, NULL },
};

/* libvirt's secret becomes the name of a file in /etc/vmlaunch/secrets. */
static void read_auth(struct snippet_unit *unit, struct xml_element *auth, const struct protocol *protocol)
{
        const struct xml_attribute *user = snippet_attribute(auth, "username"), *id;
        struct xml_element *secret = snippet_child(auth, "secret");

        if (!protocol->user) {
                snippet_refuse(unit, &auth->pos, "<devices/disk>: <auth> over %s has no counterpart",
                               protocol->name);
                return;
        }
        if (user)
                snippet_set(unit, protocol->user, user->value, &user->value_pos);
        if (!secret)
                return;
        snippet_demand(unit, secret, "type", protocol->kind);
        id = snippet_attribute(secret, "usage");
        if (!id)
                id = snippet_attribute(secret, "uuid");
        if (id)
                snippet_set(unit, protocol->secret, id->value, &id->value_pos);
}

static void read_name(struct snippet_unit *unit, const struct xml_attribute *name, bool is_gluster)
{
        const char *slash = is_gluster ? strchr(name->value, '/') : NULL;

        if (slash) {
                snippet_setf(unit, "GLUSTER_VOLUME", &name->value_pos, "%.*s", (int)(slash - name->value),
                             name->value);
                snippet_set(unit, "SOURCE", slash + 1, &name->value_pos);
        } else {
                snippet_set(unit, "SOURCE", name->value, &name->value_pos);
        }
}

static void read_network_source(struct snippet_unit *unit, struct xml_element *element, const char *device)
{
        struct xml_element *source = snippet_child(element, "source"), *auth = snippet_child(element, "auth");
        const struct xml_attribute *word = source ? snippet_attribute(source, "protocol") : NULL,
                                   *name = source ? snippet_attribute(source, "name") : NULL;
        _cleanup_free_ char *socket = NULL, *hosts = source ? hosts_of(unit, source, &socket) : NULL;
        const struct protocol *protocol = protocols;
        const char *type;

        while (word && protocol < protocols + ARRAY_SIZE(protocols) &&
               strcmp(protocol->name, word->value) != 0)
                protocol++;
        if (!word || protocol == protocols + ARRAY_SIZE(protocols)) {
                snippet_refuse(
                        unit, word ? &word->value_pos : &element->pos,
                        "<devices/disk>: of the network, rbd, iscsi, gluster and nbd have a counterpart");
                return;
        }
        type = strcmp(device, "disk") == 0    ? protocol->name
               : strcmp(device, "cdrom") == 0 ? protocol->cd
               : strcmp(device, "lun") == 0   ? "lun"
                                              : NULL;
        if (!type) {
                snippet_refuse(unit, &word->value_pos, "<devices/disk>: a %s by %s has no counterpart",
                               device, protocol->name);
                return;
        }
        snippet_set(unit, "TYPE", type, &word->value_pos);
        if (strcmp(type, "lun") == 0)
                snippet_set(unit, "DISK_TYPE", protocol->name, &word->value_pos);
        if (name)
                read_name(unit, name, strcmp(protocol->name, "gluster") == 0);
        if (*hosts)
                snippet_set(unit, protocol->host, hosts, &source->pos);
        if (*socket && strcmp(protocol->name, "nbd") == 0)
                snippet_set(unit, "NBD_SOCKET", socket, &source->pos);
        else if (*socket)
                snippet_refuse(unit, &source->pos,
                               "<devices/disk>: %s over a socket of this host has no "
                               "counterpart",
                               protocol->name);
        if (!auth)
                auth = snippet_child(source, "auth");
        if (auth)
                read_auth(unit, auth, protocol);
}

/* <encryption>, in the disk or in its source: raw with it is LUKS, as in LUKS_SECRET. */
static void read_encryption(struct snippet_unit *unit, struct xml_element *element)
{
        struct xml_element *source = snippet_find(element, "source"), *secret;
        struct xml_element *encryption = snippet_child(element, "encryption");
        const struct xml_attribute *id;

        if (!encryption && source)
                encryption = snippet_child(source, "encryption");
        if (!encryption)
                return;
        snippet_demand(unit, encryption, "format", "luks");
        secret = snippet_child(encryption, "secret");
        if (!secret)
                return;
        snippet_demand(unit, secret, "type", "passphrase");
        id = snippet_attribute(secret, "usage");
        if (!id)
                id = snippet_attribute(secret, "uuid");
        if (id)
                snippet_set(unit, "LUKS_SECRET", id->value, &id->value_pos);
}

/* <iotune>: the names are ours in lower case. */
static void read_iotune(struct snippet_unit *unit, struct xml_element *iotune)
{
        static const char *const limits[] = { "total_bytes_sec", "read_bytes_sec", "write_bytes_sec",
                                              "total_iops_sec",  "read_iops_sec",  "write_iops_sec" };
        static const char *const endings[] = { "", "_max", "_max_length" };

        for (size_t i = 0; i < ARRAY_SIZE(limits) * ARRAY_SIZE(endings) + 1; i++) {
                _cleanup_free_ char *name = i == ARRAY_SIZE(limits) * ARRAY_SIZE(endings)
                                                    ? xstrdup("size_iops_sec")
                                                    : xasprintf("%s%s", limits[i / 3], endings[i % 3]);
                struct xml_element *limit = snippet_child(iotune, name);
                _cleanup_free_ char *value = limit ? snippet_text(limit) : NULL;

                if (!limit)
                        continue;
                for (char *c = name; *c; c++)
                        *c = (char)toupper((unsigned char)*c);
                snippet_set(unit, name, value, &limit->text_pos);
        }
}

static void read_disk(struct snippet_unit *unit, struct xml_element *element)
{
        const char *type = snippet_value(element, "type"), *device = snippet_value(element, "device");
        struct xml_element *driver = snippet_find(element, "driver"), *child;
        bool is_cd;

        if (!*device)
                device = "disk";
        is_cd = strcmp(device, "cdrom") == 0;
        snippet_demand(unit, element, "device", "disk cdrom lun floppy");
        snippet_demand(unit, element, "type", "file block network");
        if (*type && !snippet_is(type, "file block network")) {
                for (child = element->children; child; child = child->next)
                        snippet_ignore(child);
                return;
        }
        if (driver)
                snippet_demand(unit, driver, "name", "qemu");
        read_encryption(unit, element);
        if (strcmp(type, "network") == 0)
                read_network_source(unit, element, device);
        else
                read_local_source(unit, element, type, device);
        read_target(unit, element, device);
        snippet_rows(unit, element, disk_rows);
        child = snippet_child(element, "readonly");
        if (child && !is_cd)
                snippet_set(unit, "READONLY", "yes", &child->pos);
        child = snippet_child(element, "shareable");
        if (child)
                snippet_set(unit, "SHAREABLE", "yes", &child->pos);
        child = snippet_child(element, "transient");
        if (child)
                snippet_set(unit, "PERSISTENT", "no", &child->pos);
        child = snippet_child(element, "iotune");
        if (child)
                read_iotune(unit, child);
        /* The image says itself what it stands on. */
        child = snippet_child(element, "backingStore");
        if (child) {
                snippet_note(unit, &child->pos, "<devices/disk>/backingStore");
                snippet_ignore(child);
        }
}

/* Buses are made as their devices need them; what can be said of them are queues and the PCI hole. */
static void read_controller(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct snippet_row hole[] = { PART_SIZE("pcihole64", "PCIHOLE64"), PARTS_END };
        const struct xml_attribute *type = snippet_attribute(element, "type"), *queues;
        struct xml_element *driver = snippet_child(element, "driver");

        snippet_demand(unit, element, "type", "usb pci scsi sata ide virtio-serial fdc");
        if (type && strcmp(type->value, "scsi") == 0)
                snippet_demand(unit, element, "model", "virtio-scsi");
        else if (type && strcmp(type->value, "pci") == 0)
                snippet_demand(
                        unit, element, "model",
                        "pci-root pcie-root pcie-root-port pcie-to-pci-bridge pci-bridge dmi-to-pci-bridge");
        else
                snippet_attribute(element, "model");
        snippet_attribute(element, "index");
        snippet_attribute(element, "ports");
        snippet_begin(unit, "FEATURES", &element->pos);
        queues = driver ? snippet_attribute(driver, "queues") : NULL;
        if (queues)
                snippet_set(unit, "VIRTIO_SCSI_QUEUES", queues->value, &queues->value_pos);
        snippet_rows(unit, element, hole);
        for (struct xml_element *child = element->children; child; child = child->next)
                if (snippet_is(child->name, "model target master address alias"))
                        snippet_ignore(child);
        if (!unit->vectors[0].n_pairs)
                snippet_note(unit, &element->pos, "<devices/controller>");
}

const struct snippet_element snippet_disk[] = {
        ELEMENT("devices/disk", "DISK", NULL, read_disk),
        ELEMENT("devices/controller", NULL, NULL, read_controller),
        ELEMENTS_END,
};
