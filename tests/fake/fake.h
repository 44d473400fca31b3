/*
 * fake - what the files of vmlaunch-fake-qemu share (docs/fake-qemu.md).
 *
 * main.c has argv and the sockets, wire.c one connection whose output may be slow, in pieces or endless, scenario.c the
 * scenario file, fault.c the table of faults, fault_reply.c what they make of greeting and replies, fault_agent.c of the
 * agent's, model.c one command after the other on a small model, guest.c, things.c and jobs.c the commands (command.h),
 * hotplug.c what changes while it runs, machine.c what it was started with and the queries about it, agent.c the guest
 * agent's commands.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/mem.h"
#include "base/text.h"

/* --- wire: one connection --- */

struct wire;

struct wire_handlers {
        void (*on_message)(json_t *message, void *data);
        /* What came was no message. */
        void (*on_garbage)(const char *why, void *data);
        /* The wire has to be freed; the last callback. */
        void (*on_closed)(void *data);
};

/* lenient: the agent's framing, where 0xFF begins anew. */
struct wire *wire_new(struct loop *loop, int fd_consume, bool lenient, const struct wire_handlers *handlers,
                      void *data);
void wire_free(struct wire *wire);
/* Everything sent goes out in order: bytes, the same bytes again and again, a pause, a call. */
void wire_send(struct wire *wire, const void *bytes, size_t n, uint64_t times);
void wire_send_text(struct wire *wire, const char *text);
void wire_send_pieces(struct wire *wire, const void *bytes, size_t n, size_t piece, unsigned ms);
void wire_pause(struct wire *wire, unsigned ms);
void wire_then(struct wire *wire, void (*fn)(void *data), void *data);
/* ms 0 and bytes 0: never again; otherwise so many bytes, then a pause. */
void wire_read_slowly(struct wire *wire, size_t bytes, unsigned ms);
void wire_read_at_once(struct wire *wire);
/* The last fd that came, -1: none; then it is the caller's. */
int wire_take_fd(struct wire *wire);

/* --- scenario and faults --- */

enum place {
        PLACE_CONNECT, /* the greeting */
        PLACE_REPLY,   /* QMP's reply to a command */
        PLACE_READ,    /* reading of the monitor, from this command on */
        PLACE_AGENT,   /* the agent's reply */
        PLACE_MODEL,   /* what QEMU or the guest does */
};

enum fault_kind {
        GREETING_MISSING = 1,
        GREETING_LATE,
        GREETING_GARBAGE,
        GREETING_TWICE,
        GREETING_HALF,
        GREETING_OTHER,
        GREETING_HANG_UP,
        SILENCE,
        NO_REPLY,
        HALF_LINE,
        BYTE_BY_BYTE,
        WRONG_ID,
        NO_ID,
        ID_OTHER_TYPE,
        REPLY_TWICE,
        REPLY_LATE,
        REORDERED,
        STRAY_REPLY,
        EVENT_HUGE,
        EVENT_FLOOD,
        EVENT_ODD,
        EVENTS_AFTER_REPLY,
        DEEP,
        HUGE_REPLY,
        BLANKS,
        HANG_UP,
        HANG_UP_BEFORE,
        CRASH,
        EXIT,
        EXIT_CLEAN,
        STOP_SELF,
        ERROR_CLASS,
        ERROR_ODD,
        REFUSED,
        NOT_AN_OBJECT,
        RETURN_ODD,
        HUGE_INTEGERS,
        BAD_UTF8,
        NUL_BYTES,
        DUPLICATE_KEYS,
        NO_NEWLINE,
        NEVER_READS,
        SLOW_READER,
        QUIT_IGNORED,
        TERM_IGNORED,
        GUEST_IGNORES,
        GUEST_PANICS,
        GUEST_RESETS,
        GUEST_OFF,
        SHUTDOWN_TWICE,
        DELETED_LATE,
        DELETED_NEVER,
        DELETED_TWICE,
        UNPLUG_REFUSED,
        AGENT_NOT_THERE,
        AGENT_SILENT,
        AGENT_LATE,
        AGENT_NOISE,
        AGENT_OLD_ANSWER,
        AGENT_HALF,
        AGENT_NO_FF,
        AGENT_WRONG_SYNC,
        AGENT_CLOSES,
        AGENT_FLAPS,
        AGENT_HANGS_UP,
        AGENT_HUGE,
        AGENT_DEEP,
        AGENT_FLOOD,
        AGENT_BYTE_BY_BYTE,
        AGENT_ODD,
        AGENT_ERROR,
        AGENT_NEVER_READS,
        AGENT_STOPS_QEMU,
        FREEZE_LATE,
        FREEZE_FAILS,
        THAW_FAILS,
};

struct fault_row {
        enum fault_kind kind;
        const char *name;
        enum place place;
        const char *command; /* which one when the scenario does not say, NULL: every one */
        unsigned times;      /* 0: from the nth on, always */
        unsigned ms, count;  /* the scenario may say otherwise */
        const char *doc;
};

/* One of the scenario. */
struct fault {
        const struct fault_row *row;
        const char *command; /* borrowed from the scenario's JSON */
        unsigned nth, times, ms, count, status;
        const char *text;
        unsigned seen;
};

struct fake;

