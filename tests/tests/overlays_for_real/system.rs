//! Shells, sshd, chrony, the account tools, and what the overlay `host` makes for the controller's own services.

use crate::site::{List, site};

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn dash_bash_and_busybox_parse_every_script() {
    let Some(site) = site() else { return };
    let parse = "cd /; for file in $(cat /tmp/scripts); do
            for shell in dash bash 'busybox sh'; do $shell -n $file || { echo \"$shell: $file\"; exit 1; }; done
        done";
    for node in ["plain", "disks", "stores", "resources", "six"] {
        let given = site.given(node, List::System);
        let mut scripts = String::new();
        find(&given.at("/"), &given.at("/"), &mut scripts);
        assert!(scripts.contains("warewulf/init.d/50-ipmi\n"), "{scripts}");
        std::fs::create_dir_all(given.at("/tmp")).unwrap();
        std::fs::write(given.at("/tmp/scripts"), scripts).unwrap();
        assert_eq!(given.run(parse).unwrap(), "", "node {node}");
    }
}

/// The scripts for sh in a folder, a line each.
fn find(root: &std::path::Path, folder: &std::path::Path, found: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            find(root, &path, found);
        } else if std::fs::read(&path).unwrap().starts_with(b"#!/bin/sh\n") {
            found.push_str(&format!("{}\n", path.strip_prefix(root).unwrap().display()));
        }
    }
}

#[test]
fn a_shell_and_init_read_the_same_configuration() {
    let Some(site) = site() else { return };
    let said =
        site.on("plain", ". /warewulf/config; echo \"$WWIMAGE $WWHOSTNAME $WWIPMI_PASSWORD $WWIPMI_VLAN $WWIPADDR\"");
    assert_eq!(said, "oak plain it's secret 7 10.10.0.1\n");
    assert_eq!(
        site.on("stores", "cat /warewulf/mounts"),
        "/dev/disk/by-partlabel/efi vfat /boot/efi\n/dev/disk/by-partlabel/fast xfs /fast\n/dev/disk/by-partlabel/wide btrfs /srv/wide store\n"
    );
}

