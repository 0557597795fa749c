//! Which clients something concerns.

use super::{Resolver, CLIENTS};
use crate::federation::Who;
use crate::scenario::file::WhoFile;
use crate::scenario::Member;
use std::sync::Arc;

impl Resolver<'_> {
    /// The clients that the selector at `path` names; complains if there are none.
    pub(super) fn who(&mut self, typed: WhoFile, population: &[Member], path: &str) -> Who {
        // Too many clients are another mistake, told elsewhere.
        let counts = population.iter().map(|member| member.group.count);
        let clients = counts.fold(0u32, u32::saturating_add);
        let last = clients.saturating_sub(1);
        match typed {
            WhoFile::All => Who::All,
            WhoFile::Clients(numbers) => {
                if numbers.is_empty() {
                    self.complain(path, "expected at least one client, found none");
                }
                for (index, number) in numbers.iter().enumerate() {
                    if *number >= clients {
                        let message = format!("expected a client from 0 to {last}, found {number}");
                        self.complain_reading(&[CLIENTS], &format!("{path}[{index}]"), message);
                    }
                }
                Who::Clients(numbers)
            }
            WhoFile::Group(name) => {
                let known = population.iter().map(|member| member.group.name.as_ref());
                if !known.clone().any(|group| group == name) {
                    self.reading(&["population[].name"], |r| {
                        r.unknown(path, "a group of the population", &name, known);
                    });
                }
                Who::Group(Arc::from(name))
            }
            WhoFile::Share(share) => {
                if libm::round(share.0.get() * f64::from(clients)) < 1.0 {
                    let message = format!(
                        "a share of {} of {clients} clients is nobody",
                        share.0.get()
                    );
                    self.complain_reading(&[CLIENTS], path, message);
                }
                Who::Share(share.0)
            }
            WhoFile::Count(count) => {
                if count == 0 || count > clients {
                    let message = format!("expected a number from 1 to {clients}, found {count}");
                    self.complain_reading(&[CLIENTS], path, message);
                }
                Who::Count(count)
            }
        }
    }
}
