/* libvirt XML in templates and what it becomes: attributes, errors, warnings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf/snippet.h"

static void add_messages(struct text *out, const struct error *list, const char *prefix)
{
        for (; list; list = list->next)
                text_addf(out, "%s%s%u:%u: %s", out->length ? "; " : "", prefix, list->pos.line,
                          list->pos.column, list->message);
}

static void add_pair(struct text *out, const char *name, const char *value, int layer)
{
        text_addf(out, "%s=%s%s%s", name, value, layer ? " from " : "",
                  layer ? layer_name((enum layer)layer) : "");
}

/* The attributes behind the first n of the tree, then errors, then warnings. */
static char *expanded(const struct template *template, struct site *site)
{
        struct vm_spec *spec = xcalloc(1, sizeof(*spec));
        struct spec_builder builder = { .template = template, .site = site, .spec = spec };
        _cleanup_(template_freep) struct template *tree = snippets_expand(&builder);
        struct text out = TEXT_INIT;

        for (size_t i = 0; tree && i < tree->n_attributes; i++) {
                const struct template_attribute *attribute = &tree->attributes[i];
                size_t had = i < template->n_attributes ? template->attributes[i].n_pairs : 0;

                if (i < template->n_attributes && attribute->n_pairs == had)
                        continue;
                text_add(&out, out.length ? " " : "");
                if (!attribute->is_vector) {
                        add_pair(&out, attribute->name, attribute->value, attribute->layer);
                        continue;
                }
                text_addf(&out, "%s[", attribute->name);
                for (size_t j = had; j < attribute->n_pairs; j++) {
                        text_add(&out, j > had ? " " : "");
                        add_pair(&out, attribute->pairs[j].name, attribute->pairs[j].value,
                                 attribute->pairs[j].layer);
                }
                text_add(&out, "]");
        }
        add_messages(&out, builder.errors, "");
        add_messages(&out, spec->warnings, "warning ");
        error_free(builder.errors);
        vm_spec_free(spec);
        return text_take(&out);
}

static char *meaning_of(const char *text, const char *host, const char *driver)
{
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_(site_freep) struct site *site = NULL;
        struct error *err = NULL;

        if (site_from_text(NULL, driver, NULL, host, NULL, &site, &err) < 0 ||
            template_parse("t", text, strlen(text), &template, &err) < 0)
                fail_msg("%s", err->message);
        return expanded(template, site);
}

/* Of a snippet in RAW, which stands behind as many columns as here. */
static char *raw_meaning(const char *snippet, const char *validate)
{
        _cleanup_text_ struct text text = TEXT_INIT;

        text_add(&text, "RAW=[TYPE=kvm,");
        if (validate)
                text_addf(&text, "VALIDATE=%s,", validate);
        template_write_value(&text, "\nDATA", snippet);
        text_add(&text, "]\n");
        return meaning_of(text_str(&text), NULL, NULL);
}

struct row {
        const char *snippet, *meaning;
};

static void check_rows(const struct row *rows, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *meaning = raw_meaning(rows[i].snippet, NULL);

                if (strcmp(meaning, rows[i].meaning) != 0)
                        print_error("%s\n", rows[i].snippet);
                assert_string_equal(meaning, rows[i].meaning);
        }
}

#define HOSTDEV(attributes, inside) \
        "<devices><hostdev mode='subsystem' " attributes ">" inside "</hostdev></devices>"

