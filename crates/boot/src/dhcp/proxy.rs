//! proxyDHCP (`dhcp: mode: proxy`): beside a server that hands out addresses, tells who boots what to boot.
//!
//! Never an address, and not a word to a client that does not boot.

use std::net::Ipv4Addr;

use wire::dhcp::{Answer, AnswerKind, ClientClass, PxeControl, Question, QuestionKind};

use super::decide::put_file;
use super::{Arrival, BootFile, Decision, Reason, Reply, To, View, boot_file};

/// Answers a question at port 67, or at port 4011 when `boot_port` is set.
pub fn proxy(question: &Question, boot_port: bool, arrival: Arrival<'_>, view: View<'_>) -> Decision {
    if question.class() == ClientClass::Other {
        return Decision::Silent(Reason::DoesNotBoot);
    }
    let kind = match (question.kind, boot_port) {
        (QuestionKind::Discover, false) => AnswerKind::Offer,
        (QuestionKind::Request | QuestionKind::Inform, true) => AnswerKind::Ack,
        // PXE 2.1, 2.2.2: what is asked at port 4011 is never a DISCOVER, and all else at port 67 is about an address.
        _ => return Decision::Silent(Reason::NotForProxy),
    };
    let known = view.nodes.asking(question);
    if known.is_none() && !view.nodes.any_discoverable() {
        return Decision::Silent(Reason::NotANode);
    }
    let file = boot_file(question, view.conf, arrival.server);
    if file.text().is_empty() {
        return Decision::Silent(Reason::NoFile);
    }
    let mut answer = Answer::to(question, kind, arrival.server);
    answer.ciaddr = question.ciaddr;
    put_file(&mut answer, question, &file, arrival.server);
    if !matches!(file, BootFile::Http(_)) {
        // By this class alone a client tells a proxy's offer from a server's (PXE 2.1, 2.2.1).
        answer.vendor_class = b"PXEClient".to_vec();
        answer.pxe = Some(PxeControl::FileIsHere);
    }
    let reply = Box::new(Reply {
        to: destination(question, boot_port),
        answer,
        lease: None,
        node: known.map(|known| known.node.clone()),
        file,
    });
    match kind {
        AnswerKind::Offer => Decision::Offer(reply),
        AnswerKind::Ack | AnswerKind::Nak => Decision::Ack(reply),
    }
}

fn destination(question: &Question, boot_port: bool) -> To {
    if !question.giaddr.is_unspecified() {
        To::Relay(question.giaddr)
    } else if boot_port {
        To::Sender
    } else if question.ciaddr == Ipv4Addr::UNSPECIFIED {
        // There is no address to send a unicast to, and which one the client will get is not known here.
        To::Everybody
    } else {
        To::Client(question.ciaddr)
    }
}
