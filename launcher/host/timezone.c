#include "launcher/host/timezone.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"

#define ZONE_MAX (1u << 20)
#define RULE_MAX 255

int timezone_rule_read(const char *directory, const char *name, char **ret, struct error **err)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", directory, name), *bytes = NULL;
        size_t length, start;

        *ret = NULL;
        if (fd_read_file_at(AT_FDCWD, path, ZONE_MAX, &bytes, &length, err) < 0) {
                if ((*err)->os_errno != ENOENT && (*err)->os_errno != ENOTDIR && (*err)->os_errno != EISDIR)
                        return -1;
                error_free(TAKE_PTR(*err));
                return 0;
        }
        /* "TZif2" ... newline, the rule, newline. */
        if (length < 6 || memcmp(bytes, "TZif", 4) != 0 || bytes[4] < '2' || bytes[length - 1] != '\n')
                return 0;
        for (start = length - 1; start > 0 && bytes[start - 1] != '\n'; start--) {
                unsigned char c = (unsigned char)bytes[start - 1];

                if (c <= ' ' || c > '~')
                        return 0;
        }
        if (start == 0 || start == length - 1 || length - 1 - start > RULE_MAX)
                return 0;
        *ret = xstrndup(bytes + start, length - 1 - start);
        return 0;
}
