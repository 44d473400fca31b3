#include "launcher/state/machine_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/template.h"
#include "launcher/state/crash_point.h"

#define LOCK_MAX_BYTES     (1u << 20)
#define LOCK_MAX_ADDRESSES 4096
/* All of the file has to be small enough to be read again, by a start's step, too (effect_files.c). */
#define LOCK_MAX_IMAGE_BYTES (64u << 10)
/* QEMU's own ids and machine types are shorter by far. */
#define WORD_MAX 128

void machine_lock_free(struct machine_lock *lock)
{
        if (!lock)
                return;
        free(lock->uuid);
        free(lock->machine);
        free(lock->family);
        for (size_t i = 0; i < lock->n_addresses; i++) {
                free(lock->addresses[i].device);
                free(lock->addresses[i].address);
        }
        free(lock->addresses);
        for (size_t i = 0; i < lock->n_images; i++) {
                free(lock->images[i].path);
                free(lock->images[i].backing);
        }
        free(lock->images);
        free(lock);
}

/* What goes into QEMU's options: machine types, ids, "rp3:0x0". */
static bool is_word(const char *s)
{
        size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-");

        return n > 0 && n <= WORD_MAX && s[n] == '\0';
}

static int set_word(char **field, const struct template_attribute *at, struct error **err)
{
        if (*field)
                return error_at(err, &at->name_pos, "%s is given twice", at->name);
        if (!is_word(at->value)) {
                _cleanup_free_ char *printable = text_printable(at->value);

                return error_at(err, &at->value_pos, "%s: '%s' is not a name of QEMU's", at->name, printable);
        }
        *field = xstrdup(at->value);
        return 0;
}

static int set_number(uint32_t *field, bool *seen, const struct template_attribute *at, struct error **err)
{
        if (*seen)
                return error_at(err, &at->name_pos, "%s is given twice", at->name);
        if (!text_parse_u32(at->value, field) || *field == UINT32_MAX)
                return error_at(err, &at->value_pos, "%s is not a number", at->name);
        *seen = true;
        return 0;
}

static int add_address(struct machine_lock *lock, const struct template_attribute *at, struct error **err)
{
        const char *device = NULL, *address = NULL;

        for (size_t i = 0; i < at->n_pairs; i++) {
                const struct template_value *pair = &at->pairs[i];
                const char **field = strcmp(pair->name, "DEVICE") == 0    ? &device
                                     : strcmp(pair->name, "ADDRESS") == 0 ? &address
                                                                          : NULL;

                if (!field || *field || !is_word(pair->value))
                        return error_at(err, &pair->name_pos, "ADDRESS: %s is not understood", pair->name);
                *field = pair->value;
        }
        if (!device || !address)
                return error_at(err, &at->name_pos, "ADDRESS needs DEVICE and ADDRESS");
        if (lock->n_addresses == LOCK_MAX_ADDRESSES)
                return error_at(err, &at->name_pos, "more than %u addresses", LOCK_MAX_ADDRESSES);
        for (size_t i = 0; i < lock->n_addresses; i++)
                if (strcmp(lock->addresses[i].device, device) == 0)
                        return error_at(err, &at->name_pos, "ADDRESS of '%s' is given twice", device);
        ARRAY_GROW(lock->addresses, lock->n_addresses);
        lock->addresses[lock->n_addresses++] =
                (struct locked_address){ .device = xstrdup(device), .address = xstrdup(address) };
        return 0;
}

static int add_image(struct machine_lock *lock, const struct template_attribute *at, struct error **err)
{
        const char *path = NULL, *backing = NULL;

        for (size_t i = 0; i < at->n_pairs; i++) {
                const struct template_value *pair = &at->pairs[i];
                const char **field = strcmp(pair->name, "PATH") == 0      ? &path
                                     : strcmp(pair->name, "BACKING") == 0 ? &backing
                                                                          : NULL;

                if (!field || *field)
                        return error_at(err, &pair->name_pos, "IMAGE: %s is not understood", pair->name);
                *field = pair->value;
        }
        if (!path || !backing)
                return error_at(err, &at->name_pos, "IMAGE needs PATH and BACKING");
        if (lock->n_images == MACHINE_LOCK_IMAGES || machine_lock_backing(lock, path))
                return error_at(err, &at->name_pos, "IMAGE of '%s' is one too many", path);
        machine_lock_add_image(lock, path, backing);
        return 0;
}

static int complete(const struct machine_lock *lock, const char *file, bool has_layout, bool has_uid,
                    struct error **err)
{
        const struct source_pos pos = { .file = file };
        const char *missing = !has_layout      ? "LAYOUT"
                              : !lock->uuid    ? "UUID"
                              : !lock->machine ? "MACHINE"
                              : !lock->family  ? "FAMILY"
                              : !has_uid       ? "UID"
                                               : NULL;

        if (missing)
                return error_at(err, &pos, "%s is missing", missing);
        return 0;
}

