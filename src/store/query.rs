//! The one door for SQL that people write. One SELECT over the `report` views, with a row cap and the readers'
//! deadline, and nothing else: DuckDB's own parser says what a text is, and everything that it names is held against
//! a list of what is allowed.
//!
//! It must never let a statement reach `main`, `raw`, the catalogue, the configuration, a file or the network.

use std::collections::HashSet;
use std::time::Instant;

use duckdb::types::Value;
use duckdb::{params, params_from_iter};
use serde_json::Value as Json;

use super::error::StoreError;
use super::export::{self, QueryResult};
use super::reader::Read;
use super::values::{from_json, get};

/// Bytes of Arrow that one result may hold.
const RESULT_BYTES_MAX: usize = 256 << 20;
/// Characters that a statement may have.
const SQL_CHARS_MAX: usize = 100_000;

const PARSE_SQL: &str = "SELECT CAST(json_serialize_sql(?) AS VARCHAR)";
const VIEWS_SQL: &str =
    "SELECT lower(view_name) FROM duckdb_views() WHERE schema_name = 'report' AND NOT internal";
const OTHERS_SQL: &str = "SELECT lower(table_name) FROM duckdb_tables() WHERE schema_name <> 'report'
    UNION SELECT lower(view_name) FROM duckdb_views() WHERE schema_name <> 'report'";

/// Functions that stand where a table does and read nothing but their arguments.
const TABLE_FUNCTIONS: &[&str] =
    &["unnest", "range", "generate_series", "json_each", "json_tree", "repeat_row", "generate_subscripts"];
/// Beginnings of functions that tell of the catalogue, the configuration or the machine.
const REFUSED_PREFIXES: &[&str] = &[
    "duckdb_",
    "pragma_",
    "pg_",
    "has_",
    "current_setting",
    "set_config",
    "read_",
    "parquet_",
    "sniff_",
    "glob",
    "getenv",
];
/// Functions that run statements, write, or tell of the catalogue, the configuration or the machine.
const REFUSED_FUNCTIONS: &[&str] = &[
    "query",
    "query_table",
    "nextval",
    "currval",
    "write_log",
    "json_execute_serialized_sql",
    "json_serialize_plan",
    "json_serialize_sql",
    "json_deserialize_sql",
    "getvariable",
    "current_schemas",
    "current_user",
    "session_user",
    "user",
    "current_database",
    "current_catalog",
    "current_query",
    "current_query_id",
    "current_connection_id",
    "current_transaction_id",
    "txid_current",
    "version",
    "in_search_path",
    "which_secret",
    "sql_auto_complete",
    "test_all_types",
    "test_vector_types",
    "seq_scan",
    "index_scan",
    "arrow_scan",
    "arrow_scan_dumb",
    "pandas_scan",
    "sleep_ms",
    "checkpoint",
    "force_checkpoint",
    "storage_info",
    "obj_description",
    "col_description",
    "format_pg_type",
    "map_to_pg_oid",
    "shobj_description",
    "is_histogram_other_bin",
    "finalize",
    "create_sort_key",
    "icu_sort_key",
    "add_parquet_key",
    "enable_logging",
    "disable_logging",
    "truncate_duckdb_logs",
];
/// Statements and table references of a plain SELECT. Whatever else the parser names is refused.
const ALLOWED_NODES: &[&str] = &[
    "SELECT_NODE",
    "SET_OPERATION_NODE",
    "RECURSIVE_CTE_NODE",
    "CTE_NODE",
    "BASE_TABLE",
    "SUBQUERY",
    "JOIN",
    "TABLE_FUNCTION",
    "EMPTY",
    "EMPTY_FROM",
    "EXPRESSION_LIST",
    "PIVOT",
];

/// Ends of the words for what stands inside an allowed node: modifiers, directions, data types.
const ALLOWED_PARTS: &[&str] = &["_MODIFIER", "_TYPE_INFO", "ORDER_DEFAULT", "ASCENDING", "DESCENDING"];

/// Runs one SELECT over the `report` views.
pub(super) fn run(
    read: &Read<'_>,
    sql: &str,
    params: &[Json],
    row_cap: usize,
) -> Result<QueryResult, StoreError> {
    check(read, sql)?;
    let values = params.iter().map(parameter).collect::<Result<Vec<_>, _>>()?;
    let started = Instant::now();
    let mut statement = read.connection().prepare(sql)?;
    let mut stream = statement.stream_arrow(params_from_iter(values))?;
    let schema = stream.get_schema();
    let mut batches = Vec::new();
    let (mut row_count, mut byte_count, mut truncated) = (0_usize, 0_usize, false);
    for batch in &mut stream {
        let batch = batch?;
        let room = row_cap.saturating_sub(row_count);
        if batch.num_rows() > room {
            truncated = true;
            batches.push(batch.slice(0, room));
            break;
        }
        row_count += batch.num_rows();
        byte_count += batch.get_array_memory_size();
        if byte_count > RESULT_BYTES_MAX {
            return Err(StoreError::TooManyRows);
        }
        batches.push(batch);
    }
    drop(stream);
    Ok(QueryResult {
        columns: export::columns(&schema),
        batches,
        truncated,
        duration: started.elapsed(),
        schema,
    })
}

fn parameter(value: &Json) -> Result<Value, StoreError> {
    Ok(match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Boolean(*value),
        Json::String(text) => Value::Text(text.clone()),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::BigInt(number),
            (None, Some(number)) => Value::Double(number),
            (None, None) => {
                return Err(StoreError::Invalid(format!("{number} is too large for a parameter.")));
            }
        },
        Json::Array(_) | Json::Object(_) => {
            return Err(StoreError::Invalid(
                "A parameter is a text, a number, true, false or null.".to_owned(),
            ));
        }
    })
}

