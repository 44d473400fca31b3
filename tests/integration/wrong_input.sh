#!/usr/bin/env bash
# Wrong input: each a clear error with place and exit status, and no trace on the host.
. "$(dirname "$0")/lib.sh"

# What a refused start may not leave: anything at all below the root but what the test put there.
assert_no_trace() {
    local left
    left=$(find "$ROOT" -mindepth 1 ! -path "$ROOT/etc*" ! -path '*/cache/*' ! -name cache ! -name '*.tmpl' ! -name '*.qcow2' ! -name '*.raw' ! -name '*qemu' ! -name '*.log' ! -name .instance \
        ! -path "$ROOT/var" -newer "$WORK/mark" ! -type d)
    [[ -z $left ]] || fail "left behind: $left"
    [[ ! -e $ROOT/run/vmlaunch/$VM ]] || fail "left behind: $ROOT/run/vmlaunch/$VM"
    assert_clean
}

# refused STATUS WORDS...: start and validate both refuse the template so, saying all of the words
refused() {
    local status=$1 word
    shift
    touch "$WORK/mark"
    expect "$status" vml start "$TEMPLATE"
    for word in "$@"; do
        assert_contains "$ERR" "$word" "message"
    done
    assert_eq "$OUT" "" "stdout"
    assert_no_trace
}

test_unknown_attribute_is_named_with_what_was_meant() {
    need_root
    template 'MEMROY = "512"'
    refused 6 "$TEMPLATE:8:1: MEMROY" 'did you mean' MEMORY '^'
}
test_size_with_a_wrong_unit_shows_the_value_and_what_would_be_right() {
    need_root
    template
    sed -i 's/^MEMORY.*/MEMORY = "8 GBs"/' "$TEMPLATE"
    refused 6 "$TEMPLATE:2:10: MEMORY" "'8 GBs' is not a size" '8192'
}
test_unterminated_vector_is_reported_where_it_begins_or_ends() {
    need_root
    template 'DISK = [ SOURCE = "/x.qcow2",' '  TARGET = "vda"'
    refused 6 "$TEMPLATE:"
    assert_match "$ERR" ":(8|9|10):[0-9]+: "
}
test_missing_template_file_is_an_error() {
    expect 1 vml start "$ROOT/nothing.tmpl"
    assert_contains "$ERR" "nothing.tmpl"
    expect 4 vml start nobody
}
test_missing_image_is_reported_at_its_line() {
    need_root
    template 'DISK = [ SOURCE = "gone.qcow2", TARGET = "vda" ]'
    touch "$WORK/mark"
    expect 6 vml start "$TEMPLATE"
    assert_contains "$ERR" "$TEMPLATE:8:"
    assert_contains "$ERR" "gone.qcow2"
    assert_no_trace
}
test_names_that_would_leave_their_directory_are_refused() {
    need_root
    local name
    for name in 'a/b' '..' '.' $'a\nb' '-x' images uids ports; do
        template
        sed -i '1d' "$TEMPLATE"
        printf 'NAME = "%s"\n' "$name" >>"$TEMPLATE"
        refused 6 NAME
    done
    expect 4 vml status ../../etc
    expect 4 vml log ../../etc/passwd
}
test_tap_name_of_16_bytes_is_refused() {
    need_root
    template "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"abcdefghijklmnop\" ]"
    refused 6 "$TEMPLATE:8:" TARGET abcdefghijklmnop 15
}
test_missing_bridge_is_named_with_those_there_are() {
    need_root
    template "NIC = [ BRIDGE = \"nobr9\" ]"
    refused 10 "nobr9" "$BRIDGE"
}
test_failed_start_leaves_the_last_run_to_read_and_says_why_in_the_log() {
    need_root
    template
    expect 0 vml start "$TEMPLATE"
    expect 0 vml destroy "$VM"
    template 'NIC = [ BRIDGE = "nosuchbr" ]'
    expect 10 vml start "$TEMPLATE"
    expect 0 vml status "$VM"
    assert_match "$OUT" "stopped: asked"
    expect 0 vml log "$VM" -n 1
    assert_match "$OUT" "the start failed: .*no bridge 'nosuchbr' on this host"
}

