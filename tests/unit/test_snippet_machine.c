/* Elements of libvirt's XML about processors, memory, firmware, features and time: what they become. */
#include "tests/unit/snippet_rows.h"

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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(processors_and_memory_are_translated),
                cmocka_unit_test(features_and_flags_are_translated),
                cmocka_unit_test(flags_join_those_of_the_template),
                cmocka_unit_test(clock_and_sleep_are_translated),
                cmocka_unit_test(options_and_timers_of_hyperv_are_for_windows),
                cmocka_unit_test(firmware_and_what_it_tells_are_translated),
        };

        return cmocka_run_group_tests_name("snippet_machine", tests, NULL, NULL);
}
