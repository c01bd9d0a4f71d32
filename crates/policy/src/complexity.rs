//! How involved a policy file is, judged before Cedar parses it.
//!
//! Cedar's parser and validator are recursive, and its type checker takes exponential time over nested `if`s: a few
//! hundred brackets exhaust a thread's stack, fifty `if`s never end. Either would take the signer down, where a bad
//! bundle must only be refused. Long lists are flat and cost nothing.

/// Most operators in one policy: a chain of them is as deep as it is long.
const OPERATORS_MAX: usize = 500;
/// Deepest nesting of brackets.
const BRACKETS_DEEP_MAX: usize = 32;
/// Most `if`s in one policy.
const IFS_MAX: usize = 12;

/// A policy that is too involved.
#[derive(Debug)]
pub(crate) struct Excess {
    /// Where it stops being acceptable, as a byte offset.
    pub(crate) offset: usize,
    /// What to do about it.
    pub(crate) what: String,
}

/// The first policy of a file that is too involved.
pub(crate) fn excess(text: &str) -> Option<Excess> {
    let (mut operators, mut deep, mut ifs) = (0usize, 0usize, 0usize);
    for (offset, token) in (Scanner { chars: text.char_indices().peekable() }) {
        match token {
            Token::End => (operators, deep, ifs) = (0, 0, 0),
            Token::Operator => operators = operators.saturating_add(1),
            Token::If => ifs = ifs.saturating_add(1),
            Token::Open => deep = deep.saturating_add(1),
            Token::Close => deep = deep.saturating_sub(1),
            Token::Other => {}
        }
        let limits = [
            (operators > OPERATORS_MAX, OPERATORS_MAX, "operators in one policy"),
            (deep > BRACKETS_DEEP_MAX, BRACKETS_DEEP_MAX, "brackets in each other"),
            (ifs > IFS_MAX, IFS_MAX, "`if`s in one policy"),
        ];
        if let Some((_, most, of)) = limits.into_iter().find(|(over, _, _)| *over) {
            return Some(Excess {
                offset,
                what: format!("more than {most} {of}: split it into several policies"),
            });
        }
    }
    None
}

enum Token {
    /// `;`
    End,
    /// Anything that can stand in a chain.
    Operator,
    /// `if`
    If,
    /// An opening bracket.
    Open,
    /// A closing bracket.
    Close,
    /// Words, literals, separators.
    Other,
}

struct Scanner<'t> {
    chars: std::iter::Peekable<std::str::CharIndices<'t>>,
}

impl Iterator for Scanner<'_> {
    type Item = (usize, Token);

    fn next(&mut self) -> Option<Self::Item> {
        let (at, first) = self.chars.next()?;
        let token = match first {
            ';' => Token::End,
            '"' => self.string(),
            '/' => self.comment(),
            '&' | '|' | '=' => {
                // `&&`, `||` and `==` are one.
                self.chars.next_if(|(_, next)| *next == first);
                Token::Operator
            }
            '+' | '-' | '*' | '.' | '!' | '<' | '>' => Token::Operator,
            '(' | '[' | '{' => Token::Open,
            ')' | ']' | '}' => Token::Close,
            _ if first.is_alphabetic() || first == '_' => self.word(first),
            _ => Token::Other,
        };
        Some((at, token))
    }
}

impl Scanner<'_> {
    fn string(&mut self) -> Token {
        while let Some((_, next)) = self.chars.next() {
            match next {
                '"' => break,
                '\\' => drop(self.chars.next()),
                _ => {}
            }
        }
        Token::Other
    }

    fn comment(&mut self) -> Token {
        if self.chars.next_if(|(_, next)| *next == '/').is_some() {
            while self.chars.next_if(|(_, next)| *next != '\n' && *next != '\r').is_some() {}
        }
        Token::Other
    }

    fn word(&mut self, first: char) -> Token {
        let mut word = String::from(first);
        while let Some((_, next)) = self.chars.next_if(|(_, next)| next.is_alphanumeric() || *next == '_') {
            word.push(next);
        }
        match word.as_str() {
            "if" => Token::If,
            "in" | "is" | "has" | "like" => Token::Operator,
            _ => Token::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_bounded_and_length_is_not() {
        let flat = vec!["Payee::\"a.b.c(((\""; 10_000].join(", ");
        for text in [
            flat,
            format!("// {}\n;", "(".repeat(100)),
            format!("\"\\\"{}\"", "(".repeat(100)),
            "permit (principal, action, resource);".repeat(1_000),
            "a && ".repeat(OPERATORS_MAX),
        ] {
            assert!(excess(&text).is_none(), "{}", text.get(..40).unwrap());
        }
        let table = [("(", 33), ("[", 33), ("{a:", 33), ("if a then ", 13)];
        let chains =
            ["!", "-", "a.", "a && ", "a || ", "1 + ", "1 * ", "a < ", "a == ", "a has "].map(|o| (o, 501));
        for (level, times) in table.into_iter().chain(chains) {
            assert!(excess(&level.repeat(times)).is_some(), "{level}");
            assert!(excess(&level.repeat(times.saturating_sub(1))).is_none(), "{level}");
        }
    }
}
