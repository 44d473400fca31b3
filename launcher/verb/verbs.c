#include "launcher/verb/verbs.h"

#include <assert.h>
#include <string.h>

#include "base/text.h"

#define BEFORE  "before launch"
#define LIFE    "life"
#define LOOK    "look"
#define DEVICES "devices"
#define GUEST   "guest"
#define HOST    "host"

/* What verbs wait for (docs/deadlines.md): a supervisor's greeting, and its answer to a short command; image headers on
 * storage that may not answer, and a QEMU that says what it can do. */
#define GREETING_S 3
#define ASK_S      (GREETING_S + 5)
#define PREPARE_S  20

#define LIVE_AND_CONFIG                                                                       \
        { .name = "live", .doc = "change the running VM (the default)" },                     \
                { .name = "config", .doc = "change the template that its next start reads" }, \
        {                                                                                     \
                .name = "plan", .doc = "print the steps, and do nothing"                      \
        }

const struct verb verbs[] = {
        { .name = "plan",
          .usage = "plan TEMPLATE|NAME",
          .summary = "print everything a start would do, and do nothing",
          .group = BEFORE,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .options = { { .name = "format",
                         .arg = "F",
                         .doc = "text, json, shell or argv (text)",
                         .words = "text json shell argv" } },
          .more = "text says all of it for people, json for programs; shell is the command line alone, quoted, and argv\n"
                  "one argument a line.",
          .ends_within_s = PREPARE_S,
          .run = verb_plan },
        { .name = "explain",
          .usage = "explain TEMPLATE|NAME",
          .summary = "which line or rule made each argument, and what each attribute made",
          .group = BEFORE,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .ends_within_s = PREPARE_S,
          .run = verb_explain },
        { .name = "validate",
          .usage = "validate TEMPLATE|NAME",
          .summary = "check a template against this host",
          .group = BEFORE,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .ends_within_s = PREPARE_S,
          .run = verb_validate },
        { .name = "describe",
          .usage = "describe [ATTRIBUTE|SECTION]",
          .summary = "what an attribute means, takes and does",
          .group = BEFORE,
          .max_args = 1,
          .more = "For example: describe MEMORY, describe DISK, describe DISK/CACHE.",
          .run = verb_describe },

        { .name = "run",
          .usage = "run TEMPLATE|NAME",
          .summary = "run a VM in the foreground until it ends; the status is its verdict",
          .group = LIFE,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .run = verb_run },
        { .name = "start",
          .usage = "start TEMPLATE|NAME",
          .summary = "start a VM and return when its guest runs",
          .group = LIFE,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .tsv = true,
          .timeout = "take the start back when the guest does not run after S seconds (60)",
          .ends_within_s = PREPARE_S + 20,
          .run = verb_start },
        { .name = "shutdown",
          .usage = "shutdown VM",
          .summary = "ask the guest to power off and wait until it has",
          .group = LIFE,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .options = { { .name = "mode",
                         .arg = "M",
                         .doc = "auto, agent or acpi (auto: the agent when it answers, else ACPI)",
                         .words = "auto agent acpi" },
                       { .name = "force", .doc = "destroy the VM when the deadline passes" },
                       { .name = "no-block", .doc = "do not wait for the end" } },
          .tsv = true,
          .timeout = "the guest's deadline (SHUTDOWN_TIMEOUT of kvmrc)",
          .more = "At the deadline the guest is running again (status 7), or destroyed with --force or FORCE_DESTROY.",
          .ends_within_s = ASK_S + 15,
          .run = verb_shutdown },
        { .name = "destroy",
          .usage = "destroy VM",
          .summary = "end a VM at once, as if its power was cut",
          .group = LIFE,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .tsv = true,
          .ends_within_s = ASK_S + 27,
          .run = verb_destroy },
        { .name = "reboot",
          .usage = "reboot VM",
          .summary = "ask the guest to restart",
          .group = LIFE,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .options = { { .name = "mode",
                         .arg = "M",
                         .doc = "auto, agent or acpi",
                         .words = "auto agent acpi" },
                       { .name = "no-block", .doc = "do not wait for it" } },
          .tsv = true,
          .timeout = "the guest's deadline (SHUTDOWN_TIMEOUT of kvmrc)",
          .ends_within_s = ASK_S + 15,
          .run = verb_reboot },
        { .name = "reset",
          .usage = "reset VM",
          .summary = "press the reset button",
          .group = LIFE,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .tsv = true,
          .ends_within_s = ASK_S,
          .run = verb_reset },
        { .name = "suspend",
          .usage = "suspend VM",
          .summary = "stop the guest's CPUs",
          .group = LIFE,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .tsv = true,
          .ends_within_s = ASK_S,
          .run = verb_suspend },
        { .name = "resume",
          .usage = "resume VM",
          .summary = "let a suspended guest go on",
          .group = LIFE,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .tsv = true,
          .ends_within_s = ASK_S,
          .run = verb_resume },
        { .name = "wait",
          .usage = "wait VM --for=WHAT",
          .summary = "wait until a VM is started, stopped, reachable, rid of a device, ...",
          .group = LIFE,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .options = { { .name = "for",
                         .arg = "WHAT",
                         .doc = "started, agent, ip, port:N, paused, stopped, unplugged:ID or job:ID",
                         .words = "started agent ip port: paused stopped unplugged: job:" } },
          .tsv = true,
          .timeout = "give up after S seconds, status 7 (300)",
          .more = "started, agent, ip and port may be waited for before anybody starts the VM. ip prints an address that the\n"
                  "guest's agent tells; port asks at the addresses of the template's NICs, else at those. unplugged waits for\n"
                  "the guest to let a device go, job for one of QEMU's jobs: one that is not there is done.",
          .run = verb_wait },

        { .name = "list",
          .usage = "list",
          .summary = "the VMs of this host",
          .group = LOOK,
          .needs_site = true,
          .options = { { .name = "all",
                         .letter = 'a',
                         .doc = "also those that are stopped or only defined" } },
          .tsv = true,
          .run = verb_list },
        { .name = "status",
          .usage = "status VM",
          .summary = "state, devices and the story of a VM",
          .group = LOOK,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .options = { { .name = "compare",
                         .doc = "ask QEMU what it is, and say where that is not as its template says" } },
          .timeout = "with --compare: QEMU has S seconds to answer (30)",
          .tsv = true,
          .ends_within_s = 1,
          .run = verb_status },
        { .name = "log",
          .usage = "log VM",
          .summary = "the log of a VM",
          .group = LOOK,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .options = { { .name = "follow", .letter = 'f', .doc = "go on as lines are added" },
                       { .name = "lines", .letter = 'n', .arg = "N", .doc = "only the last N lines" },
                       { .name = "wire",
                         .doc = "the flight recorder: what was said to QEMU and the agent" } },
          .timeout = "follow for S seconds (until interrupted)",
          .run = verb_log },
        { .name = "events",
          .usage = "events VM",
          .summary = "events of QEMU and of the supervisor as they come, until the VM ends or --timeout",
          .group = LOOK,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .timeout = "listen for S seconds (until the VM ends)",
          .run = verb_events },
        { .name = "qmp",
          .usage = "qmp VM [JSON]",
          .summary = "a QMP command, or those on stdin, one a line; prints the replies",
          .group = LOOK,
          .needs_site = true,
          .min_args = 1,
          .max_args = 2,
          .ends_within_s = GREETING_S + 30,
          .run = verb_qmp },
        { .name = "dump",
          .usage = "dump VM",
          .summary = "a running VM as a template: what its guest can see now",
          .group = LOOK,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .options = { { .name = "argv", .doc = "QEMU's command line as it runs, a word a line" },
                       { .name = "diff",
                         .doc = "what differs from the template that it starts from next, and what would come of it" },
                       { .name = "metadata",
                         .doc = "what is kept of the run and of its template that the guest is not told" } },
          .tsv = true,
          .ends_within_s = PREPARE_S,
          .run = verb_dump },
        { .name = "console",
          .usage = "console VM",
          .summary = "the serial console; ^] leaves",
          .group = LOOK,
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .timeout = "leave when nothing came for S seconds after the end of stdin (1)",
          .more = "On a terminal ^] leaves. Otherwise stdin is typed and what the guest answers is copied to stdout.\n"
                  "One console at a time; output that is not read in time is dropped, so that the guest never waits for it.",
          .run = verb_console },

        { .name = "attach",
          .usage = "attach disk|nic VM --disk|--nic 'KEY=VALUE,...'",
          .summary = "give a VM another device",
          .group = DEVICES,
          .needs_site = true,
          .min_args = 2,
          .max_args = 2,
          .options = { { .name = "disk",
                         .arg = "KEYS",
                         .doc = "a DISK vector: SOURCE=/srv/a.qcow2,TARGET=vdb" },
                       { .name = "nic", .arg = "KEYS", .doc = "a NIC vector: BRIDGE=br0,MODEL=virtio" },
                       { .name = "file",
                         .letter = 'f',
                         .arg = "F",
                         .doc = "the vector from a file, - for stdin" },
                       LIVE_AND_CONFIG },
          .more = "What is attached is what a start would have made of the same vector.",
          .ends_within_s = PREPARE_S + 60,
          .run = verb_attach },
        { .name = "detach",
          .usage = "detach disk|nic VM WHICH",
          .summary = "take a device away from a VM",
          .group = DEVICES,
          .needs_site = true,
          .min_args = 3,
          .max_args = 3,
          .options = { LIVE_AND_CONFIG },
          .timeout = "how long the guest may take to let go (30); then the device is unplug-pending",
          .more = "WHICH is the device's number, its TARGET, MAC or SOURCE. A guest that lets go late is not too late:\n"
                  "what the device was made of goes then, and the same command asks again.",
          .ends_within_s = PREPARE_S + 30,
          .run = verb_detach },
        { .name = "change-media",
          .usage = "change-media VM WHICH FILE|--eject",
          .summary = "put another medium into a drive of a running VM",
          .group = DEVICES,
          .needs_site = true,
          .min_args = 2,
          .max_args = 3,
          .options = { { .name = "eject", .doc = "leave the drive empty" },
                       { .name = "force", .doc = "even if the guest has the medium locked" },
                       { .name = "plan", .doc = "print the steps, and do nothing" } },
          .ends_within_s = PREPARE_S + 60,
          .run = verb_change_media },
        { .name = "update",
          .usage = "update disk|nic VM WHICH --disk|--nic 'KEY=VALUE,...' | update VM --file TEMPLATE",
          .summary = "change a device of a VM, or a VM to another template",
          .group = DEVICES,
          .needs_site = true,
          .min_args = 1,
          .max_args = 3,
          .options = { { .name = "disk", .arg = "KEYS", .doc = "keys of a DISK vector: TOTAL_IOPS_SEC=500" },
                       { .name = "nic", .arg = "KEYS", .doc = "keys of a NIC vector" },
                       { .name = "file",
                         .letter = 'f',
                         .arg = "F",
                         .doc = "the keys, or the whole template, from a file" },
                       LIVE_AND_CONFIG },
          .more = "With a whole template what can change now is changed, and each of the rest is named: it comes with the\n"
                  "next start.",
          .timeout = "how long the guest may take to let a device go (30)",
          .ends_within_s = PREPARE_S + 90,
          .run = verb_update },

        { .name = "agent",
          .usage = "agent VM COMMAND",
          .summary = "the guest agent: ping, info, freeze, thaw, fstrim, set-time, raw",
          .group = GUEST,
          .needs_site = true,
          .min_args = 2,
          .max_args = 4,
          .options = { { .name = "detach", .doc = "freeze: return at once; 'thaw' or the timeout ends it" } },
          .tsv = true,
          .timeout = "how long a freeze may last (60), how long the agent has for its answer",
          .more = "freeze lasts until Ctrl-C, the end of stdin when that is a pipe, or --timeout; then the guest is thawed.\n"
                  "raw takes a command of the agent's and its arguments as JSON, or the whole as JSON:\n"
                  "  agent VM raw guest-file-open '{\"path\": \"/etc/hostname\"}'\n"
                  "What changes the guest has to be named in the template's AGENT_ALLOW.",
          .ends_within_s = GREETING_S + 20,
          .run = verb_agent },

        { .name = "reconcile",
          .usage = "reconcile [VM]",
          .summary = "undo what a run that ended badly has left on the host",
          .group = HOST,
          .needs_site = true,
          .max_args = 1,
          .options = { { .name = "dry-run", .doc = "say what would be undone" } },
          .run = verb_reconcile },
        { .name = "reexec",
          .usage = "reexec VM|--all",
          .summary = "let a running VM's supervisor become the program that is installed now",
          .group = HOST,
          .needs_site = true,
          .max_args = 1,
          .options = { { .name = "all", .letter = 'a', .doc = "every VM that runs" },
                       { .name = "program",
                         .arg = "FILE",
                         .doc = "become this one (the file that the supervisor was started from)" } },
          .more = "For after an upgrade: guest, QEMU, pids and connected clients stay.",
          .run = verb_reexec },
        { .name = "mac",
          .usage = "mac [NAME [NIC]]",
          .summary = "a new MAC address, or the one that a VM's NIC gets",
          .group = HOST,
          .max_args = 2,
          .tsv = true,
          .run = verb_mac },
        { .name = "uuid",
          .usage = "uuid [NAME]",
          .summary = "a new UUID, or the one that a VM of this name gets",
          .group = HOST,
          .max_args = 1,
          .tsv = true,
          .run = verb_uuid },
        { .name = "help",
          .usage = "help [VERB]",
          .summary = "this list, or the options of a verb",
          .group = HOST,
          .max_args = 1,
          .run = verb_help },

        { .name = "__adopt",
          .usage = "__adopt NAME",
          .summary = "a supervisor in place of one that was killed; started by a keeper",
          .needs_site = true,
          .min_args = 1,
          .max_args = 1,
          .run = verb_adopt },
        { .name = "__reexec",
          .usage = "__reexec [NAME STATE-FD LOCK-FD KEEPER-FD|none]",
          .summary =
                  "a supervisor in place of the program that it was; without arguments: which it can follow",
          .max_args = 4,
          .run = verb_reexecuted },
        { .name = "__apply",
          .usage = "__apply VM FRAGMENT [NAME=PATH...]",
          .summary =
                  "send a fragment with files by name (NAME=ro:PATH: to read only); for tests and integrators",
          .needs_site = true,
          .min_args = 2,
          .max_args = 18,
          .timeout = "the time a change waits for its commit",
          .options = { { .name = "ask", .doc = "once it is done wait for 'commit' or 'abort' on stdin" } },
          .run = verb_apply },
        { .name = "__host",
          .usage = "__host",
          .summary = "host steps of a supervisor",
          .run = verb_host_helper },
        { .name = "__steps",
          .usage = "__steps",
          .summary = "where tests can end a process",
          .run = verb_steps },
        { 0 },
};

