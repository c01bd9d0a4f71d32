//! Where members stand in a record.

use super::member::Member;
use super::{Place, integer_len, text_len};

/// Where the members stand that may differ, in a record that was read in full.
pub(super) fn places(body: &[u8]) -> Option<Vec<Place>> {
    let mut scan = Scan { body, at: 0, path: String::new(), places: Vec::new() };
    scan.value(0)?;
    Some(scan.places)
}

/// A canonical record, as far as it has been looked through.
struct Scan<'b> {
    body: &'b [u8],
    at: usize,
    /// The names that lead to the value; `*` stands for a position.
    path: String,
    places: Vec<Place>,
}

impl Scan<'_> {
    fn rest(&self) -> Option<&[u8]> {
        self.body.get(self.at..)
    }

    fn skip(&mut self, len: usize) -> Option<()> {
        self.at = self.at.checked_add(len)?;
        Some(())
    }

    /// Looks through one value, which stands at a position of the array it is in.
    fn value(&mut self, position: usize) -> Option<()> {
        let first = *self.rest()?.first()?;
        match first {
            b'{' => return self.object(position),
            b'[' => return self.array(),
            b'"' => self.skip(1)?,
            _ => {}
        }
        let rest = self.rest()?;
        let len = match first {
            b'"' => text_len(rest, 0)?,
            b'0'..=b'9' => integer_len(rest)?,
            _ => rest.iter().position(|byte| matches!(byte, b',' | b']' | b'}'))?,
        };
        let (start, end) = (self.at, self.at.checked_add(len)?);
        if let Some(member) = Member::at(&self.path, position) {
            self.places.push(Place { start, end, member });
        }
        self.at = end;
        Some(())
    }

    fn object(&mut self, position: usize) -> Option<()> {
        let labels = self.path == "/asked/labels";
        for nth in 0.. {
            self.skip(1)?;
            if self.rest()?.first() == Some(&b'}') {
                break;
            }
            self.skip(1)?;
            let len = text_len(self.rest()?, 0)?;
            let name = self.rest()?.get(..len.checked_sub(1)?)?;
            // Only then are labels in the same order here and in a map.
            let name = if labels && name.is_ascii() { "*" } else { std::str::from_utf8(name).ok()? };
            let path = [&self.path, "/", name].concat();
            let outside = std::mem::replace(&mut self.path, path);
            self.skip(len.checked_add(1)?)?;
            self.value(if labels { nth } else { position })?;
            self.path = outside;
            if self.rest()?.first() == Some(&b'}') {
                break;
            }
        }
        self.skip(1)
    }

    fn array(&mut self) -> Option<()> {
        let path = [&self.path, "/*"].concat();
        let outside = std::mem::replace(&mut self.path, path);
        for nth in 0.. {
            self.skip(1)?;
            if self.rest()?.first() == Some(&b']') {
                break;
            }
            self.value(nth)?;
            if self.rest()?.first() == Some(&b']') {
                break;
            }
        }
        self.path = outside;
        self.skip(1)
    }
}
