//! L4: what a restore writes, beneath one folder and never outside it.
