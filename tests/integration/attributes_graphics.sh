#!/usr/bin/env bash
# What GRAPHICS, VIDEO, INPUT, SOUND and REDIRFILTER do to a running machine: asked from QEMU, from the kernel, by clients
# that shake hands, or from the guest.
. "$(dirname "$0")/lib.sh"

CLIENT=$TOP/build/tests/display_client

# client STATUS PASSWORD vnc|spice ADDRESS [PORT [KEYS]]: what it said is in $OUT
client() {
    local want=$1 password=$2
    shift 2
    (($# > 2)) || set -- "$@" -
    printf '%s\n' "$password" >"$WORK/password"
    expect "$want" "$CLIENT" "$@" <"$WORK/password"
}
# gets_in PASSWORD ...; is_refused PASSWORD ...
gets_in() {
    client 0 "$@"
    assert_match "$OUT" '[[:space:]]in ' "the handshake"
}
is_refused() {
    client 3 "$@"
    assert_match "$OUT" 'refused: (Authentication failed|permission denied|the server does not offer type)' "the handshake"
}
# listens ADDRESS-AND-PORT...: all the sockets that QEMU listens at
listens() { assert_eq "$(ss -Hltnp | sed -nE "s/^LISTEN +[0-9]+ +[0-9]+ +([^ ]+) .*pid=$PID,.*/\1/p" | sort | xargs)" "$*" "QEMU listens"; }
# at_the_next_start WHAT SED...: a change that a running machine does not take
at_the_next_start() {
    local what=$1
    shift
    sed "$@" "$TEMPLATE" >"$ROOT/new.tmpl"
    expect 0 vml update "$VM" --plan -f "$ROOT/new.tmpl"
    assert_match "$OUT" "$what .*next start" "plan of an update"
    expect 0 vml update "$VM" -f "$ROOT/new.tmpl"
    assert_match "$OUT" "$what .*next start" "update"
    agrees
}
card() { qom peripheral/video0 "$1" "$2"; }
graphics() { assert_eq "$(status_of "devices[] | select(.id == \"graphics0\") | $1")" "$2" "graphics: $1"; }
agrees() { assert_eq "$(vml -o json status --compare "$VM" | jq -c .differences)" "[]" "what template and QEMU say"; }
has_no_secret() { # SECRET
    ! grep -qaF "$1" "/proc/$PID/cmdline" "/proc/$PID/environ" || fail "the secret is in QEMU's argv or environment"
    ! grep -rqaF "$1" "$ROOT/run" "$ROOT/var" || fail "the secret is in $(grep -rlaF "$1" "$ROOT/run" "$ROOT/var")"
}

test_vnc_with_its_devices() {
    local first supervisor journal
    need_root
    small_template 'GRAPHICS = [ TYPE = "vnc", LISTEN = "10.77.0.1", PORT = "5917", PASSWD = "canary-1-and-more" ]' \
        'VIDEO = [ TYPE = "vga", VRAM = "32768", RESOLUTION = "1152x864" ]' 'SOUND = [ MODEL = "ich9", CODEC = "micro" ]' \
        'INPUT = [ TYPE = "tablet" ]' 'INPUT = [ TYPE = "keyboard", BUS = "usb" ]' 'INPUT = [ TYPE = "mouse", BUS = "usb" ]' \
        'INPUT = [ TYPE = "tablet", BUS = "virtio" ]' 'INPUT = [ TYPE = "mouse", BUS = "virtio" ]' \
        'INPUT = [ TYPE = "keyboard", BUS = "virtio" ]' 'INPUT = [ TYPE = "mouse" ]' 'INPUT = [ TYPE = "keyboard" ]'
    started
    assert_contains "$(<"$WORK/err")" "GRAPHICS/PASSWD: vnc takes the first 8 bytes" warning
    graphics .listen 10.77.0.1
    graphics .port 5917
    graphics .password given
    listens 10.77.0.1:5917
    qmp query-vnc
    reply_is '[.enabled, .auth, .host, .service] | join(" ")' 'true vnc 10.77.0.1 5917'
    gets_in canary-1 vnc 10.77.0.1 5917
    assert_contains "$OUT" "QEMU ($VM)" "name of the desktop"
    is_refused canary-2 vnc 10.77.0.1 5917
    is_refused '' vnc 10.77.0.1 5917
    expect 1 "$CLIENT" vnc 127.0.0.1 5917 </dev/null
    assert_contains "$ERR" "Connection refused" "another address"
    has_no_secret canary-1

    card type VGA
    card vgamem_mb 32
    card xres 1152
    card yres 864
    qmp query-mice
    reply_is '[.[] | .name] | sort | join(", ")' 'QEMU HID Mouse, QEMU HID Tablet, QEMU PS/2 Mouse, QEMU Virtio Mouse, QEMU Virtio Tablet'
    qom peripheral/usb0 type qemu-xhci
    qom peripheral/input1 type usb-kbd
    qom peripheral/input2 port 3
    qom peripheral/input5 type virtio-keyboard-pci
    qom_child input6 && fail "a PS/2 mouse is nothing to add"
    qom peripheral/sound0 type ich9-intel-hda
    qom peripheral/sound0-codec0 type hda-micro
    qom peripheral/sound0-codec0 audiodev audio0
    agrees

    at_the_next_start 'GRAPHICS PORT' 's/5917/5922/'
    at_the_next_start 'GRAPHICS LISTEN' 's/10.77.0.1/0.0.0.0/'
    at_the_next_start 'GRAPHICS TYPE' -e 's/TYPE = "vnc"/TYPE = "spice"/' -e '/SOUND/d'
    at_the_next_start 'GRAPHICS KEYMAP' 's/5917"/5917", KEYMAP = "de"/'
    at_the_next_start 'GRAPHICS PASSWD' -e 's/, PASSWD = "[^"]*"//'
    # Another password is told from the same one, which neither live.tmpl nor a plan has.
    at_the_next_start 'GRAPHICS PASSWD' 's/canary-1/canary-2/'
    [[ $OUT != *canary-* ]] || fail "the update tells the password: $OUT"
    gets_in canary-1 vnc 10.77.0.1 5917
    # What is impossible alone, a socket file with a port, is not when both change.
    at_the_next_start 'GRAPHICS LISTEN' 's/"10.77.0.1", PORT = "5917"/"unix"/'
    at_the_next_start 'VIDEO TYPE' 's/"vga"/"virtio"/'
    at_the_next_start 'VIDEO RESOLUTION' 's/1152x864/800x600/'
    at_the_next_start 'SOUND CODEC' 's/micro/duplex/'
    listens 10.77.0.1:5917
    # Pointers come and go, and the others stay what they are: the first number is free.
    sed -e '0,/^INPUT.*/s///' -e '$a\INPUT = [ TYPE = "keyboard", BUS = "usb" ]' "$TEMPLATE" >"$ROOT/new.tmpl"
    expect 0 vml update "$VM" -f "$ROOT/new.tmpl"
    [[ $OUT != *"next start"* ]] || fail "a pointer is for the next start: $OUT"
    qom peripheral/input0 type usb-kbd
    qom peripheral/input2 port 3
    agrees

    # The port is the VM's while it runs, whoever looks after it.
    first=$VM
    supervisor=$(status_of supervisor_pid)
    VM=$VM-b
    small_template 'GRAPHICS = [ TYPE = "spice", PORT = "5917" ]'
    expect 9 vml start "$TEMPLATE"
    assert_contains "$ERR" "port 5917 is in use by VM '$first'" "the second VM"
    for journal in whole lost; do
        [[ $journal == whole ]] || : >"$ROOT/run/vmlaunch/$first/journal"
        kill -9 "$supervisor"
        VM=$first
        await 20 status_is_not supervisor_pid "$supervisor"
        await 20 status_is state running
        supervisor=$(status_of supervisor_pid)
        VM=$first-b
        expect 9 vml start "$TEMPLATE"
        assert_contains "$ERR" "port 5917 is in use by VM '$first'" "the second VM, the journal $journal"
    done
    VM=$first
    ended
}

test_a_password_is_made_for_each_start() {
    local path before
    need_root
    small_template 'VMID = "42"' 'GRAPHICS = [ TYPE = "vnc", LISTEN = "0.0.0.0", RANDOM_PASSWD = "yes" ]' \
        'VIDEO = [ TYPE = "virtio", RESOLUTION = "800x600", IOMMU = "yes", ATS = "yes" ]'
    started
    path=$ROOT/run/vmlaunch/$VM/private/graphics.password
    assert_eq "$(stat -c '%a %u' "$path")" "600 0" "the password's file"
    before=$(<"$path")
    assert_match "$before" '^[A-Za-z0-9._+-]{8}$' "the password"
    graphics .password random
    gets_in "$before" vnc 127.0.0.1 5942
    is_refused canary-3 vnc 10.77.0.1 5942
    card type virtio-vga
    card xres 800
    card iommu_platform true
    card ats true
    agrees
    ended
    assert_eq "$(find "$ROOT/run" -name graphics.password)" "" "passwords that are left"
    started
    [[ $(<"$path") != "$before" ]] || fail "the password is that of the first start"
    # On the same port as before.
    assert_eq "$(sed -n 's/^PORT = "\(.*\)"/\1/p' "$ROOT/var/lib/vmlaunch/$VM/machine.lock")" \
        "$(status_of 'devices[] | select(.id == "graphics0") | .port')" "the port"
    ended
}

test_display_says_how_and_screenshot_what() {
    local port
    need_root
    small_template 'GRAPHICS = [ TYPE = "vnc", LISTEN = "0.0.0.0", RANDOM_PASSWD = "yes", PORT = "5921" ]'
    expect 4 vml display "$VM"
    started
    expect 0 vml display "$VM"
    assert_eq "$OUT" "vnc://127.0.0.1:5921
at every address of this host
password: random, in $ROOT/run/vmlaunch/$VM/private/graphics.password" display
    expect 0 vml display --password "$VM"
    gets_in "$OUT" vnc 127.0.0.1 5921
    expect 0 vml -o json display "$VM"
    assert_eq "$(jq -c 'del(.password_file)' <<<"$OUT")" \
        "{\"type\":\"vnc\",\"listen\":\"0.0.0.0\",\"port\":5921,\"password\":\"random\",\"schema\":1,\"name\":\"$VM\",\"uri\":\"vnc://127.0.0.1:5921\"}" \
        "display as JSON"
    expect 0 vml -o json screenshot "$VM" "$WORK/a.png"
    assert_eq "$(jq -c '[.name, .file, .bytes]' <<<"$OUT")" "[\"$VM\",\"$WORK/a.png\",$(stat -c %s "$WORK/a.png")]" "screenshot as JSON"
    # The size that the file itself says, behind its signature and the head of its first part.
    assert_eq "$(od -A n -t u1 -j 16 -N 8 "$WORK/a.png" | awk '{ print $3 * 256 + $4 "x" $7 * 256 + $8 }')" \
        "$(jq -r '"\(.width)x\(.height)"' <<<"$OUT")" "size of the picture"
    vml screenshot "$VM" - >"$WORK/shown.png"
    cmp -s -n 4 "$WORK/shown.png" <(printf '\x89PNG') || fail "no PNG on stdout"
    expect 1 vml screenshot "$VM" /nowhere/a.png
    assert_contains "$ERR" "open '/nowhere/a.png': No such file or directory" "a path that is none"
    # QEMU 7.2 forgets to count a set out that it has written a PNG to; it has no fd of it.
    qmp query-fdsets
    reply_is '[.[].fds | length] | add' 0
    [[ -z $(find "/proc/$PID/fd" -lname '*vmlaunch-screenshot*') ]] || fail "QEMU still has a picture open"
    ended
    expect 3 vml display "$VM"

    small_template
    started
    expect 1 vml display "$VM"
    assert_contains "$ERR" "has no GRAPHICS" "display"
    expect 1 vml screenshot "$VM" "$WORK/b.png"
    assert_contains "$ERR" "has no VIDEO" "screenshot"
    [[ ! -e $WORK/b.png ]] || fail "a file was made"
    ended
}

test_vnc_on_a_unix_socket_and_a_password_in_a_file() {
    need_root
    printf 'in-file\n' >"$ROOT/vnc.password"
    small_template "GRAPHICS = [ TYPE = \"vnc\", LISTEN = \"unix\", PASSWD = \"file:$ROOT/vnc.password\" ]" \
        'VIDEO = [ TYPE = "bochs", VRAM = "8 MiB", RESOLUTION = "640x480" ]' 'SOUND = [ MODEL = "usb" ]'
    started
    listens
    assert_eq "$(stat -c '%a %u' "$ROOT/run/vmlaunch/$VM/vnc.sock")" "600 0" "the socket"
    gets_in in-file vnc "$ROOT/run/vmlaunch/$VM/vnc.sock"
    is_refused canary-4 vnc "$ROOT/run/vmlaunch/$VM/vnc.sock"
    graphics .socket vnc.sock
    card type bochs-display
    card vgamem 8388608
    card yres 480
    qom peripheral/sound0 type usb-audio
    has_no_secret in-file
    agrees
    printf 'other-file\n' >"$ROOT/vnc.password"
    at_the_next_start 'GRAPHICS PASSWD' -e ''
    ended
}

test_spice_with_its_devices() {
    need_root
    small_template 'GRAPHICS = [ TYPE = "spice", LISTEN = "::1", PORT = "5918", PASSWD = "canary-5", USB_REDIRECTIONS = "2" ]' \
        'VIDEO = [ TYPE = "qxl", VRAM = "16 MiB", RESOLUTION = "1024x768" ]' \
        'REDIRFILTER = [ CLASS = "0x08", VENDOR = "0x0951", PRODUCT = "0x1625", VERSION = "2.0", ALLOW = "yes" ]' \
        'REDIRFILTER = [ ALLOW = "no" ]'
    started
    listens '[::1]:5918'
    qmp query-spice
    reply_is '[.enabled, .auth, .port, .host] | join(" ")' 'true spice 5918 ::1'
    gets_in canary-5 spice ::1 5918
    is_refused canary-6 spice ::1 5918
    has_no_secret canary-5
    card type qxl-vga
    card vgamem_mb 16
    card xres 1024
    qom peripheral/sound0 type intel-hda
    qom peripheral/sound0-codec0 type hda-duplex
    qom peripheral/vdagent0 name com.redhat.spice.0
    qmp query-chardev
    reply_is '[.[] | select(.filename == "spicevmc") | .label] | sort | join(" ")' 'redir0 redir1 vdagent0'
    qom peripheral/redir1 type usb-redir
    qom peripheral/redir1 filter '0x08:0x0951:0x1625:0x0200:1|-1:-1:-1:-1:0'
    agrees
    # There was a password, and live.tmpl does not have it: a start from it is not one without.
    cp "$ROOT/run/vmlaunch/$VM/live.tmpl" "$ROOT/again.tmpl"
    ended
    expect 1 vml start "$ROOT/again.tmpl"
    assert_contains "$ERR" "GRAPHICS/PASSWD: the secret is not in this template" "live.tmpl"
}

test_spice_on_a_unix_socket_without_devices() {
    need_root
    small_template 'GRAPHICS = [ TYPE = "spice", LISTEN = "unix", VDAGENT = "no", USB_REDIRECTIONS = "0" ]' \
        'VIDEO = [ TYPE = "none" ]' 'SOUND = [ MODEL = "none" ]'
    started
    listens
    gets_in '' spice "$ROOT/run/vmlaunch/$VM/spice/spice.sock"
    assert_eq "$(stat -c '%a %u' "$ROOT/run/vmlaunch/$VM/spice")" "700 $(stat -c %u "/proc/$PID")" "the socket's directory"
    for id in video0 sound0 usb0 vdagent0 redir0 vser0; do
        qom_child "$id" && fail "there is a $id"
    done
    agrees
    ended
}

test_a_pc_has_the_devices_of_its_time() {
    need_root
    small_template 'OS = [ MACHINE = "pc" ]' 'GRAPHICS = [ TYPE = "vnc" ]' 'VIDEO = [ TYPE = "cirrus" ]' 'INPUT = [ TYPE = "tablet" ]' \
        'SOUND = [ MODEL = "es1370" ]'
    started
    card type cirrus-vga
    card addr 16
    qom peripheral/usb0 type piix3-usb-uhci
    qom peripheral/sound0 type ES1370
    gets_in '' vnc 127.0.0.1 "$(status_of 'devices[] | select(.id == "graphics0") | .port')"
    agrees
    ended
}

test_values_of_the_configuration_are_for_vms_with_graphics() {
    need_root
    mkdir -p "$ROOT/etc/vmlaunch"
    printf '%s\n' 'GRAPHICS = [ TYPE = "vnc", PASSWD = "canary-7" ]' 'VIDEO = [ TYPE = "vmvga", VRAM = "8192" ]' \
        >"$ROOT/etc/vmlaunch/host.conf"
    small_template 'GRAPHICS = []'
    started
    card type vmware-svga
    card vgamem_mb 8
    gets_in canary-7 vnc 127.0.0.1 "$(status_of 'devices[] | select(.id == "graphics0") | .port')"
    has_no_secret canary-7
    ended
    small_template
    expect 0 vml plan "$TEMPLATE"
    [[ $OUT != *vmware-svga* && $OUT != *-vnc* ]] || fail "a VM without GRAPHICS has some"
}

# The characters y and z change places between en-us and de: what the guest gets is the key.
test_keymap_turns_characters_into_keys() {
    need_root
    template 'FEATURES = [ GUEST_AGENT = "no" ]' 'GRAPHICS = [ TYPE = "vnc", PORT = "5919", KEYMAP = "de" ]'
    sed -i 's/guest.small/guest.small guest.noagent/' "$TEMPLATE"
    start_ready
    # An event has 24 bytes: of the key's second one the type, its code and 1 for pressed.
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest 'until K=$(grep -A4 "AT Translated" /proc/bus/input/devices | grep -o "event[0-9]*"); do sleep 0.05; done' \
        '(dd if=/dev/input/$K of=/tmp/keys bs=24 count=6 2>/dev/null; echo key $(od -A n -t u2 -j 40 -N 8 /tmp/keys); echo END) &' \
        'until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q "$K\$"; do sleep 0.05; done'
    watch_console
    gets_in '' vnc 127.0.0.1 5919 y
    await 30 grep -q END "$WORK/console"
    assert_match "$(<"$WORK/console")" 'key 1 44 1 0' "what the guest got"
    kill "$CONSOLE"
    expect 0 vml destroy "$VM"
}

somebody_listens() { [[ -n $(ss -Hltn "sport = :$1") ]]; }

test_what_this_host_cannot_is_told() {
    local port=5920
    need_root
    small_template 'GRAPHICS = [ TYPE = "vnc", LISTEN = "10.99.99.99" ]'
    expect 10 vml start "$TEMPLATE"
    assert_match "$ERR" "GRAPHICS/LISTEN: this host has no address 10.99.99.99.*it has .*10.77.0.1" "LISTEN"
    small_template "GRAPHICS = [ TYPE = \"vnc\", PORT = \"$port\" ]"
    socat "TCP-LISTEN:$port,bind=127.0.0.1" - >/dev/null </dev/null &
    await 10 somebody_listens "$port"
    expect 9 vml start "$TEMPLATE"
    kill %1
    assert_contains "$ERR" "port $port of 127.0.0.1 is in use by another program" "the port"
}

run_tests "$@"
