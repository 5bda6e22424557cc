//! Gathers the text of every setting: defaults, then the file, then the environment, then flags; the last one wins.
//!
//! A name that no row of the table has is a problem that names it, wherever it stands: a misspelt setting that is
//! silently ignored is found only when the default has done its harm. An empty value is the same as none, so that
//! `RIVERBANK_S3_ENDPOINT=` in a compose file means "not set".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::{File, FileFormat, Map, Source, Value, ValueKind};

use super::error::{Origin, Problem};
use super::setting::{ENV_PREFIX, Setting, Table};

/// The variable that names the settings file; `--config` overrides it.
pub const CONFIG_VARIABLE: &str = "RIVERBANK_CONFIG";
/// Not of the program: the folder in which `make` keeps builds and servers. It must not stop a program that make starts.
const CACHE_VARIABLE: &str = "RIVERBANK_CACHE";
/// The settings file that is read if it is there and no other is named.
pub const CONFIG_DEFAULT: &str = "riverbank.yaml";

/// Where the settings come from, the process's own surroundings or a test's.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file that `--config` names.
    pub config: Option<PathBuf>,
    /// The environment's variables.
    pub environment: BTreeMap<String, String>,
    /// The flags that were given, by the setting's key.
    pub flags: BTreeMap<String, String>,
}

impl Sources {
    /// The process's environment, with what the command line gave.
    pub fn of_process(config: Option<PathBuf>, flags: BTreeMap<String, String>) -> Self {
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        Self {
            config,
            environment,
            flags,
        }
    }
}

/// The text of each setting that has one, with its origin.
pub type Layered = BTreeMap<&'static str, (String, Origin)>;

/// Lays the sources over one another.
pub fn gather(table: &Table, sources: &Sources, problems: &mut Vec<Problem>) -> Layered {
    let mut layered = Layered::new();
    for setting in table.settings {
        if let Some(default) = setting.default {
            layered.insert(setting.key, (default.to_owned(), Origin::Default));
        }
    }
    if let Some(path) = config_file(table, sources) {
        from_file(table, &path, &mut layered, problems);
    }
    if table.environment {
        from_environment(table, &sources.environment, &mut layered, problems);
    }
    for (key, value) in &sources.flags {
        match table.find(key) {
            Some(setting) => {
                let origin = Origin::Flag(setting.flag_name().unwrap_or_else(|| key.clone()));
                put(&mut layered, setting, value, origin);
            }
            None => problems.push(unknown(key, None)),
        }
    }
    layered
}

fn put(layered: &mut Layered, setting: &'static Setting, value: &str, origin: Origin) {
    let value = value.trim();
    if !value.is_empty() {
        layered.insert(setting.key, (value.to_owned(), origin));
    }
}

fn unknown(name: &str, origin: Option<Origin>) -> Problem {
    Problem {
        setting: name.to_owned(),
        origin,
        message: "is no setting (see --help for their names)".to_owned(),
    }
}

/// The file to read: the flag's, the variable's, or the default one where it exists.
fn config_file(table: &Table, sources: &Sources) -> Option<PathBuf> {
    if sources.config.is_some() || !table.environment {
        return sources.config.clone();
    }
    let named = sources
        .environment
        .get(CONFIG_VARIABLE)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(CONFIG_DEFAULT)).filter(|path| path.is_file()))
}

fn from_file(table: &Table, path: &Path, layered: &mut Layered, problems: &mut Vec<Problem>) {
    let origin = Origin::File(path.to_owned());
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("cannot be read: {error}");
            return problems.push(Problem {
                setting: path.display().to_string(),
                origin: None,
                message,
            });
        }
    };
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => FileFormat::Toml,
        _ => FileFormat::Yaml,
    };
    // A file of comments alone is YAML's null, which is not a table but means no settings.
    let is_comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(is_comment) {
        return;
    }
    let read = match File::from_str(&text, format).collect() {
        Ok(read) => read,
        Err(error) => {
            let message = format!("cannot be understood: {}", without_excerpt(&error.to_string()));
            return problems.push(Problem {
                setting: path.display().to_string(),
                origin: None,
                message,
            });
        }
    };
    let mut leaves = Vec::new();
    flatten("", read, &mut leaves);
    for (key, value) in leaves {
        match (table.find(&key), value) {
            (Some(setting), Ok(value)) => put(layered, setting, &value, origin.clone()),
            (Some(_), Err(message)) => problems.push(Problem {
                setting: key,
                origin: Some(origin.clone()),
                message,
            }),
            // A section of which every line is commented out.
            (None, Ok(value)) if value.is_empty() && table.has_section(&key) => {}
            (None, _) => problems.push(unknown(&key, Some(origin.clone()))),
        }
    }
}

