/* Steps of a fragment that the host helper carries out: what each effect may say, and whose it is. */
#include <ctype.h>
#include <string.h>

#include "base/json_member.h"
#include "base/number_list.h"
#include "base/text.h"
#include "launcher/run/fragment_parts.h"
#include "net/net_plan.h"

/* Of a helper process. */
#define STDERR_MOST   65536
#define ARGUMENTS_MAX 64
#define FD_MOST       63

/* An fd that a step of this fragment opens. */
static int add_opened(struct reading *reading, const char *name, struct error **err)
{
        json_object_set_new(reading->fd_uses, name, json_integer(0));
        if (json_object_size(reading->fd_uses) > FRAGMENT_OPENED)
                return error_set(err, ERROR_FAILED, "the fragment has more than %d fds", FRAGMENT_OPENED);
        return 0;
}

static int read_net(struct reading *reading, struct fragment_step *step, struct error **err)
{
        _cleanup_free_ char *alias = NULL;
        struct net_op op;
        json_t *marked;

        if (net_op_from_json(step->args, &op, err) < 0)
                return -1;
        marked = json_object_get(reading->taps, op.ifname);
        /* Of a tap that is there: the host helper looks whose it is. */
        if (op.kind == NET_BRIDGE_MOVE)
                return marked ? error_set(err, ERROR_FAILED, "the tap '%s' is made here", op.ifname) : 0;
        if (op.kind != NET_TAP_CREATE && !marked)
                return error_set(err, ERROR_FAILED, "no step before it makes the tap '%s'", op.ifname);
        if (op.kind == NET_TAP_CREATE) {
                if (marked)
                        return error_set(err, ERROR_FAILED, "the tap '%s' is made twice", op.ifname);
                json_object_set_new(reading->taps, op.ifname, json_false());
                for (unsigned i = 0; i < op.tap.queues; i++) {
                        _cleanup_free_ char *name = xasprintf("tap:%s:%u", op.ifname, i);

                        if (add_opened(reading, name, err) < 0)
                                return -1;
                }
        } else if (op.kind == NET_LINK_SET) {
                /* The mark is the right to remove it. */
                alias = xasprintf("vmlaunch:%s:%s", reading->vm->name, reading->vm->generation);
                if (strcmp(op.link.alias, alias) != 0)
                        return error_set(err, ERROR_FAILED, "alias is not this run's");
                if (op.link.group != reading->vm->link_group)
                        return error_set(err, ERROR_FAILED, "group is not this VM's link group, %u",
                                         reading->vm->link_group);
                json_object_set_new(reading->taps, op.ifname, json_true());
        } else if (!json_is_true(marked)) {
                return error_set(err, ERROR_FAILED, "the tap '%s' has no group and alias yet (link-set)",
                                 op.ifname);
        }
        return 0;
}

/* "/dev/bus/usb/001/004", and nothing else. */
static bool is_usb_node(const char *path)
{
        static const char form[] = "/dev/bus/usb/000/000";

        for (size_t i = 0; i < sizeof(form); i++)
                if (form[i] == '0' ? !isdigit((unsigned char)path[i]) : path[i] != form[i])
                        return false;
        return true;
}

/* One USB device of the host, which has to be of these ids. */
static int read_usb_open(struct reading *reading, const json_t *args, const char *path, struct error **err)
{
        static const char form[] = "0000:0000";
        const char *usb = json_member_string(args, "usb");
        const json_t *fds = json_object_get(args, "fds");
        const char *name = json_string_value(json_array_get(fds, 0));
        size_t i = 0;

        if (!is_usb_node(path))
                return error_set(err, ERROR_FAILED, "path is no node of a USB device");
        while (usb && i < sizeof(form) - 1 &&
               (form[i] == '0' ? isxdigit((unsigned char)usb[i]) : usb[i] == form[i]))
                i++;
        if (!usb || i != sizeof(form) - 1 || usb[i])
                return error_set(err, ERROR_FAILED, "usb is no pair of ids");
        if (json_array_size(fds) != 1 || !name || !text_starts_with(name, "usb:") ||
            !fragment_is_id(name + strlen("usb:"), "-._", NAME_MAX_))
                return error_set(err, ERROR_FAILED, "fds is not one name of a USB device");
        if (json_object_get(reading->fd_uses, name))
                return error_set(err, ERROR_FAILED, "fds: '%s' is there twice", name);
        return add_opened(reading, name, err);
}

