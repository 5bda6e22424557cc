//! Reads typed values out of the layered text, and collects every problem instead of stopping at the first.

use std::collections::BTreeSet;

use super::error::{Problem, SettingsError};
use super::layers::{Layered, Sources, gather};
use super::setting::Table;

/// The text of a table's settings, being read.
#[derive(Debug)]
pub struct Reader {
    table: Table,
    layered: Layered,
    problems: Vec<Problem>,
    read: BTreeSet<&'static str>,
}

impl Reader {
    /// Gathers the text of every setting.
    pub fn new(table: Table, sources: &Sources) -> Self {
        let mut problems = Vec::new();
        let layered = gather(&table, sources, &mut problems);
        Self {
            table,
            layered,
            problems,
            read: BTreeSet::new(),
        }
    }

    /// The value of a setting that has a default. Where the text is wrong the problem is kept, and the default is
    /// returned so that the check goes on.
    pub fn get<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> T {
        if let Some(value) = self.optional(key, &parse) {
            return value;
        }
        let default = self
            .table
            .find(key)
            .and_then(|setting| setting.default)
            .expect("a setting read by get has a default");
        parse(default).expect("a default is well-formed")
    }

    /// The value of a setting that may be absent; `None`, too, where its text is wrong, and the problem is kept.
    pub fn optional<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        assert!(self.table.find(key).is_some(), "{key} is in the table");
        self.read.insert(key);
        let (text, origin) = self.layered.get(key)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(message) => {
                // What was meant for another setting may hold a login.
                let message = match text.contains('@') {
                    true => message.replace(text, "(not shown, since it may hold a password)"),
                    false => message,
                };
                self.problems.push(Problem {
                    setting: key.to_owned(),
                    origin: Some(origin.clone()),
                    message,
                });
                None
            }
        }
    }

    /// Whether somebody set it, rightly or wrongly.
    pub fn is_set(&self, key: &str) -> bool {
        self.layered.contains_key(key)
    }

    /// Adds a problem of settings that are wrong together, or missing.
    pub fn problem(&mut self, key: &'static str, message: impl Into<String>) {
        let origin = self.layered.get(key).map(|(_, origin)| origin.clone());
        self.problems.push(Problem {
            setting: key.to_owned(),
            origin,
            message: message.into(),
        });
    }

    /// The settings of the table that nothing has read: always empty, unless the table has outlived its reader.
    pub fn unread(&self) -> Vec<&'static str> {
        self.table
            .settings
            .iter()
            .map(|setting| setting.key)
            .filter(|key| !self.read.contains(key))
            .collect()
    }

    /// `value`, if there was no problem.
    pub fn finish<T>(self, value: T) -> Result<T, SettingsError> {
        if self.problems.is_empty() {
            Ok(value)
        } else {
            Err(SettingsError { problems: self.problems })
        }
    }
}
