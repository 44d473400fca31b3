/* The hardware clock, timers and sleep states. */
#include <inttypes.h>
#include <string.h>

#include "launcher/plan/builder.h"

/* The reference of a timer's key: "TIMER[2]/TRACK". */
static void refer_timer(const struct build *build, struct text *because, enum timer_name name,
                        const char *key)
{
        const struct timer_spec *timer = vm_spec_timer(build->spec, name);

        if (timer)
                build_refer(build, because, "TIMER[%zu]/%s", (size_t)(timer - build->spec->timers), key);
}

/* Whether PRESENT was given, and what it says. */
static bool presence(const struct build *build, enum timer_name name, bool *ret)
{
        const struct timer_spec *timer = vm_spec_timer(build->spec, name);
        _cleanup_free_ char *reference = NULL;
        const struct origin *origin;

        if (!timer)
                return false;
        reference = xasprintf("TIMER[%zu]/PRESENT", (size_t)(timer - build->spec->timers));
        origin = vm_spec_origin(build->spec, reference);
        if (!origin || origin->layer == LAYER_NONE)
                return false;
        *ret = timer->timer_present;
        return true;
}

static void warn_without_kvm(struct build *build)
{
        for (size_t i = 0; i < build->spec->n_timers; i++) {
                const struct timer_spec *timer = &build->spec->timers[i];
                _cleanup_free_ char *reference = xasprintf("TIMER[%zu]/NAME", i);

                /* A default goes without saying. */
                if (vm_spec_origin(build->spec, reference)->layer != LAYER_TEMPLATE)
                        continue;
                if ((timer->name == TIMER_PIT && timer->tickpolicy) || timer->name == TIMER_KVMCLOCK ||
                    timer->name == TIMER_HYPERVCLOCK || (timer->name == TIMER_TSC && timer->frequency))
                        build_warn(build, reference,
                                   "has an effect under KVM only, and this guest is emulated");
        }
}

/* What the guest made of its clock counts while the template says what it said then. */
static int64_t kept_change(const struct build *build)
{
        const struct clock_state *kept = build->in->clock;

        if (!kept || strcmp(kept->uuid, build->spec->uuid_text) != 0 ||
            kept->adjustment != build->spec->clock.adjustment)
                return 0;
        return kept->change;
}

int clock_decide(struct build *build, struct error **err)
{
        const struct clock_spec *clock = &build->spec->clock;

        if (build->accel == ACCEL_TCG)
                warn_without_kvm(build);
        if (clock->offset == CLOCK_TIMEZONE && !build->in->timezone_rule) {
                build_error(build, err, ERROR_HOST, "CLOCK/TIMEZONE",
                            "this host has no time zone '%s' in /usr/share/zoneinfo", clock->timezone);
                return error_hint(err, "apt-get install tzdata");
        }
        if (clock->offset == CLOCK_VARIABLE)
                build->clock_ahead = clock->adjustment + kept_change(build);
        return 0;
}

static void rtc_args(struct build *build)
{
        const struct clock_spec *clock = &build->spec->clock;
        const struct timer_spec *rtc = vm_spec_timer(build->spec, TIMER_RTC);
        static const char *const tracks[] = {
                [TRACK_GUEST] = "vm",
                [TRACK_WALL] = "host",
                [TRACK_REALTIME] = "rt",
        };
        _cleanup_text_ struct text value = TEXT_INIT, because = TEXT_INIT;
        _cleanup_free_ char *zone = NULL;
        bool catches_up = rtc && rtc->tickpolicy == TICK_CATCHUP;

        switch (clock->offset) {
        case CLOCK_UTC:
                keyval_add(&value, "base", "utc");
                break;
        case CLOCK_TIMEZONE:
                /* QEMU counts in its process's own zone; the rule, not the name: it needs no file where QEMU is. */
                zone = xasprintf("TZ=%s", build->in->timezone_rule);
                build_env(build, zone);
                keyval_add(&value, "base", "localtime");
                break;
        case CLOCK_LOCALTIME:
                keyval_add(&value, "base", "localtime");
                break;
        case CLOCK_VARIABLE:
                keyval_add(&value, "base", CLOCK_PLACEHOLDER "%+" PRId64 "@", build->clock_ahead);
                break;
        }
        if (clock->present) {
                build_refer(build, &because, "CLOCK/OFFSET");
                build_refer(build, &because, "CLOCK/TIMEZONE");
                build_refer(build, &because, "CLOCK/ADJUSTMENT");
        } else {
                build_refer(build, &because, "FEATURES/LOCALTIME");
        }
        if (rtc && rtc->track) {
                keyval_add(&value, "clock", "%s", tracks[rtc->track]);
                refer_timer(build, &because, TIMER_RTC, "NAME");
                refer_timer(build, &because, TIMER_RTC, "TRACK");
        }
        if (catches_up || (rtc && rtc->tickpolicy == TICK_DELAY)) {
                keyval_add(&value, "driftfix", catches_up ? "slew" : "none");
                refer_timer(build, &because, TIMER_RTC, "TICKPOLICY");
        }
        build_option(build, text_str(&because), "-rtc", "%s", text_str(&value));
}

