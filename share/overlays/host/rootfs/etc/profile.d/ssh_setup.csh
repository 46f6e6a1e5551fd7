#!/bin/csh
# The same as ssh_setup.sh, for shells of the C family.
if (-x /bin/sh && -r /etc/profile.d/ssh_setup.sh) /bin/sh /etc/profile.d/ssh_setup.sh
