/* golden_files - which files of the goldens' folder are templates; for scandir(). */
#pragma once

#include <dirent.h>

#include "base/text.h"

#define GOLDEN_DIR "tests/golden"

static inline int is_template(const struct dirent *entry)
{
        return text_ends_with(entry->d_name, ".tmpl");
}

/* A whole one of real life. */
static inline int is_real_template(const struct dirent *entry)
{
        return is_template(entry) && text_starts_with(entry->d_name, "real-");
}