int machine_lock_parse(const char *file, const char *text, struct machine_lock **ret, struct error **err)
{
        _cleanup_(machine_lock_freep) struct machine_lock *lock = xcalloc(1, sizeof(*lock));
        _cleanup_(template_freep) struct template *template = NULL;
        bool has_layout = false, has_uid = false, has_port = false;
        uint32_t layout = 0, uid = 0, port = 0;
        uint8_t uuid[16];

        if (template_parse(file, text, strlen(text), &template, err) < 0)
                return -1;
        for (size_t i = 0; i < template->n_attributes; i++) {
                const struct template_attribute *at = &template->attributes[i];
                int result;

                if (at->is_vector)
                        result = strcmp(at->name, "ADDRESS") == 0 ? add_address(lock, at, err)
                                 : strcmp(at->name, "IMAGE") == 0
                                         ? add_image(lock, at, err)
                                         : error_at(err, &at->name_pos, "%s is not understood", at->name);
                else if (strcmp(at->name, "LAYOUT") == 0)
                        result = set_number(&layout, &has_layout, at, err);
                else if (strcmp(at->name, "UID") == 0)
                        result = set_number(&uid, &has_uid, at, err);
                else if (strcmp(at->name, "PORT") == 0)
                        result = set_number(&port, &has_port, at, err);
                else if (strcmp(at->name, "UUID") == 0)
                        result = set_word(&lock->uuid, at, err);
                else if (strcmp(at->name, "MACHINE") == 0)
                        result = set_word(&lock->machine, at, err);
                else if (strcmp(at->name, "FAMILY") == 0)
                        result = set_word(&lock->family, at, err);
                else
                        result = error_at(err, &at->name_pos, "%s is not understood", at->name);
                /* First of all, as everything else may mean something different there. */
                if (has_layout && (layout < 1 || layout > MACHINE_LOCK_LAYOUT)) {
                        error_free(TAKE_PTR(*err));
                        error_at(err, &at->value_pos, "LAYOUT %u is not known here", (unsigned)layout);
                        return error_hint(err, "it was written by another version of vmlaunch: use that one");
                }
                if (result < 0)
                        return -1;
        }
        if (complete(lock, file, has_layout, has_uid, err) < 0)
                return -1;
        if (!text_parse_uuid(lock->uuid, uuid)) {
                const struct source_pos pos = { .file = file };

                return error_at(err, &pos, "UUID: '%s' is not a UUID", lock->uuid);
        }
        lock->layout = layout;
        lock->uid = (uid_t)uid;
        lock->port = port <= UINT16_MAX ? port : 0;
        *ret = TAKE_PTR(lock);
        return 0;
}

static void add_line(struct text *out, const char *name, const char *value)
{
        template_write_value(out, name, value);
        text_add(out, "\n");
}

char *machine_lock_text(const struct machine_lock *lock)
{
        _cleanup_free_ char *layout = xasprintf("%u", lock->layout),
                            *uid = xasprintf("%u", (unsigned)lock->uid), *port = xasprintf("%u", lock->port);
        _cleanup_text_ struct text out = TEXT_INIT;

        text_add(&out,
                 "# Written by vmlaunch: what the guest has seen and must see again. Remove this file to\n"
                 "# have it laid out anew at the next start.\n");
        add_line(&out, "LAYOUT", layout);
        add_line(&out, "UUID", lock->uuid);
        add_line(&out, "MACHINE", lock->machine);
        add_line(&out, "FAMILY", lock->family);
        add_line(&out, "UID", uid);
        if (lock->port)
                add_line(&out, "PORT", port);
        for (size_t i = 0; i < lock->n_addresses; i++)
                text_addf(&out, "ADDRESS = [ DEVICE = \"%s\", ADDRESS = \"%s\" ]\n",
                          lock->addresses[i].device, lock->addresses[i].address);
        for (size_t i = 0; i < lock->n_images; i++) {
                text_add(&out, "IMAGE = [ ");
                template_write_value(&out, "PATH", lock->images[i].path);
                text_add(&out, ",\n  ");
                template_write_value(&out, "BACKING", lock->images[i].backing);
                text_add(&out, " ]\n");
        }
        return text_take(&out);
}

const char *machine_lock_backing(const struct machine_lock *lock, const char *path)
{
        for (size_t i = 0; i < lock->n_images; i++)
                if (strcmp(lock->images[i].path, path) == 0)
                        return lock->images[i].backing;
        return NULL;
}

void machine_lock_add_image(struct machine_lock *lock, const char *path, const char *backing)
{
        size_t bytes = lock->image_bytes + strlen(path) + strlen(backing);

        if (lock->n_images == MACHINE_LOCK_IMAGES || bytes > LOCK_MAX_IMAGE_BYTES ||
            !template_value_is_writable(path) || !template_value_is_writable(backing))
                return;
        ARRAY_GROW(lock->images, lock->n_images);
        lock->images[lock->n_images++] = (struct locked_image){ xstrdup(path), xstrdup(backing) };
        lock->image_bytes = bytes;
}

