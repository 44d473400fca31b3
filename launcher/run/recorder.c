#include "launcher/run/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "launcher/run/story.h"

/* "#NUMBER TIME CHANNEL SIGN TEXT\n"; the number has ten digits, so a line that was written over in part is known. */
#define NUMBER_DIGITS 10
#define NUMBER_MAX    9999999999ull
#define DEPTH_MAX     64

struct recorder {
        int fd;
        off_t head;
        unsigned long long number; /* of the newest entry */
};

/* A line under construction: what does not fit is cut. */
struct line {
        char bytes[RECORDER_LINE];
        size_t length;
        bool cut;
};

static void add(struct line *line, const char *bytes, size_t n)
{
        /* Room for the mark of a cut and the newline. */
        size_t room = sizeof(line->bytes) - 4 - line->length;

        if (line->cut)
                return;
        if (n > room) {
                line->cut = true;
                /* Not in the middle of a character. */
                while (room > 0 && ((unsigned char)bytes[room] & 0xC0) == 0x80)
                        room--;
                n = room;
        }
        memcpy(line->bytes + line->length, bytes, n);
        line->length += n;
}

static void add_string(struct line *line, const char *s)
{
        add(line, s, strlen(s));
}

/* As one JSON string; control bytes never reach the line. */
static void add_quoted(struct line *line, const char *s)
{
        add(line, "\"", 1);
        while (*s && !line->cut) {
                size_t plain = 0;

                while (s[plain] && (unsigned char)s[plain] >= 0x20 && s[plain] != '"' && s[plain] != '\\')
                        plain++;
                add(line, s, plain);
                s += plain;
                if (*s) {
                        char escaped[8];

                        snprintf(escaped, sizeof(escaped), "\\u%04x", (unsigned)(unsigned char)*s++);
                        add_string(line, escaped);
                }
        }
        add(line, "\"", 1);
}

static bool is_secret(const char *member, const json_t *value)
{
        /* Of QMP, of its secret objects, of the guest agent (guest-exec, guest-file-*, guest-set-user-password). */
        static const char *const names[] = { "password", "passwd",   "passphrase", "secret",       "data",
                                             "keyid",    "arg",      "env",        "input-data",   "buf-b64",
                                             "out-data", "err-data", "value",      "command-line", "cookie" };

        /* Objects are looked into: the data of an event is one. */
        if (!json_is_string(value) && !json_is_array(value))
                return false;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (strcasecmp(member, names[i]) == 0)
                        return true;
        return false;
}

static void add_json(struct line *line, const json_t *value, unsigned depth);

static void add_object(struct line *line, const json_t *object, unsigned depth)
{
        const char *key, *between = "";
        json_t *each;

        add(line, "{", 1);
        json_object_foreach ((json_t *)object, key, each) {
                if (line->cut)
                        break;
                add_string(line, between);
                add_quoted(line, key);
                add(line, ":", 1);
                if (is_secret(key, each) ||
                    (depth == 0 && strcmp(key, "return") == 0 && json_is_string(each)))
                        add_string(line, "\"(not recorded)\"");
                else
                        add_json(line, each, depth + 1);
                between = ",";
        }
        add(line, "}", 1);
}

static void add_json(struct line *line, const json_t *value, unsigned depth)
{
        char number[40];
        json_t *each;
        size_t i;

        if (depth > DEPTH_MAX || line->cut)
                return;
        switch (json_typeof(value)) {
        case JSON_OBJECT:
                add_object(line, value, depth);
                break;
        case JSON_ARRAY:
                add(line, "[", 1);
                json_array_foreach (value, i, each) {
                        if (line->cut)
                                break;
                        if (i)
                                add(line, ",", 1);
                        add_json(line, each, depth + 1);
                }
                add(line, "]", 1);
                break;
        case JSON_STRING:
                add_quoted(line, json_string_value(value));
                break;
        case JSON_INTEGER:
                snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
                add_string(line, number);
                break;
        case JSON_REAL:
                snprintf(number, sizeof(number), "%.17g", json_real_value(value));
                add_string(line, number);
                break;
        case JSON_TRUE:
                add_string(line, "true");
                break;
        case JSON_FALSE:
                add_string(line, "false");
                break;
        case JSON_NULL:
                add_string(line, "null");
                break;
        }
}

static void begin(struct recorder *recorder, struct line *line, const char *channel, const char *sign)
{
        _cleanup_free_ char *now = story_now();
        char head[128];

        line->length = 0;
        line->cut = false;
        recorder->number = recorder->number < NUMBER_MAX ? recorder->number + 1 : 1;
        snprintf(head, sizeof(head), "#%010llu %s %.32s %s ", recorder->number, now, channel, sign);
        add_string(line, head);
}

static void write_at(struct recorder *recorder, const char *bytes, size_t n)
{
        ssize_t written = pwrite(recorder->fd, bytes, n, recorder->head);

        /* Best effort: a full disk must not end a VM. */
        if (written > 0)
                recorder->head += written;
}

static void finish(struct recorder *recorder, struct line *line)
{
        if (line->cut) {
                memcpy(line->bytes + line->length, "...", 3);
                line->length += 3;
        }
        line->bytes[line->length++] = '\n';
        if ((size_t)recorder->head + line->length > RECORDER_BYTES) {
                /* Nothing of the last round stays behind the newest entry. */
                if (ftruncate(recorder->fd, recorder->head) < 0)
                        return;
                recorder->head = 0;
        }
        write_at(recorder, line->bytes, line->length);
}

