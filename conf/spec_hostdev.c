/* Which devices of the host PCI and USB mean, in one spelling, as far as the template says it. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "conf/spec_rules.h"

#define USB_BUS_MAX 255
/* USB 2.0, 9.4.6: seven bits. */
#define USB_DEVICE_MAX 127

static const struct source_pos *place(const struct attr_section *section, const void *record, const char *key)
{
        const struct source_pos *pos = &spec_origin(section, record, key)->pos;

        return pos->file ? pos : &((const struct section *)record)->pos;
}

static bool given(const struct pci_spec *pci, const char *key)
{
        return spec_is_given(&attr_pci, pci, key) && spec_is_read(&attr_pci, pci, key);
}

/* "3B" as "003b". */
static void pad(char **text, size_t digits)
{
        size_t n = *text ? strlen(*text) : 0;
        char *padded;

        if (!n || n > digits)
                return;
        padded = xasprintf("%.*s%s", (int)(digits - n), "0000", *text);
        for (char *p = padded; *p; p++)
                *p = (char)tolower((unsigned char)*p);
        free(*text);
        *text = padded;
}

static unsigned hex(const char *text)
{
        return (unsigned)strtoul(text, NULL, 16);
}

/* The four parts, where all are given. */
static bool read_parts(struct spec_builder *builder, const struct pci_spec *pci, struct spec_pci_address *ret)
{
        static const char *const keys[] = { "DOMAIN", "BUS", "SLOT", "FUNCTION" };
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                if (!spec_is_read(&attr_pci, pci, keys[i]))
                        return false; /* which has been said */
                n += given(pci, keys[i]);
        }
        for (size_t i = 0; n && n < ARRAY_SIZE(keys) && i < ARRAY_SIZE(keys); i++)
                if (!given(pci, keys[i])) {
                        spec_fail(
                                builder, &pci->section.pos,
                                "PCI/%s: goes with DOMAIN, BUS, SLOT and FUNCTION, of which others are given",
                                keys[i]);
                        return false;
                }
        if (n < ARRAY_SIZE(keys))
                return false;
        *ret = (struct spec_pci_address){ hex(pci->domain), hex(pci->bus), hex(pci->slot),
                                          hex(pci->function) };
        for (size_t i = 2; i < ARRAY_SIZE(keys); i++)
                if (i == 2 ? ret->slot > 0x1f : ret->function > 7) {
                        spec_fail(builder, place(&attr_pci, pci, keys[i]), "PCI/%s: is 0 to %s", keys[i],
                                  i == 2 ? "1f" : "7");
                        return false;
                }
        return true;
}

static bool read_one(struct spec_builder *builder, const struct pci_spec *pci, const char *key,
                     const char *text, bool has_domain, const char *example, struct spec_pci_address *ret)
{
        if (spec_read_pci_address(text, has_domain, ret))
                return true;
        spec_fail(builder, place(&attr_pci, pci, key), "PCI/%s: '%s' is no PCI address such as %s", key, text,
                  example);
        return false;
}

/* Rightly or not, which has been said. */
static bool says_any(const struct pci_spec *pci)
{
        static const char *const keys[] = { "ADDRESS",  "SHORT_ADDRESS", "DOMAIN", "BUS",  "SLOT",
                                            "FUNCTION", "VENDOR",        "DEVICE", "CLASS" };
        bool any = spec_is_given(&attr_pci, pci, "UUID") && pci->mode == MDEV_LEGACY;

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                any = any || spec_is_given(&attr_pci, pci, keys[i]);
        return any;
}

/* The address that any of the keys says; the strongest key is what OpenNebula has chosen at placement. */
static void set_address(struct spec_builder *builder, struct pci_spec *pci)
{
        static const char *const ids[] = { "VENDOR", "DEVICE", "CLASS" };
        struct spec_pci_address address = { 0 }, parts = { 0 }, shorter = { 0 };
        bool has_address = given(pci, "ADDRESS"), has_short = given(pci, "SHORT_ADDRESS"), has_parts,
             has_ids = false;

        for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
                has_ids = has_ids || given(pci, ids[i]);
        if (has_address && !read_one(builder, pci, "ADDRESS", pci->address, true, "0000:3b:00.1", &address))
                return;
        if (has_short &&
            !read_one(builder, pci, "SHORT_ADDRESS", pci->short_address, false, "3b:00.1", &shorter))
                return;
        has_parts = read_parts(builder, pci, &parts);
        if (has_address && has_parts && memcmp(&address, &parts, sizeof(parts)) != 0)
                spec_fail(builder, place(&attr_pci, pci, "ADDRESS"),
                          "PCI/ADDRESS: is another one than DOMAIN, BUS, SLOT and FUNCTION say");
        if (!has_address)
                address = has_parts ? parts : shorter;
        if (has_short && (address.bus != shorter.bus || address.slot != shorter.slot ||
                          address.function != shorter.function))
                spec_fail(builder, place(&attr_pci, pci, "SHORT_ADDRESS"),
                          "PCI/SHORT_ADDRESS: is another one than the other keys say");
        if (has_short && has_ids && !has_address && !has_parts)
                spec_fail(builder, place(&attr_pci, pci, "SHORT_ADDRESS"),
                          "PCI/SHORT_ADDRESS: cannot be given together with VENDOR, DEVICE or CLASS");
        if (has_address || has_short || has_parts) {
                free(pci->address);
                pci->address = xasprintf("%04x:%02x:%02x.%x", address.domain & 0xffff, address.bus & 0xff,
                                         address.slot & 0x1f, address.function & 7);
        } else if (!says_any(pci)) {
                spec_fail(
                        builder, &pci->section.pos,
                        "PCI/ADDRESS: has to be given, or SHORT_ADDRESS, or VENDOR, DEVICE and CLASS, or UUID");
        }
}

