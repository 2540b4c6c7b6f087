//! L2: plans: what an operation will do, decided by pure functions, so that it can be shown, tested and refused before it is done.

pub mod copies;
pub mod gather;
pub mod gc;
pub mod ranges;
pub mod repair;
pub mod restore;
