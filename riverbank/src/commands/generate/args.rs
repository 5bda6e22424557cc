//! The flags: each overrides the setting of the same name in `config.yaml`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches, value_parser};

use super::table::TABLE;
use crate::config::Sources;

const CONFIG: &str = "config";

/// `riverbank generate …`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GenerateArgs {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// The others, by the setting's key: there is one for each setting.
    pub flags: BTreeMap<String, String>,
}

impl GenerateArgs {
    /// The settings' sources: the file, then these flags.
    pub fn into_sources(self) -> Sources {
        Sources {
            config: self.config,
            flags: self.flags,
            ..Sources::default()
        }
    }
}

impl Args for GenerateArgs {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("File with the settings of the simulated bank, YAML or TOML; config.yaml shows them all");
        let flags = TABLE.settings.iter().filter_map(|setting| {
            // clap keeps names for the life of the process, as it does literals; there is one small one per setting.
            let name: &'static str = setting.flag_name()?.leak();
            let default = setting.default.map(|default| format!(" [default: {default}]"));
            let help = format!("{} [{}]{}", setting.help(), setting.key, default.unwrap_or_default());
            // What begins with a hyphen is a value that is wrong, and the setting's own message says what would be right.
            Some(
                Arg::new(setting.key)
                    .long(name)
                    .value_name("VALUE")
                    .help(help)
                    .allow_hyphen_values(true),
            )
        });
        command.arg(file).args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for GenerateArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.config = matches.get_one::<PathBuf>(CONFIG).cloned();
        for setting in TABLE.settings {
            if let Some(value) = matches.get_one::<String>(setting.key) {
                self.flags.insert(setting.key.to_owned(), value.clone());
            }
        }
        Ok(())
    }
}
