#include "launcher/storage/image_chain.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "launcher/storage/apart.h"

void image_chain_free(struct image_chain *chain)
{
        if (!chain)
                return;
        for (size_t i = 0; i < chain->n_layers; i++)
                free(chain->layers[i].path);
        free(chain->layers);
        free(chain);
}

/* As much of a raw image as the magic numbers of other formats are in. */
#define RAW_START_BYTES 4096

/* What an image file starts with (its format's magic number, at this offset) when it is not what it seems. */
static const struct {
        const char *format;
        size_t offset, length;
        const char *magic;
} magics[] = {
        { "qcow2", 0, 4, "QFI\xfb" },
        { "qed", 0, 4, "QED\0" },
        { "vmdk", 0, 4, "KDMV" },
        { "vmdk", 0, 4, "COWD" },
        { "vmdk", 0, 21, "# Disk DescriptorFile" },
        { "vdi", 64, 4, "\x7f\x10\xda\xbe" },
        { "vhdx", 0, 8, "vhdxfile" },
        { "vpc", 0, 8, "conectix" },
        { "luks", 0, 6, "LUKS\xba\xbe" },
        { "parallels", 0, 16, "WithoutFreeSpace" },
        { "parallels", 0, 16, "WithouFreSpacExt" },
};

static const char *format_by_magic(const uint8_t *bytes, size_t n)
{
        for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
                if (n >= magics[i].offset + magics[i].length &&
                    memcmp(bytes + magics[i].offset, magics[i].magic, magics[i].length) == 0)
                        return magics[i].format;
        return NULL;
}

/* "image '/x'" or "image '/x', the backing file of '/y'"; new string. */
static char *image_name(const struct image_chain *chain, const char *path)
{
        _cleanup_free_ char *printable = text_printable(path);

        if (chain->n_layers) {
                _cleanup_free_ char *wants = text_printable(chain->layers[chain->n_layers - 1].path);

                return xasprintf("image '%s', the backing file of '%s'", printable, wants);
        }
        return xasprintf("image '%s'", printable);
}

static const char *kind_name(mode_t mode)
{
        return S_ISDIR(mode)    ? "a directory"
               : S_ISCHR(mode)  ? "a character device"
               : S_ISFIFO(mode) ? "a fifo"
               : S_ISSOCK(mode) ? "a socket"
                                : "no file";
}

static int check_kind(const struct stat *st, struct error **err)
{
        if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
                return error_set(err, ERROR_INVALID, "it is %s, not a file or block device",
                                 kind_name(st->st_mode));
        return 0;
}

/* Looked at before it is opened, as opening alone does something to a fifo or a tape; what counts is the
 * fstat() after it. */
