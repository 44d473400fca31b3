/* display, screenshot: how to reach a VM's screen, and what is on it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "launcher/live/control_client.h"
#include "launcher/verb/output.h"
#include "launcher/verb/verbs.h"
#include "launcher/verb/vm_find.h"

#define PASSWORD_FILE "private/graphics.password"
#define PASSWORD_MAX  256
#define SCREENDUMP_MS 30000
#define FD_MS         5000
/* 16384 x 16384 pixels would be more: nobody's screen. */
#define PICTURE_MAX (256u << 20)

/* The first device of the kind as the supervisor has it; a new reference. ERROR_FAILED: the VM has none. */
static json_t *find_device(struct control_client *client, const char *name, const char *kind,
                           const char *vector, const char *type, struct error **err)
{
        json_auto_t *status = NULL;
        json_t *device;
        size_t i;

        if (control_client_call(client, "vmlaunch-status", NULL, &status, err) < 0)
                return NULL;
        json_array_foreach (json_object_get(status, "devices"), i, device) {
                const char *its = json_member_string(device, "kind");

                if (its && strcmp(its, kind) == 0)
                        return json_incref(device);
        }
        error_set(err, ERROR_FAILED, "VM '%s' has no %s", name, vector);
        error_hint(err, "its template takes %s = [ TYPE = \"%s\" ], from the next start on", vector, type);
        return NULL;
}

/* The VM's server as its supervisor has it; a new reference. */
static json_t *find_graphics(const struct verb_context *context, char **ret_name, struct error **err)
{
        const struct paths *paths = &context->site->paths;
        _cleanup_(control_client_freep) struct control_client *client = NULL;

        if (vm_find(paths, context->args[0], ret_name, err) < 0 ||
            control_client_open(paths, *ret_name, &client, err) < 0)
                return NULL;
        return find_device(client, *ret_name, "graphics", "GRAPHICS", "vnc", err);
}

/* Where a client on this host connects to: every address is this host's too. New string. */
static char *uri_of(const json_t *graphics, const char *run_dir)
{
        const char *type = json_member_string(graphics, "type"),
                   *listen = json_member_string(graphics, "listen");
        const char *socket = json_member_string(graphics, "socket");

        if (socket)
                return xasprintf("%s+unix://%s/%s", type, run_dir, socket);
        if (!listen || strcmp(listen, "0.0.0.0") == 0)
                listen = "127.0.0.1";
        else if (strcmp(listen, "::") == 0)
                listen = "::1";
        return xasprintf(strchr(listen, ':') ? "%s://[%s]:%lld" : "%s://%s:%lld", type, listen,
                         json_member_integer(graphics, "port"));
}

static int show_password(const char *path, struct error **err)
{
        _cleanup_free_ char *text = NULL;
        size_t length;

        if (fd_read_file_at(AT_FDCWD, path, PASSWORD_MAX, &text, &length, err) < 0)
                return -1;
        output_text(text);
        explicit_bzero(text, length);
        return 0;
}

int verb_display(struct verb_context *context, struct error **err)
{
        _cleanup_free_ char *name = NULL, *run_dir = NULL, *uri = NULL, *file = NULL;
        json_auto_t *graphics = find_graphics(context, &name, err);
        const char *password, *listen;
        bool is_random;

        if (!graphics)
                return -1;
        run_dir = xasprintf("%s/%s", context->site->paths.run, name);
        uri = uri_of(graphics, run_dir);
        password = json_member_string(graphics, "password");
        listen = json_member_string(graphics, "listen");
        is_random = password && strcmp(password, "random") == 0;
        if (is_random)
                file = xasprintf("%s/" PASSWORD_FILE, run_dir);
        if (verb_flag(context, "password")) {
                if (is_random)
                        return show_password(file, err);
                return error_set(err, ERROR_FAILED, "the password of '%s' is %s", name,
                                 password && strcmp(password, "given") == 0 ? "that of its template"
                                                                            : "none");
        }
        if (context->output == OUTPUT_JSON) {
                json_object_del(graphics, "id");
                json_object_del(graphics, "kind");
                json_object_update_new(graphics, json_pack("{s:i, s:s, s:s, s:s*}", "schema", 1, "name", name,
                                                           "uri", uri, "password_file", file));
                output_json(TAKE_PTR(graphics));
                return 0;
        }
        printf("%s\n", uri);
        if (listen && (strcmp(listen, "0.0.0.0") == 0 || strcmp(listen, "::") == 0))
                printf("at every address of this host\n");
        printf("password: %s%s%s\n", password, file ? ", in " : "", file ? file : "");
        return 0;
}

