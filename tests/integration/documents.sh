#!/usr/bin/env bash
# The documents that are made of the tables: completion in a real bash, manual pages through groff, and their installation.
. "$(dirname "$0")/lib.sh"
DOCS=$TOP/${BUILD:-build}/docs

# completes LINE WORDS: LINE, with the cursor at its end, is completed to these (sorted, no more)
completes() {
    local got
    got=$(
        # shellcheck source=/dev/null
        . "$DOCS/vmlaunch.bash"
        PATH=$(dirname "$VMLAUNCH"):$PATH
        compopt() { return 0; }
        # bash splits at blanks and '='.
        mapfile -t COMP_WORDS < <(tr -s ' ' '\n' <<<"${1//=/ = }")
        [[ $1 != *' ' && $1 != *= ]] || COMP_WORDS+=("")
        [[ ${COMP_WORDS[-2]:-} != "" || ${#COMP_WORDS[@]} -lt 3 ]] || unset 'COMP_WORDS[-1]'
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _vmlaunch
        printf '%s\n' "${COMPREPLY[@]}" | sort | xargs
    )
    assert_eq "$got" "$2" "completion of '$1'"
}

test_completion_knows_verbs_options_values_vms_and_attributes() {
    mkdir -p "$ROOT/etc/vmlaunch/vms"
    printf 'MEMORY = "64"\n' | tee "$ROOT/etc/vmlaunch/vms/web.tmpl" >"$ROOT/etc/vmlaunch/vms/wiki.tmpl"
    completes "vmlaunch re" "reboot reconcile reexec reset resize resize-disk resume"
    completes "vmlaunch -o " "json table tsv"
    completes "vmlaunch --output=t" "table tsv"
    completes "vmlaunch --root $ROOT status w" "web wiki"
    completes "vmlaunch destroy we" "web"
    completes "vmlaunch --root $ROOT destroy " "web wiki"
    completes "vmlaunch log --l" "--lines="
    completes "vmlaunch plan --format=" "argv json shell text"
    completes "vmlaunch plan --format=json wi" "wiki"
    completes "vmlaunch describe MEMORY_R" "MEMORY_RESIZE_MODE"
    completes "vmlaunch describe DISK/CA" "DISK/CACHE"
    completes "vmlaunch help ev" "events"
    completes "vmlaunch attach " "disk fs nic pci usb"
    completes "vmlaunch --root $ROOT agent web f" "freeze fstrim"
    completes "vmlaunch attach nic w" "web wiki"
    completes "vmlaunch --timeout 5 wait web --for=" "agent ip job: paused port: started stopped unplugged:"
}

test_templates_are_completed_as_files() {
    cd "$ROOT" || fail "cd"
    touch vmtest-a.tmpl vmtest-b.tmpl
    completes "vmlaunch start vmtest-" "vmtest-a.tmpl vmtest-b.tmpl"
}

test_manual_pages_are_good_roff_and_say_what_describe_says() {
    command -v groff >/dev/null || skip "no groff here"
    local page
    for page in vmlaunch.1 vmlaunch.template.5; do
        groff -man -Tutf8 -ww "$DOCS/$page" >"$WORK/page" 2>"$WORK/warnings"
        assert_eq "$(<"$WORK/warnings")" "" "what groff says of $page"
        sed -i 's/\x1b\[[0-9;]*m//g; s/.\x08//g' "$WORK/page"
        [[ $page == vmlaunch.1 ]] || assert_match "$(tr -s ' \n' ' ' <"$WORK/page")" 'MEMORY_SLOTS \(number in slots, 1 to 256; default 16\)'
    done
}

test_installation_has_program_pages_and_completion() {
    # Built already; nothing but copies.
    make -s -C "$TOP" install DESTDIR="$WORK/root" PREFIX=/usr >"$WORK/out" 2>&1 || fail "make install: $(<"$WORK/out")"
    local file
    for file in bin/vmlaunch share/man/man1/vmlaunch.1 share/man/man5/vmlaunch.template.5 \
        share/bash-completion/completions/vmlaunch share/doc/vmlaunch/template-reference.md; do
        [[ -s $WORK/root/usr/$file ]] || fail "not installed: $file"
    done
}

run_tests "$@"
