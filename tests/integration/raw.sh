#!/usr/bin/env bash
# What libvirt's XML in RAW does to a running machine where no attribute of OpenNebula's says the same: board and firmware.
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
        'tr "\000" "\n" </sys/firmware/dmi/tables/DMI >/tmp/table' \
        'for s in "slot of the board" "SKU of the chassis" "the first, of two" "the second"; do grep -qF "$s" /tmp/table && echo "HAS $s"; done'
    while read -r part name file value; do
        [[ $file == - ]] || said "$file" "$value"
    done < <(board_entries)
    for value in "slot of the board" "SKU of the chassis" "the first, of two" "the second"; do
        assert_contains "$SAID" "HAS $value" "the board's table"
    done
    qmp_close
    # on_reboot destroy: a guest that starts itself again is at its end.
    tell_guest '(sleep 1; reboot -f) &'
    expect 0 vml --timeout 60 wait "$VM" --for=stopped
    assert_eq "$(status_of verdict)" guest-off "the end of a guest that restarted"
}

run_tests "$@"
