//! What the kernel promises, each promise on worlds made to break it.

mod crash;
mod determinism;
mod dormancy;
mod gossip;
mod interrupt;
mod resume;
mod tell;
mod wedge;
mod work_order;
