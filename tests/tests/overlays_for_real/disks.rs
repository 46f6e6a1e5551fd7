//! sfdisk, the makers of file systems, ignition, mount and systemd read their files. Disks are sparse files here, so the
//! scripts' question whether a device is a block device is asked of a file instead; nothing else in them is changed.

use crate::site::{List, site};

/// Disks and partitions, all of them empty.
const DISKS: &str = "
mkdir -p /dev/disk/by-partlabel
truncate -s 8G /dev/vda /dev/vdb
cd /dev/disk/by-partlabel
truncate -s 400M fast wide efi scratch swap /dev/vda1 /dev/vda2 /dev/vdc
run() {
    for script in /warewulf/wwinit.d/$1; do
        sed 's/\\[ ! -b /[ ! -f /' $script >/tmp/script
        sh /tmp/script >/tmp/said 2>&1 || { cat /tmp/said; exit 1; }
    done
}
kind() { blkid -p -o export $1 | grep '^\\(TYPE\\|LABEL\\|LABEL_FATBOOT\\|UUID\\)='; }
table() { sfdisk -d $1 | sed -n 's/ *= */=/g; /^label:/p; /^\\/dev/p' | tr -d ' '; }
";

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn sfdisk_makes_the_partitions_that_nodes_conf_names() {
    let Some(site) = site() else { return };
    let said =
        site.on("stores", &format!("{DISKS} run 10-sfdisk.sh; table /dev/vda | sed '/vda2/s/uuid=[^,]*/uuid=U/'"));
    assert_eq!(
        lines(&said),
        [
            "label:gpt",
            "/dev/vda1:start=2048,size=819200,type=0FC63DAF-8483-4772-8E79-3D69D8477DE4,\
             uuid=9A1B2C3D-0001-4000-8000-00000000000A,name=\"fast\"",
            "/dev/vda2:start=821248,size=15953920,type=0FC63DAF-8483-4772-8E79-3D69D8477DE4,uuid=U,name=\"wide\"",
        ]
    );
    // The resource `sfdisk` has sfdisk's own words.
    let said = site.on("resources", &format!("{DISKS} run 10-sfdisk.sh; table /dev/vda | sed 's/uuid=[^,]*/uuid=U/'"));
    assert_eq!(
        lines(&said),
        [
            "label:gpt",
            "/dev/vda1:start=2048,size=819200,type=0FC63DAF-8483-4772-8E79-3D69D8477DE4,uuid=U,name=\"fast\"",
            "/dev/vda2:start=821248,size=15953920,type=0FC63DAF-8483-4772-8E79-3D69D8477DE4,uuid=U,name=\"widestore\"",
        ]
    );
}

#[test]
fn a_table_to_be_wiped_is_made_anew_whatever_stood_there() {
    let Some(site) = site() else { return };
    let said = site.on(
        "disks",
        &format!(
            "{DISKS} printf 'label: dos\\n,100M\\n' | sfdisk -q /dev/vda
            run 10-sfdisk.sh; table /dev/vda | sed 's/uuid=[^,]*/uuid=U/'"
        ),
    );
    assert_eq!(
        lines(&said),
        [
            "label:gpt",
            "/dev/vda1:start=2048,size=2097152,type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F,uuid=U,name=\"swap\"",
            "/dev/vda2:start=2099200,size=8388608,type=0FC63DAF-8483-4772-8E79-3D69D8477DE4,uuid=U,name=\"scratch\"",
        ]
    );
}

#[test]
fn every_maker_of_file_systems_takes_label_uuid_and_options() {
    let Some(site) = site() else { return };
    let said = site.on(
        "stores",
        &format!("{DISKS} run 20-mkfs.sh; run 20-mkswap.sh; for x in fast wide efi /dev/vdc; do kind $x; done"),
    );
    assert_eq!(
        lines(&said),
        [
            "LABEL=fast",
            "UUID=9a1b2c3d-0000-4000-8000-000000000001",
            "TYPE=xfs",
            "LABEL=wide",
            "UUID=9a1b2c3d-0000-4000-8000-000000000002",
            "TYPE=btrfs",
            "LABEL_FATBOOT=EFI",
            "LABEL=EFI",
            "UUID=1A2B-3C4D",
            "TYPE=vfat",
            "LABEL=pages",
            "UUID=9a1b2c3d-0000-4000-8000-000000000003",
            "TYPE=swap",
        ]
    );
    let said = site.on("stores", &format!("{DISKS} run 20-mkfs.sh; xfs_db -r -c 'sb 0' -c 'p inodesize' fast"));
    assert_eq!(said, "inodesize = 1024\n", "the option of nodes.conf");
    let said = site.on(
        "resources",
        &format!("{DISKS} run 20-mkfs.sh; run 20-mkswap.sh; kind /dev/vda1; kind /dev/vda2 | grep -v UUID; kind /dev/vdb | grep -v UUID"),
    );
    assert_eq!(
        lines(&said),
        [
            "UUID=9a1b2c3d-0000-4000-8000-000000000004",
            "TYPE=xfs",
            "LABEL=wide",
            "TYPE=ext4",
            "LABEL=pages",
            "TYPE=swap"
        ]
    );
}

