//! Pacing: what a platform's quota leaves us, per connection and operation.

/// One operation's quota, for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct QuotaLine {
    /// The operation or group of operations.
    pub operation: String,
    /// Calls that could go out now, where known.
    pub left: Option<u64>,
    /// The most that can be saved up or used per window.
    pub limit: Option<u64>,
    /// When the next call may go out, in seconds from now; 0 for now.
    pub wait_s: u64,
}
