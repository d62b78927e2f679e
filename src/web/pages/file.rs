//! A file that lies beside an order, such as a buyer's design. It is always saved and never shown: what is in it comes
//! from strangers.

use std::fs::File;
use std::io;

use actix_web::HttpResponse;
use actix_web::body::SizedStream;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ContentDisposition, ContentEncoding, DispositionParam, DispositionType,
};
use actix_web::web;
use bytes::Bytes;
use futures_util::stream;
use tokio::io::AsyncReadExt as _;

use crate::domain::id::OrderNo;
use crate::store::files;
use crate::web::AppState;
use crate::web::auth::{CanReadOrders, Signed};
use crate::web::error::WebError;

/// Bytes that are read at a time.
const CHUNK_BYTES: u64 = 64 * 1024;

/// The file.
///
/// # Errors
/// Where the order has no such file.
pub async fn download(
    _who: Signed<CanReadOrders>,
    state: web::Data<AppState>,
    path: web::Path<(OrderNo, String)>,
) -> Result<HttpResponse, WebError> {
    let (no, sha256) = path.into_inner();
    let gone = || WebError::NotFound("This order has no such file. Open the order again.".to_owned());
    let rows = state.store.read(move |read| files::of_order(read, no)).await?;
    let row = rows.into_iter().find(|row| row.sha256 == sha256).ok_or_else(gone)?;
    let (file, size) = state.store.open_file(&row.sha256).await?.ok_or_else(gone)?;
    let name = row.name.unwrap_or(row.sha256);
    let disposition = ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: vec![DispositionParam::Filename(plain(&name))],
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, row.media_type))
        .insert_header(disposition)
        .insert_header((CACHE_CONTROL, "private, no-store"))
        // An archive is packed already.
        .insert_header(ContentEncoding::Identity)
        .body(SizedStream::new(size, Box::pin(pieces(file)))))
}

/// A name that every system takes: ids come from platforms.
fn plain(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    name.chars().map(keep).collect()
}

/// The file piece by piece, so that a long one is never held whole.
fn pieces(file: File) -> impl futures_util::Stream<Item = Result<Bytes, io::Error>> {
    stream::try_unfold(tokio::fs::File::from_std(file), |mut file| async move {
        let mut piece = Vec::new();
        let read = (&mut file).take(CHUNK_BYTES).read_to_end(&mut piece).await?;
        Ok((read > 0).then(|| (Bytes::from(piece), file)))
    })
}
