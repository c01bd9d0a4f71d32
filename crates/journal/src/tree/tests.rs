use std::collections::HashMap;

use pursekeeper_core::{Checkpoint, Digest, JournalId};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::tlog::{Hash, check_record, check_tree};

use super::read::Source;
use super::{AuditVerifier, Frontier, NoteFault, load_frontier, prove_consistency, prove_inclusion};
use crate::JournalError;
use crate::hash::leaf_hash;

/// A tree in memory, of which only subtrees from a level on are put down.
struct Kept {
    leaves: Vec<Digest>,
    nodes: HashMap<(u8, u64), Digest>,
    roots: Vec<Digest>,
}

impl Kept {
    fn of(leaves: impl IntoIterator<Item = Digest>, level_min: u8) -> Self {
        let mut kept = Self { leaves: Vec::new(), nodes: HashMap::new(), roots: Vec::new() };
        let mut frontier = Frontier::default();
        kept.roots.push(frontier.root().unwrap());
        for leaf in leaves {
            let nodes = &mut kept.nodes;
            let put = |node: super::Node| {
                assert!(nodes.insert((node.level, node.n), node.hash).is_none());
                Ok(())
            };
            frontier.push(leaf, level_min, put).unwrap();
            kept.leaves.push(leaf);
            kept.roots.push(frontier.root().unwrap());
        }
        kept
    }
}

impl Source for Kept {
    fn node(&self, level: u8, n: u64) -> Result<Option<Digest>, JournalError> {
        Ok(self.nodes.get(&(level, n)).copied())
    }

    fn leaves(
        &self,
        first: u64,
        count: u64,
        tell: &mut dyn FnMut(Digest) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let [first, count] = [first, count].map(|number| usize::try_from(number).unwrap());
        self.leaves.iter().skip(first).take(count).try_for_each(|leaf| tell(*leaf))
    }
}

/// The eight leaves that certificate-transparency, Trillian and ct-merkle are tested with.
fn known() -> Kept {
    let inputs =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    Kept::of(inputs.iter().map(|input| leaf_hash(&hex::decode(input).unwrap())), 2)
}

#[test]
fn roots_are_those_of_certificate_transparency() {
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let found: Vec<String> = known().roots.iter().map(ToString::to_string).collect();
    assert_eq!(found, roots);
}

const L1: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
const L2: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const N34: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const N5678: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
const L5: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const N78: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const N1234: &str = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7";
const N12: &str = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
const N56: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";

fn texts(hashes: &[Digest]) -> Vec<String> {
    hashes.iter().map(ToString::to_string).collect()
}

#[test]
fn inclusion_proofs_are_those_of_certificate_transparency() {
    let tree = known();
    // leaf from 0, size of the tree, path
    let table: [(u64, u64, &[&str]); 5] = [
        (0, 1, &[]),
        (0, 8, &[L2, N34, N5678]),
        (5, 8, &[L5, N78, N1234]),
        (2, 3, &[N12]),
        (1, 5, &[L1, N34, L5]),
    ];
    for (index, size, path) in table {
        let proof = prove_inclusion(&tree, (index, size), 2).unwrap();
        assert_eq!(texts(&proof.hashes), path, "{index} in {size}");
    }
}

#[test]
fn consistency_proofs_are_those_of_certificate_transparency() {
    let tree = known();
    let table: [(u64, u64, &[&str]); 4] =
        [(1, 1, &[]), (1, 8, &[L2, N34, N5678]), (6, 8, &[N56, N78, N1234]), (2, 5, &[N34, L5])];
    for (first, second, path) in table {
        let proof = prove_consistency(&tree, (first, second), 2).unwrap();
        assert_eq!(texts(&proof.hashes), path, "{first} to {second}");
    }
}

