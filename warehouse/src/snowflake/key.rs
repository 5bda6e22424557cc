//! The user's key pair, from a PKCS#8 PEM file, plain or encrypted.
//!
//! ```sh
//! openssl genrsa 2048 | openssl pkcs8 -topk8 -inform PEM -out rsa_key.p8          # asks for a passphrase
//! openssl rsa -in rsa_key.p8 -pubout                                             # for ALTER USER … SET RSA_PUBLIC_KEY
//! ```

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::EncodingKey;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use sha2::{Digest, Sha256};

/// What an unencrypted key's PEM is called.
const PLAIN: &str = "PRIVATE KEY";
/// What an encrypted one's is called.
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// A key pair. It is never printed.
#[derive(Clone)]
pub struct KeyPair {
    signing: EncodingKey,
    fingerprint: String,
}

/// Why a key cannot be used: a setting, or the file, is wrong.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is no PEM, or one of another kind.
    #[error("it is no PKCS#8 private key in PEM ({0}); openssl pkcs8 -topk8 makes one")]
    Form(String),
    /// It is encrypted, and no passphrase is set.
    #[error("it is encrypted, and there is no passphrase for it")]
    NoPassphrase,
    /// The passphrase is wrong, or the encryption is not supported.
    #[error("it cannot be decrypted: the passphrase is wrong, or its encryption is none of PBES2 with AES or 3DES")]
    Passphrase,
    /// It is no RSA key of 2,048 bits or more.
    #[error("it is no RSA key of 2048 bits or more")]
    NotRsa,
}

impl KeyPair {
    /// Reads the PEM; `passphrase` is for one that is encrypted, and is not looked at otherwise.
    ///
    /// # Errors
    ///
    /// [`KeyError`] says what is wrong with the file; it never repeats a part of it.
    pub fn from_pem(pem: &str, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let (label, document) = SecretDocument::from_pem(pem.trim()).map_err(|error| KeyError::Form(error.to_string()))?;
        match label {
            PLAIN => Self::from_pkcs8(document.as_bytes()),
            ENCRYPTED => {
                let passphrase = passphrase.ok_or(KeyError::NoPassphrase)?;
                let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| KeyError::Passphrase)?;
                let plain = encrypted.decrypt(passphrase).map_err(|_| KeyError::Passphrase)?;
                Self::from_pkcs8(plain.as_bytes())
            }
            other => Err(KeyError::Form(format!("it is called \"{other}\""))),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let key = aws_lc_rs::signature::RsaKeyPair::from_pkcs8(der).map_err(|_| KeyError::NotRsa)?;
        let public = key.public_key().as_der().map_err(|_| KeyError::NotRsa)?;
        let info = PrivateKeyInfoRef::try_from(der).map_err(|error| KeyError::Form(error.to_string()))?;
        Ok(Self {
            signing: EncodingKey::from_rsa_der(info.private_key.as_bytes()),
            fingerprint: format!("SHA256:{}", STANDARD.encode(Sha256::digest(public.as_ref()))),
        })
    }

    /// `SHA256:` and the digest of the public key, as `DESCRIBE USER` shows it in `RSA_PUBLIC_KEY_FP`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(super) fn signing(&self) -> &EncodingKey {
        &self.signing
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyPair({})", self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by openssl for this test alone; the fingerprint by
    // `openssl rsa -pubout -outform DER | openssl dgst -sha256 -binary | openssl enc -base64`.
    const PLAIN_PEM: &str = include_str!("../../tests/keys/plain.p8");
    const AES_PEM: &str = include_str!("../../tests/keys/aes.p8");
    const DES3_PEM: &str = include_str!("../../tests/keys/des3.p8");
    const PKCS1_PEM: &str = include_str!("../../tests/keys/pkcs1.pem");
    const FINGERPRINT: &str = include_str!("../../tests/keys/fingerprint");

    #[test]
    fn the_fingerprint_is_openssl_s() {
        for (pem, passphrase) in [
            (PLAIN_PEM, None),
            (AES_PEM, Some("for this test")),
            (DES3_PEM, Some("for this test")),
        ] {
            let key = KeyPair::from_pem(pem, passphrase).unwrap();
            assert_eq!(key.fingerprint(), format!("SHA256:{}", FINGERPRINT.trim()));
        }
    }

    #[test]
    fn a_key_that_cannot_be_used_says_why() {
        let refusal = |pem: &str, passphrase| KeyPair::from_pem(pem, passphrase).unwrap_err();
        assert!(matches!(refusal("", None), KeyError::Form(_)));
        assert!(matches!(refusal(PKCS1_PEM, None), KeyError::Form(_)));
        assert!(matches!(refusal(AES_PEM, None), KeyError::NoPassphrase));
        assert!(matches!(refusal(AES_PEM, Some("another")), KeyError::Passphrase));
        let debug = format!("{:?}", KeyPair::from_pem(PLAIN_PEM, None).unwrap());
        assert!(debug.starts_with("KeyPair(SHA256:"), "{debug}");
    }
}
