//! Shoal
pub mod quantity;
pub mod sim;