const struct verb *verb_find(const char *name)
{
        for (const struct verb *verb = verbs; verb->name; verb++)
                if (strcmp(verb->name, name) == 0)
                        return verb;
        return NULL;
}

int verb_unknown(const char *name, struct error **err)
{
        const char *names[64];
        size_t n = 0;
        _cleanup_free_ char *shown = text_printable(name);
        const char *near;

        for (const struct verb *verb = verbs; verb->name && n + 1 < ARRAY_SIZE(names); verb++)
                if (verb->group)
                        names[n++] = verb->name;
        names[n] = NULL;
        near = text_nearest(name, names);
        error_set(err, ERROR_USAGE, "unknown verb '%s'", shown);
        if (near)
                error_hint(err, "did you mean '%s'?", near);
        else
                error_hint(err, "vmlaunch help lists the verbs");
        return -1;
}

const char *verb_value(const struct verb_context *context, const char *option)
{
        for (size_t i = 0; i < VERB_MAX_OPTIONS && context->verb->options[i].name; i++)
                if (strcmp(context->verb->options[i].name, option) == 0)
                        return context->values[i];
        assert(!"an option that the verb's row does not have");
        return NULL;
}

bool verb_flag(const struct verb_context *context, const char *option)
{
        return verb_value(context, option) != NULL;
}

long long verb_timeout_ms(const struct verb_context *context, long long default_ms)
{
        return context->timeout_s < 0 ? default_ms : (long long)(context->timeout_s * 1000);
}
