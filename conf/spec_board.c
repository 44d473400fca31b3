/* SMBIOS: what its texts have to look like. */
#include <string.h>

#include "base/text.h"
#include "conf/spec_rules.h"

static bool is_release(const char *text)
{
        _cleanup_free_ char *major = xstrdup(text);
        char *dot = strchr(major, '.');
        uint32_t high, low;

        if (!dot)
                return false;
        *dot = '\0';
        return text_parse_u32(major, &high) && text_parse_u32(dot + 1, &low) && high < 256 && low < 256;
}

void spec_check_board(struct spec_builder *builder)
{
        struct smbios_spec *smbios = &builder->spec->smbios;
        const struct origin *release = spec_origin(&attr_smbios, smbios, "BIOS_RELEASE");

        for (size_t i = 0; i < attr_smbios.n_rows; i++)
                smbios->present |= spec_is_given(&attr_smbios, smbios, attr_smbios.rows[i].name);
        if (smbios->bios_release && !is_release(smbios->bios_release))
                spec_fail(builder, &release->pos,
                          "SMBIOS/BIOS_RELEASE: '%s' is not MAJOR.MINOR, each 0 to 255",
                          smbios->bios_release);
}
