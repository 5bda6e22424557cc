//! The SQL that sets the warehouse up: the files of `sql/`, embedded, in the order of their numbers.
//!
//! A file is a template: `{{name}}` stands for a value of the configuration; the values are never part of a migration's checksum, so
//! that a key may change. Lines `-- when: key=value` in the comment at its top say for which configurations it is. Statements end with
//! a `;` at a line's end, outside of quotes, comments and `$$` blocks.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use statements::split;

pub mod statements;

/// The migrations of this version of the program.
const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The place of values that are not to be seen.
const HIDDEN: &str = "********";

/// A migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Its file's name without `.sql`: a number and a word, such as `0001_roles`.
    pub name: String,
    template: String,
    when: Vec<(String, String)>,
}

/// Why a migration cannot be used: a file of the program, or a setting, is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrationError {
    /// The file's name is none of a migration, or its number is another one's, too.
    #[error("{0}.sql: migrations are NNNN_name.sql, each with a number of its own")]
    Name(String),
    /// A placeholder has no value.
    #[error("{migration}.sql needs {{{{{placeholder}}}}}, which has no value{}", hint(.setting))]
    NoValue {
        /// The migration.
        migration: String,
        /// The placeholder.
        placeholder: String,
        /// The setting that would give it one.
        setting: Option<String>,
    },
    /// A placeholder is unknown.
    #[error("{migration}.sql has an unknown placeholder, {{{{{placeholder}}}}}")]
    Unknown {
        /// The migration.
        migration: String,
        /// The placeholder.
        placeholder: String,
    },
    /// A value has a character that its place cannot hold.
    #[error("the value of {{{{{placeholder}}}}} cannot stand in SQL: {reason}")]
    Value {
        /// The placeholder.
        placeholder: String,
        /// Why.
        reason: String,
    },
    /// A quote, a comment or a block has no end.
    #[error("{migration}.sql: {reason}")]
    Statements {
        /// The migration.
        migration: String,
        /// What is open.
        reason: String,
    },
}

fn hint(setting: &Option<String>) -> String {
    setting.as_ref().map(|setting| format!(": set {setting}")).unwrap_or_default()
}

/// A placeholder's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The value; `None` where nothing sets it, which is an error only where it is needed.
    pub text: Option<String>,
    /// The setting that gives it.
    pub setting: &'static str,
    /// Whether it is not to be seen.
    pub secret: bool,
}

/// The configuration that migrations are made for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Values by placeholder.
    pub values: BTreeMap<&'static str, Value>,
    /// What `-- when:` lines ask for, such as `stage` = `s3`; a key may have several values.
    pub facts: BTreeSet<(&'static str, &'static str)>,
}

/// The migrations of this version, in order.
pub fn all() -> Result<Vec<Migration>, MigrationError> {
    read(EMBEDDED)
}

/// Migrations of these files, by name and text.
pub fn read(files: &[(&str, &str)]) -> Result<Vec<Migration>, MigrationError> {
    let mut migrations = Vec::new();
    let mut numbers = BTreeSet::new();
    for (file, template) in files {
        let name = file.trim_end_matches(".sql");
        let wrong = || MigrationError::Name(name.to_owned());
        let (number, rest) = name.split_once('_').ok_or_else(wrong)?;
        let is_number = number.len() == 4 && number.chars().all(|c| c.is_ascii_digit());
        if !is_number || rest.is_empty() || !numbers.insert(number.to_owned()) {
            return Err(wrong());
        }
        migrations.push(Migration {
            name: name.to_owned(),
            when: conditions(template),
            template: (*template).to_owned(),
        });
    }
    migrations.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(migrations)
}

/// The `-- when:` lines of the comment at the top.
fn conditions(template: &str) -> Vec<(String, String)> {
    let comment = template.lines().map_while(|line| line.trim().strip_prefix("--"));
    let conditions = comment.filter_map(|line| line.trim().strip_prefix("when:"));
    let pair = |condition: &str| {
        let (key, value) = condition.trim().split_once('=')?;
        Some((key.trim().to_owned(), value.trim().to_owned()))
    };
    conditions.filter_map(pair).collect()
}

impl Migration {
    /// Whether it is for this configuration: each condition holds.
    pub fn is_for(&self, configuration: &Configuration) -> bool {
        let holds = |(key, value): &(String, String)| configuration.facts.contains(&(key.as_str(), value.as_str()));
        self.when.iter().all(holds)
    }

    #[cfg(test)]
    pub(crate) fn template(&self) -> &str {
        &self.template
    }

    /// The digest of its template, in hexadecimal.
    pub fn checksum(&self) -> String {
        Sha256::digest(&self.template)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Its SQL for a configuration, with secrets hidden.
    pub fn shown(&self, configuration: &Configuration) -> Result<String, MigrationError> {
        self.filled(configuration, true)
    }

    /// Its statements for a configuration, to be run.
    pub fn statements(&self, configuration: &Configuration) -> Result<Vec<String>, MigrationError> {
        let sql = self.filled(configuration, false)?;
        split(&sql).map_err(|reason| MigrationError::Statements {
            migration: self.name.clone(),
            reason,
        })
    }

    fn filled(&self, configuration: &Configuration, hides: bool) -> Result<String, MigrationError> {
        configuration.put_in(&self.name, &self.template, hides)
    }
}

impl Configuration {
    /// A statement of the program's own, with its placeholders filled.
    pub(crate) fn fill(&self, template: &str) -> Result<String, MigrationError> {
        self.put_in("riverbank warehouse", template, false)
    }

