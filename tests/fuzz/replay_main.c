/*
 * replay_main - runs a fuzz target over files, without a fuzzer: each argument is a file or a directory.
 *
 * Prints "N inputs replayed"; a crash names the file before it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fd.h"

#define INPUT_MAX (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path, unsigned *count, struct error **err)
{
        _cleanup_free_ char *bytes = NULL;
        uint8_t *exact;
        size_t size;

        if (fd_read_file_at(AT_FDCWD, path, INPUT_MAX, &bytes, &size, err) < 0)
                return -1;
        fprintf(stderr, "%s\n", path);
        /* Exactly as many bytes as there are, so that the address sanitizer sees a read past them. */
        exact = xmalloc(size);
        memcpy(exact, bytes, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
        ++*count;
        return 0;
}

static int replay(const char *path, unsigned *count, struct error **err)
{
        DIR *dir = opendir(path);

        if (!dir)
                return replay_file(path, count, err);
        for (struct dirent *entry; !*err && (entry = readdir(dir));) {
                _cleanup_free_ char *file = xasprintf("%s/%s", path, entry->d_name);

                if (entry->d_name[0] != '.')
                        replay_file(file, count, err);
        }
        closedir(dir);
        return *err ? -1 : 0;
}

int main(int argc, char **argv)
{
        unsigned count = 0;

        for (int i = 1; i < argc; i++) {
                _cleanup_error_ struct error *error = NULL;

                if (replay(argv[i], &count, &error) < 0) {
                        _cleanup_free_ char *text = error_text(error);

                        fprintf(stderr, "%s\n", text);
                        return 1;
                }
        }
        printf("%u inputs replayed\n", count);
        return 0;
}
