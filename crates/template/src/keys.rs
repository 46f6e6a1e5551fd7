//! Keys and certificates for `genPrivateKey`, `genCA` and their kind, from the world's clock and random bytes alone.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use rsa::rand_core::{CryptoRng, RngCore};
use sha2::Sha256;
use x509_cert::Certificate;
use x509_cert::builder::{Builder, CertificateBuilder, Profile};
use x509_cert::der::asn1::{BitString, Ia5String, OctetString, UtcTime};
use x509_cert::der::oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use x509_cert::der::pem::{LineEnding, decode_vec, encode_string};
use x509_cert::der::{Decode, DecodePem, Encode, EncodePem};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{EncodePublicKey, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time as X509Time, Validity};

use crate::context::{CertificateRequest, KeyMaker, KeyPair, KeyType, World};
use crate::error::Failure;

/// Makes keys out of a world's random bytes; all kinds that Go's library makes.
pub struct Maker<'a> {
    pub world: &'a dyn World,
}

impl std::fmt::Debug for Maker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maker").finish_non_exhaustive()
    }
}

/// A private key that can sign.
enum Key {
    Rsa(Box<rsa::RsaPrivateKey>),
    Ecdsa(p256::SecretKey),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl KeyMaker for Maker<'_> {
    fn private_key(&self, kind: KeyType) -> Result<String, Failure> {
        let mut random = self.random()?;
        let pem = match kind {
            KeyType::Rsa => rsa(&mut random, 4096)?.to_pem()?,
            KeyType::Ecdsa => Key::Ecdsa(p256::SecretKey::random(&mut random)).to_pem()?,
            KeyType::Ed25519 => Key::Ed25519(Box::new(ed25519_dalek::SigningKey::generate(&mut random))).to_pem()?,
            KeyType::Dsa => dsa(&mut random)?,
        };
        random.finish(pem)
    }

    fn certificate(&self, request: &CertificateRequest<'_>) -> Result<KeyPair, Failure> {
        let mut random = self.random()?;
        let key = match request.key {
            Some(pem) => Key::from_pem(pem)?,
            None => rsa(&mut random, 2048)?,
        };
        let issuer = match request.authority {
            Some(pair) => Some((
                Certificate::from_pem(&pair.certificate).map_err(said("unable to decode certificate"))?,
                Key::from_pem(&pair.key)?,
            )),
            None => None,
        };
        let mut serial = [0; 16];
        random.fill_bytes(&mut serial);
        let certificate = issue(request, &key, issuer.as_ref(), &serial, self.world.now().seconds)?;
        random.finish(KeyPair { certificate, key: key.to_pem()? })
    }

    fn check(&self, pair: &KeyPair) -> Result<(), Failure> {
        Certificate::from_pem(&pair.certificate).map_err(said("unable to decode certificate"))?;
        Key::from_pem(&pair.key).map(|_| ())
    }
}

impl Maker<'_> {
    fn random(&self) -> Result<Random<'_>, Failure> {
        // Asked once at first: a search for primes among bytes that never change would not end.
        self.world.random(&mut [0; 1])?;
        Ok(Random { world: self.world, failed: None })
    }
}

fn said<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Failure {
    move |error| Failure::new(format!("{what}: {error}"))
}

fn rsa(random: &mut Random<'_>, bits: usize) -> Result<Key, Failure> {
    let key = rsa::RsaPrivateKey::new(random, bits).map_err(said("cannot make an RSA key"))?;
    Ok(Key::Rsa(Box::new(key)))
}

/// A DSA key of 2048 and 256 bits in OpenSSL's own form: version, p, q, g, y, x.
fn dsa(random: &mut Random<'_>) -> Result<String, Failure> {
    let components = dsa::Components::generate(random, dsa::KeySize::DSA_2048_256);
    let key = dsa::SigningKey::generate(random, components);
    let public = key.verifying_key();
    let components = public.components();
    let mut body = Vec::new();
    for number in [&dsa::BigUint::default(), components.p(), components.q(), components.g(), public.y(), key.x()] {
        let bytes = number.to_bytes_be();
        let number = x509_cert::der::asn1::UintRef::new(&bytes).map_err(said("cannot write a DSA key"))?;
        number.encode_to_vec(&mut body).map_err(said("cannot write a DSA key"))?;
    }
    let sequence = x509_cert::der::Any::new(x509_cert::der::Tag::Sequence, body)
        .and_then(|any| any.to_der())
        .map_err(said("cannot write a DSA key"))?;
    encode_string("DSA PRIVATE KEY", LineEnding::LF, &sequence).map_err(said("cannot write a DSA key"))
}

