//! The oracle: topologies give what Kafka Streams' own test driver says that they give. README.md says how, and what a case is.
//!
//! A program of its own rather than a list of tests, since it says at the end how much was compared.

#![allow(missing_docs, reason = "a test")]

mod case;
mod compare;
mod differences;
mod functions;
mod generate;
mod jvm;
mod recorded;
mod run;
mod translate;
mod value;

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::SystemTime;

use case::{Case, OPERATORS};
use compare::Verdict;
use translate::{NOT_YET, Plant};

/// What a test compared, for the last line.
#[derive(Default)]
struct Compared {
    /// By operator or feature, how many cases it was in.
    needs: BTreeMap<String, usize>,
    cases: usize,
    /// Those that differ where it is on purpose.
    on_purpose: usize,
}

type Test = fn(&mut Compared);

const TESTS: [(&str, Test); 4] = [
    ("a_seed_always_makes_the_same_case", same_seed),
    ("recorded_cases_give_what_kafka_streams_gave", replay),
    ("a_planted_mistake_is_found", planted),
    ("fresh_cases_give_what_kafka_streams_gives", fresh),
];

/// How many fresh cases are generated; `CASES` says another number, `SEED` where to begin.
const FRESH: u64 = 400;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["record"] => {
            recorded::record();
            ExitCode::SUCCESS
        }
        ["seed", seed] => one(seed, "filter"),
        ["seed", seed, focus] => one(seed, focus),
        _ => test(&arguments),
    }
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output is there");
}

fn test(filters: &[&str]) -> ExitCode {
    let is_chosen = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter));
    let chosen: Vec<_> = TESTS.into_iter().filter(|(name, _)| is_chosen(name)).collect();
    say(&format!("\nrunning {} tests", chosen.len()));
    let mut compared = Compared::default();
    let mut failed = 0;
    for (name, test) in &chosen {
        let outcome = catch_unwind(AssertUnwindSafe(|| test(&mut compared)));
        let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
        failed += usize::from(outcome.is_err());
        say(&format!("test {name} ... {verdict}"));
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    let (passed, filtered) = (chosen.len() - failed, TESTS.len() - chosen.len());
    say(&format!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {filtered} filtered out"
    ));
    let operators = OPERATORS.iter().filter(|op| compared.needs.contains_key(**op)).count();
    for known in differences::DIFFERENCES {
        say(&format!("oracle: another way on purpose: {}. {}.", known.name, known.reason));
    }
    say(&format!(
        "oracle: {operators} operators × {} cases compared with Kafka Streams, {} of them another way on purpose{}",
        compared.cases,
        compared.on_purpose,
        NOT_YET.map(|name| format!("; not yet: {name}")).concat()
    ));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// One case, recorded or generated, with the whole of what came of it.
fn one(seed: &str, focus: &str) -> ExitCode {
    let seed = seed.parse().expect("a seed is a number");
    let recorded = recorded::read().into_iter();
    let mut recorded = recorded.filter(|case| case.seed == seed && case.focus == focus);
    let case = recorded.next().unwrap_or_else(|| fresh_case(seed, focus));
    let case = jvm::answer(&[case]).remove(0);
    say(&jvm::line(&case));
    match compare::judge(&case, None) {
        Verdict::Same => say(&format!("{}no difference", compare::heading(&case))),
        Verdict::OnPurpose => say(&format!("{}differs only where that is on purpose", compare::heading(&case))),
        Verdict::Different(difference) => say(&difference.text),
    }
    ExitCode::SUCCESS
}

fn fresh_case(seed: u64, focus: &str) -> Case {
    generate::case(seed, focus, &|need| need == focus || is_supported(need))
}

fn is_supported(need: &str) -> bool {
    !NOT_YET.contains(&need)
}

fn can_run(case: &Case) -> bool {
    case.needs().into_iter().all(is_supported)
}

fn compare_all(cases: &[&Case], compared: &mut Compared) {
    let judged = compare::judge_all(cases, None);
    assert!(
        judged.different.is_empty(),
        "{} of {} cases differ\n\n{}",
        judged.different.len(),
        cases.len(),
        compare::summary(&judged.different)
    );
    for (need, count) in recorded::counts(cases.iter().copied()) {
        *compared.needs.entry(need.to_owned()).or_default() += count;
    }
    compared.cases += cases.len();
    compared.on_purpose += judged.on_purpose;
}

fn replay(compared: &mut Compared) {
    let cases = recorded::read();
    let counts = recorded::counts(&cases);
    let few: Vec<_> = recorded::focuses()
        .filter(|focus| counts.get(focus).copied().unwrap_or_default() < recorded::CASES_MIN)
        .collect();
    assert!(few.is_empty(), "too few recorded cases of {few:?}");
    let ours: Vec<&Case> = cases.iter().filter(|case| can_run(case)).collect();
    let counts = recorded::counts(ours.iter().copied());
    let few: Vec<_> = recorded::focuses()
        .filter(|focus| is_supported(focus) && counts.get(focus).copied().unwrap_or_default() < recorded::CASES_MIN)
        .collect();
    assert!(few.is_empty(), "too few recorded cases that can run of {few:?}");
    compare_all(&ours, compared);
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn fresh(compared: &mut Compared) {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("the epoch is past");
    let first = number("SEED").unwrap_or(now.as_millis() as u64);
    let count = number("CASES").unwrap_or(FRESH);
    say(&format!("fresh cases from seed {first} on (SEED={first} repeats them)"));
    let focuses: Vec<&str> = recorded::focuses().filter(|focus| is_supported(focus)).collect();
    let focus = |seed: u64| focuses[(seed % focuses.len() as u64) as usize];
    let cases: Vec<Case> = (first..first + count).map(|seed| fresh_case(seed, focus(seed))).collect();
    let answered = jvm::answer(&cases);
    compare_all(&answered.iter().collect::<Vec<_>>(), compared);
}

fn planted(_: &mut Compared) {
    let cases = recorded::read();
    let plants = [
        (Plant::FilterInverted, "filter"),
        (Plant::MergeOfOneSide, "merge"),
        (Plant::AggregateFromZero, "aggregate"),
        (Plant::NoSubtractor, "table_aggregate"),
        (Plant::LeftJoinDropsUnmatched, "left_join"),
        (Plant::OuterJoinOfTheLeft, "table_outer_join"),
        (Plant::ForeignKeyJoinDropsUnmatched, "fk_left_join"),
    ];
    for (plant, op) in plants {
        let with_it = cases.iter().filter(|case| can_run(case) && case.needs().contains(op));
        let with_it: Vec<&Case> = with_it.take(50).collect();
        let said = compare::judge_all(&with_it, Some(plant)).different;
        assert!(!said.is_empty(), "{plant:?} is not found in {} cases", with_it.len());
        // The report names the operator and shows both sides.
        let names_it = |difference: &compare::Difference| difference.operator == op && difference.text.contains("this engine");
        assert!(said.iter().any(names_it), "{plant:?}: {}", compare::summary(&said));
    }
}

fn same_seed(_: &mut Compared) {
    for focus in recorded::focuses() {
        let make = || jvm::line(&generate::case(7, focus, &|_| true));
        assert_eq!(make(), make(), "{focus}");
    }
}
