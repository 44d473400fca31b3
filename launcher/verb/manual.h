/*
 * manual - the verbs table as documents: the manual page vmlaunch(1) and bash's completion.
 *
 * Pure. New strings.
 */
#pragma once

char *manual_page(void);
char *manual_completion(void);
