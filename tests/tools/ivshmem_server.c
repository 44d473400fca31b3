/* ivshmem_server SOCKET: greets each QEMU that connects, and holds its connections until it is killed. */
#include <stdio.h>
#include <sys/un.h>

#include "tests/tools/ivshmem.h"

int main(int argc, char **argv)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int sock = socket(AF_UNIX, SOCK_STREAM, 0), client;

        if (argc != 2 || sock < 0 || strlen(argv[1]) >= sizeof(address.sun_path))
                return 2;
        strcpy(address.sun_path, argv[1]);
        if (bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(sock, 4) < 0) {
                perror(argv[1]);
                return 1;
        }
        while ((client = accept(sock, NULL, NULL)) >= 0)
                if (ivshmem_greet(client) < 0)
                        perror("greeting");
        return 1;
}
