#!/usr/bin/env bash
# Second part of the virtual machine's start, on the file system of the machine outside under an overlay: makes of it a node with
# nothing running, then runs the program that machine.ts wrote down, and switches the machine off. The kernel's command line sets
# PODLINK_GUEST, the path of this file, and PODLINK_KERNEL, the directory with the kernel's modules.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8
results=/run/podlink-results

mkdir -p /dev/pts /dev/shm /dev/net
mount -t devpts -o ptmxmode=0666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ln -s /proc/self/fd /dev/fd
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/lock "$results" "/lib/modules/$(uname -r)"
mount -t virtiofs results "$results"
mount --bind "$PODLINK_KERNEL/lib/modules/$(uname -r)" "/lib/modules/$(uname -r)"
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
[[ -e /dev/net/tun ]] || mknod /dev/net/tun c 10 200
hostname podlink-guest
ip link set lo up

mapfile -d '' argv <"$results/argv"
cd "${PODLINK_GUEST%/scripts/lib/kernels/*}" || exit
export PATH=$PWD/node_modules/.bin:$PATH
: >"$results/started"
# Not to the console itself: to a terminal programs write for eyes
"${argv[@]}" </dev/null 2>&1 | cat
echo "${PIPESTATUS[0]}" >"$results/status"
sync
echo o >/proc/sysrq-trigger
sleep infinity
