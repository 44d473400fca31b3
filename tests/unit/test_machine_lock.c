#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "launcher/state/machine_lock.h"

#define UUID "b1c2d3e4-0000-4000-8000-000000000001"
#define HEAD "LAYOUT = \"1\"\nUUID = \"" UUID "\"\nMACHINE = \"pc-q35-7.2\"\nFAMILY = \"q35\"\n"
#define GOOD HEAD "UID = \"1900000017\"\nADDRESS = [ DEVICE = \"disk0\", ADDRESS = \"rp1:0x0\" ]\n"

static void what_is_written_is_read_again(void **state)
{
        struct locked_address addresses[] = { { (char *)"disk0", (char *)"rp3:0x0" },
                                              { (char *)"agent", (char *)"pci.0:0x4" } };
        struct locked_image images[] = { { (char *)"/srv/a, b].qcow2", (char *)"" },
                                         { (char *)"/srv/c.qcow2", (char *)"raw:/srv/\"base\".raw" } };
        const struct machine_lock lock = { .layout = 1,
                                           .uuid = (char *)UUID,
                                           .machine = (char *)"pc-q35-7.2",
                                           .family = (char *)"q35",
                                           .uid = 1900000017,
                                           .addresses = addresses,
                                           .n_addresses = 2,
                                           .images = images,
                                           .n_images = 2 };
        _cleanup_(machine_lock_freep) struct machine_lock *back = NULL;
        _cleanup_free_ char *text = machine_lock_text(&lock), *again = NULL;
        struct error *err = NULL;

        (void)state;
        assert_int_equal(machine_lock_parse("machine.lock", text, &back, &err), 0);
        assert_int_equal(back->layout, 1);
        assert_int_equal(back->uid, 1900000017);
        assert_string_equal(back->machine, "pc-q35-7.2");
        assert_string_equal(back->family, "q35");
        assert_int_equal(back->n_addresses, 2);
        assert_string_equal(back->addresses[1].device, "agent");
        assert_string_equal(back->addresses[1].address, "pci.0:0x4");
        assert_string_equal(machine_lock_backing(back, images[0].path), "");
        assert_string_equal(machine_lock_backing(back, images[1].path), images[1].backing);
        assert_null(machine_lock_backing(back, "/srv/d.qcow2"));
        again = machine_lock_text(back);
        assert_string_equal(text, again);
}

/* They are kept for ever, and a VM may have other ones at each start. */
static void no_number_of_images_makes_a_lock_that_cannot_be_read(void **state)
{
        (void)state;
        for (int is_long = 0; is_long < 2; is_long++) {
                _cleanup_(machine_lock_freep) struct machine_lock *lock = NULL, *back = NULL;
                _cleanup_free_ char *text = NULL;
                struct error *err = NULL;

                assert_int_equal(machine_lock_parse("machine.lock", GOOD, &lock, &err), 0);
                for (size_t n = 0; n < 10000; n++) {
                        _cleanup_free_ char *path = xasprintf("/srv/%0*zu", is_long ? 200 : 1, n);

                        machine_lock_add_image(lock, path, path);
                }
                assert_true(lock->n_images > 100);
                text = machine_lock_text(lock);
                assert_true(strlen(text) < 128 << 10);
                assert_int_equal(machine_lock_parse("machine.lock", text, &back, &err), 0);
                assert_int_equal(back->n_images, lock->n_images);
        }
}

