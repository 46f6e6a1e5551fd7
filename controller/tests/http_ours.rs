//! HTTP where we differ from stock on purpose, and what stock has no word for. Each `stock_bug` of the recorded cases has
//! its test here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod daemon;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use daemon::{Reply, Way, World, read_reply, request};
use nix::sys::signal::Signal;

const CONF: &str = "ipaddr: 10.77.0.1\nnetmask: 255.255.0.0\nwarewulf:\n  port: @PORT@\n  secure: false\n@PATHS@";

const NODES: &str = "nodes:
  c001: {image name: oak, ipxe template: plain, network devices: {default: {hwaddr: 02:00:00:00:00:01}}}
  c002: {image name: oak, asset key: K, network devices: {default: {hwaddr: 02-00-00-00-00-02}}}
  c003: {image name: ../up, network devices: {default: {hwaddr: 02:00:00:00:00:03}}}
  c004: {image name: oak, kernel: {version: /boot/out}, network devices: {default: {hwaddr: 02:00:00:00:00:04}}}
";

const IMAGE: &str = "/image/02:00:00:00:00:01";

fn site() -> World {
    let world = World::new();
    world.put("etc/warewulf/warewulf.conf", CONF);
    world.put("etc/warewulf/nodes.conf", NODES);
    world.put("etc/warewulf/ipxe/plain.ipxe", "#!ipxe\necho {{ .Id }}\n");
    world.put("etc/warewulf/ipxe/unconfigured.ipxe", "#!ipxe\necho nobody knows {{ .Hwaddr }}\n");
    world.put("var/provision/images/oak.img", &"0123456789abcdef".repeat(4096));
    world.put("var/provision/up.img", "above\n");
    world.put("var/chroots/oak/rootfs/boot/kernel", "kernel\n");
    world.put("var/outside", "outside\n");
    std::os::unix::fs::symlink(world.path("var/outside"), world.path("var/chroots/oak/rootfs/boot/out")).unwrap();
    std::os::unix::fs::symlink(world.path("var/outside"), world.path("var/files/out")).unwrap();
    world.put("var/files/index.html", "<p>index</p>\n");
    world
}

fn running() -> World {
    let mut world = site();
    world.start();
    world
}

fn line(world: &mut World, node: &str) -> (String, String, bool) {
    let line = world.status().remove(node).unwrap();
    let text = |name: &str| line[name].as_str().unwrap().to_string();
    (text("stage"), text("sent"), line["last seen"].as_u64().unwrap() > 0)
}

fn was(stage: &str, sent: &str, seen: bool) -> (String, String, bool) {
    (stage.into(), sent.into(), seen)
}

/// The image, so that there is something to be overwritten or not.
fn image_sent(world: &mut World) {
    assert_eq!(world.fetch(IMAGE).code, 200);
    world.status_becomes("c001", "image", "oak.img");
}

#[test]
fn a_mac_is_the_same_however_the_file_writes_it() {
    let mut world = running();
    assert_eq!(world.fetch("/image/02:00:00:00:00:02?assetkey=K").code, 200);
    world.status_becomes("c002", "image", "oak.img");
}

#[test]
fn links_that_lead_out_of_the_image_or_the_files_are_not_followed() {
    let mut world = running();
    assert_eq!(world.fetch("/kernel/02:00:00:00:00:04").code, 404);
    assert_eq!(world.fetch("/files/out?wwid=02:00:00:00:00:01").code, 404);
}

#[test]
fn an_unknown_compression_is_an_empty_404_that_status_knows() {
    let mut world = running();
    for stage in ["image", "kernel", "system", "runtime"] {
        for word in ["zst", "GZ", "gzip"] {
            let reply = world.fetch(&format!("/{stage}/02:00:00:00:00:01?compress={word}"));
            assert_eq!((reply.code, reply.text()), (404, String::new()), "{stage} {word}");
            world.status_becomes("c001", stage, "NOT_FOUND");
        }
    }
}

