//! TFTP packets: bytes to values and back.

use thiserror::Error;

/// How the bytes of a file are to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Octet,
    /// Line ends become CR LF (RFC 764); see [`netascii`].
    Netascii,
}

/// A client's wish to read a file, with the options that are known here; one that it cannot mean is as if not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// As sent: any bytes but 0.
    pub name: Vec<u8>,
    pub mode: Mode,
    /// Bytes a block, 8 to 65464 (RFC 2348).
    pub block_size: Option<u16>,
    /// The client asks how long the file is (RFC 2349).
    pub size: bool,
    /// Seconds until a block is sent again, 1 to 255 (RFC 2349).
    pub timeout: Option<u8>,
    /// Blocks that are sent before an acknowledgement, at least 1 (RFC 7440).
    pub window: Option<u16>,
}

/// A packet from the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    Read(ReadRequest),
    Write,
    Data { block: u16, bytes: Vec<u8> },
    Ack { block: u16 },
    Error { code: u16, message: String },
    OptionAck(Vec<(String, String)>),
}

/// Error codes (RFC 1350, appendix; 8 from RFC 2347).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Undefined = 0,
    NotFound = 1,
    Access = 2,
    Illegal = 4,
    UnknownTransfer = 5,
    Options = 8,
}

/// Why bytes are no TFTP packet.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    #[error("{0} bytes are too short for TFTP")]
    Short(usize),
    #[error("no TFTP operation has the number {0}")]
    Operation(u16),
    #[error("the request has no end: a closing 0 is missing")]
    Unterminated,
    #[error("the request names no file")]
    NoName,
    #[error("mode {0:?} is neither octet nor netascii")]
    Mode(String),
}

impl Packet {
    /// Reads a datagram.
    ///
    /// # Errors
    /// [`Fault`] when it is no TFTP packet.
    pub fn decode(bytes: &[u8]) -> Result<Packet, Fault> {
        let Some((operation, rest)) = number(bytes) else { return Err(Fault::Short(bytes.len())) };
        match operation {
            1 => read_request(rest).map(Packet::Read),
            2 => Ok(Packet::Write),
            3 => {
                let (block, data) = number(rest).ok_or(Fault::Short(bytes.len()))?;
                Ok(Packet::Data { block, bytes: data.to_vec() })
            }
            4 => Ok(Packet::Ack { block: number(rest).ok_or(Fault::Short(bytes.len()))?.0 }),
            5 => {
                let (code, text) = number(rest).ok_or(Fault::Short(bytes.len()))?;
                // Some ROMs do not close the text; it only goes to the log.
                let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
                Ok(Packet::Error { code, message: String::from_utf8_lossy(text).into_owned() })
            }
            6 => {
                let fields = fields(rest)?;
                let pairs = fields.chunks_exact(2).filter_map(|pair| Some((lossy(pair.first()?), lossy(pair.get(1)?))));
                Ok(Packet::OptionAck(pairs.collect()))
            }
            other => Err(Fault::Operation(other)),
        }
    }

    /// The bytes of the packet; requests are what clients send, so only tests have use for those.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Packet::Read(request) => request.encode(),
            Packet::Write => vec![0, 2],
            Packet::Data { block, bytes } => [&[0, 3], &block.to_be_bytes()[..], bytes].concat(),
            Packet::Ack { block } => [[0, 4], block.to_be_bytes()].concat(),
            Packet::Error { code, message } => [&[0, 5], &code.to_be_bytes()[..], message.as_bytes(), &[0]].concat(),
            Packet::OptionAck(options) => {
                let mut bytes = vec![0, 6];
                for (name, value) in options {
                    close(&mut bytes, name.as_bytes());
                    close(&mut bytes, value.as_bytes());
                }
                bytes
            }
        }
    }

    /// An error for the other side.
    pub fn error(code: Code, message: &str) -> Packet {
        Packet::Error { code: code as u16, message: message.into() }
    }
}

impl ReadRequest {
    /// A wish without options.
    pub fn new(name: &str) -> ReadRequest {
        ReadRequest { name: name.into(), mode: Mode::Octet, block_size: None, size: false, timeout: None, window: None }
    }

    /// Whether any option was sent that an option acknowledgement must answer.
    pub fn has_options(&self) -> bool {
        self.block_size.is_some() || self.size || self.timeout.is_some() || self.window.is_some()
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0, 1];
        close(&mut bytes, &self.name);
        close(&mut bytes, if self.mode == Mode::Octet { b"octet" } else { b"netascii" });
        let options = [
            ("tsize", self.size.then_some(0)),
            ("blksize", self.block_size),
            ("timeout", self.timeout.map(u16::from)),
            ("windowsize", self.window),
        ];
        for (name, value) in options {
            if let Some(value) = value {
                close(&mut bytes, name.as_bytes());
                close(&mut bytes, value.to_string().as_bytes());
            }
        }
        bytes
    }
}

/// A text's bytes as netascii sends them: LF becomes CR LF, CR alone becomes CR NUL.
pub fn netascii(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    for &byte in bytes {
        match byte {
            b'\n' => out.extend_from_slice(b"\r\n"),
            b'\r' => out.extend_from_slice(b"\r\0"),
            _ => out.push(byte),
        }
    }
    out
}

fn read_request(rest: &[u8]) -> Result<ReadRequest, Fault> {
    let fields = fields(rest)?;
    let mut fields = fields.into_iter();
    let name = fields.next().filter(|name| !name.is_empty()).ok_or(Fault::NoName)?.to_vec();
    let mode = match fields.next().map(<[u8]>::to_ascii_lowercase).unwrap_or_default().as_slice() {
        b"octet" => Mode::Octet,
        b"netascii" => Mode::Netascii,
        other => return Err(Fault::Mode(String::from_utf8_lossy(other).into_owned())),
    };
    let mut request = ReadRequest { name, mode, block_size: None, size: false, timeout: None, window: None };
    while let (Some(option), Some(value)) = (fields.next(), fields.next()) {
        let Some(value) = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok()) else { continue };
        match option.to_ascii_lowercase().as_slice() {
            b"blksize" => {
                request.block_size =
                    request.block_size.or(u16::try_from(value).ok().filter(|size| (8..=65464).contains(size)));
            }
            b"tsize" => request.size = true,
            b"timeout" => {
                request.timeout = request.timeout.or(u8::try_from(value).ok().filter(|seconds| *seconds > 0));
            }
            b"windowsize" => {
                request.window = request.window.or(u16::try_from(value).ok().filter(|blocks| *blocks > 0));
            }
            // RFC 2347: an option that is not known is passed over.
            _ => {}
        }
    }
    Ok(request)
}

/// Texts that are closed by 0 each.
fn fields(bytes: &[u8]) -> Result<Vec<&[u8]>, Fault> {
    let Some((0, inner)) = bytes.split_last() else { return Err(Fault::Unterminated) };
    Ok(inner.split(|byte| *byte == 0).collect())
}

fn number(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*head), rest))
}

fn close(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.push(0);
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
