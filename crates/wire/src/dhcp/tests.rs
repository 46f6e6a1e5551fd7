//! Packets as bytes, both ways.
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are made to be cut")]

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x10, 0, 1];

/// A packet from its parts: the header's fixed fields, then options as bytes.
fn packet(options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 236];
    bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
    bytes[4..8].copy_from_slice(&[0xca, 0xfe, 0xba, 0xbe]);
    bytes[8..10].copy_from_slice(&[0, 4]);
    bytes[28..34].copy_from_slice(&MAC);
    bytes.extend_from_slice(&[99, 130, 83, 99]);
    bytes.extend_from_slice(options);
    bytes
}

fn discover() -> Question {
    Question::decode(&packet(&[53, 1, 1, 255])).unwrap()
}

#[test]
fn a_pxe_discover_is_read_with_all_that_a_rom_says() {
    let mut options = vec![53, 1, 1, 57, 2, 5, 192, 55, 3, 1, 3, 43, 60, 32];
    options.extend_from_slice(b"PXEClient:Arch:00007:UNDI:003016");
    options.extend_from_slice(&[93, 2, 0, 7, 94, 3, 1, 3, 16, 97, 17, 0]);
    options.extend_from_slice(&[7; 16]);
    options.extend_from_slice(&[61, 7, 1, 0x52, 0x54, 0, 0x10, 0, 1, 255]);
    let question = Question::decode(&packet(&options)).unwrap();
    assert_eq!(question.kind, QuestionKind::Discover);
    assert_eq!(question.xid, 0xcafe_babe);
    assert_eq!(question.secs, 4);
    assert_eq!(question.hardware, Hardware::ethernet(MAC));
    assert_eq!(question.hardware.to_string(), "52:54:00:10:00:01");
    assert_eq!(question.max_size, Some(1472));
    assert_eq!(question.wants, [1, 3, 43]);
    assert_eq!(question.architectures, [Architecture::X64]);
    assert_eq!(question.interface, Some([1, 3, 16]));
    assert_eq!(question.machine.as_deref(), Some(&[&[0][..], &[7; 16]].concat()[..]));
    assert_eq!(question.client_id.as_deref(), Some(&[1, 0x52, 0x54, 0, 0x10, 0, 1][..]));
    assert_eq!(question.class(), ClientClass::PxeClient);
}

#[test]
fn ipxe_is_who_says_so_in_its_user_class() {
    let class = |options: &[u8]| Question::decode(&packet(&[&[53, 1, 1][..], options].concat())).unwrap().class();
    assert_eq!(class(b"\x4d\x04iPXE\xff"), ClientClass::Ipxe);
    assert_eq!(class(b"\x4d\x05\x04iPXE\xff"), ClientClass::Ipxe, "as RFC 3004 wants it");
    assert_eq!(class(b"\x4d\x0a\x04gPXE\x04iPXE\xff"), ClientClass::Ipxe);
    assert_eq!(class(b"\x4d\x04iPXE\x3c\x0aHTTPClient\xff"), ClientClass::Ipxe);
    assert_eq!(
        class(b"\xaf\x03\xb0\x01\x01\x3c\x09PXEClient\xff"),
        ClientClass::PxeClient,
        "option 175 alone is not enough"
    );
    assert_eq!(class(b"\x4d\x05iPXE \xff"), ClientClass::Other);
    assert_eq!(class(b"\x4d\x04\xffPXE\xff"), ClientClass::Other);
    assert_eq!(class(b"\x3c\x15HTTPClient:Arch:00016\xff"), ClientClass::HttpClient);
    assert_eq!(class(b"\x3c\x04udhc\xff"), ClientClass::Other);
}

#[test]
fn ipxes_own_options_are_opened() {
    let question = Question::decode(&packet(&[53, 1, 1, 175, 6, 176, 1, 1, 0x21, 1, 1, 255])).unwrap();
    assert!(question.ipxe_options && question.ipxe_no_proxy);
    let question = Question::decode(&packet(&[53, 1, 1, 175, 3, 0x21, 1, 1, 255])).unwrap();
    assert!(question.ipxe_options && !question.ipxe_no_proxy);
}

#[test]
fn a_long_option_is_joined_from_its_parts() {
    let part = vec![b'a'; 255];
    let options = [&[53, 1, 1, 60, 255][..], &part, &[55, 1, 1, 60, 2, b'b', b'c', 255]].concat();
    let question = Question::decode(&packet(&options)).unwrap();
    assert_eq!(question.vendor_class.len(), 257);
    assert!(question.vendor_class.ends_with(b"abc"));
}

