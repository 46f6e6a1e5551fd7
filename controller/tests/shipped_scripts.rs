//! The scripts under share/ as the daemon renders them: whole texts, and nothing from nodes.conf that becomes a command.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod daemon;

use std::path::Path;

use daemon::World;

const CONF: &str = "ipaddr: 10.77.0.1\nnetmask: 255.255.0.0\nwarewulf: {port: @PORT@, secure: false}\n@PATHS@";

/// n1 is as nodes are; n2 has in every text what could break out of a script; n3 boots by dracut.
const NODES: &str = r##"nodes:
  n1:
    image name: oak
    kernel: {version: 6.1.0-13, args: [quiet, console=ttyS0]}
    network devices: {default: {hwaddr: 02:00:00:00:00:01}}
  "n2\nreboot || x":
    image name: "oak\nreboot ; x"
    kernel: {version: "6.1\nreboot", args: ["a=1\nreboot", "||", "b && reboot", "; reboot", "#c", "d='e'\" $(f) ${g}"]}
    root: "tmpfs\nreboot"
    cluster name: "blue\nreboot"
    tags: {IPXEMenuEntry: "dracut\nreboot", GrubMenuEntry: "dracut\nreboot"}
    network devices: {default: {hwaddr: 02:00:00:00:00:02}}
  n3:
    image name: oak
    root: ramfs
    tags: {IPXEMenuEntry: dracut, GrubMenuEntry: dracut}
    network devices: {default: {hwaddr: 02:00:00:00:00:03}}
"##;

fn site() -> World {
    let mut world = World::new();
    world.put("etc/warewulf/warewulf.conf", CONF);
    world.put("etc/warewulf/nodes.conf", NODES);
    for name in ["ipxe/default.ipxe", "ipxe/unconfigured.ipxe", "grub/grub.cfg.ww"] {
        let text = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../share").join(name)).unwrap();
        world.put_bytes(&format!("share/warewulf/{name}"), &text);
    }
    world.start();
    world
}

fn script(world: &mut World, path: &str) -> String {
    let reply = world.fetch(path);
    assert_eq!(reply.code, 200, "{path}: {}", reply.text());
    world.clear(&reply.text())
}

#[test]
fn a_node_gets_kernel_image_and_overlays_with_a_way_back_from_every_failure() {
    let mut world = site();
    let want = r#"#!ipxe

set base http://10.77.0.1:@PORT@
set wwid 02:00:00:00:00:01
set id 02-00-00-00-00-01
set who assetkey=${asset:uristring}&uuid=${uuid}
set again ${base}/ipxe/${id}?${who}

echo
echo Warewulf: node n1, image oak, kernel 6.1.0-13
echo Warewulf: from ${base} for ${wwid}
echo

imgfree
# A transfer that breaks off is begun again, three times in all; after that the whole script is, while a controller answers.
set tries:int32 0
set rounds:int32 0

:kernel
set failed the kernel
set back kernel
kernel --name kernel ${base}/kernel/${id}?${who} || goto broken

# A build with imgextract unpacks while it loads. Without the packed form, or without imgextract, the plain file serves.
:image
set failed the image
set back image
imgextract --name image ${base}/image/${id}?${who}&compress=gz || initrd --name image ${base}/image/${id}?${who}&compress=gz || initrd --name image ${base}/image/${id}?${who} || goto broken

:system
set failed the system overlay
set back system
imgextract --name system ${base}/system/${id}?${who}&compress=gz || initrd --name system ${base}/system/${id}?${who}&compress=gz || initrd --name system ${base}/system/${id}?${who} || goto broken

set failed the runtime overlay
imgextract --name runtime ${base}/runtime/${id}?${who}&compress=gz || initrd --name runtime ${base}/runtime/${id}?${who}&compress=gz || initrd --name runtime ${base}/runtime/${id}?${who} || echo Warewulf: goes on without the runtime overlay, the agent fetches it

# UEFI hands the kernel only what is named on its line, in this order; BIOS hands over all and ignores the names.
clear initrds ||
iseq ${platform} efi && set initrds initrd=image initrd=system initrd=runtime ||
set failed to start
boot kernel ${initrds} wwid=${wwid} quiet console=ttyS0 || goto failed

:broken
inc tries
iseq ${tries} 4 && goto failed ||
echo Warewulf: ${failed} did not arrive (the lines above say why), trying again in 2 s: ${tries} of 3
sleep 2
goto ${back}

:failed
echo
echo Warewulf: FAILED: ${failed} (the lines above say why)
echo Warewulf: node n1, address ${wwid}, controller ${base}
echo Warewulf: 400 no such kernel or image, 401 asset key ${asset} is wrong, 404 never built: see the controller's log
prompt --key s --timeout 20000 Warewulf: trying again in 20 s; press s for a shell && shell ||
chain --replace --autofree ${again} ||
inc rounds
iseq ${rounds} 5 || goto failed
echo Warewulf: no answer from the controller, restarting in 30 s
sleep 30
reboot
"#;
    assert_eq!(script(&mut world, "/ipxe/02-00-00-00-00-01"), want);
}

