//! The lines of the run's tables: one struct a file, one field a column.
//!
//! Times and spans are written as seconds with nine decimals, straight from the integer nanoseconds,
//! so that reading a file back gives the same row bit for bit. Units are in the column names.

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
