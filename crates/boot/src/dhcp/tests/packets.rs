//! What every class and architecture gets, as whole packets in a text that a person can read.

use std::fmt::Write as _;

use super::*;

/// Every byte of an answer as text: what is not shown is 0.
fn dump(bytes: &[u8]) -> String {
    let text = |field: &[u8]| String::from_utf8_lossy(field).trim_end_matches('\0').to_string();
    let hex = |field: &[u8]| field.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    let mut out = format!("head {}\naddr {}\nhard {}\n", hex(&bytes[..12]), hex(&bytes[12..28]), hex(&bytes[28..44]));
    let _ = write!(out, "sname {}\nfile {}\n", text(&bytes[44..108]), text(&bytes[108..236]));
    assert_eq!(bytes[236..240], [99, 130, 83, 99]);
    let mut rest = &bytes[240..];
    while rest[0] != 255 {
        let (option, after) = rest.split_at(2 + usize::from(rest[1]));
        let printable = option[2..].len() > 3 && option[2..].iter().all(|byte| (32..127).contains(byte));
        let value = if printable { format!("{:?}", text(&option[2..])) } else { hex(&option[2..]) };
        let _ = writeln!(out, "{} {value}", option[0]);
        rest = after;
    }
    assert!(rest[1..].iter().all(|byte| *byte == 0) && (rest.len() == 1 || bytes.len() == 300));
    out
}

/// Everything that leaves for a question: the log's line, where to, the packet.
fn shown(bench: &mut Bench, packet: &[u8], boot_port: Option<bool>) -> String {
    let question = Question::decode(packet).unwrap();
    let decision = match boot_port {
        None => bench.answer(packet),
        Some(port) => proxy(&question, port, bench.arrival(None), bench.view()),
    };
    let mut out = format!("{}\n", decision.line(&question));
    if let Decision::Offer(reply) | Decision::Ack(reply) | Decision::Nak(reply, _) = &decision {
        let encoded = reply.answer.encode(question.max_size);
        assert!(encoded.omitted.is_empty());
        let _ = write!(out, "to {:?}\n{}", reply.to, dump(&encoded.bytes));
    }
    out
}

fn all_packets() -> String {
    let mut out = String::new();
    let mut say = |title: &str, text: String| {
        let _ = write!(out, "== {title}\n{text}");
    };
    for (number, name) in [
        (0, "BIOS"),
        (6, "UEFI x86, 32 bits"),
        (7, "UEFI x86-64"),
        (9, "UEFI x86-64 by its other number"),
        (11, "UEFI arm64"),
        (27, "UEFI RISC-V"),
    ] {
        say(&format!("PXE ROM, {name}"), shown(&mut Bench::new(), &asked(1, N1, &rom(number, "PXEClient")), None));
    }
    for number in [15, 16, 18, 19, 20] {
        let packet = asked(1, N1, &rom(number, "HTTPClient"));
        say(&format!("UEFI HTTP Boot, architecture {number}"), shown(&mut Bench::new(), &packet, None));
    }
    for number in [0, 7, 11] {
        let packet = asked(1, N1, &ipxe(number));
        say(&format!("iPXE, architecture {number}"), shown(&mut Bench::new(), &packet, None));
    }
    let mut bench = Bench::new();
    bench.conf.warewulf.grubboot = true;
    for (number, class) in [(0, "PXEClient"), (7, "PXEClient"), (11, "PXEClient"), (16, "HTTPClient")] {
        let packet = asked(1, N1, &rom(number, class));
        say(&format!("grubboot, {class}, architecture {number}"), shown(&mut bench, &packet, None));
    }
    let mut bench = Bench::new();
    let packet = asked(1, GUEST, &rom(0, "PXEClient"));
    say("stranger, PXE ROM", shown(&mut bench, &packet, None));
    let packet = asked(3, GUEST, &[&[54, 4, 10, 10, 0, 1, 50, 4, 10, 10, 0, 100], &rom(0, "PXEClient")[..]].concat());
    say("stranger, PXE ROM, takes it", shown(&mut bench, &packet, None));
    let packet = asked(1, N1, &[55, 3, 1, 3, 6, 61, 7, 1, 0x52, 0x54, 0, 0x10, 0, 1]);
    say("a node's operating system", shown(&mut bench, &packet, None));
    let packet = asked(3, N1, &[50, 4, 192, 168, 7, 7]);
    say("a node that comes from another network", shown(&mut bench, &packet, None));
    let mut packet = asked(8, N1, &rom(7, "PXEClient"));
    packet[12..16].copy_from_slice(&[10, 10, 0, 11]);
    say("a node that only informs itself", shown(&mut bench, &packet, None));
    let mut packet = asked(1, N1, &[&rom(0, "PXEClient")[..], &[82, 6, 1, 4, 0xde, 0xad, 0xbe, 0xef]].concat());
    packet[24..28].copy_from_slice(&[10, 10, 0, 250]);
    say("a node behind a relay", shown(&mut bench, &packet, None));
    for (title, packet, port) in [
        ("proxy, PXE ROM, BIOS", asked(1, N1, &rom(0, "PXEClient")), false),
        ("proxy, PXE ROM, UEFI", asked(1, N1, &rom(7, "PXEClient")), false),
        ("proxy, iPXE", asked(1, N1, &ipxe(0)), false),
        ("proxy, UEFI HTTP Boot", asked(1, N1, &rom(16, "HTTPClient")), false),
        ("proxy, nothing for the architecture", asked(1, N1, &rom(6, "PXEClient")), false),
        ("proxy, does not boot", asked(1, N1, &[]), false),
        ("proxy, stranger", asked(1, GUEST, &rom(0, "PXEClient")), false),
        ("proxy, request at port 67", asked(3, N1, &rom(0, "PXEClient")), false),
    ] {
        say(title, shown(&mut bench, &packet, Some(port)));
    }
    let mut packet = asked(3, N1, &rom(7, "PXEClient"));
    packet[12..16].copy_from_slice(&[10, 10, 0, 77]);
    say("proxy, request at port 4011", shown(&mut bench, &packet, Some(true)));
    out
}

#[test]
fn every_class_and_architecture_gets_this_packet() {
    let all = all_packets();
    for (got, wanted) in all.split("== ").zip(include_str!("../../../tests/dhcp/packets.txt").split("== ")) {
        assert_eq!(got, wanted);
    }
    assert_eq!(all, include_str!("../../../tests/dhcp/packets.txt"));
}

#[test]
fn a_discoverable_node_opens_the_proxy_to_strangers() {
    let mut bench = Bench::new();
    let mut open = node("n9", device("", None));
    open.discoverable = model::node::Truth("true".into());
    bench.nodes = Nodes::new(&[open]);
    let shown = shown(&mut bench, &asked(1, GUEST, &rom(0, "PXEClient")), Some(false));
    assert!(shown.starts_with("52:54:00:99:00:09 DISCOVER -> OFFER file warewulf/undionly.kpxe"), "{shown}");
}
