//! The combinations of values and seeds, and the share that each shard takes.

use super::vary::Varied;
use crate::observe::folder::file_stem;
use serde::{Deserialize, Serialize};

/// The largest number of cells in a sweep.
pub const MOST_CELLS: usize = 100_000;
/// The number of characters of a cell's description that its folder's name may have.
const LONGEST_SLUG: usize = 60;

/// One run of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The number of the cell in the order of the sweep, from 1.
    pub index: usize,
    /// The number of the combination of values, from 0; cells that differ only in their seed share
    /// it.
    pub setting: usize,
    /// The value of each varied path, in the order of the paths.
    pub values: Vec<String>,
    /// All overrides of the scenario, in the order in which they are applied.
    pub overrides: Vec<String>,
    /// The seed of the run.
    pub seed: u64,
    /// The name of the cell's folder.
    pub folder: String,
}

impl Cell {
    /// A description of the cell by its values and its seed.
    pub fn in_words(&self, varied: &[Varied]) -> String {
        let pairs = varied.iter().zip(&self.values);
        let mut words: Vec<String> = pairs
            .map(|(varied, value)| format!("{}={value}", varied.path))
            .collect();
        words.push(format!("seed={}", self.seed));
        words.join(", ")
    }
}

/// All cells of a sweep. The values of the first path change slowest, the seeds fastest. The
/// overrides `fixed` come first in every cell. Without seeds, the seed of the scenario is used.
///
/// # Errors
/// When a path is varied twice, or there are more than [`MOST_CELLS`] cells.
pub fn cells(
    fixed: &[String],
    varied: &[Varied],
    seeds: Option<&[u64]>,
) -> Result<Vec<Cell>, String> {
    for (at, one) in varied.iter().enumerate() {
        if varied[..at].iter().any(|other| other.path == one.path) {
            return Err(format!("{} is varied twice", one.path));
        }
    }
    let lengths = varied.iter().map(|one| one.values.len());
    let each = seeds.map_or(1, <[u64]>::len);
    let total = lengths
        .chain([each])
        .try_fold(1usize, |total, length| total.checked_mul(length))
        .filter(|total| *total <= MOST_CELLS);
    let total = total.ok_or_else(|| format!("more than {MOST_CELLS} cells"))?;
    let digits = total.to_string().len();
    let of = |at: usize| {
        let setting = at / each;
        let mut rest = setting;
        let mut values: Vec<String> = varied
            .iter()
            .rev()
            .map(|one| {
                let value = one.values[rest % one.values.len()].clone();
                rest /= one.values.len();
                value
            })
            .collect();
        values.reverse();
        let mut overrides = fixed.to_vec();
        let pairs = varied.iter().zip(&values);
        overrides.extend(
            pairs
                .clone()
                .map(|(one, value)| format!("{}={value}", one.path)),
        );
        let seed = seeds.and_then(|seeds| seeds.get(at % each)).copied();
        overrides.extend(seed.map(|seed| format!("seed={seed}")));
        // The last part of a path is enough to recognise it, as in `lr` for `client.lr`.
        let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_string();
        let mut words: Vec<String> = pairs
            .map(|(one, value)| format!("{}-{value}", last(&one.path)))
            .collect();
        words.extend(seed.map(|seed| format!("seed-{seed}")));
        Cell {
            index: at + 1,
            setting,
            values,
            overrides,
            seed: seed.unwrap_or_default(),
            folder: match words.is_empty() {
                true => format!("{:0digits$}", at + 1),
                false => format!("{:0digits$}-{}", at + 1, slug(&words.join("_"))),
            },
        }
    };
    Ok((0..total).map(of).collect())
}

/// A short name for a folder, without repeated dashes.
fn slug(words: &str) -> String {
    let mut slug = String::new();
    for c in file_stem(words).chars().take(LONGEST_SLUG) {
        if c != '-' || !slug.ends_with('-') {
            slug.push(c);
        }
    }
    slug.trim_end_matches(['-', '_', '.']).to_string()
}

/// The share of the cells that one process takes: numbers `index`, `index + of`, `index + 2 · of`
/// and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// The number of the shard, from 1.
    pub index: usize,
    /// The number of shards.
    pub of: usize,
}

impl Shard {
    /// The only shard of a sweep that is not divided.
    pub const WHOLE: Self = Self { index: 1, of: 1 };

