//! Reading many records that are much alike.
//!
//! Most records differ from an earlier one of their kind in a few members: a request id, a time, a nonce. What was read in
//! full is kept with its bytes, and a later record is compared with it. Between the members that may differ, its bytes must
//! be the very same; each of those members must be written as canonical JSON writes it, and say what such a member may say.
//! Then the later record is canonical as well, for it consists of canonical parts in the same order, and it says the same
//! but for these members, for none of them bears on what another one may say ([`Member`]).
//!
//! Whatever differs in any other way is read in full. Nothing is ever refused here: that is for [`examine`] to say.

mod member;
mod parts;
mod scan;

use std::borrow::Cow;

use crate::record::{DecodedRecord, RecordFlaw, examine};
use member::Member;
use parts::Parts;

/// Most records that are kept to compare others with.
const KNOWN_MAX: usize = 32;
/// The first integer that is none in a record (RFC 8785 §3.2.2.3, RFC 7493 §2.2).
const INTEGER_END: u64 = 1 << 53;

/// The records that others are compared with, the last one that served first.
#[derive(Default)]
pub(super) struct Alike {
    known: Vec<Known>,
    /// The last record that none is compared with.
    alone: Option<DecodedRecord>,
    /// Where members stand in the record that is being compared.
    found: Vec<Found>,
}

/// A record that was read.
struct Known {
    body: Vec<u8>,
    record: DecodedRecord,
    /// The members that may differ, as they stand in `body`.
    places: Vec<Place>,
}

/// Where a member's value stands. That of a text begins after its first quotation mark and ends with its last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    start: usize,
    end: usize,
    member: Member,
}

/// Where the same member's value stands in another record.
#[derive(Clone, Copy)]
struct Found {
    start: usize,
    end: usize,
    differs: bool,
}

impl Alike {
    /// What a record says, exactly as [`examine`] reads it.
    pub(super) fn read(&mut self, body: &[u8]) -> Result<&DecodedRecord, RecordFlaw> {
        let like = self.known.iter().position(|known| known.is_like(body, &mut self.found));
        let known = match like {
            Some(at) => {
                let mut known = self.known.remove(at);
                // One that was changed halfway is dropped.
                known.become_one(body, &self.found).map(|()| known)
            }
            None => None,
        };
        let known = match known {
            Some(known) => known,
            None => {
                let mut record = examine(body)?;
                if Parts::of(&mut record).is_none() {
                    return Ok(self.alone.insert(record));
                }
                Known { body: body.to_vec(), places: scan::places(body).unwrap_or_default(), record }
            }
        };
        debug_assert_eq!(
            examine(body).as_ref(),
            Ok(&known.record),
            "it says what it says when it is read in full"
        );
        self.known.truncate(KNOWN_MAX.saturating_sub(1));
        self.known.insert(0, known);
        // It was just put there.
        self.known.first().map(|known| &known.record).ok_or(RecordFlaw::NotCanonical)
    }
}

impl Known {
    /// Whether a record differs from this one in no more than the members that may; `found` then says where they stand.
    fn is_like(&self, body: &[u8], found: &mut Vec<Found>) -> bool {
        found.clear();
        self.compare(body, found).is_some()
    }

    fn compare(&self, body: &[u8], found: &mut Vec<Found>) -> Option<()> {
        // Where the last value ended, here and there.
        let (mut here, mut there) = (0, 0);
        for Place { start, end, member } in &self.places {
            let same = self.body.get(here..*start)?;
            let rest = body.get(there..)?.strip_prefix(same)?;
            let known = self.body.get(*start..*end)?;
            let start = there.checked_add(same.len())?;
            let len = if rest.starts_with(known) && member.ends_itself() {
                known.len()
            } else {
                member.len_in(rest)?
            };
            let value = rest.get(..len)?;
            there = start.checked_add(len)?;
            found.push(Found { start, end: there, differs: value != known });
            here = *end;
        }
        (body.get(there..)? == self.body.get(here..)?).then_some(())
    }

    /// Changes what differs.
    fn become_one(&mut self, body: &[u8], found: &[Found]) -> Option<()> {
        let mut parts = Parts::of(&mut self.record)?;
        for (place, Found { start, end, differs }) in self.places.iter_mut().zip(found) {
            if *differs {
                place.member.set(&mut parts, body.get(*start..*end)?)?;
            }
            (place.start, place.end) = (*start, *end);
        }
        parts.finish();
        self.body.clear();
        self.body.extend_from_slice(body);
        Some(())
    }
}

/// What a text says whose first quotation mark has been read, if it is written as canonical JSON writes it.
fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    let (b'"', inner) = value.split_last()? else { return None };
    if inner.iter().all(|byte| is_plain(*byte)) {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    // Rare: read and written again as every text is.
    let quoted = [b"\"", value].concat();
    let said: String = serde_json::from_slice(&quoted).ok()?;
    (serde_json::to_vec(&said).ok()? == quoted).then_some(Cow::Owned(said))
}

/// Whether a byte stands for itself in a text.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// How long a text is whose first quotation mark has been read, with its last one.
fn text_len(rest: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    loop {
        let ends = |byte: &u8| matches!(byte, b'"' | b'\\');
        at = at.checked_add(rest.get(at..)?.iter().position(ends)?)?;
        match rest.get(at)? {
            b'"' => return at.checked_add(1),
            // What is escaped does not end it.
            _ => at = at.checked_add(2)?,
        }
    }
}

/// How long an integer is.
fn integer_len(rest: &[u8]) -> Option<usize> {
    rest.iter().position(|byte| !byte.is_ascii_digit())
}

/// What an integer says, if it is written as canonical JSON writes it and every reader keeps it exactly.
fn integer(value: &[u8]) -> Option<u64> {
    let canonical = match value {
        [_] => true,
        [first, ..] => *first != b'0',
        [] => false,
    };
    let number: u64 = std::str::from_utf8(value).ok().filter(|_| canonical)?.parse().ok()?;
    (number < INTEGER_END).then_some(number)
}

/// The bytes that lower-case digits say.
fn bytes<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    let (b'"', digits) = value.split_last()? else { return None };
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let pairs: &[[u8; 2]; N] = pairs.try_into().ok()?;
    let mut bad = 0;
    let bytes = pairs.map(|pair| {
        let [high, low] = pair.map(|digit| match digit {
            b'0'..=b'9' => digit.wrapping_sub(b'0'),
            b'a'..=b'f' => digit.wrapping_sub(b'a' - 10),
            _ => 0xff,
        });
        bad |= high | low;
        (high << 4) | (low & 0x0f)
    });
    (bad <= 0x0f).then_some(bytes)
}