#[test]
fn overloaded_file_and_sname_hold_options_and_no_names() {
    let mut bytes = packet(&[52, 1, 3, 53, 1, 1, 255]);
    bytes[108..115].copy_from_slice(&[50, 4, 10, 10, 0, 11, 255]);
    bytes[44..49].copy_from_slice(&[93, 2, 0, 16, 255]);
    let question = Question::decode(&bytes).unwrap();
    assert_eq!(question.requested, Some(Ipv4Addr::new(10, 10, 0, 11)));
    assert_eq!(question.architectures, [Architecture::X64_Http]);
    assert!(question.file.is_empty() && question.server_name.is_empty());

    bytes[242] = 2;
    let question = Question::decode(&bytes).unwrap();
    assert_eq!(question.requested, None);
    assert_eq!(question.file, [50, 4, 10, 10]);
}

#[test]
fn malformed_packets_say_what_is_wrong() {
    let mut reply = packet(&[53, 1, 1, 255]);
    reply[0] = 2;
    let mut wide = packet(&[53, 1, 1, 255]);
    wide[2] = 255;
    let mut cookie = packet(&[53, 1, 1, 255]);
    cookie[236] = 98;
    for (bytes, fault) in [
        (vec![], Fault::Short(0)),
        (vec![1; 239], Fault::Short(239)),
        (reply, Fault::Operation(2)),
        (wide, Fault::HardwareLength(255)),
        (cookie, Fault::Cookie([98, 130, 83, 99])),
        (packet(&[255]), Fault::NoMessageType),
        (packet(&[]), Fault::NoMessageType),
        (packet(&[53, 1, 2, 255]), Fault::MessageType(2)),
        (packet(&[53, 1, 77, 255]), Fault::MessageType(77)),
        (packet(&[53, 2, 1, 1, 255]), Fault::Length { code: 53, has: 2, wants: "1" }),
        (packet(&[53]), Fault::Overrun { code: 53, claims: 1, left: 0 }),
        (packet(&[53, 1, 1, 60, 200, b'P']), Fault::Overrun { code: 60, claims: 200, left: 1 }),
        (packet(&[53, 1, 1, 50, 3, 1, 2, 3, 255]), Fault::Length { code: 50, has: 3, wants: "4" }),
        (packet(&[53, 1, 1, 50, 0, 255]), Fault::Length { code: 50, has: 0, wants: "4" }),
        (packet(&[53, 1, 1, 57, 1, 3, 255]), Fault::Length { code: 57, has: 1, wants: "2" }),
        (packet(&[53, 1, 1, 93, 3, 0, 7, 0, 255]), Fault::Length { code: 93, has: 3, wants: "an even number" }),
        (packet(&[53, 1, 1, 94, 2, 1, 3, 255]), Fault::Length { code: 94, has: 2, wants: "3" }),
        (packet(&[53, 1, 1, 52, 0, 255]), Fault::Length { code: 52, has: 0, wants: "1" }),
        (packet(&[53, 1, 1, 175, 2, 176, 9, 255]), Fault::Overrun { code: 176, claims: 9, left: 0 }),
    ] {
        assert_eq!(Question::decode(&bytes), Err(fault));
    }
}

/// Lengths at which dhcproto's own decoder stops a debug build.
#[test]
fn options_that_do_not_matter_may_have_any_length() {
    assert!(Question::decode(&packet(&[53, 1, 1, 80, 2, 1, 1, 81, 1, 0, 151, 0, 121, 2, 33, 1, 255])).is_ok());
}

