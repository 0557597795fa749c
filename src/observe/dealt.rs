//! `partition.csv`, reduced to what the report draws of it.

use super::rows::PartitionRow;
use super::table::for_each_row;
use super::ObserveError;
use std::collections::BTreeSet;
use std::path::Path;

/// The largest number of clients that are drawn; of more clients, this many are picked, evenly spread.
pub const MOST_DRAWN: usize = 100;

/// Which clients have which samples.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dealt {
    /// The lines of the clients that are drawn, or of all groups.
    pub rows: Vec<PartitionRow>,
    /// The number of training samples of every client, in ascending order; empty where the lines are
    /// about groups.
    pub sizes: Vec<u64>,
    /// The number of samples held out, over all clients.
    pub held_out: u64,
    /// The number of classes: one above the largest class that occurs.
    pub classes: u32,
}

impl Dealt {
    /// Reads the table of a run with this many clients.
    pub fn read(path: &Path, clients: usize) -> Result<Self, ObserveError> {
        let mut making = Making::new(clients);
        for_each_row(path, |row| making.take(row))?;
        Ok(making.finish())
    }

    /// Reduces rows that are in memory.
    pub fn of(rows: impl IntoIterator<Item = PartitionRow>, clients: usize) -> Self {
        let mut making = Making::new(clients);
        rows.into_iter().for_each(|row| making.take(row));
        making.finish()
    }

    /// Whether the lines are about groups.
    pub fn is_of_groups(&self) -> bool {
        self.rows.first().is_some_and(|row| row.client.is_none())
    }
}

struct Making {
    drawn: BTreeSet<usize>,
    dealt: Dealt,
    /// The client whose samples are being counted.
    client: Option<u32>,
}

impl Making {
    fn new(clients: usize) -> Self {
        Self {
            drawn: super::report::evenly(clients, MOST_DRAWN)
                .into_iter()
                .collect(),
            dealt: Dealt::default(),
            client: None,
        }
    }

    fn take(&mut self, row: PartitionRow) {
        let dealt = &mut self.dealt;
        dealt.held_out = dealt.held_out.saturating_add(row.held_out);
        let classes = row.class.map_or(0, |class| class.saturating_add(1));
        dealt.classes = dealt.classes.max(classes);
        let Some(client) = row.client else {
            return dealt.rows.push(row);
        };
        // The lines of one client follow each other.
        match dealt
            .sizes
            .last_mut()
            .filter(|_| self.client == Some(client))
        {
            Some(size) => *size = size.saturating_add(row.train),
            None => dealt.sizes.push(row.train),
        }
        self.client = Some(client);
        if self.drawn.contains(&(client as usize)) {
            dealt.rows.push(row);
        }
    }

    fn finish(mut self) -> Dealt {
        self.dealt.sizes.sort_unstable();
        self.dealt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(client: Option<u32>, class: Option<u32>, train: u64) -> PartitionRow {
        PartitionRow {
            client,
            group: "a".into(),
            clients: 1,
            class,
            train,
            held_out: 1,
        }
    }

    #[test]
    fn sizes_are_those_of_all_clients_and_lines_those_of_the_drawn() {
        let all = (0..250u32).flat_map(|client| {
            [0, 3].map(|class| row(Some(client), Some(class), u64::from(client) + 1))
        });
        let dealt = Dealt::of(all, 250);
        assert_eq!(
            (dealt.sizes.len(), dealt.classes, dealt.held_out),
            (250, 4, 500)
        );
        assert_eq!((dealt.sizes[0], dealt.sizes[249]), (2, 500));
        assert_eq!(dealt.rows.len(), 2 * MOST_DRAWN);
        let last = dealt.rows.last().unwrap();
        assert_eq!(last.client, Some(249), "the last is among them");
        assert!(!dealt.is_of_groups());
        let groups = Dealt::of([row(None, Some(1), 7), row(None, None, 0)], 1_000_000);
        assert!(groups.is_of_groups() && groups.sizes.is_empty());
    }
}
