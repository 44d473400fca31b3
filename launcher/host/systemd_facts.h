/*
 * systemd_facts - part of the host facts: does systemd run here; and which units it has.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "conf/site.h"

/* The host's systemd; runs false: another init, the rest says nothing then. */
struct systemd_facts {
        bool runs;
        /* Read by systemd_bus_read(): */
        bool has_bus;    /* the system's D-Bus is there */
        bool has_client; /* libsystemd or busctl is, to talk to it */
};

void systemd_facts_read(struct systemd_facts *ret);
/* Can systemd be asked for something? Where a plan needs a scope. */
void systemd_bus_read(struct systemd_facts *facts);
/* A member "systemd" of the host facts; none where it does not run. */
void systemd_facts_to_json(const struct systemd_facts *facts, json_t *host);
void systemd_facts_from_json(const json_t *json, struct systemd_facts *ret);

/* Does systemd run here, and has it vmlaunch's units? Those are of the system's instance only. */
bool systemd_has_unit(const struct paths *paths);
/* Has somebody defined this slice, by a unit file or a drop-in? A group of that name says nothing: systemd makes one of any
 * slice that a unit names. machine.slice it brings itself. */
bool slice_is_known(const char *slice);
