//! One integration binary; one file per guarantee.

mod kernel;
