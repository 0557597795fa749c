//! Units: the output channels or features of a layer, with everything that reads them.
//!
//! A sub-model keeps some units of each set and drops the others; a tensor's rows belong to one set,
//! its columns to another. Two layers whose results are added (a residual block) share one set. The
//! sets are found from the layers when a [`super::Model`] is built, never from names or positions.

use serde::Serialize;

/// Units that are numbered together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct UnitSet {
    /// How many there are.
    pub size: usize,
    /// Whether every sub-model keeps all of them: the inputs and the class scores.
    pub fixed: bool,
}

/// The columns of a weight tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Columns {
    /// The set they belong to.
    pub set: usize,
    /// Consecutive columns of one unit: more than one where an image has been flattened.
    pub each: usize,
}

/// Whose units a tensor is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EntryUnits {
    /// The set of its first dimension.
    pub rows: usize,
    /// The units of its second dimension; vectors have none.
    pub columns: Option<Columns>,
}

/// The unit sets of a network, and for each entry of its layout whose units it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Units {
    sets: Vec<UnitSet>,
    entries: Vec<EntryUnits>,
}

impl Units {
    /// The sets: inputs first, then in the order of the layers.
    pub fn sets(&self) -> &[UnitSet] {
        &self.sets
    }

    /// One for each entry of the layout.
    pub fn entries(&self) -> &[EntryUnits] {
        &self.entries
    }
}

/// Sets being found, some of which turn out to be one.
#[derive(Debug, Default)]
pub(super) struct UnitsBuilder {
    sets: Vec<UnitSet>,
    /// A set that is the same as this one and was made earlier, or itself.
    same: Vec<usize>,
    entries: Vec<EntryUnits>,
}

impl UnitsBuilder {
    /// A new set.
    pub(super) fn set(&mut self, size: usize) -> usize {
        self.sets.push(UnitSet { size, fixed: false });
        self.same.push(self.sets.len() - 1);
        self.sets.len() - 1
    }

    /// A new set that every sub-model keeps.
    pub(super) fn fixed(&mut self, size: usize) -> usize {
        let set = self.set(size);
        self.fix(set);
        set
    }

    /// Every sub-model keeps all of this set.
    pub(super) fn fix(&mut self, set: usize) {
        let root = self.root(set);
        self.sets[root].fixed = true;
    }

    /// How many units a set has.
    pub(super) fn size(&self, set: usize) -> usize {
        self.sets[self.root(set)].size
    }

    /// The two are one set.
    pub(super) fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let (first, second) = (a.min(b), a.max(b));
        self.same[second] = first;
        self.sets[first].fixed |= self.sets[second].fixed;
    }

    /// The units of the next entry of the layout.
    pub(super) fn entry(&mut self, entry: EntryUnits) {
        self.entries.push(entry);
    }

    fn root(&self, mut set: usize) -> usize {
        while self.same[set] != set {
            set = self.same[set];
        }
        set
    }

    /// The sets that are left, numbered anew.
    pub(super) fn build(self) -> Units {
        let mut number = vec![0; self.sets.len()];
        let mut sets = Vec::new();
        for set in 0..self.sets.len() {
            let root = self.root(set);
            if root == set {
                number[set] = sets.len();
                sets.push(self.sets[set]);
            } else {
                // Roots come before what is united with them.
                number[set] = number[root];
            }
        }
        let entries = self.entries.iter().map(|entry| EntryUnits {
            rows: number[entry.rows],
            columns: entry.columns.map(|columns| Columns {
                set: number[columns.set],
                ..columns
            }),
        });
        Units {
            entries: entries.collect(),
            sets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{preset, LayerSpec, Model};

    fn sets(model: &Model) -> Vec<(usize, bool)> {
        let sets = model.units().sets().iter();
        sets.map(|set| (set.size, set.fixed)).collect()
    }

    #[test]
    fn every_layer_has_a_set_and_flattening_spreads_a_unit_over_positions() {
        let layers = preset("fedconv-mnist").unwrap().layers(10);
        let model = Model::build(&layers, &[1, 28, 28], 10).unwrap();
        assert_eq!(
            sets(&model),
            [(1, true), (16, false), (32, false), (10, true)]
        );
        let columns = |set, each| Some(Columns { set, each });
        let found: Vec<_> = model
            .units()
            .entries()
            .iter()
            .map(|e| (e.rows, e.columns))
            .collect();
        let expected = [
            (1, columns(0, 1)),
            (1, None),
            (2, columns(1, 1)),
            (2, None),
            (3, columns(2, 49)),
            (3, None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_added_up_shares_its_units() {
        let conv = |out| LayerSpec::conv(out, 3, 1);
        let layers = [
            conv(8),
            LayerSpec::GroupNorm { groups: 2 },
            // Identity shortcut: the body's last layer has the units of the block's input.
            LayerSpec::Residual {
                body: vec![conv(6), conv(8)],
                shortcut: vec![],
            },
            // Both branches have layers of their own, with units in common.
            LayerSpec::Residual {
                body: vec![conv(12)],
                shortcut: vec![LayerSpec::conv(12, 1, 0)],
            },
            LayerSpec::GlobalAvgPool,
            LayerSpec::dense(10),
        ];
        let model = Model::build(&layers, &[3, 8, 8], 10).unwrap();
        assert_eq!(
            sets(&model),
            [(3, true), (8, false), (6, false), (12, false), (10, true)]
        );
        let rows: Vec<usize> = model.units().entries().iter().map(|e| e.rows).collect();
        assert_eq!(rows, [1, 1, 1, 1, 2, 2, 1, 1, 3, 3, 3, 3, 4, 4]);
    }

    #[test]
    fn all_vectors_of_a_normalisation_belong_to_the_units_it_normalises() {
        let layers = [
            LayerSpec::conv(6, 3, 1),
            LayerSpec::BatchNorm,
            LayerSpec::GlobalAvgPool,
            LayerSpec::dense(3),
        ];
        let model = Model::build(&layers, &[1, 4, 4], 3).unwrap();
        let rows: Vec<usize> = model.units().entries().iter().map(|e| e.rows).collect();
        assert_eq!(rows, [1, 1, 1, 1, 1, 1, 2, 2]);
        let half = model.narrowed(0.5).unwrap();
        assert_eq!(half.layout().entries()[4].shape, [3]);
    }

    #[test]
    fn a_layer_added_to_the_input_keeps_all_its_units() {
        let layers = [
            LayerSpec::Residual {
                body: vec![LayerSpec::dense(5), LayerSpec::dense(4)],
                shortcut: vec![],
            },
            LayerSpec::dense(3),
        ];
        let model = Model::build(&layers, &[4], 3).unwrap();
        assert_eq!(sets(&model), [(4, true), (5, false), (3, true)]);
    }
}
