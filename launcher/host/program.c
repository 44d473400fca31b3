#include "launcher/host/program.h"

#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

static const char *const directories[] = { "/usr/local/bin", "/usr/bin", "/bin" };

bool program_is(const char *path)
{
        struct stat st;

        return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

char *program_find(const char *name)
{
        if (*name == '/')
                return program_is(name) ? xstrdup(name) : NULL;
        for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
                _cleanup_free_ char *path = xasprintf("%s/%s", directories[i], name);

                if (program_is(path))
                        return TAKE_PTR(path);
        }
        return NULL;
}

char *program_find_first(const char *names)
{
        _cleanup_free_ char *copy = xstrdup(names);
        char *save = NULL, *found = NULL;

        for (char *name = strtok_r(copy, " \t", &save); name && !found; name = strtok_r(NULL, " \t", &save))
                found = program_find(name);
        return found;
}
