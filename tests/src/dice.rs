//! Dice: chance that comes again by its seed, which is printed where it is used.

/// Splitmix64.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// The seed of a run: `WW_SEED`, else always the same. With a fifth of all datagrams lost, firmware that asks four
    /// times gives up once in thirty boots, and rightly so.
    pub fn seed() -> u64 {
        std::env::var("WW_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(4711)
    }

    /// A number below another, which is at least 1.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }
}
