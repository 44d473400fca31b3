#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

int library_load(const char *library, const char *functions, void *table, struct error **err)
{
        void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);

        for (char *place = table; handle && *functions; place += sizeof(void *)) {
                void *function = dlsym(handle, functions);

                if (!function) {
                        memset(table, 0, (size_t)(place - (char *)table));
                        return error_set(err, ERROR_HOST, "load %s: %s", library, dlerror());
                }
                /* By copy, as ISO C knows no cast from an object's pointer to a function's (dlsym(3)). */
                memcpy(place, &function, sizeof(function));
                functions += strlen(functions) + 1;
        }
        return handle ? 0 : error_set(err, ERROR_HOST, "load %s: %s", library, dlerror());
}
