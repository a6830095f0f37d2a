//! rsigma over the events of a file, one thread, CPU time: the peer of `make bench CASE=sigma`.
//!
//! Arguments: a folder of rules, a file of events as JSON lines, a file for the pairs of rule and
//! event that were found, one `title<TAB>line number` a line, and options of the engine: `bloom`,
//! `cross-rule-ac`. Prints one JSON object: rules, events, pairs and microseconds of CPU.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use rsigma_eval::{Engine, JsonEvent};
use rsigma_parser::{SigmaCollection, parse_sigma_yaml};
use serde_json::{Value, json};

/// The best of so many counts.
const ROUNDS: usize = 5;

fn cpu_us() -> f64 {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on Linux, and `at` is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut at) };
    at.tv_sec as f64 * 1e6 + at.tv_nsec as f64 / 1e3
}

fn rules_of(folder: &Path) -> (SigmaCollection, usize) {
    let mut all = SigmaCollection::new();
    let mut refused = 0;
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder of rules")
        .map(|entry| entry.expect("its entries").path())
        .collect();
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).expect("a rule in UTF-8");
        match parse_sigma_yaml(&text) {
            Ok(found) => all.rules.extend(found.rules),
            Err(_) => refused += 1,
        }
    }
    (all, refused)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (rules, events, pairs) = (&arguments[0], &arguments[1], &arguments[2]);
    let options = &arguments[3..];

    let (collection, mut refused) = rules_of(Path::new(rules));
    let mut engine = Engine::new();
    engine.set_bloom_prefilter(options.iter().any(|option| option == "bloom"));
    engine.set_cross_rule_ac(options.iter().any(|option| option == "cross-rule-ac"));
    refused += engine.add_rules(&collection.rules).len();

    let text = fs::read_to_string(events).expect("events in UTF-8");
    let lines: Vec<&str> = text.lines().collect();
    let before = cpu_us();
    let values: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).expect("an event in JSON"))
        .collect();
    let parsed = cpu_us() - before;

    let mut hits: usize = 0;
    let mut evaluated = f64::INFINITY;
    for _ in 0..ROUNDS {
        let before = cpu_us();
        hits = values
            .iter()
            .map(|value| std::hint::black_box(engine.evaluate(&JsonEvent::borrow(value))).len())
            .sum();
        evaluated = evaluated.min(cpu_us() - before);
    }

    let mut out = BufWriter::new(fs::File::create(pairs).expect("the file of pairs"));
    for (number, value) in values.iter().enumerate() {
        for result in engine.evaluate(&JsonEvent::borrow(value)) {
            let header = result.header;
            let rule = header.rule_id.unwrap_or(header.rule_title);
            writeln!(out, "{rule}\t{number}").expect("a pair written");
        }
    }
    out.flush().expect("pairs written");
    let figures = json!({
        "rules": engine.rule_count(), "refused": refused, "events": values.len(), "pairs": hits,
        "parse_us": parsed, "evaluate_us": evaluated,
    });
    println!("{figures}");
}