test_start_that_fails_before_its_record_leaves_no_directory() {
    need_root
    template
    mkdir -p "$ROOT/var/lib/vmlaunch/.instance"
    expect 1 vml start "$TEMPLATE"
    [[ ! -e $ROOT/run/vmlaunch/$VM ]] || fail "a directory is left: $(ls -R "$ROOT/run/vmlaunch/$VM")"
    rmdir "$ROOT/var/lib/vmlaunch/.instance"
}

test_second_start_of_a_running_vm_names_its_holder() {
    need_root
    template
    expect 0 vml start "$TEMPLATE"
    expect 9 vml start "$TEMPLATE"
    assert_contains "$ERR" "$(status_of supervisor_pid)"
    assert_eq "$(status_of state)" running
    expect 0 vml destroy "$VM"
}
test_second_use_of_a_writable_image_names_its_holder() {
    need_root
    qemu-img create -q -f qcow2 "$ROOT/disk.qcow2" 16M
    template 'DISK = [ SOURCE = "disk.qcow2", TARGET = "vda" ]'
    expect 0 vml start "$TEMPLATE"
    sed "s/^NAME.*/NAME = \"$VM-b\"/" "$TEMPLATE" >"$ROOT/second.tmpl"
    expect 9 vml start "$ROOT/second.tmpl"
    assert_contains "$ERR" "'$VM'"
    assert_contains "$ERR" "disk.qcow2"
    [[ ! -e $ROOT/run/vmlaunch/$VM-b ]] || fail "the second VM left its directory"
    expect 0 vml destroy "$VM"
    expect 0 vml start "$ROOT/second.tmpl"
    expect 0 vml destroy "$VM-b"
}
test_image_under_two_names_for_two_disks_is_refused() {
    need_root
    truncate -s 1M "$ROOT/disk.raw"
    ln "$ROOT/disk.raw" "$ROOT/other.raw"
    template 'DISK = [ SOURCE = "disk.raw", TARGET = "vda" ]' 'DISK = [ SOURCE = "other.raw", TARGET = "vdb" ]'
    refused 6 "$TEMPLATE:9:19: DISK[1]/SOURCE" "image of disk 0 already"
}
test_backing_file_that_is_missing_or_loops_is_refused() {
    need_root
    qemu-img create -q -f qcow2 "$ROOT/base.qcow2" 16M
    qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 "$ROOT/top.qcow2"
    template 'DISK = [ SOURCE = "top.qcow2", TARGET = "vda" ]'
    expect 0 vml validate "$TEMPLATE"
    qemu-img rebase -u -f qcow2 -b top.qcow2 -F qcow2 "$ROOT/base.qcow2"
    touch "$WORK/mark"
    expect 6 vml start "$TEMPLATE"
    assert_contains "$ERR" "base.qcow2"
    assert_match "$ERR" "loop|itself"
    assert_no_trace
    rm "$ROOT/base.qcow2"
    expect 6 vml start "$TEMPLATE"
    assert_contains "$ERR" "base.qcow2"
    assert_contains "$ERR" "top.qcow2"
    assert_no_trace
}
test_image_of_another_format_than_said_is_refused() {
    need_root
    qemu-img create -q -f qcow2 "$ROOT/disk.raw" 16M
    template 'DISK = [ SOURCE = "disk.raw", TARGET = "vda" ]'
    touch "$WORK/mark"
    expect 6 vml start "$TEMPLATE"
    assert_contains "$ERR" "FORMAT"
    assert_no_trace
}
test_emulator_that_does_not_exist_is_named() {
    need_root
    template 'EMULATOR = "/nowhere/qemu-system-x86_64"'
    refused 10 "$TEMPLATE:8:12: " "/nowhere/qemu-system-x86_64"
}
test_no_qemu_installed_says_what_was_looked_for_and_what_to_install() {
    need_root
    template
    # A mount namespace in which each program that could be taken is no program.
    cat >"$WORK/without.sh" <<'END'
mount --make-rprivate / || exit 77
for program in /usr/local/bin/qemu-* /usr/bin/qemu-kvm* /usr/bin/qemu-system-* /usr/libexec/qemu-kvm; do
    [ ! -f "$program" ] || mount --bind /dev/null "$program" || exit 77
done
exec "$@"
END
    local verb
    unshare -m sh "$WORK/without.sh" true || skip "no mount namespaces here"
    touch "$WORK/mark"
    for verb in start run plan validate explain; do
        expect 10 unshare -m sh "$WORK/without.sh" "$VMLAUNCH" --root "$ROOT" "$verb" "$TEMPLATE"
        assert_contains "$ERR" "no QEMU for x86_64 on this host"
        assert_contains "$ERR" "qemu-kvm-one, qemu-kvm, /usr/libexec/qemu-kvm, qemu-system-x86_64"
        assert_contains "$ERR" "apt-get install qemu-system-x86"
        assert_eq "$OUT" "" "stdout"
        assert_no_trace
    done
}
test_without_expat_xml_is_refused_by_its_package_and_text_is_read() {
    need_root
    cat >"$WORK/without.sh" <<'END'
for library in /lib/*/libexpat.so.1 /usr/lib*/libexpat.so.1 /lib*/libexpat.so.1; do
    [ ! -e "$library" ] || mount --bind /dev/null "$(readlink -f "$library")" || exit 77
done
exec "$@"
END
    unshare -m sh "$WORK/without.sh" true || skip "no mount namespaces here"
    printf '<VM><NAME>%s</NAME><TEMPLATE><MEMORY>64</MEMORY><ACCEL>tcg</ACCEL></TEMPLATE></VM>' "$VM" >"$ROOT/vm.xml"
    template
    expect 0 vml plan "$ROOT/vm.xml"
    expect 10 unshare -m sh "$WORK/without.sh" "$VMLAUNCH" --root "$ROOT" plan "$ROOT/vm.xml"
    assert_contains "$ERR" "vmlaunch: $ROOT/vm.xml: XML needs expat here (Debian: apt-get install libexpat1): load "
    assert_eq "$OUT" "" "stdout"
    expect 0 unshare -m sh "$WORK/without.sh" "$VMLAUNCH" --root "$ROOT" plan "$TEMPLATE"
    # A piece of libvirt XML has a place in the text.
    template 'RAW = [ TYPE = "kvm", DATA = "<devices/>" ]'
    expect 10 unshare -m sh "$WORK/without.sh" "$VMLAUNCH" --root "$ROOT" plan "$TEMPLATE"
    assert_match "$ERR" "^vmlaunch: $TEMPLATE:[0-9]+:30: RAW/DATA: XML needs expat here"
}
test_several_errors_are_reported_at_once_and_as_json() {
    need_root
    template 'MEMROY = "1"' 'VCPU = "none"' 'NIC = [ BRIGDE = "x" ]'
    expect 6 vml validate "$TEMPLATE"
    assert_contains "$ERR" MEMROY
    assert_contains "$ERR" VCPU
    assert_contains "$ERR" BRIGDE
    expect 6 vml -o json validate "$TEMPLATE"
    assert_eq "$(jq -r '.schema' <<<"$ERR")" 1
    assert_eq "$(jq -r '.errors[0].line' <<<"$ERR")" 8
    assert_eq "$(jq -r '.errors[0].code' <<<"$ERR")" template-invalid
    assert_eq "$OUT" ""
}
test_words_of_the_command_line_are_checked() {
    expect 2 vml frobnicate
    expect 2 vml strat x
    assert_contains "$ERR" "did you mean 'start'"
    expect 2 vml start
    expect 2 vml start a b
    expect 2 vml start --frob x
    expect 2 vml -o yaml list
    expect 2 vml --timeout never list
    expect 2 vml shutdown --mode=gently x
    expect 4 vml status nobody
    expect 4 vml shutdown nobody
    expect 0 vml --help
    expect 0 vml help start
    assert_contains "$OUT" start
}

run_tests "$@"
