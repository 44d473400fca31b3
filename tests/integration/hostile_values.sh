#!/usr/bin/env bash
# Values that nobody means well, on the real program and the real QEMU: refused, or carried exactly.
. "$(dirname "$0")/lib.sh"

# nothing_was_run NAME: no shell has made a file of this name, wherever it stood
nothing_was_run() {
    local place
    for place in / /tmp "$PWD" "$ROOT" "$WORK"; do
        [[ ! -e $place/$1 && ! -e $place/pwned ]] || fail "something was run by a shell in $place"
    done
}

# qemu_has FILE: this very file
qemu_has() {
    local fd
    for fd in /proc/"$PID"/fd/*; do
        [[ $(readlink "$fd") != "$1" ]] || return 0
    done
    return 1
}

test_paths_and_command_line_of_any_bytes_reach_qemu_exactly() {
    need_root
    # Comma and equals sign part QEMU's options, the others a shell's words.
    local trace=pwned-$$
    local dir="$ROOT/we,ird=dir,,readonly=on 'q' \$(touch $trace) \`touch $trace\`;#&|<>*?[%s]"
    # shellcheck disable=SC2016 # nobody expands it
    local words='console=ttyS0 a=b,c,,d=on '"'e'"' $(touch /tmp/pwned) `f` | & ; < > * ? # %s%n \ end'
    mkdir -p "$dir"
    chmod 755 "$dir"
    qemu-img create -q -f qcow2 "$dir/base,file=x.qcow2" 3M
    qemu-img create -q -f qcow2 -b "base,file=x.qcow2" -F qcow2 "$dir/top,format=raw.qcow2"
    cp "$GUEST/vmlinuz" "$dir/vm,linuz=1"
    TEMPLATE="$dir/te,mplate=1 \$(touch $trace).tmpl"
    cat >"$TEMPLATE" <<END
NAME = "$VM"
MEMORY = "64"
ACCEL = "tcg"
FEATURES = [ GUEST_AGENT = "no" ]
OS = [ KERNEL = "vm,linuz=1", KERNEL_CMD = "$words" ]
DISK = [ SOURCE = "top,format=raw.qcow2", TARGET = "vda" ]
END
    started
    qom "" append "$words"
    qemu_has "$dir/top,format=raw.qcow2" || fail "QEMU has not the image"
    qemu_has "$dir/base,file=x.qcow2" || fail "QEMU has not the backing file"
    qemu_has "$dir/vm,linuz=1" || fail "QEMU has not the kernel"
    qmp query-block
    reply_is '.[0].inserted | [.ro, .image."virtual-size"] | join(" ")' "false $((3 << 20))"
    assert_eq "$(status_of template)" "$TEMPLATE" "template of status"
    # Written and read again it is the same VM.
    cp "$ROOT/run/vmlaunch/$VM/live.tmpl" "$ROOT/again.tmpl"
    ended
    TEMPLATE=$ROOT/again.tmpl
    started
    qom "" append "$words"
    qemu_has "$dir/top,format=raw.qcow2" || fail "QEMU has not the image of live.tmpl"
    ended
    nothing_was_run "$trace"
    # The printed command line is what a shell makes QEMU's arguments of.
    expect 0 vml plan "$TEMPLATE" --format shell
    (
        eval "set -- $OUT"
        printf '%s\n' "$@" | grep -v '@GENERATION@' >"$WORK/words"
    )
    expect 0 vml plan "$TEMPLATE" --format argv
    grep -v '@GENERATION@' <<<"$OUT" >"$WORK/argv"
    cmp "$WORK/words" "$WORK/argv" || fail "the shell makes something else of it"
    nothing_was_run "$trace"
}

test_names_of_taps_bridges_and_vms_with_metacharacters_are_refused() {
    need_root
    local name
    # shellcheck disable=SC2016 # nobody expands it
    for name in 'a,fd=3' 'a b' '$(id)' 'a;b' "a'b" 'a/b' $'a\tb' $'a\x01' 'a%d' '-a'; do
        template "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"$name\" ]"
        expect 6 vml start "$TEMPLATE"
        assert_contains "$ERR" "NIC/TARGET: "
        template "NIC = [ BRIDGE = \"$name\" ]"
        expect 6 vml start "$TEMPLATE"
        assert_contains "$ERR" "NIC/BRIDGE: "
        template
        sed -i "1s/.*/NAME = \"${name//[\/&]/\\&}\"/" "$TEMPLATE"
        expect 6 vml start "$TEMPLATE"
        assert_contains "$ERR" "NAME: "
        # What is printed obeys no escape of the template's.
        [[ $ERR != *$'\x01'* ]] || fail "a control byte is printed"
    done
}

test_a_megabyte_a_nul_and_a_flood_are_refused_soon() {
    local begin=$SECONDS
    TEMPLATE=$ROOT/big.tmpl
    {
        echo 'MEMORY = "64"'
        printf 'NAME = "'
        head -c 1048576 /dev/zero | tr '\0' a
        printf '"\nOS = [ KERNEL_CMD = "'
        head -c 1048576 /dev/zero | tr '\0' b
        printf '", KERNEL = "/'
        head -c 1048576 /dev/zero | tr '\0' c
        printf '" ]\n'
    } >"$TEMPLATE"
    expect 6 vml validate --system "$TEMPLATE"
    assert_contains "$ERR" "NAME: "
    assert_contains "$ERR" "OS/KERNEL_CMD: "
    assert_contains "$ERR" "OS/KERNEL: "
    ((${#ERR} < 4000)) || fail "the messages are ${#ERR} bytes long"
    printf 'MEMORY = "64"\nNAME = "a\0b"\n' >"$TEMPLATE"
    expect 6 vml validate --system "$TEMPLATE"
    assert_contains "$ERR" "big.tmpl:2:10: "
    seq -f 'X%.0f = "1"' 99000 >"$TEMPLATE"
    expect 6 vml validate --system "$TEMPLATE"
    assert_contains "$ERR" "X1: no such attribute"
    (($(grep -c 'no such attribute' <<<"$ERR") <= 20)) || fail "more than twenty errors"
    seq -f 'MEMORY = "%.0f"' 100001 >"$TEMPLATE"
    expect 6 vml validate --system "$TEMPLATE"
    assert_contains "$ERR" "100000"
    head -c $((17 << 20)) /dev/zero | tr '\0' '#' >"$TEMPLATE"
    expect 1 vml validate --system "$TEMPLATE"
    assert_contains "$ERR" "is larger than 16777216 bytes"
    ((SECONDS - begin < 60)) || fail "it took $((SECONDS - begin)) s"
}

run_tests "$@"
