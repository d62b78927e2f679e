//! What a query over the `report` views gave, and the ways to write it: JSON, CSV, Parquet.

use std::io::Write;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::Value as Json;

use super::error::StoreError;

/// Null is written as nothing in CSV, and times as ISO 8601.
const TEXT: FormatOptions<'static> = FormatOptions::new().with_null("");

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct QueryColumn {
    /// Its name.
    pub name: String,
    /// Its SQL type, as far as a reader needs it.
    #[serde(rename = "type")]
    pub kind: String,
}

/// What a query gave.
#[derive(Debug, Clone)]
pub struct QueryResult {
    /// Its columns.
    pub columns: Vec<QueryColumn>,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
    /// There were more rows than asked for.
    pub truncated: bool,
    /// How long the database took.
    pub duration: Duration,
    /// The Arrow schema, which an empty result has too.
    pub schema: SchemaRef,
}

impl QueryResult {
    /// Rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Rows as JSON arrays, in the columns' order. Whole numbers up to 64 bits are numbers; decimals and larger
    /// ones are texts, so that no digit is lost.
    ///
    /// # Errors
    /// Where a value cannot be written.
    pub fn json_rows(&self) -> Result<Vec<Vec<Json>>, StoreError> {
        let mut rows = Vec::with_capacity(self.row_count());
        for batch in &self.batches {
            for row in 0..batch.num_rows() {
                rows.push(
                    batch.columns().iter().map(|column| json_value(column, row)).collect::<Result<_, _>>()?,
                );
            }
        }
        Ok(rows)
    }

    /// Rows as texts, for tables. Null is empty.
    ///
    /// # Errors
    /// Where a value cannot be written.
    pub fn text_rows(&self) -> Result<Vec<Vec<String>>, StoreError> {
        let mut rows = Vec::with_capacity(self.row_count());
        for batch in &self.batches {
            let formatters = formatters(batch)?;
            for row in 0..batch.num_rows() {
                rows.push(formatters.iter().map(|formatter| formatter.value(row).to_string()).collect());
            }
        }
        Ok(rows)
    }

    /// Writes CSV with a header line.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write_csv(&self, to: impl Write) -> Result<(), StoreError> {
        let failed =
            |error: csv::Error| StoreError::Invalid(format!("The CSV could not be written: {error}"));
        let mut writer = csv::Writer::from_writer(to);
        writer.write_record(self.columns.iter().map(|column| &column.name)).map_err(failed)?;
        for batch in &self.batches {
            let formatters = formatters(batch)?;
            for row in 0..batch.num_rows() {
                let record = formatters.iter().map(|formatter| formatter.value(row).to_string());
                writer.write_record(record).map_err(failed)?;
            }
        }
        writer.flush().map_err(|error| StoreError::io("The CSV could not be written", &error))
    }

    /// Writes one JSON array of objects.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write_json(&self, mut to: impl Write) -> Result<(), StoreError> {
        let rows: Vec<Json> = self
            .json_rows()?
            .into_iter()
            .map(|row| self.columns.iter().map(|column| column.name.clone()).zip(row).collect())
            .collect();
        serde_json::to_writer(&mut to, &rows).map_err(|error| StoreError::Invalid(error.to_string()))?;
        to.flush().map_err(|error| StoreError::io("The JSON could not be written", &error))
    }

    /// Writes Parquet, compressed with zstd.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write_parquet(&self, to: impl Write + Send) -> Result<(), StoreError> {
        let failed = |error: parquet::errors::ParquetError| {
            StoreError::Invalid(format!("The Parquet file could not be written: {error}"))
        };
        let properties =
            WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let mut writer = ArrowWriter::try_new(to, self.schema.clone(), Some(properties)).map_err(failed)?;
        for batch in &self.batches {
            writer.write(batch).map_err(failed)?;
        }
        writer.close().map_err(failed)?;
        Ok(())
    }
}

/// The columns of an Arrow schema, in SQL's words.
pub(super) fn columns(schema: &SchemaRef) -> Vec<QueryColumn> {
    schema
        .fields()
        .iter()
        .map(|field| QueryColumn { name: field.name().clone(), kind: sql_type(field.data_type()) })
        .collect()
}

fn sql_type(kind: &DataType) -> String {
    match kind {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INTEGER".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt64 => "UBIGINT".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Timestamp(_, _) => "TIMESTAMP".to_owned(),
        DataType::Decimal128(38, 0) => "HUGEINT".to_owned(),
        DataType::Decimal128(width, scale) => format!("DECIMAL({width},{scale})"),
        other => other.to_string(),
    }
}

fn formatters(batch: &RecordBatch) -> Result<Vec<ArrayFormatter<'_>>, StoreError> {
    batch.columns().iter().map(formatter).collect()
}

fn formatter(column: &ArrayRef) -> Result<ArrayFormatter<'_>, StoreError> {
    ArrayFormatter::try_new(column.as_ref(), &TEXT).map_err(|error| StoreError::Invalid(error.to_string()))
}

fn json_value(column: &ArrayRef, row: usize) -> Result<Json, StoreError> {
    if column.is_null(row) {
        return Ok(Json::Null);
    }
    Ok(match column.data_type() {
        DataType::Boolean => Json::from(column.as_boolean().value(row)),
        DataType::Int8 => Json::from(column.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => Json::from(column.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => Json::from(column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => Json::from(column.as_primitive::<Int64Type>().value(row)),
        DataType::UInt8 => Json::from(column.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt16 => Json::from(column.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => Json::from(column.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => Json::from(column.as_primitive::<UInt64Type>().value(row)),
        DataType::Float32 | DataType::Float64 => {
            let text = formatter(column)?.value(row).to_string();
            text.parse::<f64>().map_or(Json::String(text), Json::from)
        }
        // A sum of whole numbers is 128 bits wide; where it fits, it is a number like what it sums.
        DataType::Decimal128(_, 0) => {
            let text = formatter(column)?.value(row).to_string();
            text.parse::<i64>().map_or(Json::String(text), Json::from)
        }
        _ => Json::String(formatter(column)?.value(row).to_string()),
    })
}
