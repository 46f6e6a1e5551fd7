#!/bin/sh
# The first half of a two-stage boot: runs /warewulf/wwinit.d of the root that is being filled, in the order of the
# names, from the initramfs. PREFIX is where that root is mounted (/sysroot with dracut). Scripts find PREFIX, the
# node's configuration, and the functions info and die.
PREFIX=${PREFIX-}
export PREFIX

command -v info >/dev/null 2>&1 || info() { echo "warewulf: $*"; }
command -v die >/dev/null 2>&1 || die() { echo "warewulf: $*" >&2; exit 1; }

if [ -r "$PREFIX/warewulf/config" ]; then
    set -a
    . "$PREFIX/warewulf/config"
    set +a
fi

for script in "$PREFIX"/warewulf/wwinit.d/*; do
    [ -f "$script" ] || continue
    info "running $script"
    # A subshell each: what one sets or leaves does not reach the next.
    ( . "$script" ) || info "$script ended with code $? and was passed over"
done
