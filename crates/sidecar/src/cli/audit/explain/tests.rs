use super::*;

fn decision(canonical: &Value) -> v1::Decision {
    v1::Decision {
        seq: canonical["seq"].as_u64().unwrap(),
        kind: canonical["kind"].as_str().unwrap().to_owned(),
        verdict: canonical["verdict"].as_str().unwrap_or_default().to_owned(),
        code: canonical["denial"]["code"].as_str().unwrap_or_default().to_owned(),
        canonical: canonical.to_string().into_bytes(),
        ..Default::default()
    }
}

fn known(decision: v1::Decision) -> Known {
    let record = show::members(&decision).unwrap();
    Known { decision, record, now: 1_795_000_000, ..Known::default() }
}

/// All that is told of a record.
fn story(known: &Known) -> String {
    let sections = tell(known).into_iter().flat_map(|Section { title, lines }| {
        std::iter::once(title.to_owned()).chain(lines).collect::<Vec<_>>()
    });
    std::iter::once(headline(&known.decision)).chain(sections).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(known: &Known, words: &[&str], not: &[&str]) {
    let told = story(known);
    words.iter().for_each(|word| assert!(told.contains(word), "`{word}` is missing:\n{told}"));
    not.iter().for_each(|word| assert!(!told.contains(word), "`{word}` is told:\n{told}"));
}

/// A refusal by the daily ceiling of its workflow.
fn refused() -> v1::Decision {
    let record =
        json!({ "denial": { "code": "CEILING_EXCEEDED" }, "kind": "payment", "seq": 12, "verdict": "deny" });
    v1::Decision {
        workflow: "research".to_owned(),
        usd: "0.50".to_owned(),
        policies: vec![v1::PolicyRef {
            id: "ceilings.workflow.usd.day".to_owned(),
            reason: "the workflow's day is used up".to_owned(),
            digest: "abcd".to_owned(),
        }],
        ..decision(&record)
    }
}

fn budget(frees_at: u64) -> v1::Budget {
    v1::Budget {
        scope: "workflow".to_owned(),
        name: "research".to_owned(),
        window: "day".to_owned(),
        unit: "usd".to_owned(),
        limit: "5.00".to_owned(),
        free: "0.08".to_owned(),
        frees_at,
        ..Default::default()
    }
}

#[test]
fn a_ceiling_says_how_much_more_it_would_need_and_when_money_is_free() {
    let ceiling = |limit: &str, window: &str| v1::CeilingUse {
        scope: "workflow".to_owned(),
        window: window.to_owned(),
        unit: "usd".to_owned(),
        limit: limit.to_owned(),
        before: "4.92".to_owned(),
        after: "5.42".to_owned(),
    };
    let ceilings = vec![ceiling("5", "day"), ceiling("100", "month")];
    let with = v1::Decision { ceilings, ..refused() };
    let budgets = vec![budget(1_795_003_600)];
    check(
        &Known { budgets: budgets.clone(), ..known(with) },
        &[
            "workflow `research`, per day: $4.92 before, $5.42 with this, of $5, $0.42 too much",
            "workflow `research`, per month: $4.92 before, $5.42 with this, of $100\n",
            "it would need $0.42 more per day, or have to wait: the next is free at 2026-11-18T12:06:40Z",
            "ceilings.workflow.usd.day: the workflow's day is used up (sha256 abcd)",
        ],
        &["now $0.08 are free"],
    );
    // Records that were written before the arithmetic was kept.
    check(
        &Known { budgets, ..known(refused()) },
        &[
            "workflow `research` may use $5.00 per day; now $0.08 are free; this asked for $0.50, or have to wait",
        ],
        &[],
    );
    check(&Known { budgets: vec![budget(0)], ..known(refused()) }, &["and $0.08 are free now"], &["wait:"]);
}

#[test]
fn a_denial_says_what_helps() {
    let by = |id: &str| v1::PolicyRef {
        id: id.to_owned(),
        reason: "no tea after noon".to_owned(),
        digest: String::new(),
    };
    let record =
        json!({ "denial": { "code": "POLICY_DENIED" }, "kind": "payment", "seq": 2, "verdict": "deny" });
    let denied =
        v1::Decision { policies: vec![by("tea")], bundle_digest: "old".to_owned(), ..decision(&record) };
    check(
        &Known { bundle_now: "new".to_owned(), ..known(denied) },
        &[
            "DENIED, POLICY_DENIED",
            "What helps: see the named policy",
            "policy `tea` must not forbid it: no tea after noon",
            "Another bundle is in force now",
        ],
        &["none: a fixed rule"],
    );
    let record =
        json!({ "denial": { "code": "CLOCK_REGRESSED" }, "kind": "payment", "seq": 2, "verdict": "deny" });
    check(
        &known(decision(&record)),
        &["CLOCK_REGRESSED means: The wall clock is behind", "none: a fixed rule"],
        &["Another bundle"],
    );
}

#[test]
fn what_became_of_a_payment_is_told() {
    let record = json!({ "held_until": 1_795_000_100, "kind": "payment", "seq": 3, "verdict": "permit" });
    let permit = known(decision(&record));
    check(
        &permit,
        &["No chain has said yet what became of it: it can be settled until 2026-11-18T11:08:20Z"],
        &[],
    );
    check(&Known { now: 1_795_000_101, ..known(decision(&record)) }, &["it is dead by the clock"], &[]);
    let other = |record: Value, usd: &str, message: &str| v1::Decision {
        usd: usd.to_owned(),
        message: message.to_owned(),
        original_seq: 3,
        ..decision(&record)
    };
    let settled = other(json!({ "kind": "evidence", "seq": 9 }), "0.10", "settled in block 7");
    let released = other(
        json!({ "act": { "verb": "release" }, "kind": "lifecycle", "seq": 10, "verdict": "permit" }),
        "",
        "released",
    );
    let voided = other(
        json!({ "act": { "verb": "cancel" }, "kind": "lifecycle", "seq": 11, "verdict": "permit" }),
        "",
        "voided",
    );
    let signature = other(
        json!({ "kind": "signature", "seq": 4, "signatures": [{ "seq": 2, "sha256": "ff" }, { "seq": 3, "sha256": "abc" }] }),
        "",
        "signed: both",
    );
    let story = |story: Vec<v1::Decision>| Known { story, ..known(decision(&record)) };
    check(
        &story(vec![signature, settled.clone()]),
        &[
            "record 4, 1970-01-01T00:00:00.000Z, signature: signed, SHA-256 of the signature abc",
            "settled in block 7",
            "So, by record 9, it cost $0.10.",
        ],
        &["No chain"],
    );
    check(&story(vec![released]), &["So, by record 10, its money is free again."], &["No chain"]);
    check(&story(vec![voided]), &["lifecycle: voided", "No chain has said yet"], &["So, by"]);
    check(&Known { cut_off: true, ..story(vec![settled]) }, &["and more: `pursekeeper audit query`"], &[]);
}

#[test]
fn what_a_record_is_about_is_told() {
    let record = json!({ "kind": "report", "report": { "caller": { "agent": "crawler", "source": { "kind": "unix-peer", "uid": 7 } } }, "seq": 5 });
    let report = v1::Decision { original_seq: 3, message: "it failed".to_owned(), ..decision(&record) };
    let original = v1::Decision {
        seq: 3,
        kind: "payment".to_owned(),
        usd: "0.10".to_owned(),
        agent: "crawler".to_owned(),
        ..Default::default()
    };
    check(
        &Known { original: Some(original), ..known(report.clone()) },
        &[
            "it failed",
            "`crawler`, authenticated as uid 7 by the Unix socket",
            "the payment over $0.10 of agent `crawler`",
        ],
        &["No chain"],
    );
    check(&known(report), &["record 3, which is not in this journal any more"], &[]);
}

#[test]
fn kinds_to_come_are_told_with_all_they_say() {
    let record = json!({ "kind": "unauthenticated", "peer": { "uid": 4242 }, "seq": 8 });
    check(&known(decision(&record)), &["somebody who is nobody here", "peer", "uid  4242"], &[]);
    let repeat = v1::Decision { repeats: 57, ..decision(&json!({ "kind": "repeat", "seq": 9 })) };
    check(&known(repeat), &["the same again, 57 times", "stands for 57"], &[]);
    check(&known(decision(&json!({ "kind": "novelty", "seq": 9 }))), &["a record of kind `novelty`"], &[]);
}

#[test]
fn a_count_is_told_in_its_unit_once() {
    let ceiling = |window: &str, after: &str| v1::CeilingUse {
        scope: "agent".to_owned(),
        window: window.to_owned(),
        unit: "payments".to_owned(),
        limit: "5".to_owned(),
        before: "5".to_owned(),
        after: after.to_owned(),
    };
    let with =
        v1::Decision { agent: "crawler".to_owned(), ceilings: vec![ceiling("hour", "6")], ..refused() };
    check(
        &known(with),
        &[
            "agent `crawler`, per hour: 5 before, 6 with this, of 5 payments, 1 payment too much",
            "agent `crawler` may use 5 payments per hour; 5 payments were used, and with this 6 payments: it would need 1 payment more per hour, or have to wait until money is free again",
        ],
        &[],
    );
}

#[test]
fn what_the_shadow_would_have_answered_is_told() {
    let record = json!({ "kind": "payment", "seq": 2, "verdict": "permit" });
    let shadow = |flip: &str, verdict: &str, usd: &str| v1::Shadow {
        bundle_digest: "abcd".to_owned(),
        bundle_revision: Some(9),
        verdict: verdict.to_owned(),
        flip: flip.to_owned(),
        code: "POLICY_DENIED".to_owned(),
        message: "no tea after noon".to_owned(),
        policies: vec![v1::PolicyRef {
            id: "tea".to_owned(),
            reason: "no tea".to_owned(),
            digest: "ef".to_owned(),
        }],
        usd: usd.to_owned(),
    };
    let with = |shadow| known(v1::Decision { shadow: Some(shadow), ..decision(&record) });
    check(
        &with(shadow("denies", "deny", "")),
        &[
            "What the shadow bundle would have answered\nsomething else: DENIED, POLICY_DENIED: no tea after noon",
            "tea: no tea (sha256 ef)",
            "judged by bundle abcd (revision 9), which was not in force",
        ],
        &[],
    );
    check(&with(shadow("none", "permit", "0.01")), &["the same: PERMITTED, for $0.01"], &["something else"]);
    check(&known(decision(&record)), &[], &["shadow"]);
}
