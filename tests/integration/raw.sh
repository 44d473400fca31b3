#!/usr/bin/env bash
# What libvirt's XML in RAW does to a running machine where no attribute of OpenNebula's says the same: board and firmware,
# ports and channels, smart cards, shared memory, environment.
. "$(dirname "$0")/lib.sh"

# board_entries: what each is called in libvirt's XML and under /sys/class/dmi/id, and a value
board_entries() {
    cat <<'END'
bios      vendor       bios_vendor       Acme Firmware
bios      version      bios_version      1.2,3
bios      date         bios_date         01/02/2023
bios      release      bios_release      7.9
system    manufacturer sys_vendor        Acme "Systems" & Sons
system    product      product_name      Anvil 9000
system    version      product_version   v9
system    serial       product_serial    ds=nocloud;s=http://10.0.0.1/
system    sku          product_sku       SKU-1
system    family       product_family    Anvils
baseBoard manufacturer board_vendor      Board Maker
baseBoard product      board_name        Board Nine
baseBoard version      board_version     b9
baseBoard serial       board_serial      B-0001
baseBoard asset        board_asset_tag   asset of the board
baseBoard location     -                 slot of the board
chassis   manufacturer chassis_vendor    Chassis Maker
chassis   version      chassis_version   c9
chassis   serial       chassis_serial    C-0001
chassis   asset        chassis_asset_tag asset of the chassis
chassis   sku          -                 SKU of the chassis
END
}
# One part of <sysinfo>; the DATA is a quoted string of the template.
board_part() { # PART
    local part name file value
    echo "<$1>"
    while read -r part name file value; do
        [[ $part != "$1" ]] || echo "<entry name='$name'>$value</entry>"
    done < <(board_entries | sed 's/&/\&amp;/g; s/"/\&quot;/g')
    echo "</$1>"
}

test_the_guest_reads_what_raw_says_of_the_board() {
    need_root
    local part name file value
    template "RAW = [ TYPE = \"kvm\", DATA = \"
<devices><channel type='file'><source path='$ROOT/channel.txt'/><target type='virtio' name='org.example.port'/></channel></devices>
<os><bootmenu enable='yes' timeout='2500'/><bios rebootTimeout='4500'/><smbios mode='sysinfo'/></os>
<features><smm state='off'/><vmport state='on'/></features>
<sysinfo type='smbios'>$(for part in bios system baseBoard chassis; do board_part "$part"; done)
<oemStrings><entry>the first, of two</entry><entry>the second</entry></oemStrings></sysinfo>
<on_reboot>destroy</on_reboot>\" ]"
    start_ready
    PID=$(status_of pid)
    qmp_open
    qmp qom-get '{"path":"/machine","property":"boot"}'
    reply_is .menu true
    reply_is '."splash-time"' 2500
    reply_is '."reboot-timeout"' 4500
    qom "" smm off
    qom "" vmport on
    mapfile -t lines < <(board_entries | awk '$3 != "-" { print "echo " $3 "=$(cat /sys/class/dmi/id/" $3 ")" }')
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest "${lines[@]}" \
        'grep -lx org.example.port /sys/class/virtio-ports/*/name | while read -r f; do f=${f%/name}; echo from the guest >/dev/${f##*/}; done' \
        'tr "\000" "\n" </sys/firmware/dmi/tables/DMI >/tmp/table' \
        'for s in "slot of the board" "SKU of the chassis" "the first, of two" "the second"; do grep -qF "$s" /tmp/table && echo "HAS $s"; done'
    while read -r part name file value; do
        [[ $file == - ]] || said "$file" "$value"
    done < <(board_entries)
    for value in "slot of the board" "SKU of the chassis" "the first, of two" "the second"; do
        assert_contains "$SAID" "HAS $value" "the board's table"
    done
    # QEMU takes it from the channel in its own time.
    await 10 grep -qx "from the guest" "$ROOT/channel.txt"
    qmp_close
    # on_reboot destroy: a guest that starts itself again is at its end.
    tell_guest_last 'reboot -f'
    expect 0 vml --timeout 60 wait "$VM" --for=stopped
    assert_eq "$(status_of verdict)" guest-off "the end of a guest that restarted"
}

