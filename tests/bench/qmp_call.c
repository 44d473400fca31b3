/*
 * qmp_call - how long one QMP call takes: N calls of query-name, one after the other, on each of two sockets in turn.
 *
 * qmp_call N SOCKET OTHER: prints the median of each in microseconds, "SOCKET OTHER". Both must be QMP.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CALLS_MAX 100000

static int connect_to(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (strlen(path) >= sizeof(address.sun_path)) {
                fprintf(stderr, "qmp_call: '%s' is too long for a socket\n", path);
                exit(2);
        }
        strcpy(address.sun_path, path);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
                perror(path);
                exit(1);
        }
        return fd;
}

/* Up to the line that has what in it. */
static void read_until(int fd, const char *what)
{
        static char bytes[65536];
        size_t length = 0;

        for (;;) {
                ssize_t n = read(fd, bytes + length, sizeof(bytes) - 1 - length);

                if (n <= 0) {
                        fprintf(stderr, "qmp_call: the connection ended\n");
                        exit(1);
                }
                length += (size_t)n;
                bytes[length] = '\0';
                if (strstr(bytes, what) && bytes[length - 1] == '\n')
                        return;
        }
}

static void say(int fd, const char *line)
{
        if (write(fd, line, strlen(line)) != (ssize_t)strlen(line))
                exit(1);
}

static double call_us(int fd)
{
        struct timespec begin, end;

        clock_gettime(CLOCK_MONOTONIC, &begin);
        say(fd, "{\"execute\":\"query-name\",\"id\":\"call\"}\n");
        read_until(fd, "\"call\"");
        clock_gettime(CLOCK_MONOTONIC, &end);
        return (double)(end.tv_sec - begin.tv_sec) * 1e6 + (double)(end.tv_nsec - begin.tv_nsec) / 1e3;
}

static int compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
        static double times[2][CALLS_MAX];
        int n = argc == 4 ? atoi(argv[1]) : 0, fds[2];

        if (n < 1 || n > CALLS_MAX) {
                fprintf(stderr, "usage: qmp_call N SOCKET OTHER\n");
                return 2;
        }
        for (int i = 0; i < 2; i++) {
                fds[i] = connect_to(argv[2 + i]);
                read_until(fds[i], "\"QMP\"");
                say(fds[i], "{\"execute\":\"qmp_capabilities\",\"id\":\"ready\"}\n");
                read_until(fds[i], "\"ready\"");
        }
        for (int i = 0; i < n; i++)
                for (int j = 0; j < 2; j++)
                        times[j][i] = call_us(fds[j]);
        for (int j = 0; j < 2; j++)
                qsort(times[j], (size_t)n, sizeof(double), compare);
        printf("%.1f %.1f\n", times[0][n / 2], times[1][n / 2]);
        return 0;
}
