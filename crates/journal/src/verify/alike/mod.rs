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
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]
mod tests;

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
    /// What the record that is being compared says otherwise.
    changed: Vec<Changed>,
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

/// A member that another record says otherwise, by its place, and where its value stands there.
#[derive(Clone, Copy)]
struct Changed {
    nth: usize,
    start: usize,
    end: usize,
}

impl Alike {
    /// What a record says, exactly as [`examine`] reads it.
    pub(super) fn read(&mut self, body: &[u8]) -> Result<&DecodedRecord, RecordFlaw> {
        let like = self.known.iter().position(|known| known.is_like(body, &mut self.changed));
        let read = like.filter(|at| {
            let known = self.known.get_mut(*at);
            known.is_some_and(|known| known.change(body, &self.changed).is_some())
        });
        if let Some(at) = read {
            self.known.get_mut(..=at).unwrap_or_default().rotate_right(1);
        } else {
            if let Some(at) = like {
                // It was changed halfway.
                self.known.remove(at);
            }
            let mut record = examine(body)?;
            if Parts::of(&mut record).is_none() {
                return Ok(self.alone.insert(record));
            }
            let places = scan::places(body).unwrap_or_default();
            self.known.truncate(KNOWN_MAX.saturating_sub(1));
            self.known.insert(0, Known { body: body.to_vec(), record, places });
        }
        // It was just put there.
        let record = self.known.first().map(|known| &known.record).ok_or(RecordFlaw::NotCanonical)?;
        debug_assert_eq!(examine(body).as_ref(), Ok(record), "it says what it says when it is read in full");
        Ok(record)
    }
}

impl Known {
    /// Whether a record differs from this one in no more than the members that may; `changed` then says in which.
    fn is_like(&self, body: &[u8], changed: &mut Vec<Changed>) -> bool {
        changed.clear();
        self.compare(body, changed).is_some()
    }

    fn compare(&self, body: &[u8], changed: &mut Vec<Changed>) -> Option<()> {
        // Up to here and there, both are the same but for what changed.
        let (mut here, mut there) = (0, 0);
        let mut places = (0..).zip(&self.places);
        loop {
            let (known, rest) = (self.body.get(here..)?, body.get(there..)?);
            let same = same_len(known, rest);
            if same == known.len() && same == rest.len() {
                return Some(());
            }
            // The place of the first byte that differs. What follows an integer belongs to it if it is a digit.
            let differs = here.checked_add(same)?;
            let within = |place: &Place| {
                differs < place.end || differs == place.end && !place.member.ends_at(rest.get(same))
            };
            let (nth, place) = places.find(|(_, place)| within(place))?;
            let before = place.start.checked_sub(here).filter(|before| *before <= same)?;
            let value = rest.get(before..)?;
            let len = place.member.len_in(value, place.end.checked_sub(place.start)?)?;
            let start = there.checked_add(before)?;
            (here, there) = (place.end, start.checked_add(len)?);
            changed.push(Changed { nth, start, end: there });
        }
    }

    /// Says otherwise what the record says otherwise.
    fn change(&mut self, body: &[u8], changed: &[Changed]) -> Option<()> {
        let mut parts = Parts::of(&mut self.record)?;
        let mut moved = false;
        for Changed { nth, start, end } in changed {
            let (place, value) = (self.places.get(*nth)?, body.get(*start..*end)?);
            place.member.set(&mut parts, value)?;
            moved |= (place.start, place.end) != (*start, *end);
            if !moved {
                self.body.get_mut(*start..*end)?.copy_from_slice(value);
            }
        }
        parts.finish();
        if moved {
            self.move_places(changed)?;
            self.body.clear();
            self.body.extend_from_slice(body);
        }
        Some(())
    }

    /// Puts every place where it is after what changed before it.
    fn move_places(&mut self, changed: &[Changed]) -> Option<()> {
        let mut changed = changed.iter().peekable();
        // Where the last value that changed ended, and where it ends now.
        let (mut here, mut there) = (0, 0);
        for (nth, place) in self.places.iter_mut().enumerate() {
            let moved = |at: usize| at.checked_sub(here).and_then(|after| after.checked_add(there));
            let Some(change) = changed.next_if(|change| change.nth == nth) else {
                (place.start, place.end) = (moved(place.start)?, moved(place.end)?);
                continue;
            };
            (here, there) = (place.end, change.end);
            (place.start, place.end) = (change.start, change.end);
        }
        Some(())
    }
}

/// How many bytes two texts begin with that are the same.
fn same_len(one: &[u8], other: &[u8]) -> usize {
    const STEP: usize = 32;
    let steps = one.as_chunks::<STEP>().0.iter().zip(other.as_chunks::<STEP>().0);
    let skipped = steps.take_while(|(one, other)| one == other).count().saturating_mul(STEP);
    let (one, other) = (one.get(skipped..).unwrap_or_default(), other.get(skipped..).unwrap_or_default());
    let bytes = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    skipped.saturating_add(bytes)
}

/// What a text says whose first quotation mark has been read, if it is written as canonical JSON writes it.
fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    let (b'"', inner) = value.split_last()? else { return None };
    if are_plain(inner) {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    // Rare: read and written again as every text is.
    let quoted = [b"\"", value].concat();
    let said: String = serde_json::from_slice(&quoted).ok()?;
    (serde_json::to_vec(&said).ok()? == quoted).then_some(Cow::Owned(said))
}

/// Whether all bytes stand for themselves. Without a way out of the loop, many are looked at at once.
fn are_plain(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |plain, byte| plain & is_plain(*byte))
}

/// Whether a byte stands for itself in a text.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// How long a text is whose first quotation mark has been read, with its last one. Most are as long as they were in another
/// record.
fn text_len(rest: &[u8], expected: usize) -> Option<usize> {
    if let Some((b'"', inner)) = rest.get(..expected).and_then(<[u8]>::split_last)
        && are_plain(inner)
    {
        return Some(expected);
    }
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
    let number = value.iter().filter(|_| canonical).try_fold(0_u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })?;
    (canonical && number < INTEGER_END).then_some(number)
}

/// The bytes that lower-case digits say.
fn bytes<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    let (b'"', digits) = value.split_last()? else { return None };
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let pairs: &[[u8; 2]; N] = pairs.try_into().ok()?;
    let (mut bytes, mut bad) = ([0; N], 0);
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let (high, low) = (digit(*high), digit(*low));
        bad |= high | low;
        *byte = (high << 4) | low;
    }
    (bad <= 0x0f).then_some(bytes)
}

/// What a lower-case digit says; more than a digit can say for what is none.
fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte.wrapping_sub(b'0'),
        b'a'..=b'f' => byte.wrapping_sub(b'a' - 10),
        _ => 0xff,
    }
}