static void wrong_locks_are_refused_with_their_place(void **state)
{
        static const struct {
                const char *text, *words;
        } cases[] = {
                { "", "LAYOUT is missing" },
                { HEAD, "UID is missing" },
                { GOOD "LAYOUT = \"1\"\n", "LAYOUT is given twice" },
                { GOOD "MACHINE = \"pc\"\n", "MACHINE is given twice" },
                { GOOD "COLOUR = \"red\"\n", "COLOUR is not understood" },
                { GOOD "NIC = [ A = \"b\" ]\n", "NIC is not understood" },
                { GOOD "ADDRESS = [ DEVICE = \"disk0\", ADDRESS = \"rp2:0x0\" ]\n", "given twice" },
                { GOOD "ADDRESS = [ DEVICE = \"disk1\" ]\n", "needs DEVICE and ADDRESS" },
                { GOOD "ADDRESS = [ DEVICE = \"d,x\", ADDRESS = \"rp2:0x0\" ]\n", "not understood" },
                { GOOD "IMAGE = [ PATH = \"/a\" ]\n", "needs PATH and BACKING" },
                { GOOD "IMAGE = [ PATH = \"/a\", FORMAT = \"raw\" ]\n", "not understood" },
                { GOOD
                  "IMAGE = [ PATH = \"/a\", BACKING = \"\" ]\nIMAGE = [ PATH = \"/a\", BACKING = \"\" ]\n",
                  "one too many" },
                { HEAD "UID = \"-1\"\n", "UID is not a number" },
                { HEAD "UID = \"4294967295\"\n", "UID is not a number" },
                { "LAYOUT = \"2\"\nSOMETHING = \"new\"\n", "LAYOUT 2 is not known here" },
                { "LAYOUT = \"1\"\nMACHINE = \"q35,usb=on\"\n", "is not a name of QEMU's" },
                { "LAYOUT = \"1\"\nUUID = \"x\"\nMACHINE = \"q35\"\nFAMILY = \"q35\"\nUID = \"1\"\n",
                  "not a UUID" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct machine_lock *lock = NULL;
                struct error *err = NULL;

                assert_int_equal(machine_lock_parse("machine.lock", cases[i].text, &lock, &err), -1);
                assert_int_equal(err->code, ERROR_INVALID);
                assert_string_equal(err->pos.file, "machine.lock");
                if (!strstr(err->message, cases[i].words))
                        fail_msg("'%s' does not say '%s'", err->message, cases[i].words);
                error_free(err);
        }
}

static void vm_without_a_lock_has_none(void **state)
{
        struct machine_lock *lock = NULL;
        struct error *err = NULL;

        (void)state;
        assert_int_equal(machine_lock_read("/nonexistent", "web", &lock, &err), 0);
        assert_null(lock);
}

/* As we write it, and as somebody has edited it; a wrong one is no claim. */
static void claims_are_read_without_the_rest(void **state)
{
        static const struct {
                const char *text;
                int there;
                unsigned uid, port;
        } cases[] = {
                { "# Written\n" GOOD, 1, 1900000017, 0 },
                { "# Written\n" GOOD "PORT = \"5901\"\n", 1, 1900000017, 5901 },
                { HEAD "UID=\"7\"\nPORT = 5902\n", 1, 7, 5902 },
                { "# Written\n" GOOD "PORT = \"x\"\n", -1, 0, 0 },
                { HEAD "UID = \"99999999999\"\n", -1, 0, 0 },
                { HEAD, -1, 0, 0 },
        };
        char root[] = "/tmp/vmltest.XXXXXX";
        _cleanup_free_ char *dir = NULL, *path = NULL;
        struct error *err = NULL;
        unsigned port = 0;
        uid_t uid = 0;

        (void)state;
        assert_non_null(mkdtemp(root));
        dir = xasprintf("%s/web", root);
        path = xasprintf("%s/machine.lock", dir);
        assert_int_equal(machine_lock_read_claims(root, "web", &uid, &port, &err), 0);
        assert_int_equal(mkdir(dir, 0700), 0);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                assert_int_equal(
                        fd_write_file_at(AT_FDCWD, path, cases[i].text, strlen(cases[i].text), 0644, 0, &err),
                        0);
                assert_int_equal(machine_lock_read_claims(root, "web", &uid, &port, &err), cases[i].there);
                if (cases[i].there < 0) {
                        error_free(TAKE_PTR(err));
                        continue;
                }
                assert_int_equal(uid, cases[i].uid);
                assert_int_equal(port, cases[i].port);
        }
        unlink(path);
        rmdir(dir);
        rmdir(root);
}

/* What a VM has in its machine.lock it finds as its own, and nobody else does. */
static void a_vm_holds_what_its_lock_says_once_that_is_linked(void **state)
{
        char root[] = "/tmp/vmltest.XXXXXX";
        struct paths paths = { .state = root };
        _cleanup_free_ char *dir = NULL, *file = NULL, *link = NULL;
        const struct machine_lock lock = { .layout = 1,
                                           .uuid = (char *)UUID,
                                           .machine = (char *)"pc",
                                           .family = (char *)"pc",
                                           .uid = 1900000017,
                                           .port = 5901 };
        struct error *err = NULL;

        (void)state;
        assert_non_null(mkdtemp(root));
        dir = xasprintf("%s/web", root);
        file = xasprintf("%s/machine.lock", dir);
        link = xasprintf("%s/.uids/1900000017", root);
        /* No machine.lock: nothing. */
        machine_lock_hold(&paths, "web");
        assert_int_equal(rmdir(root), 0);
        assert_int_equal(mkdir(root, 0755), 0);
        assert_int_equal(mkdir(dir, 0755), 0);
        assert_int_equal(fd_write_file_at(AT_FDCWD, file, "", 0, 0644, 0, &err), 0);
        assert_int_equal(machine_lock_write(root, "web", &lock, &err), 0);
        assert_false(machine_lock_holds(&paths, "web", "uids", 1900000017));
        machine_lock_hold(&paths, "web");
        assert_true(machine_lock_holds(&paths, "web", "uids", 1900000017));
        assert_true(machine_lock_holds(&paths, "web", "ports", 5901));
        assert_false(machine_lock_holds(&paths, "web", "ports", 0));
        assert_false(machine_lock_holds(&paths, "web", "uids", 1900000018));
        assert_false(machine_lock_holds(&paths, "we", "uids", 1900000017));
        assert_false(machine_lock_holds(&paths, "web2", "uids", 1900000017));
        /* Whoever had it before. */
        assert_int_equal(unlink(link), 0);
        assert_int_equal(symlink("db", link), 0);
        assert_false(machine_lock_holds(&paths, "web", "uids", 1900000017));
        machine_lock_hold(&paths, "web");
        assert_true(machine_lock_holds(&paths, "web", "uids", 1900000017));
        assert_false(machine_lock_holds(&paths, "db", "uids", 1900000017));
        /* Of a user's VMs each has the user's uid. */
        assert_int_equal(unlink(link), 0);
        paths.user = true;
        machine_lock_hold(&paths, "web");
        assert_false(machine_lock_holds(&paths, "web", "uids", 1900000017));
        assert_int_equal(fd_remove_tree(AT_FDCWD, root, &err), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_written_is_read_again),
                cmocka_unit_test(no_number_of_images_makes_a_lock_that_cannot_be_read),
                cmocka_unit_test(wrong_locks_are_refused_with_their_place),
                cmocka_unit_test(vm_without_a_lock_has_none),
                cmocka_unit_test(claims_are_read_without_the_rest),
                cmocka_unit_test(a_vm_holds_what_its_lock_says_once_that_is_linked),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