#[test]
fn every_proof_of_a_small_tree_holds_and_proves_nothing_else() {
    const SIZE: u64 = 140;
    let tree = Kept::of((0..SIZE).map(|n| leaf_hash(&n.to_be_bytes())), 4);
    let hash = |digest: &Digest| Hash(digest.0);
    let root = |size: u64| hash(&tree.roots[usize::try_from(size).unwrap()]);
    for size in 1..=SIZE {
        for index in 0..size {
            let proof = prove_inclusion(&tree, (index, size), 4).unwrap();
            let path = proof.hashes.iter().map(hash).collect();
            let leaf = hash(&tree.leaves[usize::try_from(index).unwrap()]);
            check_record(&path, size, root(size), index, leaf).unwrap();
            check_record(&path, size, root(size), index, Hash([1; 32])).unwrap_err();
            let first = index + 1;
            let proof = prove_consistency(&tree, (first, size), 4).unwrap();
            let path = proof.hashes.iter().map(hash).collect();
            check_tree(&path, size, root(size), first, root(first)).unwrap();
            if first < size {
                check_tree(&path, size, root(size), first, Hash([1; 32])).unwrap_err();
            }
        }
    }
    prove_inclusion(&tree, (SIZE, SIZE), 4).unwrap_err();
    prove_inclusion(&tree, (0, SIZE + 1), 4).unwrap_err();
    prove_consistency(&tree, (SIZE, SIZE + 1), 4).unwrap_err();
    prove_consistency(&tree, (2, 1), 4).unwrap_err();
}

#[test]
fn an_edge_that_is_loaded_is_the_one_that_was_there() {
    let mut frontier = Frontier::default();
    let mut tree = Kept::of([], 3);
    for n in 0u64..300 {
        assert_eq!(load_frontier(&tree, n, 3).unwrap(), frontier, "{n}");
        let leaf = leaf_hash(&n.to_be_bytes());
        let nodes = &mut tree.nodes;
        frontier
            .push(leaf, 3, |node| {
                nodes.insert((node.level, node.n), node.hash);
                Ok(())
            })
            .unwrap();
        tree.leaves.push(leaf);
    }
    tree.nodes.remove(&(3, 36));
    assert!(load_frontier(&tree, 300, 3).is_err());
}

/// From the documentation of golang.org/x/mod/sumdb/note, where the form comes from.
const VERIFIER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n\
                    \n\
                    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn the_note_of_the_specification_is_verified() {
    let known = VerifierList::new(vec![Box::new(StandardVerifier::new(VERIFIER).unwrap())]);
    let verify = |note: &str| Note::from_bytes(note.as_bytes()).and_then(|note| note.verify(&known));
    verify(NOTE).unwrap();
    verify(&NOTE.replace("answer", "problem")).unwrap_err();
    assert_eq!(AuditVerifier::parse(VERIFIER).unwrap().name(), "PeterNeumann");
    // It is signed, and is no checkpoint.
    assert_eq!(AuditVerifier::parse(VERIFIER).unwrap().open(NOTE), Err(NoteFault::Malformed));
    for wrong in ["", "PeterNeumann", &VERIFIER.replace("c74f", "c74e"), &VERIFIER.replace("+ARpc", "+AhpC")]
    {
        AuditVerifier::parse(wrong).unwrap_err();
    }
}

#[test]
fn only_what_the_key_of_the_journal_signed_is_a_checkpoint() {
    let checkpoint =
        |journal| Checkpoint { journal: JournalId([journal; 16]), size: 7, root: Digest([7; 32]) };
    let (key, other) = (crate::fixtures::AuditPen::new(1), crate::fixtures::AuditPen::new(2));
    let verifier = key.verifier();
    let note = key.sign(&checkpoint(0xab));
    assert_eq!(verifier.open(&note), Ok(checkpoint(0xab)));
    let table = [
        (other.sign(&checkpoint(0xab)), NoteFault::Unsigned),
        (key.sign(&checkpoint(0xcd)), NoteFault::OtherJournal),
        (note.replace("\n7\n", "\n8\n"), NoteFault::Unsigned),
        (note.replace("— ", "- "), NoteFault::Malformed),
        (String::new(), NoteFault::Malformed),
        (checkpoint(0xab).to_string(), NoteFault::Malformed),
    ];
    for (note, fault) in table {
        assert_eq!(verifier.open(&note), Err(fault), "{note}");
    }
}
