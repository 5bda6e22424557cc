//! The settings of the simulated bank: `config.yaml`, the defaults, and what is wrong.

use riverbank::commands::generate::{Destination, Plan, table};
use riverbank::config::Sources;
use simulator::Profile;

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
    let flags = [
        ("rate", "fast"),
        ("amount.max", "0.50"),
        ("into", "mysql://x"),
        ("mix.deposits", "1"),
        ("savings", "101%"),
    ];
    let flags = flags
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let error = Plan::load(&Sources {
        flags,
        ..Sources::default()
    })
    .expect_err("wrong")
    .to_string();
    for name in [
        "rate (--rate) must",
        "amount.max (--amount-max) must not",
        "into (--into) must",
        "mix.deposits is no",
        "savings (",
    ] {
        assert!(error.contains(name), "{name} is not in {error}");
    }
    let flags = [("into".to_owned(), "postgres://u:hunter2@h/d".to_owned())].into();
    let plan = Plan::load(&Sources {
        flags,
        ..Sources::default()
    })
    .expect("right");
    assert!(matches!(plan.into, Destination::Database(_)) && !format!("{plan:?}").contains("hunter2"));
}