void machine_lock_set(struct machine_lock *lock, const char *device, const char *address)
{
        size_t i = 0;

        while (i < lock->n_addresses && strcmp(lock->addresses[i].device, device) != 0)
                i++;
        if (i == lock->n_addresses) {
                ARRAY_GROW(lock->addresses, lock->n_addresses);
                lock->addresses[lock->n_addresses++] = (struct locked_address){ .device = xstrdup(device) };
        }
        free(lock->addresses[i].address);
        lock->addresses[i].address = xstrdup(address);
}

static char *path_of(const char *state_dir, const char *vm)
{
        return xasprintf("%s/%s/machine.lock", state_dir, vm);
}

int machine_lock_write(const char *state_dir, const char *vm, const struct machine_lock *lock,
                       struct error **err)
{
        _cleanup_free_ char *path = path_of(state_dir, vm), *text = machine_lock_text(lock);

        crash_point(CRASH_RECORD_WRITE);
        return fd_write_file_at(AT_FDCWD, path, text, strlen(text), 0644, FD_WRITE_SYNC, err);
}

/* 1: *ret_text, 0: there is no file, -1: *err. */
static int read_text(const char *path, char **ret_text, struct error **err)
{
        _cleanup_free_ char *text = NULL;
        size_t length;

        if (fd_read_file_at(AT_FDCWD, path, LOCK_MAX_BYTES, &text, &length, err) < 0) {
                if ((*err)->code != ERROR_OS || (*err)->os_errno != ENOENT)
                        return -1;
                error_free(TAKE_PTR(*err));
                return 0;
        }
        if (strlen(text) != length) {
                const struct source_pos pos = { .file = path };

                return error_at(err, &pos, "there is a NUL byte in it");
        }
        *ret_text = TAKE_PTR(text);
        return 1;
}

/* Of a line as we write it, start being "\nUID = \"". */
static bool find_number(const char *text, const char *start, uint32_t *ret)
{
        const char *at = strstr(text, start);
        char digits[11] = "";
        size_t n;

        if (!at)
                return false;
        at += strlen(start);
        n = strspn(at, "0123456789");
        if (!n || n >= sizeof(digits) || at[n] != '"')
                return false;
        memcpy(digits, at, n);
        return text_parse_u32(digits, ret) && *ret != UINT32_MAX;
}

int machine_lock_read_claims(const char *state_dir, const char *vm, uid_t *ret_uid, unsigned *ret_port,
                             struct error **err)
{
        _cleanup_(machine_lock_freep) struct machine_lock *lock = NULL;
        _cleanup_free_ char *path = path_of(state_dir, vm), *text = NULL;
        int there = read_text(path, &text, err);
        uint32_t uid, port = 0;

        if (there <= 0)
                return there;
        /* One that somebody has edited is read in earnest. */
        if (!find_number(text, "\nUID = \"", &uid) ||
            (strstr(text, "PORT") && !find_number(text, "\nPORT = \"", &port))) {
                if (machine_lock_parse(path, text, &lock, err) < 0)
                        return -1;
                uid = lock->uid;
                port = lock->port;
        }
        *ret_uid = uid;
        *ret_port = port <= UINT16_MAX ? port : 0;
        return 1;
}

/* Who: see there. Makes the link of them if asked to. */
static bool holds(const struct paths *paths, const char *vm, const char *what, unsigned number, bool make)
{
        _cleanup_free_ char *directory = xasprintf("%s/.%s", paths->state, what),
                            *path = xasprintf("%s/%u", directory, number),
                            *name = fd_read_link(AT_FDCWD, path);

        if (name && strcmp(name, vm) == 0)
                return true;
        if (make) {
                crash_point(CRASH_CLAIM_LINK);
                mkdir(directory, 0755);
                unlink(path);
                (void)!symlink(vm, path);
        }
        return false;
}

bool machine_lock_holds(const struct paths *paths, const char *vm, const char *what, unsigned number)
{
        return holds(paths, vm, what, number, false);
}

void machine_lock_hold(const struct paths *paths, const char *vm)
{
        _cleanup_error_ struct error *ignored = NULL;
        unsigned port;
        uid_t uid;

        if (machine_lock_read_claims(paths->state, vm, &uid, &port, &ignored) <= 0)
                return;
        /* An ordinary user's VMs all have the user's. */
        if (!paths->user)
                holds(paths, vm, "uids", uid, true);
        if (port)
                holds(paths, vm, "ports", port, true);
}

int machine_lock_read(const char *state_dir, const char *vm, struct machine_lock **ret, struct error **err)
{
        _cleanup_free_ char *path = path_of(state_dir, vm), *text = NULL;
        int there = read_text(path, &text, err);

        if (there < 0)
                return -1;
        if (there)
                return machine_lock_parse(path, text, ret, err);
        *ret = NULL;
        return 0;
}
