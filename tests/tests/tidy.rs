//! Rules about the source that no compiler checks. Each test collects what breaks its rule and shows all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pursekeeper_core::DenyCode;

/// Which crates of ours each crate may depend on. A crate that is missing here is a violation.
const ARROWS: [(&str, &[&str]); 7] = [
    ("core", &[]),
    ("policy", &["core"]),
    ("journal", &["core"]),
    ("custody", &["core"]),
    ("api", &[]),
    ("sidecar", &["core", "policy", "journal", "custody", "api"]),
    ("tests", &["core", "policy", "journal", "custody", "api", "sidecar"]),
];

/// The only homes of what is heavy or dangerous. Tests may use anything.
const HOMES: [(&str, &[&str]); 10] = [
    ("cedar-policy", &["policy"]),
    ("rusqlite", &["journal"]),
    ("k256", &["custody"]),
    ("ed25519-dalek", &["custody"]),
    ("tonic", &["api", "sidecar"]),
    ("prost", &["api", "sidecar"]),
    ("tokio", &["api", "sidecar"]),
    ("clap", &["sidecar"]),
    ("serde_yaml", &["sidecar"]),
    ("getrandom", &["custody", "sidecar"]),
];

/// What asks the machine instead of the caller, and the crates that may.
const AMBIENT: [(&str, &[&str]); 5] = [
    ("SystemTime", &["sidecar"]),
    ("Instant", &["sidecar"]),
    ("clock_gettime", &["sidecar"]),
    ("getrandom::", &["custody", "sidecar"]),
    ("rand::", &[]),
];

const PORTS: [&str; 3] = ["Policy", "Journal", "Custody"];
const FILE_LINES_MAX: usize = 500;
/// The ceilings are a table: one short rule for each subject, measure and window.
const CEDAR_LINES_MAX: usize = 600;
const TEXT_EXTENSIONS: [&str; 9] =
    ["rs", "proto", "cedar", "cedarschema", "yaml", "toml", "sql", "mjs", "py"];
/// Directories that are made, not written.
const MADE: [&str; 5] = ["target", "node_modules", ".venv", "generated", "__pycache__"];

#[test]
fn crates_depend_only_along_the_arrows() {
    let allowed: BTreeMap<_, _> = ARROWS.into_iter().collect();
    let mut wrong = Vec::new();
    for (name, path) in members() {
        let Some(may) = allowed.get(name.as_str()) else {
            wrong.push(format!("{name}: a new crate; give it a row in ARROWS and in docs/ARCHITECTURE.md"));
            continue;
        };
        for (dependency, dev) in dependencies(&path) {
            let ours = match dependency.as_str() {
                "pursekeeper" => Some("sidecar"),
                other => other.strip_prefix("pursekeeper-"),
            };
            let its_own_test = dev && ours == Some(name.as_str());
            if ours.is_some_and(|ours| !may.contains(&ours)) && !its_own_test {
                wrong.push(format!("{name} depends on {dependency}"));
            }
        }
    }
    clean(&wrong);
}

#[test]
fn heavy_dependencies_stay_at_home() {
    let mut wrong = Vec::new();
    for (name, path) in members() {
        for (dependency, dev) in dependencies(&path) {
            let home = HOMES.iter().find(|(heavy, _)| *heavy == dependency);
            if home.is_some_and(|(_, homes)| !homes.contains(&name.as_str())) && !dev && name != "tests" {
                wrong.push(format!("{name} depends on {dependency}"));
            }
        }
    }
    clean(&wrong);
}

#[test]
fn every_source_file_is_a_module() {
    let mut wrong = Vec::new();
    for (_, path) in members() {
        let alive = modules(&path, true);
        let dead = |file: &PathBuf| extension(file) == "rs" && !alive.contains(file);
        wrong.extend(files(&path.join("src")).into_iter().filter(dead).map(|file| show(&file)));
    }
    clean(&wrong);
}

#[test]
fn every_guardrail_is_embedded() {
    let policy: String = sources("policy").into_iter().map(|(_, text)| text).collect();
    let mut embedded = files(&root().join("policies/guardrails"));
    assert!(embedded.len() >= 4, "the four controls have a file each");
    embedded.push(root().join("policies/schema.cedarschema"));
    let missing =
        |file: &PathBuf| !policy.contains(&format!("policies/{}", relative(file, &root().join("policies"))));
    clean(&embedded.iter().filter(|file| missing(file)).map(|file| show(file)).collect::<Vec<_>>());
}

