/*
 * stand_in - takes QEMU's place: says on stderr what it was given, then waits to be killed.
 *
 * Lines: "fd N -> TARGET", "arg I TEXT", "env TEXT", "cwd PATH", "umask OCTAL", "sid 0|1 (is it the leader)",
 * the lines of /proc/self/status about ids, capabilities and signals that are blocked or ignored, "end".
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void say_fds(void)
{
        DIR *dir = opendir("/proc/self/fd");

        for (struct dirent *entry; dir && (entry = readdir(dir));) {
                char target[256] = "";

                if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(dir))
                        continue;
                if (readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1) < 0)
                        strcpy(target, "?");
                dprintf(2, "fd %s -> %s\n", entry->d_name, target);
        }
        if (dir)
                closedir(dir);
}

static void say_status(void)
{
        static const char *const wanted[] = { "Uid:",        "Gid:",    "Groups:", "Cap",
                                              "NoNewPrivs:", "SigBlk:", "SigIgn:" };
        FILE *status = fopen("/proc/self/status", "re");
        char line[512];

        while (status && fgets(line, sizeof(line), status))
                for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
                        if (strncmp(line, wanted[i], strlen(wanted[i])) == 0)
                                dprintf(2, "%s", line);
        if (status)
                fclose(status);
}

int main(int argc, char **argv)
{
        char cwd[256] = "?";
        mode_t mask = umask(0);

        say_fds();
        for (int i = 0; i < argc; i++)
                dprintf(2, "arg %d %s\n", i, argv[i]);
        for (char **env = environ; *env; env++)
                dprintf(2, "env %s\n", *env);
        dprintf(2, "cwd %s\numask %03o\nsid %d\n", getcwd(cwd, sizeof(cwd)), (unsigned)mask,
                getsid(0) == getpid());
        say_status();
        dprintf(2, "end\n");
        for (;;)
                pause();
}
