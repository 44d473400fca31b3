/*
 * launch_plan - everything that will happen, as plain data.
 *
 * Building it (plan_build.h) opens no file, reads no clock, draws no random number. Printing it prints all of it;
 * executing it (launcher/run/execute.h) is a loop over steps, each with its undo. Strings may hold the placeholder
 * @GENERATION@, which the executor fills in; the value of -rtc may be base=@UTC+N@, the time of the start and N seconds.
 * Owned by the caller; launch_plan_free() accepts NULL.
 *
 * A step is an effect and its arguments as a JSON object, because the same record travels in the journal, to the
 * host helper and, later, in a fragment from a client. The arguments of each effect:
 *
 *   uid-claim      {uid, path}                    lock file RUN/uids/UID, held while the VM lives
 *   image-open     {path, access: "ro"|"rw", lock: "shared"|"exclusive", fd, direct: bool}
 *                  opens the image and takes RUN/images/DEV-INO (a fd named FD); one per layer of each chain
 *   image-create   {path, fd, format: "raw"|"qcow2", size, keep: bool, direct: bool, fs?, backing?, backing-format?}
 *                  makes it and opens it, as image-open exclusive; keep: one that is there already is opened; undo:
 *                  remove it, unless it is kept and the guest has run
 *   file-open      {path, fd, copy: bool, uid}    kernel, initrd; copy: into a sealed memfd owned by uid
 *   secret         {fd, uid, from}                sealed memfd, readable by uid only; the value is in the plan's secrets,
 *                                                 which nobody prints; {path} instead of from: in that file;
 *                                                 {random, keep}: so many random characters, also in the new file keep
 *   device-open    {path, fds: [name], access}    a device of the host, once for each name; access "ro", else read and write
 *                  {usb: "0951:1625"}: a USB device's node, which has to be of these ids
 *   device-grant   {path, uid}                    the node of a device belongs to uid; undo: to whom it did before
 *   log-open       {path, fd, own: bool}          a file that is added to; own: below LOG, and kept within bounds while the VM
 *                                                 lives. No undo
 *   shared-memory  {path, size, fd}               a file that VMs map, made when it is not there; undo: remove it, unless
 *                                                 another VM has it
 *   socket-pair    {fd, peer, listens: bool}      two ends of a connection; listens: fd is the socket that it comes from
 *   state-directory {path, mode, uid, gid}        below STATE/NAME; outlives the VM, no undo
 *   directory      {path, mode, uid, gid}         undo: remove it with what is in it
 *   connect        {path, fd}                     a connected Unix stream socket
 *   listen         {path, mode, uid, gid, fd}     a bound, listening Unix stream socket; undo: unlink
 *   port           {port, address, [fd]}          lock file RUN/ports/PORT, held while the VM lives, and a socket that
 *                                                 listens there; no fd: only whether that can be
 *   stderr         {fd, max}                      memfd of max bytes, sealed against growth
 *   machine-lock   {path, text}                   written when it differs; outlives the VM, no undo
 *   net            a net_op (net/net_plan.h): {op, ifname, ...}; tap-create gives fds "tap:IFNAME:QUEUE"
 *   script         {op: "script", path, ifname}   a program of the host, run as root with the tap's name; what it does ends
 *                                                 with the tap
 *   cgroup-create  {path}                         path below each hierarchy, "machine.slice/vmlaunch-web"
 *                  {path, below: true}           v2: a sub-group of systemd's, without controllers
 *                  {path, controller}            v1: in the hierarchy of this controller alone
 *   cgroup-write   {path, controller, file, value}
 *   scope          {unit, slice, description, group, stop_s, properties, user: bool}
 *                  the executor moves into a transient scope of systemd's, which has these properties
 *   unit-set       {unit, group, properties}      properties of a unit, as far as its control files differ
 *   live-template  {path, text}                   RUN/NAME/live.tmpl
 *   nvram          {path, format, other, template, template-format, uid, fd}
 *                  UEFI variables: opened, and made first where they are not there, of other (the same in the other format)
 *                  or of template; outlive the VM, undone when they were made for a start that failed
 *   helper         {id, argv, fds: [{fd, source}], stderr, uid, gid, ids, directory, directory_fd, readonly}
 *                                                 runs a helper process: as uid without capabilities or, with ids, as root of
 *                                                 a user namespace whose first ids are uid and so many that follow; undo:
 *                                                 end it
 *   spawn          {}                             forks QEMU as argv, env, fds and confine say; undo: kill it
 *   memory-lock    {bytes: "N"}                   of a fragment: QEMU may lock so much memory; undo: the limit it had
 *   affinity       {vcpus: {"N": CPUS}, iothreads: {"N": CPUS}}
 *                  after spawn; the supervisor's, and the host helper's of a fragment: on which CPUs of the host these
 *                  threads run, "any": all that they may; it adds threads: {"TID": CPUS}. Undo: where they ran before
 *   take-back      {effect, member, value, path}  of a fragment: undoes the run's steps of that effect with that argument
 *                  (and path, where it is given)
 *   memory-cleanup {interval_s, wait_ms}          the host's page cache is dropped and its memory compacted by the host helper,
 *                  unless it was in the last interval_s seconds; what becomes of it is not the start's business
 *   machined       {name, uuid}                   after spawn; the supervisor's: known to systemd-machined, if it runs, as
 *                                                 leader, which is added: QEMU's pid
 *   qmp            {execute, arguments, [fd]}     after spawn; sent in order, fd (that a step named) with it; "cont" is
 *                                                 the last
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/argv.h"
#include "base/error.h"

/*
 * The one list: enum, name and what is done (launcher/run/effects.c) are made of it, so an effect without a name, or
 * without its two functions, does not compile.
 */
