/* proof_names - tests and goldens that a document names: is there such a one? */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"

#define PROOF_FILE_MAX (4 << 20)

/* New string; NULL: it cannot be read. */
static inline char *proof_read_file(const char *path)
{
        struct error *err = NULL;
        char *text = NULL;

        if (fd_read_file_at(AT_FDCWD, path, PROOF_FILE_MAX, &text, NULL, &err) < 0)
                error_free(err);
        return text;
}

/* "FILE:TEST" names a test of tests/integration or tests/unit. */
static inline bool proof_test_exists(const char *proof)
{
        const char *colon = strchr(proof, ':');
        _cleanup_free_ char *file = colon ? xstrndup(proof, (size_t)(colon - proof)) : NULL;
        _cleanup_free_ char *path = file ? xasprintf("tests/integration/%s", file) : NULL, *text = NULL;
        _cleanup_free_ char *words = NULL;

        if (!file || strchr(file, '/') || !colon[1])
                return false;
        text = proof_read_file(path);
        if (!text) {
                free(path);
                path = xasprintf("tests/unit/%s", file);
                text = proof_read_file(path);
        }
        words = text_ends_with(file, ".sh") ? xasprintf("\ntest_%s()", colon + 1)
                                            : xasprintf(" %s(void **state)", colon + 1);
        return text && strstr(text, words);
}
