#include "launcher/run/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
/* "0.1.0" and its like. */
#define VERSION_MAX 64

void handover_init(struct handover *handover)
{
        *handover = (struct handover){ .document = json_pack("{s:i, s:s}", "format", HANDOVER_FORMAT,
                                                             "version", VMLAUNCH_VERSION) };
}

static void note_fd(struct handover *handover, int fd, bool taken)
{
        ARRAY_GROW(handover->fds, handover->n_fds);
        handover->fds[handover->n_fds++] = (struct handed_fd){ .fd = fd, .taken = taken };
}

json_t *handover_give_fd(struct handover *handover, int fd)
{
        note_fd(handover, fd, true);
        return json_integer(fd);
}

json_t *handover_bytes(const void *bytes, size_t n)
{
        _cleanup_free_ char *hex = text_to_hex(bytes, n);

        return json_string(hex);
}

int handover_write(struct handover *handover, int *ret_fd, struct error **err)
{
        _cleanup_close_ int fd = memfd_create("vmlaunch-handover", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        _cleanup_free_ char *text = NULL;
        json_t *fds = json_array();
        size_t n;

        for (size_t i = 0; i < handover->n_fds; i++)
                json_array_append_new(fds, json_integer(handover->fds[i].fd));
        json_object_set_new(handover->document, "fds", fds);
        text = json_dumps(handover->document, JSON_COMPACT);
        if (!text)
                return error_set(err, ERROR_FAILED, "the state cannot be written as JSON");
        n = strlen(text);
        if (n > HANDOVER_MAX)
                return error_set(err, ERROR_BUSY, "the state has %zu bytes, more than %u", n, HANDOVER_MAX);
        if (fd < 0)
                return error_os(err, errno, "make a memory file");
        if (fd_write_all(fd, "the memory file", text, n, err) < 0)
                return -1;
        if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
                return error_os(err, errno, "seal the memory file");
        note_fd(handover, fd, true);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

void handover_keep_fds(const struct handover *handover, bool keep)
{
        for (size_t i = 0; i < handover->n_fds; i++)
                fcntl(handover->fds[i].fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

static int take_document(const char *text, size_t n, struct handover *handover, struct error **err)
{
        json_int_t format = 0;
        json_error_t why;
        const json_t *fds, *each;
        size_t i;

        handover->document = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
        if (!json_is_object(handover->document))
                return error_set(err, ERROR_FAILED, "the state is no JSON object");
        if (handover_integer(handover->document, "format", HANDOVER_OLDEST, HANDOVER_FORMAT, &format, err) <
            0)
                return -1;
        fds = json_object_get(handover->document, "fds");
        if (!json_is_array(fds))
                return error_set(err, ERROR_FAILED, "the state has no list of fds");
        json_array_foreach ((json_t *)fds, i, each) {
                json_int_t fd = json_integer_value(each);

                if (!json_is_integer(each) || fd <= STDERR_FILENO || fd > INT32_MAX ||
                    fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
                        return error_set(err, ERROR_FAILED, "the state names an fd that is none");
                for (size_t j = 0; j < handover->n_fds; j++)
                        if (handover->fds[j].fd == (int)fd)
                                return error_set(err, ERROR_FAILED, "the state names fd %d twice", (int)fd);
                note_fd(handover, (int)fd, false);
        }
        return 0;
}

int handover_parse(const char *text, size_t n, struct handover *ret, struct error **err)
{
        _cleanup_handover_ struct handover handover = { 0 };

        if (take_document(text, n, &handover, err) < 0)
                return -1;
        *ret = handover;
        handover = (struct handover){ 0 };
        return 0;
}

int handover_read(int fd, struct handover *ret, struct error **err)
{
        _cleanup_free_ char *text = NULL;
        struct stat st;
        int seals;
        size_t n;

        /* Kernels before 5.11 have no such flag: the fds that the document names are still seen to. */
        syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0)
                return error_set(err, ERROR_FAILED, "the state is not in a sealed memory file");
        if (st.st_size > HANDOVER_MAX)
                return error_set(err, ERROR_FAILED, "the state is larger than %u bytes", HANDOVER_MAX);
        if (lseek(fd, 0, SEEK_SET) < 0)
                return error_os(err, errno, "rewind the state");
        if (fd_read_all(fd, "the state", HANDOVER_MAX, &text, &n, err) < 0)
                return -1;
        return handover_parse(text, n, ret, err);
}

int handover_take_fd(struct handover *handover, const json_t *object, const char *member, int *ret_fd,
                     struct error **err)
{
        const json_t *value = json_object_get(object, member);

        for (size_t i = 0; i < handover->n_fds; i++) {
                struct handed_fd *handed = &handover->fds[i];

                if (!json_is_integer(value) || json_integer_value(value) != handed->fd || handed->taken)
                        continue;
                handed->taken = true;
                *ret_fd = handed->fd;
                return 0;
        }
        return error_set(err, ERROR_FAILED, "%s is no fd that was handed over", member);
}

int handover_take_fd_if(struct handover *handover, const json_t *object, const char *member, int *ret_fd,
                        struct error **err)
{
        if (!json_is_null(json_object_get(object, member)))
                return handover_take_fd(handover, object, member, ret_fd, err);
        *ret_fd = -1;
        return 0;
}

int handover_take_bytes(const json_t *object, const char *member, size_t max, char **ret, size_t *ret_n,
                        struct error **err)
{
        const json_t *value = json_object_get(object, member);
        const char *hex = json_string_value(value);

        if (!hex || json_string_length(value) / 2 > max || !text_from_hex(hex, ret, ret_n))
                return error_set(err, ERROR_FAILED, "%s is not at most %zu bytes", member, max);
        return 0;
}

int handover_integer(const json_t *object, const char *member, json_int_t min, json_int_t max,
                     json_int_t *ret, struct error **err)
{
        const json_t *value = json_object_get(object, member);
        json_int_t n = json_integer_value(value);

        if (!json_is_integer(value) || n < min || n > max)
                return error_set(err, ERROR_FAILED, "%s is not a number from %lld to %lld", member,
                                 (long long)min, (long long)max);
        *ret = n;
        return 0;
}

int handover_bool(const json_t *object, const char *member, bool *ret, struct error **err)
{
        const json_t *value = json_object_get(object, member);

        if (!json_is_boolean(value))
                return error_set(err, ERROR_FAILED, "%s is neither true nor false", member);
        *ret = json_is_true(value);
        return 0;
}

int handover_string(const json_t *object, const char *member, const char **ret, struct error **err)
{
        const char *value = json_member_string(object, member);

        if (!value)
                return error_set(err, ERROR_FAILED, "%s is no string", member);
        *ret = value;
        return 0;
}

void handover_done(struct handover *handover)
{
        for (size_t i = 0; i < handover->n_fds; i++)
                if (!handover->fds[i].taken)
                        close(handover->fds[i].fd);
        free(handover->fds);
        json_decref(handover->document);
        *handover = (struct handover){ 0 };
}

char *handover_word(void)
{
        json_auto_t *word = json_pack("{s:s, s:{s:i, s:i}}", "vmlaunch", VMLAUNCH_VERSION, "handover",
                                      "oldest", HANDOVER_OLDEST, "newest", HANDOVER_FORMAT);
        _cleanup_free_ char *line = json_dumps(word, JSON_COMPACT);

        return xasprintf("%s\n", line);
}

int handover_hear_word(const char *word, char **ret_version, struct error **err)
{
        json_auto_t *json = json_loads(word, 0, NULL);
        const char *version = NULL;
        json_int_t oldest, newest;

        if (json_unpack(json, "{s:s, s:{s:I, s:I}}", "vmlaunch", &version, "handover", "oldest", &oldest,
                        "newest", &newest) < 0 ||
            strlen(version) > VERSION_MAX)
                return error_set(err, ERROR_FAILED, "it does not say that it can take over a supervisor");
        if (oldest > HANDOVER_FORMAT || newest < HANDOVER_FORMAT) {
                _cleanup_free_ char *shown = text_printable(version);

                return error_set(err, ERROR_FAILED,
                                 "version %s takes over formats %lld to %lld, and this supervisor's is %d",
                                 shown, (long long)oldest, (long long)newest, HANDOVER_FORMAT);
        }
        *ret_version = text_printable(version);
        return 0;
}
