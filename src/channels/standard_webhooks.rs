//! Messages signed as Standard Webhooks describes it: HMAC-SHA256 over id, time and body. BigCommerce and Etsy do.
//!
//! The project's own crate looks at the system's clock, so that a message that waited for a restart would be too old;
//! here a message's time is compared with its arrival.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;

use super::webhooks::{Push, PushError, REPLAY_WINDOW};

/// Headers that a verification needs.
pub const HEADERS: &[&str] = &[ID, TIMESTAMP, SIGNATURE];

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";
/// The one version of signatures with a shared key.
const VERSION: &str = "v1";

/// Checks a message against the key and its arrival. The answer is the message's id.
///
/// # Errors
/// `Refused` with what does not fit.
pub fn verify(push: &Push, key: &[u8]) -> Result<String, PushError> {
    let refused = |why: &str| PushError::Refused(why.to_owned());
    let header = |name: &str| {
        push.headers.get(name).ok_or_else(|| PushError::Refused(format!("the header {name} is missing")))
    };
    let (id, sent_at, signatures) = (header(ID)?, header(TIMESTAMP)?, header(SIGNATURE)?);
    let sent = sent_at.parse().ok().and_then(|second| Timestamp::from_second(second).ok());
    let sent = sent.ok_or_else(|| refused("the header webhook-timestamp is no time"))?;
    if push.received_at.duration_since(sent).abs() > REPLAY_WINDOW {
        return Err(refused("it was sent too long before it arrived, or in the future"));
    }
    let mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| refused("the key cannot be used"))?;
    let mac = mac.chain_update(id).chain_update(".").chain_update(sent_at).chain_update(".");
    let mac = mac.chain_update(&push.body);
    let is_signed = signatures
        .split(' ')
        .filter_map(|signature| signature.split_once(','))
        .filter(|(version, _)| *version == VERSION)
        .filter_map(|(_, signature)| STANDARD.decode(signature).ok())
        .any(|signature| mac.clone().verify_slice(&signature).is_ok());
    if is_signed { Ok(id.clone()) } else { Err(refused("its signature is not the platform's")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the specification's reference libraries (standard-webhooks, `libraries/*/tests`).
    const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const MESSAGE_ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SENT_AT: i64 = 1_614_265_330;
    const BODY: &str = "{\"test\": 2432232314}";
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn push(headers: &[(&str, &str)], body: &str, arrived: i64) -> Push {
        Push {
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: body.to_owned().into(),
            received_at: Timestamp::from_second(arrived).unwrap(),
            endpoint: String::new(),
        }
    }

    fn check(headers: &[(&str, &str)], body: &str, arrived: i64) -> Result<String, PushError> {
        verify(&push(headers, body, arrived), &STANDARD.decode(KEY).unwrap())
    }

    #[test]
    fn the_published_vector_passes_and_every_change_of_it_does_not() {
        let time = SENT_AT.to_string();
        let good = [(ID, MESSAGE_ID), (TIMESTAMP, time.as_str()), (SIGNATURE, SIGNED)];
        assert_eq!(check(&good, BODY, SENT_AT + 20), Ok(MESSAGE_ID.to_owned()));
        let among = format!("v1a,AAAA v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= {SIGNED}");
        let rotated = [(ID, MESSAGE_ID), (TIMESTAMP, time.as_str()), (SIGNATURE, among.as_str())];
        assert!(check(&rotated, BODY, SENT_AT).is_ok(), "one of several signatures");
        let later = (SENT_AT + 1).to_string();
        let wrong = [
            [(ID, "msg_other"), good[1], good[2]],
            [good[0], (TIMESTAMP, later.as_str()), good[2]],
            [good[0], good[1], (SIGNATURE, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=")],
            [good[0], good[1], (SIGNATURE, "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")],
            [good[0], good[1], (SIGNATURE, "")],
            [good[0], (TIMESTAMP, "soon"), good[2]],
        ];
        for headers in wrong {
            assert!(matches!(check(&headers, BODY, SENT_AT), Err(PushError::Refused(_))), "{headers:?}");
        }
        assert!(check(&good, "{\"test\": 2432232315}", SENT_AT).is_err());
        assert!(check(&good[..2], BODY, SENT_AT).is_err());
    }

    #[test]
    fn a_message_that_somebody_recorded_is_too_old() {
        let time = SENT_AT.to_string();
        let good = [(ID, MESSAGE_ID), (TIMESTAMP, time.as_str()), (SIGNATURE, SIGNED)];
        for (arrived, is_taken) in [(300, true), (301, false), (-300, true), (-301, false)] {
            assert_eq!(check(&good, BODY, SENT_AT + arrived).is_ok(), is_taken, "{arrived}");
        }
    }
}
