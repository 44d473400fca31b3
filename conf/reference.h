/*
 * reference - the tables as documents: the template reference in Markdown and the manual page vmlaunch.template(5).
 *
 * Pure. New strings.
 */
#pragma once

char *reference_markdown(void);
/* roff with the man macros; version: of the program. */
char *reference_man(const char *version);
/* Every name that `vmlaunch describe` takes: attributes, vectors, VECTOR/KEY; one a line. */
char *reference_names(void);