/* The kernel's side of a tap's queues, and USB devices: no other device is opened with root's rights. */
static int read_device_open(struct reading *reading, struct fragment_step *step, struct error **err)
{
        static const char *const members[] = { "path", "fds", "usb", NULL };
        const char *path = json_member_string(step->args, "path");
        const json_t *fds = json_object_get(step->args, "fds");
        json_t *each;
        size_t i;

        if (fragment_check_members(step->args, members, err) < 0)
                return -1;
        if (path && json_object_get(step->args, "usb"))
                return read_usb_open(reading, step->args, path, err);
        if (!path || strcmp(path, "/dev/vhost-net") != 0)
                return error_set(err, ERROR_FAILED, "path is not /dev/vhost-net");
        if (!json_is_array(fds))
                return error_set(err, ERROR_FAILED, "fds is not an array");
        json_array_foreach ((json_t *)fds, i, each) {
                const char *name = json_string_value(each);
                _cleanup_free_ char *tap =
                        name && text_starts_with(name, "vhost:") ? xasprintf("tap:%s", name + 6) : NULL;

                if (!tap || !json_object_get(reading->fd_uses, tap))
                        return error_set(err, ERROR_FAILED, "fds: entry %zu is of no queue of a tap", i + 1);
                if (add_opened(reading, name, err) < 0)
                        return -1;
        }
        return 0;
}

/* A group of vfio, or a device's own node, for the VM's own user. */
static int read_device_grant(struct reading *reading, struct fragment_step *step, struct error **err)
{
        static const char *const members[] = { "path", "uid", NULL };
        static const char directory[] = "/dev/vfio/", device[] = "/dev/vfio/devices/vfio";
        const char *path = json_member_string(step->args, "path");
        const json_t *uid = json_object_get(step->args, "uid");
        uint32_t number;

        if (fragment_check_members(step->args, members, err) < 0)
                return -1;
        if (!path || !text_starts_with(path, directory) ||
            !text_parse_u32(path + strlen(text_starts_with(path, device) ? device : directory), &number))
                return error_set(err, ERROR_FAILED, "path is no group or device of vfio");
        /* The number of its link group is that of its user. */
        if (!json_is_integer(uid) || json_integer_value(uid) != reading->vm->link_group)
                return error_set(err, ERROR_FAILED, "uid is not the VM's, %u", reading->vm->link_group);
        return 0;
}

static int read_memory_lock(struct reading *reading, struct fragment_step *step, struct error **err)
{
        static const char *const members[] = { "bytes", NULL };
        const char *bytes = json_member_string(step->args, "bytes");
        uint64_t number;

        (void)reading;
        if (fragment_check_members(step->args, members, err) < 0)
                return -1;
        if (!bytes || !text_parse_u64(bytes, &number))
                return error_set(err, ERROR_FAILED, "bytes is no number");
        return 0;
}

static int read_pins(const json_t *pins, const char *name, struct error **err)
{
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *)pins, key, value) {
                const char *cpus = json_string_value(value);
                struct number_list list;
                uint32_t number;

                if (!text_parse_u32(key, &number) || !cpus ||
                    (strcmp(cpus, AFFINITY_ANY) != 0 && !number_list_parse(cpus, &list)))
                        return error_set(err, ERROR_FAILED, "%s: one is not {NUMBER: CPUS}", name);
        }
        return json_is_object(pins) ? 0 : error_set(err, ERROR_FAILED, "%s is no object", name);
}

/* Which threads they are is for QEMU to say. */
static int read_affinity(struct reading *reading, struct fragment_step *step, struct error **err)
{
        static const char *const members[] = { "vcpus", "iothreads", NULL };

        (void)reading;
        if (fragment_check_members(step->args, members, err) < 0 ||
            read_pins(json_object_get(step->args, members[0]), members[0], err) < 0)
                return -1;
        return read_pins(json_object_get(step->args, members[1]), members[1], err);
}

/* "helper:fs0" and its like: the part behind the colon; NULL: it is no such name. */
static const char *id_behind(const char *name, const char *kind)
{
        return name && text_starts_with(name, kind) && fragment_is_id(name + strlen(kind), "-._", NAME_MAX_)
                       ? name + strlen(kind)
                       : NULL;
}

