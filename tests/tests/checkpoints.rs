//! Signed checkpoints by the real binary: made, proven from, verified, and held against what is put back.

use std::fs;
use std::path::Path;

use pursekeeper_api::v1;
use pursekeeper_tests::{LOOK_INTERVAL, Purse, request, signed};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

type Hash = [u8; 32];

/// A purse whose checkpoints also go to a file, and how to configure the rest of them.
fn purse(more: &str) -> Purse {
    let purse = Purse::init();
    fs::create_dir(purse.file("elsewhere")).unwrap();
    configure(&purse, &format!("file: elsewhere/checkpoint{more}"));
    purse
}

fn configure(purse: &Purse, checkpoint: &str) {
    purse.replace(
        "pursekeeper.yaml",
        "version: 1\n",
        &format!("version: 1\naudit: {{ checkpoint: {{ {checkpoint} }} }}\n"),
    );
}

/// Starts, pays as often as there are ids, and stops.
async fn pay(purse: &Purse, ids: &[&str]) {
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;
    for id in ids {
        let _ = signed(signer.sign_payment(request(id, "1000")).await);
    }
    assert_eq!(sidecar.stop().code(), Some(0));
}

fn size_of(note: &str) -> u64 {
    note.lines().nth(1).unwrap().parse().unwrap()
}