#[test]
fn sshd_takes_the_host_keys_with_their_modes() {
    let Some(site) = site() else { return };
    let said = site.on(
        "plain",
        "mkdir -p /run/sshd; cd /etc/ssh
        for kind in rsa ecdsa ed25519; do
            sshd -t -f /dev/null -h /etc/ssh/ssh_host_${kind}_key || exit
            [ \"$(ssh-keygen -y -f ssh_host_${kind}_key | cut -d' ' -f1-2)\" = \"$(cut -d' ' -f1-2 ssh_host_${kind}_key.pub)\" ] || echo $kind
        done
        stat -c '%a %U %n' ssh_host_*",
    );
    assert_eq!(
        lines(&said),
        [
            "600 root ssh_host_ecdsa_key",
            "644 root ssh_host_ecdsa_key.pub",
            "600 root ssh_host_ed25519_key",
            "644 root ssh_host_ed25519_key.pub",
            "600 root ssh_host_rsa_key",
            "644 root ssh_host_rsa_key.pub",
        ]
    );
    // The controller has no dsa key: the node has no empty one.
}

#[test]
fn chrony_reads_its_servers() {
    let Some(site) = site() else { return };
    let said = site.on("plain", "chronyd -p -f /etc/chrony.conf");
    for line in ["server 10.20.0.5 iburst", "server 10.20.0.6 iburst", "allow 10.10.0.0/24"] {
        assert!(said.lines().any(|got| got == line), "no {line} in:\n{said}");
    }
}

#[test]
fn the_account_tools_find_nothing_wrong_with_synced_users() {
    let Some(site) = site() else { return };
    // Homes, and the shadows of accounts that come from elsewhere, are not the overlay's.
    let said = site
        .given("plain", List::Runtime)
        .run(
            "pwck -q -r 2>&1 | grep -v 'directory\\|pwck: no changes\\|no matching password file entry\\|/etc/shadow'
            grpck -r 2>&1 | grep -v 'gshadow\\|grpck: no changes'
            head -n 1 /etc/passwd; getent passwd ada; getent group ada; id -u daemon; sort -t: -k1,1 /etc/passwd | cut -d: -f1 | uniq -d",
        )
        .unwrap();
    assert_eq!(
        lines(&said),
        ["root::0:0:root:/root:/bin/bash", "ada:x:2001:2001:Ada:/home/ada:/bin/zsh", "ada:x:2001:ada,root", "1"]
    );
}

#[test]
fn dhcpd_dnsmasq_grub_and_csh_read_what_the_controller_gives_them() {
    let Some(site) = site() else { return };
    let given = site.given("bare", List::System);
    let shown = |path: &str| site.world.wwctl(&["overlay", "show", "-q", "-r", "plain", "host", path]).unwrap();
    for (path, template) in [
        ("/tmp/dhcpd.conf", "/etc/dhcp/dhcpd.conf.ww"),
        ("/tmp/hosts.conf", "/etc/dnsmasq.d/ww4-hosts.conf.ww"),
        ("/tmp/listen.conf", "/etc/dnsmasq.d/ww4-listen.conf.ww"),
        ("/tmp/grub.cfg", "/grub.cfg.ww"),
    ] {
        std::fs::create_dir_all(given.at("/tmp")).unwrap();
        std::fs::write(given.at(path), shown(template)).unwrap();
    }
    let shell = site.world.wwctl(&["overlay", "show", "host", "/etc/profile.d/ssh_setup.csh"]).unwrap();
    std::fs::write(given.at("/tmp/ssh_setup.csh"), shell).unwrap();
    let said = given
        .run(
            "set -e
            dhcpd -t -q -cf /tmp/dhcpd.conf
            dnsmasq --test -C /tmp/hosts.conf
            dnsmasq --test -C /tmp/listen.conf
            grub-script-check /tmp/grub.cfg
            bsd-csh -n /tmp/ssh_setup.csh
            grep -c fixed-address /tmp/dhcpd.conf || true",
        )
        .unwrap();
    assert_eq!(lines(&said), ["dnsmasq: syntax check OK.", "dnsmasq: syntax check OK.", "0"]);
}

#[test]
fn dhcpd_and_dnsmasq_give_every_kind_of_client_what_it_boots() {
    let Some(site) = site() else { return };
    let given = site.given("bare", List::System);
    let shown = |path: &str| site.world.wwctl(&["overlay", "show", "-q", "-r", "plain", "host", path]).unwrap();
    std::fs::create_dir_all(given.at("/tmp")).unwrap();
    std::fs::write(given.at("/tmp/dhcpd.conf"), shown("/etc/dhcp/dhcpd.conf.ww")).unwrap();
    std::fs::write(given.at("/tmp/dnsmasq.conf"), shown("/etc/dnsmasq.d/ww4-hosts.conf.ww")).unwrap();
    std::fs::write(given.at("/tmp/ask"), include_str!("ask_dhcp.py")).unwrap();
    let said = given
        .run(
            "ip link set lo up
            ip link add server type veth peer name client
            ip addr add 10.10.0.1/24 dev server
            ip link set server up
            ip link set client up
            touch /tmp/leases
            # As root: the users of the packages are not there.
            dhcpd -4 -f -d -cf /tmp/dhcpd.conf -lf /tmp/leases -pf /tmp/pid --no-pid server >/tmp/log 2>&1 &
            daemon=$!
            until grep -q 'Sending on' /tmp/log; do sleep 0.1; kill -0 $daemon || { cat /tmp/log; exit 1; }; done
            python3 /tmp/ask client || { cat /tmp/log; exit 1; }
            kill $daemon
            { wait $daemon; } 2>/dev/null
            # Its own files by TFTP are not asked for here.
            grep -v tftp /tmp/dnsmasq.conf >/tmp/dnsmasq
            dnsmasq -C /tmp/dnsmasq --no-daemon --port=0 --no-ping --user=root --group=root --pid-file= \
                --dhcp-leasefile=/tmp/more-leases >/tmp/log 2>&1 &
            daemon=$!
            until grep -q 'DHCP, IP range' /tmp/log; do sleep 0.1; kill -0 $daemon || { cat /tmp/log; exit 1; }; done
            python3 /tmp/ask client || { cat /tmp/log; exit 1; }
            kill $daemon",
        )
        .unwrap();
    let expected = [
        "bios /warewulf/undionly.kpxe",
        "uefi /warewulf/ipxe-snponly-x86_64.efi",
        "arm /warewulf/snponly.efi",
        "http http://10.10.0.1:9873/efiboot/shim.efi HTTPClient",
        "ipxe http://10.10.0.1:9873/ipxe/${mac:hexhyp}?assetkey=${asset}&uuid=${uuid} b00101",
    ];
    assert_eq!(lines(&said), [expected, expected].concat());
}

#[test]
fn a_bmc_is_written_what_differs_and_its_password_is_no_argument() {
    let Some(site) = site() else { return };
    let said = site.on(
        "plain",
        "cat >/usr/bin/ipmitool <<'END'
#!/bin/sh
case \"$*\" in
'lan print 1') cat /tmp/lan; exit ;;
'user set password 2') read -r first && read -r again && [ \"$first\" = \"$again\" ] && set -- \"$*\" \"($first)\" ;;
esac
echo \"$*\" >>/tmp/asked
END
        chmod 755 /usr/bin/ipmitool
        [ -e /dev/ipmi0 ] || : >/dev/ipmi0
        cat >/tmp/lan <<'END'
IP Address Source       : DHCP Address
IP Address              : 10.21.1.9
Subnet Mask             : 255.255.255.0
Default Gateway IP      : 10.21.0.1
802.1q VLAN ID          : Disabled
END
        sh /warewulf/init.d/50-ipmi || exit
        grep '^lan' /tmp/asked
        echo again:
        : >/tmp/asked
        cat >/tmp/lan <<'END'
IP Address Source       : Static Address
IP Address              : 10.21.1.1
Subnet Mask             : 255.255.255.0
Default Gateway IP      : 10.21.0.254
802.1q VLAN ID          : 7
END
        sh /warewulf/init.d/50-ipmi || exit
        cat /tmp/asked",
    );
    assert_eq!(
        lines(&said),
        [
            "lan set 1 vlan id 7",
            "lan set 1 ipsrc static",
            "lan set 1 ipaddr 10.21.1.1",
            "lan set 1 access on",
            "lan set 1 defgw ipaddr 10.21.0.254",
            "again:",
            "user set name 2 boss",
            "user set password 2 (it's secret)",
            "user priv 2 4 1",
            "user enable 2",
            "channel setaccess 1 2 link=on ipmi=on callin=on privilege=4",
            "sol set force-encryption true 1",
            "sol set force-authentication true 1",
            "sol set privilege-level admin 1",
            "sol payload enable 1 2",
            "sol set volatile-bit-rate 115.2 1",
            "sol set non-volatile-bit-rate 115.2 1",
            "sol set enabled true 1",
        ]
    );
}
