//! The rows of the run's tables: one struct for each file, one field for each column.
//!
//! Times and durations are written as seconds with nine decimals, straight from the integer
//! nanoseconds, so that a file read back gives exactly the row that was written. For example,
//! 2,500,000,000 ns is written as `2.500000000`. The unit of a column is part of its name.

mod accuracy;
mod client;
mod cost;
mod dealt;
mod invitations;
mod outcome;
mod round;
mod seconds;

pub use accuracy::{ClientAccuracyRow, SizeRow};
pub use client::ClientRow;
pub use cost::CostRow;
pub use dealt::PartitionRow;
pub use invitations::{InvitationRow, Spending};
pub use outcome::{ClientOutcome, Rejection, RejectionRow};
pub use round::{Outcome, RoundRow, ServerRow};

/// A line of a table, and the names of its columns.
pub trait Row {
    /// Column names, in the order of the fields.
    const COLUMNS: &'static [&'static str];
}
