/* <interface>: libvirt-behaviour section 7. */
#include <string.h>

#include "base/text.h"
#include "conf/snippet_parts.h"

static const struct snippet_row interface_rows[] = {
        PART("mac@address", "MAC"),
        PART("model@type", "MODEL"),
        PART("target@dev", "TARGET"),
        PART("driver@queues", "VIRTIO_QUEUES"),
        PART("boot@order", "ORDER"),
        PART("link@state", "LINK"),
        PART("backend@type", "BACKEND"),
        PART("vlan/tag@id", "VLAN_ID"),
        PART("bandwidth/inbound@average", "INBOUND_AVG_BW"),
        PART("bandwidth/inbound@peak", "INBOUND_PEAK_BW"),
        PART("bandwidth/inbound@burst", "INBOUND_PEAK_KB"),
        PART("bandwidth/outbound@average", "OUTBOUND_AVG_BW"),
        PART("bandwidth/outbound@peak", "OUTBOUND_PEAK_BW"),
        PART("bandwidth/outbound@burst", "OUTBOUND_PEAK_KB"),
        PART("filterref@filter", "FILTER"),
        PARTS_END,
};

static void read_source(struct snippet_unit *unit, struct xml_element *element,
                        const struct xml_attribute *type)
{
        struct xml_element *source = snippet_child(element, "source"),
                           *port = snippet_child(element, "virtualport");
        const struct xml_attribute *bridge = source ? snippet_attribute(source, "bridge") : NULL;

        if (strcmp(type->value, "bridge") == 0) {
                if (bridge)
                        snippet_set(unit, "BRIDGE", bridge->value, &bridge->value_pos);
                else
                        snippet_refuse(unit, &element->pos,
                                       "<devices/interface>: <source bridge='...'/> has to be given");
        } else if (strcmp(type->value, "ethernet") == 0) {
                snippet_set(unit, "BRIDGE", "", &type->value_pos);
        } else if (strcmp(type->value, "user") == 0) {
                snippet_set(unit, "BRIDGE_TYPE", "user", &type->value_pos);
        } else if (strcmp(type->value, "network") == 0) {
                if (source)
                        snippet_ignore(source);
                snippet_refuse(
                        unit, &type->value_pos,
                        "<devices/interface>: there are no networks of libvirt; give the bridge (type='bridge')");
        } else {
                _cleanup_free_ char *shown = text_printable(type->value);

                snippet_refuse(unit, &type->value_pos, "<devices/interface>: type='%s' has no counterpart",
                               shown);
        }
        if (port && strcmp(snippet_value(port, "type"), "openvswitch") == 0)
                snippet_set(unit, "BRIDGE_TYPE", "openvswitch", &port->pos);
        else if (port)
                snippet_refuse(unit, &port->pos,
                               "<devices/interface>: this <virtualport> has no counterpart");
}

static void read_interface(struct snippet_unit *unit, struct xml_element *element)
{
        const struct xml_attribute *type = snippet_attribute(element, "type"), *size, *address;
        struct xml_element *driver = snippet_find(element, "driver"), *mtu = snippet_child(element, "mtu"),
                           *filter = snippet_find(element, "filterref"), *parameter;

        if (!type) {
                snippet_refuse(unit, &element->pos, "<devices/interface>: a type has to be given");
                return;
        }
        read_source(unit, element, type);
        snippet_rows(unit, element, interface_rows);
        if (driver)
                snippet_demand(unit, driver, "name", "vhost");
        size = mtu ? snippet_attribute(mtu, "size") : NULL;
        if (size) {
                snippet_set(unit, "MTU", size->value, &size->value_pos);
                snippet_set(unit, "GUEST_MTU", size->value, &size->value_pos);
        }
        while (filter && (parameter = snippet_child(filter, "parameter"))) {
                address = snippet_attribute(parameter, "value");
                if (address && strcmp(snippet_value(parameter, "name"), "IP") == 0)
                        snippet_set(unit, "IP", address->value, &address->value_pos);
                else
                        snippet_refuse(
                                unit, &parameter->pos,
                                "<devices/interface>: a filter's <parameter> other than IP has no counterpart");
        }
}

const struct snippet_element snippet_nic[] = {
        ELEMENT("devices/interface", "NIC", NULL, read_interface),
        ELEMENTS_END,
};
