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
    template 'DISK = [ SOURCE = "disk.qcow2", TARGET = "vda" ]' "NIC = [ BRIDGE = \"$BRIDGE\" ]" 'SCHED_RANK = "1"' \
        'GRAPHICS = [ TYPE = "vnc", RANDOM_PASSWD = "yes" ]'
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
    expect 0 vml -o json display "$VM"
    holds display "$OUT"
    expect 0 vml -o json screenshot "$VM" "$WORK/screen.png"
    holds screenshot "$OUT"
    local words
    for words in "" --argv --metadata --diff; do
        # shellcheck disable=SC2086 # none or one
        expect 0 vml -o json dump "$VM" $words
        holds dump "$OUT"
    done
    expect 0 vml -o json reexec "$VM"
    holds reexec "$OUT"
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

# The stand-in's agent answers as soon as the VM runs.
test_documents_of_agent_events_and_recorder_are_as_docs_json_md_says() {
    need_root
    install -m 755 "$TOP/build/vmlaunch-fake-qemu" "$ROOT/fake-qemu"
    template "EMULATOR = \"$ROOT/fake-qemu\"" 'FEATURES = [ GUEST_AGENT = "yes" ]'
    expect 0 vml start "$TEMPLATE"
    expect 0 vml --timeout 60 wait "$VM" --for=agent
    local action words
    for action in ping info freeze thaw fstrim set-time; do
        words=("$action")
        [[ $action != freeze ]] || words+=(--detach)
        expect 0 vml -o json --timeout 10 agent "$VM" "${words[@]}"
        holds agent "$OUT"
    done
    expect 0 vml -o tsv agent "$VM" ping
    assert_match "$OUT" $'(^|\n)result\tanswers(\n|$)'
    expect 0 vml -o tsv agent "$VM" info
    assert_match "$OUT" $'(^|\n)guest-ping\t'yes
    expect 7 vml -o json --timeout 1.5 agent "$VM" freeze
    holds agent "$(jq -s '.[0]' <<<"$OUT")"
    holds agent "$(jq -s '.[1]' <<<"$OUT")"
    assert_eq "$(jq -rs 'map(.result) | join(" ")' <<<"$OUT")" "frozen thawed"
    holds errors "$ERR"
    expect 5 vml -o json agent "$VM" raw guest-no-such-command
    holds errors "$ERR"
    # Lines for people or documents: neither has a table.
    expect 2 vml -o tsv events "$VM"
    vml -o json --timeout 120 events "$VM" >"$WORK/events" &
    local events=$! line
    await 5 is_heard
    expect 0 vml destroy "$VM"
    wait "$events"
    while read -r line; do
        holds events "$line"
    done <"$WORK/events"
    assert_eq "$(jq -r 'select(.event == "VMLAUNCH_END").data.verdict' "$WORK/events")" asked
    expect 0 vml -o json log --wire "$VM"
    holds wire "$(head -1 <<<"$OUT")"
    holds wire "$(tail -1 <<<"$OUT")"
}
# The listener has heard something that was sent to all.
is_heard() {
    vml suspend "$VM" && vml resume "$VM" && [[ -s $WORK/events ]]
}

run_tests "$@"
