#!/usr/bin/env bash
# The JSON contract: what docs/json.md says of each document is what the program prints.
. "$(dirname "$0")/lib.sh"

# holds SECTION JSON: the object has the members of docs/json.md's section, in their types, and no others
holds() {
    local table
    # shellcheck disable=SC2016 # backquotes of the table
    # | `name` | type | or | [`name`] | type?, as {"name": {"type": ..., "null": ..., "absent": ...}}
    table=$(awk -v section="## $1" '/^## /{on = $0 == section} on && /^\| \[?`/' "$TOP/docs/json.md" |
        sed -E 's/^\| (\[?)`([a-z_]+)`\]? \| ([a-z]+)(\??) \|.*/\1,\2,\3,\4/' |
        jq -Rn '[inputs | split(",") | {key: .[1], value: {type: .[2], absent: (.[0] != ""), null: (.[3] != "")}}] | from_entries')
    [[ $table != "{}" ]] || fail "docs/json.md has no section '$1'"
    local wrong
    wrong=$(jq -r --argjson table "$table" '. as $doc |
        ($table | to_entries[] | .key as $key | .value as $row |
            if $doc | has($key) | not then (if $row.absent then empty else "\($key) is missing" end)
            elif $doc[$key] == null then (if $row.null then empty else "\($key) is null" end)
            elif ($doc[$key] | type) != $row.type then "\($key) is \($doc[$key] | type), not \($row.type)"
            else empty end),
        (keys[] | select(in($table) | not) | "\(.) is not documented")' <<<"$2")
    [[ -z $wrong ]] || fail "$1: $wrong"
}

test_every_document_is_as_docs_json_md_says() {
    need_root
    mkdir -p "$ROOT/etc/vmlaunch/vms"
    echo 'NO_SUCH_VARIABLE=1' >"$ROOT/etc/vmlaunch/kvmrc"
    template 'DISK = [ SOURCE = "disk.qcow2", TARGET = "vda" ]' "NIC = [ BRIDGE = \"$BRIDGE\" ]" 'SCHED_RANK = "1"'
    qemu-img create -q -f qcow2 "$ROOT/disk.qcow2" 16M
    sed '/^NAME/d; /^DISK/d' "$TEMPLATE" >"$ROOT/etc/vmlaunch/vms/$VM-b.tmpl"
    local verb
    for verb in plan explain validate; do
        expect 0 vml -o json "$verb" "$TEMPLATE"
        holds "$verb" "$OUT"
        holds warnings "$ERR"
    done
    expect 0 vml -o json plan "$TEMPLATE"
    jq -e '(.argv + .env | all(type == "string")) and (.cgroup | all(has("path") and has("file") and has("value")))
        and (.fds | all(has("fd") and has("source"))) and (.net | length > 0) and (.warnings | length > 0)' \
        <<<"$OUT" >/dev/null || fail "the plan's members: $OUT"
    expect 0 vml -o json plan - < <(grep -v ^DISK "$TEMPLATE")
    holds plan "$OUT"
    expect 0 vml -o json describe DISK
    holds describe "$OUT"
    expect 0 vml -o json mac
    holds mac "$OUT"
    expect 0 vml -o json uuid
    holds uuid "$OUT"
    expect 0 vml -o json reconcile
    holds reconcile "$OUT"
    expect 0 vml -o json status "$VM-b"
    holds status "$OUT"
    expect 0 vml -o json start "$TEMPLATE"
    holds start "$OUT"
    expect 0 vml -o json status "$VM"
    holds status "$OUT"
    expect 0 vml -o json wait "$VM" --for=started
    holds wait "$OUT"
    for verb in suspend resume reset destroy; do
        expect 0 vml -o json "$verb" "$VM"
        holds power "$OUT"
    done
    expect 0 vml -o json status "$VM"
    holds status "$OUT"
    expect 0 vml -o json list --all
    assert_eq "$(jq -r '[.[].state] | sort | join(" ")' <<<"$OUT")" "defined stopped"
    holds list "$(jq '.[0]' <<<"$OUT")"
    holds list "$(jq '.[1]' <<<"$OUT")"
    expect 4 vml -o json status nobody
    holds errors "$ERR"
}

run_tests "$@"