/* QEMU's end of the socket to a helper process; the other end and the process's messages are the helper's. */
static int read_socket_pair(struct reading *reading, struct fragment_step *step, struct error **err)
{
        static const char *const members[] = { "fd", "peer", "listens", NULL };
        const char *peer = json_member_string(step->args, "peer");
        const char *id = id_behind(json_member_string(step->args, "fd"), "helper:"),
                   *other = id_behind(peer, "qemu:");

        if (fragment_check_members(step->args, members, err) < 0)
                return -1;
        if (!id || !other || strcmp(id, other) != 0)
                return error_set(err, ERROR_FAILED, "fd and peer are no ends for one helper process");
        if (json_object_get(reading->fd_uses, peer))
                return error_set(err, ERROR_FAILED, "peer: '%s' is there twice", peer);
        json_object_set_new(reading->helpers, id, json_integer(1));
        return add_opened(reading, peer, err);
}

static int read_stderr(struct reading *reading, struct fragment_step *step, struct error **err)
{
        static const char *const members[] = { "fd", "max", NULL };
        const char *id = id_behind(json_member_string(step->args, "fd"), "stderr:");
        const json_t *max = json_object_get(step->args, "max");

        if (fragment_check_members(step->args, members, err) < 0)
                return -1;
        if (!id || !json_object_get(reading->helpers, id))
                return error_set(err, ERROR_FAILED, "fd is of no helper process");
        if (!json_is_integer(max) || json_integer_value(max) < 1 || json_integer_value(max) > STDERR_MOST)
                return error_set(err, ERROR_FAILED, "max is not between 1 and %d", STDERR_MOST);
        json_object_set_new(reading->helpers, id, json_integer(2));
        return 0;
}

static bool is_number(const json_t *json, json_int_t most)
{
        return json_is_integer(json) && json_integer_value(json) >= 0 && json_integer_value(json) <= most;
}

/* A program of the host's, started by whoever may start one anyway: an administrator. */
static int read_helper(struct reading *reading, struct fragment_step *step, struct error **err)
{
        static const char *const members[] = { "id",  "argv",      "fds",          "stderr",   "uid", "gid",
                                               "ids", "directory", "directory_fd", "readonly", NULL };
        const json_t *args = step->args, *argv = json_object_get(args, "argv"),
                     *fds = json_object_get(args, "fds"), *directory = json_object_get(args, "directory"),
                     *ids = json_object_get(args, "ids");
        const char *id = json_member_string(args, "id"),
                   *program = json_string_value(json_array_get(argv, 0));
        _cleanup_free_ char *source = id ? xasprintf("helper:%s", id) : NULL,
                            *messages = id ? xasprintf("stderr:%s", id) : NULL;
        const char *is_source = json_member_string(json_array_get(fds, 0), "source"),
                   *is_messages = json_member_string(args, "stderr");
        json_t *each;
        size_t i;

        if (fragment_check_members(args, members, err) < 0)
                return -1;
        if (!id || json_member_integer(reading->helpers, id) != 2)
                return error_set(err, ERROR_FAILED,
                                 "id is of no process whose socket and messages are made before it");
        if (!program || *program != '/' || json_array_size(argv) > ARGUMENTS_MAX)
                return error_set(err, ERROR_FAILED,
                                 "argv is no list of at most %d words that begins with a path",
                                 ARGUMENTS_MAX);
        json_array_foreach ((json_t *)argv, i, each) {
                if (!json_is_string(each) || !fragment_is_line(json_string_value(each), VALUE_MAX))
                        return error_set(err, ERROR_FAILED, "argv: word %zu is not one line of text", i + 1);
        }
        if (json_array_size(fds) != 1 || !is_source || strcmp(is_source, source) != 0 ||
            !is_number(json_object_get(json_array_get(fds, 0), "fd"), FD_MOST) || !is_messages ||
            strcmp(is_messages, messages) != 0)
                return error_set(err, ERROR_FAILED, "fds or stderr are not those of '%s'", id);
        if (!is_number(json_object_get(args, "uid"), UINT32_MAX) ||
            !is_number(json_object_get(args, "gid"), UINT32_MAX) || (ids && !is_number(ids, UINT32_MAX)))
                return error_set(err, ERROR_FAILED, "uid, gid or ids is no number");
        if (directory && (!json_is_string(directory) || *json_string_value(directory) != '/' ||
                          !is_number(json_object_get(args, "directory_fd"), FD_MOST)))
                return error_set(err, ERROR_FAILED, "directory is no path with its fd");
        json_object_set_new(reading->helpers, id, json_integer(3));
        return 0;
}

