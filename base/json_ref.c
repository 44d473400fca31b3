#include "base/json_ref.h"

#undef json_incref
#undef json_decref

json_t *json_ref_begin(json_t *json)
{
        return json_incref(json);
}

void json_ref_end(json_t *json)
{
        json_decref(json);
}

void json_ref_endp(json_t **json)
{
        json_decref(*json);
}
