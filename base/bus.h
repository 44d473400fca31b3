/*
 * bus - one method call on D-Bus: by libsystemd, loaded when it is there, else by the program busctl.
 *
 * The call is made in a child process, so that neither the library's memory nor a connection stays with the caller, and a
 * bus that does not answer costs no more than the deadline. Arguments are words as busctl takes them: a basic value is one
 * word, an array is its number of elements and these, a variant its signature and its value. Nothing is read from the
 * environment but the bus's address (DBUS_SYSTEM_BUS_ADDRESS) or, of the user's, XDG_RUNTIME_DIR.
 */
#pragma once

#include <stdbool.h>

#include "base/argv.h"
#include "base/error.h"

struct bus_call {
        const char *destination, *path, *interface, *member;
        const char *signature;    /* of the arguments, "" without */
        const struct argv *words; /* NULL without */
        bool user;                /* the caller's own bus, else the system's */
        bool may_start;           /* the destination may be started for this */
};

/*
 * 0 when the call was answered without an error. ret_text may be NULL: the reply's first value as text (what a variant
 * holds; "true" and "false" for a boolean; "" for a reply without a value); new string. ERROR_HOST: there is no bus to
 * talk to, or nothing to talk with. ERROR_DEADLINE. ERROR_FAILED: the destination's own words.
 */
int bus_call(const struct bus_call *call, int deadline_ms, char **ret_text, struct error **err);

/* A property as text, as bus_call() has it; of: where and whose, without member, signature and words. New string; NULL and
 * *err. */
char *bus_get(const struct bus_call *of, const char *property, int deadline_ms, struct error **err);

/* "vmlaunch@web.service" as the last component of a D-Bus object's path; new string. */
char *bus_path_escape(const char *name);

/* Is there libsystemd or busctl to make calls with? */
bool bus_has_client(void);
