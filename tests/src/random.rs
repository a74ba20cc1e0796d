//! Numbers that look random.

/// Xorshift: the same in each run.
pub struct Random(pub u64);

impl Random {
    /// The next one, which is less than this.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % end
    }
}
