//! Passwords, ciphers, keys and certificates as template functions.

use std::net::IpAddr;

use super::arguments::{bytes, int, text, value};
use super::{Answer, Native, native, secrets};
use crate::context::{CertificateRequest, Context, KeyMaker, KeyPair, KeyType};
use crate::error::Failure;
use crate::host::Param;
use crate::keys::Maker;
use crate::value::{Record, Value};

/// Steps that stand for the work of a hash that is slow on purpose, or of a search for primes.
const DEAR: u64 = 2_000_000;
const CERTIFICATE: &str = "sprig.certificate";

const CA: Param = Param::Object(CERTIFICATE);
use Param::{Int, List, Text};

pub(crate) const TABLE: &[Native] = &[
    native("bcrypt", &[Text], |args, cx| bcrypt(bytes(args, 0), cx).map(Value::from)),
    native("htpasswd", &[Text, Text], |args, cx| {
        let user = text(args, 0);
        if user.contains(':') {
            return Ok(Value::from(format!("invalid username: {user}")));
        }
        Ok(Value::from(format!("{user}:{}", bcrypt(bytes(args, 1), cx)?)))
    }),
    native("derivePassword", &[Int, Text, Text, Text, Text], |args, cx| {
        let counter =
            u32::try_from(int(args, 0)).map_err(|_| format!("expected unsigned integer; found {}", int(args, 0)))?;
        let class = text(args, 1);
        if !secrets::is_class(&class) {
            return Ok(Value::from(format!("cannot find password template {class}")));
        }
        cx.fuel.steps(DEAR)?;
        cx.fuel.bytes(32 << 20)?;
        let password = secrets::derive_password(counter, &class, bytes(args, 2), bytes(args, 3), bytes(args, 4));
        password.map(Value::from).ok_or_else(|| "the password cannot be derived".into())
    }),
    native("encryptAES", &[Text, Text], |args, cx| {
        let mut vector = [0; secrets::BLOCK];
        cx.world.random(&mut vector)?;
        cx.fuel.bytes(bytes(args, 1).len().saturating_mul(2))?;
        Ok(Value::from(secrets::encrypt_aes(bytes(args, 0), bytes(args, 1), vector)))
    }),
    native("decryptAES", &[Text, Text], |args, _| {
        Ok(Value::text(secrets::decrypt_aes(bytes(args, 0), &text(args, 1))?))
    }),
    native("genPrivateKey", &[Text], |args, cx| {
        let kind = match text(args, 0).as_ref() {
            "" | "rsa" => KeyType::Rsa,
            "dsa" => KeyType::Dsa,
            "ecdsa" => KeyType::Ecdsa,
            "ed25519" => KeyType::Ed25519,
            other => return Ok(Value::from(format!("Unknown type {other}"))),
        };
        with_maker(cx, |maker| maker.private_key(kind)).map(Value::from)
    }),
    native("buildCustomCert", &[Text, Text], |args, cx| {
        let part = |index, what: &str| -> Result<String, Failure> {
            let decoded = super::encoding::decode64(&text(args, index));
            let decoded = decoded.map_err(|_| format!("unable to decode base64 {what}"))?;
            Ok(String::from_utf8_lossy(&decoded).into_owned())
        };
        let pair = KeyPair { certificate: part(0, "certificate")?, key: part(1, "private key")? };
        with_maker(cx, |maker| maker.check(&pair))?;
        Ok(certificate(pair))
    }),
    native("genCA", &[Text, Int], |args, cx| issue(cx, &Wanted { authority: true, ..wanted(args, 1) })),
    native("genCAWithKey", &[Text, Int, Text], |args, cx| {
        issue(cx, &Wanted { authority: true, key: Some(text(args, 2).into_owned()), ..wanted(args, 1) })
    }),
    native("genSelfSignedCert", &[Text, List, List, Int], |args, cx| issue(cx, &named(args)?)),
    native("genSelfSignedCertWithKey", &[Text, List, List, Int, Text], |args, cx| {
        issue(cx, &Wanted { key: Some(text(args, 4).into_owned()), ..named(args)? })
    }),
    native("genSignedCert", &[Text, List, List, Int, CA], |args, cx| {
        issue(cx, &Wanted { issuer: Some(pair(value(args, 4))?), ..named(args)? })
    }),
    native("genSignedCertWithKey", &[Text, List, List, Int, CA, Text], |args, cx| {
        let key = Some(text(args, 5).into_owned());
        issue(cx, &Wanted { issuer: Some(pair(value(args, 4))?), key, ..named(args)? })
    }),
];

/// A certificate as the arguments describe it.
#[derive(Default)]
struct Wanted {
    name: String,
    addresses: Vec<IpAddr>,
    names: Vec<String>,
    days: i64,
    key: Option<String>,
    issuer: Option<KeyPair>,
    authority: bool,
}

fn wanted(args: &[Value], days: usize) -> Wanted {
    Wanted { name: text(args, 0).into_owned(), days: int(args, days), ..Wanted::default() }
}

/// Name, addresses, other names, days.
fn named(args: &[Value]) -> Result<Wanted, Failure> {
    let texts = |index: usize, what: &str| -> Result<Vec<String>, Failure> {
        let Value::List(list) = value(args, index) else { return Ok(Vec::new()) };
        let text = |item: Value| match item {
            Value::Text(text) => Ok(text.to_string()),
            other => Err(Failure::new(format!("error parsing {what}: {} is no text", other.type_name()))),
        };
        list.iter().map(text).collect()
    };
    let parsed = |address: String| address.parse().map_err(|_| Failure::new(format!("error parsing ip: {address}")));
    let addresses = texts(1, "ip")?.into_iter().map(parsed).collect::<Result<_, _>>()?;
    Ok(Wanted { addresses, names: texts(2, "alternate dns name")?, ..wanted(args, 3) })
}

fn issue(cx: &Context<'_>, wanted: &Wanted) -> Answer {
    let request = CertificateRequest {
        common_name: &wanted.name,
        addresses: &wanted.addresses,
        names: &wanted.names,
        days: wanted.days,
        key: wanted.key.as_deref(),
        authority: wanted.issuer.as_ref(),
        is_authority: wanted.authority,
    };
    with_maker(cx, |maker| maker.certificate(&request)).map(certificate)
}

fn with_maker<T>(cx: &Context<'_>, make: impl FnOnce(&dyn KeyMaker) -> Result<T, Failure>) -> Result<T, Failure> {
    cx.fuel.steps(DEAR)?;
    match cx.world.keys() {
        Some(maker) => make(maker),
        None => make(&Maker { world: cx.world }),
    }
}

fn certificate(pair: KeyPair) -> Value {
    Value::from(Record::new(CERTIFICATE).with("Cert", pair.certificate).with("Key", pair.key))
}

fn pair(value: &Value) -> Result<KeyPair, Failure> {
    let Value::Object(object) = value else { return Err("the authority is no certificate".into()) };
    let field = |name: &str| match object.field(name) {
        Some(Value::Text(text)) => Ok(text.to_string()),
        _ => Err(Failure::new(format!("the authority has no {name}"))),
    };
    Ok(KeyPair { certificate: field("Cert")?, key: field("Key")? })
}

fn bcrypt(password: &[u8], cx: &Context<'_>) -> Result<String, Failure> {
    cx.fuel.steps(DEAR)?;
    let mut salt = [0; 16];
    cx.world.random(&mut salt)?;
    secrets::bcrypt(password, salt).map_err(Failure::Message)
}
