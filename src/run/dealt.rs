//! `partition.csv`: who has which samples, once a run.

use crate::data::Partition;
use crate::federation::Plan;
use crate::observe::folder::RunFolder;
use crate::observe::rows::PartitionRow;
use crate::observe::ObserveError;
use std::collections::BTreeMap;

/// With more lines than this the table would be larger than what it is about: groups have lines then,
/// and not clients. Tens of megabytes at most.
const MOST_LINES: u64 = 2_000_000;

/// Writes the table: a line for each client and class, or, where clients are not recorded or there are too
/// many, for each group and class.
pub(super) fn write(folder: &RunFolder, plan: &Plan, clients: bool) -> Result<(), ObserveError> {
    let (train, held) = (&plan.partition, &plan.holdout);
    let dealt = |of: &Partition| match (of.is_shared(), of.clients()) {
        // All have as many.
        (true, clients) => (clients as u64).saturating_mul(of.size(0) as u64),
        (false, _) => of.len() as u64,
    };
    let most = dealt(train) + dealt(held) + train.clients() as u64;
    match clients && most <= MOST_LINES {
        true => folder.write_partition(by_client(plan)),
        false => folder.write_partition(by_group(plan)),
    }
}

/// Numbers of samples by class: to train on, and held out.
type Counts = BTreeMap<u32, (u64, u64)>;

fn by_client(plan: &Plan) -> impl Iterator<Item = PartitionRow> + '_ {
    (0..plan.population()).flat_map(move |client| {
        let mut counts = Counts::new();
        for label in labels(plan, plan.partition.client(client as usize)) {
            counts.entry(label).or_default().0 += 1;
        }
        for label in labels(plan, plan.holdout.client(client as usize)) {
            counts.entry(label).or_default().1 += 1;
        }
        let row = PartitionRow {
            client: Some(client),
            group: plan.group_name(client),
            clients: 1,
            class: None,
            train: 0,
            held_out: 0,
        };
        lines(row, &counts)
    })
}

fn by_group(plan: &Plan) -> impl Iterator<Item = PartitionRow> + '_ {
    let mut first = 0;
    plan.groups.iter().flat_map(move |group| {
        let clients = first..first + group.count;
        first += group.count;
        let mut counts = Counts::new();
        for (label, times) in times(plan, &plan.partition, clients.clone()) {
            counts.entry(label).or_default().0 += times;
        }
        for (label, times) in times(plan, &plan.holdout, clients) {
            counts.entry(label).or_default().1 += times;
        }
        let row = PartitionRow {
            client: None,
            group: group.name.clone(),
            clients: group.count,
            class: None,
            train: 0,
            held_out: 0,
        };
        lines(row, &counts)
    })
}

/// `row` for each class, or as it is where there are none.
fn lines(row: PartitionRow, counts: &Counts) -> Vec<PartitionRow> {
    if counts.is_empty() {
        return vec![row];
    }
    let each = counts
        .iter()
        .map(|(&class, &(train, held_out))| PartitionRow {
            class: Some(class),
            train,
            held_out,
            ..row.clone()
        });
    each.collect()
}

fn labels<'a>(plan: &'a Plan, samples: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
    let labels = plan.train.labels();
    samples
        .iter()
        .filter_map(|&sample| labels.get(sample as usize).copied())
}

/// The label of each place in a partition's row, and how many of the clients have it. Takes time for the
/// clients and for the row, not for each client's samples: those overlap where they are shared.
fn times<'a>(
    plan: &'a Plan,
    partition: &'a Partition,
    clients: std::ops::Range<u32>,
) -> impl Iterator<Item = (u32, u64)> + 'a {
    let row = partition.indices();
    let mut steps = vec![0i64; row.len() + 1];
    for client in clients {
        let range = partition.range(client as usize);
        if let Some(step) = steps.get_mut(range.start) {
            *step += 1;
        }
        if let Some(step) = steps.get_mut(range.end) {
            *step -= 1;
        }
    }
    let mut have = 0i64;
    let counts = steps.into_iter().map(move |step| {
        have += step;
        u64::try_from(have).unwrap_or(0)
    });
    labels(plan, row)
        .zip(counts)
        .filter(|(_, times)| *times > 0)
}

#[cfg(test)]
mod tests {
    use super::super::assemble;
    use super::*;
    use crate::scenario::Scenario;
    use std::path::Path;

    fn rows(text: &str) -> (Vec<PartitionRow>, Vec<PartitionRow>) {
        let scenario = Scenario::parse(text, Path::new("s.ron"), &[]);
        let scenario = scenario.unwrap_or_else(|wrong| panic!("{wrong:#}"));
        let federation = assemble(&scenario, Default::default()).unwrap();
        let plan = federation.plan();
        (by_client(plan).collect(), by_group(plan).collect())
    }

    /// Group, class, sums of samples.
    fn sums(rows: &[PartitionRow]) -> BTreeMap<(String, Option<u32>), (u64, u64)> {
        let mut sums = BTreeMap::new();
        for row in rows.iter().filter(|row| row.class.is_some()) {
            let sum: &mut (u64, u64) = sums.entry((row.group.to_string(), row.class)).or_default();
            sum.0 += row.train;
            sum.1 += row.held_out;
        }
        sums
    }

    #[test]
    fn lines_of_clients_add_up_to_those_of_their_groups_and_to_the_data() {
        for by in [
            "Dirichlet(alpha: 0.1)",
            "Shards()",
            "Shared(per_client: 50)",
        ] {
            let (clients, groups) = rows(&format!(
                "(data: Digits, partition: (by: {by}, holdout: 0.2), model: \"logistic\",
                  population: [(name: \"a\", count: 7), (name: \"b\", count: 13)])"
            ));
            assert_eq!(sums(&clients), sums(&groups), "{by}");
            let numbers = clients.iter().map(|row| row.client.unwrap());
            let different: std::collections::BTreeSet<u32> = numbers.collect();
            assert_eq!(different.len(), 20, "{by}: each client has a line");
            assert!(clients.iter().all(|row| row.clients == 1));
            assert!(groups.iter().all(|row| row.client.is_none()));
            assert_eq!((groups[0].clients, groups.last().unwrap().clients), (7, 13));
            let all: u64 = clients.iter().map(|row| row.train + row.held_out).sum();
            let expected = if by.starts_with("Shared") {
                20 * 50
            } else {
                1_437
            };
            assert_eq!(all, expected, "{by}");
        }
    }

    #[test]
    fn a_client_without_samples_has_a_line_without_a_class() {
        let (clients, _) = rows(
            "(data: Digits, partition: (by: Dirichlet(alpha: 0.02), min_per_client: 0),
              model: \"logistic\", population: [(count: 60)])",
        );
        let empty: Vec<&PartitionRow> = clients.iter().filter(|row| row.class.is_none()).collect();
        assert!(!empty.is_empty(), "a deal that leaves somebody out");
        assert!(empty.iter().all(|row| row.train == 0 && row.held_out == 0));
    }
}
