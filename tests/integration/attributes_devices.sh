#!/usr/bin/env bash
# What RNG, WATCHDOG, TPM, FILESYSTEM, SERIAL, CONSOLE and RAW do to a running machine: asked from QEMU, from /proc, or from the
# guest; and what becomes of the helper processes (swtpm, virtiofsd).
. "$(dirname "$0")/lib.sh"

# object ID PROPERTY VALUE
object() {
    qmp qom-get "{\"path\":\"/objects/$1\",\"property\":\"$2\"}"
    assert_eq "$(jq -cr . <<<"$REPLY_JSON")" "$3" "object $1 $2"
}
# confined PID UID: it runs so, with a system call filter, in the VM's group
confined() {
    local status
    status=$(</proc/"$1"/status)
    assert_match "$status" "Uid:[[:space:]]$2[[:space:]]$2[[:space:]]$2[[:space:]]" "uids of process $1"
    assert_match "$status" $'\nNoNewPrivs:\t1\n' "process $1"
    assert_match "$status" $'\nSeccomp:\t2\n' "process $1"
    [[ ! -d /sys/fs/cgroup/cpu ]] || assert_contains "$(</proc/"$1"/cgroup)" "/machine.slice/vmlaunch-$VM" "group of process $1"
}
# A guest of the ordinary kernel, which has 9p and watchdogs.
generic_template() {
    CMDLINE='' template "$@"
    sed -i "s#$GUEST/vmlinuz#$GUEST/vmlinuz-generic#; s#$GUEST/initrd.img#$GUEST/initrd-generic.img#" "$TEMPLATE"
}
boots() {
    expect 0 vml start "$TEMPLATE"
    watch_console
    await 120 ready_times 1
    kill "$CONSOLE"
    wait "$CONSOLE" 2>/dev/null || true
}
# escaped HEX: as printf takes it
escaped() {
    local i
    for ((i = 0; i < ${#1}; i += 2)); do printf '\\x%s' "${1:i:2}"; done
}
# boot_code FILE HEX: a disk whose boot sector is this code
boot_code() {
    # shellcheck disable=SC2059 # the format is the code
    printf "$(escaped "$2")" >"$1"
    truncate -s 510 "$1"
    printf '\x55\xaa' >>"$1"
    truncate -s 1M "$1"
}

test_devices_of_a_q35_guest() {
    need_root
    local uid pid line
    mkdir -m 777 "$ROOT/nine" "$ROOT/nine,squash=d"
    mkdir -m 755 "$ROOT/mapped" "$ROOT/through"
    chown 100000:100000 "$ROOT/mapped"
    TEMPLATE=$ROOT/$VM.tmpl
    cat >"$TEMPLATE" <<END
NAME = "$VM"
MEMORY = "64"
ACCEL = "tcg"
RNG = [ MODEL = "virtio", SOURCE = "/dev/random", RATE_BYTES = "4096", RATE_PERIOD = "2000" ]
WATCHDOG = [ MODEL = "i6300esb", ACTION = "inject-nmi" ]
TPM = [ MODEL = "tpm-crb" ]
IOMMU = [ MODEL = "amd", MODE = "single", OPTIONS = "intremap=on" ]
FILESYSTEM = [ SOURCE = "nine", TARGET = "nine", DRIVER = "9p", ACCESSMODE = "mapped", ADDRESS = "rp7:0x0" ]
FILESYSTEM = [ SOURCE = "nine,squash=d", TARGET = "a,b=c", ACCESSMODE = "squash", READONLY = "yes" ]
FILESYSTEM = [ FS_ID = "7", SOURCE = "mapped", TARGET = "mapped", DRIVER = "virtiofs", CACHE = "always" ]
FILESYSTEM = [ SOURCE = "through", TARGET = "through", ACCESSMODE = "passthrough", READONLY = "yes", CACHE = "none" ]
SERIAL = [ TYPE = "pty", LOG = "yes", PORT = "2" ]
SERIAL = [ TYPE = "file", PATH = "port.txt" ]
SERIAL = [ TYPE = "log", PORT = "1" ]
SERIAL = [ TYPE = "null" ]
CONSOLE = [ TARGET = "virtio" ]
CONSOLE = [ TARGET = "virtio", TYPE = "socket", LOG = "yes" ]
CONSOLE = [ TARGET = "virtio", TYPE = "file", PATH = "$ROOT/console.txt" ]
END
    started
    uid=$(status_of uid)
    # RNG
    device rng0 type virtio-rng-pci
    device rng0 max-bytes 4096
    device rng0 period 2000
    object rng0-source type rng-random
    [[ -n $(find /proc/"$PID"/fd -lname /dev/random) ]] || fail "QEMU has not opened /dev/random"
    # WATCHDOG
    device watchdog0 type i6300esb
    in_status watchdog0 .address pci1:0x1
    has_argument "shutdown=pause,reboot=reset,panic=pause,watchdog=inject-nmi" || fail "the action of the watchdog"
    # IOMMU
    device iommu0 type amd-iommu
    device iommu0 intremap on
    # TPM
    device tpm0 type tpm-crb
    qmp query-tpm
    reply_is '.[0] | [.model, .options.type, .options.data.chardev]' '["tpm-crb","emulator","tpm0-socket"]'
    assert_eq "$(helper tpm0 program)" swtpm "the TPM's helper"
    pid=$(helper tpm0 pid)
    confined "$pid" "$uid"
    assert_match "$(</proc/"$pid"/status)" $'\nCapPrm:\t0+\n' "capabilities of swtpm"
    assert_eq "$(stat -c '%u %a' "$ROOT/var/lib/vmlaunch/$VM/tpm")" "$uid 700" "the TPM's directory"
    [[ -s $ROOT/var/lib/vmlaunch/$VM/tpm/tpm2-00.permall ]] || fail "the TPM has no state"
    # FILESYSTEM
    device fs0 mount_tag nine
    device fs0 parent_bus /machine/peripheral/rp7/rp7
    device fs1 mount_tag "a,b=c"
    has_argument "local,id=fs1-source,path=$ROOT/nine,,squash=d,security_model=none,multidevs=remap,readonly=on" ||
        fail "the squashed directory"
    device fs7 tag mapped
    device fs2 tag through
    in_status fs7 .source "$ROOT/mapped"
    confined "$(helper fs7 pid)" 100000
    assert_eq "$(tr -s ' ' </proc/"$(helper fs7 pid)"/uid_map)" " 0 100000 65536" "ids of the mapped directory"
    assert_contains "$(tr '\0' ' ' </proc/"$(helper fs7 pid)"/cmdline)" "-o cache=always" "virtiofsd"
    confined "$(helper fs2 pid)" 0
    assert_contains "$(tr '\0' ' ' </proc/"$(helper fs2 pid)"/cmdline)" "-o cache=none" "virtiofsd"
    pid=$(helper fs2 pid)
    for line in user mnt net ipc; do
        [[ $(readlink "/proc/$pid/ns/$line") != "$(readlink "/proc/$$/ns/$line")" ]] || fail "virtiofsd is in our $line namespace"
    done
    assert_eq "$(stat -L -c %i "/proc/$pid/root")" "$(stat -c %i "$ROOT/through")" "the root of virtiofsd"
    object ram0 share true
    # SERIAL: ports 2, 0, 1, 3
    device serial0 index 2
    device serial1 index 0
    device serial2 index 1
    device serial3 index 3
    line=$(status_of 'devices[] | select(.id == "serial0") | .pty')
    [[ -c $line ]] || fail "serial0 is on the pseudo terminal '$line'"
    chardev serial0 .filename "pty:$line"
    in_status serial0 .log "$ROOT/var/log/vmlaunch/$VM-serial0.log"
    in_status serial2 .log "$ROOT/var/log/vmlaunch/$VM-serial2.log"
    [[ -f $ROOT/port.txt ]] || fail "no file of serial1"
    chardev serial3 .filename null
    # CONSOLE
    device console0 type virtconsole
    in_status console0 .socket console.sock
    in_status console1 .socket console1.sock
    in_status console1 .log "$ROOT/var/log/vmlaunch/$VM-console1.log"
    in_status console2 .log "$ROOT/console.txt"
    assert_eq "$(status_of 'helpers | length')" 3 "helpers"
    expect 0 vml status "$VM" --compare
    ended
    await 5 is_gone "$pid"
}

test_devices_of_a_pc_guest() {
    need_root
    TEMPLATE=$ROOT/$VM.tmpl
    mkdir -p "$ROOT/etc/vmlaunch"
    cat >"$ROOT/etc/vmlaunch/host.conf" <<END
TPM = [ MODEL = "tpm-tis" ]
FILESYSTEM = [ UID_MAP = "200000", GID_MAP = "300000" ]
END
    mkdir -m 755 "$ROOT/mapped"
    cat >"$TEMPLATE" <<END
NAME = "$VM"
MEMORY = "64"
ACCEL = "tcg"
OS = [ MACHINE = "pc" ]
FEATURES = [ GUEST_AGENT = "no" ]
RNG = [ SOURCE = "builtin" ]
WATCHDOG = [ MODEL = "ib700", ACTION = "none" ]
FILESYSTEM = [ SOURCE = "mapped", TARGET = "mapped", DRIVER = "virtiofs", READONLY = "yes" ]
CONSOLE = [ TYPE = "pty" ]
RAW = [ TYPE = "qemu", DATA = "-fw_cfg name=opt/org.example/word,string='two  words' -netdev user,id=raw-net,restrict=on
  -device '{\"driver\":\"virtio-net-pci\",\"id\":\"raw-nic\",\"netdev\":\"raw-net\",\"mac\":\"52:54:00:00:00:99\"}'
  -chardev null,id=raw-debug -device isa-debugcon,id=raw-port,iobase=0x402,chardev=raw-debug" ]
RAW = [ TYPE = "kvm", VALIDATE = "no", DATA = "<qemu:commandline><qemu:arg value='-object'/><qemu:arg value='rng-builtin,id=raw-luck'/>
  <qemu:env name='X' value='y'/></qemu:commandline><qemu:commandline><qemu:arg value='-smbios'/><qemu:arg value='type=11,value=it&apos;s'/>
  </qemu:commandline>" ]
END
    started
    # RAW: the command line with qemu:env is left out as a whole
    device raw-nic type virtio-net-pci
    device raw-nic mac 52:54:00:00:00:99
    device raw-port type isa-debugcon
    chardev raw-debug .filename null
    has_argument "name=opt/org.example/word,string=two  words" || fail "the words of RAW"
    has_argument "type=11,value=it's" || fail "the words of <qemu:commandline>"
    if has_argument "rng-builtin,id=raw-luck"; then fail "a <qemu:commandline> that cannot be carried"; fi
    assert_eq "$(vml -o json status "$VM" --compare | jq -c .differences)" "[]" "what template and QEMU say"
    object rng0-source type rng-builtin
    device rng0 period 65536
    device watchdog0 type ib700
    has_argument "shutdown=pause,reboot=reset,panic=pause,watchdog=none" || fail "the action of the watchdog"
    device tpm0 type tpm-tis
    assert_eq "$(tr -s ' ' </proc/"$(helper fs0 pid)"/uid_map)" " 0 200000 65536" "user ids"
    assert_eq "$(tr -s ' ' </proc/"$(helper fs0 pid)"/gid_map)" " 0 300000 65536" "group ids"
    device serial0 index 0
    [[ -c $(status_of 'devices[] | select(.id == "serial0") | .pty') ]] || fail "the console is no pseudo terminal"
    ended
}

# out 0x443, 14: an ib700 that is not fed fires after 2 s; then the guest waits for ever.
IB700_ARMED="ba4304b00eeefaf4ebfd"
fires() { # ACTION
    boot_code "$ROOT/hang.img" "$IB700_ARMED"
    TEMPLATE=$ROOT/$VM.tmpl
    cat >"$TEMPLATE" <<END
NAME = "$VM"
MEMORY = "64"
ACCEL = "tcg"
DISK = [ SOURCE = "hang.img", FORMAT = "raw", TARGET = "vda" ]
WATCHDOG = [ MODEL = "ib700", ACTION = "$1" ]
END
    expect 0 vml start "$TEMPLATE"
}

test_watchdog_pause_leaves_the_guest_paused() {
    need_root
    fires pause
    await 60 story_has "the guest's watchdog fired: pause"
    await 5 status_is state paused
    assert_eq "$(status_of reason)" watchdog "why it is paused"
    expect 0 vml destroy "$VM"
}

test_watchdog_poweroff_ends_the_vm() {
    need_root
    fires poweroff
    await 60 status_is state stopped
    assert_eq "$(status_of verdict)" guest-off "verdict"
    story_has "the guest's watchdog fired: poweroff" || fail "the story: $(status_of 'story[].text')"
}

test_watchdog_reset_starts_the_guest_again() {
    need_root
    fires reset
    await 60 story_has "the guest's watchdog fired: reset"
    # And again: the guest has started anew.
    fired_twice() { (($(status_of 'story[].text' | grep -cF "watchdog fired") >= 2)); }
    await 60 fired_twice
    assert_eq "$(status_of state)" running "state"
    expect 0 vml destroy "$VM"
}

test_virtiofs_rng_and_consoles_in_a_guest() {
    need_root
    mkdir -m 755 "$ROOT/mapped" "$ROOT/through" "$ROOT/fixed"
    chown 200000:300000 "$ROOT/mapped"
    mkdir -p "$ROOT/etc/vmlaunch"
    echo 'DISK = [ UID_MAP = "200000", GID_MAP = "300000" ]' >>"$ROOT/etc/vmlaunch/vmm_exec_kvm.conf"
    echo "from the host" >"$ROOT/mapped/host.txt"
    echo "fixed" >"$ROOT/fixed/host.txt"
    CMDLINE="guest.noagent" template 'RNG = [ ]' \
        'SERIAL = [ TYPE = "socket", LOG = "yes" ]' 'CONSOLE = [ TARGET = "virtio", TYPE = "log" ]' \
        'DISK = [ TYPE = "filesystem", SOURCE = "mapped", MOUNT_TAG = "mapped" ]' \
        'FILESYSTEM = [ SOURCE = "through", TARGET = "through", ACCESSMODE = "passthrough" ]' \
        'FILESYSTEM = [ SOURCE = "fixed", TARGET = "fixed", ACCESSMODE = "passthrough", READONLY = "yes" ]'
    boots
    # FILESYSTEM
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest 'modprobe virtiofs; mkdir /m /t /f' \
        'mount -t virtiofs mapped /m; mount -t virtiofs through /t; mount -t virtiofs fixed /f' \
        'echo "read=$(cat /m/host.txt)"; echo from the guest >/m/guest.txt' \
        'chown 1000:1001 /m/guest.txt; echo "owner=$(stat -c %u:%g /m/guest.txt)"' \
        'echo deep >/t/guest.txt; chown 1000:1001 /t/guest.txt; chmod 4755 /t/guest.txt' \
        'echo "fixed=$(cat /f/host.txt)"; touch /f/no 2>/dev/null || echo "refused=yes"'
    said read "from the host"
    said owner 1000:1001
    said fixed fixed
    said refused yes
    assert_eq "$(<"$ROOT/mapped/guest.txt")" "from the guest" "what the guest wrote"
    assert_eq "$(stat -c %u:%g "$ROOT/mapped/guest.txt")" 201000:301001 "owner of a mapped file"
    assert_eq "$(stat -c '%u:%g %a' "$ROOT/through/guest.txt")" "1000:1001 4755" "owner of a file that is passed through"
    [[ ! -e $ROOT/fixed/no ]] || fail "the guest wrote into a read-only directory"
    # RNG
    # shellcheck disable=SC2016
    tell_guest 'modprobe virtio_rng; echo "rng=$(cat /sys/class/misc/hw_random/rng_current)"' \
        'echo "bytes=$(dd if=/dev/hwrng bs=16 count=4 2>/dev/null | wc -c)"'
    said rng virtio_rng.0
    said bytes 64
    # CONSOLE: its log is bounded, also when it grows faster than a guest without KVM can write
    local log=$ROOT/var/log/vmlaunch/$VM-console0.log turn
    tell_guest 'echo first >/dev/hvc0; echo written=1'
    said written 1
    await 20 grep -q first "$log"
    cut_off() { (($(stat -c %s "$log") == 0)); }
    for turn in 1 2 3 4 5; do
        printf '%s%s' "$turn" "$(head -c 2500000 /dev/zero | tr '\0' x)" >>"$log"
        await 20 cut_off
    done
    assert_eq "$(stat -c %s "$log.1" "$log.3" | xargs)" "2097152 2097152" "sizes of old logs"
    [[ ! -e $log.4 ]] || fail "four old logs are kept"
    tell_guest 'echo last >/dev/hvc0; echo written=2'
    said written 2
    await 20 grep -q last "$log"
    (($(stat -c %s "$log") < 100)) || fail "the log after it was cut off: $(stat -c %s "$log") bytes"
    assert_contains "$(<"$ROOT/var/log/vmlaunch/$VM-serial0.log")" "READY" "the serial port's log"
    expect 0 vml destroy "$VM"
}

# tpm_command HEX: the response code of the guest's TPM to it, in $SAID as rc=
tpm_command() {
    # shellcheck disable=SC2016
    tell_guest "printf '$(escaped "$1")' >/tmp/c; exec 3<>/dev/tpm0; cat /tmp/c >&3" \
        'echo "rc=$(dd bs=4096 count=1 <&3 2>/dev/null | hexdump -v -e "/1 \"%02x\"" | cut -c 13-20)"; exec 3>&-'
}
# A swtpm on a copy of the VM's directory answers this command: the response code.
kept_tpm_command() {
    rm -rf "$WORK/tpm"
    cp -r "$ROOT/var/lib/vmlaunch/$VM/tpm" "$WORK/tpm"
    swtpm socket --tpm2 --tpmstate "dir=$WORK/tpm" --server "type=unixio,path=$WORK/tpm.sock" --flags not-need-init,startup-clear &
    local pid=$!
    await 10 is_listening "$WORK/tpm.sock"
    # shellcheck disable=SC2059 # the format is the command
    printf "$(escaped "$1")" | socat -t 5 - "UNIX-CONNECT:$WORK/tpm.sock" | od -An -v -tx1 | tr -d ' \n' | cut -c 13-20
    kill "$pid"
    wait "$pid" 2>/dev/null || true
}
# TPM2_NV_DefineSpace of index 0x01500001, 8 bytes, for its owner; TPM2_NV_ReadPublic of it
NV_DEFINE=80020000002d0000012a40000001000000094000000900000000000000000e01500001000b0002000200000008
NV_PUBLIC=80010000000e0000016901500001

test_9p_tpm_and_watchdog_in_a_guest() {
    need_root
    local uid
    mkdir -m 755 "$ROOT/nine" "$ROOT/fixed"
    generic_template 'TPM = [ MODEL = "tpm-crb" ]' 'WATCHDOG = [ ACTION = "reset" ]' \
        'FILESYSTEM = [ SOURCE = "nine", TARGET = "nine" ]' \
        'FILESYSTEM = [ SOURCE = "fixed", TARGET = "fixed", READONLY = "yes" ]'
    # The VM's user, as the plan says.
    expect 0 vml plan "$TEMPLATE" --format json
    uid=$(jq .confine.uid <<<"$OUT")
    assert_contains "$(jq -r '.warnings[].message' <<<"$OUT")" "FILESYSTEM[0]/SOURCE: the guest can only read it: user $uid" "what plan says"
    chown "$uid" "$ROOT/nine"
    echo "from the host" >"$ROOT/nine/host.txt"
    boots
    # FILESYSTEM
    # shellcheck disable=SC2016
    tell_guest 'mkdir /n /f; mount -t 9p -o trans=virtio,version=9p2000.L nine /n; mount -t 9p -o trans=virtio fixed /f' \
        'echo "read=$(cat /n/host.txt)"; echo from the guest >/n/guest.txt; chown 1000:1001 /n/guest.txt' \
        'chmod 4711 /n/guest.txt; echo "owner=$(stat -c "%u:%g %a" /n/guest.txt)"' \
        'touch /f/no 2>/dev/null || echo "refused=yes"'
    said read "from the host"
    said owner "1000:1001 4711"
    said refused yes
    assert_eq "$(<"$ROOT/nine/guest.txt")" "from the guest" "what the guest wrote"
    assert_eq "$(stat -c %u "$ROOT/nine/guest.txt")" "$uid" "owner on the host"
    # TPM; on a busy host the guest's driver may be behind.
    # shellcheck disable=SC2016
    tell_guest 'i=0; until [ -e /sys/class/tpm/tpm0 ] || [ $i = 100 ]; do i=$((i + 1)); usleep 100000; done' \
        'echo "tpm=$(cat /sys/class/tpm/tpm0/tpm_version_major)"; echo "driver=$(basename $(readlink /sys/class/tpm/tpm0/device/driver))"'
    said tpm 2
    said driver tpm_crb
    tpm_command "$NV_PUBLIC"
    said rc 0000018b
    tpm_command "$NV_DEFINE"
    said rc 00000000
    tpm_command "$NV_PUBLIC"
    said rc 00000000
    # WATCHDOG: fed once in five minutes
    # shellcheck disable=SC2016
    tell_guest 'echo "watchdog=$(cat /sys/class/watchdog/watchdog0/identity)"; watchdog -T 4 -t 300 /dev/watchdog0; echo armed=1'
    said watchdog "i6300ESB timer"
    said armed 1
    await 120 story_has "the guest's watchdog fired: reset"
    expect 0 vml destroy "$VM"
    # TPM: what the guest keeps there is there at the next start, also under another uid
    assert_eq "$(kept_tpm_command "$NV_PUBLIC")" 00000000 "the index that the guest has defined"
    sed -i "s/^UID = .*/UID = \"$((uid == 1900000000 ? uid + 1 : uid - 1))\"/" "$ROOT/var/lib/vmlaunch/$VM/machine.lock"
    chown "$((uid == 1900000000 ? uid + 1 : uid - 1))" "$ROOT/nine"
    expect 0 vml start "$TEMPLATE"
    [[ $(status_of uid) != "$uid" ]] || fail "the VM has its uid still"
    assert_eq "$(stat -c %u "$ROOT/var/lib/vmlaunch/$VM/tpm/tpm2-00.permall")" "$(status_of uid)" "owner of the TPM's state"
    expect 0 vml destroy "$VM"
    assert_eq "$(kept_tpm_command "$NV_PUBLIC")" 00000000 "the index, after another start"
}

test_a_helper_that_ends_is_told() {
    need_root
    local pid
    TEMPLATE=$ROOT/$VM.tmpl
    printf 'NAME = "%s"\nMEMORY = "64"\nACCEL = "tcg"\nTPM = [ MODEL = "tpm-tis" ]\n' "$VM" >"$TEMPLATE"
    expect 0 vml start "$TEMPLATE"
    pid=$(helper tpm0 pid)
    kill -KILL "$pid"
    await 20 story_has "swtpm of tpm0 (pid $pid) has ended by SIGKILL: the device does not answer the guest any more"
    assert_eq "$(helper tpm0 state)" ended "state of the helper"
    assert_eq "$(status_of state)" running "state of the VM"
    expect 0 vml destroy "$VM"
}

test_helpers_outlive_their_supervisor_and_end_with_qemu() {
    need_root
    local tpm fs supervisor
    mkdir -m 755 "$ROOT/through"
    TEMPLATE=$ROOT/$VM.tmpl
    printf 'NAME = "%s"\nMEMORY = "64"\nACCEL = "tcg"\nTPM = [ MODEL = "tpm-tis" ]\nFILESYSTEM = [ SOURCE = "through", TARGET = "t", ACCESSMODE = "passthrough" ]\n' "$VM" >"$TEMPLATE"
    expect 0 vml start "$TEMPLATE"
    tpm=$(helper tpm0 pid) fs=$(helper fs0 pid) supervisor=$(status_of supervisor_pid)
    kill -KILL "$supervisor"
    await 20 story_has "adopted by supervisor"
    await 20 status_is state running
    assert_eq "$(helper tpm0 pid) $(helper fs0 pid)" "$tpm $fs" "the helpers"
    assert_eq "$(helper tpm0 state) $(helper fs0 state)" "running running" "the helpers"
    # Its own end is seen by a supervisor that has not started it.
    kill -KILL "$fs"
    await 20 story_has "virtiofsd of fs0 (pid $fs) has ended"
    expect 0 vml destroy "$VM"
    await 5 is_gone "$tpm"
}

test_reconcile_ends_helpers_that_nobody_else_does() {
    need_root
    local pid
    TEMPLATE=$ROOT/$VM.tmpl
    printf 'NAME = "%s"\nMEMORY = "64"\nACCEL = "tcg"\nTPM = [ MODEL = "tpm-tis" ]\n' "$VM" >"$TEMPLATE"
    expect 0 vml start "$TEMPLATE"
    pid=$(helper tpm0 pid)
    # One that hangs does not see the end of its socket.
    kill -STOP "$pid"
    slay_vm
    [[ -d /proc/$pid ]] || fail "the helper is gone already"
    expect 0 vml reconcile "$VM"
    assert_contains "$OUT$ERR" "helper process $pid" "what reconcile says"
    await 5 is_gone "$pid"
}

test_a_start_that_fails_leaves_no_helper_and_no_state() {
    need_root
    mkdir -m 755 "$ROOT/through"
    printf '#!/bin/sh\ncase " $* " in *"-machine none"*) exec /usr/bin/qemu-system-x86_64 "$@" ;; esac\nexit 3\n' >"$ROOT/no-qemu"
    chmod 755 "$ROOT/no-qemu"
    TEMPLATE=$ROOT/$VM.tmpl
    printf 'NAME = "%s"\nMEMORY = "64"\nACCEL = "tcg"\nEMULATOR = "%s"\nTPM = [ MODEL = "tpm-tis" ]\nFILESYSTEM = [ SOURCE = "through", TARGET = "t", ACCESSMODE = "passthrough" ]\n' \
        "$VM" "$ROOT/no-qemu" >"$TEMPLATE"
    expect 1 vml start "$TEMPLATE"
    [[ ! -e $ROOT/var/lib/vmlaunch/$VM ]] || fail "left: $(find "$ROOT/var/lib/vmlaunch/$VM")"
    assert_eq "$(pgrep -f "$ROOT/var/lib/vmlaunch/$VM/tpm" || true)" "" "swtpm"
}

run_tests "$@"
