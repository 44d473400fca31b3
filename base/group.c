#include "base/group.h"

#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"

#define FILE_BYTES_MAX (16u << 20)

char *group_file_read(void)
{
        _cleanup_error_ struct error *ignored = NULL;
        char *text = NULL;

        fd_read_file_at(AT_FDCWD, "/etc/group", FILE_BYTES_MAX, &text, NULL, &ignored);
        return text;
}

bool group_next(char **rest, const char **ret_name, uint32_t *ret_gid)
{
        char *line;

        while ((line = strsep(rest, "\n"))) {
                *ret_name = strsep(&line, ":");
                strsep(&line, ":");
                if (line && text_parse_u32(strsep(&line, ":"), ret_gid))
                        return true;
        }
        return false;
}
