#!/bin/busybox sh
# The first process of a machine: puts a layer in memory over the host's files, which it sees
# read-only, and goes on there with the tests. A step that fails ends it, which is a kernel panic.
set -e
export PATH=/bin
busybox mkdir -p /dev /host /layer /root
busybox mount -t devtmpfs none /dev
exec </dev/console >/dev/console 2>&1
for module in /modules/*.ko; do
    busybox insmod "$module"
done
busybox mount -t virtiofs -o ro host /host
busybox mount -t tmpfs none /layer
busybox mkdir /layer/upper /layer/work
busybox mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work none /root
busybox cp /guest.sh /root/flowlog-guest.sh
exec busybox switch_root /root /bin/sh /flowlog-guest.sh