#define PLAN_EFFECT_LIST(X)                                    \
        X(UID_CLAIM, "uid-claim", uid_claim)                   \
        X(IMAGE_OPEN, "image-open", image_open)                \
        X(IMAGE_CREATE, "image-create", image_create)          \
        X(FILE_OPEN, "file-open", file_open)                   \
        X(SECRET, "secret", secret)                            \
        X(DEVICE_OPEN, "device-open", device_open)             \
        X(DEVICE_GRANT, "device-grant", device_grant)          \
        X(LOG_OPEN, "log-open", log_open)                      \
        X(SHARED_MEMORY, "shared-memory", shared_memory)       \
        X(SOCKET_PAIR, "socket-pair", socket_pair)             \
        X(STATE_DIRECTORY, "state-directory", state_directory) \
        X(DIRECTORY, "directory", directory)                   \
        X(CONNECT, "connect", connect)                         \
        X(LISTEN, "listen", listen)                            \
        X(PORT, "port", port)                                  \
        X(STDERR, "stderr", stderr)                            \
        X(MACHINE_LOCK, "machine-lock", machine_lock)          \
        X(NET, "net", net)                                     \
        X(SCRIPT, "script", script)                            \
        X(CGROUP_CREATE, "cgroup-create", cgroup_create)       \
        X(CGROUP_WRITE, "cgroup-write", cgroup_write)          \
        X(SCOPE, "scope", scope)                               \
        X(UNIT_SET, "unit-set", unit_set)                      \
        X(MACHINED, "machined", machined)                      \
        X(MEMORY_CLEANUP, "memory-cleanup", memory_cleanup)    \
        X(LIVE_TEMPLATE, "live-template", live_template)       \
        X(NVRAM, "nvram", nvram)                               \
        X(HELPER, "helper", helper)                            \
        X(SPAWN, "spawn", spawn)                               \
        X(MEMORY_LOCK, "memory-lock", memory_lock)             \
        X(AFFINITY, "affinity", affinity)                      \
        X(TAKE_BACK, "take-back", take_back)                   \
        X(QMP, "qmp", qmp)

#define PLAN_EFFECT_ENUM(id, name, word) EFFECT_##id,
enum plan_effect { PLAN_EFFECT_LIST(PLAN_EFFECT_ENUM) PLAN_EFFECTS /* how many */ };
#undef PLAN_EFFECT_ENUM

/* "image-open" and so on; the name in JSON, journal and messages. */
const char *plan_effect_name(enum plan_effect effect);
/* false: no such name. */
bool plan_effect_from_name(const char *name, enum plan_effect *ret);

/* Of memory-cleanup: how long after the last one there is another, and how long a start waits for it. */
#define PLAN_CLEANUP_INTERVAL_S 60
#define PLAN_CLEANUP_WAIT_MS    30000

/* Of affinity: where nothing is said of a thread, and the emulator has CPUs of its own. */
#define AFFINITY_ANY "any"

struct plan_step {
        enum plan_effect effect;
        json_t *args;  /* object; owned */
        char *because; /* "DISK[0]/SOURCE", "rule: ..."; owned */
};

