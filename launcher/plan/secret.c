/* Secrets: each is a file in memory that only the VM's uid can read, and an object of QEMU's that reads it there. */
#include "conf/secret.h"
#include "launcher/plan/builder.h"

static char *fd_source(const char *id)
{
        return xasprintf("secret:%s", id);
}

static struct plan_secret_use *add_use(struct build *build, const char *id, const char *reference,
                                       const char *path, bool base64)
{
        _cleanup_free_ char *source = fd_source(id), *text = xasprintf("secret %s", reference);

        ARRAY_GROW(build->secrets, build->n_secrets);
        build->secrets[build->n_secrets++] = (struct plan_secret_use){
                .id = xstrdup(id),
                .reference = xstrdup(reference),
                .path = xstrdup_null(path),
                .base64 = base64,
                .fd = build_fd(build, source, text),
        };
        return &build->secrets[build->n_secrets - 1];
}

void secret_add_random(struct build *build, const char *id, const char *reference, unsigned length,
                       const char *keep)
{
        add_use(build, id, reference, keep, false)->random = length;
}

void secret_add_file(struct build *build, const char *id, const char *reference, const char *path,
                     bool base64)
{
        add_use(build, id, reference, path, base64);
}

void secret_add(struct build *build, const char *id, const char *reference, const char *value, bool base64)
{
        struct launch_plan *plan = build->plan;
        const char *path = NULL;
        enum secret_kind kind = secret_kind_of(value, &path);

        add_use(build, id, reference, path, base64);
        if (kind == SECRET_FILE)
                return;
        ARRAY_GROW(plan->secrets, plan->n_secrets);
        plan->secrets[plan->n_secrets++] = (struct plan_secret){
                .source = fd_source(id),
                .value = kind == SECRET_TEXT ? xstrdup(value) : NULL,
        };
}

json_t *secret_object(const char *id, int fd, bool base64)
{
        return json_pack("{s:s, s:s, s:o, s:s}", "qom-type", "secret", "id", id, "file",
                         json_sprintf("/proc/self/fd/%d", fd), "format", base64 ? "base64" : "raw");
}

void secret_args(struct build *build)
{
        for (size_t i = 0; i < build->n_secrets; i++) {
                const struct plan_secret_use *use = &build->secrets[i];

                build_json(build, use->reference, "-object", secret_object(use->id, use->fd, use->base64));
        }
}

void secret_steps(struct build *build)
{
        for (size_t i = 0; i < build->n_secrets; i++) {
                const struct plan_secret_use *use = &build->secrets[i];
                json_t *args = json_pack("{s:o, s:I, s:s}", "fd", json_sprintf("secret:%s", use->id), "uid",
                                         (json_int_t)build->uid,
                                         use->random ? "keep"
                                         : use->path ? "path"
                                                     : "from",
                                         use->path ? use->path : use->reference);

                if (use->random)
                        json_object_set_new(args, "random", json_integer(use->random));
                build_step(build, use->reference, EFFECT_SECRET, args);
        }
}
