//! Passwords: hashed slowly, compared safely.
//!
//! Both functions take tens of milliseconds and 19 MB on purpose: async callers use `spawn_blocking`. A
//! password must never be kept, and never reach a log.

use argon2::password_hash::{PasswordHash, SaltString};
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};

use super::VaultError;
use crate::clock::Entropy;
use crate::secret::Secret;

const SALT_BYTES: usize = 16;

/// Hashes a password with Argon2id and a fresh salt; the result names its own parameters.
///
/// # Errors
/// [`VaultError::Crypto`] where the password is longer than the algorithm takes.
pub fn hash_password(password: &Secret) -> Result<String, VaultError> {
    let mut salt = [0; SALT_BYTES];
    Entropy::from_os().fill(&mut salt);
    SaltString::encode_b64(&salt)
        .and_then(|salt| {
            Argon2::default().hash_password(password.expose().as_bytes(), &salt).map(|hash| hash.to_string())
        })
        .map_err(|error| VaultError::Crypto(format!("the password cannot be hashed: {error}")))
}

/// Whether `password` is the one that `hash` was made of. A hash that cannot be read fits no password.
#[must_use]
pub fn is_password(password: &Secret, hash: &str) -> bool {
    PasswordHash::new(hash)
        .and_then(|hash| Argon2::default().verify_password(password.expose().as_bytes(), &hash))
        .is_ok()
}
