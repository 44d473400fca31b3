/*
 * bus_parts - what bus.c and bus_library.c share; for no one else.
 */
#pragma once

#include "base/bus.h"

/* Can it be loaded? It is not kept. */
bool bus_has_library(void);
/* In this process. 1 done, 0: there is no such library, -1: *err. */
int bus_library_call(const struct bus_call *call, int deadline_ms, char **ret_text, struct error **err);
