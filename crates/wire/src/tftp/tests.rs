//! Packets, and whole transfers over a bad network on a clock of their own.
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are made to be cut")]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// Numbers by a seed, so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.roll() % 100 < chance
    }
}

/// What the network does to packets, in percent.
#[derive(Clone, Copy, Default)]
struct Weather {
    loss: u64,
    twice: u64,
    late: u64,
}

/// A client as RFC 1350 and 7440 describe it: in order only, the last good block acknowledged at the end of a window and
/// when something is missing.
struct Reader {
    request: ReadRequest,
    window: u64,
    block_size: usize,
    got: Vec<u8>,
    blocks: u64,
    since_ack: u64,
    done: bool,
    negotiated: bool,
}

impl Reader {
    fn new(request: ReadRequest) -> Reader {
        Reader {
            window: request.window.map_or(1, u64::from),
            block_size: usize::from(request.block_size.unwrap_or(512)),
            negotiated: !request.has_options(),
            request,
            got: Vec::new(),
            blocks: 0,
            since_ack: 0,
            done: false,
        }
    }

    fn ack(&mut self) -> Option<Packet> {
        self.since_ack = 0;
        Some(Packet::Ack { block: (self.blocks % 65536) as u16 })
    }

    fn receive(&mut self, packet: Packet) -> Option<Packet> {
        match packet {
            Packet::OptionAck(options) => {
                for (name, value) in options {
                    match name.as_str() {
                        "blksize" => self.block_size = value.parse().unwrap(),
                        "windowsize" => self.window = value.parse().unwrap(),
                        _ => {}
                    }
                }
                self.negotiated = true;
                (self.blocks == 0).then(|| self.ack()).flatten()
            }
            Packet::Data { block, bytes } if self.negotiated => {
                if block == ((self.blocks + 1) % 65536) as u16 && !self.done {
                    self.blocks += 1;
                    self.since_ack += 1;
                    self.done = bytes.len() < self.block_size;
                    self.got.extend(bytes);
                    if self.done || self.since_ack >= self.window { self.ack() } else { None }
                } else {
                    self.ack()
                }
            }
            _ => None,
        }
    }
}

struct Run {
    outcome: Outcome,
    got: Vec<u8>,
    took: Duration,
    data_packets: u64,
    blocks: u64,
}

/// Lets a transfer run over a bad network, on a clock of its own; a round trip is 2 ms.
fn run(request: &ReadRequest, file: &[u8], weather: Weather, seed: u64) -> Run {
    let mut dice = Dice(seed);
    let mut transfer = Transfer::new(request, file.len() as u64, Limits::default());
    let mut reader = Reader::new(request.clone());
    // Arrival -> (is it for the reader?, packet)
    let mut air: BTreeMap<(Duration, u64), (bool, Packet)> = BTreeMap::new();
    let mut serial = 0;
    let mut now = Duration::ZERO;
    let mut data_packets = 0;
    let mut launch = |air: &mut BTreeMap<_, _>, now: Duration, to_reader: bool, packet: Packet, dice: &mut Dice| {
        let copies = if dice.percent(weather.loss) { 0 } else { 1 + u64::from(dice.percent(weather.twice)) };
        for _ in 0..copies {
            let delay = if dice.percent(weather.late) { MS * (1 + (dice.roll() % 40) as u32) } else { MS };
            serial += 1;
            air.insert((now + delay, serial), (to_reader, packet.clone()));
        }
    };
    let mut reader_retry = Duration::from_millis(700);
    loop {
        let until = loop {
            match transfer.poll(now) {
                Step::Send(Send::OptionAck(bytes)) => {
                    launch(&mut air, now, true, Packet::decode(&bytes).unwrap(), &mut dice);
                }
                Step::Send(Send::Data { block, offset, length }) => {
                    data_packets += 1;
                    let bytes = file[offset as usize..offset as usize + usize::from(length)].to_vec();
                    launch(&mut air, now, true, Packet::Data { block, bytes }, &mut dice);
                }
                Step::Wait { until } => break until,
                Step::Finished(outcome) => {
                    return Run { outcome, got: reader.got, took: now, data_packets, blocks: reader.blocks };
                }
            }
        };
        assert!(now < Duration::from_secs(3600), "seed {seed}: no end in an hour");
        let arrival = air.keys().next().map(|(at, _)| *at);
        let next = [Some(until), arrival, (!reader.done && reader.blocks > 0).then_some(reader_retry)];
        now = next.into_iter().flatten().min().unwrap().max(now);
        while let Some(entry) = air.first_entry().filter(|entry| entry.key().0 <= now) {
            let (to_reader, packet) = entry.remove();
            if to_reader {
                reader_retry = now + Duration::from_millis(700);
                if let Some(answer) = reader.receive(packet) {
                    launch(&mut air, now, false, answer, &mut dice);
                }
            } else {
                transfer.receive(&packet, now);
            }
        }
        // Clients repeat their last word when nothing comes.
        if reader_retry <= now && !reader.done && reader.blocks > 0 {
            reader_retry = now + Duration::from_millis(700);
            if let Some(answer) = reader.ack() {
                launch(&mut air, now, false, answer, &mut dice);
            }
        }
        let _ = &reader.request;
    }
}

