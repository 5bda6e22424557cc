//! What can be set about the notifier.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::snowflake::PipeName;
use crate::snowflake::snowpipe::FILES_MAX;

/// Which pipe loads a table. Each pipe's stage location is the table's folder in the lake, as in `COPY INTO … FROM
/// @stage/bronze.accounts/`: paths count from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipeRule(String);

impl PipeRule {
    /// A pattern such as `BANK.RAW.{TABLE}_PIPE`. In it, `{TABLE}` is the table's name in upper case with `_` for each dot, and
    /// `{NAME}` the part of it behind the first dot. An error, as text, if that makes no pipe's name.
    pub fn new(pattern: &str) -> Result<Self, String> {
        if !["{TABLE}", "{NAME}"].iter().any(|part| pattern.contains(part)) {
            return Err("must have {TABLE} or {NAME} in it, since each table has a pipe of its own".to_owned());
        }
        let rule = Self(pattern.to_owned());
        rule.pipe("a.b")
            .map(|_| ())
            .map_err(|error| format!("{error}, with {{TABLE}} in it"))?;
        Ok(rule)
    }

    /// The table's pipe.
    pub fn pipe(&self, table: &str) -> Result<PipeName, String> {
        let upper = |text: &str| text.replace(['.', '-'], "_").to_ascii_uppercase();
        let name = table.split_once('.').map_or(table, |(_, name)| name);
        PipeName::parse(&self.0.replace("{TABLE}", &upper(table)).replace("{NAME}", &upper(name)))
    }
}

/// A path of the lake, as the table's pipe knows it.
pub fn path_in_stage<'a>(table: &str, path: &'a str) -> &'a str {
    let inner = path.strip_prefix(table).and_then(|rest| rest.strip_prefix('/'));
    inner.unwrap_or(path)
}

/// The notifier's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifierSettings {
    /// The tables, each with its pipe.
    pub pipes: BTreeMap<String, PipeName>,
    /// The most files of a request; Snowflake takes 5,000.
    pub batch_files_max: usize,
    /// How long a file waits for others to share its request.
    pub batch_wait: Duration,
    /// The most files that are known and not received; those beyond it are found by a later listing.
    pub files_max: usize,
    /// Between two reconciling listings.
    pub reconcile_interval: Duration,
    /// How many days before the newest one of the last listing are listed again.
    pub reconcile_days: u32,
    /// The most day folders of one table that are looked through at once, between other work, for a range that is missing.
    pub search_days_max: usize,
    /// Between two reports; Snowflake keeps what they cover for ten minutes.
    pub report_interval: Duration,
    /// How long a file may be in no report before the history is asked.
    pub history_after: Duration,
    /// How long the store may take to answer.
    pub store_timeout: Duration,
    /// The wait after a fault; it doubles up to `fault_wait_max`.
    pub fault_wait: Duration,
    /// The longest wait after a fault.
    pub fault_wait_max: Duration,
    /// Between two writes of what a restart should find.
    pub save_interval: Duration,
}

impl NotifierSettings {
    /// The settings' defaults, for these tables. An error, as text, if the rule makes two tables share a pipe.
    pub fn new<'a>(rule: &PipeRule, tables: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut pipes: BTreeMap<String, PipeName> = BTreeMap::new();
        for table in tables {
            let pipe = rule.pipe(table)?;
            if let Some((other, _)) = pipes.iter().find(|(_, known)| **known == pipe) {
                return Err(format!("makes {pipe} the pipe of both {other} and {table}"));
            }
            pipes.insert(table.to_owned(), pipe);
        }
        Ok(Self {
            pipes,
            batch_files_max: FILES_MAX,
            batch_wait: Duration::from_secs(5),
            files_max: 100_000,
            reconcile_interval: Duration::from_secs(5 * 60),
            reconcile_days: 2,
            search_days_max: 32,
            report_interval: Duration::from_secs(3 * 60),
            history_after: Duration::from_secs(15 * 60),
            store_timeout: Duration::from_secs(60),
            fault_wait: Duration::from_secs(1),
            fault_wait_max: Duration::from_secs(60),
            save_interval: Duration::from_secs(30),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_makes_each_table_s_pipe() {
        let rule = PipeRule::new("bank.raw.{TABLE}_PIPE").unwrap();
        assert_eq!(
            rule.pipe("bronze.accounts").unwrap().as_str(),
            "BANK.RAW.BRONZE_ACCOUNTS_PIPE"
        );
        let rule = PipeRule::new("B.RAW.{NAME}_P").unwrap();
        assert_eq!(
            rule.pipe("gold.account_balances").unwrap().as_str(),
            "B.RAW.ACCOUNT_BALANCES_P"
        );
        assert_eq!(path_in_stage("t", "t/day=2024-01-01/x"), "day=2024-01-01/x");
        for wrong in ["B.RAW.PIPE", "{TABLE}", "B.R W.{TABLE}", ""] {
            assert!(PipeRule::new(wrong).is_err(), "{wrong}");
        }
        let both = NotifierSettings::new(&rule, ["bronze.accounts", "silver.accounts"]);
        assert!(both.unwrap_err().contains("both bronze.accounts and silver.accounts"));
    }
}
