//! `eider verify`: proves on this data what the writer promises (unique keys, sums, open effects). Changes nothing.

use super::{CliError, Place, data};
use crate::control::Request;

/// Runs it.
pub async fn run(place: &Place) -> Result<(), CliError> {
    let loaded = place.load_quietly()?;
    data::perform(&loaded, Request::Verify, data::Folder::MustExist).await
}
