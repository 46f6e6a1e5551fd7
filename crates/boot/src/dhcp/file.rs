//! What a client is told to load: by the program that asks, and by its architecture (option 93, RFC 4578, 5970).

use std::net::Ipv4Addr;

use model::Conf;
use wire::dhcp::{Architecture, ClientClass, Question};

/// What there is to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootFile {
    /// iPXE's script, by URL.
    Script(String),
    /// A program by TFTP: path below the server's root.
    Tftp(String),
    /// A program by HTTP: URL.
    Http(String),
    /// The client did not ask to boot.
    NotAsked,
    /// The client would boot, but nothing is there for its architecture.
    Nothing(Architecture),
}

impl BootFile {
    /// The text of option 67 and of the header's `file`.
    pub fn text(&self) -> &str {
        match self {
            BootFile::Script(text) | BootFile::Tftp(text) | BootFile::Http(text) => text,
            BootFile::NotAsked | BootFile::Nothing(_) => "",
        }
    }
}

/// The file for who asks.
pub fn boot_file(question: &Question, conf: &Conf, server: Ipv4Addr) -> BootFile {
    let port = conf.warewulf.port;
    let class = question.class();
    if class == ClientClass::Ipxe {
        return BootFile::Script(script_url(server, port));
    }
    let Some(architecture) = architecture(question, class) else { return BootFile::NotAsked };
    match (class, architecture.0) {
        (ClientClass::HttpClient, 15 | 16 | 18 | 19) if conf.warewulf.grubboot => {
            BootFile::Http(format!("http://{server}:{port}/efiboot/shim.efi"))
        }
        (ClientClass::HttpClient, number @ (15 | 16 | 18 | 19)) => {
            // A site's own entry for HTTP first; else the program that the same machine would load by TFTP.
            let by_tftp = if number < 17 { 7 } else { 11 };
            match mapped(conf, number).or_else(|| mapped(conf, by_tftp)) {
                Some(file) => BootFile::Http(format!("http://{server}:{port}/boot/{}", name(file, number > 17))),
                None => BootFile::Nothing(architecture),
            }
        }
        (ClientClass::HttpClient, _) => BootFile::Nothing(architecture),
        (_, 7 | 9 | 11) if conf.warewulf.grubboot => BootFile::Tftp("warewulf/shim.efi".into()),
        (_, number) => match mapped(conf, number) {
            Some(file) => BootFile::Tftp(format!("warewulf/{}", name(file, number == 11))),
            None => BootFile::Nothing(architecture),
        },
    }
}

/// The script's URL, with settings that iPXE itself fills in.
pub fn script_url(server: Ipv4Addr, port: u16) -> String {
    format!("http://{server}:{port}/ipxe/${{mac:hexhyp}}?assetkey=${{asset}}&uuid=${{uuid}}")
}

/// Option 93; a ROM that leaves it out says it in its vendor class, or is a BIOS.
fn architecture(question: &Question, class: ClientClass) -> Option<Architecture> {
    if let Some(first) = question.architectures.first() {
        return Some(*first);
    }
    if class == ClientClass::Other {
        return None;
    }
    let text = String::from_utf8_lossy(&question.vendor_class);
    let number = text.split(':').skip_while(|part| *part != "Arch").nth(1).and_then(|part| part.parse().ok());
    Some(Architecture(number.unwrap_or(0)))
}

/// The file of `tftp: ipxe:`, whose keys are two bytes in hexadecimal.
fn mapped(conf: &Conf, number: u16) -> Option<&str> {
    let is = |key: &str| u16::from_str_radix(&key.replace(':', ""), 16) == Ok(number);
    conf.tftp.ipxe.iter().find(|(key, file)| is(key) && !file.is_empty()).map(|(_, file)| file.as_str())
}

/// What the client calls the file: its base name, but arm's as written, because the base name is that of an x86 program.
fn name(file: &str, is_arm: bool) -> &str {
    if is_arm && !file.starts_with('/') { file } else { file.rsplit('/').next().unwrap_or(file) }
}