#[test]
fn every_document_is_linked_from_another() {
    let mut documents: Vec<PathBuf> =
        files(&root().join("docs")).into_iter().filter(|file| extension(file) == "md").collect();
    documents.push(root().join("README.md"));
    let texts: Vec<(PathBuf, String)> =
        documents.into_iter().map(|file| (file.clone(), read(&file))).collect();
    let linked = |file: &Path| {
        let name = format!("{})", file.file_name().unwrap().to_str().unwrap());
        let anchored = name.replace(')', "#");
        texts.iter().any(|(other, text)| other != file && (text.contains(&name) || text.contains(&anchored)))
    };
    let orphan = |file: &&PathBuf| !linked(file) && file.file_name().unwrap() != "README.md";
    clean(&texts.iter().map(|(file, _)| file).filter(orphan).map(|file| show(file)).collect::<Vec<_>>());
}

#[test]
fn every_deny_code_is_documented_and_tested() {
    let guide = read(&root().join("docs/POLICY_GUIDE.md"));
    let this = root().join("tests/tests/tidy.rs");
    let tests = files(&root().join("tests/tests")).into_iter().chain(files(&root().join("tests/policy")));
    let tests: String = tests.filter(|file| *file != this).map(|file| read(&file)).collect();
    let mut wrong = Vec::new();
    for code in DenyCode::ALL {
        if !guide.lines().any(|line| line.starts_with('|') && line.contains(&format!("`{code}`"))) {
            wrong.push(format!("{code} has no row in docs/POLICY_GUIDE.md"));
        }
        let words: Vec<&str> =
            tests.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').collect();
        let named = [code.as_str().to_owned(), format!("DenyCode::{code:?}")];
        if !named.iter().any(|name| words.contains(&name.as_str())) {
            wrong.push(format!("{code} is expected by no test"));
        }
    }
    clean(&wrong);
}

#[test]
fn only_the_shell_asks_the_machine_for_time_and_randomness() {
    let mut wrong = Vec::new();
    for (name, path) in members().into_iter().filter(|(name, _)| name != "tests") {
        for (file, code) in shipped(&path) {
            let asks = AMBIENT
                .iter()
                .filter(|(what, homes)| mentions(&code, what) && !homes.contains(&name.as_str()));
            wrong.extend(asks.map(|(what, _)| format!("{}: {what}", show(&file))));
        }
    }
    clean(&wrong);
}

#[test]
fn money_is_never_a_float() {
    let mut wrong = Vec::new();
    for name in ["core", "policy", "journal"] {
        for (file, text) in sources(name) {
            for (at, line) in (1..).zip(code(&text).lines()) {
                if mentions(line, "f32") || mentions(line, "f64") || has_float_literal(line) {
                    wrong.push(format!("{}:{at}: {}", show(&file), line.trim()));
                }
            }
        }
    }
    clean(&wrong);
}

#[test]
fn each_port_has_one_implementation() {
    for port in PORTS {
        let mut found = Vec::new();
        for (_, path) in members().into_iter().filter(|(name, _)| name != "tests") {
            for (file, code) in shipped(&path) {
                let implements = |line: &&str| {
                    line.trim_start().starts_with("impl") && mentions(line, &format!("{port} for"))
                };
                found.extend(code.lines().filter(implements).map(|line| format!("{}: {line}", show(&file))));
            }
        }
        assert_eq!(found.len(), 1, "{port} is implemented exactly once outside tests:\n{}", found.join("\n"));
    }
}

#[test]
fn only_the_gate_makes_a_right_to_sign() {
    let gate = root().join("crates/core/src/gate");
    let mut wrong = Vec::new();
    let mut made = 0;
    for (_, path) in members() {
        for (file, text) in sources_in(&path) {
            let calls = code(&text).matches("Authorized::new").count();
            if file.starts_with(&gate) {
                made += calls;
            } else if calls > 0 {
                wrong.push(show(&file));
            }
        }
    }
    clean(&wrong);
    assert_eq!(
        made, 5,
        "one for a payment, one for a sign-in, one for a retry, one for what voids a payment, one for what voids many"
    );
}

