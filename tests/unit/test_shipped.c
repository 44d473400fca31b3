/* The configuration files in dist/etc: made of the tables, and without effect also when their lines are no comments. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/attr.h"
#include "conf/kvmrc.h"
#include "conf/shipped.h"
#include "conf/site.h"
#include "conf/spec_build.h"

static const struct {
        const char *file;
        enum layer layer;
} files[] = { { "vmm_exec_kvm.conf", LAYER_DRIVER },
              { "cluster.conf", LAYER_CLUSTER },
              { "host.conf", LAYER_HOST },
              { "kvmrc", LAYER_NONE } };

static char *made(size_t i)
{
        return files[i].layer ? shipped_conf(files[i].layer) : shipped_kvmrc();
}

static void the_files_of_the_source_are_those_of_the_tables(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *path = xasprintf("dist/etc/%s", files[i].file), *kept = NULL;
                _cleanup_free_ char *text = made(i);
                struct error *err = NULL;

                assert_int_equal(fd_read_file_at(AT_FDCWD, path, 4 << 20, &kept, NULL, &err), 0);
                if (strcmp(text, kept) != 0)
                        fail_msg("%s is not what the tables say (`make docs`)", path);
        }
}

/* "#NAME" at the start of a line, and the lines of a vector up to its ']', without the '#'. */
static char *uncommented(const char *text)
{
        bool in_vector = false;
        struct text out = TEXT_INIT;

        while (*text) {
                size_t n = strcspn(text, "\n");

                if (*text == '#' && (in_vector || (text[1] >= 'A' && text[1] <= 'Z'))) {
                        text_add_bytes(&out, text + 1, n - 1);
                        in_vector = text[n - 1] == '[' || (in_vector && text[n - 1] != ']');
                }
                text_add(&out, "\n");
                text += n + (text[n] == '\n');
        }
        return text_take(&out);
}

static struct site *site_of(char *const *texts)
{
        struct site *site = NULL;
        struct error *err = NULL;

        if (site_from_text(NULL, texts[0], texts[1], texts[2], texts[3], &site, &err) < 0)
                fail_msg("%s", err->message);
        if (site->warnings)
                fail_msg("%s", site->warnings->message);
        return site;
}

static char *spec_text(const struct site *site)
{
        /* MEMORY_BACKING and BALLOON are there once anybody says anything of them. */
        static const char text[] =
                "MEMORY=64 MEMORY_BACKING=[LOCKED=no] BALLOON=[AUTODEFLATE=no] DISK=[SOURCE=a.qcow2] DISK=[SOURCE=b,DEV_PREFIX=vd] NIC=[BRIDGE=br0]";
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL;
        struct error *err = NULL;

        if (template_parse("t", text, strlen(text), &template, &err) < 0 ||
            spec_build(template, site, "/", "t", &spec, &err) < 0)
                fail_msg("%s", err->message);
        return spec_to_template(spec);
}

static void what_the_files_show_is_what_counts_without_them(void **state)
{
        char *none[ARRAY_SIZE(files)] = { NULL }, *shipped[ARRAY_SIZE(files)], *in_force[ARRAY_SIZE(files)];
        char *const *const all[] = { none, shipped, in_force };
        _cleanup_free_ char *first = NULL;
        struct kvmrc kvmrc, same;

        (void)state;
        kvmrc_init(&kvmrc);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                shipped[i] = made(i);
                in_force[i] = uncommented(shipped[i]);
        }
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                _cleanup_(site_freep) struct site *site = site_of(all[i]);
                _cleanup_free_ char *text = spec_text(site);

                if (!first)
                        first = xstrdup(text);
                for (size_t at = 0; strcmp(text, first) != 0; at++)
                        if (text[at] != first[at])
                                fail_msg("with them:\n%.200s\nwithout them:\n%.200s", text + at, first + at);
                assert_string_equal(site->image_dir, "/var/lib/vmlaunch/images");
                assert_int_equal(site->q35_root_ports, 16);
                assert_string_equal(site->kvmrc.virtiofsd, kvmrc.virtiofsd);
                same = site->kvmrc;
                /* The one that the file sets to something else, as OpenNebula's documentation promises it. */
                assert_int_equal(same.cleanup_on_stop, all[i] == shipped);
                same.cleanup_on_stop = false;
                same.virtiofsd = kvmrc.virtiofsd;
                assert_memory_equal(&same, &kvmrc, sizeof(kvmrc));
        }
        kvmrc_done(&kvmrc);
        assert_non_null(strstr(in_force[0], "\nDISK = ["));
        assert_non_null(strstr(in_force[3], "\nSHUTDOWN_TIMEOUT=180\n"));
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                free(shipped[i]);
                free(in_force[i]);
        }
}

/* Each is in the file where it belongs: shown, or at least named. */
static void every_setting_is_in_a_file(void **state)
{
        _cleanup_text_ struct text all = TEXT_INIT;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *text = made(i);

                text_add(&all, text);
        }
        for (size_t i = 0; attr_sections[i]; i++)
                for (size_t j = 0; j < attr_sections[i]->n_rows; j++) {
                        const struct attr *row = &attr_sections[i]->rows[j];
                        _cleanup_free_ char *line =
                                xasprintf(*attr_sections[i]->name ? "\n#   %s: " : "\n#%s = ", row->name);

                        if (row->state == ATTR_HERE && row->lookup != LOOKUP_D &&
                            !strstr(text_str(&all), line))
                                fail_msg("%s", line);
                }
        for (const struct kvmrc_row *row = kvmrc_rows; row->name; row++) {
                _cleanup_free_ char *line = xasprintf(row->shipped ? "\n%s="
                                                      : row->here  ? "\n#%s="
                                                                   : "\n#   %s: ",
                                                      row->name);

                if (!strstr(text_str(&all), line))
                        fail_msg("%s", line);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_files_of_the_source_are_those_of_the_tables),
                cmocka_unit_test(what_the_files_show_is_what_counts_without_them),
                cmocka_unit_test(every_setting_is_in_a_file),
        };

        return cmocka_run_group_tests_name("shipped", tests, NULL, NULL);
}
