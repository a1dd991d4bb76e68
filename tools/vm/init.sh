#!/bin/sh
# First process of the guest: finds the host's files, lays a scratch file system over them, and runs stage.sh there.
# Word of the kernel's command line: netloom.modules=<directory of this kernel's modules on the host>
set -u
box=/bin/busybox

give_up() {
    echo "guest: $*" >/dev/console
    $box sync
    echo b >/proc/sysrq-trigger
    $box sleep 10
}

$box mount -t proc proc /proc
$box mount -t sysfs sysfs /sys
$box mount -t devtmpfs devtmpfs /dev
for module in /modules/*.ko; do
    $box insmod "$module" || give_up "module $module cannot be loaded"
done
modules=
for word in $($box cat /proc/cmdline); do
    case $word in
    netloom.modules=*) modules=${word#*=} ;;
    esac
done

$box mount -t virtiofs host /host || give_up "the host's files cannot be mounted"
$box mount -t tmpfs -o mode=755 scratch /scratch
$box mkdir /scratch/upper /scratch/work
$box mount -t overlay -o lowerdir=/host,upperdir=/scratch/upper,workdir=/scratch/work overlay /root ||
    give_up "no overlay over the host's files"
version=$($box uname -r)
$box mkdir -p "/root/lib/modules/$version"
$box mount --bind "/host$modules" "/root/lib/modules/$version" || give_up "no modules in $modules"
for name in proc sys dev; do
    $box mkdir -p "/root/$name"
    $box mount --move "/$name" "/root/$name"
done
$box mkdir -p /root/run
$box mount -t tmpfs -o mode=755 run /root/run
$box cp /stage.sh /command.sh /root/run/
exec $box switch_root /root /bin/sh /run/stage.sh