#[test]
fn lints_are_expected_never_allowed() {
    let mut wrong = Vec::new();
    for (_, path) in members() {
        let files = sources_in(&path).into_iter();
        let allows =
            |text: &str| ["#[allow", "#![allow"].iter().any(|attribute| code(text).contains(attribute));
        wrong.extend(files.filter(|(_, text)| allows(text)).map(|(file, _)| show(&file)));
    }
    clean(&wrong);
}

#[test]
fn no_file_is_longer_than_one_can_read() {
    let top = ["crates", "tests", "proto", "policies", "deploy"].map(|dir| root().join(dir));
    let texts =
        top.iter().flat_map(|dir| files(dir)).filter(|file| TEXT_EXTENSIONS.contains(&extension(file)));
    let long = |file: PathBuf| {
        let lines = read(&file).lines().count();
        let max = if extension(&file) == "cedar" { CEDAR_LINES_MAX } else { FILE_LINES_MAX };
        (lines > max).then(|| format!("{}: {lines} lines", show(&file)))
    };
    clean(&texts.filter_map(long).collect::<Vec<_>>());
}

/// Every test ends here: no violation is left.
fn clean(violations: &[String]) {
    assert!(violations.is_empty(), "\n  {}\n", violations.join("\n  "));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn relative(file: &Path, base: &Path) -> String {
    file.strip_prefix(base).unwrap().to_str().unwrap().to_owned()
}

fn show(file: &Path) -> String {
    relative(file, &root())
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", show(file)))
}

fn extension(file: &Path) -> &str {
    file.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

/// The members of the workspace: the last part of the path, and the path.
fn members() -> Vec<(String, PathBuf)> {
    let manifest: toml::Table = read(&root().join("Cargo.toml")).parse().unwrap();
    let members =
        manifest["workspace"]["members"].as_array().unwrap().iter().map(|path| path.as_str().unwrap());
    members.map(|path| (path.rsplit('/').next().unwrap().to_owned(), root().join(path))).collect()
}

/// What a crate depends on, and whether only its tests do.
fn dependencies(member: &Path) -> Vec<(String, bool)> {
    let manifest: toml::Table = read(&member.join("Cargo.toml")).parse().unwrap();
    let tables = [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)];
    let names = |(table, dev)| {
        let table = manifest.get(table).and_then(toml::Value::as_table).into_iter();
        table.flat_map(|table| table.keys()).map(move |name| (name.clone(), dev)).collect::<Vec<_>>()
    };
    assert!(
        !manifest.contains_key("target"),
        "{}: dependencies of one target only are not looked at",
        show(member)
    );
    tables.into_iter().flat_map(names).collect()
}

/// Every file below a directory, in order, without what is made.
fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    let below = |path: PathBuf| match path.is_dir() {
        true if MADE.iter().any(|made| path.ends_with(made)) => Vec::new(),
        true => files(&path),
        false => vec![path],
    };
    found.into_iter().flat_map(below).collect()
}

fn sources_in(dir: &Path) -> Vec<(PathBuf, String)> {
    files(dir)
        .into_iter()
        .filter(|file| extension(file) == "rs")
        .map(|file| (file.clone(), read(&file)))
        .collect()
}

fn sources(member: &str) -> Vec<(PathBuf, String)> {
    let found = sources_in(&root().join("crates").join(member).join("src"));
    assert!(!found.is_empty(), "no source of {member}");
    found
}

/// The code of a crate that is part of what is shipped: without test modules.
fn shipped(member: &Path) -> Vec<(PathBuf, String)> {
    let text = |file: PathBuf| {
        let code = code(&read(&file));
        // Tests stand last in a file.
        let tests = declarations(&code).into_iter().find(|module| module.tests && module.inline);
        let kept =
            code.lines().take(tests.map_or(usize::MAX, |module| module.line)).collect::<Vec<_>>().join("\n");
        (file, kept)
    };
    modules(member, false).into_iter().map(text).collect()
}

/// The files of a crate that its modules lead to, with or without those of tests.
fn modules(member: &Path, tests: bool) -> BTreeSet<PathBuf> {
    let src = member.join("src");
    let mut alive = BTreeSet::new();
    for entry in [src.join("lib.rs"), src.join("main.rs")].into_iter().chain(files(&src.join("bin"))) {
        reach(&entry, &src, tests, &mut alive);
    }
    alive
}

