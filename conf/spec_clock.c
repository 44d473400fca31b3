/* Clock, timers and sleep states: what goes with what. */
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "conf/spec_rules.h"

static const struct source_pos *place(const struct attr_section *section, const void *record, const char *key)
{
        return &spec_origin(section, record, key)->pos;
}

/* A name below a directory: no absolute one, nothing that leads out of it. */
static bool is_zone_name(const char *name)
{
        for (const char *part = name;; part++) {
                size_t n = strcspn(part, "/");

                if (n == 0)
                        return false;
                part += n;
                if (!*part)
                        return true;
        }
}

static void set_clock(struct spec_builder *builder)
{
        struct vm_spec *spec = builder->spec;
        struct clock_spec *clock = &spec->clock;
        struct origin *offset;
        bool offset_given = spec_is_given(&attr_clock, clock, "OFFSET");
        bool zone_given = spec_is_given(&attr_clock, clock, "TIMEZONE");
        bool adjustment_given = spec_is_given(&attr_clock, clock, "ADJUSTMENT");
        const struct origin *localtime = spec_origin(&attr_features, &spec->features, "LOCALTIME");

        if (!clock->present) {
                if (spec->features.localtime)
                        clock->offset = CLOCK_LOCALTIME;
                return;
        }
        offset = spec_own_origin(&attr_clock, clock, "OFFSET");
        /* One that was given decides what is meant; both together are a contradiction. */
        if (!offset_given && (zone_given || adjustment_given)) {
                clock->offset = zone_given ? CLOCK_TIMEZONE : CLOCK_VARIABLE;
                spec_set_origin(spec, offset, LAYER_RULE, zone_given ? "timezone" : "variable", NULL);
        }
        if (zone_given && clock->offset != CLOCK_TIMEZONE)
                spec_fail(builder, place(&attr_clock, clock, "TIMEZONE"),
                          "CLOCK/TIMEZONE: goes with OFFSET = \"timezone\", and OFFSET is %s", offset->text);
        else if (!zone_given && clock->offset == CLOCK_TIMEZONE)
                spec_fail(
                        builder, &offset->pos,
                        "CLOCK/OFFSET: timezone needs a TIMEZONE (for example TIMEZONE = \"Europe/Paris\")");
        else if (zone_given && !is_zone_name(clock->timezone))
                spec_fail(builder, place(&attr_clock, clock, "TIMEZONE"),
                          "CLOCK/TIMEZONE: '%s' is not the name of a time zone (like Europe/Paris)",
                          clock->timezone);
        if (adjustment_given && clock->offset != CLOCK_VARIABLE)
                spec_fail(builder, place(&attr_clock, clock, "ADJUSTMENT"),
                          "CLOCK/ADJUSTMENT: goes with OFFSET = \"variable\", and OFFSET is %s",
                          offset->text ? offset->text : "utc");
        if (localtime->layer == LAYER_TEMPLATE && spec->features.localtime &&
            clock->offset != CLOCK_LOCALTIME)
                spec_fail(builder, &offset->pos,
                          "CLOCK/OFFSET: FEATURES/LOCALTIME of line %u says local time", localtime->pos.line);
        /* CLOCK is the closer word where a layer has a default for LOCALTIME. */
        spec->features.localtime = clock->offset == CLOCK_LOCALTIME;
}

/* What each timer has of its own; opennebula-semantics 3.8, libvirt-behaviour 3.3. */
static const struct timer_rules {
        enum timer_name name;
        const char *word;
        bool track, frequency, mode, present;
        const char *tickpolicies; /* its words */
} timer_rules[] = {
        { TIMER_RTC, "rtc", .track = true, .tickpolicies = "catchup or delay" },
        { TIMER_PIT, "pit", .tickpolicies = "delay or discard", .present = true },
        { TIMER_HPET, "hpet", .present = true },
        { TIMER_TSC, "tsc", .frequency = true, .mode = true, .present = true },
        { TIMER_KVMCLOCK, "kvmclock", .present = true },
        { TIMER_HYPERVCLOCK, "hypervclock", .present = true },
};

static const struct timer_rules *find_rules(enum timer_name name)
{
        for (size_t i = 0; i < ARRAY_SIZE(timer_rules); i++)
                if (timer_rules[i].name == name)
                        return &timer_rules[i];
        return NULL;
}

static bool takes_tickpolicy(enum timer_name name, enum timer_tickpolicy policy)
{
        return policy == TICK_DELAY || policy == (name == TIMER_RTC ? TICK_CATCHUP : TICK_DISCARD);
}

static void check_key(struct spec_builder *builder, const struct timer_spec *timer,
                      const struct timer_rules *rules, const char *key, bool allowed)
{
        if (!allowed && spec_is_given(&attr_timer, timer, key))
                spec_fail(builder, place(&attr_timer, timer, key), "TIMER/%s: the %s has no such setting",
                          key, rules->word);
}

static void check_timer(struct spec_builder *builder, size_t index)
{
        const struct vm_spec *spec = builder->spec;
        const struct timer_spec *timer = &spec->timers[index];
        const struct timer_rules *rules = find_rules(timer->name);

        if (!rules) {
                /* A word that is none has been said already. */
                if (!spec_is_given(&attr_timer, timer, "NAME"))
                        spec_fail(builder, &timer->section.pos,
                                  "TIMER: NAME has to be given (for example NAME = \"hpet\")");
                return;
        }
        for (size_t i = 0; i < index; i++)
                if (spec->timers[i].name == timer->name)
                        spec_fail(builder, place(&attr_timer, timer, "NAME"),
                                  "TIMER/NAME: '%s' is also the timer of line %u", rules->word,
                                  spec->timers[i].section.pos.line);
        check_key(builder, timer, rules, "TRACK", rules->track);
        check_key(builder, timer, rules, "FREQUENCY", rules->frequency);
        check_key(builder, timer, rules, "MODE", rules->mode);
        check_key(builder, timer, rules, "TICKPOLICY", rules->tickpolicies != NULL);
        if (rules->tickpolicies && timer->tickpolicy && !takes_tickpolicy(timer->name, timer->tickpolicy))
                spec_fail(builder, place(&attr_timer, timer, "TICKPOLICY"),
                          "TIMER/TICKPOLICY: the %s takes %s", rules->word, rules->tickpolicies);
        if (!rules->present && spec_is_given(&attr_timer, timer, "PRESENT") && !timer->timer_present)
                spec_fail(builder, place(&attr_timer, timer, "PRESENT"),
                          "TIMER/PRESENT: a machine without its %s cannot be had", rules->word);
        if (spec_is_given(&attr_timer, timer, "PRESENT") && !timer->timer_present &&
            (timer->tickpolicy || timer->frequency))
                spec_fail(builder, place(&attr_timer, timer, "PRESENT"),
                          "TIMER/PRESENT: a timer that is not there has no other settings");
}

void spec_set_clock(struct spec_builder *builder)
{
        set_clock(builder);
        for (size_t i = 0; i < builder->spec->n_timers; i++)
                check_timer(builder, i);
}
