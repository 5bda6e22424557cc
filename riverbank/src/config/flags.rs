//! The settings as flags: one for each that is no secret, with its meaning, variable and default as
//! the help.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches, value_parser};

use super::layers::{CONFIG_DEFAULT, CONFIG_VARIABLE, Sources};
use super::setting::Setting;
use super::settings::TABLE;

const CONFIG: &str = "config";

/// The settings that the command line gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingFlags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// The others, by the setting's key.
    pub values: BTreeMap<String, String>,
}

impl SettingFlags {
    /// These flags over the process's environment and file.
    pub fn into_sources(self) -> Sources {
        Sources::of_process(self.config, self.values)
    }
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help_heading("Settings")
            .help(format!(
                "Settings file, YAML or TOML [env: {CONFIG_VARIABLE}] [default: {CONFIG_DEFAULT}, if it is there]"
            ));
        let flags = TABLE.settings.iter().filter_map(flag);
        command.arg(file).args(flags).after_help(secrets_help())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.config = matches.get_one::<PathBuf>(CONFIG).cloned();
        for setting in TABLE.settings.iter().filter(|setting| !setting.secret) {
            if let Some(value) = matches.get_one::<String>(setting.key) {
                self.values.insert(setting.key.to_owned(), value.clone());
            }
        }
        Ok(())
    }
}

fn flag(setting: &Setting) -> Option<Arg> {
    // clap keeps names for the life of the process, as it does literals; there is one small one per setting.
    let name: &'static str = setting.flag_name()?.leak();
    let default = setting
        .default
        .map(|default| format!(" [default: {default}]"))
        .unwrap_or_default();
    let help = format!("{} [{}] [env: {}]{default}", setting.help(), setting.key, setting.env_name());
    let arg = Arg::new(setting.key)
        .long(name)
        .value_name("VALUE")
        .help(help)
        .help_heading("Settings");
    Some(match setting.switch {
        // `--flag` or `--flag=false`: a word behind it is not its value.
        Some(_) => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        None => arg.allow_hyphen_values(false),
    })
}

/// Secrets have no flag, so the help says how else they are given.
fn secrets_help() -> String {
    let mut help =
        String::from("Secrets, from the file or the environment only (NAME_FILE names a file that holds the value):\n");
    for setting in TABLE.settings.iter().filter(|setting| setting.secret) {
        help.push_str(&format!("  {}  {} [{}]\n", setting.env_name(), setting.help(), setting.key));
    }
    help
}
