/* Addresses and tap names of NICs that have none. */
#include <string.h>

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

                if (nic->mac_text)
                        continue;
                /* 24 bits of a hash can meet: then the number is counted on where no NIC is. */
                do {
                        identity_mac(spec->uuid, number, nic->mac);
                        number += SPEC_MAX_ID + 1;
                } while (mac_is_taken(spec, nic->mac, i));
                nic->mac_text = xasprintf("%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1],
                                          nic->mac[2], nic->mac[3], nic->mac[4], nic->mac[5]);
                spec_set_origin(spec, spec_origin(&attr_nic, nic, "MAC"), LAYER_RULE, nic->mac_text, NULL);
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
                spec_set_origin(spec, spec_origin(&attr_nic, nic, "TARGET"), LAYER_RULE, nic->target, NULL);
        }
}

void spec_set_nics(struct spec_builder *builder)
{
        set_macs(builder->spec);
        set_taps(builder);
}
