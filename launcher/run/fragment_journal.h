/*
 * fragment_journal - what a run's journal says of fragments that were applied to it.
 *
 * A fragment's steps follow those of the start in the journal and are numbered on. Around them:
 *
 *   {"apply":{"id":3,"begin":41,"who":"uid 0 (pid 4711)"}}    before its first step; 41 is the first number
 *   {"n":41,"effect":"net","args":{...},"apply":3}            written by the host helper
 *   {"n":45,"effect":"qmp","args":{"execute":"netdev_add"},"apply":3,"undo":[{"execute":"netdev_del",...}]}
 *   {"apply":{"id":3,"committed":true,"live":TEXT,"devices":[...],"places":{...}}}
 *                                 from here on its steps are the run's; live.tmpl and the record's devices
 *                                 are, or are still to be, replaced by these
 *   {"apply":{"id":3,"undone":true}}                          nothing of it is left
 *   {"apply":{"id":4,"begin":46,"who":WHO,"forward":FRAGMENT}}    one that takes away: a successor goes on with it
 *
 * A successor undoes what has begun and not ended, and finishes what is committed. Compacting then takes out all that
 * nobody needs any more: a VM may see any number of fragments.
 */
#pragma once

#include <jansson.h>
#include <sys/types.h>
#include <time.h>

#include "base/error.h"

/*
 * The fragments in the journal's order: array of {"id","begin","who","committed":bool,"undone":bool,"live","devices",
 * "forward", "steps":[{"n","effect","undo"(qmp),"lock"(image-open)}...]}; steps that failed or are undone are left out.
 * *ret_next: the number of the next step; *ret_next_id: of the next fragment.
 */
int fragment_journal_read(int vm_dirfd, json_t **ret_fragments, json_int_t *ret_next, json_int_t *ret_next_id,
                          struct error **err);
/* A journal that was read, by its file: while that is the same one, so is the number of the next step. {0}: none. */
struct fragment_journal_seen {
        ino_t inode;
        off_t size;
        struct timespec changed;
        json_int_t next;
};

/* The number of the next step; the file is read if it is not what was seen. */
int fragment_journal_next(int vm_dirfd, struct fragment_journal_seen *seen, json_int_t *ret_next,
                          struct error **err);
/*
 * Takes out fragments that are undone; of committed ones everything but the host steps that the end of the VM has to
 * undo, which are the run's own from then on. Replaces the file at once. Nobody else may be writing to it. What it is then
 * has been seen.
 */
int fragment_journal_compact(int vm_dirfd, struct fragment_journal_seen *seen, struct error **err);
