#include "launcher/state/clock_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/template.h"
#include "launcher/state/crash_point.h"

#define FILE_MAX_BYTES 4096u

void clock_state_free(struct clock_state *state)
{
        if (!state)
                return;
        free(state->uuid);
        free(state);
}

char *clock_state_path(const char *state_dir, const char *vm)
{
        return xasprintf("%s/%s/clock", state_dir, vm);
}

/* "-3600" */
static bool read_seconds(const char *text, int64_t *ret)
{
        bool negative = *text == '-';
        uint64_t number;

        if (!text_parse_u64(text + negative, &number) || number > (uint64_t)CLOCK_CHANGE_MAX)
                return false;
        *ret = negative ? -(int64_t)number : (int64_t)number;
        return true;
}

static const char *value_of(const struct template *template, const char *name)
{
        size_t start = 0;
        const struct template_attribute *single = template_next(template, name, false, &start);

        return single ? single->value : "";
}

static int parse(const char *path, const char *text, size_t length, struct clock_state **ret,
                 struct error **err)
{
        _cleanup_(clock_state_freep) struct clock_state *state = xcalloc(1, sizeof(*state));
        _cleanup_(template_freep) struct template *template = NULL;
        const struct source_pos pos = { .file = path };
        uint8_t uuid[16];

        if (template_parse(path, text, length, &template, err) < 0)
                return -1;
        state->uuid = xstrdup(value_of(template, "UUID"));
        if (!text_parse_uuid(state->uuid, uuid))
                return error_at(err, &pos, "UUID: is not a UUID");
        if (!read_seconds(value_of(template, "ADJUSTMENT"), &state->adjustment) ||
            !read_seconds(value_of(template, "CHANGE"), &state->change))
                return error_at(err, &pos, "ADJUSTMENT and CHANGE have to be seconds");
        *ret = TAKE_PTR(state);
        return 0;
}

int clock_state_read(const char *state_dir, const char *vm, struct clock_state **ret, struct error **err)
{
        _cleanup_free_ char *path = clock_state_path(state_dir, vm), *text = NULL;
        size_t length;

        *ret = NULL;
        if (fd_read_file_at(AT_FDCWD, path, FILE_MAX_BYTES, &text, &length, err) < 0) {
                if ((*err)->code != ERROR_OS || (*err)->os_errno != ENOENT)
                        return -1;
                error_free(TAKE_PTR(*err));
                return 0;
        }
        if (parse(path, text, length, ret, err) == 0)
                return 0;
        return error_hint(err, "remove the file: the guest's clock is then what CLOCK says");
}

int clock_state_write(const char *path, const struct clock_state *state, struct error **err)
{
        _cleanup_free_ char *directory = xstrndup(path, (size_t)(strrchr(path, '/') - path)), *text = NULL;

        text = xasprintf(
                "# Written by vmlaunch: how far the guest has set its clock ahead of CLOCK/ADJUSTMENT.\n"
                "UUID = \"%s\"\nADJUSTMENT = \"%" PRId64 "\"\nCHANGE = \"%" PRId64 "\"\n",
                state->uuid, state->adjustment, state->change);
        crash_point(CRASH_CLOCK_KEPT);
        if (fd_mkdir_p(AT_FDCWD, directory, 0755, err) < 0)
                return -1;
        return fd_write_file_at(AT_FDCWD, path, text, strlen(text), 0644, 0, err);
}