/* A file in memory, and a second fd to write it: QEMU takes one of exactly the access that it wants (qemu-lab 14). */
static int make_memory(int *ret_fd, int *ret_write_fd, struct error **err)
{
        _cleanup_close_ int fd = memfd_create("vmlaunch-screenshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        _cleanup_free_ char *path = NULL;

        if (fd < 0)
                return error_os(err, errno, "make a memory file");
        path = xasprintf("/proc/self/fd/%d", fd);
        *ret_write_fd = open(path, O_WRONLY | O_CLOEXEC);
        if (*ret_write_fd < 0)
                return error_os(err, errno, "open a memory file");
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* QEMU may be the guest's by now: what it wrote is bounded, and no file of the caller's was in its hands. */
static int read_picture(int fd, char **ret, size_t *ret_length, struct error **err)
{
        static const char signature[] = "\x89PNG\r\n\x1a\n";
        _cleanup_free_ char *picture = NULL;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_os(err, errno, "look at the picture");
        if (st.st_size < 24 || st.st_size > (off_t)PICTURE_MAX)
                return error_set(err, ERROR_FAILED, "QEMU wrote %lld bytes, which is no picture",
                                 (long long)st.st_size);
        picture = xmalloc((size_t)st.st_size);
        if (pread(fd, picture, (size_t)st.st_size, 0) != st.st_size)
                return error_set(err, ERROR_FAILED, "the picture changes while it is read");
        if (memcmp(picture, signature, sizeof(signature) - 1) != 0)
                return error_set(err, ERROR_FAILED, "QEMU did not write a PNG");
        *ret_length = (size_t)st.st_size;
        *ret = TAKE_PTR(picture);
        return 0;
}

static int take_picture(struct control_client *client, int write_fd, struct error **err)
{
        _cleanup_error_ struct error *ignored = NULL;
        json_auto_t *added = NULL;
        json_int_t set;
        int result;

        /* As much an admin's as add-fd; whoever else sends an fd is cut off without a word. */
        if (control_client_call(client, "query-fdsets", NULL, NULL, err) < 0)
                return -1;
        if (control_client_call_fds(client, "add-fd", json_pack("{s:s}", "opaque", "screenshot"), &write_fd,
                                    1, FD_MS, &added, err) < 0)
                return -1;
        set = json_member_integer(added, "fdset-id");
        result = control_client_call_within(client, "screendump",
                                            json_pack("{s:o, s:s}", "filename",
                                                      json_sprintf("/dev/fdset/%lld", (long long)set),
                                                      "format", "png"),
                                            SCREENDUMP_MS, NULL, err);
        /* Whatever came of it; the error of the picture is the one that counts. */
        if (control_client_call(client, "remove-fd", json_pack("{s:I}", "fdset-id", set), NULL, &ignored) <
                    0 &&
            result == 0)
                *err = TAKE_PTR(ignored);
        return *err ? -1 : result;
}

/* The big-endian number at the place: width and height of IHDR (PNG, 11.2.2). */
static uint32_t number_at(const char *picture, size_t at)
{
        uint32_t number;

        memcpy(&number, picture + at, sizeof(number));
        return ntohl(number);
}

static int write_picture(const char *path, const char *picture, size_t length, struct error **err)
{
        bool is_stdout = strcmp(path, "-") == 0;
        int fd = is_stdout ? STDOUT_FILENO : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        int result;

        if (fd < 0)
                return error_os(err, errno, "open '%s'", path);
        result = fd_write_all(fd, path, picture, length, err);
        if (!is_stdout && close(fd) < 0 && result == 0)
                return error_os(err, errno, "write '%s'", path);
        return result;
}

int verb_screenshot(struct verb_context *context, struct error **err)
{
        const struct paths *paths = &context->site->paths;
        const char *path = context->args[1];
        _cleanup_(control_client_freep) struct control_client *client = NULL;
        _cleanup_free_ char *name = NULL, *picture = NULL;
        _cleanup_close_ int fd = -1, write_fd = -1;
        json_auto_t *video = NULL;
        size_t length = 0;

        if (strcmp(path, "-") == 0 && (isatty(STDOUT_FILENO) || context->output == OUTPUT_JSON))
                return error_set(err, ERROR_USAGE, "a picture on stdout is for a program to read");
        if (vm_find(paths, context->args[0], &name, err) < 0 ||
            control_client_open(paths, name, &client, err) < 0 || make_memory(&fd, &write_fd, err) < 0)
                return -1;
        video = find_device(client, name, "video", "VIDEO", "vga", err);
        if (!video)
                return -1;
        if (take_picture(client, write_fd, err) < 0)
                return error_wrap(err, "VM '%s'", name);
        if (read_picture(fd, &picture, &length, err) < 0 || write_picture(path, picture, length, err) < 0)
                return -1;
        if (context->output == OUTPUT_JSON)
                output_json(json_pack("{s:i, s:s, s:s, s:I, s:I, s:I}", "schema", 1, "name", name, "file",
                                      path, "bytes", (json_int_t)length, "width",
                                      (json_int_t)number_at(picture, 16), "height",
                                      (json_int_t)number_at(picture, 20)));
        return 0;
}
