//! From a mark to the file that holds.
//!
//! A file that was decided upon with a version of the table's shape that nobody writes any more is there as a mark: no rows, and the
//! version whose file has them.

use super::layout::FileName;

/// The versions that a range's file was looked for under.
#[derive(Debug)]
pub struct Marks {
    seen: Vec<u32>,
}

/// Marks lead to each other: a version was raised and taken back while its files were written. Nobody may write then, before an
/// operator has deleted one of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is a mark, and so is that of version {0}: delete the one of the version that runs now")]
pub struct Circle(pub u32);

impl Marks {
    /// The file that is looked at first.
    pub fn from(name: &FileName) -> Self {
        Self { seen: vec![name.schema] }
    }

    /// Goes on at the version that a mark names.
    pub fn follow(&mut self, name: &mut FileName, superseded_by: u32) -> Result<(), Circle> {
        if self.seen.contains(&superseded_by) {
            return Err(Circle(superseded_by));
        }
        self.seen.push(superseded_by);
        name.schema = superseded_by;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::Date;

    use super::*;

    #[test]
    fn marks_are_followed_until_they_lead_back() {
        let mut name = FileName {
            table: "t".into(),
            day: Date::constant(2026, 1, 1),
            partition: 0,
            generation: 1,
            start: 0,
            end: 9,
            schema: 1,
        };
        let mut marks = Marks::from(&name);
        assert_eq!((marks.follow(&mut name, 2), name.schema), (Ok(()), 2));
        assert_eq!((marks.follow(&mut name, 3), name.schema), (Ok(()), 3));
        assert_eq!((marks.follow(&mut name, 1), name.schema), (Err(Circle(1)), 3));
    }
}
