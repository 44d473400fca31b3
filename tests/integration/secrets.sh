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
        "dump $VM" "list --all"; do
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
    printf %s "$CANARY-luks" >"$WORK/passphrase"
    for _ in $(seq 50); do
        qemu-img create -q -f luks --object "secret,id=s,file=$WORK/passphrase" -o key-secret=s,iter-time=10 "$ROOT/a.luks" 1M 2>"$WORK/err" && break
    done
    [[ -s $ROOT/a.luks ]] || fail "$(<"$WORK/err")"
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

run_tests "$@"