fn file(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 7 + at / 512) as u8).collect()
}

fn wish(block_size: Option<u16>, window: Option<u16>) -> ReadRequest {
    ReadRequest { block_size, window, ..ReadRequest::new("warewulf/undionly.kpxe") }
}

#[test]
fn a_file_arrives_whole_in_as_few_packets_as_there_are_blocks() {
    for size in [0, 1, 511, 512, 513, 1024, 100_000] {
        let content = file(size);
        let run = run(&wish(None, None), &content, Weather::default(), 1);
        assert_eq!(run.outcome, Outcome::Sent);
        assert_eq!(run.got, content);
        assert_eq!(run.data_packets, size as u64 / 512 + 1);
    }
}

#[test]
fn an_even_file_ends_in_an_empty_block() {
    let run = run(&wish(Some(1024), Some(4)), &file(4096), Weather::default(), 1);
    assert_eq!((run.outcome, run.blocks, run.data_packets), (Outcome::Sent, 5, 5));
}

#[test]
fn a_window_saves_round_trips() {
    let content = file(1_000_000);
    let slow = run(&wish(Some(1428), None), &content, Weather::default(), 1);
    let fast = run(&wish(Some(1428), Some(16)), &content, Weather::default(), 1);
    assert_eq!((slow.outcome, fast.outcome), (Outcome::Sent, Outcome::Sent));
    assert!(fast.took * 15 < slow.took, "{:?} and {:?}", fast.took, slow.took);
}

#[test]
fn block_numbers_go_round_after_65535() {
    let content = file(512 * 65_540 + 3);
    let run = run(&wish(None, Some(64)), &content, Weather::default(), 1);
    assert_eq!(run.outcome, Outcome::Sent);
    assert_eq!(run.blocks, 65_541);
    assert!(run.got == content);
}

#[test]
fn a_file_arrives_through_loss_duplication_and_reordering() {
    for seed in 0..200 {
        let mut dice = Dice(seed * 977);
        let weather = Weather { loss: dice.roll() % 26, twice: dice.roll() % 30, late: dice.roll() % 30 };
        let windows = [None, Some(1), Some(2), Some(4), Some(16), Some(64)];
        let request = wish([None, Some(1428)][(dice.roll() % 2) as usize], windows[(dice.roll() % 6) as usize]);
        let content = file((dice.roll() % 60_000) as usize);
        let run = run(&request, &content, weather, seed);
        assert!(
            matches!(run.outcome, Outcome::Sent | Outcome::Unconfirmed),
            "seed {seed}, loss {}: {:?}",
            weather.loss,
            run.outcome
        );
        assert!(run.got == content, "seed {seed}: {} of {} bytes", run.got.len(), content.len());
    }
}

/// The Sorcerer's Apprentice: one duplicate in the network must not be answered by duplicates until the end.
#[test]
fn duplicated_packets_do_not_multiply() {
    for window in [None, Some(4), Some(16)] {
        let content = file(512 * 400);
        let calm = run(&wish(None, window), &content, Weather::default(), 7);
        let doubled = run(&wish(None, window), &content, Weather { twice: 100, ..Weather::default() }, 7);
        assert_eq!(doubled.outcome, Outcome::Sent);
        assert!(doubled.got == content);
        assert_eq!(calm.data_packets, 401);
        assert_eq!(doubled.data_packets, 401, "window {window:?}");
    }
}

