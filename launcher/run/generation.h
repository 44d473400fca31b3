/*
 * generation - the random id of one run, and filling it in where the plan says @GENERATION@; likewise the date that the
 * guest's clock starts from. Pure but for generation_new().
 *
 * A generation is the id of its instance and 16 random digits, so that what carries it says whose it is
 * (launcher/state/instance.h). What carries it: a tap's alias and a control group's mark, "vmlaunch:NAME:GENERATION",
 * and the name on QEMU's command line, "process=NAME-GENERATION".
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define GENERATION_PLACEHOLDER "@GENERATION@"

/* instance: its id, 8 hexadecimal digits; new string. */
char *generation_new(const char *instance);
/* Was it made by this instance? instance NULL: there is none yet, so no. */
bool generation_is_of(const char *generation, const char *instance);
/* "vmlaunch:NAME:GENERATION"; new string. */
char *generation_mark(const char *vm, const char *generation);
/* Both are new strings, written only when it is such a mark: the VM's name is one, and the generation is not empty. */
bool generation_read_mark(const char *mark, char **ret_vm, char **ret_generation);
/* The same of QEMU's command line as /proc/PID/cmdline has it, n bytes of words that end with NUL. */
bool generation_read_command_line(const char *words, size_t n, char **ret_vm, char **ret_generation);
/* text with every placeholder replaced; new string. */
char *generation_fill(const char *text, const char *generation);
/* The value of -rtc with base=@UTC+N@ replaced by that date, N seconds after now; new string. */
char *rtc_fill(const char *text, time_t now);
/* generation_fill() in every string value of json; a reference, to json itself where there is nothing to fill in. */
json_t *generation_fill_json(const json_t *json, const char *generation);