/// Says whether the text is one SELECT that names nothing but report views.
fn check(read: &Read<'_>, sql: &str) -> Result<(), StoreError> {
    if sql.len() > SQL_CHARS_MAX {
        return Err(StoreError::Invalid(format!("The statement is longer than {SQL_CHARS_MAX} characters.")));
    }
    let parsed: Option<String> = read.first(PARSE_SQL, params![sql], |row| get(row, 0))?;
    let parsed: Json = from_json(parsed.as_deref().unwrap_or_default())?;
    if parsed.get("error").and_then(Json::as_bool) != Some(false) {
        let said = parsed.get("error_message").and_then(Json::as_str).unwrap_or("it is no SELECT");
        return Err(StoreError::Invalid(format!("Only one SELECT over the report views can be run: {said}")));
    }
    let statements = parsed.get("statements").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let [statement] = statements else {
        return Err(StoreError::Invalid("Write exactly one statement.".to_owned()));
    };
    let allowed = Allowed::load(read, statement)?;
    allowed.walk(statement)
}

struct Allowed {
    views: HashSet<String>,
    ctes: HashSet<String>,
}

impl Allowed {
    fn load(read: &Read<'_>, statement: &Json) -> Result<Self, StoreError> {
        let names = |sql| {
            Ok::<HashSet<String>, StoreError>(read.rows(sql, [], |row| get(row, 0))?.into_iter().collect())
        };
        let mut ctes = HashSet::new();
        collect_ctes(statement, &mut ctes);
        // A name that also means a table elsewhere would mean that table wherever the WITH does not reach.
        let others = names(OTHERS_SQL)?;
        if let Some(name) = ctes.iter().find(|name| others.contains(*name)) {
            return Err(refused(&format!("the name “{name}” in WITH is taken; choose another")));
        }
        Ok(Self { views: names(VIEWS_SQL)?, ctes })
    }

    fn walk(&self, node: &Json) -> Result<(), StoreError> {
        match node {
            Json::Array(items) => items.iter().try_for_each(|item| self.walk(item)),
            Json::Object(members) => {
                self.look_at(node)?;
                members.values().try_for_each(|member| self.walk(member))
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Ok(()),
        }
    }

    fn look_at(&self, node: &Json) -> Result<(), StoreError> {
        let text = |name: &str| node.get(name).and_then(Json::as_str).unwrap_or_default();
        if node.get("function_name").is_some() {
            check_function(&text("function_name").to_lowercase(), text("schema"), text("catalog"))?;
        }
        // Whatever has a type and no class is a statement, a table reference, a modifier or a data type.
        let kind = text("type");
        if kind.is_empty()
            || node.get("class").is_some()
            || ALLOWED_PARTS.iter().any(|part| kind.ends_with(part))
        {
            return Ok(());
        }
        if !ALLOWED_NODES.contains(&kind) {
            return Err(refused(&format!("{kind} cannot be used")));
        }
        match kind {
            "BASE_TABLE" => {
                let path = node.pointer("/qualified_name/path").and_then(Json::as_array);
                let path: Vec<&str> = path.into_iter().flatten().filter_map(Json::as_str).collect();
                self.check_table(&path)
            }
            "TABLE_FUNCTION" => {
                let name = node.pointer("/function/function_name").and_then(Json::as_str).unwrap_or_default();
                if TABLE_FUNCTIONS.contains(&name.to_lowercase().as_str()) {
                    Ok(())
                } else {
                    Err(refused(&format!("the function {name}() cannot be used")))
                }
            }
            _ => Ok(()),
        }
    }

    /// A report view, by its name or as `report.name`, or a name that WITH defines.
    fn check_table(&self, path: &[&str]) -> Result<(), StoreError> {
        let table = path.join(".");
        let is_allowed = match path {
            [name] => self.views.contains(&name.to_lowercase()) || self.ctes.contains(&name.to_lowercase()),
            [schema, name] => {
                schema.eq_ignore_ascii_case("report") && self.views.contains(&name.to_lowercase())
            }
            _ => false,
        };
        if is_allowed {
            return Ok(());
        }
        let mut views: Vec<&str> = self.views.iter().map(String::as_str).collect();
        views.sort_unstable();
        Err(refused(&format!("there is no report view “{table}”; there are {}", views.join(", "))))
    }
}

fn check_function(name: &str, schema: &str, catalog: &str) -> Result<(), StoreError> {
    let is_qualified = !matches!(schema, "" | "main" | "pg_catalog") || !matches!(catalog, "" | "system");
    let is_refused =
        REFUSED_FUNCTIONS.contains(&name) || REFUSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    if is_qualified || is_refused {
        return Err(refused(&format!("the function {name}() cannot be used")));
    }
    Ok(())
}

/// Names that WITH defines anywhere in the statement.
fn collect_ctes(node: &Json, names: &mut HashSet<String>) {
    match node {
        Json::Array(items) => items.iter().for_each(|item| collect_ctes(item, names)),
        Json::Object(members) => {
            let entries = node.pointer("/cte_map/map").and_then(Json::as_array);
            let keys =
                entries.into_iter().flatten().filter_map(|entry| entry.get("key").and_then(Json::as_str));
            names.extend(keys.map(str::to_lowercase));
            members.values().for_each(|member| collect_ctes(member, names));
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

fn refused(why: &str) -> StoreError {
    StoreError::Invalid(format!("Only one SELECT over the report views can be run: {why}."))
}
