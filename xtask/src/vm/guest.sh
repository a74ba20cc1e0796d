# Runs the tests in a machine, as its first process, on the host's files with a layer in memory
# over them. What comes before and after this is written by xtask: the variables, and the tests.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Says how it went, and ends the machine.
finish() {
    printf '\n%s %s\n' "$marker" "$failed"
    sleep 0.2
    echo b >/proc/sysrq-trigger
}

need() {
    "$@" && return
    echo "the machine cannot be set up: $*"
    failed=1
    finish
    sleep 60
}

# Runs a test binary: its name, its path, and which of its tests.
run() {
    name=$1
    shift
    "$@" --color never || failed=$((failed + 1))
    echo "$name: $(cut -d. -f1 /proc/uptime) s after the start of the machine"
}

failed=0
need mount -t proc none /proc
need mount -t sysfs none /sys
need mount -t devtmpfs none /dev
need mkdir -p /dev/shm
need mount -t tmpfs none /dev/shm
need mount -t tmpfs none /run
need mount -t bpf none /sys/fs/bpf
# Whatever else is needed, the kernel asks for by itself, and finds here.
need mkdir -p /lib/modules
need ln -sfn "$modules" "/lib/modules/$(uname -r)"
need modprobe tun
need ip link set lo up
# The name of a gateway, by default.
echo flowlog-vm >/proc/sys/kernel/hostname
need cd "$tests"
# A test that needs it fails if the kernel has none.
export FLOWLOG_TEST_WIREGUARD=kernel
uname -srv
