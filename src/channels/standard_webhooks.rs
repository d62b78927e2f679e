//! Messages signed as the Standard Webhooks specification has it (Etsy, BigCommerce): whether one is the sender's own
//! and fresh. It reads nothing of what a message says.
//!
//! The specification's own crate compares signatures as far as the shorter one reaches, so that an empty one passes, and
//! asks the system for the time; so the few lines stand here, on the HMAC that everything else here uses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;

use super::webhooks::{Push, PushError, REPLAY_WINDOW};

/// Headers that a verification needs, in lower case.
pub const HEADERS: &[&str] = &["webhook-id", "webhook-timestamp", "webhook-signature"];

/// What stands before a secret as its owner sees it.
const SECRET_PREFIX: &str = "whsec_";

/// What stands before a signature of the kind that is made with a shared secret.
const SIGNATURE_KIND: &str = "v1";

/// A shared key.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

// By hand: a key must not be printed.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// The key in a secret as a portal shows it: base64, mostly with `whsec_` before it.
    ///
    /// # Errors
    /// A sentence where it is none.
    pub fn of_secret(secret: &str) -> Result<Self, String> {
        let secret = secret.trim();
        let encoded = secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret);
        let bytes = STANDARD.decode(encoded).ok().filter(|bytes| !bytes.is_empty());
        let bytes = bytes
            .ok_or("the signing secret that was entered is none: it is base64, mostly after “whsec_”; paste it again")?;
        Self::of_bytes(&bytes)
    }

    /// A key that is used byte for byte.
    ///
    /// # Errors
    /// A sentence where it cannot be one.
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, String> {
        Hmac::new_from_slice(bytes).map(Self).map_err(|error| error.to_string())
    }

    /// The code of a message.
    fn code(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut code = self.0.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            code.update(part);
        }
        code
    }
}

/// The id of a message that is signed with `key` and not older or newer than [`REPLAY_WINDOW`].
///
/// # Errors
/// `Refused` with what is wrong.
pub fn verify(key: &Key, push: &Push) -> Result<String, PushError> {
    let refused = |what: &str| PushError::Refused(what.to_owned());
    let header = |name: &str| {
        let value = push.headers.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        value.ok_or_else(|| PushError::Refused(format!("the header {name} is missing")))
    };
    let (id, timestamp, signatures) =
        (header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?);
    let sent_at = timestamp.parse().ok().and_then(|second| Timestamp::from_second(second).ok());
    let sent_at = sent_at.ok_or_else(|| refused("webhook-timestamp is no time"))?;
    if push.received_at.duration_since(sent_at).abs() > REPLAY_WINDOW {
        return Err(refused("it was signed too long ago or too far in the future"));
    }
    let code = key.code(id, timestamp, &push.body);
    let is_ours = |signature: &str| {
        let Some((SIGNATURE_KIND, encoded)) = signature.split_once(',') else { return false };
        // In constant time, and over the whole length.
        STANDARD.decode(encoded).is_ok_and(|bytes| code.clone().verify_slice(&bytes).is_ok())
    };
    // Several stand there while a secret is being replaced.
    if signatures.split(' ').any(is_ours) {
        Ok(id.to_owned())
    } else {
        Err(refused("its signature is wrong"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the specification's own test suites (standard-webhooks, libraries/rust and its siblings).
    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const SENT: i64 = 1_649_367_553;
    const BODY: &str = r#"{"email":"test@example.com","username":"test_user"}"#;
    const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    fn push(signature: &str, after_s: i64) -> Push {
        let sent = SENT.to_string();
        let headers =
            [("webhook-id", ID), ("webhook-timestamp", sent.as_str()), ("webhook-signature", signature)];
        Push {
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: bytes::Bytes::from_static(BODY.as_bytes()),
            received_at: Timestamp::from_second(SENT + after_s).unwrap(),
            endpoint: "https://shop.example/hooks/x".to_owned(),
        }
    }

    #[test]
    fn the_published_example_is_accepted_within_the_window() {
        let key = Key::of_secret(SECRET).unwrap();
        for after_s in [-300, 0, 300] {
            assert_eq!(verify(&key, &push(SIGNATURE, after_s)).unwrap(), ID);
        }
        let unbranded = Key::of_secret(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
        assert!(verify(&unbranded, &push(SIGNATURE, 0)).is_ok());
        let many = format!(
            "v1,tFtCZ5RDCPxzWQRWXWPgrCgE2frDBe9gjpbWQxnVfsQ= v1a,x {SIGNATURE} v1,9DfC1c3eeOrXB6w/5dIDydLNQaEyww5KalE5jLBZucE="
        );
        assert!(verify(&key, &push(&many, 0)).is_ok());
    }

    #[test]
    fn whatever_is_forged_changed_or_old_is_refused() {
        let key = Key::of_secret(SECRET).unwrap();
        let refused = |push: &Push| match verify(&key, push) {
            Err(PushError::Refused(why)) => why,
            other => panic!("{other:?}"),
        };
        for after_s in [-301, 301] {
            assert!(refused(&push(SIGNATURE, after_s)).contains("too"));
        }
        // The second one is what the published crates' tests refuse; an empty and a short one pass where only as much
        // as is there is compared.
        let short = SIGNATURE.get(..20).unwrap();
        for signature in ["v1,", "v1,R3PTzyfHASBKHH98a7yexTwaJ4yNIcGhFQc1yuN+BPU=", short, "v2,x", "x"] {
            assert_eq!(refused(&push(signature, 0)), "its signature is wrong", "{signature}");
        }
        let mut changed = push(SIGNATURE, 0);
        changed.body = bytes::Bytes::from_static(b"{}");
        refused(&changed);
        for name in HEADERS {
            let mut bare = push(SIGNATURE, 0);
            bare.headers.remove(*name);
            assert!(refused(&bare).contains(name));
            bare.headers.insert((*name).to_owned(), "soon".to_owned());
            refused(&bare);
        }
        for secret in ["", "whsec_", "whsec_!!"] {
            assert!(Key::of_secret(secret).is_err());
        }
        assert_eq!(format!("{key:?}"), "Key");
    }
}
