/*
 * ivshmem - what an ivshmem-server says to a QEMU that connects (QEMU, docs/specs/ivshmem-spec.rst): version 0, the id 0, and
 * -1 with the memory, 1 MiB. Numbers are little-endian, as the machines of the tests are.
 */
#pragma once

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static int ivshmem_greet(int sock)
{
        static const int64_t words[] = { 0, 0, -1 };
        char control[CMSG_SPACE(sizeof(int))] = { 0 };
        int memory = memfd_create("shared", MFD_CLOEXEC);

        if (memory < 0 || ftruncate(memory, 1 << 20) < 0)
                return -1;
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                struct iovec word = { .iov_base = (void *)&words[i], .iov_len = sizeof(words[i]) };
                struct msghdr message = { .msg_iov = &word, .msg_iovlen = 1 };

                if (words[i] < 0) {
                        struct cmsghdr *header;

                        message.msg_control = control;
                        message.msg_controllen = sizeof(control);
                        header = CMSG_FIRSTHDR(&message);
                        header->cmsg_len = CMSG_LEN(sizeof(int));
                        header->cmsg_level = SOL_SOCKET;
                        header->cmsg_type = SCM_RIGHTS;
                        memcpy(CMSG_DATA(header), &memory, sizeof(int));
                }
                if (sendmsg(sock, &message, 0) < 0)
                        return -1;
        }
        close(memory);
        return 0;
}