#[test]
fn an_image_built_here_has_a_zstd_form() {
    let mut world = running();
    world.put("var/provision/images/.oak.img.zst", "packed by zstd");
    let reply = world.fetch("/image/02:00:00:00:00:01?compress=zst");
    assert_eq!((reply.code, reply.text()), (200, "packed by zstd".to_string()));
    world.status_becomes("c001", "image", "oak.img.zst");
    assert_eq!(world.fetch("/system/02:00:00:00:00:01?compress=zst").code, 404);
}

#[test]
fn an_image_name_that_leads_out_is_refused() {
    let mut world = running();
    assert_eq!(world.fetch("/image/02:00:00:00:00:03").code, 400);
    world.status_becomes("c003", "image", "BAD_REQUEST");
}

#[test]
fn other_methods_are_refused_and_leave_no_trace() {
    let mut world = running();
    for (method, path) in [
        ("POST", "/kernel/02:00:00:00:00:01"),
        ("PUT", IMAGE),
        ("BREW", "/kernel/02:00:00:00:00:01"),
        ("DELETE", "/kernel/02:00:00:00:00:01"),
        ("POST", "/kernel/"),
        ("POST", "/files/index.html?wwid=02:00:00:00:00:01"),
    ] {
        let reply = world.exchange(&Way::default(), &request(method, path, &[], "wwid=02:00:00:00:00:01"), false);
        assert_eq!((reply.code, reply.header("Allow")), (405, Some("GET, HEAD")), "{method} {path}");
    }
    assert_eq!(line(&mut world, "c001"), was("", "", false));
}

#[test]
fn head_makes_a_node_seen_and_nothing_sent() {
    let mut world = running();
    for headers in [&[][..], &[("Range", "bytes=0-15")], &[("If-Modified-Since", "Sat, 03 Jan 2026 00:00:00 GMT")]] {
        let reply = world.ask("HEAD", IMAGE, headers);
        assert!([200, 206, 304].contains(&reply.code));
        assert_eq!(line(&mut world, "c001"), was("", "", true));
    }
    image_sent(&mut world);
    assert_eq!(world.ask("HEAD", "/image/02:00:00:00:00:01?compress=gz", &[]).code, 404);
    assert_eq!(line(&mut world, "c001"), was("image", "oak.img", true));
}