/* One word of QEMU's argv and what made it: references as of vm_spec_origin(), separated by blanks, or
 * "rule: words". */
struct plan_arg {
        char *text;
        char *because;  /* an option's value has its option's, the same string */
        bool is_option; /* starts a printed line: "-netdev" */
};

/* An fd QEMU inherits: source is the name that a step gave it. */
struct plan_fd {
        int child_fd;
        char *source;
        char *text; /* "tap web-0 queue 0" for printers */
};

struct plan_confinement {
        uid_t uid;
        gid_t gid;
        gid_t groups[4];
        char *group_names[4]; /* for printers; owned */
        size_t n_groups;
        uint64_t memlock; /* bytes that may be locked; 0: as for the launcher, UINT64_MAX: no limit */
        bool no_thp;      /* no transparent huge pages */
        /* Lists of CPUs and memory nodes of the host (base/number_list.h), of everything that is not set apart; owned, NULL:
         * as for the launcher. */
        char *cpus, *memory_nodes;
};

/* What the step that gives the fd its name hands over; shown nowhere. */
struct plan_secret {
        char *source; /* "secret:vnc0" */
        char *value;  /* NULL: the template has only a stand-in for it */
};

#define CLOCK_PLACEHOLDER "@UTC"

/* CLOCK OFFSET = "variable": what is kept when the guest sets its clock. */
struct plan_clock {
        char *path;         /* STATE/NAME/clock; owned, NULL: nothing is kept */
        int64_t adjustment; /* CLOCK/ADJUSTMENT */
        int64_t ahead;      /* seconds that this run's clock began ahead of UTC */
};

/* What the supervisor has to know of the VM besides the steps. */
struct plan_policy {
        bool has_agent, has_acpi, has_panic;
        unsigned shutdown_timeout_s;
        bool force_destroy, cancel_no_acpi;
        bool restart_on_panic, keep_on_panic; /* ON_CRASH; neither: the VM ends */
        bool ready_on_agent;                  /* NOTIFY_READY */
        bool poweroff_on_watchdog;            /* WATCHDOG/ACTION: QEMU has paused, and the VM ends */
        bool sync_time;                       /* SYNC_TIME: when a paused guest goes on */
        char *agent_allow;                    /* AGENT_ALLOW; owned, NULL: none */
        uint64_t balloon_floor; /* BALLOON/PRESSURE_FLOOR, bytes; 0: the balloon does not follow the host */
        struct plan_clock clock;
};

struct launch_plan {
        char *name, *uuid;
        char *template_file; /* for list and status; NULL: stdin */
        char *emulator;      /* absolute path to exec */
        char *run_dir;       /* RUN/NAME */
        char *log_path;      /* LOG/NAME.log */
        char *cgroup;        /* the group that has the limits, NULL: no group can be made */
        char *qemu_group; /* the group QEMU is put into and that goes with it; NULL: it stays where the supervisor is */
        char *unit; /* systemd's, whose group cgroup is; NULL: none */
        struct plan_step *steps;
        size_t n_steps;
        struct plan_arg *args; /* args[0] is the program */
        size_t n_args;
        char **env; /* NULL-terminated, normally empty */
        struct plan_fd *fds;
        size_t n_fds;
        struct plan_secret *secrets; /* in no printed form of the plan */
        size_t n_secrets;
        struct plan_confinement confine;
        struct plan_policy policy;
        json_t *devices;        /* array for status: [{"id":"disk0","kind":"disk","target":"vda",...}] */
        struct error *warnings; /* the spec's and the plan's; owned */
        struct error *
                notes; /* what was chosen and costs something: for plan and validate, no start's business; owned */
};

void launch_plan_free(struct launch_plan *plan);
DEFINE_FREEP(struct launch_plan, launch_plan_free)

/* Printers (DESIGN section 3); new strings. JSON: schema 1, members argv env fds net cgroup files confine helpers
 * qmp warnings steps. */
char *launch_plan_text(const struct launch_plan *plan);
/* The same object is in the record, for a supervisor that adopts. */
json_t *plan_policy_to_json(const struct plan_policy *policy);
json_t *launch_plan_json(const struct launch_plan *plan);
/* One command line for a shell, fds as the plan numbers them. */
char *launch_plan_shell(const struct launch_plan *plan);
/* One argument per line. */
char *launch_plan_argv(const struct launch_plan *plan);
