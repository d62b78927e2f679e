//! Queues of the merchant's own that a platform writes its messages to, for platforms that call nobody's address. Who
//! may write there is the queue's own matter: a message that comes out of it is the platform's, and still says only
//! what to look at.

use async_trait::async_trait;
use bytes::Bytes;

use super::error::ChannelError;
use super::webhooks::{PushError, Verified};

/// A message that was taken out, and comes again after a while unless it is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueMessage {
    /// What deletes it.
    pub receipt: String,
    /// Its body.
    pub body: Bytes,
}

/// Why nothing could be taken out.
#[derive(Debug)]
pub struct QueueError {
    /// The same text for the same trouble, however the queue words it each time.
    pub cause: String,
    /// What happened.
    pub error: ChannelError,
}

impl From<ChannelError> for QueueError {
    fn from(error: ChannelError) -> Self {
        Self { cause: error.to_string(), error }
    }
}

/// A queue.
#[async_trait]
pub trait MessageQueue: Send + Sync {
    /// Takes out what waits; where nothing does, it waits a while for the first message.
    ///
    /// # Errors
    /// See [`ChannelError`]. None of them says anything of the account at the platform. A call may be given up at any
    /// time: what it would have brought comes again.
    async fn receive(&self) -> Result<Vec<QueueMessage>, QueueError>;

    /// Deletes messages that are kept here. What is not deleted comes again.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn delete(&self, receipts: &[String]) -> Result<(), ChannelError>;

    /// What a message is about.
    ///
    /// # Errors
    /// `Refused` where it is no message of the platform's.
    fn read(&self, body: &[u8]) -> Result<Verified, PushError>;

    /// Sees to it that the platform writes to the queue. Runs daily; the answer says what it did, none for nothing.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn subscribe(&self) -> Result<Option<String>, ChannelError>;
}
