/* Firmware descriptors, and what a firmware file's name says. */
#include "tests/unit/scratch.h"

#include "base/text.h"
#include "launcher/host/firmware.h"

#define DESCRIPTOR(code, vars, machine, features)                                                        \
        "{\"description\": \"x\", \"interface-types\": [\"uefi\"], \"mapping\": {\"device\": \"flash\"," \
        " \"executable\": {\"filename\": \"" code "\", \"format\": \"raw\"},"                            \
        " \"nvram-template\": {\"filename\": \"" vars "\", \"format\": \"qcow2\"}},"                     \
        " \"targets\": [{\"architecture\": \"x86_64\", \"machines\": [\"" machine "\"]}],"               \
        " \"features\": [" features "], \"tags\": []}"

static char *make(struct fixture *f, const char *directory, const char *name, const char *text)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", directory, name);
        char *absolute = xasprintf("%s/%s", f->path, directory);
        struct error *err = NULL;

        assert_int_equal(fd_mkdir_p(f->fd, directory, 0755, &err), 0);
        assert_int_equal(fd_write_file_at(f->fd, path, text, strlen(text), 0644, 0, &err), 0);
        return absolute;
}

static struct firmware_list *list_of(const char *const *directories, const char *const *files)
{
        struct firmware_list *list = NULL;
        struct error *err = NULL;

        if (firmware_list_read(directories, files, &list, &err) < 0)
                fail_msg("%s", err->message);
        return list;
}

static void descriptors_are_in_the_order_of_their_names(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *usr = make(f, "usr", "60-plain.json", DESCRIPTOR("/c", "/v", "pc-*", "")),
                            *again = make(f, "usr", "40-secure.json",
                                          DESCRIPTOR("/cs", "/vs", "pc-q35-*",
                                                     "\"secure-boot\", \"requires-smm\", \"enrolled-keys\""));
        const char *const directories[] = { "/nonexistent", usr, NULL };
        _cleanup_(firmware_list_freep) struct firmware_list *list = list_of(directories, NULL);

        (void)again;
        assert_int_equal(list->n, 2);
        assert_null(list->warnings);
        assert_string_equal(list->items[0].name, "40-secure.json");
        assert_true(list->items[0].secure_boot && list->items[0].requires_smm &&
                    list->items[0].enrolled_keys);
        assert_string_equal(list->items[1].code, "/c");
        assert_string_equal(list->items[1].vars, "/v");
        assert_int_equal(list->items[1].code_format, DISK_FORMAT_RAW);
        assert_int_equal(list->items[1].vars_format, DISK_FORMAT_QCOW2);
        assert_false(list->items[1].secure_boot);
        assert_true(firmware_fits(&list->items[0], "x86_64", "pc-q35-7.2"));
        assert_false(firmware_fits(&list->items[0], "x86_64", "pc-i440fx-7.2"));
        assert_true(firmware_fits(&list->items[1], "x86_64", "pc-i440fx-7.2"));
        assert_false(firmware_fits(&list->items[1], "aarch64", "pc-i440fx-7.2"));
}

static void the_last_directory_replaces_and_hides(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *usr = make(f, "usr", "50.json", DESCRIPTOR("/a", "/v", "*", "")),
                            *more = make(f, "usr", "60.json", DESCRIPTOR("/b", "/v", "*", "")),
                            *etc = make(f, "etc", "50.json", ""),
                            *again = make(f, "etc", "60.json", DESCRIPTOR("/mine", "/v", "*", ""));
        const char *const directories[] = { usr, etc, NULL };
        _cleanup_(firmware_list_freep) struct firmware_list *list = list_of(directories, NULL);

        (void)more, (void)again;
        assert_int_equal(list->n, 1);
        assert_string_equal(list->items[0].code, "/mine");
}

