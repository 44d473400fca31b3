/*
 * bad_successor - a program that says it can take over a supervisor and then does not.
 *
 * Its file's name says how. Asked for its word (`__reexec` without arguments) it gives the right one, but "future" that
 * of a program that reads other formats, "silent" none, for ever, and "failing" status 3. Executed in a supervisor's
 * place it ends by SIGABRT, but "garbled" becomes the program vmlaunch beside it with a state that is none.
 */
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char name[4096];

static bool is(const char *word)
{
        return strcmp(basename(name), word) == 0;
}

static void garble(int argc, char **argv)
{
        int fd = memfd_create("garbage", MFD_ALLOW_SEALING);
        char path[8192];

        /* ... __reexec NAME STATE LOCK KEEPER */
        if (fd < 0 || argc < 6 || write(fd, "{\"format\":1", 11) != 11 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0 ||
            dup2(fd, atoi(argv[argc - 3])) < 0)
                abort();
        snprintf(path, sizeof(path), "%s/vmlaunch", dirname(name));
        execv(path, argv);
}

int main(int argc, char **argv)
{
        if (readlink("/proc/self/exe", name, sizeof(name) - 1) < 0)
                return 2;
        if (argc > 2 && is("garbled"))
                garble(argc, argv);
        if (argc > 2)
                abort();
        while (is("silent"))
                pause();
        printf("{\"vmlaunch\": \"9.9\", \"handover\": {\"oldest\": %d, \"newest\": 99}}\n",
               is("future") ? 90 : 1);
        return is("failing") ? 3 : 0;
}
