//! The public set: labelled samples that the server holds, taken from the training data before clients
//! get theirs.

use super::dataset::Dataset;
use crate::sim::rng::{shuffle, stream, Purpose};

/// Samples of the training data, by index, that belong to no client.
///
/// The samples from which a server learns, and those by which it decides (on epochs, or when to stop),
/// are two lists without a common sample. Test data has a type of its own ([`super::TestSet`]) and can
/// be in neither.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicSplit {
    /// The samples to learn from.
    pub train: Vec<u32>,
    /// The samples to decide by.
    pub select: Vec<u32>,
}

impl PublicSplit {
    /// Draws the share `public` of the samples at random, and keeps the share `select` of those for
    /// decisions; both shares are rounded to whole samples. Each list is ascending.
    pub fn draw(data: &Dataset, public: f64, select: f64, seed: u64) -> Self {
        let mut all: Vec<u32> = (0..data.len() as u32).collect();
        shuffle(&mut stream(seed, 0, Purpose::Public, 0), &mut all);
        let share = |of: usize, ratio: f64| {
            let wanted = libm::round(of as f64 * ratio.clamp(0.0, 1.0));
            (wanted as usize).min(of)
        };
        all.truncate(share(all.len(), public));
        let mut select = all.split_off(all.len() - share(all.len(), select));
        all.sort_unstable();
        select.sort_unstable();
        Self { train: all, select }
    }

    /// All samples of both lists, in ascending order.
    pub fn all(&self) -> Vec<u32> {
        let mut all = [self.train.as_slice(), &self.select].concat();
        all.sort_unstable();
        all
    }

    /// Whether both lists are empty.
    pub fn is_empty(&self) -> bool {
        self.train.is_empty() && self.select.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{load, Partitioner, Source};
    use std::path::Path;

    #[test]
    fn public_samples_go_to_no_client_and_all_others_to_one() {
        let data = load(&Source::Digits, 1, Path::new(".")).unwrap().train;
        let public = PublicSplit::draw(&data, 0.19, 0.1, 5);
        let n = data.len();
        assert_eq!(public.all().len(), (n as f64 * 0.19).round() as usize);
        assert_eq!(
            public.select.len(),
            (public.all().len() as f64 * 0.1).round() as usize
        );
        let by = Partitioner::Dirichlet { alpha: 0.3 };
        let dealt = by
            .partition_without(&data, &public.all(), 10, 1, 5)
            .unwrap();
        let mut all = [dealt.indices(), &public.train, &public.select].concat();
        all.sort_unstable();
        assert_eq!(all, (0..n as u32).collect::<Vec<u32>>());
    }

    #[test]
    fn with_nothing_public_the_deal_is_what_it_was() {
        let data = load(&Source::Digits, 1, Path::new(".")).unwrap().train;
        assert!(PublicSplit::draw(&data, 0.0, 0.5, 5).is_empty());
        let by = Partitioner::Shards { per_client: 2 };
        assert_eq!(
            by.partition_without(&data, &[], 10, 1, 5).unwrap(),
            by.partition(&data, 10, 1, 5).unwrap()
        );
    }

    #[test]
    fn the_draw_follows_the_seed() {
        let data = load(&Source::Digits, 1, Path::new(".")).unwrap().train;
        let draw = |seed| PublicSplit::draw(&data, 0.1, 0.2, seed);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
