/*
 * secret - values that nobody may read: rows of the tables with .secret set, and what is written of them instead.
 *
 * The value lives in the spec's field and nowhere else: origins, messages, excerpts, explain and live.tmpl have a
 * stand-in. Pure.
 */
#pragma once

#include <stddef.h>

/* What a secret row's text means. */
enum secret_kind {
        SECRET_TEXT,     /* the secret itself */
        SECRET_FILE,     /* "file:/path": a file of the host that holds it */
        SECRET_WITHHELD, /* live.tmpl's stand-in: there was one */
};

/* In the place of a secret, wherever values are shown. */
#define SECRET_SHOWN "(secret)"
/* In live.tmpl, where planning must give the same machine and nobody the secret. */
#define SECRET_WITHHELD_TEXT "withheld:"

/* *ret_path (may be NULL): the path of a SECRET_FILE, within value. */
enum secret_kind secret_kind_of(const char *value, const char **ret_path);

/*
 * A copy of the text, of the same length, in which the values of secret keys are asterisks: of KEY = value in the native
 * syntax (also where it is broken), and of <KEY>value</KEY>. For excerpts.
 */
char *secret_mask(const char *text, size_t length);
