/* What plans have to know of files on storage that may not answer: images, kernel, initrd, shared directories. A child
 * finds it out while this process reads the host's facts; what was seen once is known to the next plan. */
#include <string.h>

#include "launcher/storage/apart.h"
#include "launcher/storage/image_chain.h"
#include "launcher/verb/prepare_parts.h"

struct seen {
        bool is_facts;
        struct image_chain *chain; /* or */
        struct file_facts facts;
};

struct looks {
        struct image_request *requests; /* owned paths; ret_facts is set while the child looks */
        struct seen *seen;              /* the answers */
        size_t n, n_seen;
        struct image_reading reading;
        struct apart *child; /* NULL: nobody looks */
};

static void drop_unseen(struct looks *looks)
{
        while (looks->n > looks->n_seen)
                free((char *)looks->requests[--looks->n].path);
}

void looks_free(struct looks *looks)
{
        if (!looks)
                return;
        apart_drop(looks->child);
        for (size_t i = 0; i < looks->n; i++)
                image_chain_free(looks->seen[i].chain);
        looks->n_seen = 0;
        drop_unseen(looks);
        free(looks->requests);
        free(looks->seen);
        free(looks);
}

/* What one spec wants to know; an image's format NONE: not an image. */
struct wanted {
        const char *path; /* NULL: nothing */
        enum disk_format format;
        bool format_is_guess, is_facts;
};

static size_t count_wanted(const struct vm_spec *spec)
{
        return spec->n_disks + 2 + spec->n_filesystems;
}

static struct wanted wanted_at(const struct vm_spec *spec, size_t i)
{
        if (i < spec->n_disks) {
                const struct disk_spec *disk = &spec->disks[i];

                return (struct wanted){ disk->path && *disk->path ? disk->path : NULL, disk->format,
                                        disk->format_is_guess, false };
        }
        i -= spec->n_disks;
        return (struct wanted){ i == 0   ? spec->os.kernel
                                : i == 1 ? spec->os.initrd
                                         : spec->filesystems[i - 2].source,
                                DISK_FORMAT_NONE, false, true };
}

static bool is_it(const struct looks *looks, size_t i, const struct wanted *wanted)
{
        const struct image_request *request = &looks->requests[i];

        return looks->seen[i].is_facts == wanted->is_facts && request->format == wanted->format &&
               request->format_is_guess == wanted->format_is_guess &&
               strcmp(request->path, wanted->path) == 0;
}

/* Among the first limit, where it is most often one behind the last that was found; limit: it is not there. */
static size_t find(const struct looks *looks, size_t limit, const struct wanted *wanted, size_t *next)
{
        for (size_t k = 0; k < limit; k++) {
                size_t i = (*next + k) % limit;

                if (is_it(looks, i, wanted)) {
                        *next = i + 1;
                        return i;
                }
        }
        return limit;
}

static void add(struct looks *looks, const struct wanted *wanted)
{
        size_t n = looks->n;

        ARRAY_GROW(looks->requests, n);
        ARRAY_GROW(looks->seen, n);
        looks->requests[n] = (struct image_request){ .path = xstrdup(wanted->path),
                                                     .format = wanted->format,
                                                     .format_is_guess = wanted->format_is_guess };
        looks->seen[n] = (struct seen){ .is_facts = wanted->is_facts };
        looks->n++;
}

int looks_begin(struct looks **looks_at, const struct vm_spec *spec, const struct vm_spec *also,
                struct error **err)
{
        const struct vm_spec *specs[] = { spec, also };
        struct looks *looks = *looks_at = *looks_at ? *looks_at : xcalloc(1, sizeof(*looks));

        /* Of a plan that was given up. */
        apart_drop(TAKE_PTR(looks->child));
        drop_unseen(looks);
        for (size_t s = 0; s < ARRAY_SIZE(specs) && specs[s]; s++) {
                size_t known = looks->n, next = 0;

                for (size_t i = 0; i < count_wanted(specs[s]); i++) {
                        const struct wanted wanted = wanted_at(specs[s], i);

                        if (wanted.path && find(looks, known, &wanted, &next) == known)
                                add(looks, &wanted);
                }
        }
        if (looks->n == looks->n_seen)
                return 0;
        for (size_t i = looks->n_seen; i < looks->n; i++)
                looks->requests[i].ret_facts = looks->seen[i].is_facts ? &looks->seen[i].facts : NULL;
        looks->reading = (struct image_reading){ .requests = looks->requests + looks->n_seen,
                                                 .n = looks->n - looks->n_seen };
        looks->child = image_chains_begin(&looks->reading, err);
        if (!looks->child)
                drop_unseen(looks);
        return looks->child ? 0 : -1;
}

/* Which of the spec's disks the image is of, so that the error is at its place. */
static bool blame(const struct looks *looks, size_t failed, const struct vm_spec *spec, struct error **err)
{
        for (size_t i = 0; i < spec->n_disks; i++) {
                const struct wanted wanted = wanted_at(spec, i);
                _cleanup_free_ char *reference = NULL;

                if (!wanted.path || !is_it(looks, failed, &wanted))
                        continue;
                reference = xasprintf("DISK[%zu]/%s", i, spec->disks[i].source ? "SOURCE" : "IMAGE");
                error_wrap(err, "%s", reference);
                prepare_add_place(spec, reference, err);
                return true;
        }
        return false;
}

int looks_end(struct looks *looks, const struct vm_spec *spec, const struct vm_spec *also, struct error **err)
{
        struct image_chain **found;
        size_t failed;
        int result;

        if (!looks->child)
                return 0;
        found = xcalloc(looks->reading.n, sizeof(struct image_chain *));
        result = image_chains_end(TAKE_PTR(looks->child), &looks->reading, found, &failed, err);
        for (size_t i = 0; i < looks->reading.n; i++)
                looks->seen[looks->n_seen + i].chain = found[i];
        free(found);
        if (result == 0) {
                looks->n_seen = looks->n;
                return 0;
        }
        if (failed < looks->reading.n && !blame(looks, looks->n_seen + failed, spec, err) && also)
                blame(looks, looks->n_seen + failed, also, err);
        /* Those before it are known. */
        looks->n_seen += failed < looks->reading.n ? failed : 0;
        drop_unseen(looks);
        return -1;
}

void looks_take(const struct looks *looks, const struct vm_spec *spec, struct image_chain **ret_chains,
                struct file_facts *ret_kernel, struct file_facts *ret_initrd,
                struct file_facts *ret_directories)
{
        size_t next = 0;

        for (size_t i = 0; i < count_wanted(spec); i++) {
                const struct wanted wanted = wanted_at(spec, i);
                size_t at = wanted.path ? find(looks, looks->n, &wanted, &next) : looks->n;

                if (at == looks->n)
                        continue;
                if (i < spec->n_disks)
                        ret_chains[i] = looks->seen[at].chain;
                else if (i == spec->n_disks)
                        *ret_kernel = looks->seen[at].facts;
                else if (i == spec->n_disks + 1)
                        *ret_initrd = looks->seen[at].facts;
                else
                        ret_directories[i - spec->n_disks - 2] = looks->seen[at].facts;
        }
}