static void pit_args(struct build *build)
{
        const struct timer_spec *pit = vm_spec_timer(build->spec, TIMER_PIT);
        _cleanup_text_ struct text because = TEXT_INIT;

        /* KVM's own PIT; the emulated one has no such property. */
        if (build->accel != ACCEL_KVM || !pit || pit->tickpolicy == TICK_DEFAULT)
                return;
        refer_timer(build, &because, TIMER_PIT, "NAME");
        refer_timer(build, &because, TIMER_PIT, "TICKPOLICY");
        build_option(build, text_str(&because), "-global", "kvm-pit.lost_tick_policy=%s",
                     pit->tickpolicy == TICK_DISCARD ? "discard" : "delay");
}

void clock_args(struct build *build)
{
        rtc_args(build);
        pit_args(build);
}

void clock_machine_options(const struct build *build, struct text *value, struct text *because)
{
        static const struct {
                enum timer_name name;
                const char *option;
        } timers[] = { { TIMER_HPET, "hpet" }, { TIMER_PIT, "pit" } };
        bool present;

        for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
                if (presence(build, timers[i].name, &present)) {
                        keyval_add(value, timers[i].option, present ? "on" : "off");
                        refer_timer(build, because, timers[i].name, "NAME");
                        refer_timer(build, because, timers[i].name, "PRESENT");
                }
}

void clock_cpu_options(const struct build *build, struct text *value, struct text *because)
{
        static const struct {
                enum timer_name name;
                const char *flag;
        } timers[] = { { TIMER_TSC, "tsc" },
                       { TIMER_KVMCLOCK, "kvmclock" },
                       { TIMER_HYPERVCLOCK, "hv-time" } };
        const struct timer_spec *tsc = vm_spec_timer(build->spec, TIMER_TSC);
        bool present;

        for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
                if (presence(build, timers[i].name, &present)) {
                        keyval_add(value, timers[i].flag, present ? "on" : "off");
                        refer_timer(build, because, timers[i].name, "NAME");
                        refer_timer(build, because, timers[i].name, "PRESENT");
                }
        if (tsc && tsc->frequency) {
                keyval_add(value, "tsc-frequency", "%" PRIu64, tsc->frequency);
                refer_timer(build, because, TIMER_TSC, "NAME");
                refer_timer(build, because, TIMER_TSC, "FREQUENCY");
        }
}

/* libvirt-behaviour 3.4; UEFI firmware has neither unless somebody asks (opennebula-semantics 3.6). */
void sleep_args(struct build *build)
{
        static const struct {
                const char *reference, *property;
        } states[] = { { "PM/SUSPEND_TO_MEM", "disable_s3" }, { "PM/SUSPEND_TO_DISK", "disable_s4" } };
        const struct pm_spec *pm = &build->spec->pm;
        const bool wanted[] = { pm->suspend_to_mem, pm->suspend_to_disk };

        if (build->kind == MACHINE_VIRT)
                return;
        for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
                const struct origin *origin = vm_spec_origin(build->spec, states[i].reference);
                bool given = pm->present && origin->layer != LAYER_NONE;

                if (given || build->firmware.present)
                        build_option(build,
                                     given ? states[i].reference
                                           : "rule: UEFI guests do not sleep unless PM says so",
                                     "-global", "%s.%s=%d",
                                     build->kind == MACHINE_Q35 ? "ICH9-LPC" : "PIIX4_PM", states[i].property,
                                     given && wanted[i] ? 0 : 1);
        }
}
