/* Rows in words, for people. */
#include "conf/attr.h"

#include "base/text.h"

const char *attr_kind_name(enum attr_kind kind)
{
        static const char *const names[] = {
                [ATTR_TEXT] = "text",
                [ATTR_PATH] = "path",
                [ATTR_BOOL] = "yes or no",
                [ATTR_U32] = "number",
                [ATTR_U64] = "number",
                [ATTR_SIGNED] = "number, may be negative",
                [ATTR_DECIMAL] = "decimal number",
                [ATTR_SIZE] = "size",
                [ATTR_ENUM] = "word",
                [ATTR_MAC] = "MAC address",
                [ATTR_UUID] = "UUID",
                [ATTR_IFNAME] = "interface name",
                [ATTR_TARGET] = "disk name",
                [ATTR_ADDRESS] = "IP address",
        };

        return names[kind];
}

const char *attr_unit(const struct attr *row)
{
        return row->kind == ATTR_TEXT ? NULL : row->unit;
}

const char *attr_lands_name(enum attr_lands lands)
{
        static const char *const names[] = {
                [LANDS_ARGV] = "argv",     [LANDS_CGROUP] = "cgroup",
                [LANDS_HELPER] = "helper", [LANDS_ENVIRONMENT] = "environment",
                [LANDS_NAME] = "name",     [LANDS_GUEST_ADDRESS] = "guest address",
                [LANDS_NET] = "net",       [LANDS_METADATA] = "metadata",
                [LANDS_QMP] = "qmp",       [LANDS_RULE] = "rule",
                [LANDS_UNIT] = "unit",
        };

        return names[lands];
}

const char *attr_state_name(enum attr_state state)
{
        static const char *const names[] = {
                [ATTR_HERE] = "supported",
                [ATTR_COMING] = "not supported by this version",
                [ATTR_LEFT_ALONE] = "left alone",
                [ATTR_MISSPELT] = "misspelt",
        };

        return names[state];
}

const char *attr_lookup_name(enum attr_lookup lookup)
{
        static const char *const names[] = {
                [LOOKUP_A] = "VM, host.conf, cluster.conf, vmm_exec_kvm.conf",
                [LOOKUP_B] = "host.conf, cluster.conf, vmm_exec_kvm.conf",
                [LOOKUP_C] = "VM, host.conf, cluster.conf, vmm_exec_kvm.conf",
                [LOOKUP_D] = "VM",
                [LOOKUP_E] = "cluster.conf, vmm_exec_kvm.conf",
                [LOOKUP_HOST] = "host.conf",
        };

        return names[lookup];
}

void attr_add_words(struct text *out, const struct attr_word *words)
{
        bool first = true;

        for (; words->text; words++) {
                if (words->coming)
                        continue;
                text_addf(out, "%s%s", first ? "" : ", ", words->text);
                first = false;
        }
}

static char *size_limits(const struct attr *row)
{
        _cleanup_free_ char *min = text_from_size(row->min), *max = text_from_size(row->max);

        struct text out = TEXT_INIT;

        text_addf(&out, "%s to %s", min, max);
        if (row->words) {
                text_add(&out, ", or ");
                attr_add_words(&out, row->words);
        }
        return text_take(&out);
}

char *attr_values(const struct attr *row)
{
        struct text out = TEXT_INIT;

        if (row->words && row->kind != ATTR_U32 && row->kind != ATTR_ADDRESS && row->kind != ATTR_SIZE) {
                text_add(&out, "one of ");
                attr_add_words(&out, row->words);
                return text_take(&out);
        }
        switch (row->kind) {
        case ATTR_BOOL:
                return xstrdup("yes true on 1, or no false off 0");
        case ATTR_U32:
        case ATTR_U64:
                if (row->max)
                        text_addf(&out, "%llu to %llu", (unsigned long long)row->min,
                                  (unsigned long long)row->max);
                else
                        text_addf(&out, "%llu or more", (unsigned long long)row->min);
                if (row->words) {
                        text_add(&out, ", or ");
                        attr_add_words(&out, row->words);
                }
                return text_take(&out);
        case ATTR_SIGNED:
                return xasprintf("-%llu to %llu", (unsigned long long)row->max, (unsigned long long)row->max);
        case ATTR_DECIMAL:
                return xasprintf("above 0, up to %llu", (unsigned long long)row->max);
        case ATTR_SIZE:
                return size_limits(row);
        case ATTR_MAC:
                return xstrdup("xx:xx:xx:xx:xx:xx");
        case ATTR_UUID:
                return xstrdup("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
        case ATTR_IFNAME:
                return xstrdup("1 to 15 letters, digits, '.', '_' and '-'");
        case ATTR_TARGET:
                return xstrdup("3 to 12 lower-case letters, such as vda or sdb");
        case ATTR_ADDRESS:
                text_add(&out, row->ip_version == 4   ? "an IPv4 address"
                               : row->ip_version == 6 ? "an IPv6 address"
                                                      : "an IPv4 or IPv6 address");
                if (row->words) {
                        text_add(&out, ", or ");
                        attr_add_words(&out, row->words);
                }
                return text_take(&out);
        case ATTR_PATH:
                return xstrdup("a file name");
        case ATTR_TEXT:
        case ATTR_ENUM:
                break;
        }
        return xstrdup(row->kind == ATTR_TEXT && row->chars ? "letters, digits and a few signs" : "any text");
}
