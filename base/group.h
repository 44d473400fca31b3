/*
 * group - the host's groups as /etc/group has them.
 *
 * Not the name service: that one may ask the network, which a supervisor does not wait for. Nor fgetgrent(), which asks
 * three times a line where in the file it is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The file, a new string; NULL: it cannot be read. */
char *group_file_read(void);
/* The next line NAME:PASSWORD:GID:MEMBERS of the rest of a text, which it cuts up; others are passed over. *ret_name is lent of
 * it. false: there is none; *rest is NULL then, and may be. */
bool group_next(char **rest, const char **ret_name, uint32_t *ret_gid);