impl Key {
    fn to_pem(&self) -> Result<String, Failure> {
        let failed = || said::<String>("cannot write a private key");
        match self {
            Key::Rsa(key) => {
                use rsa::pkcs1::EncodeRsaPrivateKey;
                key.to_pkcs1_pem(LineEnding::LF).map(|pem| pem.to_string()).map_err(|e| failed()(e.to_string()))
            }
            Key::Ecdsa(key) => {
                key.to_sec1_pem(LineEnding::LF).map(|pem| pem.to_string()).map_err(|e| failed()(e.to_string()))
            }
            Key::Ed25519(key) => {
                use ed25519_dalek::pkcs8::EncodePrivateKey;
                // Go writes the private half alone (RFC 5958 version 0); the crate would add the public one.
                let bytes = ed25519_dalek::pkcs8::KeypairBytes { secret_key: key.to_bytes(), public_key: None };
                bytes.to_pkcs8_pem(LineEnding::LF).map(|pem| pem.to_string()).map_err(|e| failed()(e.to_string()))
            }
        }
    }

    fn from_pem(pem: &str) -> Result<Key, Failure> {
        let fault = |why: String| Failure::new(format!("parsing private key: {why}"));
        let Ok((label, der)) = decode_vec(pem.as_bytes()) else { return Err(fault("no PEM data in input".into())) };
        match label {
            "RSA PRIVATE KEY" => {
                use rsa::pkcs1::DecodeRsaPrivateKey;
                let key = rsa::RsaPrivateKey::from_pkcs1_der(&der).map_err(|e| fault(e.to_string()))?;
                Ok(Key::Rsa(Box::new(key)))
            }
            "EC PRIVATE KEY" => p256::SecretKey::from_sec1_der(&der).map(Key::Ecdsa).map_err(|e| fault(e.to_string())),
            "PRIVATE KEY" => {
                use ed25519_dalek::pkcs8::DecodePrivateKey;
                if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_der(&der) {
                    return Ok(Key::Ed25519(Box::new(key)));
                }
                if let Ok(key) = p256::SecretKey::from_pkcs8_der(&der) {
                    return Ok(Key::Ecdsa(key));
                }
                let key = rsa::RsaPrivateKey::from_pkcs8_der(&der).map_err(|e| fault(e.to_string()))?;
                Ok(Key::Rsa(Box::new(key)))
            }
            other => Err(fault(format!("no private key data in PEM block of type {other}"))),
        }
    }

    /// The public half as it stands in a certificate.
    fn public(&self) -> Result<SubjectPublicKeyInfoOwned, Failure> {
        let der = match self {
            Key::Rsa(key) => key.to_public_key().to_public_key_der(),
            Key::Ecdsa(key) => key.public_key().to_public_key_der(),
            Key::Ed25519(key) => key.verifying_key().to_public_key_der(),
        };
        let der = der.map_err(said("cannot write a public key"))?;
        SubjectPublicKeyInfoOwned::from_der(der.as_bytes()).map_err(said("cannot write a public key"))
    }
}

