/*
 * qmp_call - how long one QMP call takes: N calls of query-name, one after the other, on each of two sockets in turn.
 *
 * qmp_call N SOCKET OTHER: prints the median of each in microseconds, "SOCKET OTHER". Both must be QMP.
 */
#include "tests/bench/qmp_socket.h"

#define CALLS_MAX 100000

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
        return us_between(&begin, &end);
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
        printf("%.1f %.1f\n", median_of(times[0], (size_t)n), median_of(times[1], (size_t)n));
        return 0;
}
