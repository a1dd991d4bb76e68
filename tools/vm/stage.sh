# Second stage of the guest, in the host's files: what a booted machine has, then the command, then the end.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /run/lock /run/netns /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs shm /dev/shm
for link in fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
    ln -sfn "/proc/self/${link#*:}" "/dev/${link%:*}"
done
modprobe tun # what udev would find by the device's static node
mount -t bpf -o mode=700 bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tracefs tracefs /sys/kernel/tracing
hostname guest
ip link set lo up
for port in /sys/class/virtio-ports/*; do
    case $(cat "$port/name") in
    netloom.stdout) stdout=/dev/${port##*/} ;;
    netloom.stderr) stderr=/dev/${port##*/} ;;
    netloom.status) exec 3>"/dev/${port##*/}" ;;
    esac
done
echo started >&3
# 3 is closed for the command: what it leaves running must not speak here.
setsid sh /run/command.sh <>/dev/null >"$stdout" 2>"$stderr" 3>&-
echo "$?" >&3
exec 3>&-
echo b >/proc/sysrq-trigger
sleep 60
