#include "conf/slice.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"

#define SUFFIX ".slice"
/* Of a unit and of a directory. */
#define NAME_LENGTH_MAX 255

bool slice_name_is_valid(const char *name)
{
        size_t n = strlen(name);

        if (n > NAME_LENGTH_MAX || !text_ends_with(name, SUFFIX))
                return false;
        n -= strlen(SUFFIX);
        if (n == 0 || name[0] == '-' || name[n - 1] == '-')
                return false;
        for (size_t i = 0; i < n; i++)
                if ((!isalnum((unsigned char)name[i]) && !strchr(":-_.\\", name[i])) ||
                    (name[i] == '-' && name[i + 1] == '-'))
                        return false;
        return true;
}
