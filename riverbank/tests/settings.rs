//! What the settings promise: precedence, a check of the whole, errors that name the setting, secrets that stay secret.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use riverbank::config::TABLE;
use riverbank::config::{Purpose, Settings, Sources};

const KAFKA: [(&str, &str); 3] = [
    ("RIVERBANK_KAFKA_BROKERS", "kafka:9092"),
    ("RIVERBANK_REGISTRY_URL", "http://registry:8080/apis/ccompat/v7"),
    ("RIVERBANK_POSTGRES_URL", "postgres://bank:hunter2@db/bank"),
];

fn environment(variables: &[(&str, &str)]) -> Sources {
    let environment = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Sources {
        environment,
        ..Sources::default()
    }
}

fn file(text: &str, suffix: &str) -> (tempfile::TempPath, Sources) {
    let mut file = tempfile::Builder::new().suffix(suffix).tempfile().expect("a file");
    file.write_all(text.as_bytes()).expect("write");
    let path = file.into_temp_path();
    let sources = Sources {
        config: Some(path.to_path_buf()),
        ..Sources::default()
    };
    (path, sources)
}

/// The settings that these sources give.
fn good(sources: &Sources) -> Settings {
    Settings::load(sources, Purpose::Run).unwrap_or_else(|error| panic!("{error}"))
}

/// Each problem that these sources give, as the user sees it.
fn problems(sources: &Sources, purpose: Purpose) -> Vec<String> {
    let error = Settings::load(sources, purpose).expect_err("the settings are wrong");
    assert!(!error.to_string().contains('\n'), "one line: {error}");
    error.problems.iter().map(ToString::to_string).collect()
}

/// That these variables give one problem, which begins with `begin`.
fn check(variables: &[(&str, &str)], purpose: Purpose, begin: &str) {
    let problems = problems(&environment(variables), purpose);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with(begin), "{} does not begin with {begin}", problems[0]);
}

#[test]
fn nothing_set_is_the_embedded_default() {
    let settings = good(&Sources::default());
    assert_eq!(settings.kafka.brokers, None);
    assert_eq!(settings.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.engine.commit_interval, Duration::from_millis(100));
    assert_eq!(settings.sink.bytes_max, 128 << 20);
    assert_eq!(settings.sink.multipart_bytes, 64 << 20);
    assert!(settings.sink.url.as_str().starts_with("file:///") && settings.sink.url.as_str().ends_with("/riverbank-data/lake/"));
    assert!((1..=256).contains(&settings.engine.threads));
}

#[test]
fn every_row_of_the_table_is_read_once_and_has_names_of_its_own() {
    let mut names = BTreeMap::new();
    for setting in TABLE.settings {
        for name in [Some(setting.env_name()), setting.env_file_name(), setting.flag_name()]
            .into_iter()
            .flatten()
        {
            assert_eq!(names.insert(name.clone(), setting.key), None, "{name} is taken");
        }
    }
    assert_eq!(
        TABLE.find("http.advertised_url").expect("a setting").env_name(),
        "RIVERBANK_HTTP_ADVERTISED_URL"
    );
    good(&Sources::default()); // asserts that each row is read
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let (_kept, mut sources) = file(
        "engine:\n  threads: 3\n  commit_interval: 20ms\n  flush_interval: 2s\n",
        ".yaml",
    );
    sources
        .environment
        .insert("RIVERBANK_ENGINE_COMMIT_INTERVAL".into(), "30ms".into());
    sources
        .environment
        .insert("RIVERBANK_ENGINE_FLUSH_INTERVAL".into(), "3s".into());
    sources.flags.insert("engine.flush_interval".into(), "4s".into());
    let engine = good(&sources).engine;
    assert_eq!(engine.threads, 3);
    assert_eq!(engine.commit_interval, Duration::from_millis(30));
    assert_eq!(engine.flush_interval, Duration::from_secs(4));
    assert_eq!(engine.partitions, 4);
}

#[test]
fn a_file_may_be_toml_and_a_list_may_be_a_list() {
    let text =
        "[kafka]\nbrokers = [\"a:9092\", \"b:9092\"]\n[registry]\nurl = \"http://r\"\n[postgres]\nurl = \"postgres://u@h/d\"\n";
    let (_kept, sources) = file(text, ".toml");
    assert_eq!(good(&sources).kafka.brokers.as_deref(), Some("a:9092,b:9092"));
}

