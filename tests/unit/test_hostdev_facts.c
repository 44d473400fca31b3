#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "launcher/host/hostdev_facts.h"
#include "tests/unit/scratch.h"

static void put(const char *root, const char *directory, const char *name, const char *text)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", root, directory),
                            *file = xasprintf("%s/%s", path, name);
        struct error *err = NULL;
        FILE *f;

        assert_int_equal(fd_mkdir_p(AT_FDCWD, path, 0755, &err), 0);
        f = fopen(file, "we");
        assert_non_null(f);
        fputs(text, f);
        assert_int_equal(fclose(f), 0);
}

static void put_link(const char *root, const char *directory, const char *name, const char *target)
{
        _cleanup_free_ char *path = xasprintf("%s/%s/%s", root, directory, name);

        assert_int_equal(symlink(target, path), 0);
}

#define GPU   "bus/pci/devices/0000:3b:00.0"
#define NIC   "bus/pci/devices/0000:01:00.0"
#define STICK "bus/usb/devices/1-1.2"

static void make_sysfs(const char *root)
{
        put(root, GPU, "vendor", "0x10de\n");
        put(root, GPU, "device", "0x1eb8\n");
        put(root, GPU, "class", "0x030200\n");
        put_link(root, GPU, "driver", "../../../../bus/pci/drivers/vfio-pci");
        put(root, GPU "/vfio-dev/vfio3", "dev", "511:3\n");
        put_link(root, GPU, "iommu_group", "../../../../kernel/iommu_groups/27");
        put(root, NIC, "vendor", "0x8086\n");
        put(root, NIC, "device", "0x1563\n");
        put(root, NIC, "class", "0x020000\n");
        /* One that goes while it is looked at. */
        put(root, "bus/pci/devices/0000:02:00.0", "vendor", "0x8086\n");
        put(root, STICK, "busnum", "1\n");
        put(root, STICK, "devnum", "4\n");
        put(root, STICK, "idVendor", "0951\n");
        put(root, STICK, "idProduct", "1625\n");
        put(root, STICK, "bDeviceClass", "00\n");
        put(root, STICK, "product", "DataTraveler\n");
        put(root, "bus/usb/devices/1-1", "busnum", "1\n");
        put(root, "bus/usb/devices/1-1", "devnum", "2\n");
        put(root, "bus/usb/devices/1-1", "idVendor", "05e3\n");
        put(root, "bus/usb/devices/1-1", "idProduct", "0608\n");
        put(root, "bus/usb/devices/1-1", "bDeviceClass", "09\n");
        put(root, "bus/usb/devices/usb1", "busnum", "1\n");
        put(root, "bus/usb/devices/1-1.2:1.0", "bInterfaceClass", "08\n");
        /* Its name is no UTF-8. */
        put(root, "bus/usb/devices/2-4", "busnum", "2\n");
        put(root, "bus/usb/devices/2-4", "devnum", "127\n");
        put(root, "bus/usb/devices/2-4", "idVendor", "046d\n");
        put(root, "bus/usb/devices/2-4", "idProduct", "c31c\n");
        put(root, "bus/usb/devices/2-4", "product", "\xff\n");
        put(root, "devices/pci0000:00/0000:3b:00.0/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", "x", "");
        put_link(root, "devices/pci0000:00/0000:3b:00.0/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", "mdev_type",
                 "../mdev_supported_types/nvidia-35");
        put_link(root, "devices/pci0000:00/0000:3b:00.0/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", "iommu_group",
                 "../../../kernel/iommu_groups/41");
        put(root, "bus/mdev/devices", "x", "");
        put_link(root, "bus/mdev/devices", "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
                 "../../../devices/pci0000:00/0000:3b:00.0/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001");
}

static char uuid[] = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", other[] = "00000000-509f-382f-3c1e-e6bfe0fa1001";

