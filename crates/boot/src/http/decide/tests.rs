//! The table of who gets what.

use super::*;
use crate::http::target::{self, Target};
use model::NetDev;
use model::node::Truth;

fn node(id: &str, mac: &str) -> Node {
    let mut node = Node { id: id.into(), ..Node::default() };
    node.profile.image_name = "oak".into();
    node.profile.network_devices.insert("default".into(), NetDev { hwaddr: mac.into(), ..NetDev::default() });
    node
}

struct Site {
    conf: Conf,
    nodes: Vec<Arc<Node>>,
    directory: Directory,
}

/// c1 is plain, c2 has an asset key, c3 no image, c4 an image that leads out.
fn site() -> Site {
    let keyed = Node { asset_key: "K".into(), ..node("c2", "02:00:00:00:00:02") };
    let mut bare = node("c3", "02:00:00:00:00:03");
    bare.profile.image_name.clear();
    let mut out = node("c4", "02:00:00:00:00:04");
    out.profile.image_name = "../up".into();
    out.profile.ipxe_template = "../../secret".into();
    let mut site = Site { conf: Conf::default(), nodes: vec![], directory: Directory::default() };
    site.conf.warewulf.secure = false;
    site.conf.warewulf.secure_files = false;
    site.set(vec![node("c1", "02:00:00:00:00:01"), keyed, bare, out]);
    site
}

impl Site {
    fn set(&mut self, nodes: Vec<Node>) {
        self.directory = Directory::new(&nodes);
        self.nodes = nodes.into_iter().map(Arc::new).collect();
    }

    fn ask(&self, target: &str) -> Decision<'_> {
        self.ask_from(target, 40000)
    }

    fn ask_from(&self, target: &str, source_port: u16) -> Decision<'_> {
        let Ok(Target::Stage(ask)) = target::read(target) else { panic!("{target} is no stage") };
        let caller = Caller { wwid: ask.wwid.clone(), source_port, tls: false };
        stage(&ask, &caller, &self.conf, Some((&self.nodes, &self.directory)))
    }

    /// Code, mark in the book, and whose line.
    fn refuses(&self, target: &str) -> (u16, Option<&'static str>, &str) {
        refusal(self.ask(target))
    }
}

fn refusal(decision: Decision<'_>) -> (u16, Option<&'static str>, &str) {
    let Err(refusal) = decision.verdict else { panic!("{decision:?}") };
    (refusal.code(), refusal.mark(), decision.node.map_or("", |node| &node.id))
}

#[test]
fn a_known_node_gets_what_it_asks_for() {
    let site = site();
    let c1 = &site.nodes[0];
    for (path, answer) in [
        ("ipxe/02-00-00-00-00-01", Answer::Script { node: Some(c1), template: "default" }),
        ("grub/02:00:00:00:00:01", Answer::GrubConfig { node: c1 }),
        ("kernel/02:00:00:00:00:01", Answer::Kernel { node: c1 }),
        ("initramfs/02:00:00:00:00:01", Answer::Initramfs { node: c1 }),
        ("image/02:00:00:00:00:01?compress=gz", Answer::Image { name: "oak" }),
        ("system/02:00:00:00:00:01", Answer::Overlay { node: c1, kind: OverlayKind::System }),
        ("runtime/02:00:00:00:00:01", Answer::Overlay { node: c1, kind: OverlayKind::Runtime }),
        ("efiboot/shim.efi?wwid=02:00:00:00:00:01", Answer::Loader { image: "oak", loader: Loader::Shim }),
        ("efiboot/grub.cfg?wwid=02:00:00:00:00:01", Answer::GrubConfig { node: c1 }),
    ] {
        assert_eq!(site.ask(&format!("/{path}")), Decision { node: Some(c1), verdict: Ok(answer) }, "{path}");
    }
}

#[test]
fn unknown_mac_gets_the_unconfigured_script_and_nothing_else() {
    let site = site();
    assert_eq!(site.ask("/ipxe/02:00:00:00:00:ff"), Decision { node: None, verdict: Ok(UNCONFIGURED) });
    for path in ["kernel", "image", "initramfs", "system", "runtime"] {
        assert_eq!(site.refuses(&format!("/{path}/02:00:00:00:00:ff")), (400, Some("BAD_REQUEST"), ""), "{path}");
    }
    assert_eq!(site.refuses("/efiboot/grub.cfg?wwid=ff"), (400, Some("BAD_REQUEST"), ""));
    assert_eq!(site.refuses("/grub/02:00:00:00:00:ff"), (404, None, ""));
}

