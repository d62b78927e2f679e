//! Reading settings from file, environment and flags.
//!
//! Each value becomes a layer of its own that remembers its source, so that every message can say where the
//! value came from: the line of the file, the variable, the flag. Nothing here may read a variable that does
//! not begin with [`VARIABLE_PREFIX`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::Serialized;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use toml::de::{DeTable, DeValue};

use super::print::{self, leaves};
use super::{CONFIG_FILE_NAME, Config, VARIABLE_PREFIX};

/// What a variable's name ends with where its value is the path of a file that holds the setting.
const FILE_SUFFIX: &str = "_file";

/// A suggestion must be at least this similar to what was written, from 0 to 1.
const SIMILARITY_MIN: f64 = 0.75;

/// Which file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigFile {
    /// The one that `--config` names; it must be there.
    Named(PathBuf),
    /// `appliance.toml` in this folder, if it is there.
    DefaultIn(PathBuf),
}

impl ConfigFile {
    /// From the value of `--config`.
    #[must_use]
    pub fn from_flag(named: Option<PathBuf>) -> Self {
        named.map_or_else(|| Self::DefaultIn(PathBuf::from(".")), Self::Named)
    }
}

/// Settings given on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--data`
    pub data: Option<PathBuf>,
}

/// Why the settings cannot be used. The text is meant for whoever starts the program.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{}, line {line}: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// Keys that do not exist; one sentence each.
    #[error("{}", .0.join("\n"))]
    Unknown(Vec<String>),
    /// A value that does not fit its key.
    #[error("{source_name}: {key} is not valid: {problem}")]
    Invalid {
        /// The setting, as `section.key`.
        key: String,
        /// Where the value came from.
        source_name: String,
        /// What is wrong and what is expected.
        problem: String,
    },
}

/// Settings, and where each came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    sources: BTreeMap<String, String>,
}

impl Loaded {
    /// The settings as a file that could be used as `appliance.toml`, each with its source, secrets redacted.
    #[must_use]
    pub fn print(&self) -> String {
        print::as_toml(&self.config, |key| self.source_of(key))
    }

    /// Where the value of a setting came from, such as `appliance.toml, line 3`; `default` where nothing set it.
    #[must_use]
    pub fn source_of(&self, key: &str) -> &str {
        self.sources.get(key).map_or("default", String::as_str)
    }
}

/// Reads all settings. `environment` is the whole environment.
///
/// # Errors
/// [`ConfigError`] for an unreadable file, keys that do not exist, and values that do not fit.
pub fn load(
    file: &ConfigFile,
    environment: &BTreeMap<String, String>,
    flags: &Flags,
) -> Result<Loaded, ConfigError> {
    let defaults = Config::defaults(environment);
    let known = Known::of(&defaults);
    let mut layers = file_layers(file, &known)?;
    layers.extend(variable_layers(environment, &known)?);
    layers.extend(flag_layers(flags));

    let mut figment = Figment::from(Serialized::defaults(&defaults));
    let mut sources = BTreeMap::new();
    for layer in layers {
        sources.insert(layer.key.clone(), layer.source_name.clone());
        figment = figment.merge(layer);
    }
    let config = figment.extract::<Config>().map_err(|error| invalid(&error, &known, &sources))?;
    Ok(Loaded { config, sources })
}

/// One value and where it came from.
struct Layer {
    key: String,
    value: Value,
    source_name: String,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source_name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let nested = self
            .key
            .rsplit('.')
            .fold(self.value.clone(), |value, part| Value::from(BTreeMap::from([(part.to_owned(), value)])));
        Ok(Map::from([(Profile::Default, nested.into_dict().unwrap_or_default())]))
    }
}

/// The keys that exist and their default values, which say what kind of value each takes.
struct Known {
    defaults: BTreeMap<String, serde_json::Value>,
}

impl Known {
    fn of(defaults: &Config) -> Self {
        Self { defaults: leaves(defaults).into_iter().collect() }
    }

    fn contains(&self, key: &str) -> bool {
        self.defaults.contains_key(key)
    }

    fn is_section(&self, key: &str) -> bool {
        self.defaults.keys().any(|known| known.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
    }

    /// The key most like `written`, if one is like it at all.
    fn nearest(&self, written: &str) -> Option<&str> {
        let leaf_of = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let similarity = |key: &str| {
            // A key in the wrong section is still the same key.
            let in_wrong_section = if leaf_of(key) == leaf_of(written) { 1.0 } else { 0.0 };
            strsim::jaro_winkler(key, written).max(in_wrong_section)
        };
        self.defaults
            .keys()
            .map(|key| (similarity(key), key.as_str()))
            .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
            .max_by(|(left, _), (right, _)| left.total_cmp(right))
            .map(|(_, key)| key)
    }
}

fn file_layers(file: &ConfigFile, known: &Known) -> Result<Vec<Layer>, ConfigError> {
    let (path, may_be_absent) = match file {
        ConfigFile::Named(path) => (path.clone(), false),
        ConfigFile::DefaultIn(folder) => (folder.join(CONFIG_FILE_NAME), true),
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if may_be_absent && error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(ConfigError::Unreadable { path, cause }),
    };
    let syntax = |error: &toml::de::Error| ConfigError::Syntax {
        path: path.clone(),
        line: line_at(&text, error.span().map_or(0, |span| span.start)),
        problem: error.message().to_owned(),
    };
    let spans = DeTable::parse(&text).map_err(|error| syntax(&error))?;
    let values = toml::from_str::<toml::Table>(&text).map_err(|error| syntax(&error))?;
    let mut found = Found { path: &path, text: &text, known, layers: Vec::new(), unknown: Vec::new() };
    found.collect("", spans.get_ref(), &values)?;
    if found.unknown.is_empty() { Ok(found.layers) } else { Err(ConfigError::Unknown(found.unknown)) }
}

/// What a file holds, as it is gathered.
struct Found<'a> {
    path: &'a Path,
    text: &'a str,
    known: &'a Known,
    layers: Vec<Layer>,
    unknown: Vec<String>,
}

