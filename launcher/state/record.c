#include <errno.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/json_text.h"
#include "launcher/state/crash_point.h"
#include "launcher/state/state_dir.h"

#define RECORD_MAX (4u << 20)

int record_write(int vm_dirfd, const json_t *record, struct error **err)
{
        _cleanup_text_ struct text json = TEXT_INIT;

        if (!json_is_object(record))
                return error_set(err, ERROR_FAILED, "the record is no JSON");
        json_text_add(&json, record);
        crash_point(CRASH_RECORD_WRITE);
        if (fd_write_file_at(vm_dirfd, "record.json", json.data, json.length, 0644, 0, err) < 0)
                return -1;
        crash_point(CRASH_RECORD_WRITTEN);
        return 0;
}

int record_read_text(int vm_dirfd, char **ret, size_t *ret_length, struct error **err)
{
        if (fd_read_file_at(vm_dirfd, "record.json", RECORD_MAX, ret, ret_length, err) == 0)
                return 0;
        if ((*err)->code != ERROR_OS || (*err)->os_errno != ENOENT)
                return -1;
        error_free(TAKE_PTR(*err));
        return error_set(err, ERROR_NO_SUCH_VM, "there is no record.json");
}

int record_read(int vm_dirfd, json_t **ret, struct error **err)
{
        _cleanup_free_ char *text = NULL;
        json_auto_t *record = NULL;
        json_error_t why;
        size_t length;
        json_int_t schema = 0;

        if (record_read_text(vm_dirfd, &text, &length, err) < 0)
                return -1;
        record = json_loadb(text, length, JSON_REJECT_DUPLICATES, &why);
        if (!record)
                return error_set(err, ERROR_FAILED, "record.json: %s", why.text);
        if (json_unpack_ex(record, &why, 0, "{s:I}", "schema", &schema) < 0)
                return error_set(err, ERROR_FAILED, "record.json: %s", why.text);
        if (schema != 1)
                return error_set(err, ERROR_FAILED, "record.json has schema %" JSON_INTEGER_FORMAT ", not 1",
                                 schema);
        *ret = TAKE_PTR(record);
        return 0;
}

bool record_says_qemu_lives(const json_t *record)
{
        pid_t pid = (pid_t)json_member_integer(record, "pid");

        /* A zombie is one whose new parent has not looked yet. */
        return pid > 0 && (json_int_t)process_start_time(pid) == json_member_integer(record, "pid_start") &&
               process_state(pid) != 'Z';
}
