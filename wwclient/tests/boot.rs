//! PID 1 for real: this program as process 1 of a process and mount namespace whose root is a small tree in memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Builds the tree, makes it the root, and hands over. `$1` is an empty folder, `$2` the program; standard input is
/// the configuration, then a line `---`, then commands that change the tree.
const HARNESS: &str = r#"
set -eu
root=$1; program=$2
mount -t tmpfs -o mode=755 tree "$root"
cd "$root"
mkdir -p bin sbin etc usr/lib warewulf/init.d warewulf/wwinit.d tmp old lib64 proc
cp "$program" warewulf/wwclient
for tool in sh cat ls stat umount; do
    cp -L "$(command -v $tool)" bin/
done
for tool in bin/* warewulf/wwclient; do
    ldd $tool | while read -r name arrow path rest; do
        case $name in /*) path=$name ;; esac
        case $path in /*) mkdir -p ".${path%/*}"; cp -Ln "$path" ".$path" ;; esac
    done
done
cp -r bin/cat usr/lib/kept; ln usr/lib/kept usr/lib/kept-too
sh -eu -c "$CHANGES"
printf '%s' "$CONFIG" > warewulf/config
mount -t proc proc proc
exec 8<.
pivot_root . old
export PATH=/bin HOME=/
hash -r
umount -l /old
umount /proc
exec /warewulf/wwclient 3 <&9
"#;

/// What was said on the console.
fn boot(config: &str, changes: &str, keys: &str) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "CI runs as root");
        eprintln!("skipped: namespaces need root");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let typed = folder.path().join("keys");
    fs::write(&typed, keys).unwrap();
    fs::create_dir(folder.path().join("root")).unwrap();
    let script = format!("exec 9<{}\n{HARNESS}", typed.display());
    let out = Command::new("timeout")
        .args(["60", "unshare", "--mount", "--pid", "--fork", "--net", "--propagation", "private", "--kill-child"])
        .args(["sh", "-c", &script, "harness"])
        .arg(folder.path().join("root"))
        .arg(env!("CARGO_BIN_EXE_wwclient"))
        .envs([("CONFIG", config), ("CHANGES", changes), ("WWCLIENT_PATIENCE", "1")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(Path::new("/proc/self").exists());
    eprintln!("{text}");
    Some(text)
}

/// An init that tells where it woke up.
const INIT: &str = r#"
cat > sbin/init <<'END'
#!/bin/sh
echo "init $0 $* as $$"
echo "root $(stat -f -c %T /) $(stat -c %a /)"
echo "links $(stat -c %h /usr/lib/kept-too)"
echo "mounts $(while read -r d m t o; do echo -n "$m:$t "; done </proc/self/mounts)"
echo "loopback $(cat /sys/class/net/lo/flags)"
echo "left $(ls -A /proc/self/fd/8/)"
echo "leak ${WWIPMI_PASSWORD-none}"
END
chmod 755 sbin/init
"#;

#[test]
fn tmpfs_becomes_the_root_and_init_finds_everything_mounted() {
    let config = "WWROOT=tmpfs\nWWINIT='/sbin/init --flag'\nWWIPMI_PASSWORD='it'\\''s'\n";
    let scripts = r#"
        printf '#!/bin/sh\necho "early $WWIPMI_PASSWORD $WWINITNAME"\n' >warewulf/wwinit.d/10-early; chmod 755 warewulf/wwinit.d/10-early
        printf 'echo "late $(stat -f -c %%T /)"; exit 7\n' >warewulf/init.d/20-late
    "#;
    let Some(text) = boot(config, &format!("{INIT}{scripts}"), "") else { return };
    for want in [
        "wwclient: boot 2/7 mount /newroot (tmpfs)\n",
        "early it's init\n",
        "late tmpfs\n",
        "wwclient: boot 6/7 failed and was passed over: /warewulf/init.d/20-late: ended with code 7\n",
        "wwclient: boot 7/7 exec /sbin/init --flag 3\nwwclient: /sbin/init takes over at ",
        "init /sbin/init --flag 3 as 1\n",
        "root tmpfs 755\n",
        "links 2\n",
        "loopback 0x9\n",
        "left \n",
        "leak none\n",
    ] {
        assert!(text.contains(want), "missing {want:?} in\n{text}");
    }
    let mounts = text.lines().find_map(|line| line.strip_prefix("mounts ")).unwrap();
    for want in ["/:tmpfs", "/proc:proc", "/sys:sysfs", "/dev:", "/run:tmpfs"] {
        assert!(mounts.contains(want), "{want} in {mounts}");
    }
    assert!(!mounts.contains("/newroot"), "{mounts}");
}

#[test]
fn without_a_root_the_first_init_that_can_be_run_is_run_where_it_lies() {
    let Some(text) = boot("WWINIT=/no/such\n", &format!("{INIT}\nmv sbin/init bin/init"), "") else { return };
    assert!(text.contains("init /bin/init 3 as 1\n"), "{text}");
    assert!(!text.contains("/newroot (tmpfs)"), "{text}");
}

#[test]
fn no_init_ends_in_a_message_and_a_reboot() {
    let Some(text) = boot("", "", "") else { return };
    let last: Vec<_> = text.lines().rev().take(3).collect();
    assert_eq!(
        last,
        [
            "wwclient: rebooting",
            "wwclient: press a key within 1 s for a shell, else this node reboots",
            "wwclient: the boot stopped: exec /sbin/init 3: no init can be run (/sbin/init: not there, or not executable; /etc/init: not there, or not executable; /bin/init: not there, or not executable)",
        ]
    );
}

#[test]
fn a_disk_that_is_not_there_is_named_and_a_key_gives_a_shell() {
    // A folder that is no device: the mount fails at once.
    let Some(text) = boot("WWROOT=/tmp\n", INIT, "x\necho typed $((6*7))\n") else { return };
    assert!(text.contains("wwclient: the boot stopped: mount /newroot (/tmp): /tmp cannot be mounted ("), "{text}");
    assert!(text.contains("/bin/sh: leave it to reboot"), "{text}");
    assert!(!text.contains("init /sbin/init"), "{text}");
}

#[test]
fn ramfs_becomes_the_root() {
    let Some(text) = boot("WWROOT=ramfs\n", INIT, "") else { return };
    assert!(text.contains("root ramfs 755\n"), "{text}");
    assert!(text.contains("init /sbin/init 3 as 1\n"), "{text}");
}
