/* The guest's clock, its timers and its sleep states. */
#include <stddef.h>

#include "conf/attr.h"
#include "conf/vm_spec.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
/* Fifty years: after 1970 and before 2100, whatever the year is now. */
#define ADJUSTMENT_MAX (50ull * 366 * 86400)
#define TSC_MAX_HZ     100000000000ull

static const struct attr_word offset_words[] = {
        WORD("utc", CLOCK_UTC),
        WORD("localtime", CLOCK_LOCALTIME),
        WORD("timezone", CLOCK_TIMEZONE),
        WORD("variable", CLOCK_VARIABLE),
        WORDS_END,
};

#define ATTR_OF struct clock_spec
static const struct attr clock_rows[] = {
        { "OFFSET", ENUM(offset, clock_offset, offset_words), .lookup = LOOKUP_D, .dflt = "utc",
          .lands = LANDS_ARGV,
          .doc = "What the hardware clock shows when the guest starts: utc; the host's local time; the time of "
                 "TIMEZONE; or variable: UTC, ADJUSTMENT and whatever the guest has set its clock to since, which is "
                 "kept over its runs.",
          .source = "DESIGN 5.3; libvirt-behaviour 3.3" },
        { "TIMEZONE", TEXT(timezone), .lookup = LOOKUP_D, .chars = LETTERS "0123456789_+-/", .max = 255,
          .lands = LANDS_ARGV,
          .doc = "Name of a time zone as below /usr/share/zoneinfo, such as Europe/Paris; makes OFFSET timezone.",
          .source = "DESIGN 5.3; libvirt-behaviour 3.3" },
        { "ADJUSTMENT", SIGNED(adjustment), .lookup = LOOKUP_D, .max = ADJUSTMENT_MAX, .unit = "seconds",
          .lands = LANDS_ARGV,
          .doc = "Seconds that the clock is ahead of UTC, or behind it when negative; goes with OFFSET variable. A new "
                 "value replaces what the guest had made of the old one.",
          .source = "DESIGN 5.3; libvirt-behaviour 3.3" },
};
#undef ATTR_OF

const struct attr_section attr_clock = {
        .name = "CLOCK",
        .rows = clock_rows,
        .n_rows = ARRAY_SIZE(clock_rows),
        .doc = "The hardware clock. Absent: UTC, or local time with FEATURES/LOCALTIME.",
        .source = "DESIGN 5.3",
};

static const struct attr_word name_words[] = {
        WORD("rtc", TIMER_RTC),
        WORD("pit", TIMER_PIT),
        WORD("hpet", TIMER_HPET),
        WORD("tsc", TIMER_TSC),
        WORD("kvmclock", TIMER_KVMCLOCK),
        WORD("hypervclock", TIMER_HYPERVCLOCK),
        WORDS_END,
};
static const struct attr_word track_words[] = {
        WORD("guest", TRACK_GUEST),
        WORD("wall", TRACK_WALL),
        WORD("realtime", TRACK_REALTIME),
        WORDS_END,
};
static const struct attr_word tickpolicy_words[] = {
        WORD("delay", TICK_DELAY),
        WORD("catchup", TICK_CATCHUP),
        WORD("discard", TICK_DISCARD),
        WORDS_END,
};
static const struct attr_word mode_words[] = {
        WORD("auto", TIMER_MODE_AUTO),
        WORD("native", TIMER_MODE_NATIVE),
        WORDS_END,
};

#define ATTR_OF struct timer_spec
static const struct attr timer_rows[] = {
        { "NAME", ENUM(name, timer_name, name_words), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "Which timer; has to be given.", .source = "DESIGN 5.3; libvirt-behaviour 3.3" },
        { "TRACK", ENUM(track, timer_track, track_words), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "Of the rtc: guest, it stands while the guest is paused; wall, it follows the host's clock, which is "
                 "QEMU's default; realtime, the host's monotonic clock.",
          .source = "DESIGN 5.3; libvirt-behaviour 3.3" },
        { "TICKPOLICY", ENUM(tickpolicy, timer_tickpolicy, tickpolicy_words), .lookup = LOOKUP_D,
          .lands = LANDS_ARGV,
          .doc = "What becomes of ticks that the guest was too late for. rtc: catchup or delay; pit: delay or discard.",
          .source = "DESIGN 5.3; libvirt-behaviour 3.3" },
        { "FREQUENCY", U64(frequency), .lookup = LOOKUP_D, .min = 1000000, .max = TSC_MAX_HZ, .unit = "Hz",
          .lands = LANDS_ARGV,
          .doc = "Of the tsc: its frequency, where the host's CPU can scale it or has the same.",
          .source = "DESIGN 5.3; libvirt-behaviour 3.3" },
        { "MODE", ENUM(mode, timer_mode, mode_words), .lookup = LOOKUP_D, .lands = LANDS_RULE,
          .doc = "Of the tsc: auto and native are the same to QEMU, the guest reads the CPU's own.",
          .source = "DESIGN 5.3" },
        { "PRESENT", BOOL(timer_present), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "Whether the guest has this timer; the rtc is always there. Absent: as the machine and the CPU model "
                 "have it.",
          .source = "DESIGN 5.3; libvirt-behaviour 3.3" },
};
#undef ATTR_OF

const struct attr_section attr_timer = {
        .name = "TIMER",
        .repeats = true,
        .rows = timer_rows,
        .n_rows = ARRAY_SIZE(timer_rows),
        .doc = "A timer of the guest, once for each NAME.",
        .source = "DESIGN 5.3",
};

#define ATTR_OF struct pm_spec
static const struct attr pm_rows[] = {
        { "SUSPEND_TO_MEM", BOOL(suspend_to_mem), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "Whether the guest may sleep as S3. Absent: QEMU's default, which is yes, but no with UEFI.",
          .source = "DESIGN 5.3; libvirt-behaviour 3.4" },
        { "SUSPEND_TO_DISK", BOOL(suspend_to_disk), .lookup = LOOKUP_D, .lands = LANDS_ARGV,
          .doc = "Whether the guest may hibernate as S4. Absent: QEMU's default, which is yes, but no with UEFI.",
          .source = "DESIGN 5.3; libvirt-behaviour 3.4" },
};
#undef ATTR_OF

const struct attr_section attr_pm = {
        .name = "PM",
        .rows = pm_rows,
        .n_rows = ARRAY_SIZE(pm_rows),
        .doc = "Sleep states that a PC's ACPI offers.",
        .source = "DESIGN 5.3",
};
