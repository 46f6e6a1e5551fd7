#!/bin/sh
# A user's first login makes the key with which that user reaches the nodes, whose home is the same.
# It never touches keys that are there.
_ww_id=$(id -u)
if [ "$_ww_id" = 0 ] || [ "$_ww_id" -ge 500 ]; then
    if [ -w "$HOME" ] && [ ! -e "$HOME/.ssh/cluster" ] && [ ! -e "$HOME/.ssh/authorized_keys" ]; then
        echo "Making an SSH key for the nodes of this cluster: $HOME/.ssh/cluster"
        (umask 077 && mkdir -p "$HOME/.ssh" && ssh-keygen -q -t ed25519 -f "$HOME/.ssh/cluster" -N '' -C "Warewulf cluster key" &&
            cat "$HOME/.ssh/cluster.pub" >>"$HOME/.ssh/authorized_keys" &&
            { [ -e "$HOME/.ssh/config" ] || printf 'Host *\n    IdentityFile ~/.ssh/cluster\n    StrictHostKeyChecking=accept-new\n' >"$HOME/.ssh/config"; })
    fi
fi
unset _ww_id
