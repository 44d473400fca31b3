/*
 * The journal as a supervisor that died may have left it: whole lines are steps, all else is said. What is appended to
 * it is read again, whatever was there before.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "launcher/state/state_dir.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t read_all(int dir, bool *ret_garbage)
{
        _cleanup_error_ struct error *err = NULL, *garbage = NULL;
        json_auto_t *entries = NULL;
        size_t i;
        json_t *entry;

        if (journal_read_lines(dir, &entries, &garbage, &err) < 0)
                abort();
        json_array_foreach (entries, i, entry) {
                if (!json_is_object(entry))
                        abort();
        }
        *ret_garbage = garbage != NULL;
        return json_array_size(entries);
}

static int fill_up(int dir)
{
        _cleanup_close_ int fd = openat(dir, "journal", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        return ftruncate(fd, 4 << 20);
}

/* What is in the journal's place is no file, and a journal that is full. */
static void check_places(int dir)
{
        _cleanup_error_ struct error *err = NULL;
        json_auto_t *no_entry = json_string("x"), *entry = json_object(), *entries = NULL;

        if (journal_append(dir, no_entry, &err) == 0)
                abort();
        error_free(TAKE_PTR(err));
        if (fill_up(dir) < 0 || journal_append(dir, entry, &err) == 0)
                abort();
        error_free(TAKE_PTR(err));
        if (journal_clear(dir, &err) < 0 || mkdirat(dir, "journal", 0700) < 0)
                abort();
        if (journal_append(dir, entry, &err) == 0)
                abort();
        error_free(TAKE_PTR(err));
        if (journal_read(dir, &entries, &err) == 0)
                abort();
        error_free(TAKE_PTR(err));
        if (journal_clear(dir, &err) == 0 || unlinkat(dir, "journal", AT_REMOVEDIR) < 0)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        int dir = scratch_directory();
        _cleanup_error_ struct error *err = NULL;
        json_auto_t *step = json_pack("{s:s}", "step", "appended"), *entries = NULL;
        bool garbage;
        size_t before;

        if (size == 0)
                check_places(dir);
        if (fd_write_file_at(dir, "journal", (const char *)data, size, 0600, 0, &err) < 0)
                abort();
        if (journal_is_empty(dir) != (size == 0))
                abort();
        before = read_all(dir, &garbage);
        if (journal_append(dir, step, &err) < 0)
                return 0;
        /* A torn last line may turn out to be a whole one. */
        if (journal_read(dir, &entries, &err) < 0 || json_array_size(entries) < before + 1 ||
            !json_equal(json_array_get(entries, json_array_size(entries) - 1), step))
                abort();
        if (journal_clear(dir, &err) < 0 || !journal_is_empty(dir) || read_all(dir, &garbage) != 0 || garbage)
                abort();
        return 0;
}