static void set_mdev(struct spec_builder *builder, const struct pci_spec *pci)
{
        if (pci->mode == MDEV_NVIDIA && !pci->address)
                spec_fail(builder, place(&attr_pci, pci, "MDEV_MODE"),
                          "PCI/MDEV_MODE: nvidia names the virtual function by its address (try ADDRESS)");
        if (given(pci, "PROFILE") && !(given(pci, "UUID") && pci->mode == MDEV_LEGACY) &&
            pci->mode != MDEV_NVIDIA)
                spec_fail(builder, place(&attr_pci, pci, "PROFILE"),
                          "PCI/PROFILE: is the type of a mediated device, and there is no UUID");
}

/* One device, one guest place, once. */
static void check_pci(struct spec_builder *builder, const struct pci_spec *pci)
{
        for (const struct pci_spec *other = builder->spec->pcis; other < pci; other++) {
                if (pci->address && other->address && strcmp(pci->address, other->address) == 0 &&
                    !(pci->uuid && pci->mode == MDEV_LEGACY))
                        spec_fail_twice(builder, &pci->section.pos, &other->section.pos,
                                        "PCI/ADDRESS: %s is also the device of", pci->address);
                if (pci->uuid && other->uuid && strcmp(pci->uuid, other->uuid) == 0 &&
                    pci->mode == MDEV_LEGACY && other->mode == MDEV_LEGACY)
                        spec_fail_twice(builder, place(&attr_pci, pci, "UUID"), &other->section.pos,
                                        "PCI/UUID: is also the device of");
        }
}

static void read_number(struct spec_builder *builder, const struct usb_spec *usb, const char *key,
                        char **text, uint32_t most, uint32_t *ret)
{
        if (!*text || !**text)
                return;
        if (!text_parse_u32(*text, ret) || *ret < 1 || *ret > most) {
                spec_fail(builder, place(&attr_usb, usb, key), "USB/%s: '%s' is not 1 to %u", key, *text,
                          most);
                return;
        }
        free(*text);
        *text = xasprintf("%u", *ret);
}

static void set_usb(struct spec_builder *builder, struct usb_spec *usb)
{
        bool has_bus = spec_is_given(&attr_usb, usb, "BUS");

        pad(&usb->vendor, 4);
        pad(&usb->product, 4);
        read_number(builder, usb, "BUS", &usb->bus, USB_BUS_MAX, &usb->bus_number);
        read_number(builder, usb, "DEVICE", &usb->device, USB_DEVICE_MAX, &usb->device_number);
        if (usb->port && (*usb->port == '.' || strstr(usb->port, "..") || text_ends_with(usb->port, ".")))
                spec_fail(builder, place(&attr_usb, usb, "PORT"),
                          "USB/PORT: '%s' is no path of ports such as 4 or 1.2", usb->port);
        if (spec_is_given(&attr_usb, usb, "DEVICE") && !has_bus)
                spec_fail(builder, place(&attr_usb, usb, "DEVICE"),
                          "USB/DEVICE: goes with BUS, which is not given");
        if (usb->port && !has_bus)
                spec_fail(builder, place(&attr_usb, usb, "PORT"),
                          "USB/PORT: goes with BUS, which is not given");
        if (has_bus && !spec_is_given(&attr_usb, usb, "DEVICE") && !usb->port && !usb->vendor &&
            !usb->product)
                spec_fail(builder, place(&attr_usb, usb, "BUS"),
                          "USB/BUS: goes with DEVICE, PORT, VENDOR or PRODUCT");
        if (!has_bus && !usb->port && !spec_is_given(&attr_usb, usb, "VENDOR") &&
            !spec_is_given(&attr_usb, usb, "PRODUCT") && !spec_is_given(&attr_usb, usb, "DEVICE"))
                spec_fail(builder, &usb->section.pos,
                          "USB/VENDOR: has to be given, with PRODUCT, or BUS with DEVICE or PORT");
}

void spec_set_hostdevs(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;

        for (size_t i = 0; i < spec->n_pcis; i++) {
                struct pci_spec *pci = &spec->pcis[i];

                pad(&pci->vendor, 4);
                pad(&pci->device, 4);
                pad(&pci->class_id, 4);
                set_address(builder, pci);
                set_mdev(builder, pci);
                check_pci(builder, pci);
        }
        spec_set_hostdev_places(builder);
        for (size_t i = 0; i < spec->n_usbs; i++)
                set_usb(builder, &spec->usbs[i]);
}
