//! Passwords and ciphers: derived passwords, AES in CBC mode, bcrypt. Salt and initialisation vector come in as arguments.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use data_encoding::BASE64;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::encoding::decode64;

/// The name space of the algorithm (masterpasswordapp.com, "The Master Password Algorithm", version 0).
const SEED: &[u8] = b"com.lyndir.masterpassword";

/// Bytes of an AES block, and so of the initialisation vector.
pub const BLOCK: usize = 16;

/// The shapes that a password of that class may have, each letter a class of letters.
fn shapes(class: &str) -> Option<Vec<String>> {
    let fixed = |shapes: &[&str]| Some(shapes.iter().map(ToString::to_string).collect());
    match class {
        "maximum" => fixed(&["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"]),
        // Three syllables of four letters, some ending in two consonants, with a digit and a sign behind one of them.
        "long" => Some(
            [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]]
                .iter()
                .flat_map(|closed| (0..3).map(move |sign| long_shape(closed, sign)))
                .collect(),
        ),
        "medium" => fixed(&["CvcnoCvc", "CvcCvcno"]),
        "short" => fixed(&["Cvcn"]),
        "basic" => fixed(&["aaanaaan", "aannaaan", "aaannaaa"]),
        "pin" => fixed(&["nnnn"]),
        _ => None,
    }
}

fn long_shape(closed: &[u8; 3], sign: usize) -> String {
    let syllable = |(index, closed): (usize, &u8)| {
        format!("{}{}", if *closed == 1 { "Cvcc" } else { "Cvcv" }, if index == sign { "no" } else { "" })
    };
    closed.iter().enumerate().map(syllable).collect()
}

fn letters(class: char) -> &'static [u8] {
    match class {
        'V' => b"AEIOU",
        'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
        'v' => b"aeiou",
        'c' => b"bcdfghjklmnpqrstvwxyz",
        'A' => b"AEIOUBCDFGHJKLMNPQRSTVWXYZ",
        'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        'n' => b"0123456789",
        'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
        _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

/// Whether `class` is a kind of password at all; the work is only worth it then.
pub fn is_class(class: &str) -> bool {
    shapes(class).is_some()
}

/// The password of `user` at `site`, derived from a master password; 32 MiB and some tenths of a second of work.
///
/// `None`: no such class of password, or a name longer than 4 GiB.
pub fn derive_password(counter: u32, class: &str, master: &[u8], user: &[u8], site: &[u8]) -> Option<String> {
    let shapes = shapes(class)?;
    let mut salt = SEED.to_vec();
    salt.extend(u32::try_from(user.len()).ok()?.to_be_bytes());
    salt.extend(user);
    let mut key = [0; 64];
    scrypt::scrypt(master, &salt, &scrypt::Params::new(15, 8, 2, 64).ok()?, &mut key).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(SEED);
    mac.update(&u32::try_from(site.len()).ok()?.to_be_bytes());
    mac.update(site);
    mac.update(&counter.to_be_bytes());
    let seed = mac.finalize().into_bytes();
    let pick = |index: usize, among: usize| usize::from(seed.get(index).copied().unwrap_or(0)) % among.max(1);
    let shape = shapes.get(pick(0, shapes.len()))?;
    let letter = |(index, class): (usize, char)| {
        let letters = letters(class);
        letters.get(pick(index + 1, letters.len())).map(|byte| char::from(*byte))
    };
    shape.chars().enumerate().map(letter).collect()
}

/// The first 32 bytes of a password, or as many as there are and zeros.
fn aes_key(password: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    for (to, from) in key.iter_mut().zip(password) {
        *to = *from;
    }
    key
}

/// AES-256 in CBC mode, the vector in front, in base64.
pub fn encrypt_aes(password: &[u8], text: &[u8], vector: [u8; BLOCK]) -> String {
    let cipher = cbc::Encryptor::<aes::Aes256>::new(&aes_key(password).into(), &vector.into());
    let mut sealed = vector.to_vec();
    sealed.extend(cipher.encrypt_padded_vec_mut::<Pkcs7>(text));
    BASE64.encode(&sealed)
}

/// The text back.
///
/// # Errors
/// When it is no base64, no whole blocks, or not sealed with that password.
pub fn decrypt_aes(password: &[u8], sealed: &str) -> Result<Vec<u8>, String> {
    if sealed.is_empty() {
        return Ok(Vec::new());
    }
    let sealed = decode64(sealed)?;
    let (vector, body) = sealed.split_first_chunk::<BLOCK>().ok_or("the text is shorter than a block")?;
    let cipher = cbc::Decryptor::<aes::Aes256>::new(&aes_key(password).into(), vector.into());
    cipher.decrypt_padded_vec_mut::<Pkcs7>(body).map_err(|_| "the text was not sealed with this password".to_string())
}

/// A bcrypt hash of cost 10 (`$2a$`).
///
/// # Errors
/// bcrypt takes 72 bytes at most.
pub fn bcrypt(password: &[u8], salt: [u8; 16]) -> Result<String, String> {
    if password.len() > 72 {
        return Err("bcrypt: password length exceeds 72 bytes".into());
    }
    let hash = ::bcrypt::hash_with_salt(password, 10, salt).map_err(|error| error.to_string())?;
    Ok(hash.format_for_version(::bcrypt::Version::TwoA))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_passwords_are_those_of_the_published_algorithm() {
        let derive = |class| derive_password(1, class, b"s", b"u", b"h").unwrap();
        assert_eq!(derive("maximum"), "SOFZapeKv8rGU39TGg6-");
        assert_eq!(derive("short"), "Fin6");
        assert_eq!(derive_password(1, "medium", b"secret", b"ada", b"example.org").unwrap(), "Sij0.Vib");
        assert_eq!(derive_password(1, "huge", b"", b"", b""), None);
    }

    #[test]
    fn what_was_sealed_opens_with_the_same_password_only() {
        let sealed = encrypt_aes("pässword".as_bytes(), "é☃".as_bytes(), [7; BLOCK]);
        assert_eq!(decrypt_aes("pässword".as_bytes(), &sealed).unwrap(), "é☃".as_bytes());
        assert!(decrypt_aes(b"other", &sealed).is_err());
        assert_eq!(decrypt_aes(b"k", "***").unwrap_err(), "illegal base64 data at input byte 0");
        assert!(decrypt_aes(b"k", "YQ==").is_err());
        assert!(decrypt_aes(b"k", "YWJjZGVmZ2hpamtsbW5vcHE=").is_err());
    }

    #[test]
    fn a_hash_is_one_that_bcrypt_knows() {
        let hash = bcrypt(b"secret", [3; 16]).unwrap();
        assert!(hash.starts_with("$2a$10$") && ::bcrypt::verify("secret", &hash).unwrap(), "{hash}");
    }
}
