/*
 * qmp_socket - what the bench programs need of a QMP socket: connect, wait for words, the median. They end where it fails.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static inline void fail(const char *what)
{
        perror(what);
        exit(1);
}

static inline int connect_to(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (strlen(path) >= sizeof(address.sun_path)) {
                fprintf(stderr, "'%s' is too long for a socket\n", path);
                exit(2);
        }
        strcpy(address.sun_path, path);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                fail(path);
        return fd;
}

/* Up to the end of a line, once both have come: the text, until the next call; an error of QEMU's ends the program. */
static inline const char *read_until_both(int fd, const char *what, const char *also)
{
        static char bytes[65536];
        size_t length = 0;

        for (;;) {
                ssize_t n = read(fd, bytes + length, sizeof(bytes) - 1 - length);

                if (n <= 0)
                        fail("the QMP connection");
                length += (size_t)n;
                bytes[length] = '\0';
                if (strstr(bytes, "\"error\"")) {
                        fputs(bytes, stderr);
                        exit(1);
                }
                if (strstr(bytes, what) && strstr(bytes, also) && bytes[length - 1] == '\n')
                        return bytes;
        }
}

static inline const char *read_until(int fd, const char *what)
{
        return read_until_both(fd, what, what);
}

static inline double us_between(const struct timespec *begin, const struct timespec *end)
{
        return (double)(end->tv_sec - begin->tv_sec) * 1e6 + (double)(end->tv_nsec - begin->tv_nsec) / 1e3;
}

static inline int compare_times(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

/* Sorts them. */
static inline double median_of(double *times, size_t n)
{
        qsort(times, n, sizeof(*times), compare_times);
        return times[n / 2];
}
