//! The leases on disk: `<localstatedir>/warewulf/leases`, a text that a person can read, a line for each change.
//!
//! A line is written and on disk before the answer that it stands for leaves. The last line for an address counts. When
//! the file has grown much longer than what it says, it is written anew and renamed into place.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use boot::dhcp::{Lease, Leases, State};

use super::publish;

const HEADING: &str =
    "# Leases of the DHCP range: address, state, until when (UTC), client. The last line for an address counts.\n";
/// An address that nobody asked for in so many seconds is forgotten.
const KEPT: u64 = 30 * 86_400;
/// Lines that are never worth a rewrite.
const FEW: usize = 1_000;

/// The open file.
#[derive(Debug)]
pub struct LeaseFile {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    length: u64,
    lines: usize,
}

impl LeaseFile {
    /// Opens or makes the file, and reads it. What cannot be understood is passed over and told: a line that was torn by a
    /// power cut, or one that somebody edited.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(path: &Path, now: u64) -> io::Result<(LeaseFile, Leases, Vec<String>)> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let (leases, complaints) = read(&text);
        let complaints = complaints.into_iter().map(|complaint| format!("{}: {complaint}", path.display())).collect();
        let file = rewrite(path, &leases, now)?;
        Ok((file, leases, complaints))
    }

    /// Adds lines and waits until they are on disk. One wait for all of them: callers gather what they can.
    ///
    /// # Errors
    /// When they are not on disk. The file then holds whole lines all the same: what was written in part is cut off.
    pub fn append(&mut self, leases: &[Lease]) -> io::Result<()> {
        let text: String = leases.iter().filter(|lease| lease.is_durable()).map(line).collect();
        if text.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += text.len() as u64;
        self.lines += text.lines().count();
        Ok(())
    }

    /// Whether most of the file is history by now.
    pub fn is_long(&self, entries: usize) -> bool {
        self.lines > FEW + 4 * entries
    }

    /// Writes the file anew with what counts.
    ///
    /// # Errors
    /// When that fails; the old file then goes on.
    pub fn compact(&mut self, leases: &Leases, now: u64) -> io::Result<()> {
        *self = rewrite(&self.path, leases, now)?;
        Ok(())
    }
}

fn rewrite(path: &Path, leases: &Leases, now: u64) -> io::Result<LeaseFile> {
    let mut text = String::from(HEADING);
    let mut lines = 0;
    for lease in leases.iter().filter(|lease| lease.is_durable() && lease.until + KEPT > now) {
        text.push_str(&line(lease));
        lines += 1;
    }
    publish::replace_with(path, 0o644, text.as_bytes())?;
    let file = OpenOptions::new().append(true).open(path)?;
    Ok(LeaseFile { path: path.into(), file, length: text.len() as u64, lines })
}

fn read(text: &str) -> (Leases, Vec<String>) {
    let mut leases = Leases::default();
    let mut complaints = Vec::new();
    for (at, whole) in text.split_inclusive('\n').enumerate() {
        let Some(content) = whole.strip_suffix('\n') else {
            complaints.push(format!("line {}: passed over, it was written only in part: {whole:?}", at + 1));
            break;
        };
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        match parse(content) {
            Some(lease) => leases.put(lease),
            None => complaints.push(format!("line {}: passed over, this is no lease: {content:?}", at + 1)),
        }
    }
    (leases, complaints)
}

fn line(lease: &Lease) -> String {
    format!("{} {} {} {}\n", lease.address, lease.state.word(), utc(lease.until), lease.client)
}