#[test]
fn an_answer_is_this_packet_byte_for_byte() {
    let mut answer = Answer::to(&discover(), AnswerKind::Offer, Ipv4Addr::new(10, 10, 0, 1));
    answer.yiaddr = Ipv4Addr::new(10, 10, 0, 11);
    answer.siaddr = Ipv4Addr::new(10, 10, 0, 1);
    answer.lease = Some(Lease { seconds: 86400 });
    answer.netmask = Some(Ipv4Addr::new(255, 255, 255, 0));
    answer.router = Some(Ipv4Addr::new(10, 10, 0, 254));
    answer.name_servers = vec![Ipv4Addr::new(9, 9, 9, 9)];
    answer.host_name = "n1".into();
    answer.server_name = "10.10.0.1".into();
    answer.file = "warewulf/undionly.kpxe".into();
    answer.vendor_class = b"PXEClient".to_vec();
    answer.pxe = Some(PxeControl::FileIsHere);
    answer.ipxe_no_proxy = true;
    answer.machine = Some(vec![0; 17]);
    answer.relay = Some(vec![1, 2, 3, 4]);
    let encoded = answer.encode(Some(1472));
    let bytes = &encoded.bytes;
    assert_eq!(&bytes[..12], [2, 1, 6, 0, 0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 0]);
    assert_eq!(&bytes[12..28], [0, 0, 0, 0, 10, 10, 0, 11, 10, 10, 0, 1, 0, 0, 0, 0]);
    assert_eq!(&bytes[28..44], [0x52, 0x54, 0, 0x10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&bytes[44..54], b"10.10.0.1\0");
    assert_eq!(&bytes[108..131], b"warewulf/undionly.kpxe\0");
    assert_eq!(&bytes[236..240], [99, 130, 83, 99]);
    let mut options = vec![53, 1, 2, 54, 4, 10, 10, 0, 1, 51, 4, 0, 1, 0x51, 0x80, 1, 4, 255, 255, 255, 0];
    options.extend_from_slice(&[3, 4, 10, 10, 0, 254, 60, 9]);
    options.extend_from_slice(b"PXEClient");
    options.extend_from_slice(&[43, 4, 6, 1, 8, 255, 66, 9]);
    options.extend_from_slice(b"10.10.0.1");
    options.extend_from_slice(&[67, 22]);
    options.extend_from_slice(b"warewulf/undionly.kpxe");
    options.extend_from_slice(&[175, 3, 176, 1, 1, 97, 17]);
    options.extend_from_slice(&[0; 17]);
    options.extend_from_slice(&[6, 4, 9, 9, 9, 9, 12, 2, b'n', b'1', 82, 4, 1, 2, 3, 4, 255]);
    assert_eq!(&bytes[240..], options);
    assert!(encoded.omitted.is_empty());
}

#[test]
fn a_short_answer_is_padded_to_what_bootp_sends() {
    let answer = Answer::to(&discover(), AnswerKind::Nak, Ipv4Addr::new(10, 10, 0, 1));
    assert_eq!(answer.encode(None).bytes.len(), 300);
}

#[test]
fn what_the_client_has_no_room_for_goes_into_free_fields_and_then_away() {
    let mut answer = Answer::to(&discover(), AnswerKind::Offer, Ipv4Addr::new(10, 10, 0, 1));
    answer.relay = Some(vec![7; 200]);
    answer.host_name = "h".repeat(8);
    answer.message = "m".repeat(100);
    answer.client_id = Some(vec![3; 80]);
    let encoded = answer.encode(Some(0));
    assert!(encoded.bytes.len() <= 548, "576 with its headers: {}", encoded.bytes.len());
    assert_eq!(&encoded.bytes[encoded.bytes.len() - 203..][..2], [82, 200], "the relay's option is the last");
    assert_eq!(&encoded.bytes[108..110], [56, 100], "the message went into file");
    assert_eq!(encoded.bytes[108 + 102], 255);
    assert!(encoded.bytes.windows(3).any(|three| three == [52, 1, 1]));
    assert!(encoded.omitted.is_empty());

    answer.file = "warewulf/undionly.kpxe".into();
    answer.server_name = "10.10.0.1".into();
    assert_eq!(answer.encode(Some(0)).omitted, [61, 56]);
    assert!(answer.encode(Some(1500)).omitted.is_empty());
}

#[test]
fn a_file_name_too_long_for_its_field_is_an_option_only() {
    let mut answer = Answer::to(&discover(), AnswerKind::Offer, Ipv4Addr::new(10, 10, 0, 1));
    answer.file = format!("http://10.10.0.1/{}", "x".repeat(300));
    let bytes = answer.encode(Some(1472)).bytes;
    assert_eq!(bytes[108..236], [0; 128]);
    assert!(bytes.windows(2).any(|two| two == [67, 255]), "RFC 3396: in parts of 255");
    assert!(bytes.windows(2).any(|two| two == [67, 62]));
}

proptest! {
    #[test]
    fn any_bytes_are_a_question_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
        let _ = Question::decode(&bytes);
    }

    #[test]
    fn any_options_are_a_question_or_a_fault(
        hlen in any::<u8>(),
        options in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40), 0u8..5), 0..20),
        fields in proptest::collection::vec(any::<u8>(), 192),
    ) {
        let mut bytes = packet(&[53, 1, 1]);
        bytes[2] = hlen;
        bytes[44..236].copy_from_slice(&fields);
        for (code, value, lie) in options {
            bytes.push(code);
            bytes.push((value.len() as u8).saturating_add(lie / 3));
            bytes.extend(value);
        }
        if let Ok(question) = Question::decode(&bytes) {
            let _ = question.class();
            let answer = Answer::to(&question, AnswerKind::Ack, Ipv4Addr::LOCALHOST);
            let encoded = answer.encode(question.max_size);
            prop_assert!(encoded.bytes.len() >= 300 && encoded.bytes.len() <= 1472);
        }
    }
}
