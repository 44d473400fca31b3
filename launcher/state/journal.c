#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/json_text.h"
#include "launcher/state/crash_point.h"
#include "launcher/state/state_dir.h"

#define JOURNAL_MAX (4u << 20)

/* Does the file end inside a line? A writer died in the middle of it then. */
static bool is_torn(int fd, off_t size)
{
        char last;

        return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

int journal_open(struct journal *journal, int vm_dirfd, struct error **err)
{
        struct stat st;

        journal->fd = openat(vm_dirfd, "journal", O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (journal->fd < 0 || fstat(journal->fd, &st) < 0) {
                error_os(err, errno, "open the journal");
                fd_close(&journal->fd);
                return -1;
        }
        journal->size = st.st_size;
        journal->torn = is_torn(journal->fd, st.st_size);
        return 0;
}

int journal_write(struct journal *journal, const json_t *entry, struct error **err)
{
        _cleanup_text_ struct text line = TEXT_INIT;
        ssize_t n;

        if (!json_is_object(entry))
                return error_set(err, ERROR_FAILED, "journal: an entry is no JSON");
        text_add(&line, journal->torn ? "\n" : "");
        json_text_add(&line, entry);
        text_add_char(&line, '\n');
        if ((uint64_t)journal->size + line.length > JOURNAL_MAX)
                return error_set(err, ERROR_FAILED, "the journal would become larger than %u bytes",
                                 JOURNAL_MAX);
        crash_point(CRASH_JOURNAL_APPEND);
        /* One write: a line is there as a whole or, when we die here, as the torn last one. */
        n = write(journal->fd, line.data, line.length);
        if (n != (ssize_t)line.length) {
                error_os(err, n < 0 ? errno : ENOSPC, "write to the journal");
                /* What is left of it would be one line with the next entry; that it cannot be cut off again
                 * is no further news. */
                if (n > 0 && ftruncate(journal->fd, journal->size) < 0) {
                        journal->torn = true;
                        journal->size += n;
                }
                return -1;
        }
        journal->size += n;
        journal->torn = false;
        crash_point(CRASH_JOURNAL_APPENDED);
        return 0;
}

int journal_append(int vm_dirfd, const json_t *entry, struct error **err)
{
        struct journal journal;
        int result;

        if (journal_open(&journal, vm_dirfd, err) < 0)
                return -1;
        result = journal_write(&journal, entry, err);
        fd_close(&journal.fd);
        return result;
}

static void read_line(const char *line, size_t length, unsigned number, json_t *entries,
                      struct error **ret_garbage)
{
        json_error_t why;
        json_t *entry = json_loadb(line, length, JSON_REJECT_DUPLICATES, &why);

        if (json_is_object(entry)) {
                json_array_append_new(entries, entry);
                return;
        }
        if (ret_garbage) {
                struct error *garbage = NULL;

                error_set(&garbage, ERROR_FAILED, "line %u of the journal is no step: %s", number,
                          entry ? "not an object" : why.text);
                error_append(ret_garbage, garbage);
        }
        json_decref(entry);
}

int journal_read_lines(int vm_dirfd, json_t **ret, struct error **ret_garbage, struct error **err)
{
        _cleanup_free_ char *text = NULL;
        json_auto_t *entries = json_array();
        size_t length = 0, all;
        unsigned number = 0;

        if (fd_read_file_at(vm_dirfd, "journal", JOURNAL_MAX, &text, &length, err) < 0) {
                if ((*err)->code != ERROR_OS || (*err)->os_errno != ENOENT)
                        return -1;
                error_free(TAKE_PTR(*err));
        }
        all = length;
        for (const char *line = text, *end; line && (end = memchr(line, '\n', length)); line = end + 1) {
                length -= (size_t)(end - line) + 1;
                number++;
                if (end > line)
                        read_line(line, (size_t)(end - line), number, entries, ret_garbage);
        }
        /* An object is whole when it is closed: only the end of its line is missing, and the next entry will make that. */
        if (length && text) {
                json_t *last = json_loadb(text + all - length, length, JSON_REJECT_DUPLICATES, NULL);

                if (json_is_object(last))
                        json_array_append(entries, last);
                json_decref(last);
        }
        *ret = TAKE_PTR(entries);
        return 0;
}

int journal_read(int vm_dirfd, json_t **ret, struct error **err)
{
        return journal_read_lines(vm_dirfd, ret, NULL, err);
}

int journal_clear(int vm_dirfd, struct error **err)
{
        crash_point(CRASH_JOURNAL_CLEAR);
        if (unlinkat(vm_dirfd, "journal", 0) < 0 && errno != ENOENT)
                return error_os(err, errno, "remove the journal");
        crash_point(CRASH_JOURNAL_CLEARED);
        return 0;
}

bool journal_is_empty(int vm_dirfd)
{
        struct stat st;

        return fstatat(vm_dirfd, "journal", &st, AT_SYMLINK_NOFOLLOW) < 0 ? errno == ENOENT : st.st_size == 0;
}
