/* Secrets for QEMU: memory files that nobody but its uid can open. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "launcher/run/effects.h"

/* QEMU's own limit for key material is smaller; a password is far below. */
#define SECRET_MAX 65536
#define RANDOM_MAX 64

static int make_file(const char *value, size_t length, uid_t uid, int *ret_fd, struct error **err)
{
        _cleanup_close_ int fd = memfd_create("vmlaunch-secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0)
                return error_os(err, errno, "make a memory file for a secret");
        if (fd_write_all(fd, "a secret", value, length, err) < 0)
                return -1;
        if (fchmod(fd, 0400) < 0 || (uid != geteuid() && fchown(fd, uid, (gid_t)-1) < 0) ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
                return error_os(err, errno, "seal a secret");
        *ret_fd = TAKE_FD(fd);
        return 0;
}

size_t secret_without_line_end(const char *text, size_t length)
{
        size_t n = length;

        if (n && text[n - 1] == '\n')
                n--;
        if (n && n < length && text[n - 1] == '\r')
                n--;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)text[i] < ' ')
                        return length;
        return n;
}

static int unpack_uid(const json_t *args, const char **ret_name, const char **ret_path, uid_t *ret_uid,
                      struct error **err)
{
        json_int_t uid;
        json_error_t why;

        *ret_path = NULL;
        if (json_unpack_ex((json_t *)args, &why, 0, "{s:s, s:I, s?s}", "fd", ret_name, "uid", &uid, "path",
                           ret_path) < 0)
                return error_set(err, ERROR_FAILED, "step secret: %s", why.text);
        *ret_uid = (uid_t)uid;
        return 0;
}

int secret_open_fd(const json_t *args, int *ret_fd, struct error **err)
{
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *text = NULL;
        const char *name, *path;
        size_t length;
        uid_t uid;
        int result;

        if (unpack_uid(args, &name, &path, &uid, err) < 0)
                return -1;
        fd = effect_open_path(path, O_RDONLY, err);
        if (fd < 0)
                return -1;
        if (fd_read_all(fd, path, SECRET_MAX, &text, &length, err) < 0)
                return -1;
        length = secret_without_line_end(text, length);
        if (!length)
                return error_set(err, ERROR_FAILED, "the secret in '%s' is empty", path);
        result = make_file(text, length, uid, ret_fd, err);
        explicit_bzero(text, length);
        return result;
}

/* Of 64 characters, so that no value is more likely than another: for people to type, so without I and l. */
static void make_password(char *ret, size_t length)
{
        static const char alphabet[] = "0123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNOPQRSTUVWXYZ-_.+";
        unsigned char bytes[256];

        static_assert(sizeof(alphabet) == 65, "6 bits each");
        /* Up to 256 bytes never come short (getrandom(2)). */
        if (getrandom(bytes, length, 0) != (ssize_t)length)
                abort();
        for (size_t i = 0; i < length; i++)
                ret[i] = alphabet[bytes[i] & 63];
        explicit_bzero(bytes, sizeof(bytes));
}

static int make_random(struct effect_run *run, size_t length, const char *keep, uid_t uid, int *ret_fd,
                       struct error **err)
{
        const char *below = effect_path_in_run(run->vm->path, keep);
        char password[RANDOM_MAX + 1];
        int result;

        if (!below || length < 1 || length > RANDOM_MAX)
                return error_set(err, ERROR_FAILED, "step secret: random or keep is out of bounds");
        make_password(password, length);
        result = make_file(password, length, uid, ret_fd, err);
        password[length] = '\n';
        if (result == 0 && fd_write_file_at(run->vm->fd, below, password, length + 1, 0600, 0, err) < 0) {
                fd_close(ret_fd);
                result = -1;
        }
        explicit_bzero(password, sizeof(password));
        return result;
}

static const struct plan_secret *find_secret(const struct launch_plan *plan, const char *name)
{
        for (size_t i = 0; i < plan->n_secrets; i++)
                if (strcmp(plan->secrets[i].source, name) == 0)
                        return &plan->secrets[i];
        return NULL;
}

int secret_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        const json_t *random = json_object_get(args, "random");
        const char *keep = json_member_string(args, "keep");
        const struct plan_secret *secret;
        _cleanup_free_ char *no_lock = NULL;
        const char *name, *path;
        uid_t uid;
        int fd = -1, opened;

        if (unpack_uid(args, &name, &path, &uid, err) < 0)
                return -1;
        opened = effect_opened(run, &no_lock, err);
        if (opened < 0)
                return -1;
        if (opened) {
                effect_keep_waiting(run, name);
                return 0;
        }
        if (random) {
                if (make_random(run, (size_t)json_integer_value(random), keep ? keep : "", uid, &fd, err) < 0)
                        return -1;
                effect_keep_fd(run, name, fd);
                return 0;
        }
        secret = find_secret(run->plan, name);
        if (!path && !(secret && secret->value)) {
                error_set(err, ERROR_FAILED,
                          "the secret is not in this template, which is one that a run wrote");
                return error_hint(err, "start the VM from the template that it was made from");
        }
        if ((path ? secret_open_fd(args, &fd, err)
                  : make_file(secret->value, strlen(secret->value), uid, &fd, err)) < 0)
                return -1;
        effect_keep_fd(run, name, fd);
        return 0;
}