#[test]
fn a_lost_acknowledgement_costs_one_timeout_and_one_block() {
    let mut transfer = Transfer::new(&wish(None, None), 1000, Limits::default());
    let first = Step::Send(Send::Data { block: 1, offset: 0, length: 512 });
    assert_eq!(transfer.poll(MS), first);
    assert_eq!(transfer.poll(MS), Step::Wait { until: MS + Duration::from_secs(1) });
    assert_eq!(transfer.poll(Duration::from_secs(2)), first);
    assert_eq!(transfer.poll(Duration::from_secs(2)), Step::Wait { until: Duration::from_secs(4) });
    transfer.receive(&Packet::Ack { block: 1 }, Duration::from_secs(2));
    // The late answer to the first sending, and then the one to the second.
    transfer.receive(&Packet::Ack { block: 1 }, Duration::from_secs(2));
    assert_eq!(transfer.poll(Duration::from_secs(2)), Step::Send(Send::Data { block: 2, offset: 512, length: 488 }));
    transfer.receive(&Packet::Ack { block: 2 }, Duration::from_secs(3));
    assert_eq!(transfer.poll(Duration::from_secs(3)), Step::Finished(Outcome::Sent));
}

#[test]
fn a_gap_in_a_window_is_filled_from_where_it_begins() {
    let mut transfer = Transfer::new(&wish(None, Some(4)), 512 * 8, Limits::default());
    let Step::Send(Send::OptionAck(bytes)) = transfer.poll(MS) else { panic!() };
    assert_eq!(bytes, b"\0\x06windowsize\x004\0");
    transfer.receive(&Packet::Ack { block: 0 }, MS * 2);
    for block in 1..=4u16 {
        let Step::Send(Send::Data { block: sent, .. }) = transfer.poll(MS * 2) else { panic!() };
        assert_eq!(sent, block);
    }
    assert!(matches!(transfer.poll(MS * 2), Step::Wait { .. }));
    transfer.receive(&Packet::Ack { block: 2 }, MS * 4);
    for block in 3..=6u16 {
        let Step::Send(Send::Data { block: sent, .. }) = transfer.poll(MS * 4) else { panic!() };
        assert_eq!(sent, block);
    }
}

#[test]
fn the_clients_own_timeout_is_kept() {
    let request = ReadRequest { timeout: Some(5), ..ReadRequest::new("x") };
    let mut transfer = Transfer::new(&request, 10, Limits::default());
    assert_eq!(transfer.poll(MS), Step::Send(Send::OptionAck(b"\0\x06timeout\x005\0".to_vec())));
    assert_eq!(transfer.poll(MS), Step::Wait { until: MS + Duration::from_secs(5) });
}

#[test]
fn a_rom_that_only_wants_the_size_is_done_at_its_error() {
    let request = ReadRequest { size: true, block_size: Some(1456), ..ReadRequest::new("x") };
    let mut transfer = Transfer::new(&request, 70_000, Limits::default());
    assert_eq!(transfer.poll(MS), Step::Send(Send::OptionAck(b"\0\x06tsize\x0070000\0blksize\x001456\0".to_vec())));
    transfer.receive(&Packet::Error { code: 0, message: "TFTP Aborted".into() }, MS);
    assert_eq!(transfer.poll(MS), Step::Finished(Outcome::SizeOnly));
}