fn json(purse: &Purse, args: &[&str]) -> Value {
    let text = purse.exits(0, &[args, &["--output", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
}

fn hash(value: &Value) -> Hash {
    hex::decode(value["hex"].as_str().unwrap()).unwrap().try_into().unwrap()
}

fn node(left: Hash, right: Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root that an inclusion proof leads to (RFC 9162 §2.1.3.2), if it has the right length.
fn root_of(mut index: u64, size: u64, leaf: Hash, path: &[Hash]) -> Option<Hash> {
    let (mut last, mut root) = (size - 1, leaf);
    for hash in path {
        if last == 0 {
            return None;
        }
        if index & 1 == 1 || index == last {
            root = node(*hash, root);
            while index & 1 == 0 && index != 0 {
                (index, last) = (index >> 1, last >> 1);
            }
        } else {
            root = node(root, *hash);
        }
        (index, last) = (index >> 1, last >> 1);
    }
    (last == 0).then_some(root)
}

/// Whether a consistency proof holds (RFC 9162 §2.1.4.2).
fn is_consistent(first: (u64, Hash), second: (u64, Hash), path: &[Hash]) -> bool {
    if first.0 == second.0 {
        return path.is_empty() && first.1 == second.1;
    }
    let own = if first.0.is_power_of_two() { vec![first.1] } else { Vec::new() };
    let mut path = own.into_iter().chain(path.iter().copied());
    let (mut index, mut last) = (first.0 - 1, second.0 - 1);
    while index & 1 == 1 {
        (index, last) = (index >> 1, last >> 1);
    }
    let Some(start) = path.next() else { return false };
    let (mut old, mut new) = (start, start);
    for hash in path {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            (old, new) = (node(hash, old), node(hash, new));
            while index & 1 == 0 && index != 0 {
                (index, last) = (index >> 1, last >> 1);
            }
        } else {
            new = node(new, hash);
        }
        (index, last) = (index >> 1, last >> 1);
    }
    last == 0 && old == first.1 && new == second.1
}

#[tokio::test]
async fn the_last_checkpoint_is_over_the_last_record() {
    let purse = purse(", every_secs: 3600");
    pay(&purse, &["a", "b"]).await;
    let file = purse.file("elsewhere/checkpoint");
    let note = fs::read_to_string(&file).unwrap();
    let verified = json(&purse, &["audit", "verify", "--checkpoint", file.to_str().unwrap()]);
    assert_eq!(
        (verified["records"].as_u64(), verified["valid"].as_bool()),
        (Some(size_of(&note)), Some(true))
    );
    assert_eq!(json(&purse, &["audit", "checkpoint"])["checkpoint"], note.as_str());
    assert_eq!(purse.exits(0, &["audit", "checkpoint"]), note);
    // Somebody with nothing but the key and the journal comes to the same.
    let key = purse.exits(0, &["audit", "key"]);
    fs::remove_file(purse.file("keystore/audit.key")).unwrap();
    let args = ["audit", "verify", "--records", "--checkpoint", file.to_str().unwrap()];
    assert!(purse.exits(1, &args).contains("--key"));
    assert!(purse.exits(0, &[&args[..], &["--key", key.trim()]].concat()).contains("verified"));
    fs::write(&file, note.replace(&format!("\n{}\n", size_of(&note)), "\n1\n")).unwrap();
    assert!(purse.exits(1, &[&args[..], &["--key", key.trim()]].concat()).contains("signature"));
}

#[tokio::test]
async fn checkpoints_are_made_while_it_runs_and_handed_out() {
    let purse = purse(", every_secs: 1");
    let sidecar = purse.serve();
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    let mut audit = sidecar.audit().await;
    let answer = loop {
        match audit.get_checkpoint(v1::GetCheckpointRequest {}).await {
            Ok(answer) if size_of(&answer.get_ref().note) >= 3 => break answer.into_inner(),
            Ok(_) => {}
            Err(status) => assert_eq!(status.code(), tonic::Code::NotFound, "{status}"),
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    };
    assert_eq!(answer.verifier_key, purse.exits(0, &["audit", "key"]).trim());
    assert!(answer.note.starts_with(answer.verifier_key.split('+').next().unwrap()));
}

#[tokio::test]
async fn proofs_are_what_rfc_6962_says() {
    let purse = purse("");
    pay(&purse, &["a", "b", "c", "d"]).await;
    let size = size_of(&fs::read_to_string(purse.file("elsewhere/checkpoint")).unwrap());
    assert!(size >= 6);
    for seq in 1..=size {
        let proof = json(&purse, &["audit", "prove", &seq.to_string()]);
        assert_eq!((proof["leaf_index"].as_u64(), proof["tree_size"].as_u64()), (Some(seq - 1), Some(size)));
        let path: Vec<Hash> = proof["hashes"].as_array().unwrap().iter().map(hash).collect();
        assert_eq!(root_of(seq - 1, size, hash(&proof["leaf"]), &path), Some(hash(&proof["root"])));
        let root = proof["root"]["base64"].as_str().unwrap();
        assert!(proof["checkpoint"].as_str().unwrap().contains(root), "it is the root that was signed");

        let proof = json(&purse, &["audit", "consistency", &seq.to_string(), &size.to_string()]);
        let path: Vec<Hash> = proof["hashes"].as_array().unwrap().iter().map(hash).collect();
        let [first, second] = ["first_root", "second_root"].map(|root| hash(&proof[root]));
        assert!(is_consistent((seq, first), (size, second), &path), "{seq} to {size}");
        assert!(seq == size || !is_consistent((seq, second), (size, second), &path));
    }
    assert!(purse.exits(0, &["audit", "prove", "2"]).contains("leaf 1 of the tree"));
    for args in
        [["audit", "prove", "0"].as_slice(), &["audit", "prove", "99"], &["audit", "consistency", "5", "99"]]
    {
        assert!(purse.exits(1, args).contains("there is no record"), "{args:?}");
    }
}

/// Copies the journal with its log.
fn copy_journal(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test]
async fn an_older_copy_of_the_journal_is_not_started_on() {
    let purse = purse("");
    pay(&purse, &["a"]).await;
    copy_journal(&purse.file("journal"), &purse.file("older"));
    pay(&purse, &["b"]).await;
    copy_journal(&purse.file("journal"), &purse.file("newer"));
    copy_journal(&purse.file("older"), &purse.file("journal"));
    for verb in ["serve", "check"] {
        let text = purse.exits(1, &[verb]);
        for part in ["elsewhere/checkpoint", "an older copy was put back", "journal adopt"] {
            assert!(text.contains(part), "{verb} does not say `{part}`: {text}");
        }
    }
    let file = purse.file("elsewhere/checkpoint");
    assert!(
        purse
            .exits(1, &["audit", "verify", "--checkpoint", file.to_str().unwrap()])
            .contains("first bad record")
    );
    copy_journal(&purse.file("newer"), &purse.file("journal"));
    pay(&purse, &["c"]).await;
    // Who gives the journal up for lost keeps its checkpoint, under another name.
    let note = fs::read_to_string(&file).unwrap();
    fs::remove_dir_all(purse.file("journal")).unwrap();
    let _ = purse.exits(0, &["journal", "adopt"]);
    assert_eq!(purse.serve().stop().code(), Some(0));
    let kept: Vec<String> = fs::read_dir(purse.file("elsewhere"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert!(kept.contains(&note) && kept.len() == 2, "{kept:?}");
}

#[tokio::test]
async fn a_checkpoint_of_somebody_elses_is_not_started_on() {
    let purse = purse("");
    pay(&purse, &["a"]).await;
    let file = purse.file("elsewhere/checkpoint");
    let note = fs::read_to_string(&file).unwrap();
    let other = Purse::init();
    let foreign = other.exits(0, &["audit", "key"]);
    let origin = foreign.split('+').next().unwrap();
    let own = note.lines().next().unwrap();
    for (text, what) in [
        ("rubbish".to_owned(), "not a signed note"),
        (note.replace(own, origin), "another journal"),
        (note.replace("\n\u{2014}", "\u{2014}"), "not a signed note"),
    ] {
        fs::write(&file, &text).unwrap();
        assert!(purse.exits(1, &["serve"]).contains(what), "{text}");
    }
    fs::write(&file, note).unwrap();
    assert!(purse.exits(0, &["check"]).contains("valid"));
}

#[tokio::test]
async fn without_an_audit_key_nothing_is_started() {
    let purse = Purse::init();
    pay(&purse, &["a"]).await;
    let before = purse.exits(0, &["audit", "key"]);
    fs::remove_file(purse.file("keystore/audit.key")).unwrap();
    for verb in ["serve", "check"] {
        assert!(purse.exits(1, &[verb]).contains("audit init-key"), "{verb}");
    }
    let text = purse.exits(0, &["audit", "init-key"]);
    let after = purse.exits(0, &["audit", "key"]);
    assert!(text.contains(after.trim()) && before != after);
    assert!(purse.exits(0, &["audit", "init-key"]).contains("there is one already"));
    // What the lost key signed is still verified with its public half.
    pay(&purse, &["b"]).await;
    assert!(purse.exits(1, &["audit", "verify"]).contains("signature"));
    assert!(
        purse
            .exits(0, &["audit", "verify", "--key", before.trim(), "--key", after.trim()])
            .contains("verified")
    );
}

#[tokio::test]
async fn a_copy_that_cannot_be_written_keeps_nobody_from_signing() {
    let purse = Purse::init();
    configure(&purse, "file: nowhere/checkpoint");
    let sidecar = purse.serve();
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    assert_eq!(sidecar.stop().code(), Some(0));
    assert!(fs::read_to_string(purse.file("../log")).unwrap().contains("signing goes on"));
    assert!(size_of(&purse.exits(0, &["audit", "checkpoint"])) >= 3, "the journal has it");
}

#[tokio::test]
async fn a_checkpoint_is_a_line_of_json_on_standard_output() {
    let purse = Purse::init();
    configure(&purse, "stdout: true");
    let (command, out) = (purse.command(&["serve"]), purse.file("out"));
    // Standard output is the harness's; a shell gives it to a file.
    let line = format!("exec \"$0\" \"$@\" > {}", out.display());
    let mut shell = std::process::Command::new("sh");
    shell.arg("-c").arg(line).arg(command.get_program()).args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let sidecar = purse.serve_by(shell);
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    assert_eq!(sidecar.stop().code(), Some(0));
    let lines = fs::read_to_string(out).unwrap();
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["checkpoint"], purse.exits(0, &["audit", "checkpoint"]).as_str());
}