# bare_template LINE...: without a guest
bare_template() {
    TEMPLATE=$ROOT/$VM.tmpl
    printf '%s\n' "NAME = \"$VM\"" 'MEMORY = "64"' 'ACCEL = "tcg"' "$@" >"$TEMPLATE"
}
# server COMMAND...: until served
server() {
    "$@" &
    SERVERS+=("$!")
}
served() {
    kill "${SERVERS[@]}"
    wait "${SERVERS[@]}" 2>/dev/null || true
}
# maps_memory PID NAME: this QEMU has it in its address space
maps_memory() { grep -q " $ROOT/run/vmlaunch/.shmem/$2\$" "/proc/$1/maps"; }

test_ports_channels_and_the_environment_by_raw() {
    need_root
    SERVERS=()
    # To be there when QEMU connects.
    server socat "UNIX-LISTEN:$ROOT/server.sock,fork" PIPE
    await 10 is_listening "$ROOT/server.sock"
    bare_template "GRAPHICS = [ TYPE = \"spice\", USB_REDIRECTIONS = \"0\" ]" "RAW = [ TYPE = \"kvm\", DATA = \"
<devices>
<serial type='spiceport'><source channel='org.qemu.console.serial.0'/></serial>
<serial type='unix'><source mode='connect' path='$ROOT/server.sock'/></serial>
<parallel type='pty'><target port='1'/><log file='/x'/></parallel>
<parallel type='file'><source path='$ROOT/printer.txt'/><target port='2'/></parallel>
<channel type='unix'><source mode='bind'/><target type='virtio' name='org.example.bound'/><log file='/x'/></channel>
<channel type='unix'><source mode='connect' path='$ROOT/server.sock'/><target type='virtio' name='org.example.connected'/></channel>
<channel type='spiceport'><source channel='org.spice-space.webdav.0'/><target type='virtio' name='org.spice-space.webdav.0'/></channel>
<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>
<channel type='null'><target type='virtio' name='org.example.none'/></channel>
<smartcard mode='passthrough' type='spicevmc'/>
<panic model='hyperv'/>
</devices>
<qemu:commandline>
<qemu:env name='MALLOC_ARENA_MAX' value='2'/><qemu:env name='PULSE_SERVER' value='unix:/run/a b'/>
</qemu:commandline>\" ]"
    started
    # A graphical machine shows SPICE's ports as open or not, and their names are in the command line.
    device serial0 index 0
    has_argument "spiceport,id=serial0,name=org.qemu.console.serial.0" || fail "the serial port of SPICE"
    device serial1 index 1
    chardev serial1 .filename unix:
    device parallel0 type isa-parallel
    device parallel0 index 1
    [[ -c $(status_of 'devices[] | select(.id == "parallel0") | .pty') ]] || fail "no pseudo terminal of parallel0"
    in_status parallel0 .log "$ROOT/var/log/vmlaunch/$VM-parallel0.log"
    device parallel1 index 2
    in_status parallel1 .log "$ROOT/printer.txt"
    [[ -f $ROOT/printer.txt ]] || fail "no file of parallel1"
    device channel0 name org.example.bound
    in_status channel0 .socket channel0.sock
    in_status channel0 .log "$ROOT/var/log/vmlaunch/$VM-channel0.log"
    [[ -S $ROOT/run/vmlaunch/$VM/private/channel0.sock ]] || fail "no socket of channel0"
    device channel1 name org.example.connected
    device channel2 name org.spice-space.webdav.0
    has_argument "spiceport,id=channel2,name=org.spice-space.webdav.0" || fail "the channel of SPICE"
    device vdagent0 name com.redhat.spice.0
    chardev channel3 .filename null
    device smartcard0 type ccid-card-passthru
    device smartcard0 chardev smartcard0
    device ccid0 type usb-ccid
    qom unattached/device[0] hv-crash true
    assert_eq "$(tr '\0' '\n' <"/proc/$PID/environ" | sort | paste -sd'|')" "MALLOC_ARENA_MAX=2|PULSE_SERVER=unix:/run/a b" "QEMU's environment"
    expect 0 vml status "$VM" --compare
    ended
    served
}