    /// Whether this shard takes the cell with the number `index`, from 1.
    pub const fn takes(self, index: usize) -> bool {
        index % self.of == self.index % self.of
    }
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no shard: expected I/N with I from 1 to N, such as 2/8");
        let (index, of) = text.split_once('/').ok_or_else(wrong)?;
        let number = |word: &str| word.trim().parse::<usize>().map_err(|_| wrong());
        let (index, of) = (number(index)?, number(of)?);
        match (1..=of).contains(&index) {
            true => Ok(Self { index, of }),
            false => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn varied(text: &str) -> Varied {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_path_changes_slowest_and_the_seeds_fastest() {
        let all = [
            varied("schedule.cohort=2,4"),
            varied("method=FedAvg(),FedProx(mu: 0.1)"),
        ];
        let fixed = ["schedule.rounds=3".to_string()];
        let cells = cells(&fixed, &all, Some(&[7, 9])).unwrap();
        let words: Vec<String> = cells.iter().map(|cell| cell.in_words(&all)).collect();
        assert_eq!(
            words,
            [
                "schedule.cohort=2, method=FedAvg(), seed=7",
                "schedule.cohort=2, method=FedAvg(), seed=9",
                "schedule.cohort=2, method=FedProx(mu: 0.1), seed=7",
                "schedule.cohort=2, method=FedProx(mu: 0.1), seed=9",
                "schedule.cohort=4, method=FedAvg(), seed=7",
                "schedule.cohort=4, method=FedAvg(), seed=9",
                "schedule.cohort=4, method=FedProx(mu: 0.1), seed=7",
                "schedule.cohort=4, method=FedProx(mu: 0.1), seed=9",
            ]
        );
        assert_eq!(
            cells[3].overrides,
            [
                "schedule.rounds=3",
                "schedule.cohort=2",
                "method=FedProx(mu: 0.1)",
                "seed=9"
            ]
        );
        assert_eq!((cells[3].index, cells[3].setting), (4, 1));
        assert_eq!(cells[3].folder, "4-cohort-2_method-FedProx-mu-0.1-_seed-9");
    }

    #[test]
    fn without_seeds_there_is_one_cell_a_setting_and_no_seed_is_set() {
        let cells = cells(&[], &[varied("a=1,2")], None).unwrap();
        assert_eq!(cells.len(), 2);
        assert_eq!(cells[1].overrides, ["a=2"]);
        assert_eq!(super::cells(&[], &[], None).unwrap()[0].folder, "1");
    }

    #[test]
    fn what_is_no_sweep_is_refused() {
        let twice = [varied("a=1"), varied("a=2")];
        let error = cells(&[], &twice, None).unwrap_err();
        assert_eq!(error, "a is varied twice");
        let many: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
        let many = |path: &str| Varied {
            path: path.into(),
            values: many.clone(),
        };
        let error = cells(&[], &[many("a"), many("b")], None).unwrap_err();
        assert_eq!(error, "more than 100000 cells");
        for text in ["", "1", "0/2", "3/2", "1/0", "a/b", "-1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        assert_eq!("2/8".parse(), Ok(Shard { index: 2, of: 8 }));
    }

    #[test]
    fn a_folder_has_a_name_that_any_file_system_takes() {
        let odd = varied("a.b[0].c=\"../../etc/passwd\",(x: [1, 2, 3])");
        for cell in cells(&[], &[odd], Some(&[1])).unwrap() {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            assert!(cell.folder.chars().all(plain), "{}", cell.folder);
            assert!(cell.folder.len() < 80 && !cell.folder.contains('/'));
        }
    }

    proptest! {
        /// Every cell is of one shard and no other, and no shard has two more than another.
        #[test]
        fn shards_partition_the_cells(total in 1usize..500, of in 1usize..40) {
            let shares: Vec<BTreeSet<usize>> = (1..=of)
                .map(|index| {
                    let shard = Shard { index, of };
                    (1..=total).filter(|&cell| shard.takes(cell)).collect()
                })
                .collect();
            let union: BTreeSet<usize> = shares.iter().flatten().copied().collect();
            prop_assert_eq!(union.len(), total);
            let sizes: Vec<usize> = shares.iter().map(BTreeSet::len).collect();
            prop_assert_eq!(sizes.iter().sum::<usize>(), total);
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            prop_assert!(most - least <= 1);
            // Number i takes i, i + n, ...
            for (at, share) in shares.iter().enumerate() {
                prop_assert!(share.iter().all(|cell| (cell - 1) % of == at));
            }
        }

        /// Every combination is there once, under an index and a folder of its own.
        #[test]
        fn cells_are_all_combinations_once(lengths in prop::collection::vec(1usize..5, 0..4), seeds in 1u64..4) {
            let all: Vec<Varied> = lengths
                .iter()
                .enumerate()
                .map(|(at, &n)| Varied {
                    path: format!("p{at}"),
                    values: (0..n).map(|v| v.to_string()).collect(),
                })
                .collect();
            let seeds: Vec<u64> = (1..=seeds).collect();
            let cells = cells(&[], &all, Some(&seeds)).unwrap();
            let total = lengths.iter().product::<usize>() * seeds.len();
            prop_assert_eq!(cells.len(), total);
            let distinct: BTreeSet<_> = cells.iter().map(|cell| &cell.overrides).collect();
            prop_assert_eq!(distinct.len(), total);
            let folders: BTreeSet<_> = cells.iter().map(|cell| &cell.folder).collect();
            prop_assert_eq!(folders.len(), total);
            prop_assert!(cells.iter().enumerate().all(|(at, cell)| cell.index == at + 1));
            for pair in cells.windows(2) {
                prop_assert!(pair[0].setting == pair[1].setting || pair[0].setting + 1 == pair[1].setting);
            }
        }
    }
}
