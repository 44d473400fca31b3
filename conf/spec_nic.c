/* Addresses and tap names of NICs that have none. */
#include <string.h>

#include "base/number_list.h"
#include "base/text.h"
#include "conf/identity.h"
#include "conf/spec_rules.h"

/* IFNAMSIZ without its NUL. */
enum { IFNAME_BYTES = 15 };

/* By a NIC that has its address already: those before this one, and those that were given one. */
static bool mac_is_taken(const struct vm_spec *spec, const uint8_t mac[6], size_t index)
{
        for (size_t i = 0; i < spec->n_nics; i++)
                if (i != index && spec->nics[i].mac_text && memcmp(spec->nics[i].mac, mac, 6) == 0)
                        return true;
        return false;
}

static void set_macs(struct vm_spec *spec)
{
        for (size_t i = 0; i < spec->n_nics; i++)
                if (spec->nics[i].mac_text)
                        text_parse_mac(spec->nics[i].mac_text, spec->nics[i].mac);
        for (size_t i = 0; i < spec->n_nics; i++) {
                struct nic_spec *nic = &spec->nics[i];
                uint32_t number = nic->id;
                char text[18];

                if (nic->mac_text)
                        continue;
                /* 24 bits of a hash can meet: then the number is counted on where no NIC is. */
                do {
                        identity_mac(spec->uuid, number, nic->mac);
                        number += SPEC_MAX_ID + 1;
                } while (mac_is_taken(spec, nic->mac, i));
                text_from_mac(nic->mac, text);
                nic->mac_text = xstrdup(text);
                spec_set_origin(spec, spec_own_origin(&attr_nic, nic, "MAC"), LAYER_RULE, nic->mac_text,
                                NULL);
        }
}

static void set_taps(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;

        for (size_t i = 0; i < spec->n_nics; i++) {
                struct nic_spec *nic = &spec->nics[i];

                if (nic->target || nic->bridge_type == NIC_BRIDGE_USER || !spec->name)
                        continue;
                nic->target = xasprintf("%s-%u", spec->name, nic->id);
                if (strlen(nic->target) > IFNAME_BYTES) {
                        free(nic->target);
                        nic->target = xasprintf("vl-%08x-%u",
                                                (unsigned)(text_hash(spec->name, strlen(spec->name)) >> 32),
                                                nic->id);
                }
                spec_set_origin(spec, spec_own_origin(&attr_nic, nic, "TARGET"), LAYER_RULE, nic->target,
                                NULL);
        }
}

static bool is_virtio(const struct nic_spec *nic)
{
        return nic->model && text_starts_with(nic->model, "virtio");
}

/* Given by the NIC itself, with a value; what NIC_DEFAULT says is for those that can. */
static bool is_asked(const struct spec_builder *builder, const struct nic_spec *nic, const char *key)
{
        const struct origin *origin = spec_origin(&attr_nic, nic, key);
        const struct template_attribute *defaults;
        size_t start = 0;

        if (origin->layer != LAYER_TEMPLATE || !spec_is_given(&attr_nic, nic, key))
                return false;
        defaults = template_next(builder->template, "NIC_DEFAULT", true, &start);
        for (size_t i = 0; defaults && i < defaults->n_pairs; i++)
                if (defaults->pairs[i].value_pos.line == origin->pos.line &&
                    defaults->pairs[i].value_pos.column == origin->pos.column)
                        return false;
        return true;
}

/* Only virtio cards have more than one, and only taps (opennebula-semantics 3.10). */
static void set_queues(struct spec_builder *builder, struct nic_spec *nic)
{
        uint32_t most = (uint32_t)attr_find(&attr_nic, "VIRTIO_QUEUES")->max;

        nic->queues = 1;
        if (is_virtio(nic) && nic->bridge_type != NIC_BRIDGE_USER)
                nic->queues = nic->virtio_queues == ATTR_AUTO ? builder->spec->vcpu : nic->virtio_queues;
        else if (!is_asked(builder, nic, "VIRTIO_QUEUES"))
                nic->virtio_queues = ATTR_AUTO;
        if (nic->queues > most)
                nic->queues = most;
}

