#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "launcher/host/host_facts.h"

void file_facts_from_stat(const struct stat *st, struct file_facts *ret)
{
        *ret = (struct file_facts){
                .exists = true,
                .mode = st->st_mode,
                .uid = st->st_uid,
                .gid = st->st_gid,
                .size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
        };
}

int file_facts_read(const char *path, struct file_facts *ret, struct error **err)
{
        struct stat st;

        if (stat(path, &st) == 0)
                file_facts_from_stat(&st, ret);
        else if (errno == ENOENT || errno == ENOTDIR)
                *ret = (struct file_facts){ 0 };
        else
                return error_os(err, errno, "look at '%s'", path);
        return 0;
}

bool file_facts_allow(const struct file_facts *facts, uid_t uid, gid_t gid, gid_t extra_gid, bool read,
                      bool write)
{
        mode_t bits = facts->mode, wanted = (read ? 4u : 0u) | (write ? 2u : 0u);

        if (!facts->exists)
                return false;
        /* The first class that fits decides, also when a later one would allow more (path_resolution(7)). */
        if (facts->uid == uid)
                bits >>= 6;
        else if (facts->gid == gid || (extra_gid != (gid_t)-1 && facts->gid == extra_gid))
                bits >>= 3;
        return (bits & wanted) == wanted;
}

json_t *file_facts_to_json(const struct file_facts *facts)
{
        if (!facts->exists)
                return json_pack("{s:b}", "exists", 0);
        return json_pack("{s:b, s:I, s:I, s:I, s:I}", "exists", 1, "mode", (json_int_t)facts->mode, "uid",
                         (json_int_t)facts->uid, "gid", (json_int_t)facts->gid, "size",
                         (json_int_t)facts->size);
}

int file_facts_from_json(const json_t *json, const char *what, struct file_facts *ret, struct error **err)
{
        json_int_t mode = 0, uid = 0, gid = 0, size = 0;
        json_error_t why;
        int exists = 0;

        if (json_unpack_ex((json_t *)json, &why, 0, "{s:b, s?I, s?I, s?I, s?I}", "exists", &exists, "mode",
                           &mode, "uid", &uid, "gid", &gid, "size", &size) < 0)
                return error_set(err, ERROR_FAILED, "%s: %s", what, why.text);
        if (mode < 0 || mode > 0177777 || uid < 0 || uid > UINT32_MAX || gid < 0 || gid > UINT32_MAX ||
            size < 0)
                return error_set(err, ERROR_FAILED, "%s: a number is out of range", what);
        *ret = (struct file_facts){ .exists = exists,
                                    .mode = (mode_t)mode,
                                    .uid = (uid_t)uid,
                                    .gid = (gid_t)gid,
                                    .size = (uint64_t)size };
        return 0;
}
