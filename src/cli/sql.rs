//! `eider sql`: one SELECT over the views of the schema `report`.

use clap::Args;

use super::{CliError, Place, data, terminal};
use crate::control::{Request, SqlFormat};

/// `eider sql …`
#[derive(Debug, Args)]
pub struct SqlArgs {
    /// A SELECT over the views of the schema `report`, such as "select * from orders limit 10"
    #[arg(value_name = "SELECT")]
    sql: String,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = SqlFormat::Table)]
    format: SqlFormat,
}

/// Runs it.
pub async fn run(place: &Place, args: SqlArgs) -> Result<(), CliError> {
    let SqlArgs { sql, format } = args;
    if format == SqlFormat::Parquet && terminal::is_screen() {
        return Err(CliError::Usage(
            "Parquet is not for a screen: send it to a file, as in `eider sql … --format parquet > orders.parquet`."
                .to_owned(),
        ));
    }
    let loaded = place.load_quietly()?;
    data::perform(&loaded, Request::Sql { sql, format }, data::Folder::MustExist).await
}