impl Found<'_> {
    fn collect(
        &mut self,
        section: &str,
        spans: &DeTable<'_>,
        values: &toml::Table,
    ) -> Result<(), ConfigError> {
        for (name, spanned) in spans {
            let Some(value) = values.get(name.get_ref().as_ref()) else { continue };
            let key = if section.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{section}.{}", name.get_ref())
            };
            let line = line_at(self.text, name.span().start);
            let source_name = format!("{}, line {line}", self.path.display());
            match (spanned.get_ref(), value) {
                (DeValue::Table(inner_spans), toml::Value::Table(inner)) if self.known.is_section(&key) => {
                    self.collect(&key, inner_spans, inner)?;
                }
                _ if self.known.contains(&key) => {
                    let value = Value::serialize(value).map_err(|error| ConfigError::Invalid {
                        key: key.clone(),
                        source_name: source_name.clone(),
                        problem: error.kind.to_string(),
                    })?;
                    self.layers.push(Layer { key, value, source_name });
                }
                _ if self.known.is_section(&key) => self.unknown.push(format!(
                    "{source_name}: `{key}` is a section; write `[{key}]` and its keys below it"
                )),
                _ => self.unknown.push(unknown_key(&source_name, &key, self.known.nearest(&key))),
            }
        }
        Ok(())
    }
}

fn unknown_key(source_name: &str, written: &str, nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("{source_name}: there is no setting `{written}`; did you mean `{nearest}`?"),
        None => format!("{source_name}: there is no setting `{written}`; `eider config print` lists all"),
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count().saturating_add(1)
}

fn variable_layers(environment: &BTreeMap<String, String>, known: &Known) -> Result<Vec<Layer>, ConfigError> {
    let mut direct = Vec::new();
    let mut from_files = Vec::new();
    let mut unknown = Vec::new();
    for (variable, text) in environment {
        let Some(rest) = variable.strip_prefix(VARIABLE_PREFIX) else { continue };
        let key = rest.to_lowercase().replace("__", ".");
        if let Some(default) = known.defaults.get(&key) {
            direct.push(Layer { key, value: typed(text, default), source_name: variable.clone() });
            continue;
        }
        let pointed = key.strip_suffix(FILE_SUFFIX).and_then(|key| known.defaults.get_key_value(key));
        if let Some((key, default)) = pointed {
            let text = std::fs::read_to_string(text)
                .map_err(|cause| ConfigError::Unreadable { path: PathBuf::from(text), cause })?;
            let value = typed(text.trim(), default);
            from_files.push(Layer { key: key.clone(), value, source_name: variable.clone() });
            continue;
        }
        let nearest = known.nearest(&key).map(variable_name);
        unknown.push(unknown_key("environment", variable, nearest.as_deref()));
    }
    if !unknown.is_empty() {
        return Err(ConfigError::Unknown(unknown));
    }
    direct.extend(from_files);
    Ok(direct)
}

/// `server.listen` as `EIDER__SERVER__LISTEN`.
fn variable_name(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// A variable's text as the kind of value that its setting takes. What does not parse stays text, which the
/// typed settings then refuse by name.
fn typed(text: &str, default: &serde_json::Value) -> Value {
    match default {
        serde_json::Value::Bool(_) => text.parse::<bool>().map_or_else(|_| text.into(), Value::from),
        serde_json::Value::Number(_) => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
        serde_json::Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.map(Value::from).collect::<Vec<_>>().into()
        }
        serde_json::Value::Null | serde_json::Value::String(_) | serde_json::Value::Object(_) => text.into(),
    }
}

fn flag_layers(flags: &Flags) -> Vec<Layer> {
    let layer = |key: &str, flag: &str, value: String| Layer {
        key: key.to_owned(),
        value: Value::from(value),
        source_name: flag.to_owned(),
    };
    let listen = flags.listen.map(|listen| layer("server.listen", "--listen", listen.to_string()));
    let data = flags.data.as_ref().map(|dir| layer("data.dir", "--data", dir.to_string_lossy().into_owned()));
    listen.into_iter().chain(data).collect()
}

fn invalid(error: &figment::Error, known: &Known, sources: &BTreeMap<String, String>) -> ConfigError {
    let path = error.path.join(".");
    let key = known.defaults.keys().find(|key| path == **key || path.starts_with(&format!("{key}.")));
    let key = key.cloned().unwrap_or(path);
    let found_and_expected = match &error.kind {
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            format!("found {found}, expected {expected}")
        }
        other => other.to_string(),
    };
    let example = match known.defaults.get(&key) {
        Some(default) if !default.is_null() => format!("; the default is {}", print::toml_value(default)),
        _ => String::new(),
    };
    ConfigError::Invalid {
        source_name: sources.get(&key).cloned().unwrap_or_else(|| "default".to_owned()),
        problem: format!("{found_and_expected}{example}"),
        key,
    }
}
