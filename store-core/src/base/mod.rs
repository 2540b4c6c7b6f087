//! L0: names, units, limits and the one serializer. Everything above imports from here; nothing here imports from above.

pub mod ids;
pub mod limits;
pub mod units;
pub mod wire;
