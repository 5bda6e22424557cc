//! How the text of a setting becomes a value: one function per form. An `Err` says what the form is, and repeats the
//! text only where that is no secret.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use clap::ValueEnum;
use clap::builder::PossibleValue;
use reqwest::Url;
use warehouse::notifier::PipeRule;

/// Text that must never be seen: neither `Debug` nor anything else prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever has to present it to a server.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Host and port, where it is an address that holds a password; for messages.
    pub fn address(&self) -> String {
        let url = Url::parse(&self.0).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or("(secret)");
        match url.as_ref().and_then(Url::port) {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Settings of the Kafka client by name; secret, since passwords are among them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Names and values, for the client alone.
    pub fn reveal(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (values are secret)", self.0.keys().collect::<Vec<_>>())
    }
}

/// `name=value`, each on a line of its own or divided by semicolons; lines that begin with `#` are comments.
pub fn properties(value: &str) -> Result<Properties, String> {
    let lines = value
        .split(['\n', ';'])
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs = lines.map(|line| match line.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
        _ => Err("must be name=value, each on a line of its own or divided by semicolons".to_owned()),
    });
    pairs.collect::<Result<_, _>>().map(Properties)
}

/// Any text.
pub fn text(value: &str) -> Result<String, String> {
    Ok(value.to_owned())
}

/// Any secret.
pub fn secret(value: &str) -> Result<Secret, String> {
    Ok(Secret::new(value))
}

/// `true` or `false`.
pub fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        other => Err(format!("must be true or false, not \"{other}\"")),
    }
}

/// One of the words of an enumeration.
pub fn one_of<T: ValueEnum>(value: &str) -> Result<T, String> {
    T::from_str(value, false).map_err(|_| {
        let words: Vec<_> = T::value_variants().iter().filter_map(T::to_possible_value).collect();
        let words: Vec<_> = words.iter().map(PossibleValue::get_name).collect();
        let (last, others) = words.split_last().expect("an enumeration has words");
        format!("must be {} or {last}, not \"{value}\"", others.join(", "))
    })
}

/// A whole number from `min` to `max`.
pub fn count<T: FromStr + PartialOrd + Display>(min: T, max: T) -> impl Fn(&str) -> Result<T, String> {
    move |value| match value.replace('_', "").parse::<T>() {
        Ok(n) if (&min..=&max).contains(&&n) => Ok(n),
        _ => Err(format!("must be a whole number from {min} to {max}, not \"{value}\"")),
    }
}

/// A number of workers: from 1 to `max`, or `auto` for one per processor.
pub fn threads(max: usize) -> impl Fn(&str) -> Result<usize, String> {
    move |value| match value {
        "auto" => Ok(std::thread::available_parallelism().map_or(1, |n| n.get()).min(max)),
        number => match number.parse::<usize>() {
            Ok(n) if (1..=max).contains(&n) => Ok(n),
            _ => Err(format!("must be auto or a whole number from 1 to {max}, not \"{value}\"")),
        },
    }
}

/// A share in percent, from 0 to 100.
pub fn percent(value: &str) -> Result<u32, String> {
    match value.trim_end_matches('%').trim().parse::<u32>() {
        Ok(n) if n <= 100 => Ok(n),
        _ => Err(format!("must be a whole percentage from 0 to 100, not \"{value}\"")),
    }
}

/// A duration such as `100ms`, `2s` or `1m 30s`, from `min` to `max`, which are durations as well.
pub fn duration(min: &str, max: &str) -> impl Fn(&str) -> Result<Duration, String> {
    let bound = |text| humantime::parse_duration(text).expect("a bound is a duration");
    let (range, from, to) = (bound(min)..=bound(max), min.to_owned(), max.to_owned());
    move |value| match humantime::parse_duration(value) {
        Ok(duration) if range.contains(&duration) => Ok(duration),
        Ok(_) => Err(format!("must be a duration from {from} to {to}, not \"{value}\"")),
        Err(_) => Err(format!(
            "must be a duration such as 100ms, 2s or 5m, from {from} to {to}, not \"{value}\""
        )),
    }
}

/// A size such as `512KiB`, `128MiB` or `100000` (bytes), from `min` to `max`, both in bytes.
pub fn bytes(min: u64, max: u64) -> impl Fn(&str) -> Result<u64, String> {
    move |value| match value.replace('_', "").parse::<ByteSize>() {
        Ok(ByteSize(size)) if (min..=max).contains(&size) => Ok(size),
        _ => Err(format!(
            "must be a size from {min} to {max} bytes, such as 128MiB, not \"{value}\""
        )),
    }
}

