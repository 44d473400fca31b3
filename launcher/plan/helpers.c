/* Helper processes: their sockets, their messages, and the step that runs them. */
#include "launcher/plan/device.h"

#define STDERR_MAX 16384

int helper_number_fd(struct build *build, const char *id, const char *text)
{
        _cleanup_free_ char *source = xasprintf("qemu:%s", id);

        return build_fd(build, source, text);
}

void helper_steps(struct build *build, const struct helper *helper)
{
        json_t *args = json_pack("{s:s, s:o, s:[{s:i, s:s+}], s:s+, s:I, s:I}", "id", helper->id, "argv",
                                 helper->argv, "fds", "fd", HELPER_SOCKET_FD, "source", "helper:", helper->id,
                                 "stderr", "stderr:", helper->id, "uid", (json_int_t)helper->uid, "gid",
                                 (json_int_t)helper->gid);

        if (helper->ids)
                json_object_set_new(args, "ids", json_integer(helper->ids));
        if (helper->directory) {
                json_object_set_new(args, "directory", json_string(helper->directory));
                json_object_set_new(args, "directory_fd", json_integer(HELPER_DIRECTORY_FD));
                json_object_set_new(args, "readonly", json_boolean(helper->readonly));
        }
        build_step(build, helper->because, EFFECT_SOCKET_PAIR,
                   json_pack("{s:s+, s:s+, s:b}", "fd", "helper:", helper->id, "peer", "qemu:", helper->id,
                             "listens", helper->listens));
        build_step(build, helper->because, EFFECT_STDERR,
                   json_pack("{s:s+, s:i}", "fd", "stderr:", helper->id, "max", STDERR_MAX));
        build_step(build, helper->because, EFFECT_HELPER, args);
}
