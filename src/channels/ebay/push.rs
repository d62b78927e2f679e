//! Notifications: eBay signs each with a key that its API tells, asks an address for proof before it sends there, and
//! stops sending to one that fails. What a notification says is never believed beyond whose it is and what it is about.
//!
//! `MARKETPLACE_ACCOUNT_DELETION` is not subscribed here: eBay demands it of the application as a whole, in its own
//! console. It is answered like any other; the buyer's data here is the merchant's, kept as long as they must.

use std::sync::PoisonError;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::super::error::{ChannelError, RejectKind};
use super::super::pace::Priority;
use super::super::request::segment;
use super::super::webhooks::{HookAddress, News, Push, PushError, REPLAY_WINDOW, Verified, Webhooks};
use super::client::{Grant, Outgoing, is_config_missing};
use super::{Ebay, wire};
use crate::clock::shifted;
use crate::secret::Secret;

/// The path of notifications.
const PATH: &str = "/commerce/notification/v1";

/// The header with the signature.
const SIGNATURE: &str = "x-ebay-signature";

/// A key is trusted so long before it is asked for again, as eBay recommends.
const KEY_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// Keys that are kept: a forged message can name any.
const KEYS_MAX: usize = 16;

/// What is subscribed to.
const TOPICS: &[&str] = &["ORDER_CONFIRMATION", "ITEM_AVAILABILITY", "AUTHORIZATION_REVOCATION"];

/// What the address is called in eBay's list.
const DESTINATION_NAME: &str = "Eider";

/// A key that eBay signs with.
#[derive(Debug, Clone)]
pub struct PushKey {
    key: VerifyingKey,
    digest: PushDigest,
}

/// The digest that eBay signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PushDigest {
    Sha1,
    Sha256,
}

impl PushKey {
    /// Reads eBay's answer.
    ///
    /// # Errors
    /// `Corrupt` where it is no key that we can use.
    pub fn read(answer: &wire::PublicKey) -> Result<Self, ChannelError> {
        let wrong = |what: &str| ChannelError::Corrupt {
            in_doubt: false,
            message: format!("getPublicKey: {what}; the notification is not acted on"),
        };
        let digest = match answer.digest.as_deref().map(str::to_uppercase).as_deref() {
            None | Some("SHA1" | "SHA-1") => PushDigest::Sha1,
            Some("SHA256" | "SHA-256") => PushDigest::Sha256,
            Some(_) => return Err(wrong("the digest is none that is known")),
        };
        let text = answer.key.as_deref().ok_or_else(|| wrong("there is no key"))?;
        // eBay leaves the line breaks of PEM out, so that only what is between the lines counts.
        let inner: String =
            text.split("-----").filter(|part| !part.contains("PUBLIC KEY")).flat_map(str::chars).collect();
        let inner: String = inner.split_whitespace().collect();
        let der = STANDARD.decode(inner).map_err(|_| wrong("the key is no base64"))?;
        let key = VerifyingKey::from_public_key_der(&der).map_err(|_| wrong("it is no key of P-256"))?;
        Ok(Self { key, digest })
    }

    /// Whether `signature`, in base64, is over `body`.
    fn has_signed(&self, signature: &str, body: &[u8]) -> bool {
        let Ok(der) = STANDARD.decode(signature) else { return false };
        let Ok(signature) = Signature::from_der(&der) else { return false };
        let verified = match self.digest {
            PushDigest::Sha1 => {
                use aws_lc_rs::digest;
                let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, body);
                self.key.verify_prehash(hash.as_ref(), &signature)
            }
            PushDigest::Sha256 => self.key.verify_prehash(&Sha256::digest(body), &signature),
        };
        verified.is_ok()
    }
}

