# shellcheck shell=bash
# Sourced by tests that run in the guest with a systemd (tests/guest/systemd.sh): the host's side of it. The guest is
# restored from where it was saved after its first boot, in a second, and gets the programs and the test file itself on
# a disk. What it is told are lines on a virtio console: each is run by bash, and "DONE STATUS" ends what it says.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
GUEST=$TOP/build/guest
BUILD=${BUILD:-$TOP/build}
QEMU=

# Times are ACPI's: under load the guest measures its TSC wrong, by a factor of up to four.
KERNEL_WORDS="rdinit=/sinit console=ttyS0 quiet panic=-1 clocksource=acpi_pm tsc=unstable no_timer_check nokaslr"
KERNEL_WORDS+=" cryptomgr.notests mitigations=off audit=0 8250.nr_uarts=1 i8042.noaux"

# Which cgroups the guest has; and what costs most the first time, done before it is saved.
V2=cgroup_no_v1=all
# shellcheck disable=SC2034 # of who sources this
V1=systemd.unified_cgroup_hierarchy=0
WARM='systemctl daemon-reload; machinectl list; echo {} | jq .; journalctl -n 1; systemd-cgls; systemctl status'

guest_begin() { # FILE [PROGRAM...]: the tests, as "tests.sh" in the guest, and what they need in bin/
    "$TOP/tests/guest/systemd.sh" "$GUEST" || exit 1
    DIR=$(mktemp -d /tmp/vmltest.XXXXXX)
    trap '{ kill -KILL $QEMU; wait $QEMU || true; } 2>/dev/null; rm -rf "$DIR"' EXIT
    mkdir -p "$DIR/payload/bin" "$DIR/root"
    cp "$BUILD/vmlaunch" "$BUILD/vmlaunch-fake-qemu" "$BUILD/tests/fake_qemu" "$DIR/payload/bin/"
    make -s -C "$TOP" B="$BUILD" DESTDIR="$DIR/root" PREFIX=/usr install-units
    tar -cf "$DIR/payload/install.tar" -C "$DIR/root" .
    cp "$1" "$DIR/payload/tests.sh"
    shift
    (($# == 0)) || cp "$@" "$DIR/payload/bin/"
    tar -cf "$DIR/payload.disk" -C "$DIR/payload" .
    truncate -s 64M "$DIR/payload.disk"
}
run_guest() { # KERNEL-WORDS QEMU-WORDS...
    local words=$1
    shift
    rm -f "$DIR/talk" "$DIR/monitor"
    qemu-system-x86_64 -nodefaults -no-user-config -display none -machine q35 -accel tcg,tb-size=256 -cpu qemu64 -smp 2 -m 1024 \
        -no-reboot -kernel "$GUEST/vmlinuz" -initrd "$GUEST/systemd-initrd.img" -append "$KERNEL_WORDS $words" \
        -drive "if=none,id=d0,file=$DIR/disk,format=qcow2,cache=unsafe" -device virtio-blk-pci,drive=d0 \
        -drive "if=none,id=d1,file=$DIR/payload.disk,format=raw,readonly=on" -device virtio-blk-pci,drive=d1 \
        -device virtio-serial-pci -chardev "socket,id=talk,path=$DIR/talk,server=on,wait=off" -device virtconsole,chardev=talk \
        -chardev "socket,id=monitor,path=$DIR/monitor,server=on,wait=off" -mon chardev=monitor \
        -chardev "file,id=console,path=$DIR/console" -serial chardev:console "$@" 9>&- &
    QEMU=$!
    while [[ ! -S $DIR/talk ]]; do
        kill -0 "$QEMU" || exit 1
        sleep 0.05
    done
    # It may not listen yet.
    coproc TALK { exec socat - "UNIX-CONNECT:$DIR/talk,retry=400,interval=0.05"; }
}
new_disk() { qemu-img create -q -f qcow2 -b "$GUEST/systemd.img" -F raw "$DIR/disk"; }
boot_guest() { # KERNEL-WORDS QEMU-WORDS...
    run_guest "$@"
    hear READY 240
}
# restore_guest: as it was after a boot on v2
restore_guest() {
    local key saved
    key=$(sha256sum <<<"$(<"$GUEST/systemd.stamp") $WARM $V2 $KERNEL_WORDS $(declare -f run_guest)" | cut -c 1-16)
    saved=$GUEST/saved/systemd-$key
    mkdir -p "$GUEST/saved"
    (
        flock 9
        [[ -e $saved/done ]] || save "$saved"
        touch "$saved"
    ) 9>"$GUEST/saved/lock-systemd" || exit 1
    qemu-img create -q -f qcow2 -b "$saved/disk" -F qcow2 "$DIR/disk"
    run_guest "$V2" -incoming "exec:cat '$saved/state'"
}
save() { # DIRECTORY
    local saved=$1
    # Those of images that are no more.
    find "$GUEST/saved" -mindepth 1 -maxdepth 1 -name 'systemd-*' -exec rm -rf {} +
    mkdir -p "$saved"
    new_disk
    boot_guest "$V2"
    ask 120 "{ $WARM; } >/dev/null 2>&1; sync"
    printf 'migrate "exec:cat >%s/state"\nquit\n' "$saved" | socat -t 120 - "UNIX-CONNECT:$DIR/monitor" >/dev/null
    wait "$QEMU"
    wait "$TALK_PID"
    mv "$DIR/disk" "$saved/disk"
    touch "$saved/done"
}
# hear WORD SECONDS: what the guest says up to this word; the tests' lines are ours too
hear() {
    local line end=$((SECONDS + $2))
    while ((SECONDS < end)) && IFS= read -r -t $((end - SECONDS)) -u "${TALK[0]}" line; do
        line=${line%$'\r'}
        [[ $line != "$1"* ]] || return 0
        printf '%s\n' "$line"
    done
    echo "    the guest has not said $1 in $2 s:"
    tail -5 "$DIR/console" | sed 's/^/    /'
    echo "not ok guest"
    exit 1
}
ask() { # SECONDS COMMAND
    printf '%s\n' "$2" >&"${TALK[1]}"
    hear DONE "$1"
}
# guest_ends SECONDS COMMAND: which ends the guest
guest_ends() {
    local end=$((SECONDS + $1))
    printf '%s\n' "$2" >&"${TALK[1]}"
    while kill -0 "$QEMU" 2>/dev/null; do
        ((SECONDS < end)) || {
            echo "not ok guest: '$2' has not ended it in $1 s"
            exit 1
        }
        sleep 0.1
    done
    wait "$QEMU"
    wait "$TALK_PID" 2>/dev/null
}
