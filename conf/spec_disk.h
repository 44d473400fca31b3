/*
 * spec_disk - what the files that work out a disk share; private to conf's spec_*.c.
 */
#pragma once

#include "conf/spec_rules.h"

/* There is a value that could be read, of whatever layer. */
bool spec_disk_has(const struct disk_spec *disk, const char *key);
/* The VM template gives the key, and not as an empty text. */
bool spec_disk_says(const struct disk_spec *disk, const char *key);
const struct source_pos *spec_disk_pos(const struct disk_spec *disk, const char *key);
/* TARGET and bus of every disk; medium and store are known. */
void spec_set_targets(struct spec_builder *builder);
/* Rules about the limits of one disk. */
void spec_check_throttle(struct spec_builder *builder, struct disk_spec *disk);
