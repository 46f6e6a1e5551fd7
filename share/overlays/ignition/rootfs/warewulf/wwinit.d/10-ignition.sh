#!/bin/sh
# Partitions and formats the disks by ignition, before the root is chosen: a root may lie on one of them.
config=${PREFIX:-}/warewulf/ignition.json
[ -s "$config" ] || exit 0
# The unit ww-ignition runs this again where wwinit.d did not: twice would wipe what was just made.
done=${PREFIX:-}/warewulf/.ignition-done
[ -e "$done" ] && exit 0
ignition=
for candidate in /usr/lib/dracut/modules.d/30ignition/ignition /usr/lib/ignition /usr/bin/ignition /usr/libexec/ignition; do
    if [ -x "$candidate" ]; then
        ignition=$candidate
        break
    fi
done
if [ -z "$ignition" ]; then
    echo "warewulf: the disks stay as they are: this image has no ignition" >&2
    exit 0
fi
command -v modprobe >/dev/null 2>&1 && for module in nvme sd_mod virtio_blk; do modprobe -q "$module"; done
command -v udevadm >/dev/null 2>&1 && udevadm settle --timeout=30
"$ignition" --platform=metal --stage=disks --config-cache="$config" --log-to-stdout && : >"$done"
