//! The reduction of a failing fault plan to a smallest one that still fails.

/// Removes faults as long as `fails` says that the remaining plan still breaks an invariant: first
/// halves of the plan, then single faults, until none can go. This is delta debugging (Zeller and
/// Hildebrandt 2002) in the form that only removes. `fails` is called at most about n² times for n
/// faults.
pub fn shrink(plan: &[String], mut fails: impl FnMut(&[String]) -> bool) -> Vec<String> {
    let mut plan = plan.to_vec();
    let mut size = plan.len() / 2;
    while size > 0 && !plan.is_empty() {
        let mut at = 0;
        let mut smaller = false;
        while at < plan.len() {
            let end = (at + size).min(plan.len());
            let rest: Vec<String> = [&plan[..at], &plan[end..]].concat();
            if fails(&rest) {
                plan = rest;
                smaller = true;
            } else {
                at = end;
            }
        }
        // With single faults, passes are repeated until one removes nothing.
        if size > 1 {
            size /= 2;
        } else if !smaller {
            break;
        }
    }
    if plan.len() == 1 && fails(&[]) {
        plan.clear();
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever faults are to blame together, they and nothing else are left.
        #[test]
        fn what_is_left_is_what_is_to_blame(
            n in 1usize..20, blame in prop::collection::btree_set(0usize..20, 0..4)
        ) {
            let plan: Vec<String> = (0..n).map(|i| format!("f{i}")).collect();
            let blame: Vec<String> = blame.into_iter().filter(|i| *i < n).map(|i| format!("f{i}")).collect();
            let mut asked = 0;
            let left = shrink(&plan, |rest| {
                asked += 1;
                blame.iter().all(|fault| rest.contains(fault))
            });
            prop_assert_eq!(left, blame);
            prop_assert!(asked <= 2 * n * n + 2, "{}", asked);
        }
    }
}
