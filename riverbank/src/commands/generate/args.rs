//! The flags: each overrides the setting of the same name in `config.yaml`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use crate::config::Sources;

/// `riverbank generate …`
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct GenerateArgs {
    /// File with the settings of the simulated bank, YAML or TOML; config.yaml shows them all
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The seed: the same one makes the same operations; without it one is drawn and printed
    #[arg(long)]
    pub seed: Option<String>,
    /// Customers that the bank starts with
    #[arg(long)]
    pub customers: Option<String>,
    /// Accounts that each of them starts with
    #[arg(long)]
    pub accounts_per_customer: Option<String>,
    /// Operations a second, all connections together; 0 is as fast as possible
    #[arg(long)]
    pub rate: Option<String>,
    /// End after this many operations (those of the initial customers and accounts not counted)
    #[arg(long)]
    pub count: Option<String>,
    /// End after this time, such as 30s or 5m
    #[arg(long = "for", value_name = "DURATION")]
    pub run_for: Option<String>,
    /// Connections that write at the same time
    #[arg(long)]
    pub connections: Option<String>,
    /// Where to: postgres://user:password@host/database, `postgres` for the setting postgres.url, or `topics` for kafka.brokers
    #[arg(long, value_name = "TARGET")]
    pub into: Option<String>,
}

impl GenerateArgs {
    /// The settings' sources: the file, then these flags.
    pub fn sources(&self) -> Sources {
        let given = [
            ("seed", &self.seed),
            ("customers", &self.customers),
            ("accounts_per_customer", &self.accounts_per_customer),
            ("rate", &self.rate),
            ("count", &self.count),
            ("for", &self.run_for),
            ("connections", &self.connections),
            ("into", &self.into),
        ];
        let flags: BTreeMap<String, String> = given
            .into_iter()
            .filter_map(|(key, value)| value.clone().map(|value| (key.to_owned(), value)))
            .collect();
        Sources {
            config: self.config.clone(),
            flags,
            ..Sources::default()
        }
    }
}