#[test]
fn what_is_formatted_stays_unless_it_is_to_be_wiped() {
    let Some(site) = site() else { return };
    let twice = format!(
        "{DISKS} mkfs.ext4 -q scratch; mkfs.ext4 -q -L mine wide; before=$(blkid -p -o value -s UUID scratch)
        run 20-mkfs.sh; [ $before = $(blkid -p -o value -s UUID scratch) ] && echo kept || echo made anew"
    );
    assert_eq!(site.on("disks", &twice), "made anew\n");
    let kept = format!("{DISKS} mkfs.ext4 -q -L mine wide; run 20-mkfs.sh; kind wide | grep -v UUID");
    assert_eq!(lines(&site.on("stores", &kept)), ["LABEL=mine", "TYPE=ext4"]);
}

#[test]
fn ignition_accepts_its_document() {
    let Some(site) = site() else { return };
    for node in ["disks", "stores", "resources"] {
        assert_eq!(site.on(node, "ignition-validate /warewulf/ignition.json"), "", "node {node}");
    }
}

#[test]
fn mount_and_systemd_read_fstab() {
    let Some(site) = site() else { return };
    for node in ["plain", "disks", "stores", "resources"] {
        // What it says of sources and kernels is of this machine; that the words could be read is of the file.
        let said = site.on(node, "findmnt --verify --tab-file /etc/fstab 2>&1 | grep 'parse error'");
        assert!(said.starts_with("0 parse errors"), "node {node}: {said}");
    }
    let said = site.on("stores", "findmnt --tab-file /etc/fstab -n -r -o TARGET,SOURCE,FSTYPE,OPTIONS | tail -n 6");
    assert_eq!(
        lines(&said),
        [
            "/boot/efi /dev/disk/by-partlabel/efi vfat noauto,defaults",
            "/fast /dev/disk/by-partlabel/fast xfs noauto,defaults",
            "/srv/wide\\x20store /dev/disk/by-partlabel/wide btrfs noauto,defaults",
            "none /dev/vdc swap noauto,defaults",
            "/home warewulf:/home nfs defaults,nofail",
            "/opt warewulf:/opt nfs defaults",
        ]
    );
    let said = site.on(
        "plain",
        "mkdir /tmp/1 /tmp/2 /tmp/3; /lib/systemd/system-generators/systemd-fstab-generator /tmp/1 /tmp/2 /tmp/3 2>/dev/null
        grep -h '^\\(What\\|Where\\|Type\\|Options\\)=' /tmp/1/home.mount; ls /tmp/1/remote-fs.target.*",
    );
    assert_eq!(
        lines(&said).join(" "),
        "What=warewulf:/home Where=/home Type=nfs Options=defaults,nofail /tmp/1/remote-fs.target.requires: opt.mount \
         /tmp/1/remote-fs.target.wants: home.mount"
    );
}

/// Every unit that a node is given, as systemd judges it. What a program is missing here for is not the unit's fault.
const VERIFY: &str = "
cd /etc/systemd/system
for unit in $UNITS; do
    echo $unit
    systemd-analyze verify --man=no --recursive-errors=no ./$unit 2>&1 | grep -v 'is not executable: No such file'
done";

#[test]
fn systemd_accepts_every_unit() {
    let Some(site) = site() else { return };
    let judged = |node: &str, list: List| {
        let given = site.given(node, list);
        let mut units: Vec<String> = std::fs::read_dir(given.at("/etc/systemd/system"))
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_file())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        units.sort();
        let names: Vec<String> = units.iter().map(|unit| format!("'{unit}'")).collect();
        let script = VERIFY.replace("$UNITS", &names.join(" "));
        (units.join("\n") + "\n", given.run(&format!("{script}; true")).unwrap())
    };
    for (node, list) in [
        ("disks", List::System),
        ("disks", List::Runtime),
        ("stores", List::System),
        ("stores", List::Runtime),
        ("resources", List::System),
    ] {
        let (units, said) = judged(node, list);
        assert_eq!(said, units, "node {node}, {list:?}");
    }
    let (units, _) = judged("stores", List::System);
    assert_eq!(
        units,
        "boot-efi.mount\ndev-vdc.swap\nfast.mount\nsrv-wide\\x20store.mount\nww-ignition-disks.target\n\
         ww-ignition.service\nww-nvidia-mig.service\nwwclient.service\n"
    );
}

#[test]
fn units_of_file_systems_and_swap_areas_are_wanted_by_local_fs_target() {
    let Some(site) = site() else { return };
    let said = site
        .given("stores", List::Runtime)
        .run(
            "cd /etc/systemd/system; for link in *.target.wants/*.mount *.target.wants/*.swap; do
                [ -e \"$link\" ] && echo \"$link\"
            done",
        )
        .unwrap();
    assert_eq!(
        lines(&said),
        [
            "local-fs.target.wants/boot-efi.mount",
            "local-fs.target.wants/fast.mount",
            "local-fs.target.wants/srv-wide\\x20store.mount",
            "local-fs.target.wants/dev-vdc.swap",
        ]
    );
}
