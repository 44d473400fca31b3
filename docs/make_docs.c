/*
 * make_docs reference|man5|man1|completion|driver|cluster|host|kvmrc: prints what `make docs` writes, made of the tables of
 * attributes and verbs.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "conf/reference.h"
#include "conf/shipped.h"
#include "launcher/verb/manual.h"

int main(int argc, char **argv)
{
        const char *what = argc == 2 ? argv[1] : "";
        _cleanup_free_ char *text = strcmp(what, "reference") == 0    ? reference_markdown()
                                    : strcmp(what, "man5") == 0       ? reference_man(VMLAUNCH_VERSION)
                                    : strcmp(what, "man1") == 0       ? manual_page()
                                    : strcmp(what, "completion") == 0 ? manual_completion()
                                    : strcmp(what, "driver") == 0     ? shipped_conf(LAYER_DRIVER)
                                    : strcmp(what, "cluster") == 0    ? shipped_conf(LAYER_CLUSTER)
                                    : strcmp(what, "host") == 0       ? shipped_conf(LAYER_HOST)
                                    : strcmp(what, "kvmrc") == 0      ? shipped_kvmrc()
                                                                      : NULL;

        if (!text) {
                fputs("make_docs: reference, man5, man1, completion, driver, cluster, host or kvmrc?\n",
                      stderr);
                return 2;
        }
        return fputs(text, stdout) < 0 || fflush(stdout) != 0;
}
