#!/usr/bin/env bash
# No secret is seen: not in an argv, an environment, a log, a plan, a record or a recording. A test makes a VM whose secrets
# all contain $CANARY, and calls seen_nowhere while it runs, and again when it has ended.
. "$(dirname "$0")/lib.sh"

CANARY=CaNaRy8

# allowed FILE...: where the user himself has put secrets
allowed() { ALLOWED=("$@"); }

# Everything of the host that says something of the VM.
seen_nowhere() {
    local pid file where verb
    for pid in $(pgrep -f "guest=$VM,|(__keeper|__adopt|__host) .*$VM\$|$ROOT "); do
        for file in cmdline environ; do
            ! grep -aqF "$CANARY" "/proc/$pid/$file" 2>/dev/null || fail "$file of process $pid ($(tr '\0' ' ' <"/proc/$pid/cmdline"))"
        done
    done
    while read -r where; do
        for file in "${ALLOWED[@]}"; do
            [[ $where != "$file" ]] || continue 2
        done
        fail "in the file $where"
    done < <(grep -raFl "$CANARY" "$ROOT")
    for verb in "plan $TEMPLATE" "plan $TEMPLATE --format json" "plan $TEMPLATE --format shell" "plan $TEMPLATE --format argv" \
        "explain $TEMPLATE" "-o json explain $TEMPLATE" "validate $TEMPLATE" "status $VM" "-o json status $VM" "log $VM" "events $VM" \
        "dump $VM" "dump $VM --argv" "dump $VM --diff" "status $VM --compare" "list --all"; do
        # shellcheck disable=SC2086 # several words
        timeout 5 "$VMLAUNCH" --root "$ROOT" --timeout 2 $verb </dev/null >"$WORK/shown" 2>&1 || true
        ! grep -aqF "$CANARY" "$WORK/shown" || fail "vmlaunch $verb says it"
    done
}
# It got there: without that nothing is proven.
qemu_has() { # QOM-TYPE ID
    qmp qom-get "{\"path\":\"/objects/$2\",\"property\":\"type\"}"
    reply_is . "$1"
}

test_no_secret_of_a_disk_is_seen() {
    need_root
    install -d -m 700 "$ROOT/etc/vmlaunch/secrets"
    echo "$CANARY-luks" >"$ROOT/etc/vmlaunch/secrets/disk"
    encrypted luks "$ROOT/a.luks" "$CANARY-luks" 1M
    TEMPLATE=$ROOT/$VM.tmpl
    cat >"$TEMPLATE" <<END
NAME = "$VM"
MEMORY = "64"
ACCEL = "tcg"
FEATURES = [ GUEST_AGENT = "no" ]
DISK = [ SOURCE = "a.luks", FORMAT = "luks", LUKS_SECRET = "disk", TARGET = "vda" ]
END
    allowed "$ROOT/etc/vmlaunch/secrets/disk"
    started
    qemu_has secret disk0-luks
    # The file that QEMU read is nobody else's.
    local fd
    fd=$(find "/proc/$PID/fd" -lname '/memfd:vmlaunch-secret*')
    assert_eq "$(stat -L -c '%u %a' "$fd")" "$(status_of uid) 400" "owner and mode of the secret"
    seen_nowhere
    ended
    seen_nowhere
    # A wrong one is not told either.
    echo "wrong$CANARY" >"$ROOT/etc/vmlaunch/secrets/disk"
    expect 1 vml start "$TEMPLATE"
    assert_contains "$ERR" "Invalid password" "the error"
    [[ $ERR != *"$CANARY"* ]] || fail "the error tells the secret"
    seen_nowhere
    chmod 644 "$ROOT/etc/vmlaunch/secrets/disk"
    expect 0 vml plan "$TEMPLATE"
    assert_contains "$OUT" "DISK[0]/LUKS_SECRET: everybody can read" "the warning"
    rm "$ROOT/etc/vmlaunch/secrets/disk"
    expect 6 vml plan "$TEMPLATE"
    assert_contains "$ERR" "DISK[0]/LUKS_SECRET: there is no file '$ROOT/etc/vmlaunch/secrets/disk'" "the error"
}