static int read_cgroup_write(struct reading *reading, struct fragment_step *step, struct error **err)
{
        static const char *const members[] = { "path", "controller", "file", "value", NULL };
        static const char *const controllers[] = { "cpu.",   "cpuset.", "memory.", "io.",
                                                   "blkio.", "pids.",   "hugetlb." };
        const json_t *hierarchy = json_object_get(step->args, "controller");
        const char *path, *file, *value, *controller = json_string_value(hierarchy);
        json_error_t why;
        size_t i = 0;

        if (fragment_check_members(step->args, members, err) < 0)
                return -1;
        if (json_unpack_ex(step->args, &why, 0, "{s:s, s:s, s:s}", "path", &path, "file", &file, "value",
                           &value) < 0)
                return error_set(err, ERROR_FAILED, "%s", why.text);
        if (!reading->vm->cgroup || strcmp(path, reading->vm->cgroup) != 0)
                return error_set(err, ERROR_FAILED, "path is not the VM's own group%s%s",
                                 reading->vm->cgroup ? ", " : ": it has none",
                                 reading->vm->cgroup ? reading->vm->cgroup : "");
        /* Limits and weights. What moves processes or hands the group on is none. */
        while (i < ARRAY_SIZE(controllers) && !text_starts_with(file, controllers[i]))
                i++;
        if (i == ARRAY_SIZE(controllers) || !fragment_is_id(file, "._", NAME_MAX_))
                return error_set(err, ERROR_FAILED, "file is none of a limit");
        /* Null on v2. */
        if (hierarchy && !json_is_null(hierarchy) &&
            (!controller || !fragment_is_id(controller, "_,", NAME_MAX_)))
                return error_set(err, ERROR_FAILED, "controller is no name");
        if (!*value || !fragment_is_line(value, VALUE_MAX))
                return error_set(err, ERROR_FAILED, "value is not one line of text");
        return 0;
}

/* A program of the host's for a tap of this fragment; that it is one which may run (NIC_SCRIPTS) its client has seen. */
static int read_script(struct reading *reading, struct fragment_step *step, struct error **err)
{
        static const char *const members[] = { "op", "path", "ifname", NULL };
        const char *op, *path, *ifname;
        json_error_t why;

        if (fragment_check_members(step->args, members, err) < 0)
                return -1;
        if (json_unpack_ex(step->args, &why, 0, "{s:s, s:s, s:s}", "op", &op, "path", &path, "ifname",
                           &ifname) < 0)
                return error_set(err, ERROR_FAILED, "%s", why.text);
        if (strcmp(op, "script") != 0 || *path != '/' || !fragment_is_line(path, VALUE_MAX))
                return error_set(err, ERROR_FAILED, "path is no absolute one of one line");
        if (!json_member_is_true(reading->taps, ifname))
                return error_set(err, ERROR_FAILED, "no step before it makes and marks the tap");
        return 0;
}

/* The supervisor has the file from the client: what it opens itself it would open with root's rights. */
static int read_image_open(struct reading *reading, struct fragment_step *step, struct error **err)
{
        static const char *const members[] = { "path", "access", "lock", "fd", "direct", NULL };
        const char *path, *access, *lock, *fd;
        json_error_t why;
        int direct;

        if (fragment_check_members(step->args, members, err) < 0)
                return -1;
        if (json_unpack_ex(step->args, &why, 0, "{s:s, s:s, s:s, s:s, s?b}", "path", &path, "access", &access,
                           "lock", &lock, "fd", &fd, "direct", &direct) < 0)
                return error_set(err, ERROR_FAILED, "%s", why.text);
        if (strcmp(access, "rw") != 0 && strcmp(access, "ro") != 0)
                return error_set(err, ERROR_FAILED, "access is neither rw nor ro");
        /* A disk that several VMs write to is SHAREABLE. */
        if (strcmp(lock, "shared") != 0 && (strcmp(lock, "exclusive") != 0 || strcmp(access, "rw") != 0))
                return error_set(err, ERROR_FAILED, "lock does not go with access");
        if (!*path || !fragment_is_line(path, VALUE_MAX))
                return error_set(err, ERROR_FAILED, "path is not one line of text");
        if (!json_object_get(reading->fd_uses, fd) || fragment_fd_is_ours(fd))
                return error_set(err, ERROR_FAILED, "fd names none that came with the fragment");
        return 0;
}

