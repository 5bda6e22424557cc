//! Programs that use the crate: the word count of README.md as one of somebody else's, in a folder of its own that names this crate and
//! no other; and the examples.
//!
//! They are built without a network into the target folder of the tests, from the versions of this workspace's lock file.

use std::path::{Path, PathBuf};
use std::process::Command;

use testbed::Testbed;

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// More than that, and describing a topology is too much work.
const LINES_MAX: usize = 15;

/// The first Rust program of the page.
fn program() -> String {
    let page = read(&Path::new(CRATE).join("README.md"));
    let (_, program) = page.split_once("```rust\n").expect("the page has a program");
    let (program, _) = program.split_once("```\n").expect("and it ends");
    program.to_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a user has beside the program.
fn manifest(workspace: &str) -> String {
    let rust = workspace.lines().find(|line| line.starts_with("rust-version"));
    let profiles = workspace.find("[profile.dev]").expect("the workspace has profiles");
    format!(
        "[package]\nname = \"word-count\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{}\n\n\
         [dependencies]\ntopology = {{ path = \"{CRATE}\" }}\n\n\
         # From here on nothing that a user needs: what is compiled is compiled as for the tests, so RocksDB and the like are there.\n\
         [workspace]\nresolver = \"3\"\nmembers = [\"as-in-the-tests\"]\n\n{}\n\n{}\n{}",
        rust.unwrap_or_default(),
        dependencies(workspace).replace("path = \"", &format!("path = \"{CRATE}/../")),
        &workspace[profiles..],
        // These three are compiled once more, as they are not in the user's workspace.
        ["wire", "broker", "topology"]
            .map(|name| format!("[profile.dev.package.{name}]\nopt-level = 0\n"))
            .concat()
    )
}

/// The crates that members of the workspace use.
fn dependencies(workspace: &str) -> &str {
    let begin = workspace
        .find("[workspace.dependencies]")
        .expect("the workspace has dependencies");
    let (dependencies, _) = workspace[begin..].split_once("\n[").expect("and lints behind them");
    dependencies
}

/// A second program beside the user's, which is never built: it uses all that the workspace's members use, and so asks for the same
/// features.
fn as_in_the_tests(workspace: &str) -> String {
    let named = dependencies(workspace).lines().filter_map(|line| line.split_once(" = "));
    let all: Vec<String> = named.map(|(name, _)| format!("{name}.workspace = true\n")).collect();
    format!(
        "[package]\nname = \"as-in-the-tests\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n{}",
        all.concat()
    )
}

fn write(path: PathBuf, text: &str) {
    std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("the folder can be made");
    std::fs::write(path, text).expect("the file can be written");
}

/// The tests' target folder: this program is `<target>/debug/deps/<name>`.
fn target() -> PathBuf {
    let this = std::env::current_exe().expect("this program has a path");
    this.ancestors().nth(3).expect("it is in a target folder").to_owned()
}

/// Runs cargo as a user would, and not as the tests of a crate; returns what it says.
fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let is_of_the_test = name.to_str().is_some_and(|name| {
            (name.starts_with("CARGO") && name != "CARGO_HOME" && name != "CARGO_INCREMENTAL") || name == "LD_LIBRARY_PATH"
        });
        if is_of_the_test {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).env("CARGO_TARGET_DIR", target()).args(arguments);
    let built = command.output().expect("cargo runs");
    let said = String::from_utf8_lossy(&built.stderr).into_owned();
    assert!(built.status.success(), "{said}");
    said
}

/// Where all targets were built, there is nothing to do.
fn build_examples() {
    let workspace = Path::new(CRATE).join("..");
    cargo(&workspace, &["build", "--offline", "--workspace", "--examples"]);
}

