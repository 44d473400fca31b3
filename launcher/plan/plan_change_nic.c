/* What changes at a card that stays: the bridge its tap is in, and its link. */
#include <string.h>

#include "base/json_member.h"
#include "launcher/plan/changing.h"

static bool is(const json_t *args, const char *member, const char *value)
{
        const char *text = json_member_string(args, member);

        return text && strcmp(text, value) == 0;
}

/* The step that does this to a tap; NULL: there is none. */
static const struct plan_step *find_net(const struct launch_plan *plan, const char *op, const char *ifname)
{
        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].effect == EFFECT_NET && is(plan->steps[i].args, "op", op) &&
                    is(plan->steps[i].args, "ifname", ifname))
                        return &plan->steps[i];
        return NULL;
}

static bool is_set_link(const struct plan_step *step)
{
        return step->effect == EFFECT_QMP && is(step->args, "execute", "set_link");
}

bool changing_handles_net(const struct changing *c, const struct plan_step *step)
{
        const char *ifname = json_member_string(step->args, "ifname");

        return is_set_link(step) || (step->effect == EFFECT_NET && is(step->args, "op", "bridge-join") &&
                                     find_net(c->was_plan, "tap-create", ifname) &&
                                     find_net(c->wanted_plan, "tap-create", ifname));
}

void changing_bridges(struct changing *c)
{
        for (size_t i = 0; i < c->wanted_plan->n_steps; i++) {
                const struct plan_step *tap = &c->wanted_plan->steps[i], *was, *wanted;
                const char *ifname = json_member_string(tap->args, "ifname");
                json_t *args, *ovs;

                if (tap->effect != EFFECT_NET || !is(tap->args, "op", "tap-create") ||
                    !find_net(c->was_plan, "tap-create", ifname))
                        continue;
                was = find_net(c->was_plan, "bridge-join", ifname);
                wanted = find_net(c->wanted_plan, "bridge-join", ifname);
                if ((!was && !wanted) ||
                    (was && wanted && changing_is_same(was->args, wanted->args, "bridge") &&
                     changing_is_same(was->args, wanted->args, "ovs")))
                        continue;
                ovs = was ? json_object_get(was->args, "ovs") : NULL;
                args = wanted ? json_copy(wanted->args)
                              : json_pack("{s:s, s:s}", "ifname", ifname, "bridge", "");
                json_object_set_new(args, "op", json_string("bridge-move"));
                if (ovs)
                        json_object_set(args, "was-ovs", ovs);
                changing_add_step(c, (wanted ? wanted : was)->because, EFFECT_NET, args, NULL);
        }
}

/* The step that takes this card's link down; NULL: it is up. */
static const struct plan_step *find_down(const struct launch_plan *plan, const char *id)
{
        for (size_t i = 0; i < plan->n_steps; i++)
                if (is_set_link(&plan->steps[i]) &&
                    is(json_object_get(plan->steps[i].args, "arguments"), "name", id))
                        return &plan->steps[i];
        return NULL;
}

static json_t *link_is(const char *id, bool up)
{
        return changing_command("set_link", json_pack("{s:s, s:b}", "name", id, "up", up));
}

void changing_links(struct changing *c)
{
        for (size_t i = 0; i < c->wanted.n; i++) {
                const struct plan_part *card = &c->wanted.items[i];
                const struct plan_step *was = find_down(c->was_plan, card->id),
                                       *wanted = find_down(c->wanted_plan, card->id);
                json_t *undo;

                if (card->kind != PART_DEVICE || !was == !wanted)
                        continue;
                undo = json_array();
                if (plan_parts_find(&c->was, PART_DEVICE, card->id))
                        json_array_append_new(undo, link_is(card->id, wanted));
                changing_add_step(c, (wanted ? wanted : was)->because, EFFECT_QMP, link_is(card->id, !wanted),
                                  json_pack("{s:o}", "undo", undo));
        }
}
