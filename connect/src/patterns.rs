//! Which columns a connector leaves out: its `column.exclude.list`.

use std::fmt;

/// Regular expressions, each of which must match a whole `schema.table.column`, in letters of either case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnPatterns(Vec<String>);

impl ColumnPatterns {
    /// For exactly these columns.
    pub fn of_names(names: &[String]) -> Self {
        Self(names.iter().map(|name| literal(name)).collect())
    }

    /// As a connector's settings have them: separated by commas, of which one that belongs to a name has a backslash in front.
    pub fn of_list(list: &str) -> Self {
        let (mut patterns, mut pattern) = (Vec::new(), String::new());
        let mut rest = list.chars();
        while let Some(c) = rest.next() {
            match c {
                ',' => patterns.push(std::mem::take(&mut pattern)),
                '\\' => pattern.extend([Some(c), rest.next()].into_iter().flatten()),
                c => pattern.push(c),
            }
        }
        patterns.push(pattern);
        let trimmed = patterns.iter().map(|pattern| pattern.trim().to_owned());
        Self(trimmed.filter(|pattern| !pattern.is_empty()).collect())
    }

    /// The patterns.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ColumnPatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// A regular expression of Java that is found in this name only.
pub(crate) fn literal(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        if !c.is_alphanumeric() && c != '_' {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let named = ColumnPatterns::of_names(&["public.customers.Kunden-Nr".to_owned(), "public.a.b, c".to_owned()]);
        assert_eq!(named.to_string(), r"public\.customers\.Kunden\-Nr,public\.a\.b\,\ c");
        assert_eq!(ColumnPatterns::of_list(&named.to_string()), named);
        let by_hand = ColumnPatterns::of_list(" public.customers.note , .*\\.secret,");
        assert_eq!(by_hand.as_slice(), ["public.customers.note", ".*\\.secret"]);
        assert_eq!(ColumnPatterns::of_list(""), ColumnPatterns::default());
    }
}