/// A parser's message without the lines of the file that it shows: a secret may stand there.
fn without_excerpt(message: &str) -> String {
    let told = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.contains('|') && !line.is_empty());
    told.collect::<Vec<_>>().join(": ")
}

/// The leaves of a file's tree by dotted key, in the order of their keys; a list becomes its items divided by commas.
fn flatten(prefix: &str, table: Map<String, Value>, leaves: &mut Vec<(String, Result<String, String>)>) {
    let mut entries: Vec<(String, Value)> = table.into_iter().collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, value) in entries {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value.kind {
            ValueKind::Table(inner) => flatten(&key, inner, leaves),
            ValueKind::Nil => leaves.push((key, Ok(String::new()))),
            ValueKind::Array(items) => {
                let items: Result<Vec<String>, _> = items.into_iter().map(Value::into_string).collect();
                let joined = items
                    .map(|items| items.join(","))
                    .map_err(|_| "must be a list of plain values".to_owned());
                leaves.push((key, joined));
            }
            _ => leaves.push((key, value.into_string().map_err(|_| "must be a plain value".to_owned()))),
        }
    }
}

fn from_environment(table: &Table, environment: &BTreeMap<String, String>, layered: &mut Layered, problems: &mut Vec<Problem>) {
    let by_name: BTreeMap<String, &'static Setting> = table.settings.iter().map(|s| (s.env_name(), s)).collect();
    let by_file: BTreeMap<String, &'static Setting> = table
        .settings
        .iter()
        .filter_map(|s| s.env_file_name().map(|name| (name, s)))
        .collect();
    for (name, value) in environment.iter().filter(|(name, _)| name.starts_with(ENV_PREFIX)) {
        let origin = Origin::Environment(name.clone());
        if let Some(setting) = by_name.get(name) {
            put(layered, setting, value, origin);
        } else if let Some(setting) = by_file.get(name) {
            from_secret_file(setting, value, origin, environment, layered, problems);
        } else if name != CONFIG_VARIABLE && name != CACHE_VARIABLE && !is_service_link(name, value) {
            problems.push(unknown(name, None));
        }
    }
}

fn from_secret_file(
    setting: &'static Setting,
    path: &str,
    origin: Origin,
    environment: &BTreeMap<String, String>,
    layered: &mut Layered,
    problems: &mut Vec<Problem>,
) {
    if path.is_empty() {
        return;
    }
    let mut problem = |message| {
        problems.push(Problem {
            setting: setting.key.to_owned(),
            origin: Some(origin.clone()),
            message,
        })
    };
    if environment.get(&setting.env_name()).is_some_and(|value| !value.is_empty()) {
        return problem(format!("is given twice: {} is set, too", setting.env_name()));
    }
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => problem(format!("names an empty file, {path}")),
        Ok(text) => put(layered, setting, &text, origin),
        Err(error) => problem(format!("names a file that cannot be read, {path}: {error}")),
    }
}

/// Whether a variable is one that Kubernetes sets by itself in every pod beside a service called `riverbank` or
/// `riverbank-…`: `RIVERBANK_SERVICE_HOST`, `RIVERBANK_PORT=tcp://…`, `RIVERBANK_PORT_8080_TCP_ADDR`.
fn is_service_link(name: &str, value: &str) -> bool {
    let service_port = name.contains("_SERVICE_HOST") || name.contains("_SERVICE_PORT");
    let port = name.ends_with("_PORT") && (value.starts_with("tcp://") || value.starts_with("udp://"));
    let port_part = name.split_once("_PORT_").is_some_and(|(_, rest)| {
        let mut parts = rest.split('_');
        parts.next().is_some_and(|port| port.parse::<u16>().is_ok()) && matches!(parts.next(), Some("TCP" | "UDP"))
    });
    service_port || port || port_part
}
