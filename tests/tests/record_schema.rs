//! `docs/audit/record-v1.schema.json` says what records are: every pinned record is one, and nothing near it is.

use serde_json::{Value, json};

fn schema() -> jsonschema::Validator {
    let schema: Value =
        serde_json::from_str(include_str!("../../docs/audit/record-v1.schema.json")).expect("JSON");
    jsonschema::draft202012::new(&schema).expect("a schema")
}

fn pinned() -> Vec<Value> {
    let lines = include_str!("../../crates/journal/src/record/v1.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).expect("a record")).collect()
}

#[test]
fn every_pinned_record_is_what_the_schema_says() {
    let schema = schema();
    for record in pinned() {
        let wrong: Vec<String> = schema.iter_errors(&record).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{record}: {wrong:?}");
    }
}

#[test]
fn every_kind_of_record_is_pinned() {
    let kinds: std::collections::BTreeSet<String> =
        pinned().iter().map(|record| record["kind"].as_str().unwrap().to_owned()).collect();
    let schema: Value =
        serde_json::from_str(include_str!("../../docs/audit/record-v1.schema.json")).expect("JSON");
    let known = schema["properties"]["kind"]["enum"].as_array().unwrap();
    let missing: Vec<&Value> = known.iter().filter(|kind| !kinds.contains(kind.as_str().unwrap())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn nothing_near_a_record_is_one() {
    let schema = schema();
    for record in pinned() {
        let members = record.as_object().unwrap();
        for name in ["kind", "seq", "time", "v"] {
            let mut less = members.clone();
            less.remove(name);
            assert!(!schema.is_valid(&Value::Object(less)), "without {name}: {record}");
        }
        for (name, value) in
            [("w", json!(1)), ("v", json!(2)), ("kind", json!("pavement")), ("seq", json!(0))]
        {
            let mut other = members.clone();
            other.insert(name.to_owned(), value);
            assert!(!schema.is_valid(&Value::Object(other)), "with another {name}: {record}");
        }
    }
}