#[test]
fn a_wrong_asset_key_is_refused_and_shown() {
    let site = site();
    for path in ["ipxe", "kernel", "image", "initramfs", "system", "runtime", "grub"] {
        for query in ["", "?assetkey=", "?assetkey=k", "?assetkey=x&assetkey=K", "?assetkey=${asset}"] {
            let target = format!("/{path}/02:00:00:00:00:02{query}");
            assert_eq!(site.refuses(&target), (401, Some("BAD_ASSET"), "c2"), "{target}");
        }
        assert!(site.ask(&format!("/{path}/02:00:00:00:00:02?assetkey=K")).verdict.is_ok());
        assert!(site.ask(&format!("/{path}/02:00:00:00:00:01?assetkey=any")).verdict.is_ok());
    }
}

#[test]
fn the_order_is_tls_wwid_port_database_key() {
    let mut site = site();
    site.conf.warewulf.secure = true;
    site.conf.warewulf.tls = true;
    let ask = |site: &Site, path: &str, port, tls, database: bool| {
        let Ok(Target::Stage(ask)) = target::read(path) else { panic!("{path}") };
        let caller = Caller { wwid: ask.wwid.clone(), source_port: port, tls };
        let nodes = database.then_some((site.nodes.as_slice(), &site.directory));
        let decision = stage(&ask, &caller, &site.conf, nodes);
        decision.verdict.map(|_| ()).map_err(|refusal| refusal.code())
    };
    let bad = "/runtime/02:00:00:00:00:02?assetkey=x";
    assert_eq!(ask(&site, "/runtime/", 2000, false, false), Err(403));
    assert_eq!(ask(&site, "/runtime/", 2000, true, false), Err(400));
    assert_eq!(ask(&site, bad, 1024, true, false), Err(401));
    assert_eq!(ask(&site, bad, 1023, true, false), Err(503));
    assert_eq!(ask(&site, bad, 1023, true, true), Err(401));
    assert_eq!(ask(&site, "/runtime/02:00:00:00:00:02?assetkey=K", 1023, true, true), Ok(()));
    assert_eq!(ask(&site, "/system/02:00:00:00:00:02?assetkey=K", 2000, false, true), Ok(()));
}

#[test]
fn a_refusal_by_port_leaves_the_book_alone_whoever_asked() {
    let mut site = site();
    site.conf.warewulf.secure = true;
    for wwid in ["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:ff"] {
        assert_eq!(refusal(site.ask_from(&format!("/runtime/{wwid}"), 1024)), (401, None, ""));
    }
    assert!(site.ask_from("/runtime/02:00:00:00:00:01", 1023).verdict.is_ok());
    assert!(site.ask_from("/system/02:00:00:00:00:01", 1024).verdict.is_ok());
}

#[test]
fn a_node_without_an_image_gets_scripts_and_overlays_only() {
    let site = site();
    for path in ["kernel", "image", "initramfs"] {
        assert_eq!(site.refuses(&format!("/{path}/02:00:00:00:00:03")), (400, Some("BAD_REQUEST"), "c3"));
    }
    for path in ["ipxe", "grub", "system", "runtime"] {
        assert!(site.ask(&format!("/{path}/02:00:00:00:00:03")).verdict.is_ok(), "{path}");
    }
    assert_eq!(site.refuses("/efiboot/shim.efi?wwid=02:00:00:00:00:03"), (404, None, "c3"));
}

#[test]
fn a_name_that_leads_out_of_its_folder_is_refused() {
    let site = site();
    for path in ["image", "kernel", "ipxe"] {
        assert_eq!(site.refuses(&format!("/{path}/02:00:00:00:00:04")), (400, Some("BAD_REQUEST"), "c4"), "{path}");
    }
}

