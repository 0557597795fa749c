//! Tuning: the units that a client has in a layer are moved towards those of clients with similar
//! data.

/// The Pearson correlation of two lists; 0 if one of them is constant.
pub(super) fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let centred = |values: &[f64]| -> Vec<f64> {
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        values.iter().map(|value| value - mean).collect()
    };
    let (a, b) = (centred(a), centred(b));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let norms = (product(&a, &a) * product(&b, &b)).sqrt();
    match norms > 0.0 {
        true => product(&a, &b) / norms,
        false => 0.0,
    }
}

/// The number of units that tuning may exchange in a layer of `size` units, of which a client has
/// `kept`: the share `alpha` of the units kept or left out, whichever are fewer, but at least one.
pub(super) fn exchanges(kept: usize, size: usize, alpha: f64) -> usize {
    let fewer = kept.min(size.saturating_sub(kept));
    match alpha > 0.0 && fewer > 0 {
        true => ((fewer as f64 * alpha) as usize).max(1),
        false => 0,
    }
}

/// The units `own` after tuning, in ascending order. `others` are the units of other clients, each
/// with the similarity of that client.
///
/// With a client of similarity s, the wanted overlap is s times the length of the shorter of both
/// lists. The weight of a unit is the sum, over the clients that have it, of what the overlap with
/// them lacks; it is negative where the overlap is too large. The lightest unit of `own` is
/// exchanged for the heaviest one outside as long as that is heavier, but at most as often as
/// [`exchanges`] says.
/// as often as [`exchanges`] says.
pub(super) fn tuned(own: &[u32], others: &[(f64, &[u32])], size: usize, alpha: f64) -> Vec<u32> {
    let mut has = vec![false; size];
    for &unit in own {
        has[unit as usize] = true;
    }
    for _ in 0..exchanges(own.len(), size, alpha) {
        let mut weights = vec![0.0; size];
        for (similar, theirs) in others {
            let overlap = theirs.iter().filter(|unit| has[**unit as usize]).count();
            let lacks = similar * own.len().min(theirs.len()) as f64 - overlap as f64;
            for &unit in *theirs {
                weights[unit as usize] += lacks;
            }
        }
        let inside = (0..size).filter(|&unit| has[unit]);
        let lightest = inside.min_by(|&a, &b| weights[a].total_cmp(&weights[b]));
        let outside = (0..size).filter(|&unit| !has[unit]).rev();
        // The search goes backwards, so that of equal weights the first is taken.
        let heaviest = outside.max_by(|&a, &b| weights[a].total_cmp(&weights[b]));
        match (lightest, heaviest) {
            (Some(out), Some(into)) if weights[into] > weights[out] => {
                has[out] = false;
                has[into] = true;
            }
            _ => break,
        }
    }
    (0..size as u32)
        .filter(|&unit| has[unit as usize])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn correlations_are_those_computed_by_hand() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} against {b}");
        // Centred: (−1, 0, 1) and (−4/3, 5/3, −1/3).
        close(
            correlation(&[1.0, 2.0, 3.0], &[0.0, 3.0, 1.0]),
            1.0 / (2.0f64 * 42.0 / 9.0).sqrt(),
        );
        close(correlation(&[1.0, 2.0], &[5.0, 9.0]), 1.0);
        close(correlation(&[1.0, 2.0], &[9.0, 5.0]), -1.0);
        close(correlation(&[1.0, 1.0], &[9.0, 5.0]), 0.0);
        close(correlation(&[], &[]), 0.0);
    }

    /// A twin wants an overlap of 2 and has none: its units weigh +2. A stranger wants none and has
    /// both: its units weigh −2.
    #[test]
    fn units_of_twins_come_in_and_units_of_strangers_go_out() {
        let (twin, stranger) = ([2u32, 3], [0u32, 1]);
        let others = [(1.0, twin.as_slice()), (0.0, stranger.as_slice())];
        // Once: 0 and 1 weigh alike, so do 2 and 3; the first of each.
        assert_eq!(tuned(&[0, 1], &others, 5, 0.05), [1, 2]);
        // Twice: now the twin lacks 1 and the stranger exceeds by 1.
        assert_eq!(tuned(&[0, 1], &others, 5, 1.0), [2, 3]);
        assert_eq!(tuned(&[0, 1], &others, 5, 0.0), [0, 1]);
    }

    #[test]
    fn who_is_alone_or_has_everything_keeps_what_it_has() {
        assert_eq!(tuned(&[1, 4], &[], 5, 1.0), [1, 4]);
        let all = [0u32, 1, 2];
        assert_eq!(tuned(&all, &[(0.5, &[0])], 3, 1.0), all);
    }

    proptest! {
        #[test]
        fn tuning_keeps_the_number_of_units_and_moves_no_more_than_it_may(
            picks in prop::collection::vec((prop::collection::vec(any::<bool>(), 9), -1.0f64..1.0), 1..6),
            alpha in 0.0f64..1.0,
        ) {
            let lists: Vec<Vec<u32>> = picks.iter()
                .map(|(flags, _)| (0..9).filter(|&u| flags[u as usize]).collect()).collect();
            let others: Vec<(f64, &[u32])> = picks.iter().zip(&lists).skip(1)
                .map(|((_, s), list)| (*s, list.as_slice())).collect();
            let own = &lists[0];
            let got = tuned(own, &others, 9, alpha);
            prop_assert_eq!(got.len(), own.len());
            prop_assert!(got.windows(2).all(|pair| pair[0] < pair[1]));
            let new = got.iter().filter(|unit| !own.contains(unit)).count();
            let fewer = own.len().min(9 - own.len());
            prop_assert!(new <= ((fewer as f64 * alpha) as usize).max(1));
        }
    }
}