/* What NIC_DEFAULT says of taps is nothing to a NIC without one. */
static void drop_defaults_of_taps(struct spec_builder *builder, struct nic_spec *nic)
{
        if (nic->bridge_type != NIC_BRIDGE_USER)
                return;
        if (nic->script && !is_asked(builder, nic, "SCRIPT")) {
                free(nic->script);
                nic->script = NULL;
                spec_drop_origin(&attr_nic, nic, "SCRIPT");
        }
        if (nic->mtu && !is_asked(builder, nic, "MTU")) {
                nic->mtu = 0;
                spec_drop_origin(&attr_nic, nic, "MTU");
        }
        if (nic->bridge && !is_asked(builder, nic, "BRIDGE")) {
                free(nic->bridge);
                nic->bridge = NULL;
                spec_drop_origin(&attr_nic, nic, "BRIDGE");
        }
}

static bool is_dummy(const struct nic_spec *nic)
{
        return nic->network_mode && strcmp(nic->network_mode, "dummy") == 0;
}

static void leave_bridge(struct nic_spec *nic)
{
        if (!is_dummy(nic))
                return;
        free(nic->bridge);
        nic->bridge = NULL;
}

void spec_set_nics(struct spec_builder *builder)
{
        set_macs(builder->spec);
        set_taps(builder);
        for (size_t i = 0; i < builder->spec->n_nics; i++) {
                struct nic_spec *nic = &builder->spec->nics[i];

                set_queues(builder, nic);
                drop_defaults_of_taps(builder, nic);
                leave_bridge(nic);
        }
}

static const struct source_pos *place(const struct nic_spec *nic, const char *key)
{
        const struct origin *origin = spec_origin(&attr_nic, nic, key);

        return origin->pos.file ? &origin->pos : &nic->section.pos;
}

static void check_user_net(struct spec_builder *builder, const struct nic_spec *nic)
{
        static const char *const of_taps[] = { "TARGET", "MTU", "SCRIPT" };

        if (nic->bridge)
                spec_fail(builder, place(nic, "BRIDGE"), "NIC/BRIDGE: BRIDGE_TYPE user has no bridge");
        for (size_t i = 0; i < ARRAY_SIZE(of_taps); i++)
                if (is_asked(builder, nic, of_taps[i]))
                        spec_fail(builder, place(nic, of_taps[i]), "NIC/%s: BRIDGE_TYPE user has no tap",
                                  of_taps[i]);
        if (is_asked(builder, nic, "VIRTIO_QUEUES") && nic->virtio_queues > 1)
                spec_fail(builder, place(nic, "VIRTIO_QUEUES"),
                          "NIC/VIRTIO_QUEUES: user-mode networking has one queue");
}

/* A bridge of Linux would let the guest into all of them. */
static void check_vlans(struct spec_builder *builder, const struct nic_spec *nic)
{
        static const char *const vlans[] = { "VLAN_ID", "VLAN_TAGGED_ID" };
        struct number_list list;

        for (size_t i = 0; i < ARRAY_SIZE(vlans) && nic->bridge_type != NIC_BRIDGE_OVS; i++)
                if (spec_is_given(&attr_nic, nic, vlans[i]))
                        spec_fail(
                                builder, place(nic, vlans[i]),
                                "NIC/%s: only a bridge of Open vSwitch has VLANs here (BRIDGE_TYPE = \"openvswitch\")",
                                vlans[i]);
        if (nic->bridge_type == NIC_BRIDGE_OVS && nic->vlan_tagged_id &&
            !number_list_parse_within(nic->vlan_tagged_id, 1, (unsigned)attr_find(&attr_nic, "VLAN_ID")->max,
                                      &list))
                spec_fail(builder, place(nic, "VLAN_TAGGED_ID"),
                          "NIC/VLAN_TAGGED_ID: '%s' is no list of VLANs, 1 to 4094 (100,200-299)",
                          nic->vlan_tagged_id);
}

static void check_virtio(struct spec_builder *builder, const struct nic_spec *nic)
{
        if (is_virtio(nic))
                return;
        if (is_asked(builder, nic, "VIRTIO_QUEUES") && nic->virtio_queues > 1)
                spec_fail(builder, place(nic, "VIRTIO_QUEUES"),
                          "NIC/VIRTIO_QUEUES: a card of model '%s' has one queue", nic->model);
        if (nic->guest_mtu)
                spec_warn(builder, place(nic, "GUEST_MTU"),
                          "NIC/GUEST_MTU: a card of model '%s' cannot tell the guest", nic->model);
}

