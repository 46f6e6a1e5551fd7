//! The host functions of topic 17 by the rules of the vectors' README.

use serde_json::{Value as Json, json};
use template::{Buffers, Context, Failure, Host, Param, Signature, Value};

pub const NAMES: &[(&str, Signature)] = &[
    ("file", Signature::new(&[Param::Text])),
    ("softlink", Signature::new(&[Param::Text])),
    ("abort", Signature::new(&[])),
    ("nobackup", Signature::new(&[])),
    ("basename", Signature::new(&[Param::Text])),
    ("inc", Signature::new(&[Param::Int])),
    ("dec", Signature::new(&[Param::Int])),
    ("UniqueField", Signature::new(&[Param::Text, Param::Int, Param::Text])),
    ("SystemdEscape", Signature::new(&[Param::Text])),
    ("SystemdEscapePath", Signature::new(&[Param::Text])),
];

pub struct Files {
    buffers: Buffers,
    links: Vec<(usize, String)>,
    backup: bool,
}

impl Default for Files {
    fn default() -> Self {
        Self { buffers: Buffers::new(""), links: Vec::new(), backup: true }
    }
}

impl Files {
    pub fn only(self) -> Vec<u8> {
        self.buffers.finish().swap_remove(0).1
    }

    pub fn into_json(self, aborted: bool) -> Json {
        let links = self.links;
        let files: Vec<Json> = self
            .buffers
            .finish()
            .into_iter()
            .enumerate()
            .map(|(i, (name, content))| {
                let link = links.iter().rev().find(|(at, _)| *at == i).map(|(_, target)| target.clone());
                json!({"name": name.to_string(), "content": String::from_utf8_lossy(&content), "softlink": link})
            })
            .collect();
        json!({"files": files, "aborted": aborted, "backup": self.backup})
    }
}

impl Host for Files {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.buffers.write(bytes);
        Ok(())
    }

    fn call(&mut self, name: &str, args: &[Value], _: &Context<'_>) -> Result<Value, Failure> {
        let text = |i: usize| args[i].as_text().unwrap().to_string();
        let int = |i: usize| if let Value::Int(_, n) = args[i] { n } else { panic!("checked by the signature") };
        match name {
            "file" => {
                self.buffers.switch(text(0));
                Ok("".into())
            }
            "softlink" => {
                self.links.push((self.buffers.index(), text(0)));
                Ok("".into())
            }
            "abort" => Err(Failure::Abort),
            "nobackup" => {
                self.backup = false;
                Ok("".into())
            }
            "basename" => Ok(basename(&text(0)).into()),
            "inc" => Ok((int(0) + 1).into()),
            "dec" => Ok((int(0) - 1).into()),
            "UniqueField" => Ok(unique_field(&text(0), usize::try_from(int(1)).unwrap(), &text(2)).into()),
            "SystemdEscape" => Ok(systemd_escape(&text(0)).into()),
            "SystemdEscapePath" => {
                let parts: Vec<String> = text(0).split('/').filter(|p| !p.is_empty()).map(str::to_owned).collect();
                Ok(if parts.is_empty() { "-".into() } else { systemd_escape(&parts.join("/")).into() })
            }
            _ => Err(format!("no function {name}").into()),
        }
    }
}

fn basename(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    match (path.is_empty(), trimmed.is_empty()) {
        (true, _) => ".".into(),
        (_, true) => "/".into(),
        _ => trimmed.rsplit('/').next().unwrap().into(),
    }
}

fn unique_field(separator: &str, index: usize, text: &str) -> String {
    let mut seen = std::collections::HashSet::new();
    let keep = |line: &&str| match line.split(separator).nth(index) {
        Some(field) if !field.is_empty() => seen.insert(field.to_owned()),
        _ => true,
    };
    text.split('\n').filter(keep).collect::<Vec<_>>().join("\n")
}

fn systemd_escape(text: &str) -> String {
    let mut out = String::new();
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            b'/' => out.push('-'),
            b'.' if i == 0 => out.push_str("\\x2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'.' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out
}