#[test]
fn an_unknown_compression_is_not_found_and_said_so() {
    let site = site();
    for path in ["image", "kernel", "runtime"] {
        for word in ["zst", "GZ", "gzip"] {
            if (path, word) == ("image", "zst") {
                continue;
            }
            let target = format!("/{path}/02:00:00:00:00:01?compress={word}");
            assert_eq!(site.refuses(&target), (404, Some("NOT_FOUND"), "c1"), "{target}");
        }
        assert!(site.ask(&format!("/{path}/02:00:00:00:00:01?compress=")).verdict.is_ok());
    }
    assert!(site.ask("/image/02:00:00:00:00:01?compress=zst").verdict.is_ok());
}

#[test]
fn a_script_has_no_compressed_form_and_nobody_notes_it() {
    let site = site();
    for target in ["/ipxe/02:00:00:00:00:01?compress=gz", "/grub/02:00:00:00:00:01?compress=zst"] {
        assert_eq!(site.refuses(target), (404, None, "c1"), "{target}");
    }
}

#[test]
fn only_the_script_request_of_an_address_claims_a_node() {
    let mut site = site();
    let found = Node { discoverable: Truth("true".into()), ..node("d1", "") };
    site.set(vec![found]);
    let d1 = &site.nodes[0];
    let claim = Decision { node: None, verdict: Ok(Answer::Claim { node: d1 }) };
    assert_eq!(site.ask("/ipxe/02:00:00:00:0d:01"), claim);
    assert_eq!(site.ask("/provision/02-00-00-00-0D-01"), claim);
    assert_eq!(site.ask("/ipxe/favicon.ico"), Decision { node: None, verdict: Ok(UNCONFIGURED) });
    assert_eq!(site.refuses("/kernel/02:00:00:00:0d:01"), (400, Some("BAD_REQUEST"), ""));
    assert_eq!(site.refuses("/ipxe/02:00:00:00:0d:01?compress=gz"), (404, None, ""));
}

#[test]
fn a_wrong_asset_key_claims_nothing() {
    let mut site = site();
    site.set(vec![Node { discoverable: Truth("true".into()), asset_key: "K".into(), ..node("d1", "") }]);
    assert_eq!(site.ask("/ipxe/02:00:00:00:0d:01?assetkey=no").verdict, Ok(UNCONFIGURED));
    assert!(matches!(site.ask("/ipxe/02:00:00:00:0d:01?assetkey=K").verdict, Ok(Answer::Claim { .. })));
}

#[test]
fn files_have_their_own_order_and_codes() {
    let mut site = site();
    let ask = |site: &Site, target: &str, port| {
        let Ok(Target::Files(ask)) = target::read(target) else { panic!("{target}") };
        let caller = Caller { wwid: ask.wwid.clone(), source_port: port, tls: false };
        let nodes = Some((site.nodes.as_slice(), &site.directory));
        files(&ask, &caller, &site.conf, nodes).map(|node| node.id.clone()).map_err(|refusal| refusal.code())
    };
    assert_eq!(ask(&site, "/files/a", 2000), Err(401));
    assert_eq!(ask(&site, "/files/a?wwid=02:00:00:00:00:ff", 2000), Err(401));
    assert_eq!(ask(&site, "/files/a?wwid=02:00:00:00:00:02", 2000), Err(401));
    assert_eq!(ask(&site, "/files/a?wwid=02:00:00:00:00:02&assetkey=x", 2000), Err(403));
    assert_eq!(ask(&site, "/files/a?wwid=02:00:00:00:00:02&assetkey=K", 2000), Ok("c2".into()));
    assert_eq!(ask(&site, "/files/a?wwid=02:00:00:00:00:01&render", 2000), Ok("c1".into()));
    assert_eq!(ask(&site, "/files/a?wwid=02:00:00:00:00:01&render=c1", 2000), Ok("c1".into()));
    assert_eq!(ask(&site, "/files/a?wwid=02:00:00:00:00:01&render=c2", 2000), Err(400));
    site.conf.warewulf.secure_files = true;
    assert_eq!(ask(&site, "/files/a?wwid=02:00:00:00:00:02&assetkey=x", 1024), Err(403));
    assert_eq!(ask(&site, "/files/a?wwid=02:00:00:00:00:ff", 1024), Err(401));
    assert_eq!(ask(&site, "/files/a?wwid=02:00:00:00:00:01", 1023), Ok("c1".into()));
}
