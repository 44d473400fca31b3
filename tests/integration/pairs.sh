#!/usr/bin/env bash
# Any two vectors of a template go together: what one of them makes alone is there beside the other, too. Plans only.
. "$(dirname "$0")/lib.sh"

declare -A VECTORS=(
    [numa]='VCPU = "2" TOPOLOGY = [ SOCKETS = "2", CORES = "1", THREADS = "1" ] NUMA_NODE = [ TOTAL_CPUS = "1", MEMORY = "32" ] NUMA_NODE = [ TOTAL_CPUS = "1", MEMORY = "32" ]'
    [backing]='MEMORY_BACKING = [ NOSHAREPAGES = "yes", DUMP_CORE = "yes", THP = "no" ]'
    [balloon]='BALLOON = [ MODEL = "virtio", STATS_PERIOD = "7", AUTODEFLATE = "yes" ]'
    [resize]='MEMORY_MAX = "1 GiB" MEMORY_RESIZE_MODE = "VIRTIO_MEM"'
    [memtune]='MEMTUNE = [ HARD_LIMIT = "1 GiB" ]'
    [blkiotune]='BLKIOTUNE = [ WEIGHT = "200" ]'
    [cpu_model]='CPU_MODEL = [ MODEL = "qemu64", FEATURES = "-svm,ssse3" ]'
    [hyperv]='FEATURES = [ HYPERV = "yes" ]'
    [clock]='CLOCK = [ OFFSET = "variable", ADJUSTMENT = "60" ]'
    [timer]='TIMER = [ NAME = "rtc", TICKPOLICY = "catchup" ]'
    [pm]='PM = [ SUSPEND_TO_MEM = "yes", SUSPEND_TO_DISK = "no" ]'
    [iommu]='IOMMU = [ MODEL = "intel" ]'
    [panic]='PANIC = [ MODEL = "pci" ] ON_CRASH = "preserve"'
    [serial]='SERIAL = [ TYPE = "log" ] CONSOLE = [ TARGET = "virtio", TYPE = "socket" ]'
    [lines]='PARALLEL = [ TYPE = "log" ] CHANNEL = [ NAME = "a", LOG = "yes" ]'
    [shmem]='SHMEM = [ NAME = "a" ]'
    [rng]='RNG = [ SOURCE = "/dev/urandom", RATE_BYTES = "4096" ]'
    [watchdog]='WATCHDOG = [ MODEL = "i6300esb", ACTION = "pause" ]'
    [nine]='FILESYSTEM = [ FS_ID = "1", SOURCE = "nine", TARGET = "nine", DRIVER = "9p" ]'
    [share]='DISK = [ DISK_ID = "9", TYPE = "filesystem", SOURCE = "nine", MOUNT_TAG = "share" ]'
    [disk]='DISK = [ SOURCE = "a.qcow2", TARGET = "vda", TOTAL_IOPS_SEC = "100", TOTAL_IOPS_SEC_MAX = "200", SERIAL = "a" ]'
    [scsi]='DISK = [ DISK_ID = "1", SOURCE = "b.qcow2", TARGET = "sda", CACHE = "writeback", DISCARD = "ignore", ROTATION_RATE = "1" ]'
    [volatile]='DISK = [ DISK_ID = "2", TYPE = "swap", SIZE = "16", TARGET = "vdc" ]'
    [cdrom]='DISK = [ DISK_ID = "3", TYPE = "cdrom", TARGET = "hdb" ]'
    [nic]='NIC = [ BRIDGE_TYPE = "user", MODEL = "virtio", GUEST_MTU = "1400" ]'
    [legacy]='NIC = [ NIC_ID = "1", BRIDGE = "", MODEL = "e1000" ]'
    [vnc]='GRAPHICS = [ TYPE = "vnc", LISTEN = "unix", KEYMAP = "de" ]'
    [video]='VIDEO = [ TYPE = "virtio", RESOLUTION = "800x600" ]'
    [sound]='SOUND = [ MODEL = "ac97" ]'
    [input]='INPUT = [ TYPE = "tablet", BUS = "usb" ] INPUT = [ TYPE = "keyboard", BUS = "virtio" ]'
    [smbios]='SMBIOS = [ SYSTEM_PRODUCT = "a, b" ]'
    [raw]='RAW = [ TYPE = "kvm", DATA = "<devices><memballoon model='"'none'"'/></devices>" ]'
)

# What of a plan has a name. Left out are numbers of one start and places; of memory, which all of a template decides, its
# kind; and what the template has without either vector. Read are lines of NAME of one vector, A+B of two, and "base".
# shellcheck disable=SC2016 # jq's variables
COMPARE='
    def parts: .argv as $argv | [range($argv | length - 1)
        | select($argv[. + 1][0:1] == "{") | $argv[.] + " " + ($argv[. + 1] | fromjson
        | del(.bus, .addr, .bootindex, .filename, .fd, ."mem-path")
        | if (."qom-type" // "" | startswith("memory-backend")) then del(."qom-type", .share, .reserve) else . end
        | tojson)] + [.cgroup[] | tojson];
    reduce inputs as $plan ({}; .[$plan.name] = ($plan.plan | parts))
    | . as $all | keys[] | select(contains("+")) as $pair
    | ([$pair | split("+")[] | $all[.][]] - $all.base - $all[$pair])[] | $pair + " has not " + .'
# What one of two changes of the other.
EXPECTED='numa+scsi has not -device {"driver":"virtio-scsi-pci","id":"scsi0","num_queues":1}
video+vnc has not -device {"driver":"VGA","id":"video0"}'

# planned NAME LINE...: the plan of the template with these lines joins the others
planned() {
    local name=$1
    shift
    printf '%s\n' "NAME = \"$VM\" MEMORY = \"64\" ACCEL = \"tcg\"" "$@" >"$TEMPLATE"
    vml plan --format json "$TEMPLATE" >"$WORK/plan" 2>"$WORK/why" || fail "$name: $(<"$WORK/why")"
    printf '{"name":"%s","plan":%s}\n' "$name" "$(<"$WORK/plan")" >>"$WORK/plans"
}

test_what_one_vector_makes_is_there_beside_any_other() {
    need_root
    local a b names
    mkdir -m 777 "$ROOT/nine"
    chown 100000:100000 "$ROOT/nine"
    qemu-img create -q -f qcow2 "$ROOT/a.qcow2" 16M
    qemu-img create -q -f qcow2 "$ROOT/b.qcow2" 16M
    TEMPLATE=$ROOT/$VM.tmpl
    planned base
    mapfile -t names < <(printf '%s\n' "${!VECTORS[@]}" | sort)
    for ((a = 0; a < ${#names[@]}; a++)); do
        planned "${names[a]}" "${VECTORS[${names[a]}]}"
        for ((b = a + 1; b < ${#names[@]}; b++)); do
            planned "${names[a]}+${names[b]}" "${VECTORS[${names[a]}]}" "${VECTORS[${names[b]}]}"
        done
    done
    assert_eq "$(grep -c '^{"name":"[a-z_]*+' "$WORK/plans")" $((${#names[@]} * (${#names[@]} - 1) / 2)) "pairs"
    assert_eq "$(jq -nr "$COMPARE" "$WORK/plans" | sort)" "$EXPECTED" "what is lost"
}

run_tests "$@"
