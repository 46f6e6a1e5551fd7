//! Figures as they are printed: the median of several runs with the range that they lay in, and the conditions of the run.

use std::fmt;

/// What several runs came to.
#[derive(Clone, Debug, Default)]
pub struct Runs(Vec<f64>);

impl Runs {
    /// One more run.
    pub fn add(&mut self, figure: f64) {
        self.0.push(figure);
        self.0.sort_by(f64::total_cmp);
    }

    /// The one in the middle; of an even number the lower of the two.
    pub fn median(&self) -> f64 {
        self.0.get(self.0.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Runs {
    /// `0.19 (0.18-0.22)`, with as many digits as the format says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let (least, most) = (self.0.first().copied().unwrap_or(f64::NAN), self.0.last().copied().unwrap_or(f64::NAN));
        write!(f, "{:.digits$} ({least:.digits$}-{most:.digits$})", self.median())
    }
}

/// The value below which so many of a hundred lie, in order; 0 when there are none.
pub fn percentile(values: &mut [u32], percent: usize) -> u32 {
    values.sort_unstable();
    let at = values.len().saturating_sub(1) * percent / 100;
    values.get(at).copied().unwrap_or(0)
}

/// One line on the machine and how busy it is with other things.
pub fn conditions() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("kernel {}, {processors} processors, load average {load}", read("/proc/sys/kernel/osrelease").trim())
}
