#!/bin/busybox sh
# First process of the virtual machine, from the initramfs that initramfs.ts makes: puts an overlay in memory over the file system of
# the machine outside, which is only read, and goes on there with the script that the kernel's command line names.
box=/bin/busybox
$box mount -t proc proc /proc
$box mount -t sysfs sysfs /sys
while read -r module; do $box insmod "/modules/$module"; done </modules/order
$box mount -t tmpfs -o size=75% memory /memory
$box mkdir /memory/upper /memory/work
if $box mount -t virtiofs outside /outside &&
  $box mount -t overlay -o lowerdir=/outside,upperdir=/memory/upper,workdir=/memory/work overlay /root; then
  $box mount --move /proc /root/proc
  $box mount --move /sys /root/sys
  $box mount -t devtmpfs devices /root/dev
  exec $box switch_root /root /bin/bash "$PODLINK_GUEST"
fi
$box poweroff -f