const struct fault_row *fault_row_find(const char *name);
/* name, tab, documentation: one line each. */
void fault_list(void);
/* The fault that strikes now, NULL: none. Counts. command may be NULL. */
struct fault *fault_hit(struct fake *fake, enum place place, const char *command);
/* The same for one kind only. */
struct fault *fault_hit_kind(struct fake *fake, enum fault_kind kind, const char *command);
/* fault_reply.c */
/* Sends the greeting, or what a fault makes of it. */
void fault_greet(struct fake *fake, const char *greeting);
/* Sends events (array of texts) and a reply, or what a fault makes of them. fault may be NULL. */
void fault_reply(struct fake *fake, const struct fault *fault, const json_t *events, json_t *reply);
/* Is the command carried out at all? */
bool fault_lets_run(const struct fault *fault);
/* fault_agent.c */
/* The agent's reply: begins with 0xFF when delimited. */
void fault_agent_reply(struct fake *fake, const struct fault *fault, json_t *reply, bool delimited);
/* For both: JSON as text, and as a line with this end, the caller's; before, mib MiB of filler never held in memory as a
 * whole, after; SIGSTOP, for wire_then(). */
char *fault_dump(const json_t *value);
char *fault_line(const json_t *value, const char *end);
void fault_send_long(struct wire *wire, const char *before, unsigned mib, char filler, const char *after);
void fault_stop_self(void *data);

struct scenario {
        json_t *root;
        struct fault *faults;
        size_t n_faults;
        json_t *replies, *expect, *events; /* borrowed from root, NULL: none */
        size_t expected;                   /* how many of expect have come */
        bool guest_ignores;
};

/* Reads the file or ends the program with what is wrong with it; path NULL: an empty scenario. */
void scenario_read(struct scenario *scenario, const char *path);
/* A scenario of one fault with its defaults. */
void scenario_of_fault(struct scenario *scenario, const char *name);

/* --- the fake --- */

enum run_word { PRELAUNCH, RUNNING, PAUSED, SHUTDOWN, PANICKED, RUN_WORDS };

struct channel {
        struct fake *fake;
        int listen_fd; /* -1: the peer was there from the start */
        struct loop_source *listener;
        struct wire *wire;
};

struct fake {
        struct loop *loop;
        const char *name, *uuid;
        struct scenario scenario;
        struct channel qmp, agent;

        bool negotiated;
        unsigned served; /* QMP commands */
        enum run_word run;
        bool quitting, guest_frozen, agent_open;
        json_t *devices, *netdevs, *nodes, *objects, *chardevs, *fds, *fdsets, *jobs; /* by id */
        unsigned next_set;
        const char *machine; /* "pc-q35-7.2" */
        uint64_t memory, balloon;
        unsigned cpus;
        json_t *batch;        /* events of the command that is being carried out, NULL: outside of one */
        char *held;           /* a reply kept back by "reordered" */
        json_int_t last_sync; /* of the agent */
        char *old_answer;     /* of the agent */
};

void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...);

/* model.c */
void model_init(struct fake *fake, bool prelaunch);
void qmp_connected(struct fake *fake);
void qmp_message(json_t *message, void *data);
void qmp_garbage(const char *why, void *data);
/* data is stolen and may be NULL. */
void emit(struct fake *fake, const char *event, json_t *data_consume);
void later(struct fake *fake, unsigned ms, void (*fn)(struct fake *fake, void *data), void *data);
void quit_now(struct fake *fake, const char *reason);

/* guest.c */
/* How long the guest takes for what it is asked. */
#define GUEST_MS 20
/* "power-off", "panic", "reset", "agent-starts", "agent-stops"; false: no such word. */
bool guest_does(struct fake *fake, const char *what);
/* Asked by button or agent. */
void guest_asked(struct fake *fake, bool reboot);
/* The guest's agent is there, if the guest runs. For later(). */
void agent_starts(struct fake *fake, void *data);

/* machine.c */
/* The word after an option, from argv[*from] on, which moves behind it; NULL: there is none. Lent. */
const char *option_value(char **argv, const char *option, int *from);
/* What follows "KEY=" in a comma list up to the next comma; NULL: not there. The caller's. */
char *key_value(const char *list, const char *key);
void machine_init(struct fake *fake);
void machine_read_argv(struct fake *fake, char **argv);
/* Is it a query about the machine? Then *ret is its answer; NULL: there is no such device. */
bool machine_answers(struct fake *fake, const char *command, const json_t *args, json_t **ret);
/* Number i of them, NULL behind the last. */
const char *machine_query_name(size_t i);

/* hotplug.c */
/* qom-set, block_resize and the commands of media; false: there is no such thing. */
bool hotplug_command(struct fake *fake, const char *name, const json_t *args);
bool is_cpu(const json_t *device);
/* The guest has given a vCPU back: the events as KVM has them. */
void cpu_gone(struct fake *fake, const char *id);
json_int_t node_size(const json_t *node);
/* Of memory modules, and what virtio-mem was asked for. */
uint64_t plugged_memory(const struct fake *fake);

/* agent.c */
void agent_open(struct fake *fake, bool open);
void agent_connected(struct fake *fake);
void agent_message(json_t *message, void *data);

/* main.c */
void hang_up(struct channel *channel);
/* Exit status 0, or 3 when expectations of the scenario were not met. */
void __attribute__((noreturn)) leave(struct fake *fake, int status);
