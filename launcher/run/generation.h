/*
 * generation - the random id of one run, and filling it in where the plan says @GENERATION@. Pure but for
 * generation_new().
 */
#pragma once

#include <jansson.h>

#define GENERATION_PLACEHOLDER "@GENERATION@"

/* 16 hexadecimal digits from the kernel's random numbers; new string. */
char *generation_new(void);
/* text with every placeholder replaced; new string. */
char *generation_fill(const char *text, const char *generation);
/* The same in every string value of json; new reference. */
json_t *generation_fill_json(const json_t *json, const char *generation);