#[async_trait]
impl Webhooks for Ebay {
    fn headers(&self) -> &'static [&'static str] {
        &[SIGNATURE]
    }

    async fn verify(&self, push: &Push) -> Result<Verified, PushError> {
        let refused = |why: &str| PushError::Refused(why.to_owned());
        let header = push.headers.get(SIGNATURE).ok_or_else(|| refused("there is no signature"))?;
        let header = STANDARD.decode(header.trim()).ok();
        let header: Option<wire::PushSignature> =
            header.and_then(|header| serde_json::from_slice(&header).ok());
        let header = header.ok_or_else(|| refused("the signature's header cannot be read"))?;
        let key = self.push_key(&header.kid, push.received_at).await?;
        if !key.has_signed(&header.signature, &push.body) {
            return Err(refused("the signature is not eBay's"));
        }
        let said: wire::Notification =
            serde_json::from_slice(&push.body).map_err(|_| refused("it is no notification"))?;
        let sent_at: Timestamp = said
            .notification
            .publish_date
            .parse()
            .map_err(|_| refused("it does not say when it was sent"))?;
        if push.received_at.duration_since(sent_at).abs() > REPLAY_WINDOW {
            return Err(refused("it was sent too long ago"));
        }
        Ok(Verified { id: said.notification.notification_id.clone(), news: vec![news(&said)] })
    }

    fn challenge(&self, query: &str, endpoint: &str) -> Option<(&'static str, String)> {
        let code = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "challenge_code")?.1;
        let mut hash = Sha256::new();
        hash.update(code.as_bytes());
        hash.update(self.proof());
        hash.update(endpoint);
        let answer = json!({"challengeResponse": hex(&hash.finalize())});
        Some(("application/json", answer.to_string()))
    }

    fn verification_token(&self) -> Option<Secret> {
        Some(Secret::new(self.proof()))
    }

    async fn subscribe(&self, address: HookAddress<'_>) -> Result<Option<String>, ChannelError> {
        let mut done = Vec::new();
        let place = self.place(address, &mut done).await?;
        let read = Outgoing {
            query: vec![("limit", "100".to_owned())],
            ..Outgoing::read("getSubscriptions", format!("{PATH}/subscription"), Priority::Bulk)
        };
        let held: wire::Subscriptions = self.client.fetch(&read).await?;
        let (mut refused, mut failed) = (Vec::new(), None);
        // What stands in the way of one topic keeps no other back.
        for topic in TOPICS {
            match self.see_to(topic, &held.subscriptions, &place).await {
                Ok(what) => done.extend(what.map(|what| format!("{topic} {what}"))),
                Err(ChannelError::Reject { message, .. } | ChannelError::Fatal { message }) => {
                    refused.push(message);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if refused.len() == TOPICS.len() {
            return Err(ChannelError::Reject { kind: RejectKind::Other, message: refused.join("; ") });
        }
        done.extend(refused);
        Ok((!done.is_empty()).then(|| done.join(", ")))
    }
}

/// Where notifications are to go, and where they may go so far.
struct Place<'a> {
    /// The id of our address in eBay's list.
    own: String,
    address: HookAddress<'a>,
    held: Vec<wire::Destination>,
}

impl Place<'_> {
    /// Whether a subscription that leads to that address of eBay's list is for us to move. An application has one for
    /// each topic: another connection's, or another program's, is left to them.
    fn may_take_from(&self, destination: Option<&str>) -> Result<(), String> {
        let known = self.held.iter().find(|one| one.destination_id.as_deref() == destination);
        // Nobody hears what goes to an address that is gone or switched off.
        let Some(known) = known.filter(|one| one.status.as_deref() == Some("ENABLED")) else { return Ok(()) };
        let leads_to = endpoint_of(known).unwrap_or_default();
        if self.address.is_others(leads_to) {
            return Err("goes to another connection with the same App ID".to_owned());
        }
        if self.address.was_here(leads_to) || known.name.as_deref() == Some(DESTINATION_NAME) {
            return Ok(());
        }
        Err(format!(
            "goes to another program that uses this App ID ({leads_to}); end its subscription there, or give Eider an \
             App ID of its own"
        ))
    }
}