static void devices_of_the_host_are_pci_and_usb(void **state)
{
        static const struct row rows[] = {
                { HOSTDEV("type='pci'",
                          "<driver name='vfio'/><source><address domain='0x0000' bus='0x3b' slot='0x00' "
                          "function='0x1'/></source><alias name='hostdev0'/>"),
                  "PCI[DOMAIN=0000 BUS=3b SLOT=00 FUNCTION=1]; warning 2:157: RAW/DATA: <devices/hostdev>/alias has no "
                  "effect in QEMU" },
                { HOSTDEV("type='pci' managed='yes'", "<source><address bus='0x5e' slot='0x00'/></source>"),
                  "PCI[DOMAIN=0 BUS=5e SLOT=00 FUNCTION=0]; warning 2:64: RAW/DATA: <devices/hostdev>/@managed has no "
                  "effect in QEMU" },
                { HOSTDEV("type='pci'", "<source/>"),
                  "2:55: RAW/DATA: <devices/hostdev>: <source> has no <address>" },
                { HOSTDEV("type='pci'", "<source><address bus='0x3b'/></source><rom bar='off'/>"),
                  "2:93: RAW/DATA: <devices/hostdev>: <rom> in it has no counterpart" },
                { HOSTDEV("type='pci'", "<driver iommufd='yes'/><source><address bus='0x3b'/></source>"),
                  "2:72: RAW/DATA: <devices/hostdev>: iommufd='yes' has no counterpart" },
                { HOSTDEV("type='usb'", "<source><vendor id='0x0951'/><product id='0x1625'/></source>"),
                  "USB[VENDOR=0951 PRODUCT=1625]" },
                { HOSTDEV("type='usb'", "<source><address bus='1' device='4'/></source>"),
                  "USB[BUS=1 DEVICE=4]" },
                { HOSTDEV("type='usb'", "<source startupPolicy='optional'><vendor id='0x0951'/></source>"),
                  "2:78: RAW/DATA: <devices/hostdev>: startupPolicy='optional' has no counterpart" },
                { HOSTDEV("type='mdev' model='vfio-pci'",
                          "<source><address uuid='83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'/></source>"),
                  "PCI[UUID=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001]" },
                { HOSTDEV("type='mdev' model='vfio-ap'",
                          "<source><address uuid='83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'/></source>"),
                  "2:63: RAW/DATA: <devices/hostdev>: model='vfio-ap' has no counterpart" },
                { HOSTDEV("type='scsi'", "<source/>"),
                  "2:18: RAW/DATA: <devices/hostdev>: only types pci, usb and mdev have a counterpart" },
                { HOSTDEV("type='pci'", ""), "2:18: RAW/DATA: <devices/hostdev>: it has no <source>" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

static void what_nothing_can_carry_is_an_error_at_its_place(void **state)
{
        static const struct row rows[] = {
                { "<foo/>", "2:9: RAW/DATA: <foo>: has no counterpart" },
                { "\n  <devices>\n    <toaster heat='9'/>\n  </devices>",
                  "4:5: RAW/DATA: <devices/toaster>: has no counterpart" },
                { "<devices x='1'/>", "2:18: RAW/DATA: <devices>: x='1' of <devices> has no counterpart" },
                { "<devices>text</devices>",
                  "2:18: RAW/DATA: <devices>: the text 'text' has no counterpart" },
                { "text", "2:9: RAW/DATA: <domain>: the text 'text' has no counterpart" },
                { "<memtune><min_guarantee>1</min_guarantee></memtune>",
                  "2:18: RAW/DATA: <memtune>: <min_guarantee> in it has no counterpart" },
                { "<memtune><hard_limit unit='parsec'>1</hard_limit></memtune>",
                  "2:44: RAW/DATA: MEMTUNE/HARD_LIMIT: '1 parsec' is not a size (try HARD_LIMIT = \"8192\" for MiB, or "
                  "\"8 GiB\")" },
                { "<memtune>\n<hard_limit a='b'>1</hard_limit></memtune>",
                  "3:19: RAW/DATA: MEMTUNE/HARD_LIMIT: '1 KiB' is out of range (1 MiB to 256 TiB); 3:13: RAW/DATA: "
                  "<memtune>: a='b' of <hard_limit> has no counterpart" },
                { "<on_crash>coredump-restart</on_crash>",
                  "2:19: RAW/DATA: <on_crash>/.: 'coredump-restart' has no counterpart" },
                { "<on_crash>explode</on_crash>",
                  "2:19: RAW/DATA: ON_CRASH: 'explode' is not one of destroy, restart, preserve" },
                { "<devices><panic model='pseries'/></devices>",
                  "2:32: RAW/DATA: PANIC/MODEL: 'pseries' is not one of pci, isa, hyperv" },
                { "<devices><panic model='isa'/><panic model='hyperv'/></devices>",
                  "PANIC[MODEL=isa]; 2:38: RAW/DATA: a second <devices/panic> has no counterpart" },
                { "<on_crash>restart</on_crash><bar/>",
                  "ON_CRASH=restart; 2:37: RAW/DATA: <bar>: has no counterpart" },
                { "<on_poweroff>preserve</on_poweroff>",
                  "2:22: RAW/DATA: <on_poweroff>: 'preserve' has no counterpart, ours is destroy" },
                { "<a></b>", "2:14: RAW/DATA: not XML: mismatched tag; <a> of line 2 is open" },
                { "<!DOCTYPE x><a/>", "2:11: RAW/DATA: not XML: not well-formed (invalid token)" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

static void names_of_other_worlds_are_told_whose_they_are(void **state)
{
        static const struct row rows[] = {
                { "<bootloader>pygrub</bootloader>",
                  "2:9: RAW/DATA: <bootloader>: is for Xen's paravirtualised guests; a kernel is OS/KERNEL" },
                { "<vcpus>4</vcpus>",
                  "2:9: RAW/DATA: <vcpus>: is no element of libvirt; did you mean <vcpu>?" },
                { "<os><type machine='xenfv'>hvm</type></os>",
                  "2:28: RAW/DATA: <os>: this machine is Xen's; QEMU's are q35 and pc" },
                { "<features><hap/></features>",
                  "2:19: RAW/DATA: <features/hap>: is Xen's: under KVM the host's CPU decides" },
                /* A whole domain, as guides print it and virsh shows it. */
                { "<domain type='kvm'><on_crash>restart</on_crash></domain>", "ON_CRASH=restart" },
                { "<domain><devices><emulator>/usr/bin/qemu-kvm</emulator></devices></domain>",
                  "EMULATOR=/usr/bin/qemu-kvm" },
                { "<domain type='xen'/>", "2:23: RAW/DATA: <domain>: type='xen' has no counterpart" },
                { "<domain><domain/></domain>", "2:17: RAW/DATA: <domain>: has no counterpart" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

/* libvirt-behaviour sections 3.2 and 4. */
static void processors_and_memory_are_translated(void **state)
{
        static const struct row rows[] = {
                { "<devices><memory model='dimm'><target><size unit='MiB'>256</size><node>0</node></target></memory></devices>",
                  "DIMM[SIZE=256 MiB]" },
                { "<devices><memory model='nvdimm'><target><size>1</size><node>1</node></target></memory></devices>",
                  "2:33: RAW/DATA: <devices/memory>: model='nvdimm' has no counterpart; 2:55: RAW/DATA: DIMM/SIZE: '1 KiB' is out of "
                  "range (128 MiB to 256 TiB); 2:69: RAW/DATA: <devices/memory>: a <node> other than 0 has no counterpart" },
                { "<vcpu>4</vcpu>", "VCPU=4" },
                { "<vcpu placement='static' current='2'>4</vcpu>", "VCPU=2 VCPU_MAX=4" },
                { "<vcpu cpuset='0-1'>4</vcpu>", "VCPU=4 CPUTUNE[CPUSET=0-1]" },
                { "<vcpu cpuset='2,3'>4</vcpu><cputune><vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='3' cpuset='4-7,^6'/>"
                  "<emulatorpin cpuset='0'/><iothreadpin iothread='1' cpuset='5'/></cputune>",
                  "VCPU=4 CPUTUNE[CPUSET=2,3 EMULATORPIN=0 VCPUPIN=0:1; 3:4-7,^6 IOTHREADPIN=1:5]" },
                { "<cputune><vcpupin vcpu='0'/></cputune>",
                  "2:18: RAW/DATA: <cputune>: <vcpupin> has to have vcpu and cpuset" },
                { "<cputune><vcpupin vcpu='0' cpuset='x'/></cputune>",
                  "2:18: RAW/DATA: CPUTUNE/VCPUPIN: '0:x' holds a character that is not allowed here" },
                { "<cputune><shares>2048</shares><vcpusched vcpus='0' scheduler='fifo' priority='1'/></cputune>",
                  "2:18: RAW/DATA: <cputune>: <shares> in it has no counterpart; 2:39: RAW/DATA: <cputune>: <vcpusched> "
                  "in it has no counterpart" },
                { "<numatune><memory mode='strict' nodeset='0' placement='static'/></numatune>",
                  "NUMATUNE[MODE=strict NODESET=0]" },
                { "<cpu><numa><cell cpus='0' memory='1' unit='GiB'/></numa></cpu><memory>1048576</memory>"
                  "<numatune><memory nodeset='0-1'/><memnode cellid='0' mode='preferred' nodeset='1'/></numatune>",
                  "NUMA_NODE[TOTAL_CPUS=1 MEMORY=1 GiB] MEMORY=1048576 KiB NUMATUNE[NODESET=0-1] NUMATUNE[CELLID=0 "
                  "MODE=preferred NODESET=1]" },
                { "<numatune><memory mode='strict' placement='auto'/></numatune>",
                  "2:52: RAW/DATA: <numatune>: placement other than static, which is numad's, has no counterpart: "
                  "nodeset says it" },
                { "<vcpu placement='auto'>4</vcpu>",
                  "2:26: RAW/DATA: <vcpu>: placement other than static has no counterpart" },
                { "<memory>1048576</memory>", "MEMORY=1048576 KiB" },
                { "<memory unit='GiB'>2</memory><currentMemory unit='GiB'>2</currentMemory>",
                  "MEMORY=2 GiB" },
                { "<memory unit='GiB'>2</memory><currentMemory unit='GiB'>1</currentMemory>",
                  "MEMORY=1 GiB MEMORY_MAX=2 GiB MEMORY_RESIZE_MODE=BALLOONING" },
                { "<currentMemory unit='GiB'>1</currentMemory>",
                  "2:9: RAW/DATA: <currentMemory>: goes with <memory>" },
                { "<memory>x</memory>",
                  "2:17: RAW/DATA: MEMORY: 'x KiB' is not a size (try MEMORY = \"8192\" for MiB, or "
                  "\"8 GiB\")" },
                { "<maxMemory slots='4' unit='GiB'>8</maxMemory>",
                  "MEMORY_MAX=8 GiB MEMORY_SLOTS=4 MEMORY_RESIZE_MODE=HOTPLUG" },
                { "<memoryBacking><hugepages/><nosharepages/><locked/></memoryBacking>",
                  "MEMORY_BACKING[HUGEPAGES=yes NOSHAREPAGES=yes LOCKED=yes]" },
                { "<memoryBacking><hugepages><page size='2048'/></hugepages><access mode='shared'/></memoryBacking>",
                  "MEMORY_BACKING[HUGEPAGES=yes] TOPOLOGY[MEMORY_ACCESS=shared HUGEPAGE_SIZE=2048 KiB]" },
                { "<memoryBacking><hugepages><page size='1' unit='G' nodeset='0'/></hugepages></memoryBacking>",
                  "2:59: RAW/DATA: <memoryBacking>: nodeset='0' of <page> has no counterpart" },
                { "<memoryBacking><source type='memfd'/><allocation mode='ondemand'/></memoryBacking>",
                  "warning 2:24: RAW/DATA: <memoryBacking>/source@type has no effect in QEMU" },
                { "<memoryBacking><source type='file'/></memoryBacking>",
                  "2:24: RAW/DATA: <memoryBacking>: <source> other than memfd and anonymous has no counterpart" },
                { "<memoryBacking><allocation mode='immediate'/></memoryBacking>",
                  "2:24: RAW/DATA: <memoryBacking>: <allocation> other than ondemand has no counterpart" },
                { "<memoryBacking><discard/></memoryBacking>",
                  "2:24: RAW/DATA: <memoryBacking>: <discard> in it has no counterpart" },
                { "<cpu mode='host-passthrough'/>", "CPU_MODEL[MODEL=host-passthrough]" },
                { "<cpu mode='host-model'><model/></cpu>", "CPU_MODEL[MODEL=host-model]" },
                { "<cpu mode='maximum'/>", "CPU_MODEL[MODEL=max]" },
                { "<cpu mode='custom'><model>EPYC</model></cpu>", "CPU_MODEL[MODEL=EPYC]" },
                { "<cpu match='exact'><model fallback='forbid'>EPYC</model></cpu>",
                  "CPU_MODEL[MODEL=EPYC]; warning 2:21: RAW/DATA: <cpu>/@match has no effect in QEMU; warning 2:28: "
                  "RAW/DATA: <cpu>/model@fallback has no effect in QEMU" },
                { "<cpu mode='strange'/>", "2:20: RAW/DATA: <cpu>: this mode has no counterpart" },
                { "<cpu mode='host-model'><model>EPYC</model></cpu>",
                  "2:32: RAW/DATA: <cpu>: <model> goes with mode custom" },
                { "<cpu><topology sockets='2' dies='1' cores='3' threads='1'/></cpu>",
                  "TOPOLOGY[SOCKETS=2 CORES=3 THREADS=1]" },
                { "<cpu><topology sockets='2' dies='2' cores='3' threads='1'/></cpu>",
                  "2:42: RAW/DATA: <cpu>: more than one die has no counterpart" },
                { "<cpu><numa><cell id='0' cpus='0-1' memory='1' unit='GiB' memAccess='shared'/><cell cpus='2' "
                  "memory='524288'><distances><sibling id='0' value='21'/><sibling id='1' value='10'/></distances>"
                  "</cell></numa></cpu>",
                  "NUMA_NODE[TOTAL_CPUS=2 MEMORY=1 GiB] TOPOLOGY[MEMORY_ACCESS=shared] NUMA_NODE[TOTAL_CPUS=1 "
                  "MEMORY=524288 KiB DISTANCE=0:21]" },
                { "<cpu><numa><cell id='1' cpus='0' memory='1048576'/></numa></cpu>",
                  "2:30: RAW/DATA: <cpu>: cells that are not numbered from 0 have no counterpart" },
                { "<cpu><numa><cell cpus='1,3' memory='1048576'/></numa></cpu>",
                  "2:32: RAW/DATA: <cpu>: cells whose vCPUs do not go on from the cell before have no counterpart" },
                { "<devices><memballoon model='virtio' autodeflate='on' freePageReporting='on'><stats period='10'/>"
                  "</memballoon></devices>",
                  "BALLOON[MODEL=virtio AUTODEFLATE=on FREE_PAGE_REPORTING=on STATS_PERIOD=10]" },
                { "<devices><memballoon model='none'/></devices>", "BALLOON[MODEL=none]" },
                { "<launchSecurity type='sev'><cbitpos>47</cbitpos><reducedPhysBits>1</reducedPhysBits><policy>0x0007"
                  "</policy></launchSecurity>",
                  "MEMORY_ENCRYPTION[TYPE=SEV-ES]; warning 2:45: RAW/DATA: <launchSecurity>/cbitpos has no effect in QEMU; "
                  "warning 2:74: RAW/DATA: <launchSecurity>/reducedPhysBits has no effect in QEMU" },
                { "<launchSecurity type='sev'/>", "MEMORY_ENCRYPTION[TYPE=SEV]" },
                { "<launchSecurity type='s390-pv'/>",
                  "2:9: RAW/DATA: <launchSecurity>: of a type other than sev has no counterpart" },
                { "<memtune><hard_limit unit='G'>1</hard_limit><soft_limit>1048576</soft_limit><swap_hard_limit "
                  "unit='bytes'>4294967296</swap_hard_limit></memtune>",
                  "MEMTUNE[HARD_LIMIT=1 G SOFT_LIMIT=1048576 KiB SWAP_HARD_LIMIT=4294967296 b]" },
                { "<blkiotune><weight>300</weight></blkiotune>", "BLKIOTUNE[WEIGHT=300]" },
                { "<cputune><global_period>100000</global_period><global_quota>50000</global_quota></cputune>",
                  "CPUTUNE[QUOTA=50000 PERIOD=100000]" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

/* libvirt-behaviour section 9; D() is what stands in <devices>. */
#define D(devices) "<devices>" devices "</devices>"

static void screen_sound_and_input_are_translated(void **state)
{
        static const struct row rows[] = {
                { D("<graphics type='vnc' port='5901' autoport='no' listen='127.0.0.1' keymap='en-us'/>"),
                  "GRAPHICS[TYPE=vnc KEYMAP=en-us PORT=5901 LISTEN=127.0.0.1]" },
                { D("<graphics type='spice' autoport='yes' tlsPort='-1'><listen type='address' address='::1'/></graphics>"),
                  "GRAPHICS[TYPE=spice LISTEN=::1]" },
                { D("<graphics type='vnc' port='-1' autoport='yes' passwd='secret'/>"),
                  "GRAPHICS[TYPE=vnc PASSWD=secret]" },
                { D("<graphics type='sdl'/>"),
                  "2:34: RAW/DATA: GRAPHICS/TYPE: 'sdl' is not one of vnc, spice" },
                { D("<graphics type='vnc' websocket='5700'/>"),
                  "2:39: RAW/DATA: <devices/graphics>: websocket='5700' of <graphics> has no counterpart" },
                { D("<graphics type='vnc'><listen type='socket' socket='/x'/></graphics>"),
                  "2:53: RAW/DATA: <devices/graphics>: type='socket' has no counterpart; 2:61: RAW/DATA: "
                  "<devices/graphics>: socket='/x' of <listen> has no counterpart" },
                { D("<graphics type='vnc' port='5901' autoport='yes'/>"),
                  "2:61: RAW/DATA: <devices/graphics>: autoport='yes' has no counterpart" },
                { D("<video><model type='cirrus' vram='9216' heads='1'/></video>"),
                  "VIDEO[TYPE=cirrus]; warning 2:46: RAW/DATA: <devices/video>/model@vram of this type has no effect in "
                  "QEMU" },
                { D("<video><model type='vga' vram='16384' heads='1' primary='yes'><resolution x='1024' y='768'/></model>"
                    "</video>"),
                  "VIDEO[TYPE=vga VRAM=16384 KiB RESOLUTION=1024x768]" },
                { D("<video><model type='virtio'/><driver iommu='on' ats='on'/></video>"),
                  "VIDEO[TYPE=virtio IOMMU=on ATS=on]" },
                { D("<video><model type='qxl' ram='65536' vram='65536' vgamem='16384' heads='1'/></video>"),
                  "VIDEO[TYPE=qxl]" },
                { D("<video><model type='qxl' ram='131072'/></video>"),
                  "2:48: RAW/DATA: <devices/video>: ram='131072' has no counterpart" },
                { D("<video><model type='vga' heads='2'/></video>"),
                  "2:50: RAW/DATA: <devices/video>: heads='2' has no counterpart" },
                { D("<video><model type='none'/></video>"), "VIDEO[TYPE=none]" },
                { D("<video/>"), "2:18: RAW/DATA: <devices/video>: a <model type='...'> has to be in it" },
                { D("<video><model type='virtio'><acceleration accel3d='yes'/></model></video>"),
                  "2:46: RAW/DATA: <devices/video>: <acceleration> in it has no counterpart" },
                { D("<sound model='ich9'><codec type='micro'/><audio id='1'/></sound>"),
                  "SOUND[MODEL=ich9 CODEC=micro]; warning 2:70: RAW/DATA: <devices/sound>/audio@id has no effect in QEMU" },
                { D("<sound model='pcspk'/>"),
                  "2:32: RAW/DATA: SOUND/MODEL: 'pcspk' is not one of none, ich6, ich9, ac97, es1370, sb16, usb" },
                { D("<input type='tablet' bus='usb'/><input type='mouse' bus='ps2'/>"),
                  "INPUT[TYPE=tablet BUS=usb] INPUT[TYPE=mouse BUS=ps2]" },
                { D("<input type='passthrough' bus='virtio'/>"),
                  "2:31: RAW/DATA: INPUT/TYPE: 'passthrough' is not one of tablet, mouse, keyboard" },
                { D("<redirdev bus='usb' type='spicevmc'/><redirdev bus='usb' type='spicevmc'/>"),
                  "GRAPHICS[USB_REDIRECTIONS=2]" },
                { D("<redirdev bus='usb' type='tcp'><source mode='connect' host='localhost' service='4000'/></redirdev>"),
                  "2:44: RAW/DATA: <devices/redirdev>: type='tcp' has no counterpart; 2:49: RAW/DATA: "
                  "<devices/redirdev>: <source> in it has no counterpart" },
                { D("<redirfilter><usbdev class='0x08' vendor='0x1234' product='0xBEEF' version='2.0' allow='yes'/>"
                    "<usbdev class='-1' allow='no'/></redirfilter>"),
                  "REDIRFILTER[CLASS=0x08 VENDOR=0x1234 PRODUCT=0xBEEF VERSION=2.0 ALLOW=yes] REDIRFILTER[ALLOW=no]" },
                { D("<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>"),
                  "GRAPHICS[VDAGENT=yes]" },
                { D("<channel type='unix'><source mode='bind' path='/x'/><target type='virtio' "
                    "name='org.qemu.guest_agent.0'/></channel>"),
                  "FEATURES[GUEST_AGENT=yes]; warning 2:39: RAW/DATA: <devices/channel>/source has no effect in QEMU" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

/* SPICE_OPTIONS as upstream ships it, and others. */
static void options_of_spice_are_for_vms_with_spice(void **state)
{
        static const char shipped[] =
                "SPICE_OPTIONS=\"<video><model type='vga' heads='1'/></video><sound model='ich6'/><channel type='spicevmc'>"
                "<target type='virtio' name='com.redhat.spice.0'/></channel><redirdev bus='usb' type='spicevmc'/><redirdev "
                "bus='usb' type='spicevmc'/><redirdev bus='usb' type='spicevmc'/>\"";
        static const char *const rows[][4] = {
                /* template, host.conf, vmm_exec_kvm.conf, meaning */
                { "GRAPHICS=[TYPE=SPICE]", NULL, shipped,
                  "GRAPHICS[VDAGENT=yes from vmm_exec_kvm.conf USB_REDIRECTIONS=3 from vmm_exec_kvm.conf] VIDEO[TYPE=vga "
                  "from vmm_exec_kvm.conf] SOUND[MODEL=ich6 from vmm_exec_kvm.conf]" },
                { "GRAPHICS=[TYPE=vnc]", NULL, shipped, "" },
                { "CPU=1", NULL, shipped, "" },
                { "GRAPHICS=[TYPE=spice]", NULL, NULL, "" },
                { "GRAPHICS=[TYPE=spice]", "SPICE_OPTIONS=\"\"", shipped,
                  "GRAPHICS[VDAGENT=no from host.conf USB_REDIRECTIONS=0 from host.conf] SOUND[MODEL=none from "
                  "host.conf]" },
                { "GRAPHICS=[]", "GRAPHICS=[TYPE=spice]", "SPICE_OPTIONS=\"<sound model='ac97'/>\"",
                  "GRAPHICS[VDAGENT=no from vmm_exec_kvm.conf USB_REDIRECTIONS=0 from vmm_exec_kvm.conf] SOUND[MODEL=ac97 "
                  "from vmm_exec_kvm.conf]" },
                { "GRAPHICS=[TYPE=spice,USB_REDIRECTIONS=1] VIDEO=[TYPE=qxl] SOUND=[MODEL=none]", NULL,
                  shipped, "GRAPHICS[VDAGENT=yes from vmm_exec_kvm.conf]" },
                { "GRAPHICS=[TYPE=spice] SPICE_OPTIONS=\"<toaster/>\"", NULL, NULL,
                  "GRAPHICS[VDAGENT=no USB_REDIRECTIONS=0] SOUND[MODEL=none]; 1:38: SPICE_OPTIONS: <devices/toaster>: has no "
                  "counterpart" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *meaning = meaning_of(rows[i][0], rows[i][1], rows[i][2]);

                assert_string_equal(meaning, rows[i][3]);
        }
}

#define F(features) "<features>" features "</features>"
/* What HYPERV has on unless something is said, and off in XML that does not name it. */
#define OFF_FROM_VPINDEX                                                                                                   \
        "VPINDEX=no RUNTIME=no SYNIC=no STIMER=no RESET=no FREQUENCIES=no REENLIGHTENMENT=no TLBFLUSH=no IPI=no EVMCS=no " \
        "AVIC=no "

/* libvirt-behaviour sections 3.1 and 3.2. */
static void features_and_flags_are_translated(void **state)
{
        static const struct row rows[] = {
                { F("<acpi/>"), "FEATURES[ACPI=yes]" },
                { F("<hyperv><relaxed state='on'/><vapic state='on'/><spinlocks state='on' retries='4096'/></hyperv>"),
                  "HYPERV[RELAXED=yes VAPIC=yes " OFF_FROM_VPINDEX "SPINLOCKS=4096] FEATURES[HYPERV=yes]" },
                { F("<hyperv mode='custom'><relaxed/><vapic state='off'/><spinlocks state='off'/><vendor_id state='on' "
                    "value='KVM Hv'/></hyperv>"),
                  "HYPERV[RELAXED=yes VAPIC=no " OFF_FROM_VPINDEX
                  "SPINLOCKS=0 VENDOR_ID=KVM Hv] FEATURES[HYPERV=yes]" },
                { F("<hyperv><stimer state='on'><direct state='on'/></stimer></hyperv>"),
                  "HYPERV[RELAXED=no VAPIC=no VPINDEX=no RUNTIME=no SYNIC=no STIMER=yes STIMER_DIRECT=yes RESET=no "
                  "FREQUENCIES=no REENLIGHTENMENT=no TLBFLUSH=no IPI=no EVMCS=no AVIC=no SPINLOCKS=0] "
                  "FEATURES[HYPERV=yes]" },
                { F("<hyperv mode='passthrough'/>"), "HYPERV[RELAXED=no VAPIC=no " OFF_FROM_VPINDEX
                                                     "SPINLOCKS=0 PASSTHROUGH=yes] FEATURES[HYPERV=yes]" },
                { F("<hyperv><emsr_bitmap state='on'/></hyperv>"),
                  "2:27: RAW/DATA: <features/hyperv>: <emsr_bitmap> in it has no counterpart" },
                { F("<hyperv><relaxed state='perhaps'/></hyperv>"),
                  "2:43: RAW/DATA: <features/hyperv>: state='perhaps' has no counterpart" },
                { F("<kvm><hidden state='on'/><hint-dedicated state='on'/><poll-control state='off'/><pv-ipi "
                    "state='off'/></kvm>"),
                  "CPU_MODEL[FEATURES=-kvm,kvm-hint-dedicated,-kvm-poll-control,-kvm-pv-ipi]" },
                { F("<pvspinlock state='on'/><apic eoi='on'/>"),
                  "CPU_MODEL[FEATURES=kvm-pv-unhalt,kvm-pv-eoi]" },
                { F("<pmu state='off'/>"), "PMU=no" },
                { F("<gic version='3'/><ras state='on'/>"), "FEATURES[GIC=3 RAS=on]" },
                { F("<pae/><apic/>"),
                  "warning 2:19: RAW/DATA: <features/pae> has no effect in QEMU; warning 2:25: RAW/DATA: "
                  "<features/apic> has no effect in QEMU" },
                { F("<msrs unknown='ignore'/>"), "2:19: RAW/DATA: <features/msrs>: has no counterpart" },
                { "<cpu mode='host-passthrough'><feature policy='require' name='vmx'/><feature name='pclmuldq'/><feature "
                  "policy='disable' name='svm'/></cpu>",
                  "CPU_MODEL[MODEL=host-passthrough FEATURES=vmx,pclmulqdq,-svm]" },
                { "<cpu><feature policy='optional' name='vmx'/></cpu>",
                  "2:31: RAW/DATA: <cpu>: policy='optional' has no counterpart" },
                { "<cpu><feature policy='require'/></cpu>",
                  "2:14: RAW/DATA: <cpu>: a <feature> has to have a name" },
                { "<cpu><cache level='3' mode='emulate'/><maxphysaddr mode='passthrough'/></cpu>",
                  "CPU_MODEL[FEATURES=l3-cache,-host-cache-info,host-phys-bits]" },
                { "<cpu><cache mode='passthrough'/></cpu>", "CPU_MODEL[FEATURES=-l3-cache,host-cache-info]" },
                { "<cpu><cache mode='disable'/></cpu>", "CPU_MODEL[FEATURES=-l3-cache,-host-cache-info]" },
                { F("<kvm><hidden state='on'/></kvm>") "<cpu mode='host-model'><feature name='vmx'/></cpu>",
                  "CPU_MODEL[FEATURES=-kvm,vmx MODEL=host-model]" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

static void flags_join_those_of_the_template(void **state)
{
        _cleanup_free_ char *joined =
                meaning_of("CPU_MODEL=[FEATURES=\"ssse3, -vmx\"]\nRAW=[TYPE=kvm,DATA=\"<cpu><feature "
                           "name='vmx'/><feature name='avx'/><feature name='ssse3'/></cpu>\"]",
                           NULL, NULL);

        (void)state;
        assert_string_equal(
                joined, "warning 2:41: RAW/DATA: CPU_MODEL/FEATURES has 'vmx' in line 1 too, which counts");
}

/* libvirt-behaviour sections 3.3 and 3.4. */
static void clock_and_sleep_are_translated(void **state)
{
        static const struct row rows[] = {
                { "<clock offset='utc'/>", "CLOCK[OFFSET=utc]" },
                { "<clock offset='timezone' timezone='Europe/Paris'/>",
                  "CLOCK[OFFSET=timezone TIMEZONE=Europe/Paris]" },
                { "<clock offset='variable' adjustment='-3600' basis='utc'/>",
                  "CLOCK[OFFSET=variable ADJUSTMENT=-3600]" },
                { "<clock offset='variable' basis='localtime'/>",
                  "2:41: RAW/DATA: <clock>: basis='localtime' has no counterpart" },
                { "<clock offset='absolute' start='0'/>",
                  "2:24: RAW/DATA: CLOCK/OFFSET: 'absolute' is not one of utc, localtime, timezone, variable; 2:34: "
                  "RAW/DATA: <clock>: start='0' of <clock> has no counterpart" },
                { "<clock offset='localtime'><timer name='rtc' tickpolicy='catchup' track='guest'/><timer name='pit' "
                  "tickpolicy='delay'/><timer name='hpet' present='no'/></clock>",
                  "CLOCK[OFFSET=localtime] TIMER[NAME=rtc TRACK=guest TICKPOLICY=catchup] TIMER[NAME=pit "
                  "TICKPOLICY=delay] TIMER[NAME=hpet PRESENT=no]" },
                { "<clock><timer name='tsc' frequency='3000000000' mode='native'/></clock>",
                  "TIMER[NAME=tsc FREQUENCY=3000000000 MODE=native]" },
                { "<clock><timer name='platform'/></clock>",
                  "2:29: RAW/DATA: TIMER/NAME: 'platform' is not one of rtc, pit, hpet, tsc, kvmclock, hypervclock" },
                { "<clock><timer name='rtc' track='boot'/></clock>",
                  "2:41: RAW/DATA: <clock>/@track: 'boot' has no counterpart" },
                { "<clock><timer name='rtc' tickpolicy='catchup'><catchup threshold='1'/></timer></clock>",
                  "2:55: RAW/DATA: <clock>: <catchup> in it has no counterpart" },
                { "<pm><suspend-to-disk enabled='no'/><suspend-to-mem enabled='yes'/></pm>",
                  "PM[SUSPEND_TO_MEM=yes SUSPEND_TO_DISK=no]" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

#define SHIPPED_TIMERS                                                                              \
        "TIMER[NAME=rtc from default TICKPOLICY=catchup from default] TIMER[NAME=pit from default " \
        "TICKPOLICY=delay from default] TIMER[NAME=hpet from default PRESENT=no from default] "     \
        "TIMER[NAME=hypervclock from default PRESENT=yes from default]"

/* opennebula-semantics 3.8. */
static void options_and_timers_of_hyperv_are_for_windows(void **state)
{
        static const char *const rows[][4] = {
                /* template, host.conf, vmm_exec_kvm.conf, meaning */
                { "CPU=1", NULL,
                  "HYPERV_OPTIONS=\"<relaxed state='on'/>\" HYPERV_TIMERS=\"<timer name='pit'/>\"", "" },
                { "FEATURES=[HYPERV=yes]", NULL, NULL, SHIPPED_TIMERS },
                { "FEATURES=[HYPERV=yes] HYPERV_TIMERS=\"\"", NULL, "HYPERV_TIMERS=\"<timer name='pit'/>\"",
                  "" },
                { "FEATURES=[HYPERV=yes]", "HYPERV_TIMERS=\"<timer name='pit'/>\"", "HYPERV_TIMERS=\"<x/>\"",
                  "TIMER[NAME=pit from host.conf]" },
                { "FEATURES=[HYPERV=yes] TIMER=[NAME=HPET,PRESENT=yes] TIMER=[NAME=rtc] TIMER=[NAME=pit]",
                  NULL, NULL, "TIMER[NAME=hypervclock from default PRESENT=yes from default]" },
                { "FEATURES=[LOCALTIME=yes]", NULL, NULL, "" },
                { "FEATURES=[LOCALTIME=yes]", NULL, "HYPERV_TIMERS=\"<timer name='pit'/>\"",
                  "TIMER[NAME=pit from vmm_exec_kvm.conf]" },
                { "FEATURES=[HYPERV=no]", "FEATURES=[HYPERV=yes]", NULL, "" },
                { "OS=[ARCH=aarch64]", "FEATURES=[HYPERV=yes]", NULL, "" },
                { "FEATURES=[HYPERV=yes] HYPERV_TIMERS=\"\"", NULL,
                  "HYPERV_OPTIONS=\"<relaxed state='on'/><vapic state='on'/><spinlocks state='on' retries='4096'/>\"",
                  "HYPERV[RELAXED=yes from vmm_exec_kvm.conf VAPIC=yes from vmm_exec_kvm.conf VPINDEX=no from "
                  "vmm_exec_kvm.conf RUNTIME=no from vmm_exec_kvm.conf SYNIC=no from vmm_exec_kvm.conf STIMER=no from "
                  "vmm_exec_kvm.conf RESET=no from vmm_exec_kvm.conf FREQUENCIES=no from vmm_exec_kvm.conf "
                  "REENLIGHTENMENT=no from vmm_exec_kvm.conf TLBFLUSH=no from vmm_exec_kvm.conf IPI=no from "
                  "vmm_exec_kvm.conf EVMCS=no from vmm_exec_kvm.conf AVIC=no from vmm_exec_kvm.conf SPINLOCKS=4096 from "
                  "vmm_exec_kvm.conf]" },
                { "FEATURES=[HYPERV=yes] HYPERV_TIMERS=\"\" HYPERV_OPTIONS=\"\"", NULL, NULL,
                  "HYPERV[RELAXED=no VAPIC=no " OFF_FROM_VPINDEX "SPINLOCKS=0]" },
                { "FEATURES=[HYPERV=yes] HYPERV_TIMERS=\"\" HYPERV=[RELAXED=no]", NULL, NULL, "" },
                { "FEATURES=[HYPERV=yes] HYPERV_TIMERS=\"<timer name='x'/>\"", NULL, NULL,
                  "1:51: HYPERV_TIMERS: TIMER/NAME: 'x' is not one of rtc, pit, hpet, tsc, kvmclock, hypervclock" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *meaning = meaning_of(rows[i][0], rows[i][1], rows[i][2]);

                assert_string_equal(meaning, rows[i][3]);
        }
}

/* libvirt-behaviour section 7. */
static void network_cards_are_translated(void **state)
{
        static const struct row rows[] = {
                { D("<interface type='bridge'><mac address='52:54:00:4a:c9:5e'/><source bridge='br0'/><target dev='web0'/>"
                    "<model type='virtio'/><driver name='vhost' queues='4'/><mtu size='9000'/><boot order='2'/></interface>"),
                  "NIC[BRIDGE=br0 MAC=52:54:00:4a:c9:5e MODEL=virtio TARGET=web0 VIRTIO_QUEUES=4 ORDER=2 MTU=9000 "
                  "GUEST_MTU=9000]" },
                { D("<interface type='user'/>"), "NIC[BRIDGE_TYPE=user]" },
                { D("<interface type='ethernet'><target dev='tap0'/></interface>"),
                  "NIC[BRIDGE= TARGET=tap0]" },
                { D("<interface type='network'><source network='default'/></interface>"),
                  "2:35: RAW/DATA: <devices/interface>: there are no networks of libvirt; give the bridge (type='bridge')" },
                { D("<interface type='direct'/>"),
                  "2:35: RAW/DATA: <devices/interface>: type='direct' has no counterpart" },
                { D("<interface type='bridge'/>"),
                  "2:18: RAW/DATA: <devices/interface>: <source bridge='...'/> has to be given" },
                { D("<interface/>"), "2:18: RAW/DATA: <devices/interface>: a type has to be given" },
                { D("<interface type='user'><link state='down'/></interface>"),
                  "NIC[BRIDGE_TYPE=user LINK=down]" },
                { D("<interface type='user'><rom bar='off'/></interface>"),
                  "2:41: RAW/DATA: <devices/interface>: <rom> in it has no counterpart" },
                { D("<interface type='user'><driver name='qemu'/></interface>"),
                  "2:55: RAW/DATA: <devices/interface>: name='qemu' has no counterpart" },
                { D("<interface type='bridge'><source bridge='b'/><virtualport type='openvswitch'/><vlan><tag id='42'/></vlan>"
                    "</interface>"),
                  "NIC[BRIDGE=b BRIDGE_TYPE=openvswitch VLAN_ID=42]" },
                { D("<interface type='bridge'><source bridge='b'/><virtualport type='802.1Qbg'/></interface>"),
                  "2:63: RAW/DATA: <devices/interface>: this <virtualport> has no counterpart" },
                { D("<interface type='user'><alias name='net0'/><address type='pci' slot='0x03'/></interface>"),
                  "2:61: RAW/DATA: <devices/interface>: <address> in it has no counterpart" },
        };
        _cleanup_free_ char *lax = raw_meaning(
                D("<interface type='user'><alias name='net0'/><address type='pci' slot='0x03'/></interface>"),
                "no");

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
        assert_string_equal(
                lax,
                "NIC[BRIDGE_TYPE=user]; warning 2:41: RAW/DATA: <devices/interface>/alias has no effect in "
                "QEMU; warning 2:61: RAW/DATA: <devices/interface>/address has no effect in QEMU");
}

/* libvirt-behaviour section 6.2. */
static void disks_are_translated(void **state)
{
        static const struct row rows[] = {
                { D("<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' io='native' "
                    "discard='unmap' detect_zeroes='unmap' queues='4' iothread='1' error_policy='stop' "
                    "rerror_policy='report' copy_on_read='on'/><source file='/x.qcow2'/><target dev='sda' bus='virtio'/>"
                    "<serial>ABC</serial><boot order='2'/></disk>"),
                  "DISK[TYPE=file SOURCE=/x.qcow2 TARGET=vda FORMAT=qcow2 CACHE=none IO=native DISCARD=unmap "
                  "DETECT_ZEROES=unmap IOTHREAD=1 VIRTIO_BLK_QUEUES=4 COPY_ON_READ=on ERROR_POLICY=stop "
                  "RERROR_POLICY=report SERIAL=ABC ORDER=2]" },
                { D("<disk type='block' device='lun'><driver type='raw'/><source dev='/dev/sdx'/><target dev='sdb' "
                    "bus='scsi'/><shareable/></disk>"),
                  "DISK[TYPE=lun SOURCE=/dev/sdx TARGET=sdb FORMAT=raw SHAREABLE=yes]" },
                { D("<disk type='file'><source file='/x'/><target dev='sdc' bus='scsi' rotation_rate='1'/><readonly/>"
                    "<wwn>5000c50015ea71aa</wwn><vendor>ACME</vendor><product>ANVIL</product><blockio "
                    "logical_block_size='512' physical_block_size='4096'/></disk>"),
                  "DISK[TYPE=file SOURCE=/x TARGET=sdc ROTATION_RATE=1 LOGICAL_BLOCK_SIZE=512 PHYSICAL_BLOCK_SIZE=4096 "
                  "WWN=5000c50015ea71aa VENDOR=ACME PRODUCT=ANVIL READONLY=yes]" },
                { D("<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>"),
                  "DISK[TYPE=cdrom TARGET=hdc]" },
                { D("<disk type='block' device='cdrom'><source dev='/dev/sr0'/><target dev='sda' bus='sata'/></disk>"),
                  "DISK[TYPE=block_cdrom SOURCE=/dev/sr0 TARGET=sda]" },
                { D("<disk type='file' device='cdrom'><target dev='sda' bus='scsi'/></disk>"),
                  "2:74: RAW/DATA: <devices/disk>: bus='scsi' has no counterpart" },
                { D("<disk type='file' device='floppy'><source file='/f'/><target dev='fda' bus='fdc'/></disk>"),
                  "DISK[TYPE=floppy SOURCE=/f TARGET=fda]" },
                { D("<disk type='file'><source file='/x'/><target dev='sda' bus='usb'/></disk>"),
                  "2:78: RAW/DATA: <devices/disk>: bus='usb' has no counterpart" },
                { D("<disk type='file'><source file='/x'/><target dev='xy'/><transient/><backingStore type='file'><format "
                    "type='raw'/></backingStore></disk>"),
                  "2:68: RAW/DATA: DISK/TARGET: 'xy' is not a disk name: 3 to 12 lower-case letters, such as vda or sdb" },
                { D("<disk type='file'><source file='/x'/></disk>"),
                  "2:18: RAW/DATA: <devices/disk>: <target dev='...'/> has to be given" },
                { D("<disk type='block'><target dev='vda'/></disk>"),
                  "2:18: RAW/DATA: <devices/disk>: <source dev='...'/> has to be given" },
                { D("<disk type='file'><target dev='vda'/></disk>"),
                  "2:18: RAW/DATA: <devices/disk>: <source file='...'/> has to be given" },
                { D("<disk type='file'><source file='/x'/><target dev='vdb'/><transient/><backingStore type='file'><format "
                    "type='raw'/></backingStore></disk>"),
                  "DISK[TYPE=file SOURCE=/x TARGET=vdb PERSISTENT=no]; warning 2:86: RAW/DATA: "
                  "<devices/disk>/backingStore has no effect in QEMU" },
                { D("<disk type='file'><driver type='raw'/><source file='/x'><encryption format='luks'><secret "
                    "type='passphrase' uuid='my-secret'/></encryption></source><target dev='vdb'/></disk>"),
                  "DISK[LUKS_SECRET=my-secret TYPE=file SOURCE=/x TARGET=vdb FORMAT=raw]" },
                { D("<disk type='file'><encryption format='qcow'/><source file='/x'/><target dev='vdb'/></disk>"),
                  "2:56: RAW/DATA: <devices/disk>: format='qcow' has no counterpart" },
                { D("<disk type='file'><source file='/x'/><target dev='vdb'/><iotune><total_bytes_sec>1000</total_bytes_sec>"
                    "<read_iops_sec_max>7</read_iops_sec_max><read_iops_sec_max_length>3</read_iops_sec_max_length>"
                    "<size_iops_sec>4096</size_iops_sec></iotune></disk>"),
                  "DISK[TYPE=file SOURCE=/x TARGET=vdb TOTAL_BYTES_SEC=1000 READ_IOPS_SEC_MAX=7 "
                  "READ_IOPS_SEC_MAX_LENGTH=3 SIZE_IOPS_SEC=4096]" },
                { D("<disk type='file'><source file='/x'/><target dev='vdb'/><iotune><group_name>g</group_name></iotune></disk>"),
                  "2:82: RAW/DATA: <devices/disk>: <group_name> in it has no counterpart" },
                { D("<disk type='network'><driver type='raw'/><auth username='libvirt'><secret type='ceph' usage='one'/></auth>"
                    "<source protocol='rbd' name='pool/image'><host name='mon1' port='6321'/><host name='mon2'/></source>"
                    "<target dev='vda' bus='virtio'/></disk>"),
                  "DISK[TYPE=rbd SOURCE=pool/image CEPH_HOST=mon1:6321 mon2 CEPH_USER=libvirt CEPH_SECRET=one TARGET=vda "
                  "FORMAT=raw]" },
                { D("<disk type='network' device='cdrom'><source protocol='rbd' name='pool/cd'/><target dev='hda' bus='ide'/>"
                    "</disk>"),
                  "DISK[TYPE=rbd_cdrom SOURCE=pool/cd TARGET=hda]" },
                { D("<disk type='network' device='lun'><source protocol='iscsi' name='iqn.2013-07.com.example:pool/1'><host "
                    "name='example.com' port='3260'/><auth username='u'><secret type='iscsi' uuid='s'/></auth></source>"
                    "<target dev='sda' bus='scsi'/></disk>"),
                  "DISK[TYPE=lun DISK_TYPE=iscsi SOURCE=iqn.2013-07.com.example:pool/1 ISCSI_HOST=example.com:3260 "
                  "ISCSI_USER=u ISCSI_USAGE=s TARGET=sda]" },
                { D("<disk type='network'><source protocol='gluster' name='Volume1/dir/Image'><host name='g' port='24007'/>"
                    "</source><target dev='vda'/></disk>"),
                  "DISK[TYPE=gluster GLUSTER_VOLUME=Volume1 SOURCE=dir/Image GLUSTER_HOST=g:24007 TARGET=vda]" },
                { D("<disk type='network'><source protocol='nbd' name='e'><host transport='unix' socket='/run/nbd.sock'/>"
                    "</source><target dev='vda'/></disk>"),
                  "DISK[TYPE=nbd SOURCE=e NBD_SOCKET=/run/nbd.sock TARGET=vda]" },
                { D("<disk type='network'><source protocol='gluster' name='v/i'><host transport='unix' socket='/x'/></source>"
                    "<auth username='x'/><target dev='vda'/></disk>"),
                  "2:39: RAW/DATA: <devices/disk>: gluster over a socket of this host has no counterpart; 2:122: RAW/DATA: "
                  "<devices/disk>: <auth> over gluster has no counterpart" },
                { D("<disk type='network' device='cdrom'><source protocol='nbd' name='e'><host name='h' transport='rdma'/></source>"
                    "<target dev='hda'/></disk>"),
                  "2:112: RAW/DATA: <devices/disk>: transport='rdma' has no counterpart; 2:72: RAW/DATA: <devices/disk>: a "
                  "cdrom by nbd has no counterpart" },
                { D("<disk type='network'><source protocol='http' name='/x.iso'/><target dev='vda'/></disk>"),
                  "2:57: RAW/DATA: <devices/disk>: of the network, rbd, iscsi, gluster and nbd have a counterpart" },
                { D("<disk type='volume'><source pool='p' volume='v'/><target dev='vda'/></disk>"),
                  "2:30: RAW/DATA: <devices/disk>: type='volume' has no counterpart" },
                { D("<controller type='scsi' index='0' model='virtio-scsi'><driver queues='4'/></controller>"),
                  "FEATURES[VIRTIO_SCSI_QUEUES=4]" },
                { D("<controller type='pci' index='0' model='pcie-root'><pcihole64 unit='GiB'>512</pcihole64></controller>"),
                  "FEATURES[PCIHOLE64=512 GiB]" },
                { D("<controller type='usb' index='0' model='qemu-xhci' ports='15'><master startport='0'/></controller>"),
                  "warning 2:18: RAW/DATA: <devices/controller> has no effect in QEMU" },
                { D("<controller type='scsi' model='lsilogic'/>"),
                  "2:49: RAW/DATA: <devices/controller>: model='lsilogic' has no counterpart" },
                { "<iothreads>2</iothreads>", "FEATURES[IOTHREADS=2]" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

/* libvirt-behaviour section 10. */
static void small_devices_are_translated(void **state)
{
        static const struct row rows[] = {
                { D("<rng model='virtio'><rate period='2000' bytes='1234'/><backend model='random'>/dev/hwrng</backend></rng>"),
                  "RNG[MODEL=virtio RATE_BYTES=1234 RATE_PERIOD=2000 SOURCE=/dev/hwrng]" },
                { D("<rng><backend model='random'/></rng>"), "RNG[]" },
                { D("<rng><backend model='builtin'/></rng>"), "RNG[SOURCE=builtin]" },
                { D("<rng model='virtio'><backend model='egd' type='udp'><source mode='bind'/></backend></rng>"),
                  "2:54: RAW/DATA: <devices/rng>: model='egd' has no counterpart; 2:59: RAW/DATA: <devices/rng>: "
                  "type='udp' of <backend> has no counterpart; 2:70: RAW/DATA: <devices/rng>: <source> in it has no "
                  "counterpart" },
                { D("<rng/><rng/>"), "RNG[]; 2:24: RAW/DATA: a second <devices/rng> has no counterpart" },
                { D("<watchdog model='i6300esb' action='inject-nmi'/>"),
                  "WATCHDOG[MODEL=i6300esb ACTION=inject-nmi]" },
                { D("<watchdog model='ib700' action='dump'/>"),
                  "2:50: RAW/DATA: <devices/watchdog>/@action: 'dump' has no counterpart" },
                { D("<watchdog model='diag288'/>"),
                  "2:35: RAW/DATA: WATCHDOG/MODEL: 'diag288' is not one of i6300esb, ib700, itco" },
                { D("<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"),
                  "TPM[MODEL=tpm-crb]" },
                { D("<tpm/>"), "TPM[MODEL=tpm-tis]" },
                { D("<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>"),
                  "2:54: RAW/DATA: <devices/tpm>: type='passthrough' has no counterpart; 2:67: RAW/DATA: "
                  "<devices/tpm>: <device> in it has no counterpart" },
                { D("<tpm><backend type='emulator' version='1.2'/></tpm>"),
                  "2:57: RAW/DATA: <devices/tpm>: version='1.2' has no counterpart" },
                { D("<vsock model='virtio'><cid auto='no' address='3'/></vsock>"),
                  "VSOCK[MODEL=virtio CID=3]" },
                { D("<vsock><cid auto='yes' address='7'/></vsock>"), "VSOCK[]" },
                { D("<vsock/>"), "VSOCK[]" },
                { D("<filesystem type='mount' accessmode='mapped'><source dir='/srv'/><target dir='tag'/><readonly/>"
                    "</filesystem>"),
                  "FILESYSTEM[SOURCE=/srv TARGET=tag DRIVER=9p ACCESSMODE=mapped READONLY=yes]" },
                { D("<filesystem><driver type='path'/><source dir='/srv'/><target dir='tag'/></filesystem>"),
                  "FILESYSTEM[SOURCE=/srv TARGET=tag DRIVER=9p ACCESSMODE=squash]" },
                { D("<filesystem accessmode='passthrough'><source dir='/srv'/><target dir='tag'/></filesystem>"),
                  "2:42: RAW/DATA: <devices/filesystem>: passthrough over 9p would need a QEMU that runs as root (try "
                  "<driver type='virtiofs'/>, or accessmode='mapped')" },
                { D("<filesystem type='mount' accessmode='passthrough'><driver type='virtiofs'/><binary "
                    "path='/usr/libexec/virtiofsd' xattr='on'><cache mode='always'/></binary><source dir='/srv'/>"
                    "<target dir='tag'/></filesystem>"),
                  "FILESYSTEM[SOURCE=/srv TARGET=tag DRIVER=virtiofs ACCESSMODE=passthrough CACHE=always]; warning 2:93: "
                  "RAW/DATA: <devices/filesystem>/binary@path has no effect in QEMU" },
                { D("<filesystem type='mount'><driver type='virtiofs' queue='1024'/><binary><lock posix='on'/></binary>"
                    "<source dir='/srv'/><target dir='tag'/></filesystem>"),
                  "2:67: RAW/DATA: <devices/filesystem>: queue='1024' of <driver> has no counterpart; 2:89: RAW/DATA: "
                  "<devices/filesystem>: <lock> in it has no counterpart" },
                { D("<filesystem type='template'><source name='x'/><target dir='/'/></filesystem>"),
                  "2:36: RAW/DATA: <devices/filesystem>: type='template' has no counterpart; 2:54: RAW/DATA: "
                  "<devices/filesystem>: name='x' of <source> has no counterpart" },
                { D("<iommu model='intel'/>"), "IOMMU[MODEL=intel OPTIONS=caching_mode=off]" },
                { D("<iommu model='intel'><driver intremap='on' caching_mode='on' aw_bits='48' eim='on'/></iommu>"),
                  "IOMMU[MODEL=intel OPTIONS=intremap=on caching_mode=on eim=on aw_bits=48]" },
                { D("<iommu model='virtio'/>"), "IOMMU[MODEL=virtio]" },
                { D("<iommu model='intel'><driver granule='4k'/></iommu>"),
                  "2:47: RAW/DATA: <devices/iommu>: granule='4k' of <driver> has no counterpart" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

static void serial_ports_and_consoles_are_translated(void **state)
{
        static const struct row rows[] = {
                { D("<serial type='pty'><target port='0'/></serial>"), "SERIAL[TYPE=pty PORT=0]" },
                { D("<serial type='pty'><source path='/dev/pts/2'/><target type='isa-serial' port='1'><model "
                    "name='isa-serial'/></target><alias name='serial1'/></serial>"),
                  "SERIAL[TYPE=pty PORT=1]; warning 2:51: RAW/DATA: <devices/serial>/source@path has no "
                  "effect in QEMU; warning 2:134: RAW/DATA: <devices/serial>/alias has no effect in QEMU" },
                { D("<serial type='file'><source path='/var/log/guest.log' append='on'/></serial>"),
                  "SERIAL[TYPE=file PATH=/var/log/guest.log]" },
                { D("<serial type='file'><source path='/var/log/guest.log' append='off'/></serial>"),
                  "2:80: RAW/DATA: <devices/serial>: append='off' has no counterpart" },
                { D("<serial type='unix'><source mode='bind' path='/tmp/s'/><log file='/x' append='on'/></serial>"),
                  "SERIAL[TYPE=socket LOG=yes]; warning 2:64: RAW/DATA: <devices/serial>/source@path has no effect in QEMU; warning 2:84: RAW/DATA: <devices/serial>/log@file has no effect in "
                  "QEMU" },
                { D("<serial type='unix'><source mode='connect' path='/tmp/s'/></serial>"),
                  "SERIAL[TYPE=connect PATH=/tmp/s]" },
                { D("<serial type='unix'><source mode='both' path='/tmp/s'/></serial>"),
                  "2:52: RAW/DATA: <devices/serial>: mode='both' has no counterpart" },
                { D("<serial type='spiceport'><source channel='org.qemu.console.serial.0'/></serial>"),
                  "SERIAL[TYPE=spice]" },
                { D("<serial type='spiceport'><source channel='mine'/></serial>"),
                  "2:60: RAW/DATA: <devices/serial>: channel='mine' has no counterpart" },
                { D("<serial type='tcp'><source mode='bind' host='127.0.0.1' service='2445'/><protocol type='telnet'/>"
                    "</serial>"),
                  "2:32: RAW/DATA: <devices/serial>: type='tcp' has no counterpart" },
                { D("<serial type='dev'><source path='/dev/ttyS0'/></serial>"),
                  "2:32: RAW/DATA: <devices/serial>: type='dev' has no counterpart" },
                { D("<serial type='null'><target type='usb-serial'/></serial>"),
                  "2:52: RAW/DATA: <devices/serial>: type='usb-serial' has no counterpart" },
                { D("<console type='pty' tty='/dev/pts/4'><target type='serial' port='0'/></console>"),
                  "CONSOLE[TYPE=pty TARGET=serial]; warning 2:43: RAW/DATA: <devices/console>/@tty has no effect in "
                  "QEMU" },
                { D("<console><target type='virtio' port='1'/></console><console type='null'/>"),
                  "CONSOLE[TYPE=pty TARGET=virtio] CONSOLE[TYPE=null]" },
                { D("<console type='pty'><target type='xen'/></console>"),
                  "2:52: RAW/DATA: CONSOLE/TARGET: 'xen' is not one of virtio, serial" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

static void parallel_ports_channels_and_smart_cards_are_translated(void **state)
{
        static const struct row rows[] = {
                { D("<parallel type='pty'><source path='/dev/pts/2'/><target port='1'/></parallel>"),
                  "PARALLEL[TYPE=pty PORT=1]; warning 2:53: RAW/DATA: <devices/parallel>/source@path has no effect in "
                  "QEMU" },
                { D("<parallel type='file'><source path='/x' append='on'/><log file='/y'/></parallel>"),
                  "PARALLEL[TYPE=file PATH=/x LOG=yes]; warning 2:82: RAW/DATA: <devices/parallel>/log@file has no "
                  "effect in QEMU" },
                { D("<parallel type='dev'><source path='/dev/parport0'/></parallel>"),
                  "2:34: RAW/DATA: <devices/parallel>: type='dev' has no counterpart" },
                { D("<parallel type='null'><target type='isa-parallel'/></parallel>"),
                  "2:48: RAW/DATA: <devices/parallel>: type='isa-parallel' of <target> has no counterpart" },
                { D("<channel type='unix'><source mode='bind' path='/x'/><target type='virtio' name='a' state='connected'/>"
                    "</channel>"),
                  "CHANNEL[NAME=a TYPE=socket]; warning 2:65: RAW/DATA: <devices/channel>/source@path has no effect in "
                  "QEMU" },
                { D("<channel type='unix'><source mode='connect' path='/x'/><target type='virtio' name='a'/></channel>"),
                  "CHANNEL[NAME=a TYPE=connect PATH=/x]" },
                { D("<channel type='pty'><target type='virtio' name='a'/></channel>"),
                  "CHANNEL[NAME=a TYPE=pty]" },
                { D("<channel type='null'><target type='virtio'/></channel>"), "CHANNEL[TYPE=null]" },
                { D("<channel type='spiceport'><source channel='a'/><target type='virtio' name='a'/></channel>"),
                  "CHANNEL[NAME=a TYPE=spice]" },
                { D("<channel type='spicevmc'><target type='virtio'/></channel>"), "GRAPHICS[VDAGENT=yes]" },
                { D("<channel type='spicevmc'><target type='virtio' name='a'/></channel>"),
                  "2:71: RAW/DATA: <devices/channel>: name='a' has no counterpart" },
                { D("<channel type='pty'><target type='guestfwd' address='10.0.2.1' port='4600'/></channel>"),
                  "2:38: RAW/DATA: <devices/channel>: of a <target> other than type='virtio' has no counterpart" },
                { D("<channel type='qemu-vdagent'><source><clipboard copypaste='yes'/></source><target type='virtio' "
                    "name='a'/></channel>"),
                  "2:33: RAW/DATA: <devices/channel>: type='qemu-vdagent' has no counterpart" },
                { D("<channel type='pty'><target type='virtio' name='a/b'/></channel>"),
                  "2:66: RAW/DATA: CHANNEL/NAME: 'a/b' holds a character that is not allowed here" },
                { D("<smartcard mode='host'/>"), "SMARTCARD[TYPE=host]" },
                { D("<smartcard mode='host-certificates'><certificate>a</certificate><certificate> b</certificate>"
                    "<certificate>c</certificate><database>/d/</database></smartcard>"),
                  "SMARTCARD[TYPE=certificates CERTIFICATES=a,b,c PATH=/d/]" },
                { D("<smartcard mode='passthrough' type='spicevmc'/>"), "SMARTCARD[TYPE=spice]" },
                { D("<smartcard mode='passthrough' type='unix'><source mode='connect' path='/x'/></smartcard>"),
                  "SMARTCARD[TYPE=connect PATH=/x]" },
                { D("<smartcard mode='passthrough' type='tcp'><source mode='bind' host='127.0.0.1' service='2001'/>"
                    "<protocol type='raw'/></smartcard>"),
                  "2:54: RAW/DATA: <devices/smartcard>: type='tcp' has no counterpart" },
                { D("<smartcard mode='passthrough'/>"),
                  "2:18: RAW/DATA: <devices/smartcard>: a type has to be given" },
                { D("<smartcard mode='own' type='spicevmc'/>"),
                  "2:35: RAW/DATA: <devices/smartcard>: mode='own' has no counterpart" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

static void shared_memory_is_translated(void **state)
{
        static const struct row rows[] = {
                { D("<shmem name='s' role='peer'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>"),
                  "SHMEM[SIZE=4 M NAME=s ROLE=peer MODEL=ivshmem-plain]" },
                { D("<shmem name='s'><model type='ivshmem-doorbell'/><size unit='M'>2</size><server path='/x'/>"
                    "<msi vectors='32' ioeventfd='on' enabled='on'/></shmem>"),
                  "SHMEM[NAME=s MODEL=ivshmem-doorbell PATH=/x VECTORS=32]; warning 2:66: RAW/DATA: <devices/shmem>/size of "
                  "this model has no effect in QEMU" },
                { D("<shmem name='s'><model type='ivshmem'/></shmem>"),
                  "2:47: RAW/DATA: SHMEM/MODEL: 'ivshmem' is not one of ivshmem-plain, ivshmem-doorbell; did you mean 'ivshmem-plain'?" },
                { D("<shmem name='../s'/>"),
                  "2:31: RAW/DATA: SHMEM/NAME: '../s' holds a character that is not allowed here" },
                { D("<shmem name='s'><model type='ivshmem-doorbell'/><msi ioeventfd='off'/></shmem>"),
                  "2:82: RAW/DATA: <devices/shmem>: ioeventfd='off' has no counterpart" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

/* libvirt-behaviour sections 2, 3.1 and 10. */
static void firmware_and_what_it_tells_are_translated(void **state)
{
        static const struct row rows[] = {
                { "<os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type><firmware><feature enabled='yes' "
                  "name='secure-boot'/><feature enabled='yes' name='enrolled-keys'/></firmware></os>",
                  "OS[ARCH=x86_64 MACHINE=q35 FIRMWARE=UEFI FIRMWARE_SECURE=yes]; warning 2:125: RAW/DATA: "
                  "<os>/firmware/feature enrolled-keys has no effect in QEMU" },
                { "<os firmware='bios'/>", "OS[FIRMWARE=BIOS]" },
                { "<os><loader readonly='yes' type='pflash' secure='no'>/x/OVMF_CODE.fd</loader><nvram "
                  "template='/x/OVMF_VARS.fd'>/y.fd</nvram></os>",
                  "OS[FIRMWARE_SECURE=no FIRMWARE=/x/OVMF_CODE.fd]; warning 2:86: RAW/DATA: <os>/nvram has no effect in QEMU" },
                { "<os><loader type='rom'>/x</loader></os>",
                  "2:27: RAW/DATA: <os>: type='rom' has no counterpart" },
                { "<os><kernel>/k</kernel><initrd>/i</initrd><cmdline>quiet</cmdline></os>",
                  "OS[KERNEL=/k INITRD=/i KERNEL_CMD=quiet]" },
                { "<os><bootmenu enable='yes' timeout='3000'/><bios useserial='no' rebootTimeout='5000'/></os>",
                  "OS[BOOT_MENU=yes BOOT_MENU_TIMEOUT=3000 REBOOT_TIMEOUT=5000]" },
                { "<os><bios useserial='yes' rebootTimeout='-1'/></os>",
                  "2:30: RAW/DATA: <os>: useserial='yes' has no counterpart" },
                { "<os><smbios mode='host'/></os>", "2:27: RAW/DATA: <os>: mode='host' has no counterpart" },
                { "<os><type>xen</type></os>",
                  "2:19: RAW/DATA: <os>: a <type> of 'xen' is Xen's or a container's; QEMU's is hvm" },
                { "<os><boot dev='network'/></os>", "OS[BOOT=nic0]" },
                { "<os><boot dev='hd'/></os>",
                  "2:13: RAW/DATA: <os>: there is nothing to <boot dev='hd'/> from" },
                { "<os><boot dev='fd'/></os>",
                  "2:13: RAW/DATA: <os>: there is nothing to <boot dev='fd'/> from" },
                { "<os><bootloader>pygrub</bootloader></os>",
                  "2:13: RAW/DATA: <os>: <bootloader> in it has no counterpart" },
                { "<os><smbios mode='sysinfo'/></os><sysinfo type='smbios'><bios><entry name='vendor'>Acme</entry></bios>"
                  "<system><entry name='serial'>ds=nocloud</entry></system><baseBoard><entry name='product'>x</entry>"
                  "</baseBoard><chassis><entry name='sku'>y</entry></chassis><oemStrings><entry>a</entry><entry>b</entry>"
                  "</oemStrings></sysinfo>",
                  "SMBIOS[BIOS_VENDOR=Acme SYSTEM_SERIAL=ds=nocloud BOARD_PRODUCT=x CHASSIS_SKU=y OEM_STRINGS=a\nb]" },
                { "<sysinfo type='smbios'><system><entry name='uuid'>x</entry><entry name='colour'>red</entry></system>"
                  "</sysinfo>",
                  "2:68: RAW/DATA: <sysinfo>: the entry 'colour' of <system> has no counterpart" },
                { "<sysinfo type='fwcfg'/>", "2:24: RAW/DATA: <sysinfo>: type='fwcfg' has no counterpart" },
                { F("<smm state='on'/><vmport state='off'/><ioapic driver='qemu'/>"),
                  "FEATURES[SMM=yes VMPORT=off IOAPIC=qemu]" },
                { F("<smm><tseg unit='MiB'>8</tseg></smm>"),
                  "2:24: RAW/DATA: <features/smm>: <tseg> in it has no counterpart" },
                { "<on_reboot>destroy</on_reboot><on_poweroff>destroy</on_poweroff><on_crash>restart</on_crash>",
                  "ON_REBOOT=destroy ON_CRASH=restart" },
        };
        _cleanup_free_ char *boot = meaning_of(
                "DISK=[TYPE=CDROM] DISK=[DISK_ID=7] RAW=[TYPE=kvm,DATA=\"<os><boot dev='cdrom'/><boot dev='hd'/></os>\"]",
                NULL, NULL);

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
        assert_string_equal(boot, "OS[BOOT=disk0,disk7]");
}

static void what_has_no_effect_is_a_warning(void **state)
{
        static const struct row rows[] = {
                { "<features><pae/></features>",
                  "warning 2:19: RAW/DATA: <features/pae> has no effect in QEMU" },
                { "<title>x</title>", "warning 2:9: RAW/DATA: <title> has no effect in QEMU" },
        };

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
}

static void what_the_template_says_itself_is_stronger(void **state)
{
        _cleanup_free_ char *other = meaning_of(
                "MEMTUNE=[HARD_LIMIT=64]\nON_CRASH=preserve\nRAW=[TYPE=kvm,DATA=\"<memtune><hard_limit unit='M'>"
                "32</hard_limit><soft_limit unit='M'>8</soft_limit></memtune><on_crash>preserve</on_crash>\"]",
                NULL, NULL);
        _cleanup_free_ char *twice = raw_meaning("<memtune><soft_limit unit='M'>8</soft_limit></memtune>\n"
                                                 "<memtune><soft_limit unit='M'>9</soft_limit></memtune>",
                                                 NULL);

        (void)state;
        assert_string_equal(
                other,
                "MEMTUNE[SOFT_LIMIT=8 M]; warning 3:51: RAW/DATA: MEMTUNE/HARD_LIMIT is given in line 1 "
                "too, which counts");
        assert_string_equal(
                twice, "MEMTUNE[SOFT_LIMIT=8 M]; warning 3:31: RAW/DATA: MEMTUNE/SOFT_LIMIT is given in line "
                       "2 too, which counts");
}

static void the_configuration_may_have_a_snippet_too(void **state)
{
        static const char crash[] = "RAW=\"<on_crash>restart</on_crash>\"";
        static const char tune[] = "RAW=\"<memtune><soft_limit unit='M'>8</soft_limit></memtune>\"";
        static const char own[] = "RAW=[TYPE=kvm,DATA=\"<on_crash>destroy</on_crash>\"]";
        _cleanup_free_ char *host = meaning_of("CPU=1", crash, tune),
                            *driver = meaning_of("CPU=1", NULL, tune);
        _cleanup_free_ char *both = meaning_of(own, crash, NULL),
                            *wrong = meaning_of("CPU=1", "RAW=\"<x/>\"", NULL);
        _cleanup_free_ char *none = meaning_of("CPU=1", "RAW=\"\"", tune),
                            *done = meaning_of("SNIPPETS=done", crash, NULL);

        (void)state;
        assert_string_equal(host, "ON_CRASH=restart from host.conf");
        assert_string_equal(driver, "MEMTUNE[SOFT_LIMIT=8 M from vmm_exec_kvm.conf]");
        assert_string_equal(
                both, "ON_CRASH=destroy; warning 1:16: RAW: ON_CRASH is given in line 1 too, which counts");
        assert_string_equal(wrong, "1:6: RAW: <x>: has no counterpart");
        /* One that is there and empty keeps the weaker ones away. */
        assert_string_equal(none, "");
        assert_string_equal(done, "");
}

static void raw_of_another_hypervisor_is_a_warning(void **state)
{
        _cleanup_free_ char *other = meaning_of("RAW=[TYPE=vmware,DATA_VMX=x,DATA=\"<a\"]", NULL, NULL);
        _cleanup_free_ char *none = meaning_of("RAW=[DATA=\"<a/>\"]", NULL, NULL);
        _cleanup_free_ char *empty = meaning_of("RAW=[TYPE=KVM,DATA=\"  \"]\nRAW=[TYPE=kvm]", NULL, NULL);

        (void)state;
        assert_string_equal(other, "warning 1:11: RAW: is for hypervisor 'vmware', without effect here");
        assert_string_equal(none, "1:1: RAW/TYPE: has to be given (kvm: DATA is libvirt XML; qemu: "
                                  "arguments of QEMU)");
        assert_string_equal(empty, "");
}

static void arguments_of_qemu_become_raw_of_that_type(void **state)
{
        static const struct row rows[] = {
                { "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
                  "<qemu:arg value='-smbios'/><qemu:arg value='type=11,value=it&apos;s'/></qemu:commandline>",
                  "RAW[TYPE=qemu DATA=-smbios 'type=11,value=it'\\''s']" },
                { "<qemu:commandline><qemu:env name='PULSE_SERVER' value='b c'/><qemu:env name='LC_ALL' value='C'/>"
                  "</qemu:commandline>",
                  "RAW[TYPE=qemu DATA= ENV='PULSE_SERVER=b c' LC_ALL=C]" },
                { "<qemu:commandline>\n<qemu:env name='LD_PRELOAD' value='/x.so'/></qemu:commandline>",
                  "3:1: RAW/DATA: <qemu:commandline>: 'LD_PRELOAD' is none of the variables that QEMU may have: it could "
                  "change what is loaded into QEMU, or is nothing that QEMU knows" },
                { "<qemu:commandline><qemu:env value='b'/></qemu:commandline>",
                  "2:27: RAW/DATA: <qemu:commandline>: '' is none of the variables that QEMU may have: it could "
                  "change what is loaded into QEMU, or is nothing that QEMU knows" },
                { "<qemu:commandline><qemu:arg/></qemu:commandline>",
                  "2:27: RAW/DATA: <qemu:commandline>: <qemu:arg> has no value" },
        };
        _cleanup_free_ char *ours = meaning_of("RAW=[TYPE=\" QEMU\",DATA=\"-seed 1\"]", NULL, NULL);
        _cleanup_free_ char *lax = meaning_of("RAW=[TYPE=qemu,VALIDATE=no,DATA=\"-seed 1\"]", NULL, NULL);

        (void)state;
        check_rows(rows, ARRAY_SIZE(rows));
        assert_string_equal(ours, "");
        assert_string_equal(lax,
                            "1:25: RAW/VALIDATE: is of TYPE kvm; what TYPE qemu may not say stays an error");
}

static void validate_no_makes_warnings_of_it(void **state)
{
        _cleanup_free_ char *lax =
                raw_meaning("<foo/><on_crash>restart</on_crash><memtune><x/></memtune>", "no");
        _cleanup_free_ char *wrong = raw_meaning("<on_crash>restart</on_crash>", "perhaps");

        (void)state;
        assert_string_equal(
                lax, "ON_CRASH=restart; warning 2:9: RAW/DATA: <foo>: has no counterpart, going on without "
                     "<foo>; warning 2:52: RAW/DATA: <memtune>: <x> in it has no counterpart, going on "
                     "without <memtune>");
        assert_string_equal(wrong, "ON_CRASH=restart; 1:24: RAW/VALIDATE: 'perhaps' is neither yes nor no");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(devices_of_the_host_are_pci_and_usb),
                cmocka_unit_test(what_nothing_can_carry_is_an_error_at_its_place),
                cmocka_unit_test(names_of_other_worlds_are_told_whose_they_are),
                cmocka_unit_test(processors_and_memory_are_translated),
                cmocka_unit_test(screen_sound_and_input_are_translated),
                cmocka_unit_test(options_of_spice_are_for_vms_with_spice),
                cmocka_unit_test(features_and_flags_are_translated),
                cmocka_unit_test(flags_join_those_of_the_template),
                cmocka_unit_test(clock_and_sleep_are_translated),
                cmocka_unit_test(options_and_timers_of_hyperv_are_for_windows),
                cmocka_unit_test(network_cards_are_translated),
                cmocka_unit_test(disks_are_translated),
                cmocka_unit_test(small_devices_are_translated),
                cmocka_unit_test(serial_ports_and_consoles_are_translated),
                cmocka_unit_test(parallel_ports_channels_and_smart_cards_are_translated),
                cmocka_unit_test(shared_memory_is_translated),
                cmocka_unit_test(firmware_and_what_it_tells_are_translated),
                cmocka_unit_test(what_has_no_effect_is_a_warning),
                cmocka_unit_test(what_the_template_says_itself_is_stronger),
                cmocka_unit_test(the_configuration_may_have_a_snippet_too),
                cmocka_unit_test(raw_of_another_hypervisor_is_a_warning),
                cmocka_unit_test(arguments_of_qemu_become_raw_of_that_type),
                cmocka_unit_test(validate_no_makes_warnings_of_it),
        };

        return cmocka_run_group_tests_name("snippet", tests, NULL, NULL);
}
