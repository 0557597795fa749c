//! That `check` refuses all that `run` would refuse before its first round, in the same words, and that
//! no number of a scenario makes either of them go on for ever.

mod numbers;
mod on_links;
mod refusals;