#[test]
fn every_problem_is_reported_at_once_with_its_name_and_origin() {
    let (path, mut sources) = file("kafka:\n  brokerz: a:1\nengine:\n  partitions: many\nhttp: 8080\n", ".yaml");
    sources
        .environment
        .insert("RIVERBANK_HTTP_ADVERTISEDURL".into(), "http://x".into());
    sources
        .environment
        .insert("RIVERBANK_SINK_AGE_MAX".into(), "1 fortnight".into());
    sources.flags.insert("http.listen".into(), "localhost".into());
    let path = path.display();
    let expected = [
        format!("engine.partitions ({path}) must be a whole number from 1 to 1000, not \"many\""),
        format!("http ({path}) is no setting"),
        format!("kafka.brokerz ({path}) is no setting"),
        "RIVERBANK_HTTP_ADVERTISEDURL is no setting".to_owned(),
        "http.listen (--http-listen) must be an IP address and a port".to_owned(),
        "sink.age_max (RIVERBANK_SINK_AGE_MAX) must be a duration such as".to_owned(),
    ];
    let problems = problems(&sources, Purpose::Run);
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for begin in expected {
        assert!(
            problems.iter().any(|problem| problem.starts_with(&begin)),
            "{begin} is not in {problems:#?}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_or_not_yaml_is_named() {
    let sources = Sources {
        config: Some(PathBuf::from("/nonexistent/bank.yaml")),
        ..Sources::default()
    };
    assert!(problems(&sources, Purpose::Run)[0].starts_with("/nonexistent/bank.yaml cannot be read"));
    let (path, sources) = file("a: [1\nb: }", ".yaml");
    assert!(problems(&sources, Purpose::Run)[0].starts_with(&format!("{} cannot be understood", path.display())));
}

#[test]
fn settings_that_need_each_other_say_so() {
    check(&KAFKA[..2], Purpose::Run, "postgres.url is missing");
    check(&[KAFKA[0], KAFKA[2]], Purpose::Run, "registry.url is missing");
    check(&[], Purpose::Sink, "kafka.brokers is missing");
    let anywhere = [
        KAFKA[0],
        KAFKA[1],
        KAFKA[2],
        ("RIVERBANK_HTTP_LISTEN", "0.0.0.0:8080"),
        ("RIVERBANK_HTTP_INSECURE_NO_AUTH", "true"),
    ];
    check(&anywhere, Purpose::Run, "http.advertised_url is missing");
    check(
        &[("RIVERBANK_S3_ACCESS_KEY", "key")],
        Purpose::Run,
        "s3.secret_key is missing",
    );
    check(
        &[("RIVERBANK_S3_ENDPOINT", "http://minio:9000")],
        Purpose::Lake,
        "s3.allow_http (default) must be true",
    );
    good(&environment(&KAFKA));
    let nothing = problems(&Sources::default(), Purpose::Connect);
    assert_eq!(nothing.len(), 4, "{nothing:?}");
}

#[test]
fn without_authentication_it_listens_on_loopback_alone() {
    for listen in ["127.0.0.1:8080", "127.1.2.3:0", "[::1]:8080", "[::ffff:127.0.0.1]:8080"] {
        good(&environment(&[("RIVERBANK_HTTP_LISTEN", listen)]));
    }
    let refused = "http.listen (RIVERBANK_HTTP_LISTEN) is";
    for listen in [
        "0.0.0.0:8080",
        "[::]:8080",
        "10.0.0.7:8080",
        "[fe80::1]:8080",
        "[::ffff:10.0.0.7]:8080",
    ] {
        let listens = ("RIVERBANK_HTTP_LISTEN", listen);
        check(&[listens], Purpose::Run, refused);
        for no in ["false", ""] {
            check(&[listens, ("RIVERBANK_HTTP_INSECURE_NO_AUTH", no)], Purpose::Run, refused);
        }
        good(&environment(&[listens, ("RIVERBANK_HTTP_INSECURE_NO_AUTH", "true")]));
    }
    let (_kept, sources) = file("http:\n  listen: 10.0.0.7:80\n  insecure_no_auth: true\n", ".yaml");
    assert!(good(&sources).http.insecure_no_auth);
    // Others do not listen.
    let elsewhere = [KAFKA[0], KAFKA[1], ("RIVERBANK_HTTP_LISTEN", "0.0.0.0:8080")];
    Settings::load(&environment(&elsewhere), Purpose::Lake).expect("a look at the lake");
    check(&elsewhere, Purpose::Sink, refused);

    for (arguments, is_refused) in [
        (
            ["run", "--http-listen", "0.0.0.0:1", "--state-dir", "/dev/null/x"].as_slice(),
            true,
        ),
        (&["run", "--http-listen", "0.0.0.0:1", "--insecure-no-auth=false"], true),
        (&["demo", "--listen", "0.0.0.0:1"], true),
        // Each gets past the settings, and ends at the next thing that is wrong.
        (
            &[
                "run",
                "--insecure-no-auth",
                "--http-listen",
                "203.0.113.1:1",
                "--state-dir",
                "/dev/null/x",
            ],
            false,
        ),
        (&["demo", "--listen", "203.0.113.1:1", "--insecure-no-auth"], false),
    ] {
        let output = riverbank(arguments, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(if is_refused { 2 } else { 1 }),
            "{arguments:?}: {said}"
        );
        assert_eq!(said.contains("--insecure-no-auth"), is_refused, "{arguments:?}: {said}");
    }
}

#[test]
fn no_setting_shows_a_login_whatever_was_meant() {
    for setting in TABLE.settings {
        for value in [
            "postgres://bank:hunter2@db:port/bank",
            "postgres://bank:hunter2@[/bank",
            "mysql://bank:hunter2@db/bank",
            "http://bank:hunter2@host:8080",
            "http://bank:hunter2@host:port",
            "s3://bank:hunter2@bucket/prefix",
            "bank:hunter2@host:9092",
            "hunter2@",
        ] {
            for purpose in [
                Purpose::Run,
                Purpose::Sink,
                Purpose::Lake,
                Purpose::Connect,
                Purpose::Generate,
            ] {
                let variable = setting.env_name();
                let sources = environment(&[(&variable, value)]);
                match Settings::load(&sources, purpose) {
                    // A secret, a folder or any text.
                    Ok(settings) if setting.secret => assert!(!format!("{settings:?}").contains("hunter2"), "{variable}"),
                    Ok(_) => {}
                    Err(error) => assert!(!error.to_string().contains("hunter2"), "{variable}: {error}"),
                }
            }
        }
    }
    for (text, suffix) in [
        ("postgres = { url = postgres://bank:hunter2@db/bank }\n", ".toml"),
        ("[postgres]\nurl = \"postgres://bank:hunter2@db/bank\n", ".toml"),
        ("[postgres]\nurl = hunter2\n", ".toml"),
        ("postgres:\n  url: [postgres://bank:hunter2@db/bank\n", ".yaml"),
        ("postgres:\n  url: {postgres://bank:hunter2@db/bank: x: y}\n", ".yaml"),
        ("postgres:\n  url: \"postgres://bank:hunter2@db/bank\n", ".yaml"),
        ("postgres:\n  url: 'x' postgres://bank:hunter2@db/bank\n", ".yaml"),
    ] {
        let (path, sources) = file(text, suffix);
        let problems = problems(&sources, Purpose::Run);
        let begin = format!("{} cannot be understood: ", path.display());
        assert!(
            problems[0].starts_with(&begin) && problems[0].len() > begin.len(),
            "{problems:?}"
        );
        assert!(!problems.concat().contains("hunter2"), "{problems:?}");
    }
    let url = ["health", "--url", "http://bank:hunter2@127.0.0.1:9", "--timeout", "1s"];
    let output = riverbank(&url, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("ask http://127.0.0.1:9/health/ready") && !said.contains("hunter2"),
        "{said}"
    );
    let into = [
        "generate",
        "--into",
        "postgres://bank:hunter2@127.0.0.1:9/bank",
        "--count",
        "1",
    ];
    let output = riverbank(&into, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("127.0.0.1:9"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn each_form_is_checked() {
    for (name, value, says) in [
        ("KAFKA_BROKERS", "kafka", "must be brokers as host:port"),
        ("REGISTRY_URL", "registry:8080", "must be an address"),
        ("REGISTRY_URL", "http://user:pass@registry", "must not hold a login"),
        ("CONNECT_URL", "http://token@connect", "must not hold a login"),
        ("SINK_URL", "s3://key:secret@bucket/x", "must not hold a login"),
        ("HTTP_INSECURE_NO_AUTH", "perhaps", "must be true or false"),
        ("ENGINE_THREADS", "0", "must be auto or a whole number"),
        ("ENGINE_COMMIT_INTERVAL", "31s", "must be a duration from 1ms to 30s"),
        ("SINK_URL", "ftp://host/x", "must be s3://bucket/prefix"),
        ("SINK_BYTES_MAX", "1KB", "must be a size from 1024"),
        ("SINK_BYTES_MAX", "99999999999GiB", "must be a size"),
        ("S3_ALLOW_HTTP", "maybe", "must be true or false"),
        ("LOG_LEVEL", "a=b=c", "must be error, warn, info"),
        ("LOG_FORMAT", "xml", "must be text or json"),
    ] {
        let variable = format!("RIVERBANK_{name}");
        let problems = problems(&environment(&[(&variable, value)]), Purpose::Lake);
        assert!(
            problems
                .iter()
                .any(|p| p.contains(&format!("({variable})")) && p.contains(says)),
            "{variable}: {problems:?}"
        );
    }
}

#[test]
fn an_empty_value_is_none_and_kubernetes_links_are_no_settings() {
    let settings = good(&environment(&[
        ("RIVERBANK_S3_ENDPOINT", ""),
        ("RIVERBANK_POSTGRES_URL_FILE", ""),
        ("RIVERBANK_SERVICE_HOST", "10.0.0.7"),
        ("RIVERBANK_SERVICE_PORT_HTTP", "8080"),
        ("RIVERBANK_PORT", "tcp://10.0.0.7:8080"),
        ("RIVERBANK_PORT_8080_TCP_ADDR", "10.0.0.7"),
        ("RIVERBANK_CACHE", "/var/cache/riverbank"),
        ("HOME", "/root"),
    ]));
    assert_eq!(settings.s3.endpoint, None);
}

#[test]
fn a_secret_comes_from_a_file_and_is_never_shown() {
    let (path, _) = file("postgres://bank:hunter2@db/bank\n", "");
    let path = path.to_str().expect("a path");
    let settings = good(&environment(&[KAFKA[0], KAFKA[1], ("RIVERBANK_POSTGRES_URL_FILE", path)]));
    assert_eq!(
        settings.postgres.url.as_ref().expect("set").reveal(),
        "postgres://bank:hunter2@db/bank"
    );
    assert!(!format!("{settings:?}").contains("hunter2"));

    check(
        &[("RIVERBANK_POSTGRES_URL_FILE", "/nonexistent")],
        Purpose::Run,
        "postgres.url (RIVERBANK_POSTGRES_URL_FILE) names a file",
    );
    let twice = [
        ("RIVERBANK_POSTGRES_URL_FILE", path),
        ("RIVERBANK_POSTGRES_URL", "postgres://u@h/d"),
    ];
    check(
        &twice,
        Purpose::Run,
        "postgres.url (RIVERBANK_POSTGRES_URL_FILE) is given twice",
    );
    let shown = problems(
        &environment(&[("RIVERBANK_POSTGRES_URL", "mysql://bank:hunter2@db/bank")]),
        Purpose::Run,
    );
    assert!(!shown[0].contains("hunter2"), "{}", shown[0]);
}

/// Runs the program with these arguments and variables, and none of this process's own.
fn riverbank(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riverbank"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RIVERBANK_")) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .expect("the program starts")
}

#[test]
fn a_settings_error_ends_with_exit_code_2_and_one_line() {
    let output = riverbank(&["run", "--engine-threads", "lots"], &[("RIVERBANK_BROKERS", "kafka:9092")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("RIVERBANK_BROKERS is no setting"), "{said}");
    assert!(said.contains("engine.threads (--engine-threads) must be auto"), "{said}");
}

#[test]
fn the_help_lists_every_setting_with_its_variable() {
    let output = riverbank(&["run", "--help"], &[]);
    let help = String::from_utf8_lossy(&output.stdout);
    for setting in TABLE.settings {
        assert!(help.contains(&setting.env_name()), "{} is not in\n{help}", setting.env_name());
        assert_eq!(
            setting.flag_name().is_some_and(|flag| help.contains(&format!("--{flag}"))),
            !setting.secret,
            "{}",
            setting.key
        );
    }
}

#[test]
fn health_of_nobody_is_exit_code_1() {
    let output = riverbank(&["health", "--url", "http://127.0.0.1:9", "--timeout", "1s"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("ask http://127.0.0.1:9/health/ready"));
}
