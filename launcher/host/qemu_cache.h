/*
 * qemu_cache - facts of a QEMU as the text of their cache file.
 *
 * A line each, its words apart by blanks: it is read by every verb that plans, and JSON would take most of a verb's time.
 * The path is not in it.
 */
#pragma once

#include "launcher/host/qemu_facts.h"

/* New string. */
char *qemu_cache_text(const struct qemu_facts *facts);
/* Takes the text. New, or NULL: it is no such file, or one of another version. */
struct qemu_facts *qemu_cache_read(char *text);