fn reach(file: &Path, dir: &Path, tests: bool, alive: &mut BTreeSet<PathBuf>) {
    if !file.exists() || !alive.insert(file.to_owned()) {
        return;
    }
    for module in declarations(&code(&read(file)))
        .into_iter()
        .filter(|module| !module.inline && (tests || !module.tests))
    {
        let below = dir.join(&module.name);
        reach(&dir.join(format!("{}.rs", module.name)), &below, tests, alive);
        reach(&below.join("mod.rs"), &below, tests, alive);
    }
}

/// `mod name;` or `mod name {`.
struct Declaration {
    name: String,
    inline: bool,
    tests: bool,
    line: usize,
}

fn declarations(code: &str) -> Vec<Declaration> {
    let (mut found, mut tests) = (Vec::new(), false);
    for (line, text) in code.lines().map(str::trim).enumerate() {
        if text.starts_with("#[") {
            tests |= text == "#[cfg(test)]";
            continue;
        }
        let words: Vec<&str> = text.trim_end_matches([';', '{', ' ']).split_whitespace().collect();
        if let [.., "mod", name] = words[..] {
            found.push(Declaration { name: name.to_owned(), inline: text.ends_with('{'), tests, line });
        }
        tests = false;
    }
    found
}

/// Whether `what` stands in `code` as a word of its own.
fn mentions(code: &str, what: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.match_indices(what).any(|(at, _)| {
        let before = code[..at].chars().next_back().is_some_and(part);
        let after = what.ends_with(part) && code[at + what.len()..].chars().next().is_some_and(part);
        !before && !after
    })
}

/// `1.5`, but neither `tuple.0.1` nor `0..5`.
fn has_float_literal(line: &str) -> bool {
    let bytes = line.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    (1..bytes.len()).filter(|at| bytes[*at] == b'.' && digit(at - 1) && digit(at + 1)).any(|dot| {
        let start = (0..dot).rev().find(|at| !bytes[*at].is_ascii_digit() && bytes[*at] != b'_');
        start.is_none_or(|at| bytes[at] != b'.' && !bytes[at].is_ascii_alphanumeric())
    })
}

/// Rust code with the insides of comments, strings and characters removed; lines stay lines.
fn code(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let hashes = rest.strip_prefix('r').map_or(0, |raw| raw.len() - raw.trim_start_matches('#').len());
        let inside = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first == 'r'
            && rest[1 + hashes..].starts_with('"')
            && !kept.ends_with(|c: char| c.is_alphanumeric())
        {
            let end = format!("\"{}", "#".repeat(hashes));
            2 + hashes + rest[2 + hashes..].find(&end).unwrap() + end.len()
        } else if first == '"' {
            quoted(rest, '"').unwrap()
        } else if first == '\'' && (rest[1..].starts_with('\\') || rest.chars().nth(2) == Some('\'')) {
            quoted(rest, '\'').unwrap()
        } else {
            kept.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        kept.extend(rest[..inside].matches('\n'));
        rest = &rest[inside..];
    }
    kept
}

/// The length of a quoted text with its quotes.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().skip(1).find_map(|(at, c)| {
        let end = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        end.then_some(at + 1)
    })
}

#[test]
fn the_reader_of_code_sees_code_only() {
    let table = [
        ("let x = 1; // f64\nnext", "let x = 1; \nnext"),
        ("a(\"f64 \\\" 1.5\", 'x', '\\'')", "a(, , )"),
        ("r#\"a \" b\"# + r\"\\\" + c", " +  + c"),
        ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
        ("b\"x\" y", "b y"),
    ];
    for (text, expected) in table {
        assert_eq!(code(text), expected, "{text}");
    }
    for (line, expected) in
        [("x = 1.5;", true), ("a.0.1", false), ("0..5", false), ("1_000.0", true), ("v1.2", false)]
    {
        assert_eq!(has_float_literal(line), expected, "{line}");
    }
    assert!(
        mentions("use rand::x", "rand::") && !mentions("operand::x", "rand::") && !mentions("f640", "f64")
    );
}