fn issue(
    request: &CertificateRequest<'_>,
    key: &Key,
    issuer: Option<&(Certificate, Key)>,
    serial: &[u8],
    now: i64,
) -> Result<String, Failure> {
    let subject = common_name(request.common_name)?;
    let profile = Profile::Manual {
        issuer: Some(
            issuer.map_or_else(|| subject.clone(), |(authority, _)| authority.tbs_certificate.subject.clone()),
        ),
    };
    let signer = issuer.map_or(key, |(_, signer)| signer);
    let serial = SerialNumber::new(serial).map_err(said("bad serial number"))?;
    let validity = Validity {
        not_before: moment(now)?,
        not_after: moment(now.saturating_add(request.days.saturating_mul(86_400)))?,
    };
    let public = key.public()?;
    let sign_failed = said::<x509_cert::builder::Error>("cannot sign the certificate");
    let certificate = match signer {
        Key::Rsa(signer) => {
            let signer = rsa::pkcs1v15::SigningKey::<Sha256>::new((**signer).clone());
            let mut builder =
                CertificateBuilder::new(profile, serial, validity, subject, public, &signer).map_err(&sign_failed)?;
            extend(&mut builder, request)?;
            builder.build::<rsa::pkcs1v15::Signature>()
        }
        Key::Ecdsa(signer) => {
            let signer = p256::ecdsa::SigningKey::from(signer);
            let mut builder =
                CertificateBuilder::new(profile, serial, validity, subject, public, &signer).map_err(&sign_failed)?;
            extend(&mut builder, request)?;
            builder.build::<p256::ecdsa::DerSignature>()
        }
        Key::Ed25519(signer) => {
            let signer = Ed25519Signer(signer);
            let mut builder =
                CertificateBuilder::new(profile, serial, validity, subject, public, &signer).map_err(&sign_failed)?;
            extend(&mut builder, request)?;
            builder.build::<Ed25519Signature>()
        }
    };
    certificate.map_err(sign_failed)?.to_pem(LineEnding::LF).map_err(said("cannot write the certificate"))
}

/// What Go's sprig puts into every certificate: for servers and clients, and for signing others when asked.
fn extend<S>(builder: &mut CertificateBuilder<'_, S>, request: &CertificateRequest<'_>) -> Result<(), Failure>
where
    S: x509_cert::spki::DynSignatureAlgorithmIdentifier + rsa::signature::Keypair,
    S::VerifyingKey: EncodePublicKey,
{
    let failed = said::<x509_cert::builder::Error>("cannot write the certificate");
    let mut usage = KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment;
    if request.is_authority {
        usage |= KeyUsages::KeyCertSign;
    }
    builder.add_extension(&KeyUsage(usage)).map_err(&failed)?;
    builder.add_extension(&ExtendedKeyUsage(vec![ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH])).map_err(&failed)?;
    builder
        .add_extension(&BasicConstraints { ca: request.is_authority, path_len_constraint: None })
        .map_err(&failed)?;
    let mut names = Vec::new();
    for name in request.names {
        names.push(GeneralName::DnsName(Ia5String::new(name).map_err(said("bad name in the certificate"))?));
    }
    for address in request.addresses {
        let bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        names.push(GeneralName::IpAddress(OctetString::new(bytes).map_err(said("bad address in the certificate"))?));
    }
    if !names.is_empty() {
        builder.add_extension(&SubjectAltName(names)).map_err(&failed)?;
    }
    Ok(())
}

/// `CN=name`, whatever letters the name has.
fn common_name(name: &str) -> Result<Name, Failure> {
    let mut escaped = String::from("CN=");
    for c in name.chars() {
        // RFC 4514, section 2.4
        if matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '#' | '=' | ' ') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    if name.is_empty() { Ok(Name::default()) } else { Name::from_str(&escaped).map_err(said("bad common name")) }
}

/// Seconds since 1970; UTCTime until 2049, GeneralizedTime afterwards (RFC 5280, 4.1.2.5).
fn moment(seconds: i64) -> Result<X509Time, Failure> {
    let failed = said::<x509_cert::der::Error>("a date outside of what a certificate can say");
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    if let Ok(time) = UtcTime::from_unix_duration(since) {
        return Ok(X509Time::UtcTime(time));
    }
    x509_cert::der::asn1::GeneralizedTime::from_unix_duration(since).map(X509Time::GeneralTime).map_err(failed)
}

/// Ed25519 as the builder wants a signer: the crate itself names no algorithm identifier for its signatures.
struct Ed25519Signer<'a>(&'a ed25519_dalek::SigningKey);
struct Ed25519Signature(ed25519_dalek::Signature);

impl rsa::signature::Keypair for Ed25519Signer<'_> {
    type VerifyingKey = ed25519_dalek::VerifyingKey;
    fn verifying_key(&self) -> Self::VerifyingKey {
        self.0.verifying_key()
    }
}

