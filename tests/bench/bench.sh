#!/usr/bin/env bash
# make bench: what vmlaunch adds to QEMU's own time, against tests/bench/bare.c in the same run: pairs interleaved, medians.
# Prints a table: what, measured, bar, ok or over. It gates nothing: on a busy machine the best times say more than the
# medians.
# BENCH_QUICK=1: 5 pairs instead of 21, 50 VMs instead of 200, 3 s of idling instead of 10. BENCH_ONLY=plans: large plans;
# BENCH_ONLY=hotplug: attach and detach of a disk; BENCH_ONLY=units: units of systemd.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C
build=$PWD/${BUILD:-build}
bare=$build/tests/bare
if ((${BENCH_QUICK:-0})); then
    pairs=5 many=50 idle=3
else
    pairs=21 many=200 idle=10
fi

if [[ $(id -u) != 0 ]]; then
    echo "bench: needs root here, for taps and control groups" >&2
    exit 1
fi
for tool in jq qemu-img ip; do
    command -v "$tool" >/dev/null || { echo "bench: no $tool here: run 'make deps'" >&2 && exit 1; }
done
# Taps and bridge are nobody else's.
if [[ -z ${BENCH_NETNS:-} ]]; then
    BENCH_NETNS=1 exec unshare --net --mount-proc=/proc -- bash "$0" "$@"
fi

work=$(mktemp -d /tmp/vmbench.XXXXXX)
# A VM's run directory is in memory on real hosts.
for base in /run /dev/shm /tmp; do
    [[ $(stat -f -c %T "$base" 2>/dev/null) != tmpfs ]] || break