#[test]
fn a_silent_client_is_given_up_and_a_closed_port_at_once() {
    let mut transfer = Transfer::new(&wish(None, None), 100_000, Limits::default());
    let mut now = MS;
    let mut sent = 0;
    let outcome = loop {
        match transfer.poll(now) {
            Step::Send(_) => sent += 1,
            Step::Wait { until } => now = until,
            Step::Finished(outcome) => break outcome,
        }
    };
    assert_eq!((sent, outcome), (10, Outcome::Silent { acknowledged: 0 }));
    assert!(now > Duration::from_secs(20) && now < Duration::from_secs(60), "{now:?}");

    let mut transfer = Transfer::new(&wish(None, None), 100, Limits::default());
    let _ = transfer.poll(MS);
    transfer.unreachable();
    assert_eq!(transfer.poll(MS), Step::Finished(Outcome::Unconfirmed));
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_is_passed_over() {
    let mut transfer = Transfer::new(&wish(None, None), 100_000, Limits::default());
    let _ = transfer.poll(MS);
    transfer.receive(&Packet::Ack { block: 9 }, MS);
    transfer.receive(&Packet::Ack { block: 65535 }, MS);
    assert!(matches!(transfer.poll(MS), Step::Wait { .. }));
}

#[test]
fn what_is_granted_has_limits() {
    let mut transfer = Transfer::new(&wish(Some(65464), Some(65535)), 10, Limits::default());
    let Step::Send(Send::OptionAck(bytes)) = transfer.poll(MS) else { panic!() };
    assert_eq!(bytes, b"\0\x06blksize\x001468\0windowsize\x0064\0");
    assert_eq!((transfer.block_size(), transfer.window()), (1468, 64));
}

#[test]
fn requests_are_read_whatever_their_case_and_order() {
    let bytes = b"\0\x01/warewulf/undionly.kpxe\0OcTeT\0TSIZE\x000\0BlkSize\x001456\0WindowSize\x008\0multicast\0\0timeout\x003\0";
    let wanted = ReadRequest {
        name: b"/warewulf/undionly.kpxe".to_vec(),
        mode: Mode::Octet,
        block_size: Some(1456),
        size: true,
        timeout: Some(3),
        window: Some(8),
    };
    assert_eq!(Packet::decode(bytes), Ok(Packet::Read(wanted)));
}

#[test]
fn options_that_cannot_be_meant_are_as_if_not_sent() {
    let bytes = b"\0\x01x\0octet\0blksize\x007\0timeout\x000\0windowsize\0many\0blksize\0-1\0odd\0";
    assert_eq!(Packet::decode(bytes), Ok(Packet::Read(ReadRequest::new("x"))));
}

#[test]
fn malformed_packets_say_what_is_wrong() {
    for (bytes, fault) in [
        (&b""[..], Fault::Short(0)),
        (b"\0", Fault::Short(1)),
        (b"\0\x01", Fault::Unterminated),
        (b"\0\x01undionly.kpxe", Fault::Unterminated),
        (b"\0\x01undionly.kpxe\0octet", Fault::Unterminated),
        (b"\0\x01\0octet\0", Fault::NoName),
        (b"\0\x01x\0mail\0", Fault::Mode("mail".into())),
        (b"\0\x01x\0", Fault::Mode(String::new())),
        (b"\0\x04\0", Fault::Short(3)),
        (b"\0\x05", Fault::Short(2)),
        (b"\0\x09", Fault::Operation(9)),
    ] {
        assert_eq!(Packet::decode(bytes), Err(fault), "{bytes:?}");
    }
}

#[test]
fn netascii_ends_lines_in_both() {
    assert_eq!(netascii(b"a\nb\r\n"), b"a\r\nb\r\0\r\n");
}

proptest! {
    #[test]
    fn any_bytes_are_a_packet_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..600), operation in 0u8..8) {
        let _ = Packet::decode(&bytes);
        let _ = Packet::decode(&[&[0, operation], &bytes[..]].concat());
    }

    #[test]
    fn what_is_written_is_read_back(block in any::<u16>(), bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        for packet in [Packet::Ack { block }, Packet::Data { block, bytes }, Packet::Error { code: block, message: "no".into() }] {
            prop_assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
        }
    }

    #[test]
    fn no_packet_upsets_a_transfer(
        size in 0u64..5000,
        window in proptest::option::of(1u16..20),
        events in proptest::collection::vec((0u8..4, any::<u16>(), 0u64..3000), 0..200),
    ) {
        let mut transfer = Transfer::new(&wish(None, window), size, Limits::default());
        let mut now = Duration::ZERO;
        for (kind, number, later) in events {
            now += Duration::from_millis(later);
            while let Step::Send(sent) = transfer.poll(now) {
                if let Send::Data { offset, length, .. } = sent {
                    prop_assert!(offset + u64::from(length) <= size);
                }
            }
            let packet = match kind {
                0 => Packet::Ack { block: number % 12 },
                1 => Packet::Ack { block: number },
                2 => Packet::Data { block: number, bytes: vec![] },
                _ => Packet::OptionAck(vec![]),
            };
            transfer.receive(&packet, now);
        }
    }
}
