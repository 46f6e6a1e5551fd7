//! What is told about a question and its answer: one line each, for the log.

use std::fmt;
use std::fmt::Write as _;

use wire::dhcp::Question;

use super::{BootFile, Client, Decision, Reason, Refusal, Reply};

impl Decision {
    /// `52:54:00:10:00:01 DISCOVER -> OFFER 10.10.0.11 (node n1) file warewulf/undionly.kpxe`
    pub fn line(&self, question: &Question) -> String {
        let mut line = format!("{} {}", Client::asking(question), question.kind.name());
        if !question.giaddr.is_unspecified() {
            let _ = write!(line, " by relay {}", question.giaddr);
        }
        line.push_str(" -> ");
        match self {
            Decision::Offer(reply) | Decision::Ack(reply) => line.push_str(&told(reply)),
            Decision::Nak(reply, refusal) => {
                let _ = write!(line, "{}{}: {refusal}", reply.answer.kind.name(), who(reply));
            }
            Decision::Probe(lease) => {
                let _ = write!(line, "first ask by ARP whether somebody has {}", lease.address);
            }
            Decision::Note(lease) => {
                let _ = write!(line, "{} is {}", lease.address, lease.state.word());
            }
            Decision::Silent(reason) => {
                let _ = write!(line, "no answer: {reason}");
            }
        }
        line
    }
}

fn told(reply: &Reply) -> String {
    let mut text = reply.answer.kind.name().to_string();
    let address = [reply.answer.yiaddr, reply.answer.ciaddr].into_iter().find(|address| !address.is_unspecified());
    if let Some(address) = address {
        let _ = write!(text, " {address}");
    }
    text.push_str(&who(reply));
    match &reply.file {
        BootFile::Script(file) | BootFile::Tftp(file) | BootFile::Http(file) => {
            let _ = write!(text, " file {file}");
        }
        BootFile::NotAsked => {}
        BootFile::Nothing(architecture) => {
            let _ = write!(
                text,
                " no file: nothing is there for architecture {:02X}:{:02X} (warewulf.conf, tftp: ipxe:)",
                architecture.0 >> 8,
                architecture.0 & 0xff
            );
        }
    }
    text
}

fn who(reply: &Reply) -> String {
    reply.node.as_ref().map(|node| format!(" (node {node})")).unwrap_or_default()
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::WrongNetwork(asked) => write!(f, "{asked} is not an address of this network"),
            Refusal::NotYours { asked, yours: Some(yours) } => write!(f, "{asked} is not yours, {yours} is"),
            Refusal::NotYours { asked, yours: None } => write!(f, "{asked} is not yours"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::ChoseAnother(server) => write!(f, "it took the offer of {server}"),
            Reason::NoRange => f.write_str("no node has this address, and dhcp: range is empty or of another network"),
            Reason::RangeFull => f.write_str("all addresses of dhcp: range are taken"),
            Reason::UnknownNetwork(relay) => {
                write!(f, "neither ipaddr's network nor a node's device is on the network of the relay {relay}")
            }
            Reason::NoRecord(address) => write!(f, "nothing is known here of its lease of {address}"),
            Reason::NoAddress => f.write_str("it names no address"),
            Reason::DeclinedOwn(address) => write!(f, "somebody else uses {address}, which is the node's own"),
            Reason::NotTheirs(address) => write!(f, "{address} was not its"),
            Reason::ReleasedOwn(address) => write!(f, "{address} is the node's own and stays so"),
            Reason::DoesNotBoot => f.write_str("it does not boot"),
            Reason::NotANode => f.write_str("no node has this address, and none is discoverable"),
            Reason::NoFile => f.write_str("nothing is there for its architecture (warewulf.conf, tftp: ipxe:)"),
            Reason::NotForProxy => f.write_str("it is for the server that hands out addresses"),
        }
    }
}
