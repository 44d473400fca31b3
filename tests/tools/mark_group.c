/*
 * mark_group - gives a control group the mark of a run: mark_group PATH MARK, as cgroup_mark() does.
 */
#include <stdio.h>

#include "cgroups/cgroup_apply.h"

int main(int argc, char **argv)
{
        _cleanup_cgroup_host_ struct cgroup_host host = { 0 };
        _cleanup_error_ struct error *err = NULL;

        if (argc != 3 || cgroup_host_read("", &host, &err) < 0) {
                fputs("usage: mark_group PATH MARK\n", stderr);
                return 2;
        }
        cgroup_mark(&host, argv[1], argv[2]);
        return 0;
}