done
root=$(mktemp -d "$base/vmbench.XXXXXX")
chmod 711 "$work" "$root"
clean_up() {
    trap - EXIT
    trap '' INT TERM
    vml -o json list 2>/dev/null | jq -r '.[].name' 2>/dev/null | while read -r name; do
        vml -q destroy "$name" >/dev/null 2>&1 || true
    done
    for file in "$work"/*/pid; do
        [[ ! -e $file ]] || kill -9 "$(<"$file")" 2>/dev/null || true
    done
    rmdir /sys/fs/cgroup/machine.slice/vmbench-$$-* /sys/fs/cgroup/cpu/machine.slice/vmbench-$$-* 2>/dev/null || true
    rm -rf "$work" "$root"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
ip link set lo up
ip link add vbr0 type bridge
ip link set vbr0 up

vml() { "$build/vmlaunch" --root "$root" "$@"; }
timed() { "$bare" time "$build/vmlaunch" --root "$root" "$@"; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
least() { ms "$(sort -n "$1" | sed -n 1p)"; }
ms() { awk -v us="$1" 'BEGIN { printf "%.1f", us / 1000 }'; }
over=0
# row WHAT MEASURED UNIT BAR [REMARK]: over when the number is above the bar
row() {
    local word=ok
    awk -v a="$2" -v b="$4" 'BEGIN { exit !(a > b) }' && word=over over=$((over + 1))
    printf '%-52s %9s %-4s %9s  %-5s %s\n' "$1" "$2" "$3" "$4" "$word" "${5:-}"
}

# query WHAT BAR COMMAND...: a row of its median and best time
query() {
    local what=$1 bar=$2 i
    shift 2
    for ((i = 0; i < pairs; i++)); do timed "$@"; done >"$work/query"
    row "$what" "$(ms "$(median <"$work/query")")" ms "$bar" "best $(least "$work/query")"
}

# template NAME NICS [LINES...]: no kernel and no disk, so QEMU is up as soon as it can be
template() {
    local name=$1 nics=$2 i
    shift 2
    {
        printf 'NAME = "%s"\nMEMORY = "256"\nCPU = "1"\nACCEL = "tcg"\nOS = [ MACHINE = "q35" ]\n' "$name"
        for ((i = 0; i < nics; i++)); do
            printf 'NIC = [ BRIDGE = "vbr0", TARGET = "%s-%d" ]\n' "$name" "$i"
        done
        (($# == 0)) || printf '%s\n' "$@"
    } >"$root/$name.tmpl"
}
# plan_for_bare NAME: after a first start, so that machine.lock is there
plan_for_bare() {
    mkdir -p "$work/$1"
    vml plan --format json "$root/$1.tmpl" >"$work/$1/plan.json"
}

# bare_group NAME: a control group for the other QEMU like the VM's own: on a busy host it would else get more of the
# CPU. Prints the file that takes it in; nothing on a host without.
bare_group() {
    local base file
    for base in /sys/fs/cgroup/cpu /sys/fs/cgroup; do
        [[ -d $base/machine.slice ]] || continue
        mkdir -p "$base/machine.slice/vmbench-$$-$1"
        for file in "$base/machine.slice/vmbench-$$-$1"/{tasks,cgroup.procs}; do
            [[ ! -e $file ]] || { echo "$file" && return; }
        done
    done
}

# sized NAME DISKS NICS VCPUS NODES: a template of so much, each node with its share of vCPUs and 1 GiB
sized() {
    local name=$1 n_disks=$2 nics=$3 vcpus=$4 nodes=$5 i
    {
        printf 'NAME = "%s"\nMEMORY = "%d GiB"\nVCPU = "%d"\nACCEL = "tcg"\n' "$name" "$nodes" "$vcpus"
        for ((i = 0; i < nodes; i++)); do
            printf 'NUMA_NODE = [ TOTAL_CPUS = "%d", MEMORY = "1 GiB", DISTANCE = "0-%d:%d" ]\n' $((vcpus / nodes)) $((nodes - 1)) $((20 + i))
        done
        for ((i = 0; i < n_disks; i++)); do printf 'DISK = [ SOURCE = "many/%d.raw", FORMAT = "raw" ]\n' "$i"; done
        for ((i = 0; i < nics; i++)); do printf 'NIC = [ BRIDGE = "vbr0" ]\n'; done
    } >"$root/$name.tmpl"
}
big_plans() {
    local name i s1 s2 s4
    mkdir -p "$root/many"
    for ((i = 0; i < 256; i++)); do truncate -s 1M "$root/many/$i.raw"; done
    sized s1 64 8 16 2
    sized s2 128 16 32 4
    sized s4 256 32 64 8
    for name in s1 s2 s4; do
        for ((i = 0; i < pairs; i++)); do timed -q plan "$root/$name.tmpl"; done >"$work/$name"
    done
    s1=$(median <"$work/s1") s2=$(median <"$work/s2") s4=$(median <"$work/s4")
    row "plan of 256 disks, 32 NICs, 64 vCPUs in 8 nodes" "$(ms "$s4")" ms 10 "best $(least "$work/s4"); half of it $(ms "$s2"), a quarter $(ms "$s1")"
    row "the same against half of it, twice over" "$(ratio "$s4" "$s2")" x 2.2 "and against a quarter $(ratio "$s4" "$s1")"
    row "its argv, of $(($(getconf ARG_MAX) / 1024)) KiB that the kernel takes" \
        "$(($(vml -q plan "$root/s4.tmpl" --format argv | wc -c) / 1024))" KiB $(($(getconf ARG_MAX) / 1024))
}

# The same as OpenNebula would send it: each value a CDATA section, and beside each what its core fills in.
vm_xml() {
    local i key
    echo '<VM><NAME>large</NAME><TEMPLATE><MEMORY><![CDATA[64]]></MEMORY><ACCEL><![CDATA[tcg]]></ACCEL>'
    for ((i = 0; i < 20; i++)); do
        echo "<DISK><SOURCE><![CDATA[$root/disk$i.qcow2]]></SOURCE><DEV_PREFIX><![CDATA[sd]]></DEV_PREFIX>"
        for key in DATASTORE DATASTORE_ID IMAGE_ID IMAGE_STATE IMAGE_UNAME LN_TARGET TM_MAD CLUSTER_ID ORIGINAL_SIZE; do
            echo "<$key><![CDATA[7]]></$key>"
        done
        echo '</DISK><NIC><BRIDGE><![CDATA[vbr0]]></BRIDGE>'
        for key in AR_ID NETWORK NETWORK_ID NETWORK_UID NETWORK_UNAME VN_MAD CLUSTER_ID NAME; do
            echo "<$key><![CDATA[7]]></$key>"
        done
        echo '</NIC>'
    done
    echo '</TEMPLATE><USER_TEMPLATE>'
    for ((i = 0; i < 500; i++)); do echo "<NOTE_$i><![CDATA[for people]]></NOTE_$i>"; done
    echo '</USER_TEMPLATE></VM>'
}
large_plans() {
    mkdir -p "$root/etc/vmlaunch"
    echo 'Q35_ROOT_PORTS = "32"' >"$root/etc/vmlaunch/host.conf"
    local i disks=()
    for ((i = 0; i < 20; i++)); do
        qemu-img create -q -f qcow2 "$root/disk$i.qcow2" 1G
        disks+=("DISK = [ SOURCE = \"disk$i.qcow2\", DEV_PREFIX = \"sd\" ]")
    done
    template large 20 "${disks[@]}"
    query "plan of a VM with 20 disks and 20 NICs" 5 plan "$root/large.tmpl"
    vm_xml >"$root/large.xml"
    query "the same from VM XML, with what OpenNebula adds" 10 plan "$root/large.xml"
    rm "$root/etc/vmlaunch/host.conf"
}

# --- a disk comes and goes: whole verbs, against a process that sends another QEMU of the same argv the commands of the
# same fragments, one at a time. DEVICE_DELETED is the guest's word; QEMU gives it some 50 ms after device_del here.
hotplug() {
    local i ours theirs direct=$work/h9/qmp.sock
    truncate -s 4M "$root/plug.img" "$root/more.img" "$root/plug9.img" "$root/more9.img"
    template h0 0 "DISK = [ SOURCE = \"$root/plug.img\", TARGET = \"sda\" ]"
    template h9 0 "DISK = [ SOURCE = \"$root/plug9.img\", TARGET = \"sda\" ]"
    vml -q start "$root/h0.tmpl"
    # Neither QEMU has a guest that works.
    vml -q suspend h0
    plan_for_bare h9
    local group attach=(attach disk h0 --disk "SOURCE=$root/more.img,TARGET=sdb,CACHE=writeback") detach=(detach disk h0 sdb)
    group=$(bare_group h9)
    "$bare" start "$work/h9/plan.json" "$work/h9" ${group:+"$group"}
    echo '{"execute":"stop"}' >"$work/stop"
    "$build/tests/qmp_plug" "$direct" "$work/stop"
    commands() { jq -c '.steps[] | select(.effect == "qmp") | .args'; }
    vml -o json "${attach[@]}" --plan | commands >"$work/plug"
    vml -q "${attach[@]}"
    vml -o json "${detach[@]}" --plan | commands >"$work/unplug"
    vml -q "${detach[@]}"
    for list in attach bare_attach detach bare_detach; do : >"$work/$list"; done
    for ((i = 0; i < pairs; i++)); do
        timed -q "${attach[@]}" >>"$work/attach"
        "$bare" time "$build/tests/qmp_plug" "$direct" "$work/plug" "$root/more9.img" >>"$work/bare_attach"
        "$build/tests/qmp_plug" after "$root/run/vmlaunch/h0/control.sock" \
            "$build/vmlaunch" --root "$root" -q "${detach[@]}" >>"$work/detach"
        "$bare" time "$build/tests/qmp_plug" "$direct" "$work/unplug" >>"$work/bare_detach"
    done
    ours=$(median <"$work/attach") theirs=$(median <"$work/bare_attach")
    row "attach of a disk, over the same commands direct" "$(ratio "$ours" "$theirs")" x 2 \
        "$(ms "$ours"), direct $(ms "$theirs") ms; best $(least "$work/attach"), $(least "$work/bare_attach")"
    cut -d' ' -f2 "$work/detach" >"$work/whole"
    row "detach of a disk: after the guest has let go" "$(ms "$(cut -d' ' -f1 "$work/detach" | median)")" ms 50 \
        "whole $(ms "$(median <"$work/whole")"), direct $(ms "$(median <"$work/bare_detach")"); best $(least "$work/whole"), $(least "$work/bare_detach")"
    "$bare" quit "$work/h9"
    rm -f "$work/h9/pid"
    vml -q destroy h0
}

# Units of systemd: the generator here, where a start is a file or two per VM, and a boot storm in a guest.
unit_rows() {
    local i ours theirs dir=$root/generator
    mkdir -p "$dir/etc/vmlaunch/vms" "$dir/out"
    for ((i = 0; i < 100; i++)); do
        printf '%s\n' "NAME = \"g$i\"" 'MEMORY = "512"' 'CPU = "1.5"' 'DISK = [ SOURCE = "/srv/disk.qcow2" ]' \
            'NIC = [ BRIDGE = "vbr0" ]' 'MEMTUNE = [ HARD_LIMIT = "1024" ]' >"$dir/etc/vmlaunch/vms/g$i.tmpl"
    done
    ln -s "$build/vmlaunch" "$dir/vmlaunch-generator"
    for ((i = 0; i < pairs; i++)); do
        rm -rf "${dir:?}"/out/*
        VMLAUNCH_ROOT=$dir "$bare" time "$dir/vmlaunch-generator" "$dir/out" "$dir/out" "$dir/out"
    done >"$work/generator"
    (($(find "$dir/out" -name '10-vmlaunch.conf' | wc -l) == 100)) || echo "bench: the generator has not written 100 drop-ins" >&2
    row "generator of 100 templates" "$(ms "$(median <"$work/generator")")" ms 5 "best $(least "$work/generator")"
    tests/bench/boot_storm.sh $((pairs > 5 ? 5 : 3)) >"$work/storm"
    grep -vE '^(ours|bare) all [0-9]+ ' "$work/storm" >&2 && return 1
    ours=$(awk '/^ours/ { print $3 }' "$work/storm" | median) theirs=$(awk '/^bare/ { print $3 }' "$work/storm" | median)
    row "boot storm of 50 units: against bare in units" "$(ratio "$ours" "$theirs")" x 1.2 "$(ms "$ours"), bare $(ms "$theirs") million instructions of the guest"
}

printf '%-52s %9s %-4s %9s\n' "what (medians of $pairs)" measured '' bar

if [[ ${BENCH_ONLY:-} == hotplug ]]; then
    hotplug
    exit 0
fi

if [[ ${BENCH_ONLY:-} == units ]]; then
    unit_rows
    exit 0
fi
if [[ ${BENCH_ONLY:-} == plans ]]; then
    # A start writes the cache of QEMU's facts.
    template b0 0
    vml -q start "$root/b0.tmpl"
    vml -q destroy b0
    large_plans
    big_plans
    exit 0
fi

# --- start and destroy, against bare, pair by pair
for nics in 0 1 4; do
    name=b$nics
    template "$name" "$nics"
    vml -q start "$root/$name.tmpl"
    vml -q destroy "$name"
    plan_for_bare "$name"
    group=$(bare_group "$name")
    for list in start bare_start destroy bare_quit; do : >"$work/$list"; done
    for ((i = 0; i < pairs; i++)); do
        timed -q start "$root/$name.tmpl" >>"$work/start"
        timed -q destroy "$name" >>"$work/destroy"
        "$bare" time "$bare" start "$work/$name/plan.json" "$work/$name" ${group:+"$group"} >>"$work/bare_start"
        # QEMU is to leave the bridge with as many ports as the VM's did.
        for ((nic = 0; nic < nics; nic++)); do
            ip link set "$name-$nic" master vbr0 up
        done
        "$bare" time "$bare" quit "$work/$name" >>"$work/bare_quit"
        rm -f "$work/$name/pid"
    done
    ours=$(median <"$work/start") theirs=$(median <"$work/bare_start")
    row "start to running, $nics NICs: our share" "$(ms $((ours - theirs)))" ms $((12 + 5 * nics)) \
        "start $(ms "$ours"), bare $(ms "$theirs"); best $(least "$work/start"), $(least "$work/bare_start")"
    ours=$(median <"$work/destroy") theirs=$(median <"$work/bare_quit")
    row "destroy to gone, $nics NICs: over QEMU's own exit" "$(ms $((ours - theirs)))" ms 10 \
        "destroy $(ms "$ours"), bare $(ms "$theirs"); best $(least "$work/destroy"), $(least "$work/bare_quit")"
done

# --- 20 starts at once
for ((i = 0; i < 20; i++)); do
    template "p$i" 1
    [[ $i == 0 ]] || mkdir -p "$work/p$i"
    plan_for_bare "p$i"
    group=$(bare_group "p$i")
done
rounds=$((pairs > 5 ? 9 : 3))
for list in parallel bare_parallel; do : >"$work/$list"; done
for ((i = 0; i < rounds; i++)); do
    "$bare" parallel 20 "$build/vmlaunch" --root "$root" -q start "$root/p{}.tmpl" >>"$work/parallel"
    "$bare" parallel 20 "$build/vmlaunch" --root "$root" -q destroy "p{}" >/dev/null
    "$bare" parallel 20 "$bare" start "$work/p{}/plan.json" "$work/p{}" ${group:+"${group/-p19\//-p{\}/}"} >>"$work/bare_parallel"
    "$bare" parallel 20 "$bare" quit "$work/p{}" >/dev/null
    rm -f "$work"/p*/pid
done
ours=$(median <"$work/parallel") theirs=$(median <"$work/bare_parallel")
row "20 starts in parallel, 1 NIC each: against bare" "$(ratio "$ours" "$theirs")" x 1.2 \
    "$(ms "$ours"), bare $(ms "$theirs"); best $(least "$work/parallel"), $(least "$work/bare_parallel")"

# --- queries of a VM that runs
# Without a cache of QEMU's facts the supervisor begins as large as it gets.
rm -rf "$root/var/cache"
vml -q start "$root/b1.tmpl"
query "list" 5 list
query "status" 5 status b1
pid=$(vml -o json status b1 | jq -r .supervisor_pid)
keeper=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status")
switches() { awk '/ctxt_switches/ { n += $2 } END { print n }' "/proc/$pid/task/"*/status "/proc/$keeper/task/"*/status; }
pss() { awk '/^Pss:/ { printf "%.2f", $2 / 1024 }' "/proc/$1/smaps_rollup"; }
# After half a second of quiet it gives back what it does not need.
sleep 2
before=$(switches)
sleep "$idle"
row "wakeups of supervisor and keeper in $idle s" $(($(switches) - before)) '' 0
row "memory of supervisor and keeper (PSS)" "$(awk -v a="$(pss "$pid")" -v b="$(pss "$keeper")" 'BEGIN { printf "%.2f", a + b }')" MiB 1.5 \
    "supervisor $(pss "$pid"), keeper $(pss "$keeper")"

# --- a QMP call through the control socket, against another QEMU's own socket
qemu-system-x86_64 -machine q35,accel=tcg -m 256 -nodefaults -display none -S -qmp "unix:$work/direct,server=on,wait=off" &
direct=$!
vml -q suspend b1
until [[ -S $work/direct ]]; do sleep 0.05; done
read -r direct_us ours_us < <("$build/tests/qmp_call" $((pairs * 100)) "$work/direct" "$root/run/vmlaunch/b1/control.sock")
row "QMP call through the control socket, over direct" "$(ratio "$ours_us" "$direct_us")" x 1.5 "$ours_us us, direct $direct_us us"
kill "$direct"
wait "$direct" 2>/dev/null || true
vml -q destroy b1

hotplug

# --- plans
query "plan of a VM with 1 NIC" 5 plan "$root/b1.tmpl"
large_plans

big_plans

# --- many VMs, with stand-ins for QEMU; one of them and one supervisor stand still
install -m 755 "$build/tests/fake_qemu" "$work/fake-qemu"
for ((i = 0; i < many; i++)); do
    template "m$i" 0 "EMULATOR = \"$work/fake-qemu\""
    vml -q start "$root/m$i.tmpl"
done
kill -STOP "$(vml -o json status m0 | jq -r .pid)" "$(vml -o json status m1 | jq -r .supervisor_pid)"
stopped=$(jq -r .supervisor_pid "$root/run/vmlaunch/m1/record.json")
query "list of $many VMs, a QEMU and a supervisor stopped" 30 list
kill -CONT "$(jq -r .pid "$root/run/vmlaunch/m0/record.json")" "$stopped"

unit_rows

# --- the program
strip -o "$work/stripped" "$build/vmlaunch"
row "program, stripped" "$(stat -c %s "$work/stripped" | awk '{ printf "%.2f", $1 / 1048576 }')" MiB 1

echo "$over over their bar"
