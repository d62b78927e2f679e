//! Telling people what needs them when nobody looks at the pages: what is said, to whom it goes, and by which way. What
//! has been told is the store's to remember; nothing here knows of it.

mod mail;
mod notice;

pub use mail::{Mail, MailError, MailSettings};
pub use notice::{Notice, due};

use async_trait::async_trait;

/// A way to people.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Tells them. All of it arrives, or it is an error and nothing counts as told.
    ///
    /// # Errors
    /// What went wrong, in words.
    async fn tell(&self, notices: &[Notice]) -> Result<(), String>;
}