/// What an iPXE line does, command by command.
fn commands(script: &str) -> Vec<Vec<String>> {
    let mut commands = vec![];
    for line in script.lines() {
        let mut words = vec![];
        for word in line.split_whitespace() {
            if word.starts_with('#') {
                break;
            }
            if ["||", "&&", ";"].contains(&word) {
                commands.push(std::mem::take(&mut words));
            } else {
                words.push(word.to_string());
            }
        }
        commands.push(words);
    }
    commands.retain(|words| !words.is_empty());
    commands
}

#[test]
fn nothing_from_nodes_conf_becomes_a_command_of_ipxe() {
    let mut world = site();
    let plain = script(&mut world, "/ipxe/02-00-00-00-00-01");
    let nasty = script(&mut world, "/ipxe/02-00-00-00-00-02");
    let verbs = |script: &str| commands(script).into_iter().map(|words| words[0].clone()).collect::<Vec<_>>();
    assert_eq!(verbs(&nasty), verbs(&plain));
    let boot = |script: &str| commands(script).into_iter().find(|words| words[0] == "boot").unwrap().join(" ");
    assert_eq!(boot(&nasty), "boot kernel ${initrds} wwid=${wwid} a=1 reboot b reboot reboot d='e'\" $(f) ${g}");
    assert!(nasty.contains("echo Warewulf: node n2_reboot____x, image oak_reboot___x, kernel 6.1_reboot\n"), "{nasty}");
}

#[test]
fn an_unknown_address_is_told_so_and_cannot_write_the_script() {
    let mut world = site();
    let want = r#"#!ipxe

set wwid 02:00:00:00:00:ff
echo
echo Warewulf: no node has the address ${wwid}
echo Warewulf: asset tag ${asset}, serial ${serial}, ${manufacturer} ${product}
echo Warewulf: on the controller, add it to a node:
echo Warewulf:   wwctl node set NODE --hwaddr ${wwid}
echo Warewulf: or let it take the next free one:
echo Warewulf:   wwctl node set NODE --discoverable
echo

:wait
prompt --key s --timeout 60000 Warewulf: asking again in 60 s; press s for a shell && shell ||
chain --replace --autofree /ipxe/02-00-00-00-00-ff?assetkey=${asset:uristring}&uuid=${uuid} ||
echo Warewulf: no answer from the controller, restarting in 30 s
sleep 30
reboot
"#;
    assert_eq!(script(&mut world, "/ipxe/02-00-00-00-00-ff"), want);
    let nasty = script(&mut world, "/ipxe/a%0areboot%20||%20x");
    assert!(nasty.contains("\nset wwid a_reboot____x\n"), "{nasty}");
}

#[test]
fn dracut_is_told_where_everything_is() {
    let mut world = site();
    let text = script(&mut world, "/ipxe/02-00-00-00-00-03");
    let boot = commands(&text).into_iter().find(|words| words[0] == "boot").unwrap().join(" ");
    assert_eq!(
        boot,
        "boot kernel initrd=initramfs wwid=${wwid} root=wwinit:ramfs wwinit.server=${base} init=/warewulf/run-init"
    );
    assert!(!text.contains("/system/"));
}

#[test]
fn grub_cfg_quotes_what_comes_from_nodes_conf() {
    let mut world = site();
    let plain = script(&mut world, "/grub/02-00-00-00-00-01");
    assert!(
        plain.contains("  if linux \"${base}/kernel/${wwid}?${who}\" wwid=${wwid} 'quiet' 'console=ttyS0'; then\n")
    );
    let nasty = script(&mut world, "/grub/02-00-00-00-00-02");
    let line =
        r#"wwid=${wwid} 'a=1' 'reboot' '||' 'b' '&&' 'reboot' ';' 'reboot' '#c' 'd='\''e'\''"' '$(f)' '${g}'; then"#;
    assert!(nasty.contains(line), "{nasty}");
    assert_eq!(nasty.lines().count(), plain.lines().count(), "{nasty}");
    let dracut = script(&mut world, "/efiboot/grub.cfg?wwid=02:00:00:00:00:03");
    assert!(dracut.contains("root='wwinit:ramfs' wwinit.server='http://10.77.0.1:@PORT@'"), "{dracut}");
    assert!(dracut.contains("set default=dracut\n"));
}
