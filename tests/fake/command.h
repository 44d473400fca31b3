/*
 * command - the commands of QEMU that the model has; for the files with them and model.c, whose table names them.
 */
#pragma once

#include "tests/fake/fake.h"

struct refusal {
        const char *class;
        char *desc;
};

/* The reply's "return", the caller's; NULL: *refusal. args may be NULL. */
typedef json_t *command_fn(struct fake *fake, const json_t *args, struct refusal *refusal);

/* desc is stolen; NULL, for the command to return. */
json_t *refuse(struct refusal *refusal, const char *class, char *desc_consume);
/* A text among the arguments, lent; NULL: there is none. */
const char *arg(const json_t *args, const char *key);

/* guest.c */
command_fn cmd_status, cmd_balloon, cmd_cont, cmd_stop, cmd_reset, cmd_powerdown, cmd_quit;

/* things.c */
command_fn cmd_device_add, cmd_device_del, cmd_netdev_add, cmd_netdev_del, cmd_blockdev_add, cmd_blockdev_del,
        cmd_object_add, cmd_object_del, cmd_chardev_add, cmd_chardev_del, cmd_getfd, cmd_closefd, cmd_add_fd,
        cmd_remove_fd, cmd_query_fdsets, cmd_qom_set, cmd_block_resize, cmd_open_tray, cmd_close_tray,
        cmd_remove_medium, cmd_insert_medium;

/* jobs.c */
command_fn cmd_backup, cmd_mirror, cmd_commit, cmd_stream, cmd_query_jobs, cmd_job_cancel;
