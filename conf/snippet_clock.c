/* <clock>, <pm> and <os>: libvirt-behaviour sections 3.3 and 3.4. */
#include <string.h>

#include "conf/snippet_parts.h"

static const struct snippet_row timer_rows[] = {
        PART("@name", "NAME"),
        PART_WORDS("@track", "TRACK", "boot="),
        PART("@tickpolicy", "TICKPOLICY"),
        PART("@frequency", "FREQUENCY"),
        PART("@mode", "MODE"),
        PART("@present", "PRESENT"),
        PARTS_END,
};

static void read_timer(struct snippet_unit *unit, struct xml_element *timer)
{
        snippet_begin(unit, "TIMER", &timer->pos);
        snippet_rows(unit, timer, timer_rows);
}

static void read_clock(struct snippet_unit *unit, struct xml_element *element)
{
        static const struct snippet_row rows[] = {
                PART("@offset", "OFFSET"),
                PART("@timezone", "TIMEZONE"),
                PART("@adjustment", "ADJUSTMENT"),
                PARTS_END,
        };

        snippet_begin(unit, "CLOCK", &element->pos);
        snippet_rows(unit, element, rows);
        snippet_demand(unit, element, "basis", "utc");
        for (struct xml_element *timer; (timer = snippet_child(element, "timer"));)
                read_timer(unit, timer);
}

static const struct snippet_row pm_rows[] = {
        PART("suspend-to-mem@enabled", "SUSPEND_TO_MEM"),
        PART("suspend-to-disk@enabled", "SUSPEND_TO_DISK"),
        PARTS_END,
};

const struct snippet_element snippet_clock[] = {
        ELEMENT("clock", NULL, NULL, read_clock),
        ELEMENT("pm", "PM", pm_rows, NULL),
        ELEMENTS_END,
};
