/* Serial ports: the first one on console.sock. */
#include "launcher/plan/builder.h"
#include "launcher/plan/chardev.h"

/* A PC has four COM ports. */
#define SERIAL_MAX 4

char *serial_socket_name(size_t index)
{
        return index ? xasprintf("console%zu", index) : xstrdup("console");
}

int serial_check(struct build *build, struct error **err)
{
        if (build->spec->n_serials > SERIAL_MAX)
                return build_error(build, err, ERROR_INVALID, "SERIAL[4]/TYPE", "a PC has %d serial ports",
                                   SERIAL_MAX);
        if (build->kind == MACHINE_VIRT && build->spec->n_serials > 1)
                return build_error(build, err, ERROR_INVALID, "SERIAL[1]/TYPE", "a '%s' has one serial port",
                                   build->machine->name);
        return build->spec->n_serials && build->kind != MACHINE_VIRT
                       ? build_need_device(build, "SERIAL[0]/TYPE", "isa-serial", err)
                       : 0;
}

void serial_args(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_serials; i++) {
                _cleanup_free_ char *id = xasprintf("serial%zu", i);
                _cleanup_free_ char *chardev = chardev_option(id, build->serial_fds[i]);
                _cleanup_free_ char *socket = serial_socket_name(i);
                _cleanup_text_ struct text because = TEXT_INIT;

                build_refer(build, &because, "SERIAL[%zu]/TYPE", i);
                if (!because.length)
                        text_add(&because, "rule: one serial port when none is asked for");
                build_option(build, text_str(&because), "-chardev", "%s", chardev);
                if (build->kind == MACHINE_VIRT)
                        build_option(build, text_str(&because), "-serial", "chardev:%s", id);
                else
                        build_json(build, text_str(&because), "-device",
                                   json_pack("{s:s, s:s, s:s, s:i}", "driver", "isa-serial", "id", id,
                                             "chardev", id, "index", (int)i));
                build_device(build, json_pack("{s:s, s:s, s:o}", "id", id, "kind", "serial", "socket",
                                              json_sprintf("%s.sock", socket)));
        }
}