/// An address to listen on: `IP:PORT`.
pub fn listen_address(value: &str) -> Result<SocketAddr, String> {
    value
        .parse()
        .map_err(|_| format!("must be an IP address and a port such as 127.0.0.1:8080, not \"{value}\""))
}

/// A list `host:port,host:port…` of brokers.
pub fn brokers(value: &str) -> Result<String, String> {
    let well_formed = |broker: &str| match broker.rsplit_once(':') {
        Some((host, port)) => !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0),
        None => false,
    };
    let brokers: Vec<&str> = value.split(',').map(str::trim).collect();
    if brokers.iter().all(|broker| well_formed(broker)) {
        Ok(brokers.join(","))
    } else {
        Err(format!("must be brokers as host:port, divided by commas, not \"{value}\""))
    }
}

/// A list `schema.table.column,schema.table.column…` of columns.
pub fn columns(value: &str) -> Result<Vec<String>, String> {
    let columns: Vec<String> = value.split(',').map(|column| column.trim().to_owned()).collect();
    let well_formed = |column: &String| column.splitn(3, '.').filter(|part| !part.is_empty()).count() == 3;
    if columns.iter().all(well_formed) {
        Ok(columns)
    } else {
        Err(format!(
            "must be columns as schema.table.column, divided by commas, not \"{value}\""
        ))
    }
}

/// An `http://` or `https://` address.
pub fn http_url(value: &str) -> Result<Url, String> {
    match Url::parse(value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            if has_login(&url) {
                return Err("must not hold a login: it would show in the log".to_owned());
            }
            Ok(url)
        }
        _ => Err(format!("must be an address such as http://localhost:8081, not \"{value}\"")),
    }
}

fn has_login(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// A `postgres://user:password@host:port/database` address; secret, since it holds a password.
pub fn postgres_url(value: &str) -> Result<Secret, String> {
    match Url::parse(value) {
        Ok(url) if matches!(url.scheme(), "postgres" | "postgresql") && url.has_host() => Ok(Secret::new(value)),
        _ => Err("must be an address such as postgres://user:password@localhost:5432/bank".to_owned()),
    }
}

/// A folder.
pub fn folder(value: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(value))
}

/// Where a sink writes: `s3://bucket/prefix` and other stores, `file:///folder` or `memory:///`; a plain path is a folder.
pub fn sink_url(value: &str) -> Result<Url, String> {
    let form = || {
        format!(
            "must be s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, file:///folder or a folder, not \"{value}\""
        )
    };
    if !value.contains("://") {
        let folder = std::path::absolute(value).map_err(|error| format!("{}: {error}", form()))?;
        return Url::from_directory_path(folder).map_err(|()| form());
    }
    let url = Url::parse(value).map_err(|_| form())?;
    // abfss://container@account.dfs.core.windows.net/prefix
    let is_container = url.scheme() == "abfss" && url.password().is_none();
    if has_login(&url) && !is_container {
        return Err("must not hold a login: s3.access_key and s3.secret_key (gs.*, az.*) are for that".to_owned());
    }
    if let Some(rest) = url.query().or(url.fragment()) {
        return Err(format!(
            "must end with the prefix: what follows ? or # (\"{rest}\") would be left out"
        ));
    }
    match url.scheme() {
        "s3" | "gs" | "az" if url.has_host() => Ok(url),
        "abfss" if url.has_host() && !url.username().is_empty() => Ok(url),
        "file" | "memory" => Ok(url),
        _ => Err(form()),
    }
}

/// A filter of what is logged.
pub fn log_level(value: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(value) {
        Ok(_) => Ok(value.to_owned()),
        Err(_) => Err(format!(
            "must be error, warn, info, debug, trace or a filter such as info,topology=debug, not \"{value}\""
        )),
    }
}

/// A name that needs no quotes in SQL, in upper case as Snowflake keeps it.
pub fn sql_name(text: &str) -> Result<String, String> {
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match is_name {
        true => Ok(text.to_ascii_uppercase()),
        false => Err(format!("must be a name of letters, digits and _, not \"{text}\"")),
    }
}

/// A pipe's name, with `{DATABASE}`, `{TABLE}` and `{NAME}` for their parts.
pub fn pipe_rule(text: &str) -> Result<String, String> {
    PipeRule::new(&text.replace("{DATABASE}", "D")).map(|_| text.to_owned())
}
