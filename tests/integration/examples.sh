#!/usr/bin/env bash
# The shipped templates: what is shown to newcomers has to be right.
. "$(dirname "$0")/lib.sh"

# example NAME: copies it into $ROOT; its files are beside it then
example() {
    TEMPLATE=$ROOT/$1.tmpl
    cp "$TOP/dist/examples/$1.tmpl" "$TEMPLATE"
}

test_every_shipped_template_is_valid_once_its_files_are_there() {
    local file name
    qemu-img create -q -f qcow2 "$ROOT/small.qcow2" 1M
    qemu-img create -q -f qcow2 "$ROOT/web.qcow2" 1M
    qemu-img create -q -f raw "$ROOT/data.raw" 1M
    cp "$GUEST/vmlinuz" "$GUEST/initrd.img" "$ROOT/"
    for file in "$TOP"/dist/examples/*.tmpl; do
        name=$(basename "$file" .tmpl)
        example "$name"
        # No volume group here.
        sed -i 's|/dev/vg0/web-data|data.raw|; s|TYPE   = "block"|TYPE   = "file"|' "$TEMPLATE"
        expect 0 vml validate --system "$TEMPLATE"
        assert_contains "$OUT" "VM '$name'"
    done
}

test_small_template_starts_with_an_empty_disk_and_without_anything_of_the_host() {
    need_root
    qemu-img create -q -f qcow2 "$ROOT/small.qcow2" 1M
    example small
    sed -i "1i NAME = \"$VM\"" "$TEMPLATE"
    expect 0 vml start "$TEMPLATE"
    assert_eq "$(status_of state)" running
    expect 0 vml destroy "$VM"
}

run_tests "$@"
