/*
 * changing - what the files of plan_change share: parts that come, change and go (plan_change_parts.c), steps of the host
 * (plan_change_host.c), media of drives that stay (plan_change_media.c), limits
 * of disks (plan_change_throttle.c). For no one else.
 */
#pragma once

#include "launcher/plan/plan_change.h"
#include "launcher/plan/plan_parts.h"

struct changing {
        const struct plan_change_options *options;
        struct plan_parts was, wanted;
        const struct launch_plan *was_plan, *wanted_plan;
        json_t *steps;
        bool removes;
        json_t *after; /* steps of a second fragment */
        json_t *handled; /* {"disk2": true}: drives whose medium changes, and parts that are cared for: "disk1-throttle" */
        struct plan_change change;
};

/* plan_change_parts.c */
/* more: further members of the step; NULL: none. */
void changing_add_step(struct changing *c, const char *because, enum plan_effect effect, json_t *args_consume,
                       json_t *more_consume);
json_t *changing_command(const char *name, json_t *arguments_consume);
void changing_add_qmp(struct changing *c, const char *because, const char *name, json_t *arguments_consume,
                      json_t *more_consume);
json_int_t changing_fdset_number(const struct changing *c, const char *name);
/* What a part's arguments say in QEMU; new reference. */
json_t *changing_arguments(struct changing *c, const struct plan_part *part);
void changing_tell_next_start(struct changing *c, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
void changing_add_part(struct changing *c, const struct plan_part *part);
void changing_add_parts(struct changing *c);
void changing_remove_parts(struct changing *c);
/* Is it of a drive whose medium changes? */
bool changing_handles(const struct changing *c, const char *id);
bool changing_handles_image(const struct changing *c, const struct plan_step *step);

/* The name behind FILE of a secret object, "secret:disk1-luks"; NULL: it is none. */
const char *changing_secret(const struct plan_part *part);

/* plan_change_host.c */
/* Have both this member with the same value, or none of them? */
bool changing_is_same(const json_t *a, const json_t *b, const char *member);
void changing_add_file(struct changing *c, const json_t *args);
/* What the VM's group is to allow, as far as that changes. */
void changing_add_limit_steps(struct changing *c);
void changing_add_host_steps(struct changing *c);
void changing_remove_host_steps(struct changing *c);
void changing_add_qmp_steps(struct changing *c);

/* plan_change_nic.c */
/* Other bridges for taps that stay. */
void changing_bridges(struct changing *c);
/* Links of the guest's cards. */
void changing_links(struct changing *c);
/* Is it theirs to do? */
bool changing_handles_net(const struct changing *c, const struct plan_step *step);

/* plan_change_affinity.c: behind the vCPUs that come. */
void changing_add_affinity(struct changing *c);

/* plan_change_throttle.c; the changes tell whether they are what was to do. */
bool changing_is_limits_group(const struct plan_part *part);
/* Other limits of a throttle group that stays. */
bool changing_limits_group(struct changing *c, const struct plan_part *was, const struct plan_part *wanted);
/* A throttle between a device and its node, where there was none, or none any more. */
bool changing_filter(struct changing *c, const struct plan_part *was, const struct plan_part *wanted);

/* plan_change_media.c */
void changing_media(struct changing *c);