static void check(const struct hostdev_facts *facts)
{
        const struct pci_facts *gpu = hostdev_facts_pci(facts, "0000:3b:00.0"),
                               *nic = hostdev_facts_pci(facts, "0000:01:00.0");
        const struct mdev_facts *mdev = hostdev_facts_mdev(facts, uuid);
        _cleanup_free_ char *node = NULL, *group = NULL;

        assert_int_equal(facts->n_pcis, 2);
        assert_non_null(gpu);
        assert_string_equal(gpu->vendor, "10de");
        assert_string_equal(gpu->device, "1eb8");
        assert_string_equal(gpu->class_id, "0302");
        assert_string_equal(gpu->driver, "vfio-pci");
        assert_string_equal(gpu->group, "27");
        assert_string_equal(gpu->cdev, "vfio3");
        assert_null(nic->cdev);
        assert_null(nic->driver);
        assert_null(nic->group);
        assert_int_equal(facts->n_mdevs, 1);
        assert_string_equal(mdev->type, "nvidia-35");
        assert_string_equal(mdev->parent, "0000:3b:00.0");
        assert_string_equal(mdev->group, "41");
        /* Neither hubs nor interfaces. */
        assert_int_equal(facts->n_usbs, 2);
        assert_int_equal(facts->usbs[0].bus, 1);
        assert_int_equal(facts->usbs[0].device, 4);
        assert_string_equal(facts->usbs[0].port, "1.2");
        assert_string_equal(facts->usbs[0].vendor, "0951");
        assert_string_equal(facts->usbs[0].name, "DataTraveler");
        assert_null(facts->usbs[1].name);
        node = usb_node(&facts->usbs[0]);
        assert_string_equal(node, "/dev/bus/usb/001/004");
        group = vfio_group_node(gpu->group);
        assert_string_equal(group, "/dev/vfio/27");
}

static void what_sysfs_says_is_read_and_comes_back_from_json(void **state)
{
        struct pci_spec pcis[] = { { .uuid = uuid }, { .uuid = other }, { .id = 2 } };
        struct usb_spec usbs[] = { { .id = 0 } };
        const struct vm_spec spec = { .pcis = pcis, .n_pcis = 3, .usbs = usbs, .n_usbs = 1 };
        const struct fixture *f = *state;
        struct hostdev_facts facts, again;
        json_auto_t *json = json_object();
        struct error *err = NULL;

        make_sysfs(f->path);
        assert_int_equal(hostdev_facts_read(f->path, &spec, &facts, &err), 0);
        check(&facts);
        hostdev_facts_to_json(&facts, json);
        assert_int_equal(hostdev_facts_from_json(json, &again, &err), 0);
        check(&again);
        hostdev_facts_done(&facts);
        hostdev_facts_done(&again);
}

static void a_host_without_such_buses_has_no_devices(void **state)
{
        struct pci_spec pcis[] = { { .uuid = uuid } };
        struct usb_spec usbs[] = { { .id = 0 } };
        const struct vm_spec spec = { .pcis = pcis, .n_pcis = 1, .usbs = usbs, .n_usbs = 1 }, none = { 0 };
        struct hostdev_facts facts;
        json_auto_t *json = json_object();
        struct error *err = NULL;

        (void)state;
        assert_int_equal(hostdev_facts_read("/nonexistent", &spec, &facts, &err), 0);
        assert_int_equal(facts.n_pcis + facts.n_mdevs + facts.n_usbs, 0);
        hostdev_facts_to_json(&facts, json);
        assert_int_equal(json_object_size(json), 0);
        hostdev_facts_done(&facts);
        assert_int_equal(hostdev_facts_read("/sys", &none, &facts, &err), 0);
        assert_int_equal(facts.n_pcis, 0);
        hostdev_facts_done(&facts);
}

static void facts_of_another_shape_are_an_error(void **state)
{
        static const char *const texts[] = {
                "{\"pci\":[{}]}",
                "{\"mdev\":[{\"uuid\":1}]}",
                "{\"usb\":[{\"bus\":-1,\"device\":1,\"port\":\"1\",\"vendor\":\"1\",\"product\":\"1\"}]}",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                json_auto_t *json = json_loads(texts[i], 0, NULL);
                struct hostdev_facts facts;
                struct error *err = NULL;

                assert_int_equal(hostdev_facts_from_json(json, &facts, &err), -1);
                assert_non_null(strstr(err->message, "device facts: "));
                error_free(err);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(what_sysfs_says_is_read_and_comes_back_from_json, set_up,
                                                tear_down),
                cmocka_unit_test(a_host_without_such_buses_has_no_devices),
                cmocka_unit_test(facts_of_another_shape_are_an_error),
        };

        return cmocka_run_group_tests_name("hostdev_facts", tests, NULL, NULL);
}
