//! What a scenario reports: a table for people, and one JSON object as the last line.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::measure;

/// Figures by subject and name. A name carries its unit; several values of one figure become their median.
pub struct Report {
    scenario: &'static str,
    settings: Map<String, Value>,
    facts: Map<String, Value>,
    subjects: Vec<String>,
    figures: Vec<String>,
    values: BTreeMap<(String, String), Vec<f64>>,
}

impl Report {
    /// Of this scenario, on this machine.
    pub fn new(scenario: &'static str) -> Self {
        let mut settings = Map::new();
        settings.insert("machine".to_owned(), json!(machine()));
        settings.insert("riverbank".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
        settings.insert("librdkafka".to_owned(), json!(librdkafka));
        Self {
            scenario,
            settings,
            facts: Map::new(),
            subjects: Vec::new(),
            figures: Vec::new(),
            values: BTreeMap::new(),
        }
    }

    /// A setting that the run can be repeated with.
    pub fn setting(&mut self, name: &str, value: impl Into<Value>) {
        self.settings.insert(name.to_owned(), value.into());
    }

    /// Something that holds for the whole run.
    pub fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    /// A measured value.
    pub fn add(&mut self, subject: &str, figure: &str, value: f64) {
        for (name, names) in [(subject, &mut self.subjects), (figure, &mut self.figures)] {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        eprintln!("  {subject}: {figure} {}", shown(value));
        self.values
            .entry((subject.to_owned(), figure.to_owned()))
            .or_default()
            .push(value);
    }

    fn median(&self, subject: &str, figure: &str) -> Option<f64> {
        let values = self.values.get(&(subject.to_owned(), figure.to_owned()))?;
        Some(measure::median(values))
    }

    /// How many times one subject's figure is another's, where both were measured.
    pub fn ratio(&mut self, figure: &str, above: &str, below: &str) {
        if let (Some(a), Some(b)) = (self.median(above, figure), self.median(below, figure)) {
            let ratio = (a / b * 100.0).round() / 100.0;
            self.fact(&format!("ratio_{figure}_{above}_to_{below}"), ratio);
        }
    }

    /// Prints it.
    #[allow(clippy::print_stdout, reason = "this is what the program is for")]
    pub fn print(&self) {
        println!("\n{}", self.scenario);
        for (name, value) in &self.settings {
            println!(
                "  {name}: {}",
                value.as_str().map_or_else(|| value.to_string(), str::to_owned)
            );
        }
        print!("\n{:<24}", "");
        let width = |figure: &str| figure.len().max(14) + 2;
        for figure in &self.figures {
            print!("{figure:>0$}", width(figure));
        }
        println!();
        for subject in &self.subjects {
            print!("{subject:<24}");
            for figure in &self.figures {
                let median = self.median(subject, figure).map_or_else(|| "-".to_owned(), shown);
                print!("{median:>0$}", width(figure));
            }
            println!();
        }
        println!();
        for (name, value) in &self.facts {
            println!("  {name}: {value}");
        }
        println!();
        let mut all = Map::new();
        all.insert("scenario".to_owned(), json!(self.scenario));
        for subject in &self.subjects {
            for figure in &self.figures {
                if let Some(median) = self.median(subject, figure) {
                    all.insert(format!("{subject}_{figure}"), json!((median * 1000.0).round() / 1000.0));
                }
            }
        }
        all.extend(self.facts.clone());
        all.insert("settings".to_owned(), Value::Object(self.settings.clone()));
        println!("{}", Value::Object(all));
    }
}

fn shown(value: f64) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

/// Processor and count, memory.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} × {model}, {memory}")
}
