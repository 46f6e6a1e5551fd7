//! Packed bytes unpacked: by libraries where there are some, by programs where there are not.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use initrd::parts::Packing;

/// The first packed stream in these bytes: what is in it, and how many bytes it takes. For what programs unpack that is all
/// to the end: they do not tell where a stream ends.
///
/// # Errors
/// When the bytes are not packed that way, are cut off, or the program is not there.
pub fn first(packing: Packing, bytes: &[u8]) -> io::Result<(Vec<u8>, usize)> {
    let mut plain = Vec::new();
    match packing {
        Packing::Plain => Ok((bytes.to_vec(), bytes.len())),
        Packing::Gzip => {
            let mut decoder = flate2::bufread::GzDecoder::new(bytes);
            decoder.read_to_end(&mut plain)?;
            let rest = decoder.into_inner().len();
            Ok((plain, bytes.len() - rest))
        }
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(BufReader::new(bytes))?.single_frame();
            decoder.read_to_end(&mut plain)?;
            let mut reader = decoder.finish();
            let rest = reader.fill_buf()?.len();
            let rest = rest + reader.into_inner().len();
            Ok((plain, bytes.len() - rest))
        }
        Packing::Xz => by_program(&["xz", "-dc"], bytes),
        Packing::Bzip2 => by_program(&["bzip2", "-dc"], bytes),
        Packing::Lzma => by_program(&["xz", "--format=lzma", "-dc"], bytes),
        Packing::Lzo => by_program(&["lzop", "-dc"], bytes),
        Packing::Lz4 => by_program(&["lz4", "-dc"], bytes),
    }
}

fn by_program(command: &[&str], bytes: &[u8]) -> io::Result<(Vec<u8>, usize)> {
    let [program, arguments @ ..] = command else { return Err(io::ErrorKind::InvalidInput.into()) };
    let missing =
        |error: io::Error| io::Error::new(error.kind(), format!("{program} unpacks this: {error}; install it"));
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(missing)?;
    let mut input = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // A program that has enough closes its end; what it then says of it is in its status.
        scope.spawn(move || input.as_mut().map(|input| input.write_all(bytes)));
        child.wait_with_output()
    })?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr).trim().to_string();
        return Err(io::Error::other(format!("{program}: {}: {complaint}", output.status)));
    }
    Ok((output.stdout, bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stream_is_unpacked_and_its_end_found() {
        let text = b"some text\n".repeat(20_000);
        let after = b"what follows".repeat(3000);
        for (packing, packed) in [
            (Packing::Gzip, crate::image::pack::gzip(&text).unwrap()),
            (Packing::Zstd, zstd::encode_all(text.as_slice(), 3).unwrap()),
        ] {
            let both = [packed.clone(), after.clone()].concat();
            let (plain, length) = first(packing, &both).unwrap();
            assert!(plain == text && length == packed.len(), "{packing:?}");
            let (plain, length) = first(packing, &packed).unwrap();
            assert!(plain == text && length == packed.len(), "{packing:?}");
            assert!(first(packing, &packed[..packed.len() - 9]).is_err());
        }
    }

    #[test]
    fn a_program_that_cannot_is_quoted() {
        assert!(first(Packing::Xz, b"\xfd7zXZ\0 nonsense").unwrap_err().to_string().starts_with("xz: "));
    }
}