fn parse(content: &str) -> Option<Lease> {
    let mut words = content.split_whitespace();
    let lease = Lease {
        address: words.next()?.parse().ok()?,
        state: State::of(words.next()?)?,
        until: seconds(words.next()?)?,
        client: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some(lease)
}

/// `2026-11-22T20:15:00Z`, by the civil calendar.
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that the leap day is the last of one.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

fn seconds(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let three = |text: &str, mark: char| -> Option<(u64, u64, u64)> {
        let mut parts = text.split(mark).map(|part| part.parse::<u64>().ok());
        let found = (parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(found)
    };
    let (year, month, day) = three(date, '-')?;
    let (hour, minute, second) = three(time, ':')?;
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    days.checked_sub(719_468).map(|days| days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const NOW: u64 = 1_795_379_000;

    fn lease(last: u8, state: State, until: u64) -> Lease {
        Lease {
            address: Ipv4Addr::new(10, 10, 0, last),
            client: format!("52:54:00:99:00:{last:02x}").parse().unwrap(),
            state,
            until,
        }
    }

    fn lines(path: &Path) -> Vec<String> {
        std::fs::read_to_string(path).unwrap().lines().skip(1).map(String::from).collect()
    }

    #[test]
    fn the_file_is_a_line_a_lease_that_a_person_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("warewulf/leases");
        let (mut file, _, complaints) = LeaseFile::open(&path, NOW).unwrap();
        assert!(complaints.is_empty());
        file.append(&[lease(100, State::Bound, NOW + 3600), lease(101, State::Offered, NOW)]).unwrap();
        file.append(&[lease(102, State::Declined, NOW + 60)]).unwrap();
        assert_eq!(
            lines(&path),
            [
                "10.10.0.100 bound 2026-11-22T21:23:20Z 52:54:00:99:00:64",
                "10.10.0.102 declined 2026-11-22T20:24:20Z 52:54:00:99:00:66"
            ]
        );
    }

    #[test]
    fn leases_are_there_after_a_restart_and_the_last_line_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        let (mut file, ..) = LeaseFile::open(&path, NOW).unwrap();
        file.append(&[lease(100, State::Bound, NOW + 10), lease(100, State::Bound, NOW + 20)]).unwrap();
        file.append(&[lease(101, State::Bound, NOW + 10), lease(101, State::Released, NOW)]).unwrap();
        drop(file);
        let (_, leases, complaints) = LeaseFile::open(&path, NOW).unwrap();
        assert!(complaints.is_empty());
        let all: Vec<&Lease> = leases.iter().collect();
        assert_eq!(all, [&lease(100, State::Bound, NOW + 20), &lease(101, State::Released, NOW)]);
        assert_eq!(lines(&path).len(), 2, "read once, written anew");
    }

    #[test]
    fn a_torn_last_line_and_a_spoilt_one_are_told_and_cost_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        let whole = line(&lease(100, State::Bound, NOW + 10));
        for cut in 1..whole.len() {
            let text = format!("10.10.0.9 bound soon me\n{whole}{}", &whole[..cut]);
            std::fs::write(&path, text).unwrap();
            let (_, leases, complaints) = LeaseFile::open(&path, NOW).unwrap();
            assert_eq!(leases.iter().count(), 1);
            assert_eq!(complaints.len(), 2, "{complaints:?}");
            assert!(
                complaints[0].ends_with("leases: line 1: passed over, this is no lease: \"10.10.0.9 bound soon me\"")
            );
            assert!(complaints[1].contains("line 3: passed over, it was written only in part"));
        }
        std::fs::write(&path, b"\xff\xfe\0\0\0").unwrap();
        assert_eq!(LeaseFile::open(&path, NOW).unwrap().2.len(), 1);
    }

    #[test]
    fn a_long_history_is_written_anew_with_what_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        let (mut file, mut leases, _) = LeaseFile::open(&path, NOW).unwrap();
        let many: Vec<Lease> = (0..2_000).map(|more| lease(100, State::Bound, NOW + more)).collect();
        file.append(&many).unwrap();
        leases.put(many.last().unwrap().clone());
        leases.put(lease(101, State::Bound, NOW - KEPT - 1));
        assert!(file.is_long(1));
        file.compact(&leases, NOW).unwrap();
        assert!(!file.is_long(1));
        assert_eq!(lines(&path).len(), 1);
        file.append(&[lease(103, State::Bound, NOW)]).unwrap();
        assert_eq!(lines(&path).len(), 2);
    }

    /// /dev/full takes no byte, as a full disk.
    #[test]
    fn a_full_disk_is_an_error_and_not_half_a_line() {
        let mut file = LeaseFile {
            path: "/dev/full".into(),
            file: OpenOptions::new().append(true).open("/dev/full").unwrap(),
            length: 0,
            lines: 0,
        };
        let error = file.append(&[lease(100, State::Bound, NOW)]).unwrap_err();
        assert!(error.kind() == io::ErrorKind::StorageFull || error.kind() == io::ErrorKind::InvalidInput, "{error}");
        assert_eq!(file.lines, 0);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (number, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(number), text);
            assert_eq!(seconds(text), Some(number));
        }
        for day in 0..60_000 {
            assert_eq!(seconds(&utc(day * 86_400 + 4_711)), Some(day * 86_400 + 4_711));
        }
        for text in ["", "soon", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01", "1969-12-31T00:00:00Z"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