/* It runs as root, and the template may be anybody's. */
static void check_script(struct spec_builder *builder, const struct nic_spec *nic)
{
        char **list = builder->site->nic_scripts;
        _cleanup_free_ char *shown = nic->script ? text_printable(nic->script) : NULL;

        if (!nic->script)
                return;
        for (size_t i = 0; list && list[i]; i++)
                if (strcmp(list[i], nic->script) == 0)
                        return;
        spec_fail(builder, place(nic, "SCRIPT"),
                  "NIC/SCRIPT: '%s' is not on the NIC_SCRIPTS list of host.conf%s", shown,
                  list ? "" : ", which has none");
}

static void check_nic(struct spec_builder *builder, const struct nic_spec *nic)
{
        if (nic->bridge_type == NIC_BRIDGE_USER)
                check_user_net(builder, nic);
        else if (is_asked(builder, nic, "BACKEND"))
                spec_fail(builder, place(nic, "BACKEND"), "NIC/BACKEND: only BRIDGE_TYPE user has one");
        else if (!nic->bridge && spec_origin(&attr_nic, nic, "BRIDGE")->layer == LAYER_NONE && !is_dummy(nic))
                spec_fail(
                        builder, &nic->section.pos,
                        "NIC: give BRIDGE = \"NAME\" of a bridge of this host, or BRIDGE_TYPE = \"user\" for "
                        "user-mode networking (BRIDGE = \"\": a tap in no bridge)");
        check_virtio(builder, nic);
        check_vlans(builder, nic);
        check_script(builder, nic);
        if (nic->mtu && nic->guest_mtu > nic->mtu)
                spec_fail(builder, place(nic, "GUEST_MTU"), "NIC/GUEST_MTU: is above the MTU of the tap, %u",
                          nic->mtu);
}

/* One warning for all of them: what only CONTEXT could tell the guest. OpenNebula has made its CD. */
static void warn_of_kept(struct spec_builder *builder)
{
        static const char *const for_the_guest[] = { "IP",           "IP6",     "IP6_GLOBAL", "IP6_ULA",
                                                     "METHOD",       "GATEWAY", "GATEWAY6",   "DNS",
                                                     "IP6_METHOD",   "ROUTES",  "METRIC",     "IP6_METRIC",
                                                     "SEARCH_DOMAIN" };
        const struct vm_spec *spec = builder->spec;
        const struct source_pos *first = NULL;
        _cleanup_text_ struct text names = TEXT_INIT;

        if (builder->template->is_vm)
                return;
        for (size_t k = 0; k < ARRAY_SIZE(for_the_guest); k++)
                for (size_t i = 0; i < spec->n_nics; i++) {
                        if (!is_asked(builder, &spec->nics[i], for_the_guest[k]))
                                continue;
                        text_addf(&names, "%sNIC/%s", names.length ? ", " : "", for_the_guest[k]);
                        if (!first)
                                first = place(&spec->nics[i], for_the_guest[k]);
                        break;
                }
        if (first)
                spec_warn(builder, first, "kept, and the guest is not told: %s", text_str(&names));
}

void spec_check_nics(struct spec_builder *builder)
{
        const struct vm_spec *spec = builder->spec;

        for (size_t i = 0; i < spec->n_nics; i++) {
                const struct nic_spec *nic = &spec->nics[i];

                check_nic(builder, nic);
                for (size_t j = 0; j < i; j++) {
                        const struct nic_spec *other = &spec->nics[j];

                        if (nic->target && other->target && strcmp(nic->target, other->target) == 0)
                                spec_fail_twice(builder, &nic->section.pos, &other->section.pos,
                                                "NIC/TARGET: '%s' is also the tap of the NIC of",
                                                nic->target);
                        if (memcmp(nic->mac, other->mac, 6) == 0) {
                                _cleanup_free_ char *where =
                                        source_pos_name(&other->section.pos, place(nic, "MAC"));

                                spec_warn(builder, place(nic, "MAC"),
                                          "NIC/MAC: also the address of the NIC of %s", where);
                        }
                }
        }
        warn_of_kept(builder);
}
