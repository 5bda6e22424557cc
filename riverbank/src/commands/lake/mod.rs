//! `riverbank lake …`: what is in the lake, how far it is behind Kafka, that nothing is missing or doubled, what its tables' columns
//! are, that a topic which was made anew goes on there, and that what is old goes. A file for each command.

mod accept;
mod describe;
mod ls;
mod retain;
mod verify;

pub use self::accept::accept;
pub use self::describe::describe;
pub use self::ls::ls;
pub use self::retain::retain;
pub use self::verify::verify;
