/* Guest memory. */
#include <inttypes.h>

#include "launcher/plan/builder.h"

void memory_args(struct build *build)
{
        build_option(build, "MEMORY", "-m", "size=%" PRIu64 "K", build->spec->memory / 1024);
        build_json(build, "MEMORY", "-object",
                   json_pack("{s:s, s:s, s:I}", "qom-type", "memory-backend-ram", "id", "ram0", "size",
                             (json_int_t)build->spec->memory));
}
