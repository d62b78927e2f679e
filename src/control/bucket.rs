//! A bucket on its way through the control socket. The keys are written out here, for the same user's own process; they
//! must go nowhere else.

use serde::{Deserialize, Serialize};

use super::exposed;
use crate::config::{AgeRecipient, BucketAddress, BucketSettings, Endpoint};
use crate::secret::Secret;

/// The command's own settings of a bucket: the process that makes the backup may have been started with others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketAsked {
    address: BucketAddress,
    endpoint: Option<Endpoint>,
    region: String,
    #[serde(with = "exposed")]
    access_key_id: Option<Secret>,
    #[serde(with = "exposed")]
    secret_access_key: Option<Secret>,
    age_recipients: Vec<AgeRecipient>,
}

impl From<BucketSettings> for BucketAsked {
    fn from(settings: BucketSettings) -> Self {
        Self {
            address: settings.address,
            endpoint: settings.endpoint,
            region: settings.region,
            access_key_id: Some(settings.access_key_id),
            secret_access_key: Some(settings.secret_access_key),
            age_recipients: settings.age_recipients,
        }
    }
}

impl From<BucketAsked> for BucketSettings {
    fn from(asked: BucketAsked) -> Self {
        Self {
            address: asked.address,
            endpoint: asked.endpoint,
            region: asked.region,
            access_key_id: asked.access_key_id.unwrap_or_default(),
            secret_access_key: asked.secret_access_key.unwrap_or_default(),
            age_recipients: asked.age_recipients,
        }
    }
}
