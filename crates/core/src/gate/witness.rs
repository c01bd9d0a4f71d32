use std::fmt;

/// Whoever looks on while a batch is judged, to take the time: the gate knows none. It changes nothing.
pub trait Witness: fmt::Debug {
    /// An ask is judged now: which one of the batch that was handed in, or one that the gate put before it. One that could
    /// not be recorded at first may be judged again.
    fn begins(&self, ask: Option<usize>);

    /// It has been judged.
    fn ends(&self, ask: Option<usize>);
}

/// Nobody looks on.
impl Witness for () {
    fn begins(&self, _ask: Option<usize>) {}

    fn ends(&self, _ask: Option<usize>) {}
}
