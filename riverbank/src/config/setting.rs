//! A setting as data: its name, its default and what it means, in one row of a table.
//!
//! One row gives the name in the file (`http.advertised_url`), the environment variable
//! (`RIVERBANK_HTTP_ADVERTISED_URL`), the flag (`--http-advertised-url`) and the line of help. The environment name is
//! made from the key, never parsed back into one, so an underscore within a key is no riddle.

/// What every environment variable of the program begins with.
pub const ENV_PREFIX: &str = "RIVERBANK_";

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its name in the file, sections divided by dots: `kafka.brokers`.
    pub key: &'static str,
    /// What it is where nobody sets it; `None` where it may be absent.
    pub default: Option<&'static str>,
    /// Whether the value must never be seen: it has no flag, may come from a file, and is not printed.
    pub secret: bool,
    /// The flag, where it is a switch (true without a value) with a name of its own.
    pub switch: Option<&'static str>,
    /// What it means, with its form and unit, in one sentence: its documentation.
    pub about: &'static str,
}

impl Setting {
    /// A setting with a default.
    pub const fn new(key: &'static str, default: &'static str, about: &'static str) -> Self {
        Self {
            key,
            default: Some(default),
            secret: false,
            switch: None,
            about,
        }
    }

    /// A setting that may be absent.
    pub const fn optional(key: &'static str, about: &'static str) -> Self {
        Self {
            key,
            default: None,
            secret: false,
            switch: None,
            about,
        }
    }

    /// A secret that may be absent.
    pub const fn secret(key: &'static str, about: &'static str) -> Self {
        Self {
            key,
            default: None,
            secret: true,
            switch: None,
            about,
        }
    }

    /// A setting that is false unless it is given, with this flag.
    pub const fn switch(key: &'static str, flag: &'static str, about: &'static str) -> Self {
        Self {
            switch: Some(flag),
            ..Self::new(key, "false", about)
        }
    }

    /// What it means, as a line of the help.
    pub fn help(&self) -> &'static str {
        self.about.trim().trim_end_matches('.')
    }

    /// The environment variable: `kafka.brokers` is `RIVERBANK_KAFKA_BROKERS`.
    pub fn env_name(&self) -> String {
        format!("{ENV_PREFIX}{}", self.key.to_uppercase().replace('.', "_"))
    }

    /// The environment variable that names a file with the value; for secrets only.
    pub fn env_file_name(&self) -> Option<String> {
        self.secret.then(|| format!("{}_FILE", self.env_name()))
    }

    /// The flag, without its dashes: `http.advertised_url` is `http-advertised-url`; `None` for secrets, since every
    /// user of the machine can read a command line.
    pub fn flag_name(&self) -> Option<String> {
        let own = || self.key.replace(['.', '_'], "-");
        (!self.secret).then(|| self.switch.map_or_else(own, str::to_owned))
    }
}

/// The settings that a command knows.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// The rows, in the order of the help.
    pub settings: &'static [Setting],
    /// Whether the environment is read for them.
    pub environment: bool,
}

impl Table {
    /// The row with this key.
    pub fn find(&self, key: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// Whether settings of this section are among the rows.
    pub fn has_section(&self, section: &str) -> bool {
        self.settings
            .iter()
            .any(|setting| setting.key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.')))
    }
}
