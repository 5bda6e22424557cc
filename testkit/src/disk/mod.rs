//! Disks for the engine's state that refuse now and then, are full for a while, or lose what was written last when the power goes.

mod error;
mod faulty;
mod volatile;

pub use faulty::{ACTS, Act, DiskFaults, FaultyDisk};
pub use volatile::VolatileDisk;
