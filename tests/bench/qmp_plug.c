/*
 * qmp_plug - how long QEMU takes for the commands of a disk's attach: N disks come and go on one socket of its own.
 *
 * qmp_plug N SOCKET IMAGE: prints the median in microseconds. QEMU has a SCSI controller "scsi0", whose disks go at once.
 */
#include <fcntl.h>

#include "tests/bench/qmp_socket.h"

#define TIMES_MAX 1000

static void send_line(int fd, const char *line, int passed)
{
        struct iovec part = { .iov_base = (void *)line, .iov_len = strlen(line) };
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
        struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

        if (passed >= 0) {
                struct cmsghdr *header = (struct cmsghdr *)control;

                message.msg_control = control;
                message.msg_controllen = sizeof(control);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(header), &passed, sizeof(int));
        }
        if (sendmsg(fd, &message, 0) != (ssize_t)part.iov_len)
                fail("sendmsg");
}

static void call(int fd, const char *line, int passed)
{
        send_line(fd, line, passed);
        read_until(fd, "\"done\"");
}

static double plug_us(int fd, int image)
{
        struct timespec begin, end;

        clock_gettime(CLOCK_MONOTONIC, &begin);
        call(fd, "{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":9},\"id\":\"done\"}\n", image);
        call(fd,
             "{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"file\",\"node-name\":\"f\",\"filename\":"
             "\"/dev/fdset/9\",\"locking\":\"off\"},\"id\":\"done\"}\n",
             -1);
        call(fd,
             "{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"raw\",\"node-name\":\"r\",\"file\":\"f\"},"
             "\"id\":\"done\"}\n",
             -1);
        call(fd,
             "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"scsi-hd\",\"id\":\"d\",\"bus\":\"scsi0.0\","
             "\"drive\":\"r\"},\"id\":\"done\"}\n",
             -1);
        clock_gettime(CLOCK_MONOTONIC, &end);
        send_line(fd, "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"d\"},\"id\":\"asked\"}\n", -1);
        read_until(fd, "DEVICE_DELETED");
        call(fd, "{\"execute\":\"blockdev-del\",\"arguments\":{\"node-name\":\"r\"},\"id\":\"done\"}\n", -1);
        call(fd, "{\"execute\":\"blockdev-del\",\"arguments\":{\"node-name\":\"f\"},\"id\":\"done\"}\n", -1);
        call(fd, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":9},\"id\":\"done\"}\n", -1);
        return us_between(&begin, &end);
}

int main(int argc, char **argv)
{
        static double times[TIMES_MAX];
        int n = argc == 4 ? atoi(argv[1]) : 0, fd, image;

        if (n < 1 || n > TIMES_MAX) {
                fprintf(stderr, "usage: qmp_plug N SOCKET IMAGE\n");
                return 2;
        }
        fd = connect_to(argv[2]);
        image = open(argv[3], O_RDWR | O_CLOEXEC);
        if (image < 0)
                fail(argv[3]);
        read_until(fd, "\"QMP\"");
        call(fd, "{\"execute\":\"qmp_capabilities\",\"id\":\"done\"}\n", -1);
        for (int i = 0; i < n; i++)
                times[i] = plug_us(fd, image);
        printf("%.0f\n", median_of(times, (size_t)n));
        return 0;
}
