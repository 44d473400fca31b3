#include "qmp/reply.h"

#include <string.h>

#include "base/json_member.h"

#define WORDS_MAX 1000

static char *one_line(const char *s)
{
        char *line = xstrndup(s, WORDS_MAX);

        for (char *c = line; *c; c++)
                if ((unsigned char)*c < 0x20 || *c == 0x7f)
                        *c = ' ';
        return line;
}

int reply_error(struct error **err, const char *command, const json_t *error_object)
{
        const char *class = json_member_string(error_object, "class");
        const char *desc = json_member_string(error_object, "desc");
        _cleanup_free_ char *class_line = one_line(class ? class : "GenericError");
        _cleanup_free_ char *desc_line = one_line(desc ? desc : "no description");

        error_qmp(err, class_line, desc_line);
        return error_wrap(err, "%s", command);
}
