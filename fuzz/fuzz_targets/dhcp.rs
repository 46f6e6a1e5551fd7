//! Any datagram on port 67 is a question or a fault, and every question can be answered.
#![no_main]

use std::net::Ipv4Addr;

use libfuzzer_sys::fuzz_target;
use wire::dhcp::{Answer, AnswerKind, Question};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(question) = Question::decode(bytes) {
        let answer = Answer::to(&question, AnswerKind::Offer, Ipv4Addr::new(10, 0, 0, 1));
        let _ = answer.encode(Some(576));
    }
});