static void what_is_not_understood_is_named_and_passed_over(void **state)
{
        static const char *const texts[] = {
                "{",
                "[]",
                "{\"interface-types\": [\"uefi\"]}",
                DESCRIPTOR("relative", "/v", "*", ""),
                DESCRIPTOR("/c\\u0001", "/v", "*", ""),
                DESCRIPTOR("/c", "/v", "", ""),
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                _cleanup_free_ char *usr = make(f, "usr", "50.json", texts[i]);
                const char *const directories[] = { usr, NULL };
                _cleanup_(firmware_list_freep) struct firmware_list *list = list_of(directories, NULL);

                assert_int_equal(list->n, 0);
                assert_int_equal(error_count(list->warnings), 1);
                assert_non_null(
                        strstr(list->warnings->message, "firmware descriptor '50.json' is not understood"));
        }
}

/* Firmware of other kinds is not an error, and not for us. */
static void other_kinds_of_firmware_are_passed_over(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *usr =
                make(f, "usr", "30-bios.json",
                     "{\"interface-types\": [\"bios\"], \"mapping\": {\"device\": \"memory\","
                     " \"filename\": \"/b\"}, \"targets\": [], \"features\": []}");
        const char *const directories[] = { usr, NULL };
        _cleanup_(firmware_list_freep) struct firmware_list *list = list_of(directories, NULL);

        assert_int_equal(list->n, 0);
        assert_null(list->warnings);
}

static void files_that_exist_are_known_and_survive_json(void **state)
{
        struct fixture *f = *state;
        _cleanup_free_ char *usr =
                make(f, "usr", "50.json", DESCRIPTOR("/dev/null", "/v", "*", "\"secure-boot\""));
        const char *const directories[] = { usr, NULL }, *const files[] = { "/dev/zero", "/nonexistent",
                                                                            NULL };
        _cleanup_(firmware_list_freep) struct firmware_list *list = list_of(directories, files),
                                                            *again = NULL;
        json_auto_t *json = firmware_list_to_json(list), *json_again = NULL;
        struct error *err = NULL;

        assert_true(firmware_file_exists(list, "/dev/null") && firmware_file_exists(list, "/dev/zero"));
        assert_false(firmware_file_exists(list, "/v") || firmware_file_exists(list, "/nonexistent"));
        assert_int_equal(firmware_list_from_json(json, &again, &err), 0);
        json_again = firmware_list_to_json(again);
        assert_true(json_equal(json, json_again));
        assert_true(again->items[0].secure_boot);
}

static void names_of_firmware_say_where_its_variables_are(void **state)
{
        static const struct {
                const char *code, *plain, *keys;
        } rows[] = {
                { "/o/OVMF_CODE.fd", "/o/OVMF_VARS.fd", "/o/OVMF_VARS.ms.fd" },
                { "/o/OVMF_CODE_4M.secboot.fd", "/o/OVMF_VARS_4M.fd", "/o/OVMF_VARS_4M.ms.fd" },
                { "/CODE/AAVMF_CODE", "/CODE/AAVMF_VARS", "/CODE/AAVMF_VARS.ms" },
                { "/CODE/bios.bin", NULL, NULL },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *plain = firmware_vars_beside(rows[i].code, false),
                                    *keys = firmware_vars_beside(rows[i].code, true);

                if (!rows[i].plain) {
                        assert_null(plain);
                        assert_null(keys);
                        continue;
                }
                assert_string_equal(plain, rows[i].plain);
                assert_string_equal(keys, rows[i].keys);
        }
}

static void list_of_files_is_of_whole_words(void **state)
{
        (void)state;
        assert_true(firmware_is_listed("/a /b.fd\n/c", "/b.fd"));
        assert_true(firmware_is_listed("/a /b.fd\n/c", "/c"));
        assert_false(firmware_is_listed("/a /b.fd", "/b"));
        assert_false(firmware_is_listed("/a /b.fd", ""));
        assert_false(firmware_is_listed(NULL, "/a"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(descriptors_are_in_the_order_of_their_names, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(the_last_directory_replaces_and_hides, set_up, tear_down),
                cmocka_unit_test_setup_teardown(what_is_not_understood_is_named_and_passed_over, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(other_kinds_of_firmware_are_passed_over, set_up, tear_down),
                cmocka_unit_test_setup_teardown(files_that_exist_are_known_and_survive_json, set_up,
                                                tear_down),
                cmocka_unit_test(names_of_firmware_say_where_its_variables_are),
                cmocka_unit_test(list_of_files_is_of_whole_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
