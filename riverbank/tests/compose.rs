//! What compose.yaml, the image and the example files say to the program is what the program understands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use config::{File, FileFormat, Map, Source, Value};
use riverbank::config::TABLE;
use riverbank::config::{Purpose, Settings, Sources};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_owned()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The variables of `.env.example`.
fn secrets() -> BTreeMap<String, String> {
    let text = read(".env.example");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| line.split_once('=').expect("NAME=value"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// compose.yaml's services, with its variables filled in from `.env.example`.
fn services() -> Map<String, Value> {
    let mut text = read("compose.yaml");
    let secrets = secrets();
    while let Some(start) = text.find("${") {
        let end = start + text[start..].find('}').expect("a closing brace");
        let variable = text[start + 2..end].to_owned();
        let filled = match variable.split_once(":-") {
            Some((_, default)) => default.to_owned(),
            None => {
                let name = variable.split(":?").next().expect("a name");
                secrets
                    .get(name)
                    .unwrap_or_else(|| panic!("{name} is not in .env.example"))
                    .clone()
            }
        };
        text.replace_range(start..=end, &filled);
    }
    let read = File::from_str(&text, FileFormat::Yaml)
        .collect()
        .expect("compose.yaml is YAML");
    read["services"].clone().into_table().expect("services")
}

/// The RIVERBANK_ variables of a service, over those of the image.
fn environment(service: &str) -> Sources {
    let mut environment = image_environment();
    let service = services()[service].clone().into_table().expect("a service");
    for (name, value) in service["environment"].clone().into_table().expect("an environment") {
        environment.insert(name, value.into_string().expect("text"));
    }
    Sources {
        environment,
        ..Sources::default()
    }
}

/// The `ENV` of the Dockerfile.
fn image_environment() -> BTreeMap<String, String> {
    let text = read("Dockerfile").replace("\\\n", " ");
    let lines = text.lines().filter_map(|line| line.strip_prefix("ENV "));
    lines
        .flat_map(str::split_whitespace)
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// That a service's settings are right for what it runs.
fn check(service: &str, purpose: Purpose) -> Settings {
    Settings::load(&environment(service), purpose).unwrap_or_else(|error| panic!("{service}: {error}"))
}

#[test]
fn each_service_of_compose_starts_with_settings_that_are_right() {
    let settings = check("riverbank", Purpose::Run);
    assert_eq!(settings.kafka.brokers.as_deref(), Some("kafka:19092"));
    assert_eq!(settings.sink.url.as_str(), "s3://lake/riverbank");
    let source = check("source", Purpose::Connect);
    let generate = check("generate", Purpose::Generate);
    // Whoever writes rows logs in with least privilege, and with the password that `connect` has set.
    let service = source.connect.service_password.expect("a password").reveal().to_owned();
    for settings in [settings, generate] {
        let login = format!("postgres://{}:{service}@postgres:5432/bank", connect::SERVICE_ROLE);
        assert_eq!(settings.postgres.url.expect("the database").reveal(), login);
    }
}

#[test]
fn every_port_is_published_on_loopback_only() {
    let mut published = 0;
    for (name, service) in services() {
        let service = service.into_table().expect("a service");
        let Some(ports) = service.get("ports") else { continue };
        for port in ports.clone().into_array().expect("ports") {
            let port = port.into_string().expect("text");
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
            published += 1;
        }
    }
    assert!(published > 5, "{published}");
}

#[test]
fn the_image_alone_runs_the_embedded_default() {
    let sources = Sources {
        environment: image_environment(),
        ..Sources::default()
    };
    let settings = Settings::load(&sources, Purpose::Run).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(settings.state.dir, Path::new("/var/lib/riverbank/state"));
    // Not from outside the container: that is asked for, as compose.yaml does.
    assert!(settings.http.listen.ip().is_loopback() && !settings.http.insecure_no_auth);
    let settings = check("riverbank", Purpose::Run);
    assert!(settings.http.listen.ip().is_unspecified() && settings.http.insecure_no_auth);
}

#[test]
fn no_variable_is_given_twice() {
    let text = read("compose.yaml");
    for service in text.split("\n\n") {
        let names: Vec<&str> = service
            .lines()
            .filter_map(|line| line.trim().split_once(": ").map(|(name, _)| name))
            .filter(|name| name.starts_with("RIVERBANK_") || name.starts_with("KAFKA_"))
            .collect();
        let distinct: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), distinct.len(), "{service}");
    }
}

#[test]
fn no_secret_is_written_into_compose() {
    let text = read("compose.yaml");
    for (name, value) in secrets() {
        assert!(text.contains(&format!("${{{name}")), "{name} is not used");
        assert!(value == "riverbank" || !text.contains(&value), "{name} is written out");
    }
}

#[test]
fn every_image_is_pinned_and_every_lasting_service_says_whether_it_is_healthy() {
    for (name, service) in services() {
        let service = service.into_table().expect("a service");
        let text = |key: &str| service.get(key).and_then(|value| value.clone().into_string().ok());
        if let Some(image) = text("image") {
            let tag = image.rsplit_once(':').map(|(_, tag)| tag).unwrap_or_default();
            assert!(tag.contains('.') && tag != "latest", "{name}: {image} is not pinned");
        }
        let ends_by_itself = ["bucket", "source"].contains(&name.as_str());
        let of_the_image = name == "riverbank"; // the Dockerfile's HEALTHCHECK
        assert!(
            service.contains_key("healthcheck") || ends_by_itself || of_the_image,
            "{name} has no health check"
        );
    }
    assert!(read("Dockerfile").contains("HEALTHCHECK"));
}

#[test]
fn the_example_settings_show_every_setting_at_its_default() {
    let sources = Sources {
        config: Some(root().join("riverbank.example.yaml")),
        ..Sources::default()
    };
    let shown = Settings::load(&sources, Purpose::Run).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        shown,
        Settings::load(&Sources::default(), Purpose::Run).expect("the defaults are right")
    );
    let text = read("riverbank.example.yaml");
    for setting in TABLE.settings {
        let (section, name) = setting.key.split_once('.').expect("a section");
        let start = text
            .find(&format!("\n{section}:"))
            .unwrap_or_else(|| panic!("{section} is not shown"));
        let body = text[start + 1..].split("\n\n").next().expect("a section");
        assert!(body.contains(&format!(" {name}: ")), "{} is not shown", setting.key);
    }
}

#[test]
fn the_image_is_built_from_every_member_of_the_workspace() {
    let manifest = read("Cargo.toml");
    let members = manifest.split("members = [").nth(1).expect("the members");
    let members = members.split(']').next().expect("their end").lines();
    let members: BTreeSet<&str> = members
        .filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","))
        .collect();
    assert!(members.contains("riverbank"), "{members:?}");
    let sent = read(".dockerignore");
    let sent: BTreeSet<&str> = sent.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let missing: Vec<_> = members.difference(&sent).collect();
    assert!(missing.is_empty(), "cargo refuses a workspace that lacks {missing:?}");
}
