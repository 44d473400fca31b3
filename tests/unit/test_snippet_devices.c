/* Elements of libvirt's XML that are devices: what they become. */
#include "tests/unit/snippet_rows.h"

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
                { D("<interface type='user'><backend type='passt'/></interface>"),
                  "NIC[BRIDGE_TYPE=user BACKEND=passt]" },
                { D("<interface type='user'><backend type='vhostuser'/></interface>"),
                  "2:56: RAW/DATA: NIC/BACKEND: 'vhostuser' is not one of passt, slirp" },
                { D("<interface type='user'><backend type='passt' logFile='/l'/></interface>"),
                  "2:63: RAW/DATA: <devices/interface>: logFile='/l' of <backend> has no counterpart" },
                { D("<interface type='user'><backend type='passt'/><portForward proto='tcp'/></interface>"),
                  "2:64: RAW/DATA: <devices/interface>: <portForward> in it has no counterpart" },
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(devices_of_the_host_are_pci_and_usb),
                cmocka_unit_test(screen_sound_and_input_are_translated),
                cmocka_unit_test(options_of_spice_are_for_vms_with_spice),
                cmocka_unit_test(network_cards_are_translated),
                cmocka_unit_test(disks_are_translated),
                cmocka_unit_test(small_devices_are_translated),
                cmocka_unit_test(serial_ports_and_consoles_are_translated),
                cmocka_unit_test(parallel_ports_channels_and_smart_cards_are_translated),
                cmocka_unit_test(shared_memory_is_translated),
        };

        return cmocka_run_group_tests_name("snippet_devices", tests, NULL, NULL);
}
