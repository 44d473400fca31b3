/*
 * recorder - the flight recorder: what was said on the wire and what was decided, kept after a VM's death.
 *
 * A file of at most RECORDER_BYTES that is written round and round, LOG/NAME.wire, mode 0600; a next run goes on in it.
 * Each entry goes to the file at once with one pwrite(): it survives a kill -9 of the supervisor, and an idle VM
 * costs nothing. An entry is one line, cut at RECORDER_LINE bytes. Values that may be secret are left out: of members
 * with such names (password, secret, data, guest-exec's arguments and output, ...), and all replies that are one
 * string.
 *
 * Recording is best effort: a full disk loses entries, not the VM.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

#define RECORDER_BYTES (256u * 1024)
#define RECORDER_LINE  4096u

struct recorder;

/* Goes on in an old file; what is no recording is written over. */
struct recorder *recorder_open(const char *path, struct error **err);
void recorder_close(struct recorder *recorder);
DEFINE_FREEP(struct recorder, recorder_close)

/* channel: a word: "qmp", "agent", "client3". sent: by us. All accept a NULL recorder. */
void recorder_message(struct recorder *recorder, const char *channel, bool sent, const json_t *message);
void recorder_note(struct recorder *recorder, const char *text);

/*
 * Array of {"number", "time", "channel", "direction": "sent", "received" or "note", "text"}, oldest first; text is JSON,
 * perhaps cut. New reference. ERROR_NO_SUCH_VM when there is no such file.
 */
int recorder_read(const char *path, json_t **ret, struct error **err);
/* The same from bytes; pure. */
json_t *recorder_parse(const char *bytes, size_t n);
