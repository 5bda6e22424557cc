//! What went wrong in a datum, and in which field. One pointer wide, so that results stay small.

use std::fmt;

/// What went wrong in a datum, and in which field.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    /// Names of fields, from the innermost to the outermost.
    path: Vec<String>,
    message: String,
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// This went wrong.
    #[cold]
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            path: Vec::new(),
            message: message.into(),
        }))
    }

    /// The input ends within a value.
    #[cold]
    pub fn ends() -> Self {
        Self::new("the bytes end within a value")
    }

    /// The same, in a field.
    #[cold]
    pub fn within(mut self, field: &str) -> Self {
        self.0.path.push(field.to_owned());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, field) in self.0.path.iter().rev().enumerate() {
            write!(f, "{}{field}", if position == 0 { "" } else { "." })?;
        }
        write!(f, "{}{}", if self.0.path.is_empty() { "" } else { ": " }, self.0.message)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

impl serde::ser::Error for Error {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}