/* An image that is made below the VM's own directory (effect_image.c looks that it is); its fd is then the fragment's. */
static int read_image_create(struct reading *reading, struct fragment_step *step, struct error **err)
{
        static const char *const members[] = { "path",   "format",  "size",           "keep", "fd",
                                               "direct", "backing", "backing-format", "fs",   NULL };
        const char *path, *format, *fd, *fs = "ext4", *backing = "/", *backing_format = "raw";
        int keep, direct = 0;
        json_int_t size;
        json_error_t why;

        if (fragment_check_members(step->args, members, err) < 0)
                return -1;
        if (json_unpack_ex(step->args, &why, 0, "{s:s, s:s, s:I, s:b, s:s, s?b, s?s, s?s, s?s}", "path",
                           &path, "format", &format, "size", &size, "keep", &keep, "fd", &fd, "direct",
                           &direct, "fs", &fs, "backing", &backing, "backing-format", &backing_format) < 0)
                return error_set(err, ERROR_FAILED, "%s", why.text);
        if (size <= 0)
                return error_set(err, ERROR_FAILED, "size is no number of bytes");
        if (*path != '/' || !fragment_is_line(path, VALUE_MAX) || *backing != '/' ||
            !fragment_is_line(backing, VALUE_MAX))
                return error_set(err, ERROR_FAILED, "path or backing is no absolute one of one line");
        if (!fragment_is_id(format, "", NAME_MAX_) || !fragment_is_id(backing_format, "", NAME_MAX_) ||
            !fragment_is_id(fs, "", NAME_MAX_))
                return error_set(err, ERROR_FAILED, "format, backing-format or fs is no name");
        if (!text_starts_with(fd, "image:") ||
            !fragment_is_id(fd + strlen("image:"), "-._", NAME_MAX_ - strlen("image:")) ||
            json_object_get(reading->fd_uses, fd))
                return error_set(err, ERROR_FAILED, "fd is no name of an image, or is there twice");
        return add_opened(reading, fd, err);
}

/* The member by which a step of the run is known that a fragment may take back; NULL: none of that effect. */
static const char *known_by(enum plan_effect effect)
{
        switch (effect) {
        case EFFECT_NET:
                return "ifname";
        case EFFECT_IMAGE_OPEN:
        case EFFECT_IMAGE_CREATE:
                return "fd";
        case EFFECT_DEVICE_GRANT:
                return "path";
        case EFFECT_MEMORY_LOCK:
                return "bytes";
        case EFFECT_HELPER:
                return "id";
        default:
                return NULL;
        }
}

static int read_take_back(struct reading *reading, struct fragment_step *step, struct error **err)
{
        static const char *const members[] = { "effect", "member", "value", "path", NULL };
        const char *effect, *member, *value, *path = NULL;
        enum plan_effect of;
        json_error_t why;

        if (!reading->fragment->forward)
                return error_set(err, ERROR_FAILED, "only a fragment with forward takes steps back");
        if (fragment_check_members(step->args, members, err) < 0)
                return -1;
        if (json_unpack_ex(step->args, &why, 0, "{s:s, s:s, s:s, s?s}", "effect", &effect, "member", &member,
                           "value", &value, "path", &path) < 0)
                return error_set(err, ERROR_FAILED, "%s", why.text);
        if (!plan_effect_from_name(effect, &of) || !known_by(of))
                return error_set(err, ERROR_FAILED, "no fragment takes back this effect");
        if (strcmp(member, known_by(of)) != 0 || !fragment_is_line(value, NAME_MAX_))
                return error_set(err, ERROR_FAILED, "member and value name no step");
        return 0;
}

