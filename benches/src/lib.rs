//! What is measured of `snap`, stage by stage, and on what. The same stages are timed (`benches/stages.rs`), and have their instructions
//! counted (`bin/stage.rs`).

pub mod inputs;
pub mod stages;
