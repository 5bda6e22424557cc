//! Whether all instances read the same topics by pattern: each says in its announcements which it reads.
//!
//! They look one after another, so that they differ for a few seconds whenever a topic comes or goes. Where that lasts, one of them runs another
//! version, may not see a topic, or refuses it: nobody reads it wherever such an instance has the task.

use std::collections::{BTreeMap, BTreeSet};

/// So many looks in a row that differ are worth a word.
const LOOKS: u32 = 3;

/// What the looks so far have shown.
#[derive(Default)]
pub(crate) struct Agreement {
    /// By instance: how it differs, and at how many looks in a row.
    differing: BTreeMap<String, (String, u32)>,
}

impl Agreement {
    /// Compares what this instance reads with what others say. Returns what is to be said of it now.
    pub fn look<'a>(
        &mut self,
        own: &BTreeSet<&str>,
        others: impl Iterator<Item = (&'a str, &'a BTreeSet<String>)>,
    ) -> Vec<String> {
        let mut before = std::mem::take(&mut self.differing);
        let mut told = Vec::new();
        for (instance, theirs) in others {
            let theirs: BTreeSet<&str> = theirs.iter().map(String::as_str).collect();
            if theirs == *own {
                continue;
            }
            let more: Vec<&str> = theirs.difference(own).copied().collect();
            let fewer: Vec<&str> = own.difference(&theirs).copied().collect();
            let how = format!("instance {instance} reads other topics by pattern: besides {more:?}, and not {fewer:?}");
            let looks = match before.remove(instance) {
                Some((known, looks)) if known == how => looks + 1,
                _ => 1,
            };
            if looks == LOOKS {
                told.push(how.clone());
            }
            self.differing.insert(instance.to_owned(), (how, looks));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_for_long_is_told_once() {
        let mut agreement = Agreement::default();
        let mut look = |own: &[&'static str], theirs: &[&str]| {
            let theirs: BTreeSet<String> = theirs.iter().map(|topic| (*topic).to_owned()).collect();
            agreement.look(&own.iter().copied().collect(), [("two", &theirs)].into_iter())
        };
        let nothing = Vec::<String>::new();
        // For as long as it takes the other to look.
        for theirs in [&["a"][..], &["a"], &["a", "b"]] {
            assert_eq!(look(&["a", "b"], theirs), nothing);
        }
        let told: Vec<String> = (0..9).flat_map(|_| look(&["a", "b"], &["a", "c"])).collect();
        assert_eq!(
            told,
            [r#"instance two reads other topics by pattern: besides ["c"], and not ["b"]"#]
        );
        // Another difference is another word.
        let told: Vec<String> = (0..9).flat_map(|_| look(&["a"], &["a", "c"])).collect();
        assert_eq!(
            told,
            [r#"instance two reads other topics by pattern: besides ["c"], and not []"#]
        );
        assert_eq!(look(&["a", "c"], &["a", "c"]), nothing);
        let told: Vec<String> = (0..9).flat_map(|_| look(&["a"], &["a", "c"])).collect();
        assert_eq!(told.len(), 1, "{told:?}");
    }
}
