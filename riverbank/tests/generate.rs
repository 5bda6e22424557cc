//! The settings of the simulated bank: `config.yaml`, the defaults, and what is wrong.

use riverbank::commands::generate::{Destination, Plan, table};
use riverbank::config::Sources;
use simulator::Profile;

/// The plan of these flags.
fn plan(flags: &[(&str, &str)]) -> Result<Plan, String> {
    let flags = flags
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let sources = Sources {
        flags,
        ..Sources::default()
    };
    Plan::load(&sources).map_err(|error| error.to_string())
}

#[test]
fn config_yaml_shows_every_setting_at_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config.yaml");
    let text = std::fs::read_to_string(path).expect("config.yaml");
    let sources = Sources {
        config: Some(path.into()),
        ..Sources::default()
    };
    let shown = Plan::load(&sources).unwrap_or_else(|error| panic!("{error}"));
    let default = Plan::load(&Sources::default()).expect("the defaults are right");
    assert_eq!(shown, default);
    assert_eq!(default.profile, Profile::default());
    for setting in table::TABLE.settings {
        let leaf = setting.key.rsplit('.').next().expect("a name");
        assert!(text.contains(&format!("{leaf}:")), "{} is not in config.yaml", setting.key);
    }
}

#[test]
fn a_setting_of_the_simulated_bank_that_is_wrong_is_named() {
    let error = plan(&[
        ("rate", "fast"),
        ("amount.max", "0.50"),
        ("into", "mysql://x"),
        ("mix.deposits", "1"),
        ("savings", "101%"),
    ])
    .expect_err("wrong");
    for name in [
        "rate (--rate) must",
        "amount.max (--amount-max) must not",
        "into (--into) must",
        "mix.deposits is no",
        "savings (",
    ] {
        assert!(error.contains(name), "{name} is not in {error}");
    }
    let plan = plan(&[("into", "postgres://u:hunter2@h/d")]).expect("right");
    assert!(matches!(plan.into, Destination::Database(_)) && !format!("{plan:?}").contains("hunter2"));
}

/// Values that each setting refuses, by the form that it has.
fn wrong_values(key: &str) -> &'static [&'static str] {
    match key {
        "seed" => &["-1", "x", "1.5", "18446744073709551616"],
        "into" => &["mysql://h/d", "kafka", "postgres:/h"],
        "rate" => &["-1", "fast", "1000001", "1.5"],
        "count" => &["0", "-1", "many"],
        "for" | "day" => &["-1s", "0s", "soon", "400d"],
        "connections" => &["0", "65", "-4", "four"],
        "operations_per_commit" => &["0", "1001", "-1"],
        "customers" => &["0", "1000001", "-100"],
        "accounts_per_customer" => &["0", "11", "-2"],
        "currencies" => &["EURO", "XXX,EUR", "EUR;USD", "EUR,EUR", "eur usd", "EUR,,USD", "HRK"],
        "start" => &["yesterday", "2026-13-01", "1066-10-14", "2026-01-20T25:00:00Z"],
        "daily_pattern" => &["maybe", "2"],
        "activity" | "card.spread" | "cash.spread" | "deposit.spread" | "transfer.spread" | "salary.spread" => {
            &["-1", "3.01", "steep", "0.123"]
        }
        "salary.day" => &["0", "26", "-1", "last"],
        "amount.max" => &["0.50", "0", "-1", "100000000.01"],
        "card.median" | "cash.median" | "deposit.median" | "transfer.median" => &["0.99", "5000.01", "-24.00", "0", "much"],
        "amount.min" | "salary.median" => &["0", "-1.00", "0.001", "much"],
        "opening_balance.min" | "opening_balance.max" => &["-0.01", "0.001", "much", "100000000.01"],
        "savings"
        | "pending"
        | "failed"
        | "cash.share"
        | "transfer.own"
        | "salary.share"
        | "standing_orders.rent"
        | "standing_orders.savings" => &["-5%", "101%", "0.5", "half"],
        weight if weight.starts_with("mix.") => &["-1", "1.5", "1000001", "often"],
        other => panic!("which values does {other} refuse?"),
    }
}

#[test]
fn every_setting_refuses_what_makes_no_sense_by_its_name_and_says_what_does() {
    for setting in table::TABLE.settings {
        let flag = setting.flag_name().expect("each has a flag");
        for value in wrong_values(setting.key) {
            let error = plan(&[(setting.key, value)]).expect_err(&format!("{} takes {value}", setting.key));
            assert!(error.contains(&format!("{} (--{flag}) must", setting.key)), "{error}");
        }
    }
    for (wrong, words) in [
        (vec![("rates", "1")], "rates is no setting"),
        (vec![("mix", "1")], "mix is no setting"),
        (
            vec![("opening_balance.min", "9000.00")],
            "opening_balance.max (default) must not be less than opening_balance.min",
        ),
        (
            vec![("amount.min", "6000.00")],
            "amount.max (default) must not be less than amount.min",
        ),
        (
            vec![("amount.max", "50.00")],
            "deposit.median (default) must be from amount.min to amount.max (1.00 to 50.00)",
        ),
        (
            vec![("mix.deposit", "0"), ("mix.withdrawal", "0"), ("mix.transfer", "0")],
            "mix.deposit (--mix-deposit) must not be 0 when mix.withdrawal and mix.transfer are",
        ),
    ] {
        let error = plan(&wrong).expect_err("wrong");
        assert!(error.contains(words), "{words} is not in {error}");
    }
}

#[test]
fn a_day_has_as_many_operations_as_its_rate_gives_it() {
    let days = |flags: &[(&str, &str)]| plan(flags).expect("right").profile.days;
    assert_eq!(days(&[("day", "60s"), ("rate", "250")]).operations, 15_000);
    assert_eq!(
        days(&[("day", "60s"), ("rate", "0")]).operations,
        6_000,
        "counted at a hundred a second"
    );
    let start = |text| days(&[("start", text)]).start;
    assert_eq!(start("2026-01-20"), start("2026-01-20T00:00:00Z"));
    assert_eq!(plan(&[]).expect("right").start, None, "now");
}

#[test]
fn a_slow_rate_has_small_commits() {
    let most = |rate, most| {
        let plan = plan(&[("rate", rate), ("operations_per_commit", most)]);
        plan.expect("right").profile.operations_per_commit
    };
    assert_eq!(
        [most("1", "4"), most("8", "4"), most("16", "4"), most("0", "500")],
        [1, 2, 4, 500]
    );
}