impl x509_cert::spki::DynSignatureAlgorithmIdentifier for Ed25519Signer<'_> {
    fn signature_algorithm_identifier(&self) -> x509_cert::spki::Result<x509_cert::spki::AlgorithmIdentifierOwned> {
        Ok(x509_cert::spki::AlgorithmIdentifierOwned {
            oid: x509_cert::der::oid::db::rfc8410::ID_ED_25519,
            parameters: None,
        })
    }
}

impl rsa::signature::Signer<Ed25519Signature> for Ed25519Signer<'_> {
    fn try_sign(&self, message: &[u8]) -> Result<Ed25519Signature, rsa::signature::Error> {
        self.0.try_sign(message).map(Ed25519Signature)
    }
}

impl x509_cert::spki::SignatureBitStringEncoding for Ed25519Signature {
    fn to_bitstring(&self) -> x509_cert::der::Result<BitString> {
        BitString::from_bytes(&self.0.to_bytes())
    }
}

/// The world's random bytes as the libraries want them. They cannot be told of a failure: it is kept, and what was made
/// meanwhile is thrown away.
struct Random<'a> {
    world: &'a dyn World,
    failed: Option<Failure>,
}

impl Random<'_> {
    fn finish<T>(self, made: T) -> Result<T, Failure> {
        match self.failed {
            Some(failure) => Err(failure),
            None => Ok(made),
        }
    }
}

impl RngCore for Random<'_> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        if let Err(failure) = self.world.random(bytes) {
            // Something must come, or a search for primes never ends; it is never used.
            let seed = bytes.len() as u64;
            for (n, byte) in (0_u64..).zip(bytes.iter_mut()) {
                *byte = (n.wrapping_add(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56).to_le_bytes()[0];
            }
            self.failed = Some(failure);
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Random<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;
    use std::cell::Cell;

    /// Bytes of a plain counter generator: never guess-proof, always the same.
    struct Counter(Cell<u64>);

    impl World for Counter {
        fn now(&self) -> Time {
            Time::unix(1_700_000_000, 0, crate::time::Zone::Utc)
        }

        fn random(&self, bytes: &mut [u8]) -> Result<(), Failure> {
            for byte in bytes {
                // splitmix64
                self.0.set(self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15));
                let mut z = self.0.get();
                z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                *byte = (z >> 56).to_le_bytes()[0];
            }
            Ok(())
        }
    }

    fn request(name: &str) -> CertificateRequest<'_> {
        CertificateRequest {
            common_name: name,
            addresses: &[],
            names: &[],
            days: 30,
            key: None,
            authority: None,
            is_authority: false,
        }
    }

    #[test]
    fn each_kind_of_key_is_read_back_and_signs_a_certificate() {
        let world = Counter(Cell::new(1));
        let maker = Maker { world: &world };
        for kind in [KeyType::Ecdsa, KeyType::Ed25519] {
            let key = maker.private_key(kind).unwrap();
            assert_eq!(Key::from_pem(&key).unwrap().to_pem().unwrap(), key);
            let authority = maker
                .certificate(&CertificateRequest { key: Some(&key), is_authority: true, ..request("the, \"ca\"") })
                .unwrap();
            let node = maker
                .certificate(&CertificateRequest {
                    authority: Some(&authority),
                    addresses: &["10.0.0.1".parse().unwrap()],
                    names: &["node.local".into()],
                    key: Some(&key),
                    ..request("node")
                })
                .unwrap();
            maker.check(&node).unwrap();
            let (node, authority) = (
                Certificate::from_pem(&node.certificate).unwrap(),
                Certificate::from_pem(&authority.certificate).unwrap(),
            );
            assert_eq!(node.tbs_certificate.issuer, authority.tbs_certificate.subject);
        }
    }

    #[test]
    fn what_is_no_key_is_said() {
        assert_eq!(Key::from_pem("nope").err().unwrap().to_string(), "parsing private key: no PEM data in input");
    }

    #[test]
    fn without_random_bytes_there_is_an_error_and_no_endless_search() {
        let failure = Maker { world: &crate::context::Nowhere }.private_key(KeyType::Rsa).unwrap_err();
        assert_eq!(failure.to_string(), "there is no source of random bytes here");
    }
}
