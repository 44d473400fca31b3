#include "base/json_ref.h"

#undef json_decref

void json_ref_end(json_t *json)
{
        json_decref(json);
}

void json_ref_endp(json_t **json)
{
        json_decref(*json);
}