/// The lines that a program of the target folder prints.
fn lines(program: &str, arguments: &[&str]) -> Vec<String> {
    let path = target().join("debug").join(program);
    let run = Command::new(&path)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(run.status.success(), "{program}: {}", String::from_utf8_lossy(&run.stderr));
    let printed = String::from_utf8(run.stdout).expect("it prints text");
    printed.lines().map(str::to_owned).collect()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

/// The words are in several partitions: they come in any order.
const WORDS: [&str; 6] = ["be: 1", "be: 2", "not: 1", "or: 1", "to: 1", "to: 2"];

#[test]
fn the_word_count_of_the_page_is_a_whole_program_of_one_dependency() {
    let program = program();
    let example = read(&Path::new(CRATE).join("examples/word_count.rs"));
    assert!(example.ends_with(&program), "README.md and examples/word_count.rs differ");
    let topology: Vec<&str> = program
        .lines()
        .skip_while(|line| !line.contains("Builder::new("))
        .take_while(|line| !line.contains("Streams::new("))
        .collect();
    assert!((1..=LINES_MAX).contains(&topology.len()), "{topology:#?}");

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let workspace = read(&Path::new(CRATE).join("../Cargo.toml"));
    write(folder.join("Cargo.toml"), &manifest(&workspace));
    write(folder.join("src/main.rs"), &program);
    write(folder.join("as-in-the-tests/Cargo.toml"), &as_in_the_tests(&workspace));
    write(folder.join("as-in-the-tests/src/lib.rs"), "");
    write(folder.join("Cargo.lock"), &read(&Path::new(CRATE).join("../Cargo.lock")));

    let said = cargo(folder, &["build", "--offline", "--workspace", "--bin", "word-count"]);
    assert!(!said.contains("warning"), "{said}");
    // Else this test takes ten minutes of a first run.
    for native in ["librocksdb-sys", "rdkafka-sys"] {
        assert!(
            !said.contains(&format!("Compiling {native}")),
            "{native} was compiled a second time: which of its dependencies has other features than in the workspace? {said}"
        );
    }
    assert_eq!(sorted(lines("word-count", &[])), WORDS);
}

#[test]
fn every_example_prints_what_it_promises() {
    build_examples();
    let example = |name: &str| lines(&format!("examples/{name}"), &[]);
    assert_eq!(sorted(example("word_count")), WORDS);
    let balances = [
        "DE-1 at 1: Some(10000) cents",
        "DE-1 at 2: Some(7450) cents",
        "DE-1 at 3: Some(7849) cents",
        "now: 7849 cents",
    ];
    assert_eq!(example("running_balance"), balances);
    assert_eq!(example("table_join"), ["tea at 2: Some(300)", "tea at 3: Some(400)"]);
    let owners = example("foreign_key_join");
    assert!(owners.iter().any(|line| line.contains("Ada")), "{owners:?}");
    assert_eq!(
        example("as_of_join"),
        ["100 USD sold at 10:15 are 95.00 EUR", "100 USD sold at 09:30 are 90.00 EUR"]
    );

    let all = sorted(
        std::fs::read_dir(Path::new(CRATE).join("examples"))
            .unwrap()
            .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect(),
    );
    let run = [
        "as_of_join",
        "foreign_key_join",
        "running_balance",
        "table_join",
        "three_instances",
        "word_count",
    ];
    assert_eq!(all, run, "an example that no test runs");
}

/// What the three instances say: every one for every account, then the two that are left.
fn answered(said: &[String]) {
    let gone = said.iter().position(|line| line.contains("has stopped")).expect("one stops");
    let (before, after) = (&said[1..gone], &said[gone + 1..]);
    assert_eq!((before.len(), after.len()), (18, 12), "{said:#?}");
    let asked = |lines: &[String], part: &str| lines.iter().filter(|line| line.contains(part)).count();
    for (at, account) in ["DE-1", "DE-2", "FR-1", "FR-2", "IT-1", "IT-2"].iter().enumerate() {
        let told = format!("asked for {account}: {}.00 EUR, says ", 100 + at);
        assert_eq!((asked(before, &told), asked(after, &told)), (3, 2), "{said:#?}");
    }
    // Somebody else was asked than who knew.
    let forwarded = before
        .iter()
        .filter(|line| line.get(..1) != line.get(line.len() - 1..))
        .count();
    assert!(forwarded > 0 && asked(after, "says b") == 0, "{said:#?}");
}

#[test]
fn three_instances_answer_for_every_key_and_so_do_two() {
    build_examples();
    answered(&lines("examples/three_instances", &[]));
}

#[test]
fn three_processes_on_kafka_answer_for_every_key_and_so_do_two() {
    build_examples();
    let bed = Testbed::builder().kafka().start_blocking().unwrap();
    answered(&lines("examples/three_instances", &["--kafka", bed.kafka().bootstrap()]));
}
