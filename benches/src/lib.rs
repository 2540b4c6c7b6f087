//! What is measured of `snap`, stage by stage, and on what. The same stages are timed (`benches/stages.rs`), and have their instructions
//! counted (`bin/stage.rs`). How cost grows with the repository is measured by `bin/index_scale.rs`.

pub mod catalogue;
pub mod inputs;
pub mod stages;