test_smart_cards_by_raw() {
    need_root
    command -v certutil >/dev/null || skip "no certutil (libnss3-tools)"
    local name
    mkdir -m 755 "$ROOT/nss"
    head -c 64 /dev/urandom >"$WORK/noise"
    certutil -N -d "sql:$ROOT/nss" --empty-password
    for name in id sign crypt; do
        certutil -S -d "sql:$ROOT/nss" -n "$name" -s "CN=$name" -x -t CTu,CTu,CTu -z "$WORK/noise" -m "${#name}" >/dev/null 2>&1
    done
    # The VM's user reads it.
    chmod 644 "$ROOT"/nss/*
    bare_template "OS = [ MACHINE = \"pc\" ]" "RAW = [ TYPE = \"kvm\", DATA = \"<devices><smartcard mode='host-certificates'>
<certificate>id</certificate><certificate>sign</certificate><certificate>crypt</certificate>
<database>$ROOT/nss</database></smartcard></devices>\" ]"
    started
    device smartcard0 type ccid-card-emulated
    device smartcard0 backend certificates
    device smartcard0 cert2 sign
    device smartcard0 db "$ROOT/nss"
    device usb0 type piix3-usb-uhci
    [[ -n $(find "/proc/$PID/fd" -lname "$ROOT/nss/*") ]] || fail "QEMU has not opened the database"
    expect 0 vml status "$VM" --compare
    ended
}

test_vms_share_memory_by_raw() {
    need_root
    local memory=$ROOT/run/vmlaunch/.shmem first
    SERVERS=()
    server "$TOP/build/tests/ivshmem_server" "$ROOT/ivshmem.sock"
    await 10 is_listening "$ROOT/ivshmem.sock"
    bare_template "RAW = [ TYPE = \"kvm\", DATA = \"
<devices>
<shmem name='both' role='master'><model type='ivshmem-plain'/><size unit='M'>2</size></shmem>
<shmem name='own'><model type='ivshmem-plain'/></shmem>
<shmem name='served'><model type='ivshmem-doorbell'/><server path='$ROOT/ivshmem.sock'/><msi vectors='7'/></shmem>
</devices>\" ]"
    sed "s/NAME = \"$VM\"/NAME = \"$VM-2\"/; /name='own'/d; /name='served'/d" "$TEMPLATE" >"$ROOT/second.tmpl"
    sed "s/NAME = \"$VM\"/NAME = \"$VM-3\"/; /name='own'/d; /name='served'/d; s/>2</>4</" "$TEMPLATE" >"$ROOT/third.tmpl"
    started
    first=$PID
    device shmem0 type ivshmem-plain
    device shmem0 master on
    device shmem1 master off
    device shmem2 type ivshmem-doorbell
    device shmem2 vectors 7
    qmp query-memdev
    assert_eq "$(jq -c '[.[] | select(.id | startswith("shmem")) | [.id, .size, .share]] | sort' <<<"$REPLY_JSON")" \
        '[["shmem0-memory",2097152,true],["shmem1-memory",4194304,true]]' "the memories"
    assert_eq "$(stat -c '%a %s' "$memory" "$memory/both" | head -1)" "700 $(stat -c %s "$memory")" "their directory"
    assert_eq "$(stat -c '%s' "$memory/both")" 2097152 "the memory of both"
    maps_memory "$first" both || fail "the first VM does not have it"
    expect 0 vml status "$VM" --compare
    expect 9 vml start "$ROOT/third.tmpl"
    assert_contains "$ERR" "has 2097152 bytes, not 4194304" "another size"
    expect 0 vml start "$ROOT/second.tmpl"
    maps_memory "$(vml -o json status "$VM-2" | jq .pid)" both || fail "the second VM does not have it"
    # It stays while one has it, and goes with the last one.
    ended
    [[ -e $memory/both && ! -e $memory/own ]] || fail "after the first VM: $(ls "$memory")"
    expect 0 vml destroy "$VM-2"
    [[ ! -e $memory/both ]] || fail "after the last VM: $(ls "$memory")"
    served
}

run_tests "$@"