static int open_image(const char *path, int *ret_fd, struct stat *ret_st, struct error **err)
{
        _cleanup_close_ int fd = -1;

        if (stat(path, ret_st) < 0) {
                if (errno == ENOENT || errno == ENOTDIR)
                        return error_set(err, ERROR_INVALID, "it does not exist");
                return error_os(err, errno, "look at it");
        }
        if (check_kind(ret_st, err) < 0)
                return -1;
        fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                return error_os(err, errno, "open it");
        if (fstat(fd, ret_st) < 0)
                return error_os(err, errno, "look at it");
        if (check_kind(ret_st, err) < 0)
                return -1;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int read_at(int fd, uint8_t *buffer, size_t size, uint64_t at, size_t *ret_n, struct error **err)
{
        size_t n = 0;

        while (n < size) {
                ssize_t part = pread(fd, buffer + n, size - n, (off_t)(at + n));

                if (part < 0 && errno == EINTR)
                        continue;
                if (part < 0)
                        return error_os(err, errno, "read its header");
                if (part == 0)
                        break;
                n += (size_t)part;
        }
        *ret_n = n;
        return 0;
}

static int file_size(int fd, const struct stat *st, uint64_t *ret, struct error **err)
{
        if (S_ISREG(st->st_mode))
                *ret = (uint64_t)st->st_size;
        else if (ioctl(fd, BLKGETSIZE64, ret) < 0)
                return error_os(err, errno, "read its size");
        return 0;
}

static int check_guess(enum disk_format format, const uint8_t *bytes, size_t n, struct error **err)
{
        const char *found = format_by_magic(bytes, n);

        if (format == DISK_FORMAT_RAW && found) {
                error_set(err, ERROR_INVALID,
                          "no FORMAT says what it is; it would be taken for raw but starts "
                          "like %s",
                          found);
                if (disk_format_by_name(found) != DISK_FORMAT_NONE) {
                        _cleanup_free_ char *hint = xasprintf(
                                "FORMAT = \"%s\" if it is such an image, FORMAT = \"raw\" if the guest wrote "
                                "that itself",
                                found);

                        return error_hint(err, "%s", hint);
                }
                return error_hint(
                        err, "FORMAT = \"raw\" if the guest wrote that itself, else convert it: qemu-img "
                             "convert -O qcow2");
        }
        if (format == DISK_FORMAT_QCOW2 && (!found || strcmp(found, "qcow2") != 0)) {
                error_set(err, ERROR_INVALID,
                          "no FORMAT says what it is; it is named like qcow2 but does not start "
                          "like that");
                return error_hint(err, "say FORMAT = \"raw\" if that is what it is");
        }
        return 0;
}

/* As QEMU's path_has_protocol(): a colon before the first slash. */
static bool has_protocol(const char *name)
{
        return name[strcspn(name, ":/")] == ':';
}

/* The path of the next layer. Relative names start from the directory of the path as given, also if that is a
 * symbolic link: so does QEMU. */
static int backing_path(const char *path, const struct qcow2_header *header, char **ret, struct error **err)
{
        _cleanup_free_ char *printable = text_printable(header->backing_file);
        const char *slash = strrchr(path, '/');

        if (has_protocol(header->backing_file))
                return error_set(err, ERROR_INVALID,
                                 "its backing file '%s' is not a plain path, only files can be used",
                                 printable);
        if (header->backing_format == DISK_FORMAT_NONE) {
                _cleanup_free_ char *backing = text_shell_quoted(header->backing_file);
                _cleanup_free_ char *image = text_shell_quoted(path);

                error_set(err, ERROR_INVALID, "it does not say which format its backing file '%s' has",
                          printable);
                return error_hint(err, "write it down, raw or qcow2: qemu-img rebase -u -F FORMAT -b %s %s",
                                  backing, image);
        }
        if (header->backing_file[0] == '/')
                *ret = xstrdup(header->backing_file);
        else
                *ret = xasprintf("%.*s/%s", (int)(slash - path), path, header->backing_file);
        return 0;
}

bool image_layer_is_same(const struct image_layer *a, const struct image_layer *b)
{
        if ((a->dev || a->ino) && (b->dev || b->ino))
                return a->dev == b->dev && a->ino == b->ino;
        return strcmp(a->path, b->path) == 0;
}

/* layer->virtual_size is the file's when called. */
static int check_foreign(int fd, const uint8_t *head, size_t n, struct image_layer *layer, struct error **err)
{
        uint8_t tail[IMAGE_TAIL_BYTES];
        struct image_bytes bytes = { .head = head, .n = n, .tail = tail, .file_size = layer->virtual_size };
        uint64_t at = bytes.file_size > sizeof(tail) ? bytes.file_size - sizeof(tail) : 0;

        if (read_at(fd, tail, sizeof(tail), at, &bytes.n_tail, err) < 0)
                return -1;
        layer->encrypted = layer->format == DISK_FORMAT_LUKS;
        return image_foreign_check(layer->format, &bytes, &layer->virtual_size, err);
}

/* Reads one layer and appends it to the chain; *ret_next: the layer below, or NULL. */
static int read_layer(struct image_chain *chain, const char *path, enum disk_format format, bool is_guess,
                      char **ret_next, enum disk_format *ret_next_format, struct error **err)
{
        _cleanup_free_ uint8_t *bytes = xmalloc(QCOW2_HEADER_BYTES);
        size_t wanted = format == DISK_FORMAT_RAW ? RAW_START_BYTES : QCOW2_HEADER_BYTES;
        struct image_layer layer = { .path = (char *)path, .format = format };
        struct qcow2_header header = { 0 };
        _cleanup_close_ int fd = -1;
        struct stat st;
        size_t n = 0;

        if (open_image(path, &fd, &st, err) < 0)
                return -1;
        /* Device nodes are many, the device is one. */
        layer.dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
        layer.ino = S_ISBLK(st.st_mode) ? 0 : st.st_ino;
        for (size_t i = 0; i < chain->n_layers; i++)
                if (image_layer_is_same(&chain->layers[i], &layer))
                        return error_set(err, ERROR_INVALID, "the chain loops: it is layer %zu already", i);
        if (read_at(fd, bytes, wanted, 0, &n, err) < 0 ||
            (is_guess && check_guess(format, bytes, n, err) < 0))
                return -1;
        *ret_next = NULL;
        if (format == DISK_FORMAT_QCOW2) {
                if (qcow2_header_parse(bytes, n, &header, err) < 0)
                        return -1;
                layer.virtual_size = header.virtual_size;
                layer.encrypted = header.encrypted;
                *ret_next_format = header.backing_format;
                if (header.backing_file) {
                        int result = backing_path(path, &header, ret_next, err);

                        free(header.backing_file);
                        if (result < 0)
                                return -1;
                }
        } else if (file_size(fd, &st, &layer.virtual_size, err) < 0) {
                return -1;
        } else if (format != DISK_FORMAT_RAW && check_foreign(fd, bytes, n, &layer, err) < 0) {
                return -1;
        }
        file_facts_from_stat(&st, &layer.file);
        layer.path = xstrdup(path);
        ARRAY_GROW(chain->layers, chain->n_layers);
        chain->layers[chain->n_layers++] = layer;
        return 0;
}

/* apart: in whose child this is. */
static int read_chain(struct apart *apart, const char *path, enum disk_format format, bool format_is_guess,
                      struct image_chain **ret, struct error **err)
{
        _cleanup_(image_chain_freep) struct image_chain *chain = xcalloc(1, sizeof(*chain));
        _cleanup_free_ char *next = NULL;

        if (path[0] != '/')
                return error_set(err, ERROR_INVALID, "image '%s' has no absolute path", path);
        if (format == DISK_FORMAT_NONE) {
                format = DISK_FORMAT_RAW;
                format_is_guess = true;
        }
        next = xstrdup(path);
        while (next) {
                _cleanup_free_ char *this = TAKE_PTR(next);

                if (chain->n_layers == IMAGE_CHAIN_MAX)
                        return error_set(err, ERROR_INVALID, "image '%s' has more than %d layers", path,
                                         IMAGE_CHAIN_MAX);
                apart_at(apart, this);
                if (read_layer(chain, this, format, format_is_guess, &next, &format, err) < 0) {
                        _cleanup_free_ char *name = image_name(chain, this);

                        return error_wrap(err, "%s", name);
                }
                format_is_guess = false;
        }
        *ret = TAKE_PTR(chain);
        return 0;
}

/*
 * From child to parent an image is the number of its layers, and each layer a line of what the child says besides
 * (JSON took a tenth of a large plan's time): numbers (mode, uid, gid, size, virtual size, encrypted, device, inode,
 * format), path (none: as it was asked for), and a NUL.
 */
enum { LAYER_NUMBERS = 9 };

static json_t *layers_to_parent(struct apart *apart, const struct image_chain *chain, const char *asked,
                                struct error **err)
{
        _cleanup_text_ struct text line = TEXT_INIT;

        for (size_t i = 0; i < chain->n_layers; i++) {
                const struct image_layer *layer = &chain->layers[i];
                const uint64_t numbers[LAYER_NUMBERS] = { layer->file.mode,    layer->file.uid,
                                                          layer->file.gid,     layer->file.size,
                                                          layer->virtual_size, layer->encrypted,
                                                          layer->dev,          layer->ino,
                                                          layer->format };
                bool is_asked = strcmp(layer->path, asked) == 0;

                if (!is_asked && !json_member_is_utf8(layer->path)) {
                        _cleanup_free_ char *shown = text_printable(layer->path);

                        error_set(err, ERROR_INVALID,
                                  "image '%s' has bytes in its name that are not UTF-8, which a plan cannot "
                                  "hold",
                                  shown);
                        return NULL;
                }
                text_cut(&line, 0);
                for (size_t k = 0; k < LAYER_NUMBERS; k++) {
                        text_add_u64(&line, numbers[k]);
                        text_add_char(&line, ' ');
                }
                if (!is_asked)
                        text_add(&line, layer->path);
                apart_say(apart, text_str(&line), line.length + 1);
        }
        return json_integer((json_int_t)chain->n_layers);
}

/* A number and a blank, which *at is moved behind. */
static bool take_number(const char **at, uint64_t *ret)
{
        const char *p = *at;
        uint64_t value = 0;

        for (; *p >= '0' && *p <= '9'; p++)
                value = value * 10 + (uint64_t)(*p - '0');
        if (p == *at || *p != ' ')
                return false;
        *at = p + 1;
        *ret = value;
        return true;
}

static bool layer_from_child(const char *line, const char *asked, struct image_layer *ret)
{
        uint64_t n[LAYER_NUMBERS];

        for (size_t k = 0; k < LAYER_NUMBERS; k++)
                if (!take_number(&line, &n[k]))
                        return false;
        *ret = (struct image_layer){
                .file = { .exists = true,
                          .mode = (mode_t)n[0],
                          .uid = (uid_t)n[1],
                          .gid = (gid_t)n[2],
                          .size = n[3] },
                .virtual_size = n[4],
                .encrypted = n[5],
                .dev = (dev_t)n[6],
                .ino = (ino_t)n[7],
                .format = (enum disk_format)n[8],
                .path = xstrdup(*line ? line : asked),
        };
        return true;
}

/* said: the lines that nobody has taken yet; its end is end, behind a NUL. */
static int layers_from_child(const json_t *count, const char **said, const char *end, const char *asked,
                             struct image_chain **ret, struct error **err)
{
        _cleanup_(image_chain_freep) struct image_chain *chain = xcalloc(1, sizeof(*chain));
        size_t n = (size_t)json_integer_value(count);

        while (chain->n_layers < n && *said < end) {
                ARRAY_GROW(chain->layers, chain->n_layers);
                if (!layer_from_child(*said, asked, &chain->layers[chain->n_layers]))
                        break;
                chain->n_layers++;
                *said += strlen(*said) + 1;
        }
        if (!chain->n_layers || chain->n_layers != n)
                return error_set(err, ERROR_FAILED, "image '%s': what was found out is not understood",
                                 asked);
        *ret = TAKE_PTR(chain);
        return 0;
}

/* What the request asks for, as JSON. */
static json_t *look_at(struct apart *apart, const struct image_request *request, struct error **err)
{
        _cleanup_(image_chain_freep) struct image_chain *chain = NULL;
        struct file_facts facts;

        apart_at(apart, request->path);
        if (request->ret_facts)
                return file_facts_read(request->path, &facts, err) < 0 ? NULL : file_facts_to_json(&facts);
        if (read_chain(apart, request->path, request->format, request->format_is_guess, &chain, err) < 0)
                return NULL;
        return layers_to_parent(apart, chain, request->path, err);
}

/* {"answers": [...]}, up to the first that failed: {"answers", "error"}. */
static json_t *read_in_child(struct apart *apart, void *data, struct error **err)
{
        const struct image_reading *work = data;
        json_t *answers = json_array(), *result = json_pack("{s:o}", "answers", answers);

        for (size_t i = 0; i < work->n; i++) {
                json_t *answer = look_at(apart, &work->requests[i], err);

                if (!answer) {
                        json_object_set_new(result, "error", apart_error_to_json(*err));
                        error_free(*err);
                        *err = NULL;
                        break;
                }
                json_array_append_new(answers, answer);
        }
        return result;
}

static int take(const struct image_request *request, const json_t *answer, const char **said, const char *end,
                struct image_chain **ret, struct error **err)
{
        if (request->ret_facts)
                return file_facts_from_json(answer, request->path, request->ret_facts, err);
        return layers_from_child(answer, said, end, request->path, ret, err);
}

struct apart *image_chains_begin(const struct image_reading *reading, struct error **err)
{
        return apart_begin(read_in_child, (void *)reading, err);
}

int image_chains_end(struct apart *apart_consume, const struct image_reading *reading,
                     struct image_chain **ret, size_t *ret_failed, struct error **err)
{
        json_auto_t *result = NULL;
        _cleanup_text_ struct text said = TEXT_INIT;
        const json_t *answers;
        const char *at, *end;
        size_t n = reading->n;

        *ret_failed = n;
        if (apart_end(apart_consume, APART_STORAGE_MS, &result, &said, NULL, err) < 0)
                return -1;
        at = text_str(&said);
        end = at + said.length;
        answers = json_object_get(result, "answers");
        for (size_t i = 0; i < n && !*err; i++) {
                const json_t *answer = json_array_get(answers, i);

                if (!answer)
                        apart_error_from_json(json_object_get(result, "error"), err);
                if (!answer || take(&reading->requests[i], answer, &at, end, &ret[i], err) < 0)
                        *ret_failed = i;
        }
        return *err ? -1 : 0;
}

int image_chains_read(const struct image_reading *reading, struct image_chain **ret, size_t *ret_failed,
                      struct error **err)
{
        struct apart *apart;

        *ret_failed = reading->n;
        if (reading->n == 0)
                return 0;
        apart = image_chains_begin(reading, err);
        return apart ? image_chains_end(apart, reading, ret, ret_failed, err) : -1;
}
