/*
 * record.json as anybody may have left it: taken only as an object of schema 1, and then written again it reads the
 * same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "launcher/state/state_dir.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* No file, and what is none in its place. */
static void check_places(int dir)
{
        _cleanup_error_ struct error *err = NULL;
        json_auto_t *no_record = json_string("x"), *record = NULL;

        unlinkat(dir, "record.json", 0);
        if (record_write(dir, no_record, &err) == 0)
                abort();
        error_free(TAKE_PTR(err));
        if (record_read(dir, &record, &err) == 0 || err->code != ERROR_NO_SUCH_VM)
                abort();
        error_free(TAKE_PTR(err));
        if (mkdirat(dir, "record.json", 0700) < 0 || record_read(dir, &record, &err) == 0 ||
            unlinkat(dir, "record.json", AT_REMOVEDIR) < 0)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        int dir = scratch_directory();
        _cleanup_error_ struct error *err = NULL;
        json_auto_t *record = NULL, *again = NULL;

        if (size == 0)
                check_places(dir);
        if (fd_write_file_at(dir, "record.json", (const char *)data, size, 0600, 0, &err) < 0)
                abort();
        if (record_read(dir, &record, &err) < 0) {
                if (!err || record)
                        abort();
                return 0;
        }
        if (!json_is_object(record) || json_integer_value(json_object_get(record, "schema")) != 1)
                abort();
        if (record_write(dir, record, &err) < 0 || record_read(dir, &again, &err) < 0 ||
            !json_equal(record, again))
                abort();
        return 0;
}