void recorder_message(struct recorder *recorder, const char *channel, bool sent, const json_t *message)
{
        struct line line;

        if (!recorder)
                return;
        begin(recorder, &line, channel, sent ? ">" : "<");
        add_json(&line, message, 0);
        finish(recorder, &line);
}

void recorder_note(struct recorder *recorder, const char *text)
{
        struct line line;

        if (!recorder)
                return;
        begin(recorder, &line, "vmlaunch", "=");
        add_quoted(&line, text);
        finish(recorder, &line);
}

/* The line at bytes (n up to its newline): its number, 0 when it is none of ours. */
static unsigned long long line_number(const char *bytes, size_t n)
{
        unsigned long long number = 0;

        if (n < NUMBER_DIGITS + 2 || bytes[0] != '#' || bytes[NUMBER_DIGITS + 1] != ' ')
                return 0;
        for (int i = 1; i <= NUMBER_DIGITS; i++) {
                if (bytes[i] < '0' || bytes[i] > '9')
                        return 0;
                number = number * 10 + (unsigned)(bytes[i] - '0');
        }
        return number;
}

/* The end of the newest whole line, and its number. */
static size_t find_head(const char *bytes, size_t n, unsigned long long *ret_number)
{
        size_t head = 0;

        *ret_number = 0;
        for (size_t at = 0; at < n;) {
                const char *end = memchr(bytes + at, '\n', n - at);
                unsigned long long number;

                if (!end)
                        break;
                number = line_number(bytes + at, (size_t)(end - bytes) - at);
                at = (size_t)(end - bytes) + 1;
                if (number > *ret_number) {
                        *ret_number = number;
                        head = at;
                }
        }
        return head;
}

/* What is behind the first line end from a place on, or from the file's begin on: a line fits. *ret_n: how many bytes. */
static const char *read_lines(int fd, off_t place, char *bytes, size_t *ret_n)
{
        ssize_t n = pread(fd, bytes, 2 * RECORDER_LINE, place);
        const char *end = place && n > 0 ? memchr(bytes, '\n', (size_t)n) : NULL,
                   *from = end ? end + 1 : bytes;

        *ret_n = n > 0 && (end || !place) ? (size_t)(bytes + n - from) : 0;
        return from;
}

/*
 * Where the next entry goes. Numbers rise from the file's first line to there, and behind it are the last round's lower ones:
 * halving finds it, and only what is around it is read.
 */
static void find_end(struct recorder *recorder)
{
        char bytes[2 * RECORDER_LINE];
        off_t low = 0, high = lseek(recorder->fd, 0, SEEK_END);
        size_t n, end;
        const char *from = read_lines(recorder->fd, 0, bytes, &n);
        unsigned long long first = line_number(from, n);

        while (high - low > (off_t)RECORDER_LINE) {
                off_t middle = (low + high) / 2;

                from = read_lines(recorder->fd, middle, bytes, &n);
                if (line_number(from, n) < first)
                        high = middle;
                else
                        low = middle;
        }
        from = read_lines(recorder->fd, low, bytes, &n);
        end = find_head(from, n, &recorder->number);
        if (recorder->number)
                recorder->head = low + (from - bytes) + (off_t)end;
}

struct recorder *recorder_open(const char *path, struct error **err)
{
        struct recorder *recorder;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0) {
                error_os(err, errno, "open '%s'", path);
                return NULL;
        }
        recorder = xcalloc(1, sizeof(*recorder));
        recorder->fd = fd;
        find_end(recorder);
        return recorder;
}

void recorder_close(struct recorder *recorder)
{
        if (!recorder)
                return;
        fd_close(&recorder->fd);
        free(recorder);
}

static json_t *parse_line(const char *bytes, size_t n)
{
        _cleanup_free_ char *line = xstrndup(bytes, n);
        char *rest = line + NUMBER_DIGITS + 2, *time = strsep(&rest, " "), *channel = strsep(&rest, " "),
             *sign = strsep(&rest, " ");

        if (!rest || strlen(sign) != 1 || !strchr("<>=", *sign))
                return NULL;
        return json_pack("{s:I, s:o, s:o, s:s, s:o}", "number", (json_int_t)line_number(bytes, n), "time",
                         story_string(time), "channel", story_string(channel), "direction",
                         *sign == '>'   ? "sent"
                         : *sign == '<' ? "received"
                                        : "note",
                         "text", story_string(rest));
}

static void parse_range(json_t *entries, const char *bytes, size_t n)
{
        while (n) {
                const char *end = memchr(bytes, '\n', n);
                size_t length = end ? (size_t)(end - bytes) : n;
                json_t *entry = NULL;

                if (!end)
                        return;
                if (line_number(bytes, length))
                        entry = parse_line(bytes, length);
                if (entry)
                        json_array_append_new(entries, entry);
                bytes += length + 1;
                n -= length + 1;
        }
}

json_t *recorder_parse(const char *bytes, size_t n)
{
        unsigned long long newest;
        size_t head = find_head(bytes, n, &newest);
        json_t *entries = json_array();

        /* Behind the newest entry are the oldest; the first of them is mostly half written over. */
        parse_range(entries, bytes + head, n - head);
        parse_range(entries, bytes, head);
        return entries;
}

int recorder_read(const char *path, json_t **ret, struct error **err)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_free_ char *bytes = NULL;
        size_t n;

        if (fd < 0 && errno == ENOENT)
                return error_set(err, ERROR_NO_SUCH_VM, "no recording at '%s'", path);
        if (fd < 0)
                return error_os(err, errno, "open '%s'", path);
        if (fd_read_all(fd, path, 4 * RECORDER_BYTES, &bytes, &n, err) < 0)
                return -1;
        *ret = recorder_parse(bytes, n);
        return 0;
}
