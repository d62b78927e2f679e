//! Signatures that eBay demands on calls that move money of sellers in the EU and the UK: HTTP Message Signatures
//! (RFC 9421) and digests (RFC 9530) with Ed25519, over the parts and in the order that eBay documents. Pure: the
//! caller gives the time. It must never print a key.

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::super::error::ChannelError;

/// A private key and its public half as eBay wraps it.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    jwe: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

/// What of a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// Method, upper case.
    pub method: &'a str,
    /// Path without query.
    pub path: &'a str,
    /// Host, and the port where it is not the scheme's own.
    pub authority: &'a str,
    /// Body; empty for none.
    pub body: &'a [u8],
}

impl SigningKey {
    /// Reads a key as eBay's Key Management API gives it: PKCS #8, as PEM or its base64 alone.
    ///
    /// # Errors
    /// `Fatal` where it is no Ed25519 key.
    pub fn read(key: &str, jwe: &str) -> Result<Self, ChannelError> {
        let wrong = || {
            ChannelError::Fatal {
            message: "signing_key is no Ed25519 key: paste the privateKey of createSigningKey with the cipher ED25519"
                .to_owned(),
        }
        };
        let inner: String =
            key.split("-----").filter(|part| !part.contains("PRIVATE KEY")).collect::<Vec<_>>().concat();
        let inner: String = inner.split_whitespace().collect();
        let der = STANDARD.decode(inner).map_err(|_| wrong())?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| wrong())?;
        Ok(Self { pair, jwe: jwe.trim().to_owned() })
    }

    /// The headers to add, in lower case.
    #[must_use]
    pub fn headers(&self, signed: Signed<'_>, at: Timestamp) -> Vec<(&'static str, String)> {
        let mut parts = Vec::new();
        let mut headers = Vec::new();
        if !signed.body.is_empty() {
            let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(signed.body)));
            parts.push(("content-digest", digest.clone()));
            headers.push(("content-digest", digest));
        }
        parts.push(("x-ebay-signature-key", self.jwe.clone()));
        parts.push(("@method", signed.method.to_owned()));
        parts.push(("@path", signed.path.to_owned()));
        parts.push(("@authority", signed.authority.to_lowercase()));
        let names: Vec<String> = parts.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let parameters = format!("({});created={}", names.join(" "), at.as_second());
        let lines: Vec<String> = parts.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        let base = format!("{}\n\"@signature-params\": {parameters}", lines.join("\n"));
        let signature = STANDARD.encode(self.pair.sign(base.as_bytes()));
        headers.push(("x-ebay-signature-key", self.jwe.clone()));
        headers.push(("signature-input", format!("sig1={parameters}")));
        headers.push(("signature", format!("sig1=:{signature}:")));
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The keys, the message and its signature of eBay's repository digital-signature-verification-ebay-api, README.
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n";
    const JWE: &str = "eyJ6aXAiOiJERUYiLCJlbmMiOiJBMjU2R0NNIiwidGFnIjoiSGdLcjNSSWFlZll0Mkd4blBUUTEwUSIsImFsZyI6IkEyNTZHQ01LVyIsIml2IjoiQTVOQXFYUXlITkNIT01GVSJ9.z3JcS0vvxrYboqpySAq_Znww-3V6AllxmJP5JEMkuLY.K1f4MVMEc8ylbfSS.fASwJyMCk2tXZsNWk13IcuVgSWTOcynSdAoJrK4WApZANlxAP9J0qr0Jz_4aFldFDSZ5tfuxLGqzJmWU7CiZWwNjk2XoVy8q5ogMrFNFwFXP4SrX1XORhNLZPTyS5DEqLDPYn2NX944xendEwfcxxXsTSeNCUnmSyfitiscUC04GYOfn0UWQ2buSWx7Yod0IR2GtTGUsM9o3J-riuNDKhw.rRsWM1Sl_2stTnZLJkWVmQ";

    #[test]
    fn a_message_is_signed_as_ebay_publishes_it() {
        let signed = Signed {
            method: "POST",
            path: "/verifysignature",
            authority: "localhost:8080",
            body: br#"{"hello": "world"}"#,
        };
        let at = Timestamp::from_second(1_659_651_955).unwrap();
        let expected = [
            ("content-digest", "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"),
            ("x-ebay-signature-key", JWE),
            (
                "signature-input",
                "sig1=(\"content-digest\" \"x-ebay-signature-key\" \"@method\" \"@path\" \"@authority\");created=1659651955",
            ),
            (
                "signature",
                "sig1=:uunxYrXKC8KaoupD5D1DKdmQmrOhz6b4Xbhb3o9d4x4xFIpg++XzEZztOyeOI59rMMjM3NIcFgxBH0c1ckpfBw==:",
            ),
        ];
        for key in [KEY, "MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF"] {
            let headers = SigningKey::read(key, JWE).unwrap().headers(signed, at);
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(headers, expected);
        }
        assert!(SigningKey::read("MC4C", JWE).is_err());
    }

    #[test]
    fn a_message_without_a_body_has_no_digest() {
        let key = SigningKey::read(KEY, JWE).unwrap();
        let signed = Signed { method: "GET", path: "/a", authority: "api.ebay.com", body: b"" };
        let headers = key.headers(signed, Timestamp::UNIX_EPOCH);
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["x-ebay-signature-key", "signature-input", "signature"]);
        assert_eq!(
            headers[1].1,
            "sig1=(\"x-ebay-signature-key\" \"@method\" \"@path\" \"@authority\");created=0"
        );
        assert!(!format!("{key:?}").contains("eyJ"));
    }
}