# graphics LINE: a machine with that server
graphics() {
    small_template "GRAPHICS = [ $1 ]"
    allowed "$TEMPLATE" "$ROOT/new.tmpl"
}

test_no_password_of_graphics_is_seen() {
    need_root
    local type supervisor
    for type in vnc spice; do
        graphics "TYPE = \"$type\", PASSWD = \"$CANARY\""
        started
        qemu_has secret graphics0-password
        seen_nowhere
        # Who takes over has none, and needs none.
        supervisor=$(status_of supervisor_pid)
        kill -9 "$supervisor"
        await 20 status_is_not supervisor_pid "$supervisor"
        await 20 status_is state running
        seen_nowhere
        # Another one of the same length is told by its name only.
        sed "s/$CANARY/${CANARY}9/" "$TEMPLATE" >"$ROOT/new.tmpl"
        expect 0 vml update "$VM" -f "$ROOT/new.tmpl"
        assert_match "$OUT" 'GRAPHICS PASSWD .*next start' "update"
        [[ $OUT$ERR != *"$CANARY"* ]] || fail "the update tells the password"
        seen_nowhere
        ended
        seen_nowhere
    done
    # Nor where the template is wrong in the same line, in either form.
    graphics "TYPE = \"vnc\", PASSWD = \"$CANARY\", PORT = \"no\""
    expect 6 vml start "$TEMPLATE"
    seen_nowhere
    echo "<VM><TEMPLATE><MEMORY>64</MEMORY><GRAPHICS><TYPE>vnc</TYPE><PASSWD><![CDATA[</$CANARY]]></PASSWD><PORT>no</PORT></GRAPHICS></TEMPLATE></VM>" >"$TEMPLATE"
    expect 6 vml start "$TEMPLATE"
    assert_contains "$ERR" "GRAPHICS/PORT" "the error"
    seen_nowhere
}

test_no_password_that_was_made_is_seen() {
    need_root
    graphics 'TYPE = "vnc", RANDOM_PASSWD = "yes"'
    started
    CANARY=$(<"$ROOT/run/vmlaunch/$VM/private/graphics.password")
    allowed "$ROOT/run/vmlaunch/$VM/private/graphics.password"
    qemu_has secret graphics0-password
    seen_nowhere
    ended
    seen_nowhere
}

# There is no cluster here: what can be seen are the plan, and a start that ends at a server that is not there.
test_no_secret_of_a_network_disk_is_seen() {
    need_root
    local line
    install -d -m 700 "$ROOT/etc/vmlaunch/secrets"
    echo "$CANARY-chap" >"$ROOT/etc/vmlaunch/secrets/chap"
    echo "$CANARY+ceph" | base64 >"$ROOT/etc/vmlaunch/secrets/ceph"
    allowed "$ROOT/etc/vmlaunch/secrets/chap"
    TEMPLATE=$ROOT/$VM.tmpl
    for line in 'TYPE = "iscsi", ISCSI_HOST = "127.0.0.1:1", ISCSI_IQN = "iqn.2026-11.test:disk/1", ISCSI_USER = "u", ISCSI_USAGE = "chap"' \
        'TYPE = "rbd", SOURCE = "pool/image", CEPH_HOST = "127.0.0.1:1", CEPH_USER = "u", CEPH_SECRET = "ceph"'; do
        printf '%s\n' "NAME = \"$VM\"" 'MEMORY = "64"' 'ACCEL = "tcg"' "DISK = [ $line, TARGET = \"vda\" ]" >"$TEMPLATE"
        [[ $line != *rbd* ]] || CANARY=$(<"$ROOT/etc/vmlaunch/secrets/ceph")
        [[ $line != *rbd* ]] || allowed "$ROOT/etc/vmlaunch/secrets/ceph"
        expect 0 vml plan "$TEMPLATE"
        assert_contains "$OUT" '"qom-type":"secret"' "the plan"
        seen_nowhere
        # librados tries for minutes.
        [[ $line == *rbd* ]] || expect 1 vml start "$TEMPLATE"
        seen_nowhere
    done
}

run_tests "$@"
