pub mod disk;

pub use disk::{Fate, SimulatedDisk};
