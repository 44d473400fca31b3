#include "launcher/run/pressure.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"

#define STEPS 8
#define MIB   ((uint64_t)1 << 20)

bool pressure_parse(const char *text, double *ret_percent)
{
        static const char begin[] = "some avg10=";
        _cleanup_free_ char *number = NULL;
        double percent;

        if (!text_starts_with(text, begin))
                return false;
        text += strlen(begin);
        number = xstrndup(text, strcspn(text, " \n"));
        if (!text_parse_decimal(number, &percent) || percent < 0 || percent > 100)
                return false;
        *ret_percent = percent;
        return true;
}

uint64_t pressure_target(double percent, uint64_t has, uint64_t floor, uint64_t ceiling)
{
        uint64_t step = (ceiling / STEPS + MIB - 1) / MIB * MIB;

        if (floor > ceiling)
                floor = ceiling;
        if (percent >= PRESSURE_HIGH)
                has = has > floor && has - floor > step ? has - step : floor;
        else if (percent < PRESSURE_LOW)
                has = has < ceiling && ceiling - has > step ? has + step : ceiling;
        return has < floor ? floor : has > ceiling ? ceiling : has;
}