    fn put_in(&self, migration: &str, template: &str, hides: bool) -> Result<String, MigrationError> {
        let (mut sql, mut rest) = (String::new(), template);
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, behind) = after.split_once("}}").ok_or_else(|| MigrationError::Unknown {
                migration: migration.to_owned(),
                placeholder: after.chars().take(20).collect(),
            })?;
            sql.push_str(before);
            sql.push_str(&self.value(migration, name.trim(), hides)?);
            rest = behind;
        }
        sql.push_str(rest);
        Ok(sql)
    }

    fn value(&self, migration: &str, placeholder: &str, hides: bool) -> Result<String, MigrationError> {
        let value = self.values.get(placeholder).ok_or_else(|| MigrationError::Unknown {
            migration: migration.to_owned(),
            placeholder: placeholder.to_owned(),
        })?;
        let text = value.text.as_ref().ok_or_else(|| MigrationError::NoValue {
            migration: migration.to_owned(),
            placeholder: placeholder.to_owned(),
            setting: Some(value.setting.to_owned()),
        })?;
        // Values stand between single quotes or as names: what could end either is refused, not escaped.
        if let Some(wrong) = text
            .chars()
            .find(|c| matches!(c, '\'' | '"' | '\\' | ';') || c.is_whitespace())
        {
            return Err(MigrationError::Value {
                placeholder: placeholder.to_owned(),
                reason: format!("{} has {wrong:?} in it", value.setting),
            });
        }
        Ok(if hides && value.secret {
            HIDDEN.to_owned()
        } else {
            text.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[(&str, &str)] = &[
        (
            "0002_stage.sql",
            "-- when: stage=s3\n-- The stage.\n\nCREATE STAGE {{database}}.RAW.LAKE URL = '{{key}}';\n",
        ),
        (
            "0001_base.sql",
            "-- The base.\n-- when: tables=loaded\nCREATE DATABASE {{database}};\n",
        ),
    ];

    fn configuration() -> Configuration {
        let value = |text: &str, secret| Value {
            text: Some(text.to_owned()),
            setting: "some.setting",
            secret,
        };
        Configuration {
            values: [("database", value("BANK", false)), ("key", value("hunter2", true))].into(),
            facts: [("stage", "s3")].into(),
        }
    }

    #[test]
    fn a_configuration_selects_and_fills_migrations() {
        let (migrations, configuration) = (read(FILES).unwrap(), configuration());
        let names: Vec<_> = migrations.iter().map(|migration| migration.name.as_str()).collect();
        assert_eq!(names, ["0001_base", "0002_stage"]);
        assert!(!migrations[0].is_for(&configuration) && migrations[1].is_for(&configuration));
        let stage = &migrations[1];
        let statement = "-- when: stage=s3\n-- The stage.\n\nCREATE STAGE BANK.RAW.LAKE URL = 'hunter2'";
        assert_eq!(stage.statements(&configuration).unwrap(), [statement]);
        let shown = stage.shown(&configuration).unwrap();
        assert!(shown.contains("URL = '********'") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_checksum_is_the_template_s_alone() {
        let migrations = read(FILES).unwrap();
        assert_eq!(migrations[0].checksum().len(), 64);
        assert_ne!(migrations[0].checksum(), migrations[1].checksum());
    }

    #[test]
    fn what_cannot_be_filled_is_an_error() {
        let mut configuration = configuration();
        let fill = |template: &str, configuration: &Configuration| {
            let migrations = read(&[("0001_x.sql", template)]).unwrap();
            migrations[0].statements(configuration).unwrap_err().to_string()
        };
        let unknown = fill("SELECT {{nothing}};", &configuration);
        assert_eq!(unknown, "0001_x.sql has an unknown placeholder, {{nothing}}");
        assert!(fill("SELECT {{database;", &configuration).contains("unknown placeholder"));
        for wrong in ["x'; DROP DATABASE y", "a b", "a\\b"] {
            configuration.values.get_mut("database").unwrap().text = Some(wrong.to_owned());
            assert!(
                fill("USE {{database}};", &configuration).contains("some.setting has"),
                "{wrong}"
            );
        }
        configuration.values.get_mut("database").unwrap().text = None;
        let missing = fill("USE {{database}};", &configuration);
        assert_eq!(missing, "0001_x.sql needs {{database}}, which has no value: set some.setting");
    }

    #[test]
    fn names_and_numbers_are_checked() {
        for files in [
            &[("x.sql", "")][..],
            &[("01_x.sql", "")],
            &[("0001_.sql", "")],
            &[("0001_a.sql", ""), ("0001_b.sql", "")],
        ] {
            assert!(matches!(read(files), Err(MigrationError::Name(_))), "{files:?}");
        }
        all().unwrap();
    }
}
