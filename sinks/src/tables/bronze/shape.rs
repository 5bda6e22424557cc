//! The columns of a file's rows: what the table always has, and what the source sent.

use crate::columns::{Column, Kind};

/// Columns of the source's rows, in the order in which they were met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape(Vec<Column>);

impl Shape {
    /// The columns that a table has in every file, and these.
    ///
    /// Where the source has one of the former as something else altogether, it is what the source has.
    pub fn of(least: &[Column], fields: &[Column]) -> Self {
        let mut shape = Self(least.to_vec()).with(fields);
        for (column, least) in shape.0.iter_mut().zip(least) {
            let field = fields.iter().find(|field| field.is(&least.name));
            if let Some(field) = field.filter(|_| column.kind == Kind::Text && column.kind != least.kind) {
                column.kind = field.kind;
            }
        }
        shape
    }

    /// With these as well: each column of a kind that holds the values of both.
    pub fn with(mut self, fields: &[Column]) -> Self {
        for field in fields {
            match self.0.iter_mut().find(|column| column.is(&field.name)) {
                Some(column) => column.kind = column.kind.merge(field.kind),
                None => self.0.push(field.clone()),
            }
        }
        self
    }

    /// Where each of these is; `None` if one is missing, or of a kind that does not hold its values.
    pub fn places(&self, fields: &[Column]) -> Option<Vec<usize>> {
        let place = |field: &Column| {
            let place = self.0.iter().position(|column| column.is(&field.name))?;
            let kind = self.0[place].kind;
            (kind.merge(field.kind) == kind).then_some(place)
        };
        fields.iter().map(place).collect()
    }

    /// Its columns.
    pub fn columns(&self) -> &[Column] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&'static str, Kind)]) -> Vec<Column> {
        fields.iter().map(|(name, kind)| Column::nullable(name, *kind, "")).collect()
    }

    #[test]
    fn a_wider_shape_holds_both() {
        let old = fields(&[("id", Kind::Int64), ("amount", Kind::decimal(18, 2))]);
        let new = fields(&[("amount", Kind::decimal(18, 4)), ("id", Kind::Int32), ("kyc", Kind::Text)]);
        let shape = Shape::default().with(&old);
        assert_eq!(shape.places(&old), Some(vec![0, 1]));
        assert_eq!(shape.places(&new), None);
        let both = shape.with(&new);
        assert_eq!(
            (both.places(&old), both.places(&new)),
            (Some(vec![0, 1]), Some(vec![1, 0, 2]))
        );
        assert_eq!(both.columns()[1].kind, Kind::decimal(20, 4));
    }

    #[test]
    fn the_source_decides_what_its_columns_are() {
        let least = fields(&[("balance", Kind::decimal(18, 2)), ("status", Kind::Text)]);
        let float = fields(&[("balance", Kind::Float64)]);
        let shape = Shape::of(&least, &float);
        assert_eq!(shape.columns(), fields(&[("balance", Kind::Float64), ("status", Kind::Text)]));
        assert!(shape.places(&float).is_some());
    }
}
