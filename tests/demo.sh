#!/usr/bin/env bash
# make demo: a real guest from nothing to its clean end, each step shown. Installs what is missing, builds, boots the
# test guest from dist/examples/demo.tmpl on a bridge of its own, looks at it from all sides, shuts it down. Ends with 0 only
# when every step did what it says. What it makes, it removes: also after Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${BUILD:-build}
bridge=vmldemo0
tap=vmldemo-0
work=
made_bridge=

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' plain=$'\e[0m'
else
    bold='' plain=''
fi

clean_up() {
    local status=$?
    trap '' INT TERM
    trap - EXIT
    if [[ -n $work ]]; then
        if [[ -e $work/run/vmlaunch/demo/control.sock ]]; then
            vmlaunch -q destroy demo || true
        fi
        vmlaunch -q reconcile >/dev/null 2>&1 || true
        rm -rf "$work"
    fi
    [[ -z $made_bridge ]] || ip link delete "$bridge"
    ((status == 0)) || echo "demo: failed (status $status)" >&2
    exit "$status"
}

vmlaunch() { "$build/vmlaunch" --root "$work" "$@"; }
heading() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
# Shows a vmlaunch command as one would type it, and runs it.
show() {
    printf '%s$ vmlaunch %s%s\n' "$bold" "$*" "$plain"
    vmlaunch "$@"
}
note() { printf '  %-44s %s\n' "$1" "$2"; }
die() {
    echo "demo: $*" >&2
    exit 1
}
# await SECONDS COMMAND...: until it succeeds; for counters, which tell nobody that they count
await() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}

user=
[[ $(id -u) == 0 ]] || user=1
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
started=$SECONDS

heading "What is missing is installed, the program and a small Linux guest are built"
tests/deps.sh build demo guest
unset MAKEFLAGS MAKELEVEL MFLAGS
make -s -j"$(nproc)" all
tests/guest/build.sh build/guest
size=$(size "$build/vmlaunch" | awk 'NR == 2 { printf "%d KiB of code and data", ($1 + $2) / 1024 }')
note "$build/vmlaunch" "$("$build/vmlaunch" --version), $size"
note "build/guest/vmlinuz, initrd.img" "$(du -ch build/guest/vmlinuz build/guest/initrd.img | awk 'END { print $1 }')"

work=$(mktemp -d /tmp/vmlaunch-demo.XXXXXX)
chmod 755 "$work"
cp dist/examples/demo.tmpl "$work/"
ln -s "$PWD"/build/guest/{vmlinuz,initrd.img} "$work/"
template=$work/demo.tmpl
if [[ $user ]]; then
    heading "As an ordinary user: a network in user mode instead of the template's tap, and no control group unless systemd gives one"
    sed -i 's/^NIC = .*/NIC = [ BRIDGE_TYPE = "user", MODEL = "virtio" ]/' "$template"
    grep '^NIC' "$template" | sed 's/^/  /'
else
    [[ ! -e /sys/class/net/$bridge ]] || \
        die "there is an interface $bridge already that is not mine: another demo, or 'ip link delete $bridge'"
    ip link add "$bridge" type bridge || die "cannot make a bridge: this host gives root no right to (a container?)"
    made_bridge=1
    ip link set "$bridge" up
fi

heading "The plan: all that a start would do, here without argv and the texts of files; nothing has happened yet"
echo "${bold}$ vmlaunch plan $template | grep -v '^  '$plain"
vmlaunch plan "$template" | grep -v "^  "

heading "Start"
show start "$template"
show --timeout 120 wait demo --for=agent
show status demo
[[ $(vmlaunch -o json status demo | jq -r .agent) == answering ]] || die "the guest's agent does not answer"
pid=$(vmlaunch -o json status demo | jq -r .pid)

heading "The guest's console"
printf '%s$ echo "uname -a; uptime" | vmlaunch console demo%s\n' "$bold" "$plain"
console=$(printf 'uname -a; uptime\n' | vmlaunch --timeout 2 console demo)
while read -r line; do echo "  | $line"; done <<<"$console"
[[ $console == *Linux* ]] || die "the console does not answer"

if [[ ! $user ]]; then
    heading "The tap in its bridge, and what has gone through it"
    [[ $(basename "$(readlink "/sys/class/net/$tap/master")") == "$bridge" ]] || die "$tap is not in $bridge"
    note "$tap" "in $bridge: $(ip -o link show "$tap" | sed -nE 's/.*(mtu [0-9]+).*(state [A-Z]+).*/\1, \2/p')"
    # The guest's own IPv6 says hello to its network.
    packets() { [[ $(<"/sys/class/net/$tap/statistics/rx_packets") -gt 0 ]]; }
    await 20 packets || die "no packet came from the guest"
    counter() { cat "/sys/class/net/$tap/statistics/$1"; }
    note "from the guest" "$(counter rx_packets) packets, $(counter rx_bytes) bytes"
    note "to the guest" "$(counter tx_packets) packets, $(counter tx_bytes) bytes"
fi

heading "Its control group"
group=$(vmlaunch -o json status demo | jq -r '.cgroup // empty')
file=
[[ -z $group ]] || file=$(find /sys/fs/cgroup -path "*/$group/cpu.*" \
    \( -name cpu.shares -o -name cpu.weight \) -print -quit 2>/dev/null || true)
if [[ -n $file ]]; then
    note "$file" "$(<"$file")"
    grep -qx "$pid" "${file%/*}"/{,vm/}cgroup.procs 2>/dev/null || die "QEMU is not in its control group"
else
    note "none" "this host has no CPU control group that $([[ $user ]] && echo this user || echo root) may use"
fi

heading "QEMU, pid $pid, as the kernel sees it"
grep -E '^(Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' "/proc/$pid/status" | sed 's/^/  /'
# What a user never had it cannot take away either: no_new_privs keeps QEMU from using that set.
grep -qx "Cap$([[ $user ]] && echo Eff || echo Bnd):"$'\t0000000000000000' "/proc/$pid/status" || die "QEMU has capabilities"
grep -qx $'NoNewPrivs:\t1' "/proc/$pid/status" || die "QEMU may get privileges"
grep -qx $'Seccomp:\t2' "/proc/$pid/status" || die "QEMU has no seccomp filter"

heading "A clean end"
show shutdown demo
show list --all
verdict=$(vmlaunch -o json status demo | jq -r .verdict)
[[ ! -e /sys/class/net/$tap ]] || die "the tap is still there"
[[ ! -e /proc/$pid ]] || die "QEMU is still there"
echo
[[ $verdict == guest-off ]] || die "verdict $verdict instead of guest-off"
echo "${bold}verdict: $verdict$plain (all of it took $((SECONDS - started)) s; nothing is left of it)"