#[test]
fn a_refused_range_or_condition_sends_nothing() {
    for headers in [
        ("Range", "bytes=65536-"),
        ("Range", "bytes=x-y"),
        ("If-Unmodified-Since", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("If-Match", "\"another\""),
    ] {
        let mut world = running();
        let reply = world.ask("GET", IMAGE, &[headers]);
        assert!([412, 416].contains(&reply.code), "{headers:?}");
        let began = Instant::now();
        while line(&mut world, "c001") != was("", "", true) {
            assert!(began.elapsed() < Duration::from_secs(2), "{headers:?}: {:?}", line(&mut world, "c001"));
        }
    }
}

#[test]
fn an_unknown_range_unit_is_ignored() {
    let mut world = running();
    let reply = world.ask("GET", IMAGE, &[("Range", "lines=1-2")]);
    assert_eq!((reply.code, reply.body.len()), (200, 65536));
}

#[test]
fn index_html_is_a_file_like_any_other() {
    let mut world = running();
    let reply = world.fetch("/files/index.html?wwid=02:00:00:00:00:01");
    assert_eq!((reply.code, reply.text().as_str()), (200, "<p>index</p>\n"));
}

#[test]
fn a_plain_file_that_is_asked_rendered_is_a_bad_request_and_a_missing_one_is_missing() {
    let mut world = running();
    let names = ["index.html", "none", "none.ww", "index.html.ww"];
    let codes = names.map(|name| world.fetch(&format!("/files/{name}?wwid=02:00:00:00:00:01&render")).code);
    assert_eq!(codes, [400, 404, 404, 404]);
}

#[test]
fn head_of_a_rendered_file_says_its_length() {
    let mut world = site();
    world.put("var/files/t.ww", "for {{ .Id }} of {{ len .AllNodes }}\n");
    world.start();
    let path = "/files/t?wwid=02:00:00:00:00:01&render";
    assert_eq!(world.fetch(path).text(), "for c001 of 4\n");
    let reply = world.ask("HEAD", path, &[]);
    assert_eq!((reply.code, reply.header("Content-Length")), (200, Some("14")));
    assert_eq!(line(&mut world, "c001"), was("", "", false), "files leave no trace");
}

#[test]
fn a_broken_nodes_conf_leaves_the_last_good_one_serving_and_is_told() {
    let mut world = running();
    world.put("etc/warewulf/nodes.conf", "nodes:\n  c001:\n    network devices\n      x: [\n");
    for told in [false, true] {
        if told {
            world.signal(Signal::SIGHUP);
            std::thread::sleep(Duration::from_millis(200));
        }
        assert_eq!(world.fetch(IMAGE).code, 200);
        assert_eq!(world.fetch("/files/index.html?wwid=02:00:00:00:00:01").code, 200);
        assert_eq!(world.fetch("/kernel/02:00:00:00:00:ff").code, 400);
        let document: serde_json::Value = serde_json::from_slice(&world.fetch("/status").body).unwrap();
        let problem = document["problems"][0].as_str().unwrap();
        assert!(problem.contains("nodes.conf: line ") && problem.contains(", column "), "{problem}");
        assert!(world.log().contains(problem), "the log says it too");
        assert!(document["nodes"]["c001"].is_object());
    }
    world.put("etc/warewulf/nodes.conf", NODES);
    let document: serde_json::Value = {
        world.fetch(IMAGE);
        serde_json::from_slice(&world.fetch("/status").body).unwrap()
    };
    assert!(document.get("problems").is_none());
}

#[test]
fn without_any_good_nodes_conf_nodes_get_503_until_it_is_mended() {
    let mut world = site();
    world.put("etc/warewulf/nodes.conf", "nodes: [");
    world.start();
    let reply = world.fetch(IMAGE);
    assert_eq!((reply.code, reply.header("Retry-After")), (503, Some("5")));
    world.put("etc/warewulf/nodes.conf", NODES);
    assert_eq!(world.fetch(IMAGE).code, 200);
}

#[test]
fn an_edit_of_nodes_conf_is_seen_by_the_next_request() {
    let mut world = running();
    for round in 10..30 {
        let path = format!("/image/02:00:00:00:00:{round}");
        assert_eq!(world.fetch(&path).code, 400);
        let node =
            format!("  n{round}: {{image name: oak, network devices: {{a: {{hwaddr: 02:00:00:00:00:{round}}}}}}}\n");
        world.put("etc/warewulf/nodes.conf", &format!("{NODES}{node}"));
        assert_eq!(world.fetch(&path).code, 200, "round {round}");
    }
}

#[test]
fn a_tag_names_the_content_and_another_content_has_another() {
    let mut world = running();
    let first = world.fetch(IMAGE);
    let tag = first.header("ETag").unwrap().to_string();
    assert!(tag.starts_with('"'), "strong: {tag}");
    assert_eq!(world.ask("GET", IMAGE, &[("If-None-Match", &tag)]).code, 304);
    assert_eq!(world.ask("GET", IMAGE, &[("Range", "bytes=0-3"), ("If-Range", &tag)]).text(), "0123");
    // The same length and the same date: only the tag can tell.
    world.put("new", &"fedcba9876543210".repeat(4096));
    std::fs::rename(world.path("new"), world.path("var/provision/images/oak.img")).unwrap();
    let second = world.ask("GET", IMAGE, &[("If-None-Match", &tag)]);
    assert_eq!((second.code, &second.body[..4]), (200, &b"fedc"[..]));
    assert_eq!(world.ask("GET", IMAGE, &[("Range", "bytes=0-3"), ("If-Range", &tag)]).code, 200);
}

#[test]
fn several_ranges_come_as_parts() {
    let mut world = running();
    let reply = world.ask("GET", IMAGE, &[("Range", "bytes=0-3,-2")]);
    let kind = reply.header("Content-Type").unwrap().to_string();
    let border = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let part = |range: &str, text: &str| {
        format!(
            "--{border}\r\nContent-Type: application/x-raw-disk-image\r\nContent-Range: bytes {range}\r\n\r\n{text}\r\n"
        )
    };
    let want = format!("{}{}--{border}--\r\n", part("0-3/65536", "0123"), part("65534-65535/65536", "ef"));
    assert_eq!((reply.code, reply.text()), (206, want));
}

#[test]
fn a_script_that_fails_is_noted_as_an_error() {
    for (text, why) in [("{{ if }}\n", ":1:"), ("x\n{{ .Nowhere }}\n", ":2:"), ("{{ Include \"x\" }}", "Include")] {
        let mut world = site();
        world.put("etc/warewulf/ipxe/plain.ipxe", text);
        world.start();
        let reply = world.fetch("/ipxe/02:00:00:00:00:01");
        assert_eq!(reply.code, 500);
        assert!(reply.text().contains("plain.ipxe") && reply.text().contains(why), "{}", reply.text());
        world.status_becomes("c001", "ipxe", "ERROR");
    }
}

#[test]
fn a_script_of_the_distribution_serves_where_the_site_has_none() {
    let mut world = running();
    std::fs::remove_file(world.path("etc/warewulf/ipxe/plain.ipxe")).unwrap();
    assert_eq!(world.fetch("/ipxe/02:00:00:00:00:01").code, 404);
    world.put("share/warewulf/ipxe/plain.ipxe", "theirs for {{ .Id }}\n");
    assert_eq!(world.fetch("/ipxe/02:00:00:00:00:01").text(), "theirs for c001\n");
    world.put("etc/warewulf/ipxe/plain.ipxe", "ours for {{ .Id }}\n");
    assert_eq!(world.fetch("/ipxe/02:00:00:00:00:01").text(), "ours for c001\n");
}

#[test]
fn a_script_knows_the_time() {
    let mut world = site();
    world.put("etc/warewulf/ipxe/plain.ipxe", "{{ now.Unix }}");
    world.start();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let told: u64 = world.fetch("/ipxe/02:00:00:00:00:01").text().parse().unwrap();
    assert!(told.abs_diff(now) < 60, "{told}");
}

/// What an overlay is made of is looked at by each request: the next one gets the new state, whole.
#[test]
fn a_changed_overlay_is_in_the_next_answer() {
    let mut world = site();
    let nodes = |list: &str| {
        format!(
            "nodes:\n  c001: {{runtime overlay: [{list}], network devices: {{default: {{hwaddr: 02:00:00:00:00:01}}}}}}\n"
        )
    };
    world.put("etc/warewulf/nodes.conf", &nodes("live"));
    world.put("var/overlays/live/rootfs/etc/live.conf", "live=1\n");
    world.put("var/overlays/more/rootfs/etc/more.ww", "more for {{ .Id }}\n");
    world.start();
    let runtime = |world: &mut World| world.fetch("/runtime/02:00:00:00:00:01");
    let first = runtime(&mut world);
    assert!(first.code == 200 && first.text().contains("live=1\n"), "{}", first.code);
    let tag = first.header("ETag").unwrap().to_string();
    assert_eq!(world.ask("GET", "/runtime/02:00:00:00:00:01", &[("If-None-Match", &tag)]).code, 304);
    world.put("var/overlays/live/rootfs/etc/live.conf", "live=2\n");
    let second = world.ask("GET", "/runtime/02:00:00:00:00:01", &[("If-None-Match", &tag)]);
    assert!(second.code == 200 && second.text().contains("live=2\n"), "{}", second.code);
    world.put("etc/warewulf/nodes.conf", &nodes("more"));
    let third = runtime(&mut world).text();
    assert!(third.contains("more for c001\n") && !third.contains("live="));
    // Touching nodes.conf changes no byte of the overlay, and so neither its tag.
    let tag = runtime(&mut world).header("ETag").unwrap().to_string();
    world.put("etc/warewulf/nodes.conf", &format!("# touched\n{}", nodes("more")));
    assert_eq!(world.ask("GET", "/runtime/02:00:00:00:00:01", &[("If-None-Match", &tag)]).code, 304);
}

#[test]
fn what_goes_through_a_link_of_the_image_is_in_the_log_once_for_all_nodes() {
    let mut world = site();
    let node = |n: u8| {
        format!(
            "  n{n}: {{image name: oak, runtime overlay: [live], network devices: {{a: {{hwaddr: 02:00:00:00:01:{n:02x}}}}}}}\n"
        )
    };
    world.put("etc/warewulf/nodes.conf", &format!("nodes:\n{}{}", node(1), node(2)));
    world.put("var/overlays/live/rootfs/lib64/id.ww", "{{.Id}}\n");
    world.put("var/chroots/oak/rootfs/usr/lib64/x", "x\n");
    std::os::unix::fs::symlink("usr/lib64", world.path("var/chroots/oak/rootfs/lib64")).unwrap();
    world.start();
    for n in 1..=2 {
        let text = world.fetch(&format!("/runtime/02:00:00:00:01:0{n}")).text();
        assert!(text.contains("usr/lib64/id") && text.contains(&format!("n{n}\n")), "{text}");
    }
    let told = "overlay live: /lib64 is a link to /usr/lib64 in the image: what the overlay has below it goes there";
    assert_eq!(world.log().matches(told).count(), 1, "{}", world.log());
}

#[test]
fn status_and_images_do_not_wait_behind_builds() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let mut world = site();
    let mut nodes = String::from("nodes:\n");
    for n in 0..150 {
        let mac = format!("02:00:00:00:01:{n:02x}");
        nodes.push_str(&format!(
            "  n{n:03}: {{image name: oak, runtime overlay: [slow], network devices: {{a: {{hwaddr: {mac}}}}}}}\n"
        ));
    }
    world.put("etc/warewulf/nodes.conf", &nodes);
    let loops = "{{ range .AllNodes }}{{ range $.AllNodes }}{{ range $.AllNodes }}{{ end }}{{ end }}{{ end }}";
    world.put("var/overlays/slow/rootfs/etc/slow.ww", &format!("{loops}{{{{ .Id }}}}\n"));
    world.start();
    let built = Arc::new(AtomicUsize::new(0));
    let asking: Vec<_> = (0..40)
        .map(|n| {
            let mut stream = world.connect(&Way::default());
            let built = built.clone();
            std::thread::spawn(move || {
                let path = format!("/runtime/02:00:00:00:01:{n:02x}");
                stream.write_all(&request("GET", &path, &[], "")).unwrap();
                let reply = read_reply(&mut stream, false);
                built.fetch_add(1, Ordering::SeqCst);
                reply.code
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(100));
    for _ in 0..3 {
        world.status();
        assert_eq!(world.fetch("/image/02:00:00:00:01:00").code, 200);
    }
    let before = built.load(Ordering::SeqCst);
    assert!(before < 40, "all builds were over before anything else was answered");
    // Killing the daemon spares us the wait for forty builds.
    world.kill();
    for asked in asking {
        let code = asked.join().unwrap();
        assert!([0, 200].contains(&code), "{code}");
    }
}

/// An image too large for the buffers of two sockets.
fn large(world: &World, letter: &str) {
    world.put("new", &letter.repeat(64 << 20));
    std::fs::rename(world.path("new"), world.path("var/provision/images/oak.img")).unwrap();
}

#[test]
fn a_running_download_keeps_its_bytes_while_the_file_is_replaced() {
    let mut world = running();
    large(&world, "a");
    let mut stream = world.connect(&Way::default());
    stream.write_all(&request("GET", IMAGE, &[], "")).unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    large(&world, "b");
    let reply = read_reply(&mut first.as_slice().chain(stream), false);
    assert_eq!((reply.code, reply.body.len(), reply.cut), (200, 64 << 20, false));
    assert!(reply.body.iter().all(|byte| *byte == b'a'));
    assert!(world.fetch(IMAGE).body.iter().all(|byte| *byte == b'b'));
}

#[test]
fn a_transfer_that_broke_is_not_sent() {
    let mut world = running();
    large(&world, "a");
    let mut stream = world.connect(&Way::default());
    stream.write_all(&request("GET", IMAGE, &[], "")).unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
    drop(stream);
    let began = Instant::now();
    while !line(&mut world, "c001").2 {
        assert!(began.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(line(&mut world, "c001"), was("", "", true));
    assert!(world.log().contains("broke after"), "{}", world.log());
}

#[test]
fn a_connection_carries_many_requests_also_when_they_come_at_once() {
    let mut world = running();
    let mut stream = world.connect(&Way::default());
    let one = "GET /image/02:00:00:00:00:01 HTTP/1.1\r\nHost: x\r\nRange: bytes=0-3\r\n\r\n";
    for _ in 0..3 {
        stream.write_all(one.as_bytes()).unwrap();
        assert_eq!(read_reply(&mut stream, false).text(), "0123");
    }
    stream.write_all(one.repeat(3).as_bytes()).unwrap();
    for _ in 0..3 {
        assert_eq!(read_reply(&mut stream, false).text(), "0123");
    }
}

#[test]
fn malformed_requests_get_a_clear_400_and_disturb_nobody() {
    let mut world = running();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /image/%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET image HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
    ] {
        let reply = world.exchange(&Way::default(), bytes, false);
        assert_eq!(reply.code, 400, "{:?}", String::from_utf8_lossy(bytes));
        assert!(reply.text().len() > 10, "a reason: {:?}", reply.text());
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(20_000));
    assert_eq!(world.exchange(&Way::default(), long.as_bytes(), false).code, 431);
    assert_eq!(world.fetch(IMAGE).code, 200);
}

#[test]
fn who_never_ends_his_head_is_told_and_let_go() {
    let mut world = running();
    let mut stream = world.connect(&Way::default());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
    let began = Instant::now();
    let reply = read_reply(&mut stream, false);
    assert_eq!(reply.code, 408);
    assert!(began.elapsed() > Duration::from_secs(5) && began.elapsed() < Duration::from_secs(20));
}

#[test]
fn one_peer_gets_so_many_connections_and_the_next_is_told_to_come_back() {
    let mut world = running();
    // The connection that found the daemon up may not be gone for it yet.
    std::thread::sleep(Duration::from_millis(200));
    let mut held: Vec<TcpStream> = (0..70).map(|_| world.connect(&Way::default())).collect();
    let refused: Vec<Reply> = held.drain(64..).map(|mut stream| read_reply(&mut stream, false)).collect();
    for reply in refused {
        assert_eq!((reply.code, reply.header("Retry-After")), (503, Some("1")));
    }
    let other = Way { from: Some([127, 0, 0, 9].into()), ..Way::default() };
    assert_eq!(world.exchange(&other, &request("GET", IMAGE, &[], ""), false).code, 200, "another peer is served");
    let mut first = held.swap_remove(0);
    first.write_all(&request("GET", IMAGE, &[], "")).unwrap();
    assert_eq!(read_reply(&mut first, false).code, 200, "who was here before is served");
}

#[test]
fn the_daemon_ends_at_once_when_nobody_is_served() {
    let mut world = running();
    let _idle = world.connect(&Way::default());
    let began = Instant::now();
    assert_eq!(world.stop(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_second_daemon_says_which_port_and_which_key() {
    let world = running();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_wwctl"))
        .args(["server", "--warewulfconf"])
        .arg(world.path("etc/warewulf/warewulf.conf"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(255));
    assert!(said.contains(&format!("HTTP port {}", world.port)) && said.contains("another daemon"), "{said}");
}

/// Eight unknown machines, four of them twice at the same moment, and ten nodes to be had; a hundred times.
#[test]
fn one_unknown_address_takes_exactly_one_node_however_many_ask_at_once() {
    let mut world = running();
    let mut nodes = String::from("nodes:\n");
    for n in 0..10 {
        nodes.push_str(&format!(
            "  d{n:02}: {{discoverable: true, ipxe template: plain, network devices: {{default: {{device: eth0}}}}}}\n"
        ));
    }
    for round in 0..100 {
        world.put("etc/warewulf/nodes.conf", &nodes);
        let barrier = Arc::new(Barrier::new(8));
        let asking: Vec<_> = (0..8)
            .map(|n| {
                let mut stream = world.connect(&Way::default());
                let barrier = barrier.clone();
                std::thread::spawn(move || {
                    let path = format!("/ipxe/02:00:00:00:{round:02}:{:02}", n % 4);
                    barrier.wait();
                    stream.write_all(&request("GET", &path, &[], "")).unwrap();
                    read_reply(&mut stream, false)
                })
            })
            .collect();
        let mut told: Vec<_> =
            asking.into_iter().enumerate().map(|(n, asked)| (n % 4, asked.join().unwrap())).collect();
        told.sort_by_key(|(n, _)| *n);
        let text = std::fs::read_to_string(world.path("etc/warewulf/nodes.conf")).unwrap();
        let conf = model::NodesConf::parse(&text).unwrap();
        let mut taken: Vec<_> = conf
            .nodes
            .values()
            .filter_map(|node| {
                let mac = &node.primary_device()?.hwaddr;
                assert_eq!(mac.is_empty(), node.discoverable.is_true(), "round {round}, {}: one or the other", node.id);
                (!mac.is_empty()).then(|| (mac.clone(), node.id.clone()))
            })
            .collect();
        taken.sort();
        let macs: Vec<_> = taken.iter().map(|(mac, _)| mac.clone()).collect();
        let want: Vec<_> = (0..4).map(|n| format!("02:00:00:00:{round:02}:{n:02}")).collect();
        assert_eq!(macs, want, "round {round}");
        for ((n, reply), (_, name)) in told.iter().zip(taken.iter().flat_map(|one| [one, one])) {
            assert_eq!(reply.text(), format!("#!ipxe\necho {name}\n"), "round {round}: machine {n} is told its node");
        }
        let mut names: Vec<_> = taken.iter().map(|(_, name)| name.as_str()).collect();
        names.sort();
        assert_eq!(names, ["d00", "d01", "d02", "d03"], "round {round}: the first four, in order");
    }
}

#[test]
fn a_wrong_asset_key_or_no_address_claims_nothing() {
    let mut world = running();
    let nodes = "nodes:\n  d1: {discoverable: true, asset key: K, network devices: {default: {device: eth0}}}\n";
    world.put("etc/warewulf/nodes.conf", nodes);
    let unchanged = |world: &World| std::fs::read_to_string(world.path("etc/warewulf/nodes.conf")).unwrap() == nodes;
    for path in [
        "/ipxe/02:00:00:00:0d:41?assetkey=no",
        "/ipxe/02:00:00:00:0d:41",
        "/ipxe/favicon.ico?assetkey=K",
        "/kernel/02:00:00:00:0d:41?assetkey=K",
        "/runtime/02:00:00:00:0d:41?assetkey=K",
        "/files/index.html?wwid=02:00:00:00:0d:41&assetkey=K",
    ] {
        world.fetch(path);
        assert!(unchanged(&world), "{path}");
    }
    world.fetch("/ipxe/02:00:00:00:0d:41?assetkey=K");
    assert!(!unchanged(&world));
}

#[test]
fn a_restart_of_the_controller_forgets_no_node() {
    let mut world = running();
    assert_eq!(world.fetch(IMAGE).code, 200);
    world.status_becomes("c001", "image", "oak.img");
    let before = world.status();
    world.stop();
    world.start();
    assert_eq!(world.status(), before);
    // The file is whole JSON, readable by a person, and holds nothing of nodes that were never there.
    let kept: serde_json::Value =
        serde_json::from_slice(&std::fs::read(world.path("var/provision/.status")).unwrap()).unwrap();
    assert_eq!(kept["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(kept["nodes"][0]["sent"], "oak.img");
}

#[test]
fn an_asset_key_is_never_in_the_log() {
    let mut world = running();
    for target in [
        "/ipxe/02:00:00:00:00:02?assetkey=SECRET",
        "/image/02:00:00:00:00:02?assetkey=SECRET&compress=odd",
        "/kernel?wwid=02:00:00:00:00:02&assetkey=SECRET",
        "/provision/02:00:00:00:00:02?stage=none&assetkey=SECRET",
        "/files/none?wwid=02:00:00:00:00:02&assetkey=SECRET",
        "/nowhere?assetkey=SECRET",
        "/ipxe/02:00:00:00:00:02?assetkey=SECRET%zz",
    ] {
        world.fetch(target);
    }
    world.exchange(&Way::default(), b"GET /ipxe/?assetkey=SECRET BAD\r\n\r\n", false);
    world.stop();
    assert!(world.log().contains("c002") || world.log().contains("02:00:00:00:00:02"), "{}", world.log());
    assert!(!world.log().contains("SECRET"), "{}", world.log());
}

/// A full disk: the last good overlay is sent and the log says so; with room again the new one is. In both forms in which
/// overlays are kept.
#[test]
fn where_an_overlay_cannot_be_written_the_last_good_one_is_sent_and_the_log_says_so() {
    for materialize in [true, false] {
        // A disk of its own, which nobody else sees, goes with the thread.
        std::thread::spawn(move || {
            if has_small_disks() {
                overlays_on_a_full_disk(materialize)
            }
        })
        .join()
        .unwrap();
    }
}

fn has_small_disks() -> bool {
    use nix::mount::{MsFlags, mount};
    let private = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>));
    if let Err(error) = &private {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped with CI=true: a disk needs root ({error})");
        eprintln!("skipped: a disk needs root ({error})");
    }
    private.is_ok()
}

fn overlays_on_a_full_disk(materialize: bool) {
    use nix::mount::{MsFlags, mount};
    let mut world = World::new();
    let provision = world.path("var/provision");
    mount(Some("tmpfs"), &provision, Some("tmpfs"), MsFlags::empty(), Some("size=256k")).unwrap();
    world.put("etc/warewulf/warewulf.conf", &format!("{CONF}overlays: {{materialize: {materialize}}}\n"));
    let node = "nodes: {c001: {runtime overlay: [live], network devices: {default: {hwaddr: 02:00:00:00:00:01}}}}\n";
    world.put("etc/warewulf/nodes.conf", node);
    // What does not pack well, so that a new archive needs new room.
    let noise = |seed: u32| {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'!' + u8::try_from((state >> 24) % 90).unwrap())
        };
        (0..20_000).map(|_| next()).collect::<String>()
    };
    let live = "var/overlays/live/rootfs/etc/live";
    world.put(live, &noise(1));
    world.start();
    let runtime = |world: &mut World| {
        let reply = world.fetch("/runtime/02:00:00:00:00:01?compress=gz");
        assert_eq!(reply.code, 200, "{}", world.log());
        reply.body
    };
    let first = runtime(&mut world);
    let filler = provision.join("filler");
    let _ = std::fs::write(&filler, vec![1; 1 << 20]);
    world.put(live, &noise(2));
    assert!(runtime(&mut world) == first, "not the last good one");
    let log = world.log();
    let said =
        log.lines().find(|line| line.contains("the last good runtime overlay of c001 is sent: ")).unwrap_or(&log);
    assert!(said.contains("No space left on device"), "{said}");
    let unfinished = |folder: &std::path::Path| {
        let names = Command::new("find").arg(folder).args(["-name", ".new-*"]).output().unwrap().stdout;
        String::from_utf8(names).unwrap()
    };
    assert_eq!(unfinished(&provision), "");
    std::fs::remove_file(filler).unwrap();
    let second = runtime(&mut world);
    assert!(second != first, "the new one is not sent though there is room: {}", world.log());
    assert!(runtime(&mut world) == second);
    world.stop();
}