fn endpoint_of(destination: &wire::Destination) -> Option<&str> {
    destination.delivery_config.as_ref().and_then(|config| config.endpoint.as_deref())
}

impl Ebay {
    /// The key of that name, asked for once an hour at most.
    async fn push_key(&self, name: &str, now: Timestamp) -> Result<PushKey, PushError> {
        {
            let keys = self.push_keys.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((key, until)) = keys.get(name)
                && now < *until
            {
                return Ok(key.clone());
            }
        }
        let read = Outgoing {
            grant: Grant::Application,
            ..Outgoing::read(
                "getPublicKey",
                format!("{PATH}/public_key/{}", segment(name)),
                Priority::Interactive,
            )
        };
        let answer: wire::PublicKey = match self.client.fetch(&read).await {
            // A forged message names a key that there is not.
            Err(ChannelError::Reject { message, .. }) => return Err(PushError::Refused(message)),
            answer => answer?,
        };
        let key = PushKey::read(&answer)?;
        let mut keys = self.push_keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, (_, until)| now < *until);
        while keys.len() >= KEYS_MAX {
            keys.pop_first();
        }
        keys.insert(name.to_owned(), (key.clone(), shifted(now, KEY_LIFE)));
        Ok(key)
    }

    /// What proves to eBay that the address is ours: as entered, else made from the application's secret.
    fn proof(&self) -> String {
        if let Some(entered) = &self.client.config.verification_token {
            return entered.expose().to_owned();
        }
        let mut hash = Sha256::new();
        hash.update("notification endpoint of ");
        hash.update(self.client.config.application.client_secret.expose());
        hex(&hash.finalize())
    }

    /// The addresses that eBay knows; ours is made or mended where needed.
    async fn place<'a>(
        &self,
        address: HookAddress<'a>,
        done: &mut Vec<String>,
    ) -> Result<Place<'a>, ChannelError> {
        let path = format!("{PATH}/destination");
        let read = Outgoing {
            grant: Grant::Application,
            query: vec![("limit", "100".to_owned())],
            ..Outgoing::read("getDestinations", path.as_str(), Priority::Bulk)
        };
        let held = self.client.fetch::<wire::Destinations>(&read).await?.destinations;
        let body = json!({
            "name": DESTINATION_NAME,
            "status": "ENABLED",
            "deliveryConfig": {
                "endpoint": address.endpoint,
                "verificationToken": self.proof(),
            },
        });
        let known = held.iter().find(|one| endpoint_of(one) == Some(address.endpoint));
        let Some((known, own)) = known.and_then(|known| Some((known, known.destination_id.clone()?))) else {
            let asked =
                Outgoing { grant: Grant::Application, ..Outgoing::write("createDestination", path, &body)? };
            let own = self.make_destination(&asked, done).await?;
            return Ok(Place { own, address, held });
        };
        if known.status.as_deref() != Some("ENABLED") {
            let path = format!("{path}/{}", segment(&own));
            let asked = Outgoing {
                grant: Grant::Application,
                method: Method::PUT,
                ..Outgoing::write("updateDestination", path, &body)?
            };
            self.client.send(&asked).await?;
            done.push("address switched on again".to_owned());
        }
        Ok(Place { own, address, held })
    }

    /// The id of the address that was made. An application that never had one first says where alerts go.
    async fn make_destination(
        &self,
        asked: &Outgoing<'_>,
        done: &mut Vec<String>,
    ) -> Result<String, ChannelError> {
        let made = match self.client.send(asked).await {
            Err(error) if is_config_missing(&error) => {
                self.set_alert_email().await?;
                done.push("e-mail for alerts entered".to_owned());
                self.client.send(asked).await?
            }
            answer => answer?,
        };
        done.push("address registered".to_owned());
        made.made.ok_or_else(|| ChannelError::Corrupt {
            in_doubt: true,
            message: "createDestination: eBay does not name what it made; it is looked for next time"
                .to_owned(),
        })
    }

    async fn set_alert_email(&self) -> Result<(), ChannelError> {
        let Some(email) = &self.client.config.alert_email else {
            let message =
                "eBay wants an e-mail address for its own alerts first: enter “E-mail for eBay's alerts” \
                           in this connection, or an address in eBay's Alerts & Notifications"
                    .to_owned();
            return Err(ChannelError::Reject { kind: RejectKind::Other, message });
        };
        let asked = Outgoing {
            grant: Grant::Application,
            method: Method::PUT,
            ..Outgoing::write("updateConfig", format!("{PATH}/config"), &json!({"alertEmail": email}))?
        };
        self.client.send(&asked).await.map(drop)
    }

    /// Sees to one topic; what was done, if anything was.
    async fn see_to(
        &self,
        topic: &str,
        held: &[wire::Subscription],
        place: &Place<'_>,
    ) -> Result<Option<&'static str>, ChannelError> {
        let leads_here =
            |one: &&wire::Subscription| one.destination_id.as_deref() == Some(place.own.as_str());
        let mut own = held.iter().filter(|one| one.topic_id.as_deref() == Some(topic));
        let Some(known) = own.clone().find(leads_here).or_else(|| own.next()) else {
            let mut body = self.wanted(topic, &place.own).await?;
            if let Some(fields) = body.as_object_mut() {
                fields.insert("topicId".to_owned(), json!(topic));
            }
            let asked = Outgoing::write("createSubscription", format!("{PATH}/subscription"), &body)?;
            self.client.send(&asked).await?;
            return Ok(Some("subscribed"));
        };
        let id = segment(known.subscription_id.as_deref().unwrap_or_default());
        let path = format!("{PATH}/subscription/{id}");
        if !leads_here(&known) {
            place.may_take_from(known.destination_id.as_deref()).map_err(|why| ChannelError::Reject {
                kind: RejectKind::Other,
                message: format!("{topic} {why}"),
            })?;
            let body = self.wanted(topic, &place.own).await?;
            let asked =
                Outgoing { method: Method::PUT, ..Outgoing::write("updateSubscription", path, &body)? };
            self.client.send(&asked).await?;
            return Ok(Some("moved here from an earlier address"));
        }
        if known.status.as_deref() == Some("ENABLED") {
            return Ok(None);
        }
        let path = format!("{path}/enable");
        let asked = Outgoing { body: None, ..Outgoing::write("enableSubscription", path, &())? };
        self.client.send(&asked).await?;
        Ok(Some("switched on again"))
    }

    /// A subscription of a topic as it is to be, in the newest form that eBay has.
    async fn wanted(&self, topic: &str, destination: &str) -> Result<serde_json::Value, ChannelError> {
        let read = Outgoing {
            grant: Grant::Application,
            ..Outgoing::read("getTopic", format!("{PATH}/topic/{topic}"), Priority::Bulk)
        };
        let found: wire::Topic = self.client.fetch(&read).await?;
        let newest = found.supported_payloads.iter().rfind(|one| one.deprecated != Some(true));
        let version = newest.and_then(|one| one.schema_version.clone()).unwrap_or_else(|| "1.0".to_owned());
        Ok(json!({
            "status": "ENABLED",
            "destinationId": destination,
            "payload": {"format": "JSON", "schemaVersion": version, "deliveryProtocol": "HTTPS"},
        }))
    }
}

/// What a notification is about.
fn news(said: &wire::Notification) -> News {
    match said.metadata.topic.as_str() {
        "ORDER_CONFIRMATION" => said
            .notification
            .data
            .pointer("/order/orderId")
            .and_then(serde_json::Value::as_str)
            .map_or(News::Orders, |id| News::Order(id.to_owned())),
        "ITEM_AVAILABILITY" | "ITEM_PRICE_REVISION" => News::Listings,
        "AUTHORIZATION_REVOCATION" => News::Authorisation,
        topic => News::Other(topic.to_owned()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