/* Limits as properties of the VM's unit. Others are not a VM's to have. */
static int read_unit_set(struct reading *reading, struct fragment_step *step, struct error **err)
{
        static const char *const members[] = { "unit", "group", "properties", "user", NULL };
        static const char *const names[] = { "CPUWeight", "CPUQuotaPeriodUSec", "CPUQuotaPerSecUSec",
                                             "IOWeight",  "TasksMax",           "MemoryHigh",
                                             "MemoryMax", "MemorySwapMax" };
        json_t *properties = json_object_get(step->args, "properties"), *property;
        const char *unit = json_member_string(step->args, "unit");
        const char *group = json_member_string(step->args, "group");
        size_t i;

        if (fragment_check_members(step->args, members, err) < 0)
                return -1;
        if (!reading->vm->unit || !unit || strcmp(unit, reading->vm->unit) != 0 || !group ||
            !reading->vm->cgroup || strcmp(group, reading->vm->cgroup) != 0)
                return error_set(err, ERROR_FAILED, "unit and group are not the VM's own");
        if (!json_is_array(properties) || json_array_size(properties) > ARRAY_SIZE(names))
                return error_set(err, ERROR_FAILED, "properties is not an array of at most %zu",
                                 ARRAY_SIZE(names));
        json_array_foreach (properties, i, property) {
                const char *name = json_member_string(property, "name");
                const char *type = json_member_string(property, "type");
                const char *value = json_member_string(property, "value");
                uint64_t number;
                size_t n = 0;

                while (n < ARRAY_SIZE(names) && (!name || strcmp(names[n], name) != 0))
                        n++;
                if (n == ARRAY_SIZE(names) || !type || strcmp(type, "t") != 0 || !value ||
                    !text_parse_u64(value, &number))
                        return error_set(err, ERROR_FAILED, "property %zu is none of a limit", i + 1);
        }
        return 0;
}

/* Effects on the host: with the role each needs. */
static const struct host_effect {
        enum plan_effect effect;
        enum control_role role;
        int (*read)(struct reading *reading, struct fragment_step *step, struct error **err);
} host_effects[] = {
        { EFFECT_NET, ROLE_ADMIN, read_net },
        { EFFECT_DEVICE_OPEN, ROLE_ADMIN, read_device_open },
        { EFFECT_DEVICE_GRANT, ROLE_ADMIN, read_device_grant },
        { EFFECT_MEMORY_LOCK, ROLE_ADMIN, read_memory_lock },
        { EFFECT_AFFINITY, ROLE_ADMIN, read_affinity },
        { EFFECT_SOCKET_PAIR, ROLE_ADMIN, read_socket_pair },
        { EFFECT_STDERR, ROLE_ADMIN, read_stderr },
        { EFFECT_HELPER, ROLE_ADMIN, read_helper },
        { EFFECT_CGROUP_WRITE, ROLE_ADMIN, read_cgroup_write },
        { EFFECT_UNIT_SET, ROLE_ADMIN, read_unit_set },
        { EFFECT_IMAGE_OPEN, ROLE_ADMIN, read_image_open },
        { EFFECT_IMAGE_CREATE, ROLE_ADMIN, read_image_create },
        { EFFECT_SCRIPT, ROLE_ADMIN, read_script },
        { EFFECT_TAKE_BACK, ROLE_ADMIN, read_take_back },
};

int fragment_read_host(struct reading *reading, const json_t *json, struct fragment_step *step,
                       struct error **err)
{
        static const char *const members[] = { "effect", "args", "because", NULL };
        const char *name = plan_effect_name(step->effect);
        size_t i = 0;

        while (i < ARRAY_SIZE(host_effects) && host_effects[i].effect != step->effect)
                i++;
        if (i == ARRAY_SIZE(host_effects))
                return error_set(err, ERROR_NOT_PERMITTED, "no fragment may have the effect %s", name);
        if (reading->fragment->forward && step->effect != EFFECT_TAKE_BACK)
                return error_set(err, ERROR_FAILED, "a fragment with forward only takes away");
        if (fragment_check_members(json, members, err) < 0 ||
            fragment_need_role(reading, host_effects[i].role, name, err) < 0)
                return -1;
        return host_effects[i].read(reading, step, err);
}
