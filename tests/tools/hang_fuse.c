/*
 * hang_fuse - storage that stops answering: a FUSE file system of one file, "disk", with the bytes of a real file.
 *
 *   hang_fuse DIRECTORY FILE [open|read N]    mounts it on DIRECTORY and serves it in the foreground; "ready" on stdout
 *
 * With open or read the Nth such request and all later ones of that kind are never answered; SIGUSR1 has the same
 * effect as read from then on (read, write and sync), SIGUSR2 answers nothing at all any more. The end of this
 * process ends the connection: whoever waits gets an error then. Speaks the kernel's protocol (linux/fuse.h) itself, so
 * that the tests need no library.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NODE   2
#define BUFFER_SIZE (1 << 20)
#define MAX_WRITE   (128 * 1024)
#define FOREVER_S   3600

enum hang { HANG_NOT, HANG_DATA, HANG_OPEN, HANG_ALL };

static enum hang planned;
static unsigned long left;

static volatile sig_atomic_t hang;
static int fuse_fd, file_fd;

static void on_signal(int sig)
{
        hang = sig == SIGUSR1 ? HANG_DATA : HANG_ALL;
}

static void reply(const struct fuse_in_header *in, int error, const void *bytes, size_t n)
{
        static char buffer[BUFFER_SIZE];
        struct fuse_out_header out = { .len = (uint32_t)(sizeof(out) + (error ? 0 : n)),
                                       .error = -error,
                                       .unique = in->unique };

        memcpy(buffer, &out, sizeof(out));
        if (!error && n)
                memcpy(buffer + sizeof(out), bytes, n);
        /* ENOENT: whoever asked has gone meanwhile. */
        if (write(fuse_fd, buffer, out.len) < 0 && errno != ENOENT)
                perror("hang_fuse: write");
}

static struct fuse_attr attributes(uint64_t node)
{
        struct stat st = { 0 };

        fstat(file_fd, &st);
        return (struct fuse_attr){ .ino = node,
                                   .size = node == FILE_NODE ? (uint64_t)st.st_size : 0,
                                   .mode = node == FILE_NODE ? S_IFREG | 0666 : S_IFDIR | 0755,
                                   .nlink = 1,
                                   .blksize = 4096 };
}

/* Does this request begin what was planned? */
static void count(enum hang kind)
{
        if (planned == kind && left && --left == 0)
                hang = kind;
}

static void answer(const struct fuse_in_header *in, const void *arg)
{
        static char buffer[MAX_WRITE];

        switch (in->opcode) {
        case FUSE_INIT: {
                struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION,
                                             .minor = FUSE_KERNEL_MINOR_VERSION,
                                             .max_readahead = 4096,
                                             .max_background = 16,
                                             .congestion_threshold = 12,
                                             .max_write = MAX_WRITE,
                                             .time_gran = 1 };

                reply(in, 0, &out, sizeof(out));
                return;
        }
        case FUSE_LOOKUP: {
                struct fuse_entry_out out = { .nodeid = FILE_NODE, .attr = attributes(FILE_NODE) };

                reply(in, strcmp(arg, "disk") == 0 ? 0 : ENOENT, &out, sizeof(out));
                return;
        }
        case FUSE_GETATTR:
        case FUSE_SETATTR: {
                struct fuse_attr_out out = { .attr = attributes(in->nodeid) };

                reply(in, 0, &out, sizeof(out));
                return;
        }
        case FUSE_OPEN: {
                struct fuse_open_out out = { .open_flags = FOPEN_DIRECT_IO };

                count(HANG_OPEN);
                if (hang != HANG_OPEN)
                        reply(in, 0, &out, sizeof(out));
                return;
        }
        case FUSE_READ: {
                const struct fuse_read_in *read_in = arg;
                size_t size = read_in->size < sizeof(buffer) ? read_in->size : sizeof(buffer);
                ssize_t n = pread(file_fd, buffer, size, (off_t)read_in->offset);

                count(HANG_DATA);
                if (!hang)
                        reply(in, n < 0 ? errno : 0, buffer, n < 0 ? 0 : (size_t)n);
                return;
        }
        case FUSE_WRITE: {
                const struct fuse_write_in *write_in = arg;
                struct fuse_write_out out = { .size = write_in->size };

                if (hang)
                        return;
                if (pwrite(file_fd, write_in + 1, write_in->size, (off_t)write_in->offset) < 0)
                        reply(in, errno, NULL, 0);
                else
                        reply(in, 0, &out, sizeof(out));
                return;
        }
        case FUSE_STATFS: {
                struct fuse_statfs_out out = { .st = { .bsize = 4096, .namelen = 255 } };

                reply(in, 0, &out, sizeof(out));
                return;
        }
        case FUSE_FSYNC:
                if (!hang)
                        reply(in, 0, NULL, 0);
                return;
        case FUSE_FLUSH:
        case FUSE_RELEASE:
        case FUSE_RELEASEDIR:
        case FUSE_ACCESS:
                reply(in, 0, NULL, 0);
                return;
        case FUSE_FORGET:
        case FUSE_BATCH_FORGET:
        case FUSE_INTERRUPT:
                return;
        default:
                reply(in, ENOSYS, NULL, 0);
                return;
        }
}

int main(int argc, char **argv)
{
        static _Alignas(struct fuse_in_header) char buffer[BUFFER_SIZE];
        struct sigaction action = { .sa_handler = on_signal };
        char options[128];

        if (argc < 3)
                return 2;
        if (argc > 4) {
                planned = strcmp(argv[3], "open") == 0 ? HANG_OPEN : HANG_DATA;
                left = strtoul(argv[4], NULL, 10);
        }
        file_fd = open(argv[2], O_RDWR | O_CLOEXEC);
        fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
        if (file_fd < 0 || fuse_fd < 0) {
                perror("hang_fuse: open");
                return 1;
        }
        /* allow_other: QEMU has a uid of its own. */
        snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fuse_fd);
        if (mount("hang_fuse", argv[1], "fuse.hang", MS_NODEV | MS_NOSUID, options) < 0) {
                perror("hang_fuse: mount");
                return 77;
        }
        sigaction(SIGUSR1, &action, NULL);
        sigaction(SIGUSR2, &action, NULL);
        puts("ready");
        fflush(stdout);
        for (;;) {
                ssize_t n;

                if (hang == HANG_ALL) {
                        sleep(FOREVER_S);
                        continue;
                }
                n = read(fuse_fd, buffer, sizeof(buffer));
                if (n < 0 && errno == ENODEV)
                        return 0;
                if (n < (ssize_t)sizeof(struct fuse_in_header))
                        continue;
                answer((void *)buffer, buffer + sizeof(struct fuse_in_header));
        }
}
